//! What keeps a session on its connection, and what sets it free: seen by another client that needs the same connection.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::OnceLock;
use std::time::Duration;

use harness::client::{Client, Login, Message, front};
use harness::{Cluster, Result, Weir, WeirSetup, wait_for};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Functions that leave something, and some that do not.
const SCHEMA: &str = "
    SET ROLE app;
    CREATE TABLE t (id int);
    CREATE FUNCTION harmless(int) RETURNS int LANGUAGE plpgsql AS
        'BEGIN UPDATE t SET id = $1; PERFORM set_config(''app.tenant'', ''local'', true); RETURN $1; END';
    CREATE FUNCTION configured() RETURNS text LANGUAGE sql SET work_mem = '3MB' AS
        'SELECT current_setting(''work_mem'')';
    CREATE FUNCTION becomes(who text) RETURNS void LANGUAGE plpgsql AS
        'BEGIN PERFORM set_config(''app.tenant'', who, false); END';
    CREATE FUNCTION calls_becomes() RETURNS void LANGUAGE sql AS 'SELECT becomes(''nested'')';
    CREATE FUNCTION quiet() RETURNS text STABLE LANGUAGE sql AS
        'SELECT set_config(''app.tenant'', ''stable'', false)';
    CREATE FUNCTION locks_and_fails() RETURNS void LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_advisory_lock(77); RAISE ''failed''; END';
    CREATE FUNCTION dynamic(what text) RETURNS void LANGUAGE plpgsql AS 'BEGIN EXECUTE what; END';
    CREATE PROCEDURE sets() LANGUAGE plpgsql AS 'BEGIN SET app.tenant = ''procedure''; END';
    CREATE TABLE audited (id int);
    CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM becomes(''trigger''); RETURN NEW; END';
    CREATE TRIGGER audit BEFORE INSERT ON audited FOR EACH ROW EXECUTE FUNCTION audit();
    CREATE VIEW becoming AS SELECT 1 AS id FROM becomes('view');
    CREATE VIEW direct AS SELECT set_config('app.tenant', 'direct', false) AS tenant;
    CREATE TABLE defaulted (id int, tenant text DEFAULT quiet());
    CREATE FUNCTION step(int, int) RETURNS int LANGUAGE sql AS
        'SELECT $1 + length(set_config(''app.tenant'', ''step'', false))';
    CREATE AGGREGATE steps (int) (SFUNC = step, STYPE = int, INITCOND = 0);
    CREATE FUNCTION same(int, int) RETURNS bool LANGUAGE sql AS 'SELECT $1 = $2';
    CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = same);
    CREATE SCHEMA later;";

/// What a connection must not carry from one client to the next.
const LEFTOVERS: &str = "
    SELECT concat_ws(' ',
        (SELECT 'lock' FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() LIMIT 1),
        (SELECT 'temporary' FROM pg_class WHERE relnamespace = pg_my_temp_schema() LIMIT 1),
        (SELECT 'listens' FROM pg_listening_channels() LIMIT 1),
        (SELECT 'cursor' FROM pg_cursors WHERE is_holdable LIMIT 1),
        (SELECT 'prepared' FROM pg_prepared_statements WHERE from_sql LIMIT 1),
        (SELECT 'tenant' WHERE current_setting('app.tenant', true) <> ''),
        (SELECT 'work_mem' FROM pg_settings WHERE name = 'work_mem' AND setting <> reset_val),
        (SELECT 'user' WHERE current_user <> session_user))";

fn cluster() -> &'static Cluster {
    static READY: OnceLock<()> = OnceLock::new();
    let cluster = Cluster::shared();
    READY.get_or_init(|| {
        cluster.sql(0, SCHEMA).unwrap();
        cluster.wait_caught_up().unwrap();
    });
    cluster
}

/// One connection to the primary and nothing else: who keeps it keeps it from everybody.
fn single() -> WeirSetup {
    WeirSetup::in_front_of(cluster(), [0]).set("pool", "size", "1").set("pool", "listen", "\"pinned\"")
}

/// The kinds of state that sessions have now.
fn pins(weir: &Weir) -> Result<Vec<String>> {
    let metrics = weir.metrics()?;
    let now = metrics.all("weir_pins").filter(|series| series.value > 0.0);
    let pins: Vec<String> = now.map(|series| series.labels["reason"].clone()).collect();
    assert_eq!(metrics.sum("weir_pinned_sessions", &[]) > 0.0, !pins.is_empty(), "{pins:?}");
    Ok(pins)
}

/// Waits until these, and no others, are what sessions have.
fn wait_pins(weir: &Weir, expected: &[&str], what: &str) -> Result<()> {
    wait_for(&format!("{expected:?} after {what}"), PATIENCE, || Ok((pins(weir)? == expected).then_some(())))
}

