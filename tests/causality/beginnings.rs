//! Transactions that read on a replica: each statement of a READ COMMITTED one is weighed again, and one with a snapshot
//! that lasts when it takes that.

use std::thread;
use std::time::{Duration, Instant};

use harness::client::Client;
use harness::{Options, Result, wait_for};

use crate::stage::{Look, PATIENCE, PRIMARY, REPLICA, Stage};

const TABLES: &str = "CREATE TABLE t AS SELECT 0 AS v";

const READ: &str = "SELECT v FROM t";

fn on(server: usize, value: &str) -> Look {
    Look { value: value.to_owned(), on: vec![server] }
}

fn stage(freshness_wait: &str) -> Result<Stage> {
    Stage::with(Options::new(1), TABLES, |setup| setup.set("routing", "freshness_wait", freshness_wait))
}

/// In a transaction on the replica, which somebody's write has not reached since it began.
fn overtaken(stage: &Stage, level: &str, begin: &str) -> Result<Client> {
    stage.catch_up()?;
    stage.client("session")?.query("UPDATE t SET v = 0")?;
    stage.wait_served_by_replica(&mut stage.client("global")?, READ)?;
    // Whatever was fresh for `global` a moment ago is waited for at `strong`.
    let mut client = wait_for("a transaction on the replica", PATIENCE, || {
        let mut client = stage.client(level)?;
        client.query(begin)?;
        Ok((stage.look(&mut client, READ)? == on(REPLICA, "0")).then_some(client))
    })?;
    assert_eq!(stage.look(&mut client, READ)?, on(REPLICA, "0"));
    stage.cluster.pause_replay(REPLICA)?;
    stage.client("session")?.query("UPDATE t SET v = 1")?;
    Ok(client)
}

/// A transaction that the end of another begins is where that one was: it waits for its replica, as each statement does.
#[test]
fn a_transaction_begun_by_the_end_of_another_waits_for_its_replica() -> Result<()> {
    let stage = stage("\"1s\"")?;
    for end in ["COMMIT AND CHAIN", "ROLLBACK AND CHAIN"] {
        for (level, begin) in [
            ("global", "BEGIN READ ONLY"),
            ("global", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),
            ("strong", "BEGIN READ ONLY"),
        ] {
            // A machine that has no time may come too late: then once more.
            wait_for(&format!("{level}, {begin}, {end}"), PATIENCE, || {
                let mut client = overtaken(&stage, level, begin)?;
                thread::scope(|scope| {
                    let ended = scope.spawn(|| client.query(end).map(drop));
                    thread::sleep(Duration::from_millis(100));
                    stage.cluster.resume_replay(REPLICA)?;
                    ended.join().unwrap()
                })?;
                let look = stage.look(&mut client, READ)?;
                client.query("COMMIT")?;
                Ok((look == on(REPLICA, "1")).then_some(()))
            })?;
        }
    }
    Ok(())
}

/// Each statement of a READ COMMITTED transaction sees what was committed before it: it waits for that.
#[test]
fn a_statement_in_a_transaction_waits_for_its_replica() -> Result<()> {
    let stage = stage("\"1s\"")?;
    for level in ["global", "strong"] {
        // A machine that has no time may come too late: then once more.
        wait_for(&format!("a statement at {level} that sees what it waited for"), PATIENCE, || {
            let mut client = overtaken(&stage, level, "BEGIN READ ONLY")?;
            let look = thread::scope(|scope| {
                let look = scope.spawn(|| stage.look(&mut client, READ));
                thread::sleep(Duration::from_millis(100));
                stage.cluster.resume_replay(REPLICA)?;
                look.join().unwrap()
            })?;
            client.query("COMMIT")?;
            Ok((look == on(REPLICA, "1")).then_some(()))
        })?;
    }
    Ok(())
}

/// Having waited in vain it runs on the primary, as it would outside of a transaction.
#[test]
fn a_statement_in_a_transaction_that_waited_in_vain_runs_on_the_primary() -> Result<()> {
    let limit = Duration::from_millis(300);
    let stage = stage("\"300ms\"")?;
    for level in ["global", "strong"] {
        let mut client = overtaken(&stage, level, "BEGIN READ ONLY")?;
        let begun = Instant::now();
        assert_eq!(stage.look(&mut client, READ)?, on(PRIMARY, "1"), "{level}");
        assert!(begun.elapsed() >= limit, "{level}: {:?}", begun.elapsed());
        client.query("COMMIT")?;
        assert_eq!(stage.look(&mut client, READ)?, on(PRIMARY, "1"), "{level}");
    }
    Ok(())
}

/// A transaction with one snapshot sees the same all along.
#[test]
fn a_transaction_with_one_snapshot_stays_at_it() -> Result<()> {
    let stage = stage("\"1s\"")?;
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    for level in ["global", "strong"] {
        let mut client = overtaken(&stage, level, begin)?;
        let begun = Instant::now();
        for _ in 0..5 {
            assert_eq!(stage.look(&mut client, READ)?, on(REPLICA, "0"), "{level}");
        }
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(4), "{level}: it waited {took:?} for what it cannot see");
        client.query("COMMIT")?;
    }
    Ok(())
}
