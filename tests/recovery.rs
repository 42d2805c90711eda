//! A server's process dies, or refuses what weir asks of it: what the client hears, and that its session lives on.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use harness::client::{Client, Login, Message, Stream, front};
use harness::{Cluster, Options, Result, Signal, Weir, WeirSetup, send_signal, wait_for, wait_until};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A primary, a replica, a table, and weir in front of them.
struct Stage {
    cluster: Cluster,
    weir: Weir,
}

impl Stage {
    fn new() -> Result<Self> {
        let cluster = Cluster::with(Options::new(1))?;
        cluster.sql(0, "CREATE TABLE casualties (id int); GRANT ALL ON casualties TO app")?;
        cluster.wait_caught_up()?;
        let weir =
            WeirSetup::in_front_of(&cluster, 0..2).at_any_age().set("pool", "size", "2").start(WEIR)?;
        Ok(Self { cluster, weir })
    }

    /// Ends the one process that does this, and waits until it is gone. Not one of weir's own connections: it reads
    /// the catalog as this user, in a transaction.
    fn kill(&self, server: usize, what: &str) -> Result<()> {
        let victims = format!("usename = 'app' AND application_name NOT LIKE 'weir%' AND {what}");
        let sql = format!(
            "SELECT coalesce(string_agg(pid::text, ''), '') FROM
             (SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity WHERE {victims}) killed"
        );
        let pid = wait_for(&format!("the victim ({what})"), PATIENCE, || {
            let pid = self.cluster.sql(server, &sql)?.value().to_owned();
            Ok((!pid.is_empty()).then_some(pid))
        })?;
        wait_for("its end", PATIENCE, || {
            let left = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}");
            Ok((self.cluster.sql(server, &left)?.value() == "0").then_some(()))
        })
    }

    /// A client in a transaction that has written, whose process has been killed since, as weir has seen.
    fn bereaved(&self) -> Result<Client> {
        let mut client = self.weir.connect()?;
        client.query("BEGIN")?;
        client.query("INSERT INTO casualties VALUES (1)")?;
        let lost = || self.weir.log().matches("connection to a server lost").count();
        let before = lost();
        self.kill(0, "state = 'idle in transaction'")?;
        wait_for("weir to see it", PATIENCE, || Ok((lost() > before).then_some(())))?;
        Ok(client)
    }

    fn kept(&self) -> Result<String> {
        let sql = "SELECT coalesce(string_agg(id::text, ' ' ORDER BY id), '') FROM casualties";
        Ok(self.cluster.sql(0, sql)?.value().to_owned())
    }
}

/// The SQLSTATEs, command tags and transaction states in an answer.
fn gist(heard: &[Message]) -> Vec<String> {
    heard
        .iter()
        .filter_map(|message| match message.tag {
            b'E' => message.error().map(|error| error.sqlstate().to_owned()),
            b'C' => Some(message.text()),
            b'Z' => message.status().map(String::from),
            _ => None,
        })
        .collect()
}

fn says(client: &mut Client, sql: &str) -> Result<Vec<String>> {
    Ok(gist(&client.ask(&[front::query(sql)])?))
}