/// Waits until so many clients wait for a connection.
fn wait_waiting(weir: &Weir, count: f64) -> Result<()> {
    wait_for(&format!("{count} clients to wait"), PATIENCE, || {
        Ok((weir.metrics()?.sum("weir_pool_waiting", &[]) == count).then_some(()))
    })
}

/// Waits until the functions of the schema are known: until then every call of one pins.
fn wait_for_catalog(weir: &Weir) -> Result<()> {
    let mut client = weir.connect()?;
    client.query("SELECT harmless(0)")?;
    wait_pins(weir, &[], "the catalog was loaded")
}

fn pid(client: &mut Client) -> Result<String> {
    Ok(client.query("SELECT pg_backend_pid() + 0")?.value().to_owned())
}

/// Sends a request that has to wait for the connection, and fails if it has not.
fn has_to_wait(weir: &Weir, other: &mut Client) -> Result<()> {
    other.send(&[front::query("SELECT pg_backend_pid() + 0")])?;
    wait_waiting(weir, 1.0)
}

/// The answer to the request that had to wait, from the connection that it waited for.
fn is_served(other: &mut Client, pid: &str) -> Result<()> {
    let heard = other.until_ready()?;
    let row = heard.iter().find(|message| message.tag == b'D').unwrap();
    assert_eq!(row.text_row(), [Some(pid.to_owned())], "{heard:?}");
    Ok(())
}

#[test]
fn each_kind_of_state_keeps_the_connection_until_it_is_given_up() -> Result<()> {
    let weir = single().start(WEIR)?;
    wait_for_catalog(&weir)?;
    let (mut client, mut other) = (weir.connect()?, weir.connect()?);
    for (adds, reason, frees) in [
        ("CREATE TEMP TABLE mine (id int)", "temporary", "DROP TABLE mine"),
        ("CREATE TEMP TABLE mine (id serial)", "temporary", "DISCARD TEMP"),
        ("SELECT 1 AS id INTO TEMP mine", "temporary", "DROP TABLE pg_temp.mine"),
        ("CREATE TEMP VIEW mine AS SELECT 1", "temporary", "DROP VIEW mine"),
        (
            "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'; SELECT 1 INTO TEMP mine",
            "temporary",
            "DISCARD ALL",
        ),
        ("LISTEN here", "listen", "UNLISTEN here"),
        ("LISTEN here", "listen", "UNLISTEN *"),
        ("SELECT pg_advisory_lock(1)", "advisory_lock", "SELECT pg_advisory_unlock(1)"),
        ("SELECT pg_try_advisory_lock(1, 2)", "advisory_lock", "SELECT pg_advisory_unlock(1, 2)"),
        (
            "SELECT pg_advisory_lock_shared(id) FROM generate_series(1, 3) id",
            "advisory_lock",
            "SELECT pg_advisory_unlock_all()",
        ),
        ("DECLARE held CURSOR WITH HOLD FOR SELECT 1", "hold_cursor", "CLOSE held"),
        ("PREPARE p AS SELECT 1", "sql_prepare", "DEALLOCATE p"),
        ("PREPARE p AS SELECT 1", "sql_prepare", "DEALLOCATE ALL"),
        ("SELECT set_config('app.tenant', 'a' || 'b', false)", "dynamic_setting", "RESET app.tenant"),
        ("SELECT set_config('work_mem', 64 || 'kB', false)", "dynamic_setting", "RESET ALL"),
        ("SELECT set_config('app.' || 'tenant', 'x', false)", "dynamic_setting", "DISCARD ALL"),
        ("SELECT becomes('somebody')", "function", "DISCARD ALL"),
        ("CALL sets()", "function", "DISCARD ALL"),
        ("DO $$ BEGIN PERFORM calls_becomes(); END $$", "function", "DISCARD ALL"),
    ] {
        let pid = pid(&mut client)?;
        let before = weir.metrics()?.sum("weir_pins_total", &[("reason", reason)]);
        client.query(adds)?;
        wait_pins(&weir, &[reason], adds)?;
        assert_eq!(weir.metrics()?.sum("weir_pins_total", &[("reason", reason)]), before + 1.0, "{adds}");
        has_to_wait(&weir, &mut other)?;
        assert_ne!(client.query(LEFTOVERS)?.value(), "", "{adds}");
        client.query(frees)?;
        is_served(&mut other, &pid)?;
        assert_eq!(other.query(LEFTOVERS)?.value(), "", "{adds}; {frees}");
        wait_pins(&weir, &[], frees)?;
    }
    assert!(weir.get("/status")?.contains(", 0 pinned"));
    Ok(())
}

