//! Connections to the primary that are lost under clients who need not hear of it: nothing was changed, or nothing of what
//! was changed can be committed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use harness::client::{Client, Message, front};
use harness::{Cluster, Failure, Options, Result, Signal, Stop, Weir, WeirSetup, send_signal, wait_for};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a transaction does that begins on the primary.
const AT_ONCE: &str = "\"primary\"";

/// What one does of which weir tells no server before it must.
const LAZY: &str = "\"lazy\"";

/// A primary with a table and no replica: everything runs there.
fn alone(transactions: &str) -> Result<(Cluster, Weir)> {
    pooled("\"transaction\"", transactions)
}

/// The same, with connections lent this way.
fn pooled(mode: &str, transactions: &str) -> Result<(Cluster, Weir)> {
    let cluster = Cluster::with(Options::new(0))?;
    cluster.sql(
        0,
        "CREATE TABLE kept (id int); GRANT ALL ON kept TO app;
         CREATE FUNCTION notes(n int) RETURNS int LANGUAGE sql AS 'INSERT INTO kept VALUES (n) RETURNING id';
         CREATE VIEW noting AS SELECT notes(9) AS id FROM pg_sleep(60); GRANT ALL ON noting TO app",
    )?;
    let weir = WeirSetup::in_front_of(&cluster, 0..1)
        .probing_quickly()
        .set("routing", "transactions", transactions)
        .set("pool", "mode", mode)
        .start(WEIR)?;
    Ok((cluster, weir))
}

/// Ends the server process that runs or ran this last, once it is `state`.
fn terminate(cluster: &Cluster, said: &str, state: &str) -> Result<()> {
    terminate_on(cluster, 0, said, state)
}

fn terminate_on(cluster: &Cluster, server: usize, said: &str, state: &str) -> Result<()> {
    let of_it = format!(
        "FROM pg_stat_activity WHERE query LIKE '%{said}%' AND state = '{state}' AND pid <> pg_backend_pid()"
    );
    wait_for(&format!("{said:?} to be {state}"), PATIENCE, || {
        Ok((cluster.sql(server, &format!("SELECT count(*) {of_it}"))?.value() == "1").then_some(()))
    })?;
    cluster.sql(server, &format!("SELECT pg_terminate_backend(pid, 10000) {of_it}")).map(drop)
}

/// The answer to what is in flight: its rows, its tag, and the transaction status.
fn answered(client: &mut Client) -> Result<(Vec<String>, String, char)> {
    let heard = client.until_ready()?;
    assert!(heard.iter().all(|message| message.error().is_none()), "{heard:?}");
    let rows =
        heard.iter().filter(|message| message.tag == b'D').flat_map(Message::text_row).flatten().collect();
    let tag = heard.iter().find(|message| message.tag == b'C').map(Message::text).unwrap_or_default();
    Ok((rows, tag, heard.last().unwrap().status().unwrap()))
}

/// The error that is the answer to what is in flight, and the transaction status.
fn refused(client: &mut Client) -> Result<(String, char)> {
    let heard = client.until_ready()?;
    let error = heard.iter().find_map(Message::error).unwrap_or_else(|| panic!("no error: {heard:?}"));
    Ok((error.sqlstate().to_owned(), heard.last().unwrap().status().unwrap()))
}

fn says(client: &mut Client, sql: &str) -> Result<()> {
    client.query(sql).map(drop)
}

/// What is sent is one request, as both protocols have it.
fn both(sql: &str) -> [Vec<Vec<u8>>; 2] {
    let extended = vec![
        front::parse("", sql, &[]),
        front::bind("", "", &[]),
        front::describe_portal(""),
        front::execute("", 0),
        front::sync(),
    ];
    [vec![front::query(sql)], extended]
}

#[test]
fn a_read_that_is_lost_with_the_primary_runs_again() -> Result<()> {
    let (cluster, weir) = alone(LAZY)?;
    let mut client = weir.connect()?;
    for request in both("SELECT 'once' FROM pg_sleep(2)") {
        client.send(&request)?;
        terminate(&cluster, "once", "active")?;
        assert_eq!(answered(&mut client)?.0, ["once"]);
    }
    assert_eq!(weir.metrics()?.sum("weir_errors_total", &[]), 0.0);
    // A view that writes is no read, whatever the text says.
    client.send(&[front::query("SELECT * FROM noting")])?;
    terminate(&cluster, "FROM noting", "active")?;
    assert_eq!(refused(&mut client)?, ("57P01".to_owned(), 'I'));
    Ok(())
}

