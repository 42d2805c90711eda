//! A statement of a transaction waits for its replica: a cancel request ends that, and so does the client by leaving.

use std::time::{Duration, Instant};

use harness::client::{Client, Message, front};
use harness::{Options, Result, wait_for};

use crate::stage::{Look, PATIENCE, REPLICA, Stage};

const READ: &str = "SELECT v FROM t /* held back */";

/// Half of what a statement would wait. A machine that has no time takes longer: then once more.
const SOON: Duration = Duration::from_millis(500);

/// One connection to the replica, which is waited for as long as can be.
fn stage() -> Result<Stage> {
    Stage::with(Options::new(1), "CREATE TABLE t AS SELECT 0 AS v", |setup| {
        setup.set("routing", "freshness_wait", "\"1s\"").set("pool", "size", "1")
    })
}

/// In a transaction on the replica, which somebody's write has not reached since it began.
fn overtaken(stage: &Stage, begin: &[&str]) -> Result<Client> {
    stage.catch_up()?;
    stage.wait_served_by_replica(&mut stage.client("global")?, READ)?;
    let mut client = stage.client("global")?;
    begin.iter().try_for_each(|sql| client.query(sql).map(drop))?;
    assert_eq!(stage.look(&mut client, READ)?.on, [REPLICA]);
    stage.cluster.pause_replay(REPLICA)?;
    stage.client("session")?.query("UPDATE t SET v = v + 1")?;
    Ok(client)
}

/// Sends what will be held back, and waits until weir has it.
fn held(stage: &Stage, client: &mut Client, frames: &[Vec<u8>]) -> Result<()> {
    let from_client = || -> Result<f64> {
        Ok(stage.weir.metrics()?.sum("weir_bytes_total", &[("direction", "from_client")]))
    };
    let before = from_client()?;
    client.send(frames)?;
    wait_for("the statement to arrive", PATIENCE, || Ok((from_client()? > before).then_some(())))?;
    assert!(client.read_within(Duration::from_millis(100))?.is_none(), "the premise: it waits");
    Ok(())
}

/// The errors, command tags and transaction states in an answer.
fn gist(heard: &[Message]) -> Vec<String> {
    heard
        .iter()
        .filter_map(|message| match message.tag {
            b'E' => message.error().map(|error| format!("{} {}", error.sqlstate(), error.message())),
            b'C' => Some(message.text()),
            b'Z' => message.status().map(String::from),
            _ => None,
        })
        .collect()
}

const CANCELED: &str = "57014 canceling statement due to user request";
const ABORTED: &str = "25P02 current transaction is aborted, commands ignored until end of transaction block";

/// Cancels what these messages ask for while it waits, and goes on. None when it did not wait any more.
fn cancels(stage: &Stage, what: &str, frames: &[Vec<u8>]) -> Result<Option<()>> {
    let mut client = overtaken(stage, &["BEGIN READ ONLY", "SAVEPOINT a"])?;
    client.ask(&[front::parse("p", READ, &[]), front::sync()])?;
    let mark = stage.cluster.mark();
    let begun = Instant::now();
    held(stage, &mut client, frames)?;
    client.cancel()?;
    let first = gist(&[client.read()?]);
    if begun.elapsed() > SOON && first != [CANCELED] {
        return Ok(None);
    }
    assert_eq!(first, [CANCELED], "{what}");
    if what == "a flushed batch" {
        client.send(&[front::sync()])?;
    }
    assert_eq!(gist(&client.until_ready()?), ["E"], "{what}");
    if what == "a pipeline" {
        assert_eq!(gist(&client.until_ready()?), [ABORTED, "E"], "{what}");
    }
    let soon = begun.elapsed() < SOON;
    assert_eq!(says(&mut client, READ)?, [ABORTED, "E"], "{what}");
    assert_eq!(says(&mut client, "ROLLBACK TO a")?, ["ROLLBACK", "T"], "{what}");
    assert_eq!(says(&mut client, "SELECT 1")?, ["SELECT 1", "T"], "{what}");
    assert_eq!(says(&mut client, "COMMIT")?, ["COMMIT", "I"], "{what}");
    let ran = stage.cluster.statements(REPLICA, &mark);
    let reads = ran.iter().filter(|sql| sql.contains("held back")).count();
    assert!(reads <= 1, "{what}: only the one that was refused: {ran:?}");
    // The prepared statement is still there, and the connection is fit for others.
    stage.catch_up()?;
    let runs = [front::bind("", "p", &[]), front::execute("", 0), front::sync()];
    assert_eq!(gist(&client.ask(&runs)?), ["SELECT 1", "I"], "{what}");
    let look = stage.look(&mut stage.client("eventual")?, "SELECT 'next' FROM t")?;
    assert_eq!(look, Look { value: "next".to_owned(), on: vec![REPLICA] }, "{what}");
    Ok(soon.then_some(()))
}