#[test]
fn what_nothing_removes_keeps_the_connection_and_it_is_closed_with_the_session() -> Result<()> {
    let weir = single().start(WEIR)?;
    wait_for_catalog(&weir)?;
    for (adds, reason) in
        [("SELECT setseed(0.5)", "unknown"), ("SELECT dynamic('SET app.tenant = ''anybody''')", "function")]
    {
        let mut client = weir.connect()?;
        client.query(adds)?;
        wait_pins(&weir, &[reason], adds)?;
        let used = pid(&mut client)?;
        client.query("DISCARD ALL")?;
        let mut other = weir.connect()?;
        has_to_wait(&weir, &mut other)?;
        assert_eq!(pins(&weir)?, [reason], "{adds}");
        client.close()?;
        other.until_ready()?;
        assert_ne!(pid(&mut other)?, used, "{adds}");
        assert_eq!(other.query(LEFTOVERS)?.value(), "", "{adds}");
        wait_pins(&weir, &[], "the session has ended")?;
    }
    Ok(())
}

#[test]
fn what_a_transaction_takes_back_does_not_keep_the_connection() -> Result<()> {
    let weir = single().start(WEIR)?;
    wait_for_catalog(&weir)?;
    let mut client = weir.connect()?;
    let create = "CREATE TEMP TABLE mine (id int)";
    let scripts: [(&[&str], &[&str]); 9] = [
        (&["BEGIN", create, "LISTEN here", "ROLLBACK"], &[]),
        (&["BEGIN", "SAVEPOINT s", create, "ROLLBACK TO s", "LISTEN here", "COMMIT"], &["listen"]),
        (&["UNLISTEN *", "BEGIN", "LISTEN here", "SELECT 1/0", "COMMIT"], &[]),
        (&["BEGIN", "SELECT set_config('app.tenant', 'a' || 'b', false)", "ROLLBACK"], &[]),
        (&["BEGIN", "CREATE TEMP TABLE mine (id int) ON COMMIT DROP", "COMMIT"], &[]),
        (&["LISTEN here; SELECT 1/0"], &[]),
        (&["BEGIN", "SELECT pg_advisory_lock(5)", "ROLLBACK"], &["advisory_lock"]),
        (&["BEGIN", "SELECT pg_advisory_unlock(5)", "ROLLBACK"], &[]),
        (&["BEGIN", "PREPARE p AS SELECT 1", "ROLLBACK"], &["sql_prepare"]),
    ];
    for (texts, left) in scripts {
        for sql in texts {
            // Some of them fail, and are meant to.
            client.ask(&[front::query(sql)])?;
        }
        wait_pins(&weir, left, &format!("{texts:?}"))?;
    }
    client.query("DEALLOCATE p")?;
    let mut other = weir.connect()?;
    assert_eq!(other.query(LEFTOVERS)?.value(), "");
    Ok(())
}

#[test]
fn how_asyncpg_gives_a_connection_back_to_its_pool() -> Result<()> {
    let weir = single().start(WEIR)?;
    let (mut client, mut other) = (weir.connect()?, weir.connect()?);
    client.query("SELECT pg_advisory_lock(9)")?;
    client.query("LISTEN here")?;
    client.query("SELECT set_config('app.tenant', 'a' || 'b', false)")?;
    client.query("DECLARE held CURSOR WITH HOLD FOR SELECT 1")?;
    wait_pins(&weir, &["advisory_lock", "dynamic_setting", "hold_cursor", "listen"], "all that")?;
    let used = pid(&mut client)?;
    has_to_wait(&weir, &mut other)?;
    client.query("SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;")?;
    is_served(&mut other, &used)?;
    assert_eq!(other.query(LEFTOVERS)?.value(), "");
    client.query("CREATE TEMP TABLE mine (id int)")?;
    client.query("SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;")?;
    wait_pins(&weir, &["temporary"], "what asyncpg leaves alone")
}

/// What a function set must not become the next client's: it may be what row-level security goes by.
#[test]
fn what_code_leaves_never_reaches_another_client() -> Result<()> {
    let weir = single().start(WEIR)?;
    wait_for_catalog(&weir)?;
    for sql in [
        "SELECT becomes('somebody')",
        "SELECT calls_becomes()",
        "SELECT quiet()",
        "SELECT 1 WHERE quiet() = 'stable'",
        "CALL sets()",
        "INSERT INTO audited VALUES (1)",
        "INSERT INTO defaulted (id) VALUES (1)",
        "WITH w AS (INSERT INTO audited VALUES (2) RETURNING id) SELECT * FROM w",
        "SELECT * FROM becoming",
        "SELECT * FROM direct",
        "DO $$ BEGIN INSERT INTO audited VALUES (3); END $$",
        "DO $$ BEGIN SET app.tenant = 'block'; END $$",
        "DO LANGUAGE plpgsql $$ BEGIN EXECUTE 'SET app.tenant = ''dynamic'''; END $$",
        "SELECT steps(n) FROM generate_series(1, 2) n",
        "COPY (SELECT quiet()) TO STDOUT",
        "CREATE TABLE later.made AS SELECT quiet()",
        "EXPLAIN ANALYZE SELECT becomes('explained')",
    ] {
        let mut client = weir.connect()?;
        client.query(sql)?;
        wait_pins(&weir, &["function"], sql)?;
        assert_eq!(client.query(LEFTOVERS)?.value(), "tenant", "{sql}");
        client.close()?;
        assert_eq!(weir.connect()?.query(LEFTOVERS)?.value(), "", "{sql}");
        wait_pins(&weir, &[], "the session has ended")?;
    }
    // By protocol, with the statement prepared in another batch than it is run in.
    let mut client = weir.connect()?;
    client.ask(&[front::parse("s", "SELECT becomes($1)", &[]), front::sync()])?;
    client.ask(&[front::bind("", "s", &[Some(b"bound")]), front::execute("", 0), front::sync()])?;
    wait_pins(&weir, &["function"], "a prepared statement")?;
    client.close()?;
    assert_eq!(weir.connect()?.query(LEFTOVERS)?.value(), "");
    // A lock survives the failure of the function that took it.
    let mut client = weir.connect()?;
    client.query("SELECT locks_and_fails()").unwrap_err();
    wait_pins(&weir, &["function"], "a failure")?;
    assert_eq!(client.query(LEFTOVERS)?.value(), "lock");
    client.query("DISCARD ALL")?;
    assert_eq!(weir.connect()?.query(LEFTOVERS)?.value(), "");
    Ok(())
}