/// The line says whose connection it was, as text and as JSON.
#[test]
fn a_line_in_the_log_says_whose_it_is() -> Result<()> {
    let cluster = Cluster::with(Options::new(0))?;
    for (format, colon) in [("\"text\"", "="), ("\"json\"", ":")] {
        // No filter that shows the line hides whose it is.
        let weir = WeirSetup::in_front_of(&cluster, [0])
            .set("log", "format", format)
            .set("log", "filter", if colon == ":" { "\"info\"" } else { "\"warn\"" })
            .start(WEIR)?;
        let connect = |name: &str| -> Result<(Client, String)> {
            let login = Login::new("app", "app").database("app").parameter("application_name", name);
            let client = Client::connect(&weir.address(), &login)?;
            let Stream::Tcp(stream) = client.stream() else { panic!("no TCP") };
            let address = stream.local_addr().unwrap().to_string();
            Ok((client, address))
        };
        let (mut bystander, _) = connect("bystander")?;
        bystander.query("BEGIN; SELECT 1")?;
        let (mut client, address) = connect("it's \"me\"\n")?;
        let pid = client.query("BEGIN; SELECT pg_backend_pid() + 0")?.value().to_owned();
        cluster.sql(0, &format!("SELECT pg_terminate_backend({pid})"))?;
        client.query("SELECT 'a statement'").unwrap_err();
        let lost = "connection to a server lost";
        wait_for("the line", PATIENCE, || Ok(weir.log().contains(lost).then_some(())))?;
        let log = weir.log();
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(lost)).collect();
        let [line] = lines[..] else { panic!("{log}") };
        let quote = if colon == ":" { "\"" } else { "" };
        for (field, value) in [
            ("user", "\"app\""),
            ("database", "\"app\""),
            ("application_name", r#""it's \"me\"\n""#),
            ("address", &*format!("{quote}{address}{quote}")),
        ] {
            assert!(
                line.contains(&format!("{quote}{field}{quote}{colon}{value}")),
                "{field} {value}: {line}"
            );
        }
        assert!(!line.contains("statement'") && !line.contains("bystander"), "{line}");
    }
    Ok(())
}

#[test]
fn a_transaction_whose_server_process_dies_has_failed_until_its_end() -> Result<()> {
    let stage = Stage::new()?;
    let mut bystander = stage.weir.connect()?;
    bystander.query("INSERT INTO casualties VALUES (100)")?;

    let mut client = stage.bereaved()?;
    assert_eq!(says(&mut client, "INSERT INTO casualties VALUES (2)")?, ["57P01", "E"]);
    assert_eq!(says(&mut client, "SELECT 1")?, ["25P02", "E"]);
    assert_eq!(says(&mut client, "ROLLBACK TO SAVEPOINT before")?, ["3B001", "E"]);
    let extended = [front::parse("", "SELECT 1", &[]), front::describe_statement(""), front::sync()];
    assert_eq!(gist(&client.ask(&extended)?), ["25P02", "E"]);
    assert_eq!(says(&mut client, "ROLLBACK")?, ["ROLLBACK", "I"]);
    assert_eq!(says(&mut client, "INSERT INTO casualties VALUES (3)")?, ["INSERT 0 1", "I"]);

    // Who takes everything back need not hear of it.
    let mut client = stage.bereaved()?;
    assert_eq!(says(&mut client, "ROLLBACK")?, ["ROLLBACK", "I"]);
    assert_eq!(says(&mut client, "INSERT INTO casualties VALUES (4)")?, ["INSERT 0 1", "I"]);

    // Who commits must: hardly a driver looks at what the server says it did.
    let mut client = stage.bereaved()?;
    assert_eq!(says(&mut client, "COMMIT")?, ["57P01", "I"]);
    assert_eq!(says(&mut client, "INSERT INTO casualties VALUES (5)")?, ["INSERT 0 1", "I"]);

    // By the extended protocol, with a Flush, and with a pipeline behind it.
    let mut client = stage.bereaved()?;
    let whole = |sql: &str| [front::parse("", sql, &[]), front::bind("", "", &[]), front::execute("", 0)];
    client.send(&[front::parse("s", "SELECT 1", &[]), front::describe_statement("s"), front::flush()])?;
    assert_eq!(client.read()?.error().unwrap().sqlstate(), "57P01");
    client.send(&[&[front::sync()], &whole("SELECT 2")[..], &[front::sync()]].concat())?;
    assert_eq!(gist(&client.until_ready()?), ["E"]);
    assert_eq!(gist(&client.until_ready()?), ["25P02", "E"]);
    assert_eq!(gist(&client.ask(&[&whole("COMMIT")[..], &[front::sync()]].concat())?), ["ROLLBACK", "I"]);
    assert_eq!(says(&mut client, "INSERT INTO casualties VALUES (6)")?, ["INSERT 0 1", "I"]);

    assert_eq!(says(&mut bystander, "INSERT INTO casualties VALUES (101)")?, ["INSERT 0 1", "I"]);
    assert_eq!(stage.kept()?, "3 4 5 6 100 101");
    Ok(())
}

