//! Nothing of a session reaches the next one on its connection, however it ends and whatever it was in the middle of.
//!
//! The pool has one connection, so that whoever comes next gets the one that was left behind, and each test says
//! whether it must be the same one (by its process id) or must have been closed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::Write as _;
use std::net::Shutdown;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use harness::client::{Client, Login, Message, Stream, front};
use harness::{Cluster, Result, Weir, WeirSetup, wait_for};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a session ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// With a Terminate.
    Terminate,
    /// The socket is closed, as the kernel does for a process that is killed.
    Close,
    /// The connection is reset.
    Reset,
}

const ENDS: [End; 3] = [End::Terminate, End::Close, End::Reset];

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The next client gets it.
    Reused,
    /// It is closed.
    Closed,
    /// It is closed on this version and later ones. On earlier ones the next client gets it.
    ClosedFrom(u32),
}

impl Fate {
    /// Whether the next client gets it on this version.
    fn is_reused(self, major: u32) -> bool {
        match self {
            Self::Reused => true,
            Self::Closed => false,
            Self::ClosedFrom(first) => major < first,
        }
    }
}

/// What a session is in the middle of when it ends.
struct Scene {
    name: &'static str,
    fate: Fate,
    play: fn(&Cluster, &mut Client) -> Result<()>,
}