#[test]
fn code_that_leaves_nothing_does_not_pin() -> Result<()> {
    let weir = single().start(WEIR)?;
    wait_for_catalog(&weir)?;
    let mut client = weir.connect()?;
    let before = weir.metrics()?.sum("weir_pins_total", &[]);
    for sql in [
        "SELECT harmless(1)",
        "SELECT configured()",
        "DO $$ BEGIN UPDATE t SET id = 2; PERFORM harmless(3); END $$",
        "DO $$ DECLARE n name := 't'; BEGIN EXECUTE format('UPDATE %I SET id = %L', n, 4); END $$",
        "SELECT lower('X'), count(*) FROM audited WHERE id === 1",
        "CREATE TABLE later.plain (id int)",
        "DROP TABLE later.plain",
        "SELECT harmless(5)",
    ] {
        client.query(sql)?;
        assert_eq!(weir.connect()?.query(LEFTOVERS)?.value(), "", "{sql}");
    }
    wait_pins(&weir, &[], "code that leaves nothing")?;
    assert_eq!(weir.metrics()?.sum("weir_pins_total", &[]), before);
    Ok(())
}

/// Until the catalog tells what a function leaves it pins; then it does, or does no more, though the client is idle.
#[test]
fn a_function_that_is_not_known_yet_pins_until_it_is() -> Result<()> {
    let weir = single().start(WEIR)?;
    wait_for_catalog(&weir)?;
    // Past weir, so that nothing told it.
    cluster().sql(0, "SET ROLE app; CREATE FUNCTION later.mild() RETURNS int LANGUAGE sql AS 'SELECT 1'")?;
    cluster()
        .sql(0, "SET ROLE app; CREATE FUNCTION later.bad() RETURNS text LANGUAGE sql AS 'SELECT quiet()'")?;
    let (mut client, mut other) = (weir.connect()?, weir.connect()?);
    let pinned = |weir: &Weir| Ok::<_, harness::Failure>(weir.metrics()?.sum("weir_pins_total", &[]));
    let before = pinned(&weir)?;
    client.query("SELECT later.mild()")?;
    other.query("SELECT 1")?;
    wait_pins(&weir, &[], "the catalog tells")?;
    assert_eq!(pinned(&weir)?, before + 1.0);
    client.query("SELECT later.mild()")?;
    other.query("SELECT 2")?;
    assert_eq!(pinned(&weir)?, before + 1.0, "it is known now");
    // And through weir, which forgets what it knew until it has read again.
    client.query("CREATE FUNCTION later.new() RETURNS int LANGUAGE sql AS 'SELECT 1'")?;
    client.query("SELECT later.new(), harmless(1)")?;
    other.query("SELECT 3")?;
    wait_pins(&weir, &[], "the catalog tells again")?;
    client.query("SELECT later.bad()")?;
    wait_pins(&weir, &["function"], "a function that leaves something")?;
    has_to_wait(&weir, &mut other)?;
    client.query("DISCARD ALL")?;
    other.until_ready()?;
    // One that does not exist keeps nobody for long.
    client.query("SELECT later.nobody()").unwrap_err();
    other.query("SELECT 4")?;
    wait_pins(&weir, &[], "a function that there is not")
}