fn says(client: &mut Client, sql: &str) -> Result<Vec<String>> {
    Ok(gist(&client.ask(&[front::query(sql)])?))
}

#[test]
fn a_cancelled_statement_is_never_sent_and_its_transaction_has_failed() -> Result<()> {
    let stage = stage()?;
    let batch = [front::parse("", READ, &[]), front::bind("", "", &[]), front::execute("", 0)].concat();
    let prepared = [front::bind("", "p", &[]), front::execute("", 0)].concat();
    for (what, frames) in [
        ("a query", vec![front::query(READ)]),
        ("a batch", vec![batch.clone(), front::sync()]),
        ("a prepared statement", vec![prepared, front::sync()]),
        ("a pipeline", vec![front::query(READ), front::query("SELECT 1")]),
        ("a flushed batch", vec![batch, front::flush()]),
    ] {
        wait_for(what, PATIENCE, || cancels(&stage, what, &frames))?;
    }
    Ok(())
}

/// One that is in flight is hit, and not what waits behind it.
#[test]
fn a_cancel_hits_what_runs_before_what_waits() -> Result<()> {
    let stage = stage()?;
    let mut client = overtaken(&stage, &["BEGIN READ ONLY"])?;
    // It asks for nothing, so that it runs on the replica whatever a write counts as.
    let first = "/* weir: consistency=eventual */ SELECT 'in flight', pg_sleep(60)";
    client.send(&[front::query(first), front::query(READ)])?;
    wait_for("the first to run", PATIENCE, || {
        let running = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' \
            AND query LIKE '%in flight%' AND pid <> pg_backend_pid()";
        Ok((stage.cluster.sql(REPLICA, running)?.value() == "1").then_some(()))
    })?;
    client.cancel()?;
    assert_eq!(gist(&client.until_ready()?), [CANCELED, "E"]);
    assert_eq!(gist(&client.until_ready()?), [ABORTED, "E"]);
    assert_eq!(says(&mut client, "ROLLBACK")?, ["ROLLBACK", "I"]);
    Ok(())
}

/// What was answered before does not wait with what waits.
#[test]
fn answers_do_not_wait_with_the_statement_behind_them() -> Result<()> {
    let stage = stage()?;
    wait_for("an answer that comes alone", PATIENCE, || {
        let mut client = overtaken(&stage, &["BEGIN READ ONLY"])?;
        client.send(&[front::query("SELECT pg_sleep(0.05)"), front::query(READ)])?;
        assert_eq!(gist(&client.until_ready()?), ["SELECT 1", "T"]);
        let alone = client.read_within(SOON)?.is_none();
        assert_eq!(gist(&client.until_ready()?), ["SELECT 1", "T"]);
        Ok(alone.then_some(()))
    })
}

#[test]
fn who_leaves_while_a_statement_waits_is_gone_at_once() -> Result<()> {
    let stage = stage()?;
    wait_for("a client that is gone soon", PATIENCE, || {
        let mut client = overtaken(&stage, &["BEGIN READ ONLY"])?;
        let begun = Instant::now();
        held(&stage, &mut client, &[front::query(READ)])?;
        drop(client);
        wait_for("its connection to be free", PATIENCE, || {
            let metrics = stage.weir.metrics()?;
            let left = metrics.sum("weir_clients", &[])
                + metrics.sum("weir_backend_connections", &[("state", "active")]);
            Ok((left == 0.0).then_some(()))
        })?;
        let soon = begun.elapsed() < SOON;
        let look = stage.look(&mut stage.client("eventual")?, "SELECT 'next' FROM t")?;
        assert_eq!(look, Look { value: "next".to_owned(), on: vec![REPLICA] });
        Ok(soon.then_some(()))
    })
}