const SCENES: &[Scene] = &[
    Scene {
        name: "settings",
        fate: Fate::Reused,
        play: |_, client| {
            for sql in SETTINGS {
                client.query(sql)?;
            }
            Ok(())
        },
    },
    Scene {
        name: "state",
        fate: Fate::Reused,
        play: |_, client| {
            for sql in SETTINGS.iter().filter(|sql| !sql.contains("read_only")).chain(STATE) {
                client.query(sql)?;
            }
            Ok(())
        },
    },
    Scene {
        name: "state in a transaction",
        fate: Fate::Reused,
        play: |_, client| {
            client.query(
                "BEGIN; INSERT INTO leaks VALUES ('state'); CREATE TEMP TABLE scratch AS SELECT 1 AS i",
            )?;
            client.query("SELECT pg_advisory_lock(7); DECLARE c CURSOR FOR SELECT 1; LISTEN leaks")?;
            client.query("SET ROLE app; SET search_path = nowhere").map(drop)
        },
    },
    Scene {
        name: "a failed transaction",
        fate: Fate::Reused,
        play: |_, client| {
            client.query("BEGIN; SET ROLE app; INSERT INTO public.leaks VALUES ('failed')")?;
            client.query("SELECT 1/0").unwrap_err();
            Ok(())
        },
    },
    Scene {
        name: "a query in the middle of a batch",
        // PostgreSQL 18 would refuse the next request, whoever sends it.
        fate: Fate::ClosedFrom(18),
        play: |_, client| {
            let (batch, query) = (front::parse("", "SELECT 1", &[]), front::query("SELECT 2"));
            client.send(&[batch, front::bind("", "", &[]), front::execute("", 0), query, front::sync()])?;
            client.until_ready()?;
            client.until_ready().map(drop)
        },
    },
    Scene {
        name: "a copy",
        fate: Fate::Reused,
        play: |_, client| {
            client.send(&[front::query("COPY leaks FROM STDIN"), front::copy_data("a copied row\n")])?;
            assert_eq!(client.read()?.name(), "CopyInResponse");
            client.send(&[front::copy_data("another\n")])
        },
    },
    Scene {
        name: "a copy by the extended protocol",
        fate: Fate::Reused,
        play: |_, client| {
            let copy = front::parse("", "COPY leaks FROM STDIN", &[]);
            client.send(&[copy, front::bind("", "", &[]), front::execute("", 0), front::sync()])?;
            while client.read()?.name() != "CopyInResponse" {}
            client.send(&[front::copy_data("a copied row\n")])
        },
    },
    Scene {
        name: "half of copied data",
        fate: Fate::Closed,
        play: |_, client| {
            client.send(&[front::query("COPY leaks FROM STDIN")])?;
            assert_eq!(client.read()?.name(), "CopyInResponse");
            client.send_bytes(b"d\0\0\x10\0half of a message")
        },
    },
    Scene {
        name: "half of a short message",
        fate: Fate::Reused,
        play: |_, client| {
            client.query("BEGIN; INSERT INTO leaks VALUES ('short')")?;
            client.send_bytes(b"Q\0\0\x10\0INSERT INTO leaks VALUES ('half of a message")
        },
    },
    Scene {
        name: "half of a long message",
        fate: Fate::Closed,
        play: |_, client| {
            client.query("BEGIN; INSERT INTO leaks VALUES ('long')")?;
            client.send_bytes(b"Q\0\x10\0\0SELECT '")?;
            client.send_bytes(&vec![b'x'; 400_000])
        },
    },
    Scene {
        name: "half of a long message behind a row that nobody reads",
        fate: Fate::Closed,
        play: |_, client| {
            client.query("BEGIN; INSERT INTO leaks VALUES ('row')")?;
            client.send(&[front::query("SELECT repeat('x', 50000000)")])?;
            // All of it but the last bytes, which are not to be made up.
            client.send_bytes(b"Q\0\x06\x1a\x90INSERT INTO leaks VALUES ('")?;
            client.send_bytes(&vec![b'x'; 399_950])
        },
    },
    Scene {
        name: "half of a batch",
        fate: Fate::Reused,
        play: |_, client| {
            let insert = front::parse("mine", "INSERT INTO leaks VALUES ('batch')", &[]);
            let run = [front::bind("portal", "mine", &[]), front::execute("portal", 0), front::flush()];
            client.send(&[insert, run.concat()])?;
            while client.read()?.name() != "CommandComplete" {}
            Ok(())
        },
    },
    Scene {
        name: "half of a batch that has failed",
        fate: Fate::Reused,
        play: |_, client| {
            let fails = front::parse("", "SELECT 1/0", &[]);
            client.send(&[fails, front::bind("", "", &[]), front::execute("", 0), front::flush()])?;
            while client.read()?.name() != "ErrorResponse" {}
            Ok(())
        },
    },
    Scene {
        name: "an open portal",
        fate: Fate::Reused,
        play: |_, client| {
            client.query("BEGIN")?;
            let rows = front::parse("rows", "SELECT generate_series(1, 1000)", &[]);
            let some = [front::bind("portal", "rows", &[]), front::execute("portal", 10), front::sync()];
            let heard = client.ask(&[rows, some.concat()])?;
            assert!(heard.iter().any(|message| message.name() == "PortalSuspended"), "{heard:?}");
            Ok(())
        },
    },
    Scene {
        name: "a result that nobody reads",
        fate: Fate::Reused,
        play: |_, client| {
            let rows = "SELECT repeat('x', 1000) FROM generate_series(1, 100000)";
            client.send(&[front::query(rows)])?;
            client.read().map(drop)
        },
    },
    Scene {
        name: "a wait for a lock",
        fate: Fate::Reused,
        play: |cluster, client| {
            client.query("BEGIN; INSERT INTO leaks VALUES ('waited')")?;
            client.send(&[front::query("SELECT FROM locked FOR UPDATE")])?;
            wait_for("the client to wait for the lock", PATIENCE, || {
                let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
                    AND query LIKE '%locked FOR UPDATE'";
                Ok((cluster.sql(0, waiting)?.value() == "1").then_some(()))
            })
        },
    },
    Scene {
        name: "code that no statement shows",
        fate: Fate::Reused,
        play: |_, client| HIDDEN_CALLS.iter().try_for_each(|sql| client.query(sql).map(drop)),
    },
    Scene {
        name: "a library",
        fate: Fate::Closed,
        play: |_, client| client.query("LOAD 'plpgsql'").map(drop),
    },
];