#[test]
fn a_session_with_state_stays_on_the_primary_and_returns_to_replicas_without() -> Result<()> {
    let weir = WeirSetup::in_front_of(cluster(), 0..3)
        .at_any_age()
        .set("pool", "listen", "\"pinned\"")
        .start(WEIR)?;
    let mut client = weir.connect()?;
    let on_replica = |client: &mut Client, text: &str| -> Result<bool> {
        let mark = cluster().mark();
        client.query(text)?;
        Ok(cluster().ran_on(&mark, text) != [0])
    };
    assert!(on_replica(&mut client, "SELECT 'before the pin'")?);
    client.query("LISTEN pinned_here")?;
    assert!(!on_replica(&mut client, "SELECT 'with the pin'")?);
    client.query("UNLISTEN pinned_here")?;
    assert!(on_replica(&mut client, "SELECT 'after the pin'")?);
    // A function that leaves something runs where the session will find it, whatever is asked for.
    wait_for("the function to be known", PATIENCE, || {
        client.query("/* weir: replica */ SELECT quiet()")?;
        let known = client.query("SHOW weir.route")?.value().contains("primary");
        if !known {
            client.query("DISCARD ALL")?;
        }
        Ok(known.then_some(()))
    })?;
    assert_eq!(client.query(LEFTOVERS)?.value(), "tenant");
    Ok(())
}

fn with_policy(policy: &str) -> WeirSetup {
    let user = format!(
        "[[users]]\nname = \"app_trust\"\npassword = \"app\"\nserver_user = \"app\"\npinning = \"{policy}\""
    );
    WeirSetup::in_front_of(cluster(), 0..3).at_any_age().set("pool", "listen", "\"pinned\"").append(&user)
}

fn connect(weir: &Weir) -> Result<Client> {
    Client::connect(&weir.address(), &Login::new("app_trust", "app").database("app"))
}

#[test]
fn a_user_may_be_kept_from_pinning() -> Result<()> {
    let weir = with_policy("reject").start(WEIR)?;
    wait_for_catalog(&weir)?;
    let mut client = connect(&weir)?;
    for sql in [
        "CREATE TEMP TABLE mine (id int)",
        "SELECT 1; LISTEN here",
        "SELECT pg_advisory_lock(1)",
        "PREPARE p AS SELECT 1",
        "SELECT set_config('app.tenant', 'a' || 'b', false)",
        "SELECT becomes('somebody')",
        "INSERT INTO audited VALUES (1)",
        "DO $$ BEGIN SET ROLE app; END $$",
    ] {
        let refused = client.query(sql).unwrap_err();
        assert_eq!(refused.sqlstate(), Some("0A000"), "{sql}: {refused}");
        let batch =
            [front::parse("s", sql, &[]), front::bind("", "s", &[]), front::execute("", 0), front::sync()];
        let heard = client.ask(&batch)?;
        if !sql.contains(';') {
            assert_eq!(heard[0].error().unwrap().sqlstate(), "0A000", "{sql}: {heard:?}");
            assert_eq!(heard.len(), 2, "{sql}: {heard:?}");
        }
    }
    let refused = client.query("LISTEN here").unwrap_err().to_string();
    assert!(refused.contains("listen"), "{refused}");
    // With a parameter, and under a name that stays free.
    let batch =
        [front::parse("s", "SELECT becomes($1)", &[]), front::bind("", "s", &[Some(b"x")]), front::sync()];
    assert_eq!(client.ask(&batch)?[0].error().unwrap().sqlstate(), "0A000");
    let again = client.ask(&[front::parse("s", "SELECT 1", &[]), front::sync()])?;
    assert!(again.iter().all(|message| message.error().is_none()), "{again:?}");
    // A transaction fails by it as by any error.
    client.query("BEGIN")?;
    let heard = client.ask(&[front::query("LISTEN here")])?;
    assert_eq!(heard.last().and_then(Message::status), Some('E'));
    assert_eq!(client.query("LISTEN here").unwrap_err().sqlstate(), Some("25P02"));
    assert_eq!(client.query("COMMIT")?.tag, "ROLLBACK");
    for sql in [
        "SET work_mem = '5MB'",
        "SELECT harmless(1)",
        "CREATE TEMP TABLE mine ON COMMIT DROP AS SELECT 1",
        "SELECT pg_advisory_unlock_all()",
        "UNLISTEN *",
        "DISCARD ALL",
        "DO $$ BEGIN UPDATE t SET id = 2; END $$",
    ] {
        client.query(sql)?;
    }
    assert_eq!(pins(&weir)?.len(), 0);
    assert_eq!(client.query(LEFTOVERS)?.value(), "");
    Ok(())
}