#[test]
fn a_statement_under_which_the_server_process_dies_is_told() -> Result<()> {
    let stage = Stage::new()?;
    // In a transaction, with more behind it.
    let mut client = stage.weir.connect()?;
    client.query("SET work_mem = '7MB'")?;
    client.query("BEGIN")?;
    client.query("SET LOCAL work_mem = '8MB'")?;
    client.query("SET TimeZone = 'Asia/Tokyo'")?;
    client.send(&[
        front::query("INSERT INTO casualties SELECT 1 FROM pg_sleep(60)"),
        front::query("SELECT 2"),
    ])?;
    stage.kill(0, "query LIKE 'INSERT%60%' AND state = 'active'")?;
    assert_eq!(gist(&client.until_ready()?), ["57P01", "E"]);
    assert_eq!(gist(&client.until_ready()?), ["25P02", "E"]);
    assert_eq!(says(&mut client, "COMMIT AND CHAIN")?, ["ROLLBACK", "T"]);
    assert_eq!(client.query("SHOW work_mem")?.value(), "7MB");
    assert_ne!(client.query("SHOW TimeZone")?.value(), "Asia/Tokyo");
    assert_eq!(says(&mut client, "INSERT INTO casualties VALUES (3)")?, ["INSERT 0 1", "T"]);
    assert_eq!(says(&mut client, "COMMIT")?, ["COMMIT", "I"]);

    // A write outside a transaction: it is never run again.
    client.send(&[front::query("INSERT INTO casualties SELECT 4 FROM pg_sleep(60)")])?;
    stage.kill(0, "query LIKE 'INSERT%60%' AND state = 'active'")?;
    assert_eq!(gist(&client.until_ready()?), ["57P01", "I"]);
    assert_eq!(says(&mut client, "INSERT INTO casualties VALUES (5)")?, ["INSERT 0 1", "I"]);

    // A commit: whatever the server said, it may have happened.
    stage.cluster.sql(
        0,
        "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(60); RETURN NULL; END';
         CREATE CONSTRAINT TRIGGER dawdles AFTER INSERT ON casualties DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW WHEN (NEW.id = 6) EXECUTE FUNCTION dawdle()",
    )?;
    client.query("BEGIN")?;
    client.query("INSERT INTO casualties VALUES (6)")?;
    client.send(&[front::query("COMMIT")])?;
    stage.kill(0, "query = 'COMMIT' AND state = 'active'")?;
    assert_eq!(gist(&client.until_ready()?), ["08007", "I"]);
    assert_eq!(says(&mut client, "INSERT INTO casualties VALUES (7)")?, ["INSERT 0 1", "I"]);

    // A read on a replica: it runs again elsewhere.
    let mark = stage.cluster.mark();
    client.send(&[front::query("SELECT 'resurrected' FROM pg_sleep(2)")])?;
    stage.kill(1, "query LIKE '%resurrected%' AND state = 'active'")?;
    let heard = client.until_ready()?;
    assert!(heard.iter().all(|message| message.error().is_none()), "{heard:?}");
    assert_eq!(stage.cluster.ran_on(&mark, "resurrected"), [0, 1]);

    assert_eq!(stage.kept()?, "3 5 7");
    let locks = "SELECT count(*) FROM pg_locks WHERE relation = 'casualties'::regclass";
    assert!(wait_until(PATIENCE, || stage.cluster.sql(0, locks).unwrap().value() == "0"));
    Ok(())
}