const SETTINGS: &[&str] = &[
    "SET search_path = nowhere",
    "SET application_name = 'leaky'",
    "SET client_encoding = 'LATIN1'",
    "SET default_transaction_read_only = on",
    "SELECT set_config('some.thing', 'left behind', false)",
    "SET work_mem = '7MB'",
    "SET SESSION AUTHORIZATION app",
    "SET ROLE app",
];

const STATE: &[&str] = &[
    "CREATE TEMP TABLE scratch AS SELECT 1 AS i",
    "LISTEN leaks",
    "SELECT pg_advisory_lock(7), pg_advisory_lock_shared(8)",
    "DECLARE held CURSOR WITH HOLD FOR SELECT 1",
    "PREPARE mine AS SELECT 1",
];

/// Code under a built-in name, as an attribute, in a default argument and in a domain: `tests/hidden_code` makes up more.
const HIDDEN: &str = "
    CREATE FUNCTION leave(int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN
        PERFORM set_config('some.thing', 'left behind', false); PERFORM pg_advisory_lock(7); CREATE TEMP TABLE IF NOT EXISTS scratch ();
        EXECUTE 'LISTEN leaks'; RETURN 1; END $$;
    CREATE FUNCTION upper(point) RETURNS int LANGUAGE plpgsql STABLE AS 'BEGIN RETURN leave(1); END';
    CREATE TYPE leaky AS (id int);
    CREATE FUNCTION mark(leaky) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT leave(1)';
    CREATE FUNCTION given(a int, b int DEFAULT leave(1)) RETURNS int LANGUAGE sql STABLE AS 'SELECT 1'";

const HIDDEN_CALLS: &[&str] =
    &["SELECT upper(point '(1, 2)')", "SELECT (ROW(1)::leaky).mark", "SELECT given(1)"];

/// What the next client looks at. All of it must be as on a new connection to the server.
const LOOKS: &[&str] = &[
    "SELECT current_user, session_user",
    "SHOW search_path",
    "SHOW application_name",
    "SHOW client_encoding",
    "SHOW default_transaction_read_only",
    "SHOW work_mem",
    "SELECT coalesce(current_setting('some.thing', true), '')",
    "SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'",
    "SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema()",
    "SELECT count(*) FROM pg_listening_channels()",
    "SELECT count(*) FROM pg_prepared_statements WHERE name NOT LIKE 'weir%'",
    "SELECT count(*) FROM pg_cursors",
    "SELECT pg_current_xact_id_if_assigned() IS NULL",
    "SELECT count(*) FROM leaks",
];

fn login() -> Login {
    Login::new("postgres", "postgres").database("app")
}

/// Two servers, so that weir knows what may write; all of it on the primary, over one connection.
fn one_connection(cluster: &Cluster, mode: &str) -> Result<Weir> {
    WeirSetup::in_front_of(cluster, [0, 1])
        .set("pool", "size", "1")
        .set("pool", "mode", &format!("\"{mode}\""))
        .set("pool", "checkout_timeout", "\"1min\"")
        .start(WEIR)
}

fn connect(weir: &Weir) -> Result<Client> {
    let mut client =
        Client::connect(&weir.address(), &login().parameter("options", "-c weir.target=primary"))?;
    client.set_patience(PATIENCE);
    Ok(client)
}

/// Asks, and takes nothing but the answer: whatever else arrives was meant for somebody else.
fn look(client: &mut Client, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
    let heard = client.ask(&[front::query(sql)])?;
    let names: Vec<_> = heard.iter().map(Message::name).collect();
    assert_eq!(names, ["RowDescription", "DataRow", "CommandComplete", "ReadyForQuery"], "{sql}: {heard:?}");
    assert_eq!(heard[3].status(), Some('I'), "{sql}");
    Ok(heard.iter().filter(|message| message.name() == "DataRow").map(Message::text_row).collect())
}

fn pid(client: &mut Client) -> Result<String> {
    Ok(look(client, "SELECT pg_backend_pid() + 0")?[0][0].clone().unwrap())
}

fn end(mut client: Client, how: End) -> Result<()> {
    match how {
        End::Terminate => client.send(&[front::terminate()]),
        End::Close => Ok(client.stream().shutdown(Shutdown::Both)?),
        End::Reset => {
            let Stream::Tcp(stream) = client.stream() else { panic!("no TCP") };
            Ok(socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO))?)
        }
    }
}

