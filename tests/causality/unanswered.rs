//! Writes whose acknowledgement never came: they may have happened, so they count.

use harness::client::{Client, front};
use harness::{Cluster, Options, Result, wait_for};

use crate::stage::{Look, PATIENCE, PRIMARY, REPLICA, Stage};

const TABLES: &str = "CREATE TABLE t AS SELECT 0 AS v";

const READ: &str = "SELECT v FROM t";

/// A commit waits for the replica, whose replay is held back: so it can be interrupted after it has happened and
/// before it is acknowledged (manual, 27.2.8).
fn stage() -> Result<Stage> {
    let options =
        Options::new(1).setting("synchronous_standby_names", "*").setting("synchronous_commit", "local");
    let stage = Stage::with(options, TABLES, |setup| setup)?;
    stage.wait_served_by_replica(&mut stage.client("global")?, READ)?;
    stage.cluster.pause_replay(REPLICA)?;
    Ok(stage)
}

/// Sends statements, and ends the server's process while their commit waits. The row is written then.
fn interrupted(cluster: &Cluster, client: &mut Client, frames: &[Vec<u8>]) -> Result<()> {
    client.query("SET synchronous_commit = remote_apply")?;
    client.send(frames)?;
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    wait_for("the commit to wait", PATIENCE, || {
        Ok((cluster.sql(PRIMARY, end)?.value() == "1").then_some(()))
    })?;
    wait_for("the commit", PATIENCE, || Ok((cluster.sql(PRIMARY, READ)?.value() == "1").then_some(())))
}

fn fresh() -> Look {
    Look { value: "1".to_owned(), on: vec![PRIMARY] }
}

/// The session lives on and reads what it may have written; so do others.
#[test]
fn a_write_that_failed_in_the_end_counts() -> Result<()> {
    for frames in [
        vec![front::query("UPDATE t SET v = 1")],
        vec![
            front::parse("", "UPDATE t SET v = 1", &[]),
            front::bind("", "", &[]),
            front::execute("", 0),
            front::sync(),
        ],
    ] {
        let stage = stage()?;
        let mut writer = stage.client("session")?;
        let mut global = stage.client("global")?;
        interrupted(&stage.cluster, &mut writer, &frames)?;
        // The server says nothing any more once it has warned that the commit has happened.
        let error = writer.until_ready()?.iter().find_map(harness::client::Message::error);
        assert_eq!(error.map(|error| error.sqlstate().to_owned()).as_deref(), Some("08007"));
        assert_eq!(stage.look(&mut writer, READ)?, fresh());
        assert_eq!(stage.look(&mut global, READ)?, fresh());
        assert_eq!(stage.look(&mut stage.client("eventual")?, READ)?.value, "0");
    }
    Ok(())
}

/// The client does not live to hear of it, or hears that nobody knows: others see it.
#[test]
fn a_write_of_somebody_who_has_gone_counts() -> Result<()> {
    let update = "UPDATE t SET v = 1";
    for gone in [true, false] {
        let stage = stage()?;
        let mut writer = stage.client("session")?;
        let mut global = stage.client("global")?;
        writer.query("BEGIN")?;
        writer.query("SET LOCAL synchronous_commit = remote_apply")?;
        writer.query(update)?;
        interrupted(&stage.cluster, &mut writer, &[front::query("COMMIT")])?;
        if gone {
            drop(writer);
        } else {
            let error = writer.until_ready()?.iter().find_map(harness::client::Message::error);
            assert_eq!(error.map(|error| error.sqlstate().to_owned()).as_deref(), Some("08007"));
        }
        assert_eq!(stage.look(&mut global, READ)?, fresh());
        assert_eq!(stage.look(&mut stage.client("eventual")?, READ)?.value, "0");
    }
    Ok(())
}