/// Who ends its own process wants to be gone.
#[test]
fn a_session_that_ends_its_own_process_is_over() -> Result<()> {
    let stage = Stage::new()?;
    for begin in ["BEGIN", "SELECT 1"] {
        let mut client = stage.weir.connect()?;
        client.query(begin)?;
        client.send(&[front::query("SELECT pg_terminate_backend(pg_backend_pid())")])?;
        let error = wait_for("the error", PATIENCE, || Ok(client.read()?.error()))?;
        assert_eq!((error.severity(), error.sqlstate()), ("FATAL", "57P01"));
        assert!(client.is_closed_within(PATIENCE)?);
    }
    Ok(())
}

/// The connection that replaces one does not hold what the client prepared.
#[test]
fn a_statement_that_the_connection_does_not_hold_is_deallocated_as_any_other() -> Result<()> {
    let stage = Stage::new()?;
    let mut client = stage.weir.connect()?;
    let prepares = [front::parse("s", "INSERT INTO casualties VALUES (1)", &[]), front::sync()];
    let runs = [front::bind("", "s", &[]), front::execute("", 0), front::sync()];
    client.ask(&prepares)?;
    stage.kill(0, "state = 'idle'")?;
    assert_eq!(says(&mut client, "BEGIN")?, ["BEGIN", "T"]);
    assert_eq!(says(&mut client, "SELECT 1/0")?, ["22012", "E"]);
    assert_eq!(says(&mut client, "DEALLOCATE s")?, ["25P02", "E"]);
    assert_eq!(says(&mut client, "ROLLBACK")?, ["ROLLBACK", "I"]);
    assert_eq!(gist(&client.ask(&runs)?), ["INSERT 0 1", "I"]);
    stage.kill(0, "state = 'idle'")?;
    stage.cluster.sql(0, "ALTER TABLE casualties RENAME TO survivors")?;
    assert_eq!(says(&mut client, "DEALLOCATE s")?, ["DEALLOCATE", "I"]);
    assert_eq!(gist(&client.ask(&runs)?), ["26000", "I"]);
    Ok(())
}

/// What was to stand in the place of a lost transaction is refused as well: the client's is still one that has failed,
/// and nothing runs outside of it.
#[test]
fn a_lost_transaction_ends_where_its_settings_are_refused() -> Result<()> {
    let stage = Stage::new()?;
    stage.cluster.sql(0, "CREATE ROLE clerk; GRANT clerk TO app; GRANT ALL ON casualties TO clerk")?;
    stage.cluster.wait_caught_up()?;
    let mut client = stage.weir.connect()?;
    client.query("SET ROLE clerk")?;
    client.query("BEGIN")?;
    client.query("INSERT INTO casualties VALUES (1)")?;
    stage.kill(0, "state = 'idle in transaction'")?;
    stage.cluster.sql(0, "REVOKE clerk FROM app")?;
    assert_eq!(says(&mut client, "INSERT INTO casualties VALUES (2)")?, ["57P01", "E"]);
    assert_eq!(says(&mut client, "INSERT INTO casualties VALUES (3)")?, ["25P02", "E"]);
    assert_eq!(says(&mut client, "ROLLBACK")?, ["ROLLBACK", "I"]);
    assert_eq!(says(&mut client, "INSERT INTO casualties VALUES (4)")?, ["42501", "I"]);
    assert_eq!(stage.kept()?, "");
    Ok(())
}

/// What a client is told of its settings.
fn told(heard: &[Message]) -> Vec<String> {
    let settings = heard.iter().filter(|message| message.tag == b'S');
    settings.map(|message| String::from_utf8_lossy(&message.body).replace('\0', " ")).collect()
}

/// A driver goes by what it was told of its settings, also when the transaction that changed them is lost.
#[test]
fn the_end_of_a_lost_transaction_tells_which_settings_return() -> Result<()> {
    let stage = Stage::new()?;
    let mut client = stage.weir.connect()?;
    client.query("SET TimeZone = 'Europe/Rome'")?;
    client.query("BEGIN; SELECT 1")?;
    client.query("SET TimeZone = 'Asia/Tokyo'")?;
    client.query("SET LOCAL DateStyle = 'German'")?;
    stage.kill(0, "state = 'idle in transaction'")?;
    let failed = client.ask(&[front::query("SELECT 1")])?;
    assert_eq!((gist(&failed), told(&failed)), (vec!["57P01".to_owned(), "E".to_owned()], Vec::new()));
    let mut ended = told(&client.ask(&[front::query("ROLLBACK")])?);
    ended.sort();
    assert_eq!(ended, ["DateStyle ISO, MDY ", "TimeZone Europe/Rome "]);
    assert_eq!(client.query("SHOW TimeZone")?.value(), "Europe/Rome");
    Ok(())
}

