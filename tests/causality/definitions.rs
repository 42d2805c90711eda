//! Changes of definitions, by ways that are easily missed: a write reaches what the catalog says it reaches, so a
//! catalog from before the change must not be used after it.

use std::thread;
use std::time::Duration;

use harness::client::front;
use harness::{Mark, Options, Result, wait_for, wait_until};

use crate::stage::{Look, PATIENCE, PRIMARY, REPLICA, Stage};

/// A table that is written, one that its trigger will write, and the trigger's function.
const TABLES: &str = "
    CREATE TABLE t (v int); CREATE TABLE u AS SELECT 0 AS v;
    CREATE FUNCTION writes_u() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN UPDATE u SET v = NEW.v; RETURN NEW; END';
    CREATE FUNCTION audits() RETURNS int LANGUAGE plpgsql AS
        $$BEGIN
            EXECUTE 'CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION writes_u()';
            RETURN 1;
        END$$";

const TRIGGER: &str = "CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION writes_u()";

const READ: &str = "SELECT v FROM u";

/// A stage on which a write to `t` concerns nothing else, as far as weir knows.
fn stage() -> Result<Stage> {
    let stage =
        Stage::with(Options::new(1).setting("max_prepared_transactions", "2"), TABLES, |setup| setup)?;
    let mut writer = stage.client("eventual")?;
    wait_for("a write to concern its table only", PATIENCE, || {
        stage.catch_up()?;
        stage.wait_served_by_replica(&mut stage.client("global")?, READ)?;
        stage.cluster.pause_replay(REPLICA)?;
        writer.query("INSERT INTO t VALUES (0)")?;
        Ok((stage.look(&mut stage.client("global")?, READ)?.on == [REPLICA]).then_some(()))
    })?;
    stage.catch_up()?;
    Ok(stage)
}

/// Gives weir time to read the catalog, if it wants to.
fn let_it_read(stage: &Stage, mark: &Mark) {
    let reads = |entry: &String| entry.contains("pg_trigger");
    wait_until(Duration::from_secs(2), || stage.cluster.entries(PRIMARY, mark).iter().any(reads));
    // That was its question.
    thread::sleep(Duration::from_millis(500));
}

/// The trigger is there: who writes to `t` writes to `u`, and who reads that must see it.
fn expect_known(stage: &Stage) -> Result<()> {
    stage.cluster.wait_caught_up()?;
    let mut global = stage.client("global")?;
    stage.wait_served_by_replica(&mut global, READ)?;
    stage.cluster.pause_replay(REPLICA)?;
    stage.client("session")?.query("INSERT INTO t VALUES (1)")?;
    assert_eq!(stage.cluster.sql(PRIMARY, READ)?.value(), "1", "there is no trigger");
    let careless = stage.look(&mut stage.client("eventual")?, READ)?;
    assert_eq!(careless, Look { value: "0".to_owned(), on: vec![REPLICA] });
    assert_eq!(stage.look(&mut global, READ)?.value, "1");
    Ok(())
}

#[test]
fn a_definition_committed_in_two_phases_counts() -> Result<()> {
    let stage = stage()?;
    let mut client = stage.client("session")?;
    client.query("BEGIN")?;
    client.query(TRIGGER)?;
    let mark = stage.cluster.mark();
    client.query("PREPARE TRANSACTION 'definition'")?;
    // What is read now does not know it yet.
    let_it_read(&stage, &mark);
    client.query("COMMIT PREPARED 'definition'")?;
    expect_known(&stage)
}

#[test]
fn a_definition_committed_by_another_session_counts() -> Result<()> {
    let stage = stage()?;
    let mut client = stage.client("session")?;
    client.query("BEGIN")?;
    client.query(TRIGGER)?;
    let mark = stage.cluster.mark();
    client.query("PREPARE TRANSACTION 'definition'")?;
    drop(client);
    let_it_read(&stage, &mark);
    stage.client("session")?.query("COMMIT PREPARED 'definition'")?;
    expect_known(&stage)
}

#[test]
fn a_definition_committed_and_chained_counts() -> Result<()> {
    let stage = stage()?;
    let mut client = stage.client("session")?;
    client.query("BEGIN")?;
    client.query(TRIGGER)?;
    client.query("COMMIT AND CHAIN")?;
    expect_known(&stage)?;
    client.query("COMMIT").map(drop)
}

#[test]
fn a_definition_made_by_a_function_counts() -> Result<()> {
    let stage = stage()?;
    stage.client("session")?.query("SELECT audits()")?;
    expect_known(&stage)
}

/// The client does not live to hear of it. The statement waits for a lock, so that the client is surely gone by then.
#[test]
fn a_definition_of_somebody_who_has_gone_counts() -> Result<()> {
    let stage = stage()?;
    let mut holder = stage.cluster.admin(PRIMARY)?;
    holder.query("BEGIN; LOCK TABLE t IN SHARE MODE")?;
    let mut client = stage.client("session")?;
    client.send(&[front::query(TRIGGER)])?;
    let count = |what: &str| -> Result<String> {
        let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND {what}");
        Ok(stage.cluster.sql(PRIMARY, &sql)?.value().to_owned())
    };
    let waits = "query LIKE 'CREATE TRIGGER%' AND wait_event_type = 'Lock'";
    wait_for("the statement to wait", PATIENCE, || Ok((count(waits)? == "1").then_some(())))?;
    let mark = stage.cluster.mark();
    drop(client);
    // What is read now does not know it yet.
    let_it_read(&stage, &mark);
    holder.query("COMMIT")?;
    let runs = "query LIKE 'CREATE TRIGGER%' AND state = 'active'";
    wait_for("the statement's end", PATIENCE, || Ok((count(runs)? == "0").then_some(())))?;
    let there = "SELECT count(*) FROM pg_trigger WHERE tgname = 'x'";
    if stage.cluster.sql(PRIMARY, there)?.value() == "0" {
        // It was cancelled, so nothing has changed.
        return Ok(());
    }
    expect_known(&stage)
}