/// Plays a scene, ends the session, and looks at what the next client finds.
fn plays(cluster: &Cluster, weir: &Weir, scene: &Scene, how: End) -> Result<()> {
    let what = format!("{}, {how:?}", scene.name);
    let mut first = connect(weir)?;
    let before = pid(&mut first)?;
    (scene.play)(cluster, &mut first)?;
    end(first, how)?;
    cluster.sql(0, "NOTIFY leaks, 'for nobody'")?;
    let mut next = connect(weir)?;
    let mut fresh = Client::connect(&cluster.address(0), &login())?;
    for sql in LOOKS {
        let (found, expected) = (look(&mut next, sql)?, look(&mut fresh, sql)?);
        assert_eq!(found, expected, "{what}: {sql}");
    }
    assert_eq!(look(&mut next, "SELECT count(*) FROM leaks")?[0][0].as_deref(), Some("0"), "{what}");
    let is_reused = pid(&mut next)? == before;
    assert_eq!(is_reused, scene.fate.is_reused(cluster.postgres().major()), "{what}: {:?}", scene.fate);
    // What the connection is thought to hold, it holds.
    let named = [front::parse("mine", "SELECT 1", &[]), front::bind("", "mine", &[]), front::execute("", 0)];
    let heard = next.ask(&[named.concat(), front::sync()])?;
    assert!(heard.iter().all(|message| message.error().is_none()), "{what}: {heard:?}");
    next.close()
}

fn all_scenes(mode: &str) -> Result<()> {
    let cluster = Cluster::with(harness::Options::new(1))?;
    cluster.sql(0, "CREATE TABLE leaks (what text); GRANT ALL ON leaks TO app")?;
    cluster.sql(0, "CREATE TABLE locked (); INSERT INTO locked DEFAULT VALUES")?;
    cluster.sql(0, HIDDEN)?;
    let mut holder = cluster.admin(0)?;
    holder.query("BEGIN; LOCK TABLE locked")?;
    let weir = one_connection(&cluster, mode)?;
    for scene in SCENES {
        for how in ENDS {
            // Within a message a Terminate is part of it, and behind one that runs it is read when that is over.
            let unheard = ["message", "copied data", "a wait"].iter().any(|part| scene.name.contains(part));
            if !(unheard && matches!(how, End::Terminate)) {
                plays(&cluster, &weir, scene, how)?;
            }
        }
    }
    Ok(())
}

#[test]
fn nothing_is_left_by_transaction() -> Result<()> {
    all_scenes("transaction")
}

#[test]
fn nothing_is_left_by_session() -> Result<()> {
    all_scenes("session")
}