/// A transaction that has only read is bound to no server process: what it has set is set again where it goes on, and its
/// end tells which settings return.
#[test]
fn a_transaction_that_has_only_read_outlives_its_replicas_process() -> Result<()> {
    let stage = Stage::new()?;
    let (rome, tokyo) = ("TimeZone Europe/Rome ", "TimeZone Asia/Tokyo ");
    let iso = "DateStyle ISO, MDY ";
    for (next, answer, end, returns) in [
        ("SELECT 1", ["SELECT 1", "T"], "ROLLBACK", vec![iso, rome]),
        ("SHOW TimeZone", ["SHOW", "T"], "COMMIT", vec![iso]),
        ("INSERT INTO casualties VALUES (1)", ["INSERT 0 1", "T"], "COMMIT", vec![iso]),
        ("ROLLBACK", ["ROLLBACK", "I"], "", vec![iso, rome]),
        ("COMMIT", ["COMMIT", "I"], "", vec![iso]),
        // PostgreSQL tells when it fails.
        ("SELECT 1/0", ["22012", "E"], "ROLLBACK", vec![iso, rome]),
    ] {
        let mut client = stage.weir.connect()?;
        client.query("SET TimeZone = 'Europe/Rome'")?;
        client.query("BEGIN")?;
        client.query("SET TimeZone = 'Asia/Tokyo'")?;
        client.query("SET LOCAL DateStyle = 'German'")?;
        client.query("SELECT 2")?;
        stage.kill(1, "state = 'idle in transaction'")?;
        let mut heard = client.ask(&[front::query(next)])?;
        assert_eq!(gist(&heard), answer);
        if answer[1] == "T" {
            assert_eq!(told(&heard), [] as [String; 0], "{next}");
            assert_eq!(client.query("SHOW TimeZone")?.value(), "Asia/Tokyo", "{next}");
        }
        heard.extend(client.ask(&[front::query(end)])?);
        let mut told = told(&heard);
        told.sort();
        assert_eq!(told, returns, "{next}, {end}");
        let zone = if returns.contains(&rome) { rome } else { tokyo };
        assert_eq!(format!("TimeZone {} ", client.query("SHOW TimeZone")?.value()), zone, "{next}, {end}");
    }
    assert_eq!(stage.kept()?, "1");
    Ok(())
}

#[test]
fn state_that_went_with_its_server_process_ends_the_session() -> Result<()> {
    let stage = Stage::new()?;
    let mut client = stage.weir.connect()?;
    client.query("CREATE TEMP TABLE mine (id int)")?;
    stage.kill(0, "query LIKE 'CREATE TEMP%' AND state = 'idle'")?;
    assert_eq!(client.read()?.error().unwrap().sqlstate(), "57P01");
    assert!(client.is_closed_within(PATIENCE)?);
    Ok(())
}