/// A transaction that has only read fails by it as any other does.
#[test]
fn what_is_refused_fails_a_lazy_transaction() -> Result<()> {
    let weir = with_policy("reject").set("routing", "transactions", "\"lazy\"").start(WEIR)?;
    wait_for_catalog(&weir)?;
    let mut client = connect(&weir)?;
    for sql in [
        "CREATE TEMP TABLE mine (id int)",
        "LISTEN here",
        "SELECT pg_advisory_lock(1)",
        "PREPARE p AS SELECT 1",
    ] {
        let batch =
            [front::parse("", sql, &[]), front::bind("", "", &[]), front::execute("", 0), front::sync()];
        for frames in [vec![front::query(sql)], batch.to_vec()] {
            client.query("BEGIN")?;
            client.query("SELECT 'has only read'")?;
            client.query("SAVEPOINT a")?;
            let heard = client.ask(&frames)?;
            assert_eq!(heard[0].error().unwrap().sqlstate(), "0A000", "{sql}: {heard:?}");
            assert_eq!(heard.last().unwrap().status(), Some('E'), "{sql}: {heard:?}");
            assert_eq!(client.query("SELECT 1").unwrap_err().sqlstate(), Some("25P02"), "{sql}");
            client.query("ROLLBACK TO a")?;
            assert_eq!(client.query("SELECT 'goes on'")?.value(), "goes on", "{sql}");
            assert_eq!(client.query("COMMIT")?.tag, "COMMIT", "{sql}");
        }
    }
    assert_eq!(pins(&weir)?, Vec::<String>::new());
    Ok(())
}

/// What a session has on its connection is there in its transactions, however they begin, and what a transaction makes
/// stays or goes with it.
#[test]
fn state_and_lazy_transactions() -> Result<()> {
    let weir = WeirSetup::in_front_of(cluster(), 0..3)
        .at_any_age()
        .set("routing", "transactions", "\"lazy\"")
        .start(WEIR)?;
    wait_for_catalog(&weir)?;
    let mut client = weir.connect()?;
    let made = "CREATE TEMP TABLE made AS SELECT 42 AS answer";
    for end in ["ROLLBACK", "COMMIT"] {
        for sql in ["BEGIN", "SELECT 'has only read'", made, end] {
            client.query(sql)?;
        }
        wait_pins(&weir, if end == "COMMIT" { &["temporary"] } else { &[] }, end)?;
    }
    client.query("BEGIN")?;
    assert_eq!(client.query("SELECT answer FROM made")?.value(), "42");
    client.query("COMMIT")?;
    client.query("DROP TABLE made; DISCARD TEMP")?;
    wait_pins(&weir, &[], "DISCARD")?;
    client.query("BEGIN")?;
    client.query("SELECT 'on replicas again'")?;
    let route = client.query("SHOW weir.route")?.value().to_owned();
    assert!(route.contains("(replica, lazy_read)"), "{route}");
    client.query("COMMIT").map(drop)
}

#[test]
fn a_user_may_be_kept_on_the_primary_for_good() -> Result<()> {
    let weir = with_policy("primary-only").start(WEIR)?;
    let (mut client, mut plain) = (connect(&weir)?, connect(&weir)?);
    let ran = |client: &mut Client, text: &str| -> Result<Vec<usize>> {
        let mark = cluster().mark();
        client.query(text)?;
        Ok(cluster().ran_on(&mark, text))
    };
    assert_ne!(ran(&mut client, "SELECT 'kept, before'")?, [0]);
    client.query("LISTEN here")?;
    let used = pid(&mut client)?;
    client.query("UNLISTEN *")?;
    client.query("DISCARD ALL")?;
    wait_for("nothing to be left", PATIENCE, || {
        Ok((weir.metrics()?.sum("weir_pins", &[]) == 0.0).then_some(()))
    })?;
    assert_eq!(ran(&mut client, "SELECT 'kept, after'")?, [0]);
    assert_eq!(pid(&mut client)?, used);
    assert_ne!(ran(&mut plain, "SELECT 'not kept'")?, [0]);
    assert_eq!(weir.metrics()?.sum("weir_pinned_sessions", &[]), 1.0);
    client.close()?;
    wait_for("the session to end", PATIENCE, || {
        Ok((weir.metrics()?.sum("weir_pinned_sessions", &[]) == 0.0).then_some(()))
    })
}

/// Whoever vouches for a function in the configuration is believed.
#[test]
fn functions_can_be_vouched_for() -> Result<()> {
    let weir = single().set("routing", "stateless_functions", "[\"dynamic\"]").start(WEIR)?;
    let mut client = weir.connect()?;
    client.query("SELECT dynamic('SELECT 1')")?;
    weir.connect()?.query("SELECT 1")?;
    assert_eq!(weir.metrics()?.sum("weir_pins_total", &[]), 0.0);
    Ok(())
}

/// Sends messages in one write, and hears all answers to them.
fn play(client: &mut Client, frames: &[Vec<u8>]) -> Result<()> {
    client.send(frames)?;
    for _ in frames.iter().filter(|frame| matches!(frame[0], b'Q' | b'S')) {
        client.until_ready()?;
    }
    Ok(())
}