#[test]
fn a_transaction_that_has_done_nothing_is_begun_again() -> Result<()> {
    let (cluster, weir) = alone(LAZY)?;
    let mut client = weir.connect()?;
    for (n, request) in both("INSERT INTO kept VALUES (1)").into_iter().enumerate() {
        let mut admin = cluster.admin(0)?;
        says(&mut client, "BEGIN")?;
        if n == 1 {
            says(&mut client, "SELECT 'looks first'")?;
            says(&mut client, "SAVEPOINT a")?;
        }
        says(&mut admin, "BEGIN; LOCK TABLE kept")?;
        client.send(&request)?;
        terminate(&cluster, "INSERT INTO kept", "active")?;
        says(&mut admin, "COMMIT")?;
        let (_, tag, status) = answered(&mut client)?;
        assert_eq!((tag.trim_end_matches('\0'), status), ("INSERT 0 1", 'T'));
        if n == 1 {
            says(&mut client, "RELEASE a")?;
        }
        assert_eq!(client.query("COMMIT")?.tag, "COMMIT");
    }
    assert_eq!(cluster.sql(0, "SELECT count(*) FROM kept")?.value(), "2", "each of them once");
    assert_eq!(weir.metrics()?.sum("weir_errors_total", &[]), 0.0);
    Ok(())
}

#[test]
fn a_transaction_that_has_written_is_lost() -> Result<()> {
    let (cluster, weir) = alone(AT_ONCE)?;
    let mut client = weir.connect()?;
    for first in
        ["INSERT INTO kept VALUES (1)", "SELECT notes(1)", "DECLARE c CURSOR FOR SELECT 1", "LOCK TABLE kept"]
    {
        says(&mut client, "BEGIN")?;
        says(&mut client, first)?;
        client.send(&[front::query("SELECT 'then' FROM pg_sleep(60)")])?;
        terminate(&cluster, "then", "active")?;
        assert_eq!(refused(&mut client)?, ("57P01".to_owned(), 'E'), "{first}");
        assert_eq!(client.query("ROLLBACK")?.tag, "ROLLBACK");
    }
    assert_eq!(cluster.sql(0, "SELECT count(*) FROM kept")?.value(), "0");
    Ok(())
}

/// Between two of its requests, too.
#[test]
fn a_transaction_that_has_only_read_on_the_primary_is_not_missed() -> Result<()> {
    let (cluster, weir) = alone(AT_ONCE)?;
    let mut client = weir.connect()?;
    says(&mut client, "BEGIN")?;
    says(&mut client, "SELECT 'looks first'")?;
    terminate(&cluster, "looks first", "idle in transaction")?;
    assert_eq!(client.query("SELECT 'and again'")?.value(), "and again");
    terminate(&cluster, "and again", "idle in transaction")?;
    says(&mut client, "INSERT INTO kept VALUES (1)")?;
    assert_eq!(client.query("COMMIT")?.tag, "COMMIT");
    says(&mut client, "BEGIN")?;
    says(&mut client, "SELECT 'the last'")?;
    terminate(&cluster, "the last", "idle in transaction")?;
    assert_eq!(client.query("COMMIT")?.tag, "COMMIT");
    // One that keeps its snapshot has seen what no other shows.
    says(&mut client, "BEGIN ISOLATION LEVEL REPEATABLE READ")?;
    says(&mut client, "SELECT 'has a snapshot'")?;
    terminate(&cluster, "has a snapshot", "idle in transaction")?;
    assert_eq!(client.query("SELECT 1").unwrap_err().sqlstate(), Some("57P01"));
    assert_eq!(client.query("COMMIT")?.tag, "ROLLBACK");
    Ok(())
}

/// Its outcome is not in doubt: there is nothing that it could have committed.
#[test]
fn a_commit_that_has_only_read_succeeds() -> Result<()> {
    let (cluster, weir) = alone(AT_ONCE)?;
    let (mut reading, mut writing) = (weir.connect()?, weir.connect()?);
    for client in [&mut reading, &mut writing] {
        says(client, "BEGIN")?;
        says(client, "SELECT 'looks first'")?;
    }
    says(&mut writing, "INSERT INTO kept VALUES (1)")?;
    cluster.freeze(0)?;
    let outcome = (|| {
        reading.send(&[front::query("COMMIT")])?;
        writing.send(&[front::query("COMMIT")])?;
        let (_, tag, status) = answered(&mut reading)?;
        assert_eq!((tag.trim_end_matches('\0'), status), ("COMMIT", 'I'));
        assert_eq!(refused(&mut writing)?, ("08007".to_owned(), 'I'));
        Ok(())
    })();
    cluster.thaw(0)?;
    outcome
}