/// What a client set is valid no longer: nothing runs without it, and nobody else hears of it.
#[test]
fn settings_that_a_server_refuses_are_their_clients_affair() -> Result<()> {
    let stage = Stage::new()?;
    stage.cluster.sql(0, "CREATE ROLE clerk; GRANT clerk TO app; CREATE SCHEMA clerks")?;
    stage.cluster.wait_caught_up()?;
    let mut client = stage.weir.connect()?;
    let mut other = stage.weir.connect()?;
    client.query("SET ROLE clerk")?;
    other.query("SET application_name = 'other'")?;
    stage.cluster.sql(0, "REVOKE clerk FROM app")?;
    stage.cluster.wait_caught_up()?;
    for _ in 0..3 {
        // The connection that carried it goes to somebody else first.
        other.query("INSERT INTO casualties VALUES (1)")?;
        other.query("SELECT 1")?;
        assert_eq!(says(&mut client, "INSERT INTO casualties VALUES (2)")?, ["42501", "I"]);
        assert_eq!(says(&mut client, "SELECT 1")?, ["42501", "I"]);
        let begins = [front::query("BEGIN"), front::query("INSERT INTO casualties VALUES (2)")];
        client.send(&begins)?;
        // weir answers BEGIN itself, which cannot fail: the transaction does, where a server is to know of it.
        assert_eq!(gist(&client.until_ready()?), ["BEGIN", "T"]);
        assert_eq!(gist(&client.until_ready()?), ["42501", "E"]);
        assert_eq!(says(&mut client, "ROLLBACK")?, ["ROLLBACK", "I"]);
        // One that begins in a string has never been.
        assert_eq!(says(&mut client, "BEGIN; INSERT INTO casualties VALUES (2)")?, ["42501", "I"]);
    }
    stage.cluster.sql(0, "GRANT clerk TO app")?;
    stage.cluster.wait_caught_up()?;
    assert_eq!(client.query("SELECT current_user")?.value(), "clerk");
    assert_eq!(other.query("SELECT current_user")?.value(), "app");
    assert_eq!(stage.kept()?, "1 1 1");
    Ok(())
}

/// With one server as with several: what was sent and never answered may have been committed.
#[test]
fn a_write_whose_server_process_is_gone_without_a_word_may_have_been_committed() -> Result<()> {
    for replicas in [0, 1] {
        let cluster = Cluster::with(Options::new(replicas))?;
        cluster.sql(0, "CREATE TABLE casualties (id int); GRANT ALL ON casualties TO app")?;
        cluster.wait_caught_up()?;
        let weir = WeirSetup::in_front_of(&cluster, 0..replicas + 1).start(WEIR)?;
        let mut client = weir.connect()?;
        client.set_patience(PATIENCE);
        client.send(&[front::query("INSERT INTO casualties SELECT 1 FROM pg_sleep(60)")])?;
        let running = "SELECT coalesce(min(pid)::text, '') FROM pg_stat_activity
            WHERE usename = 'app' AND state = 'active' AND query LIKE '%pg_sleep(60)'";
        let pid = wait_for("the statement to run", PATIENCE, || {
            let pid = cluster.sql(0, running)?.value().to_owned();
            Ok((!pid.is_empty()).then_some(pid))
        })?;
        // It tells nobody why, and the server starts anew.
        send_signal(pid.parse().unwrap(), Signal::KILL)?;
        assert_eq!(gist(&client.until_ready()?), ["08007", "I"], "{replicas} replicas");
    }
    Ok(())
}

/// What waits behind a request under which the server process dies belongs to the same transaction, or to the same batch.
#[test]
fn what_waits_behind_a_loss_does_not_run_outside_of_what_was_lost() -> Result<()> {
    let stage = Stage::new()?;
    let whole = |name: &str, sql: &str| {
        [front::parse(name, sql, &[]), front::bind("", name, &[]), front::execute("", 0)].concat()
    };
    let sleeps = "INSERT INTO casualties SELECT 1 FROM pg_sleep(60)";
    let victim = "query LIKE 'INSERT%60%' AND state = 'active'";
    let insert = "INSERT INTO casualties VALUES (2)";
    let begins = "BEGIN; INSERT INTO casualties VALUES (0)";

    // It waits because its name is one that the batch in front of it defines.
    let mut client = stage.weir.connect()?;
    client.query(begins)?;
    client.send(&[front::parse("s", insert, &[]), whole("", sleeps), front::sync()])?;
    client.send(&[front::bind("", "s", &[]), front::execute("", 0), front::sync()])?;
    stage.kill(0, victim)?;
    assert_eq!(gist(&client.until_ready()?), ["57P01", "E"]);
    assert_eq!(gist(&client.until_ready()?), ["25P02", "E"]);
    assert_eq!(says(&mut client, "ROLLBACK")?, ["ROLLBACK", "I"]);

    // It waits because it ends a batch whose answer is not known.
    for (before, after) in [("SELECT 1", "I"), (begins, "E")] {
        let mut client = stage.weir.connect()?;
        client.query(before)?;
        client.send(&[whole("", sleeps), front::flush()])?;
        wait_for("the statement to run", PATIENCE, || {
            let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE {victim}");
            Ok((stage.cluster.sql(0, &sql)?.value() == "1").then_some(()))
        })?;
        client.send(&[front::query(insert), front::sync()])?;
        stage.kill(0, victim)?;
        assert_eq!(gist(&client.until_ready()?), ["57P01", after], "{before}");
        client.query("ROLLBACK")?;
    }
    assert_eq!(stage.kept()?, "");
    Ok(())
}