/// One write for each text: `text|value` is prepared and executed with that value, `text|value|limit ...` executed as
/// often with these row limits, `name: text` prepared by that name, and `text; & text` are two requests in one write.
fn step(text: &str) -> Vec<Vec<u8>> {
    let request = |text: &str| match text.split_once(": ") {
        Some((name, sql)) => vec![front::parse(name, sql, &[]), front::sync()],
        None => match &*text.split('|').collect::<Vec<_>>() {
            [sql] => vec![front::query(sql)],
            [sql, value, limits @ ..] => {
                let values: &[Option<&[u8]>] = &[Some(value.as_bytes())];
                let values = if value.is_empty() { &[] } else { values };
                let mut frames = vec![front::parse("", sql, &[]), front::bind("", "", values)];
                let limits: Vec<u32> = limits
                    .first()
                    .map_or(vec![0], |all| all.split(' ').map(|n| n.parse().unwrap()).collect());
                frames.extend(limits.into_iter().map(|limit| front::execute("", limit)));
                frames.push(front::sync());
                frames
            }
            [] => Vec::new(),
        },
    };
    text.split(" & ").flat_map(request).collect()
}

/// State that the text of the statement that leaves it does not show, and state that only seems to be taken away.
#[test]
fn state_that_does_not_show_keeps_the_connection() -> Result<()> {
    let weir = single().start(WEIR)?;
    wait_for_catalog(&weir)?;
    let lock = "SELECT pg_advisory_lock(1)";
    let unlock = "SELECT pg_advisory_unlock(1)";
    let (create, dynamic) =
        ("CREATE TABLE hidden (a int)", "SELECT set_config('search_path', $1, false)|pg_temp");
    let scripts: [(&[&str], &str); 16] = [
        (&[dynamic, create, "RESET search_path"], "temporary"),
        (&["BEGIN", "SELECT set_config('search_path', $1, true)|pg_temp", create, "COMMIT"], "temporary"),
        (&["BEGIN", "SELECT set_config('search_path', 'pg_temp', true)", create, "COMMIT"], "temporary"),
        // A portal that has come to its end is not run again.
        (&[lock, lock, "SELECT pg_advisory_unlock(1)||0 0"], "advisory_lock"),
        (&[lock, lock, "BEGIN", "SELECT pg_advisory_unlock(1)||1 1 1", "COMMIT"], "advisory_lock"),
        (&["p: SELECT pg_advisory_lock(1)", "EXECUTE p", "DEALLOCATE p"], "function"),
        (&["p: SELECT set_config('app.tenant', 'x', false)", "EXECUTE p", "DEALLOCATE p"], "function"),
        (&["p: SET app.tenant = 'x'", "EXECUTE p", "DEALLOCATE p"], "function"),
        (
            &["PREPARE q AS SELECT 1", "p: SELECT pg_advisory_lock(1)", "EXECUTE p", "DEALLOCATE ALL"],
            "function",
        ),
        // What is sent before the answer to what takes everything away is not taken away by that.
        (&["DISCARD ALL & SELECT becomes('x')"], "function"),
        (&["DISCARD ALL| & SELECT becomes($1)|x"], "function"),
        (&["PREPARE q AS SELECT 1", "DEALLOCATE ALL & p: SELECT 2"], "sql_prepare"),
        (&["PREPARE q AS SELECT 1", "DEALLOCATE q & q: SELECT 2"], "sql_prepare"),
        (&["BEGIN", "DECLARE c CURSOR FOR SELECT pg_advisory_lock(1)", "FETCH c", "COMMIT"], "advisory_lock"),
        (&["PREPARE p AS SELECT pg_advisory_lock(1)", "EXECUTE p", "DEALLOCATE p"], "function"),
        (&["CREATE TEMP TABLE hidden ()", "ALTER TABLE hidden RENAME TO other", create, unlock], "temporary"),
    ];
    for (texts, pin) in scripts {
        let mut client = weir.connect()?;
        for text in texts {
            play(&mut client, &step(text)).unwrap();
        }
        wait_pins(&weir, &[pin], &format!("{texts:?}"))?;
        assert_ne!(client.query("SELECT 'there'")?.value(), "", "{texts:?}");
        client.close()?;
        assert_eq!(weir.connect()?.query(LEFTOVERS)?.value(), "", "{texts:?}");
        wait_pins(&weir, &[], "the session has ended")?;
        weir.connect()?.query("DROP TABLE IF EXISTS hidden")?;
    }
    // In one batch, where PostgreSQL commits DISCARD ALL at once.
    let mut client = weir.connect()?;
    let run = |sql: &str| [front::parse("", sql, &[]), front::bind("", "", &[]), front::execute("", 0)];
    let batch =
        [run("DISCARD ALL").to_vec(), run("SELECT becomes('x')").to_vec(), vec![front::sync()]].concat();
    client.ask(&batch)?;
    wait_pins(&weir, &["function"], "one batch")
}