/// What a client must hear before it goes on is not held back.
#[test]
fn a_copy_that_is_first_in_its_transaction_is_asked_for() -> Result<()> {
    let (cluster, weir) = alone(LAZY)?;
    let mut client = weir.connect()?;
    says(&mut client, "BEGIN")?;
    client.send(&[front::query("COPY kept FROM STDIN")])?;
    assert_eq!(client.read()?.tag, b'G');
    client.send(&[front::copy_data("1\n"), front::copy_done()])?;
    assert_eq!(answered(&mut client)?.2, 'T');
    assert_eq!(client.query("COMMIT")?.tag, "COMMIT");
    assert_eq!(cluster.sql(0, "SELECT count(*) FROM kept")?.value(), "1");
    Ok(())
}

/// A rollback that is lost has happened.
#[test]
fn a_rollback_needs_no_connection() -> Result<()> {
    let (cluster, weir) = alone(LAZY)?;
    let mut client = weir.connect()?;
    let writes = "INSERT INTO kept VALUES (1)";
    for (end, tag) in [("ROLLBACK", "ROLLBACK"), ("COMMIT", "ROLLBACK"), ("ROLLBACK AND CHAIN", "ROLLBACK")] {
        says(&mut client, "BEGIN")?;
        says(&mut client, writes)?;
        if end == "COMMIT" {
            assert_eq!(client.query("SELECT 1/0").unwrap_err().sqlstate(), Some("22012"));
        }
        cluster.freeze(0)?;
        let outcome = (|| {
            client.send(&[front::query(end)])?;
            let (_, told, status) = answered(&mut client)?;
            let open = if end.ends_with("CHAIN") { 'T' } else { 'I' };
            assert_eq!((told.trim_end_matches('\0'), status), (tag, open), "{end}");
            Ok::<_, Failure>(())
        })();
        cluster.thaw(0)?;
        outcome?;
    }
    assert_eq!(client.query("COMMIT")?.tag, "COMMIT");
    assert_eq!(cluster.sql(0, "SELECT count(*) FROM kept")?.value(), "0");
    Ok(())
}

/// As drivers do that put BEGIN in front of the first statement's batch.
#[test]
fn a_batch_that_begins_a_transaction_is_sent_again() -> Result<()> {
    let (cluster, weir) = alone(LAZY)?;
    let (mut admin, mut client) = (cluster.admin(0)?, weir.connect()?);
    says(&mut admin, "BEGIN; LOCK TABLE kept")?;
    client.send(&[
        front::parse("", "BEGIN", &[]),
        front::bind("", "", &[]),
        front::execute("", 0),
        front::parse("", "INSERT INTO kept VALUES (1)", &[]),
        front::bind("", "", &[]),
        front::execute("", 0),
        front::sync(),
    ])?;
    terminate(&cluster, "INSERT INTO kept", "active")?;
    says(&mut admin, "COMMIT")?;
    assert_eq!(answered(&mut client)?.2, 'T');
    assert_eq!(client.query("COMMIT")?.tag, "COMMIT");
    assert_eq!(cluster.sql(0, "SELECT count(*) FROM kept")?.value(), "1");
    Ok(())
}

/// What a driver says when a transaction has failed is answered whether there is a primary or not.
#[test]
fn the_end_of_a_lost_transaction_waits_for_no_primary() -> Result<()> {
    let cluster = Cluster::with(Options::new(1))?;
    cluster.sql(0, "CREATE TABLE kept (id int); GRANT ALL ON kept TO app")?;
    cluster.wait_caught_up()?;
    let weir = WeirSetup::in_front_of(&cluster, 0..2)
        .probing_quickly()
        .at_any_age()
        .set("pool", "primary_wait", "\"1h\"")
        .start(WEIR)?;
    let (mut within, mut outside) = (weir.connect()?, weir.connect()?);
    says(&mut within, "BEGIN")?;
    says(&mut within, "INSERT INTO kept VALUES (1)")?;
    cluster.stop(0, Stop::Immediate)?;
    weir.wait_up("primary", 0.0)?;
    within.send(&[front::query("INSERT INTO kept VALUES (2)")])?;
    assert_eq!(refused(&mut within)?.1, 'E');
    assert_eq!(within.query("SELECT 1").unwrap_err().sqlstate(), Some("25P02"));
    assert_eq!(within.query("ROLLBACK")?.tag, "ROLLBACK");
    let heard = outside.ask(&[front::query("ROLLBACK")])?;
    assert_eq!(heard[0].notice().unwrap().sqlstate(), "25P01", "{heard:?}");
    assert_eq!(heard.last().unwrap().status(), Some('I'));
    Ok(())
}