/// A replica has not heard of a role yet: the primary answers.
#[test]
fn settings_that_a_replica_refuses_send_the_request_to_the_primary() -> Result<()> {
    let stage = Stage::new()?;
    stage.cluster.pause_replay(1)?;
    stage.cluster.sql(0, "CREATE ROLE newcomer; GRANT newcomer TO app")?;
    let mut client = stage.weir.connect()?;
    client.query("SET ROLE newcomer")?;
    let mark = stage.cluster.mark();
    assert_eq!(client.query("SELECT current_user || '!'")?.value(), "newcomer!");
    assert_eq!(stage.cluster.ran_on(&mark, "'!'"), [0]);
    stage.cluster.resume_replay(1)?;
    stage.cluster.wait_caught_up()?;
    wait_for("the replica to read", PATIENCE, || {
        let mark = stage.cluster.mark();
        assert_eq!(client.query("SELECT current_user || '!'")?.value(), "newcomer!");
        Ok((stage.cluster.ran_on(&mark, "'!'") == [1]).then_some(()))
    })
}

/// In front of a primary and one replica, whose transactions begin when they need a connection.
fn lazy(cluster: &Cluster) -> WeirSetup {
    WeirSetup::in_front_of(cluster, 0..2).set("routing", "transactions", "\"lazy\"")
}

/// A replica's process that is killed is not missed by a transaction that has only read.
#[test]
fn a_transaction_that_has_only_read_outlives_its_replica() -> Result<()> {
    let mut stage = Stage::new()?;
    stage.weir = lazy(&stage.cluster).at_any_age().start(WEIR)?;
    let mut client = stage.weir.connect()?;
    for begin in ["BEGIN", "BEGIN READ ONLY"] {
        assert_eq!(says(&mut client, begin)?, ["BEGIN", "T"]);
        // Between two reads.
        assert_eq!(says(&mut client, "SELECT 'before the loss'")?, ["SELECT 1", "T"]);
        stage.kill(1, "state = 'idle' AND query LIKE 'SELECT ''before the loss''%'")?;
        assert_eq!(says(&mut client, "SELECT 1")?, ["SELECT 1", "T"], "{begin}");
        // During one, which runs again on the primary.
        client.send(&[front::query("SELECT 'interrupted' FROM pg_sleep(2)")])?;
        stage.kill(1, "state = 'active' AND query LIKE 'SELECT ''interrupted''%'")?;
        assert_eq!(gist(&client.until_ready()?), ["SELECT 1", "T"], "{begin}");
        // On a connection of the transaction's own.
        let noon = "SELECT timestamptz '2020-01-01 12:00+00'";
        assert_eq!(client.query("SET LOCAL TimeZone = 'Asia/Tokyo'")?.tag, "SET");
        stage.kill(1, "state = 'idle in transaction'")?;
        assert_eq!(client.query(noon)?.value(), "2020-01-01 21:00:00+09", "{begin}");
        client.send(&[front::query("SELECT 'interrupted', pg_sleep(2)")])?;
        stage.kill(1, "state = 'active' AND query LIKE 'SELECT ''interrupted''%'")?;
        assert_eq!(gist(&client.until_ready()?), ["SELECT 1", "T"], "{begin}");
        assert_eq!(client.query(noon)?.value(), "2020-01-01 21:00:00+09", "{begin}");
        assert_eq!(says(&mut client, "COMMIT")?, ["COMMIT", "I"], "{begin}");
    }
    Ok(())
}