/// What a transaction leaves on the replica on which it has only read, or has before it moved to the primary. The last
/// statement may fail.
const LAZY: &[&[&str]] = &[
    &["SET search_path = nowhere", "SET LOCAL work_mem = '7MB'", "SELECT 1"],
    &[
        "SELECT set_config('some.thing', 'left behind', false)",
        "SET SESSION AUTHORIZATION app",
        "SET ROLE app",
    ],
    &["SET application_name = 'leaky'", "SET client_encoding = 'LATIN1'", "SAVEPOINT a", "SELECT 1/0"],
    &["DECLARE c CURSOR FOR SELECT generate_series(1, 9)", "FETCH c"],
    &["SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY", "SELECT 1"],
    &["SET LOCAL work_mem = '7MB'", "SELECT 1", "INSERT INTO leaks VALUES ('moved')"],
    &["DECLARE c CURSOR FOR SELECT generate_series(1, 9)", "FETCH c", "INSERT INTO leaks VALUES ('on two')"],
    &[
        "DECLARE c CURSOR FOR SELECT 1",
        "SET LOCAL work_mem = '7MB'",
        "INSERT INTO leaks VALUES (1)",
        "FETCH c",
    ],
    &["DECLARE c CURSOR FOR SELECT 1", "INSERT INTO leaks VALUES ('failed')", "SELECT 1/0"],
    &["DECLARE c CURSOR FOR SELECT 1/(2 - n) FROM generate_series(1, 2) n", "LOCK TABLE leaks", "FETCH 2 c"],
    &["SELECT set_config('some.thing', 'left behind', true)", "CREATE TEMP TABLE scratch ()", "LISTEN leaks"],
    &["SELECT 1", "SELECT pg_advisory_xact_lock(9)", "SELECT 1/0"],
];

/// Plays such a transaction, ends it or the session, and looks at what the next client finds on both servers.
fn plays_lazy(cluster: &Cluster, weir: &Weir, texts: &[&str], how: Option<End>) -> Result<()> {
    let what = format!("{texts:?}, {how:?}");
    let replica = |sql: &str| format!("/* weir: replica */ {sql}");
    let primary = |sql: &str| format!("/* weir: primary */ {sql}");
    let pid = "SELECT pg_backend_pid() + 0";
    let open = || -> Result<Client> {
        let mut client = Client::connect(&weir.address(), &login())?;
        client.set_patience(PATIENCE);
        Ok(client)
    };
    let mut first = open()?;
    let before = [look(&mut first, &replica(pid))?, look(&mut first, &primary(pid))?];
    first.query("BEGIN")?;
    for (n, sql) in texts.iter().enumerate() {
        let heard = first.ask(&[front::query(sql)])?;
        let failed = heard.iter().find_map(Message::error);
        assert!(n + 1 == texts.len() || failed.is_none(), "{what}: {sql}: {failed:?}");
    }
    match how {
        Some(how) => end(first, how)?,
        None => {
            first.query("ROLLBACK")?;
            first.close()?;
        }
    }
    let mut next = open()?;
    let mut fresh = [1, 0]
        .into_iter()
        .map(|server| Client::connect(&cluster.address(server), &login()))
        .collect::<Result<Vec<_>>>()?;
    for sql in LOOKS.iter().filter(|sql| !sql.contains("xact_id")) {
        assert_eq!(
            look(&mut next, &replica(sql))?,
            look(&mut fresh[0], sql)?,
            "{what}: {sql}, on the replica"
        );
        assert_eq!(
            look(&mut next, &primary(sql))?,
            look(&mut fresh[1], sql)?,
            "{what}: {sql}, on the primary"
        );
    }
    let after = [look(&mut next, &replica(pid))?, look(&mut next, &primary(pid))?];
    assert_eq!(after, before, "{what}: the connections are used again");
    next.close()
}

#[test]
fn nothing_is_left_of_transactions_that_read_on_a_replica() -> Result<()> {
    let cluster = Cluster::with(harness::Options::new(1))?;
    cluster.sql(0, "CREATE TABLE leaks (what text); GRANT ALL ON leaks TO app")?;
    cluster.wait_caught_up()?;
    for mode in ["transaction", "session"] {
        let weir = WeirSetup::in_front_of(&cluster, [0, 1])
            .at_any_age()
            .set("pool", "size", "1")
            .set("pool", "mode", &format!("\"{mode}\""))
            .set("pool", "checkout_timeout", "\"1min\"")
            .start(WEIR)?;
        for texts in LAZY {
            for how in [None].into_iter().chain(ENDS.map(Some)) {
                plays_lazy(&cluster, &weir, texts, how)?;
            }
        }
        let ran = |how| weir.metrics().map(|metrics| metrics.sum("weir_transactions_total", &[("ran", how)]));
        assert!(ran("replica")? > 0.0 && ran("upgraded")? > 0.0, "the premise: they were on a replica");
    }
    Ok(())
}