/// A transaction that keeps its snapshot and has read cannot go on elsewhere. It has nothing to commit, so that it can end.
#[test]
fn a_lost_snapshot_fails_the_next_read_and_no_commit() -> Result<()> {
    let cluster = Cluster::with(Options::new(1))?;
    cluster.sql(0, "CREATE TABLE kept (id int); GRANT ALL ON kept TO app")?;
    cluster.wait_caught_up()?;
    let weir = WeirSetup::in_front_of(&cluster, 0..2).probing_quickly().at_any_age().start(WEIR)?;
    let mut client = weir.connect()?;
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    let lost = |client: &mut Client, said: &str| {
        says(client, begin)?;
        says(client, &format!("SELECT '{said}' FROM kept"))?;
        terminate_on(&cluster, 1, said, "idle in transaction")
    };
    for end in ["COMMIT", "ROLLBACK"] {
        lost(&mut client, end)?;
        says(&mut client, "SAVEPOINT a")?;
        says(&mut client, "RELEASE a")?;
        let heard = client.ask(&[front::query(end)])?;
        assert_eq!(heard[0].text().trim_end_matches('\0'), end, "{heard:?}");
        assert_eq!(heard.last().unwrap().status(), Some('I'));
    }
    // While it runs.
    says(&mut client, begin)?;
    says(&mut client, "SELECT 'commits' FROM kept")?;
    cluster.freeze(1)?;
    client.send(&[front::query("COMMIT")])?;
    let outcome = answered(&mut client);
    cluster.thaw(1)?;
    assert_eq!(outcome?.1.trim_end_matches('\0'), "COMMIT");
    wait_for("the replica to be read from", PATIENCE, || {
        says(&mut client, "SELECT 'where' FROM kept")?;
        let asked = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%''where'' FROM%' AND pid <> pg_backend_pid()";
        Ok((cluster.sql(1, asked)?.value() == "1").then_some(()))
    })?;
    lost(&mut client, "reads on")?;
    says(&mut client, "SAVEPOINT a")?;
    client.send(&[front::query("SELECT count(*) FROM kept")])?;
    assert_eq!(refused(&mut client)?, ("57P01".to_owned(), 'E'));
    // No other snapshot takes its place.
    assert!(client.query("ROLLBACK TO a").is_err());
    assert_eq!(client.query("SELECT 1").unwrap_err().sqlstate(), Some("25P02"));
    assert_eq!(client.query("COMMIT")?.tag, "ROLLBACK");
    Ok(())
}

/// A server process that crashes takes the others along, each with a warning and no error. What they had of an answer goes
/// out with that.
#[test]
fn a_read_outlives_a_crash() -> Result<()> {
    let (cluster, weir) = alone(LAZY)?;
    let (mut reading, mut crashing) = (weir.connect()?, weir.connect()?);
    reading.send(&[front::query("SELECT 'once' FROM pg_sleep(2)")])?;
    crashing.send(&[front::query("SELECT 'crashes' FROM pg_sleep(60)")])?;
    let pid = wait_for("both to run", PATIENCE, || {
        let both = cluster.sql(
            0,
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%FROM pg_sleep%' \
                                   AND state = 'active' AND pid <> pg_backend_pid()",
        )?;
        let pid =
            cluster.sql(0, "SELECT min(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT ''crashes''%'")?;
        Ok((both.value() == "2").then(|| pid.value().to_owned()))
    })?;
    send_signal(pid.parse().unwrap(), Signal::KILL)?;
    assert_eq!(answered(&mut reading)?.0, ["once"]);
    Ok(())
}

/// A session that keeps its connection misses it only if code has run there, which may have left anything.
#[test]
fn a_session_that_keeps_its_connection_does_not_miss_it() -> Result<()> {
    let (cluster, weir) = pooled("\"session\"", LAZY)?;
    let (mut admin, mut client) = (cluster.admin(0)?, weir.connect()?);
    says(&mut client, "INSERT INTO kept VALUES (1)")?;
    says(&mut client, "BEGIN")?;
    says(&mut admin, "BEGIN; LOCK TABLE kept")?;
    client.send(&[front::query("INSERT INTO kept VALUES (2)")])?;
    terminate(&cluster, "VALUES (2)", "active")?;
    says(&mut admin, "COMMIT")?;
    assert_eq!(answered(&mut client)?.2, 'T');
    assert_eq!(client.query("COMMIT")?.tag, "COMMIT");
    assert_eq!(cluster.sql(0, "SELECT count(*) FROM kept")?.value(), "2");
    says(&mut client, "SELECT notes(3)")?;
    client.send(&[front::query("SELECT 'once' FROM pg_sleep(60)")])?;
    terminate(&cluster, "once", "active")?;
    assert!(client.is_closed_within(PATIENCE)?);
    Ok(())
}