/// A replica that falls behind while a transaction reads is left for a server that has not.
#[test]
fn a_transaction_that_has_only_read_does_not_read_stale() -> Result<()> {
    let mut stage = Stage::new()?;
    stage.weir = lazy(&stage.cluster).set("routing", "freshness_wait", "\"500ms\"").start(WEIR)?;
    let (mut client, mut writer) = (stage.weir.connect()?, stage.weir.connect()?);
    let mut written = 0;
    for begin in ["BEGIN", "BEGIN READ ONLY"] {
        for set in ["SAVEPOINT a", "SET LOCAL work_mem = '1234kB'"] {
            let count = |client: &mut Client| -> Result<(String, bool)> {
                let count = client.query("SELECT count(*) FROM casualties")?.value().to_owned();
                Ok((count, client.query("SHOW weir.route")?.value().contains("(replica,")))
            };
            wait_for("the replica to serve", PATIENCE, || Ok(count(&mut client)?.1.then_some(())))?;
            client.query(begin)?;
            client.query(set)?;
            assert_eq!(count(&mut client)?.0, written.to_string(), "{begin}; {set}");
            stage.cluster.pause_replay(1)?;
            writer.query("INSERT INTO casualties VALUES (1)")?;
            written += 1;
            let seen = (written.to_string(), false);
            assert_eq!(count(&mut client)?, seen, "{begin}; {set}");
            assert_eq!(count(&mut client)?, seen, "{begin}; {set}");
            stage.cluster.resume_replay(1)?;
            assert_eq!(says(&mut client, "COMMIT")?, ["COMMIT", "I"], "{begin}; {set}");
        }
    }
    Ok(())
}

/// A replica that cancels a read in favour of its replay is not seen either: the read runs again on the primary.
#[test]
fn a_transaction_that_has_only_read_outlives_a_recovery_conflict() -> Result<()> {
    let options = Options::new(1)
        .setting("hot_standby_feedback", "off")
        .setting("autovacuum", "off")
        .setting("max_standby_streaming_delay", "0");
    let cluster = Cluster::with(options)?;
    cluster.sql(0, "CREATE TABLE casualties (id int); GRANT ALL ON casualties TO app")?;
    cluster.wait_caught_up()?;
    let weir = lazy(&cluster).at_any_age().start(WEIR)?;
    let mut client = weir.connect()?;
    for (n, begin) in ["BEGIN", "BEGIN READ ONLY"].into_iter().enumerate() {
        for set in ["SAVEPOINT a", "SET LOCAL work_mem = '1234kB'"] {
            assert_eq!(says(&mut client, begin)?, ["BEGIN", "T"]);
            client.query(set)?;
            client.send(&[front::query("SELECT 'conflicting', count(*), pg_sleep(2) FROM casualties")])?;
            let active = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' \
                AND query LIKE 'SELECT ''conflicting''%'";
            wait_for("the read to run", PATIENCE, || {
                Ok((cluster.sql(1, active)?.value() == "1").then_some(()))
            })?;
            // The lock of the primary is replayed, whoever reads the table there.
            cluster.sql(0, "BEGIN; LOCK TABLE casualties IN ACCESS EXCLUSIVE MODE; COMMIT")?;
            assert_eq!(gist(&client.until_ready()?), ["SELECT 1", "T"], "{n}: {begin}; {set}");
            assert_eq!(says(&mut client, "COMMIT")?, ["COMMIT", "I"], "{begin}; {set}");
        }
    }
    let reruns = weir.metrics()?.sum("weir_reruns_total", &[("cause", "40001")]);
    assert!(reruns > 0.0, "no read was in the way");
    Ok(())
}