/// A real process, killed in the middle of a transaction that holds locks.
#[test]
fn a_killed_process_leaves_nothing() -> Result<()> {
    let cluster = Cluster::with(harness::Options::new(1))?;
    cluster.sql(0, "CREATE TABLE leaks (what text)")?;
    let psql = cluster.postgres().program("psql")?;
    for mode in ["transaction", "session"] {
        let weir = one_connection(&cluster, mode)?;
        let before = {
            let mut first = connect(&weir)?;
            let before = pid(&mut first)?;
            first.close()?;
            before
        };
        let target = format!(
            "host=127.0.0.1 port={} user=postgres dbname=app options='-c weir.target=primary'",
            weir.port()
        );
        let mut child = Command::new(&psql)
            .args(["-X", "-q", &target])
            .env("PGPASSWORD", "postgres")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let script = "SELECT pg_advisory_lock(9); CREATE TEMP TABLE scratch AS SELECT 1 AS i;\n\
            BEGIN; INSERT INTO scratch VALUES (1); LOCK TABLE leaks; SET ROLE app;\n";
        let _ = child.stdin.as_mut().unwrap().write_all(script.as_bytes());
        let held = wait_for("the process to hold its lock", PATIENCE, || {
            let held = "SELECT count(*) FROM pg_locks WHERE relation = 'leaks'::regclass AND granted";
            Ok((cluster.sql(0, held)?.value() == "1").then_some(()))
        });
        child.kill().unwrap();
        child.wait().unwrap();
        held?;
        let mut next = connect(&weir)?;
        let mut fresh = Client::connect(&cluster.address(0), &login())?;
        for sql in LOOKS {
            assert_eq!(look(&mut next, sql)?, look(&mut fresh, sql)?, "{mode}: {sql}");
        }
        assert_eq!(pid(&mut next)?, before, "{mode}");
        assert_eq!(weir.metrics()?.sum("weir_connection_resets_total", &[("how", "discarded")]), 1.0);
    }
    Ok(())
}

/// What a server may commit is neither cancelled nor cut off, and the next client waits for its end.
#[test]
fn a_write_whose_client_has_gone_runs_to_its_end() -> Result<()> {
    let cluster = Cluster::with(harness::Options::new(1))?;
    cluster.sql(0, "CREATE TABLE leaks (what text); CREATE TABLE locked ()")?;
    for (n, mode) in ["transaction", "session"].into_iter().enumerate() {
        let weir = one_connection(&cluster, mode)?;
        let mut holder = cluster.admin(0)?;
        holder.query("BEGIN; LOCK TABLE locked")?;
        let mut first = connect(&weir)?;
        let before = pid(&mut first)?;
        first
            .send(&[front::query("INSERT INTO leaks SELECT 'late' FROM (SELECT count(*) FROM locked) l")])?;
        wait_for("the write to wait for the lock", PATIENCE, || {
            let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
            Ok((cluster.sql(0, waiting)?.value() == "1").then_some(()))
        })?;
        end(first, End::Close)?;
        wait_for("the client to be gone", PATIENCE, || {
            Ok((weir.metrics()?.sum("weir_clients", &[]) == 0.0).then_some(()))
        })?;
        holder.query("COMMIT")?;
        let mut next = connect(&weir)?;
        assert_eq!(look(&mut next, "SELECT count(*) FROM leaks")?[0][0], Some((n + 1).to_string()), "{mode}");
        assert_eq!(pid(&mut next)?, before, "{mode}");
    }
    Ok(())
}