/// A setting that is noted and was never made would have another session run with the wrong one.
#[test]
fn a_setting_that_may_not_have_been_made_is_not_believed() -> Result<()> {
    let weir = single().start(WEIR)?;
    let (mut client, mut other) = (weir.connect()?, weir.connect()?);
    other.query("SET app.tenant = 'other'")?;
    let set = "SELECT set_config('app.tenant', 'other', false)";
    for sql in [
        format!("DECLARE c CURSOR FOR {set}"),
        format!("WITH w AS ({set}) SELECT 1"),
        format!("SELECT EXISTS ({set})"),
        format!("{set} FETCH FIRST 0 ROWS ONLY"),
        "UPDATE t SET id = length(set_config('app.tenant', 'other', false)) WHERE false".to_owned(),
    ] {
        client.query("SET app.tenant = 'client'")?;
        client.query("BEGIN")?;
        client.query(&sql)?;
        client.query("COMMIT")?;
        other.send(&[front::query("SHOW app.tenant")])?;
        client.query("RESET app.tenant")?;
        let heard = other.until_ready()?;
        let row = heard.iter().find(|message| message.tag == b'D').unwrap();
        assert_eq!(row.text_row(), [Some("other".to_owned())], "{sql}");
    }
    // A portal that has come to its end sets nothing either.
    client.ask(&[front::parse("s", set, &[]), front::sync()])?;
    client.query("BEGIN")?;
    client.ask(&[front::bind("c", "s", &[]), front::execute("c", 0), front::sync()])?;
    client.query("SET app.tenant = 'client'")?;
    client.ask(&[front::execute("c", 0), front::sync()])?;
    client.query("COMMIT")?;
    assert_eq!(other.query("SHOW app.tenant")?.value(), "other");
    assert_eq!(client.query("SHOW app.tenant")?.value(), "client");
    Ok(())
}

/// What is behind relations counts from the first statement on, and while the catalog is read again.
#[test]
fn code_behind_relations_is_never_overlooked() -> Result<()> {
    let weir = single().start(WEIR)?;
    let mut client = weir.connect()?;
    client.query("INSERT INTO audited VALUES (1)")?;
    wait_pins(&weir, &["function"], "the first statement of all")?;
    client.query("DISCARD ALL")?;
    for round in 0..3 {
        client.query("ALTER TABLE t ADD COLUMN b int; ALTER TABLE t DROP COLUMN b")?;
        client.query("INSERT INTO audited VALUES (1)")?;
        assert_eq!(pins(&weir)?, ["function"], "{round}");
        client.query("DISCARD ALL")?;
    }
    Ok(())
}

/// A helper that is made, called and dropped before anybody has read what it does.
#[test]
fn a_function_that_was_dropped_before_it_was_read_keeps_the_connection() -> Result<()> {
    let weir = single().set("pool", "size", "2").start(WEIR)?;
    wait_for_catalog(&weir)?;
    let (mut client, mut other) = (weir.connect()?, weir.connect()?);
    client
        .query("CREATE FUNCTION later.helper() RETURNS void LANGUAGE sql AS 'SELECT becomes(''helper'')'")?;
    client.query("SELECT later.helper()")?;
    client.query("DROP FUNCTION later.helper()")?;
    other.query("SELECT harmless(0)")?;
    wait_for("the catalog", PATIENCE, || {
        Ok((weir.metrics()?.sum("weir_pinned_sessions", &[]) < 2.0).then_some(()))
    })?;
    other.query("SELECT 1")?;
    client.query("SELECT 1")?;
    assert_eq!(pins(&weir)?, ["function"]);
    client.close()?;
    assert_eq!(weir.connect()?.query(LEFTOVERS)?.value(), "");
    Ok(())
}

/// What Django says first on each connection, with its parameters bound by the server.
#[test]
fn a_setting_whose_value_is_bound_keeps_no_connection() -> Result<()> {
    let weir = single().start(WEIR)?;
    let (mut client, mut other) = (weir.connect()?, weir.connect()?);
    const ZONE: &str = "SELECT set_config('TimeZone', $1, false)";
    let tells = "SELECT current_setting('TimeZone')";
    let before = other.query(tells)?.value().to_owned();
    let batches: [&[Vec<u8>]; 3] = [
        &[front::parse("", ZONE, &[]), front::bind("", "", &[Some(b"Asia/Tokyo")])],
        &[
            front::parse("zone", ZONE, &[25]),
            front::bind_formats("", "zone", &[1], &[Some(b"Europe/Oslo")], &[]),
        ],
        &[front::bind("", "zone", &[Some(b"Asia/Kolkata")])],
    ];
    for (batch, zone) in batches.into_iter().zip(["Asia/Tokyo", "Europe/Oslo", "Asia/Kolkata"]) {
        client.ask(&[batch, &[front::execute("", 0), front::sync()]].concat())?;
        assert_eq!(other.query(tells)?.value(), before);
        assert_eq!(client.query(tells)?.value(), zone);
        assert!(pins(&weir)?.is_empty(), "{zone}");
    }
    // A value that only the server knows.
    let bound = [
        front::parse("", "SELECT set_config('app.tenant', $1 || 'x', false)", &[]),
        front::bind("", "", &[Some(b"x")]),
    ];
    client.ask(&[&bound[..], &[front::execute("", 0), front::sync()]].concat())?;
    wait_pins(&weir, &["dynamic_setting"], "an expression")
}