/// Nor with one server only, and however long it takes.
#[test]
fn a_long_write_whose_client_has_gone_runs_to_its_end_on_a_single_server() -> Result<()> {
    let cluster = Cluster::with(harness::Options::new(0))?;
    cluster.sql(0, "CREATE TABLE leaks (what text); CREATE TABLE locked ()")?;
    let weir = WeirSetup::in_front_of(&cluster, [0])
        .set("pool", "size", "1")
        .set("pool", "checkout_timeout", "\"1min\"")
        .start(WEIR)?;
    let mut holder = cluster.admin(0)?;
    holder.query("BEGIN; LOCK TABLE locked")?;
    let mut first = connect(&weir)?;
    let before = pid(&mut first)?;
    first.send(&[front::query("INSERT INTO leaks SELECT 'late' FROM (SELECT count(*) FROM locked) l")])?;
    wait_for("the write to wait for the lock", PATIENCE, || {
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
        Ok((cluster.sql(0, waiting)?.value() == "1").then_some(()))
    })?;
    end(first, End::Close)?;
    wait_for("the client to be gone", PATIENCE, || {
        Ok((weir.metrics()?.sum("weir_clients", &[]) == 0.0).then_some(()))
    })?;
    // Longer than what is cancelled gets.
    thread::sleep(Duration::from_secs(7));
    holder.query("COMMIT")?;
    let mut next = connect(&weir)?;
    assert_eq!(look(&mut next, "SELECT count(*) FROM leaks")?[0][0].as_deref(), Some("1"));
    assert_eq!(pid(&mut next)?, before);
    Ok(())
}

/// A batch that failed has changed no setting, though its client never ended it.
#[test]
fn a_failed_batch_without_an_end_leaves_no_setting() -> Result<()> {
    let cluster = Cluster::with(harness::Options::new(1))?;
    let weir = one_connection(&cluster, "transaction")?;
    let mut next = connect(&weir)?;
    next.query("SET work_mem = '5MB'")?;
    let mut first = connect(&weir)?;
    let sets =
        [front::parse("", "SET work_mem = '5MB'", &[]), front::bind("", "", &[]), front::execute("", 0)];
    first.send(&[sets.concat(), front::parse("", "SELECT no_such", &[]), front::flush()])?;
    while first.read()?.error().is_none() {}
    first.close()?;
    assert_eq!(next.query("SHOW work_mem")?.value(), "5MB");
    Ok(())
}

/// What stands behind a request that a replica refuses is run there before it is run again on the primary.
#[test]
fn nothing_is_left_on_a_replica_by_what_runs_again() -> Result<()> {
    let cluster = Cluster::with(harness::Options::new(2))?;
    cluster.sql(
        0,
        "CREATE TABLE written (id int); INSERT INTO written VALUES (1);
         CREATE VIEW harmless AS SELECT id FROM written FOR UPDATE",
    )?;
    cluster.wait_caught_up()?;
    let weir = WeirSetup::in_front_of(&cluster, [0, 1])
        .set("pool", "size", "1")
        .set("routing", "max_staleness", "\"off\"")
        .set("routing", "learned", "0")
        .start(WEIR)?;
    let connect = || Client::connect(&weir.address(), &login());
    let batch = |sql: &str| {
        [front::parse("", sql, &[]), front::bind("", "", &[]), front::execute("", 0), front::sync()].concat()
    };
    const READ: &str = "SELECT id, '2020-01-01 00:00+00'::timestamptz FROM harmless";
    const MIDNIGHT: &str = "2020-01-01 00:00:00+00";
    let pipelines: [&[&str]; 6] = [
        &[READ, "BEGIN READ ONLY", "SET TimeZone = 'Asia/Tokyo'", "COMMIT"],
        &[READ, "/* weir: replica */ SET TimeZone = 'America/Lima'"],
        &[READ, "BEGIN READ ONLY", "DECLARE h CURSOR WITH HOLD FOR SELECT 1", "COMMIT"],
        &[READ, "BEGIN READ ONLY", "SET LOCAL TimeZone = 'Asia/Kolkata'", "ROLLBACK"],
        &[READ, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "SET TimeZone = 'Asia/Tokyo'", "COMMIT"],
        &[
            READ,
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            "DECLARE h CURSOR WITH HOLD FOR SELECT 1",
            "COMMIT",
        ],
    ];
    // What a replica holds is known once it has been asked for.
    let mut early = connect()?;
    wait_for("the replica to serve reads", PATIENCE, || {
        early.query("SELECT id FROM written")?;
        Ok(early.query("SHOW weir.route")?.value().contains("replica").then_some(()))
    })?;
    early.close()?;
    for (n, texts) in pipelines.into_iter().enumerate() {
        let mut first = connect()?;
        first.send(&texts.iter().map(|text| batch(text)).collect::<Vec<_>>())?;
        for text in texts {
            let heard = first.until_ready()?;
            assert!(heard.iter().all(|message| message.error().is_none()), "{text}: {heard:?}");
            if *text == READ {
                let row = heard.iter().find(|message| message.tag == b'D').unwrap().text_row();
                assert_eq!(
                    row[1].as_deref(),
                    Some(MIDNIGHT),
                    "what comes later in {texts:?} is not there yet"
                );
            }
        }
        assert_eq!(weir.metrics()?.sum("weir_reruns_total", &[("cause", "25006")]), n as f64 + 1.0);
        first.close()?;
        let mut next = connect()?;
        for _ in 0..4 {
            let told = look(&mut next, "SELECT '2020-01-01 00:00+00'::timestamptz FROM pg_class LIMIT 1")?;
            assert_eq!(told[0][0].as_deref(), Some(MIDNIGHT), "{texts:?}");
            let held =
                look(&mut next, "/* weir: replica */ SELECT count(*) FROM pg_cursors WHERE is_holdable")?;
            assert_eq!(held[0][0].as_deref(), Some("0"), "{texts:?}");
        }
        next.close()?;
    }
    Ok(())
}

/// Nor does a server that answers nothing any more keep the place of a connection whose client has gone.
#[test]
fn a_frozen_server_keeps_no_place_in_the_pool() -> Result<()> {
    let cluster = Cluster::with(harness::Options::new(1))?;
    cluster.sql(0, "CREATE TABLE leaks (what text); CREATE TABLE locked ()")?;
    let weir = one_connection(&cluster, "transaction")?;
    for half_sent in [false, true] {
        let mut holder = cluster.admin(0)?;
        holder.query("BEGIN; LOCK TABLE locked")?;
        let mut first = connect(&weir)?;
        first.query("SELECT 1")?;
        first.send(&[front::query("INSERT INTO leaks SELECT FROM locked")])?;
        wait_for("the write to wait for the lock", PATIENCE, || {
            let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
            Ok((cluster.sql(0, waiting)?.value() == "1").then_some(()))
        })?;
        if half_sent {
            first.send_bytes(b"Q\0\x10\0\0SELECT '")?;
            first.send_bytes(&vec![b'x'; 400_000])?;
        }
        end(first, End::Close)?;
        let active =
            || -> Result<f64> { Ok(weir.metrics()?.sum("weir_backend_connections", &[("state", "active")])) };
        wait_for("the client to be gone", PATIENCE, || {
            Ok((weir.metrics()?.sum("weir_clients", &[]) == 0.0).then_some(()))
        })?;
        assert_eq!(active()?, 1.0, "what may be committed still is waited for");
        cluster.freeze(0)?;
        let given_up =
            wait_for("the connection to be given up", PATIENCE, || Ok((active()? == 0.0).then_some(())));
        cluster.thaw(0)?;
        given_up?;
        holder.query("COMMIT")?;
        wait_for("the server to be up", PATIENCE, || {
            Ok(connect(&weir).and_then(|mut c| c.query("SELECT 1")).ok())
        })?;
    }
    Ok(())
}
