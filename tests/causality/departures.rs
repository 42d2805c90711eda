//! Clients that leave while their writes are under way: what is committed after that counts as well.

use std::time::Duration;

use harness::client::front;
use harness::{Result, wait_for, wait_until};

use crate::stage::{PATIENCE, PRIMARY, REPLICA, Stage};

const READ: &str = "SELECT v FROM t";

/// What a client does last, with a statement that is to wait for a lock on the row.
fn ways() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let update = "UPDATE t SET v = 1";
    let batch = [front::parse("", update, &[]), front::bind("", "", &[]), front::execute("", 0)];
    vec![
        ("a query", vec![front::query(update)]),
        ("a string of queries", vec![front::query(format!("SELECT 1; {update}; SELECT 2"))]),
        ("a batch", [&batch[..], &[front::sync()]].concat()),
        (
            "a transaction in a pipeline",
            vec![front::query("BEGIN"), front::query(update), front::query("COMMIT")],
        ),
    ]
}

#[test]
fn a_write_that_is_committed_when_its_client_has_gone_counts() -> Result<()> {
    let stage = Stage::set("CREATE TABLE t AS SELECT 0 AS v")?;
    let on_primary =
        |sql: &str| -> Result<String> { Ok(stage.cluster.sql(PRIMARY, sql)?.value().to_owned()) };
    let count = |what: &str| {
        on_primary(&format!(
            "SELECT count(*) FROM pg_stat_activity
             WHERE usename = 'app' AND application_name NOT LIKE 'weir%' AND {what}"
        ))
    };
    for farewell in [Some(front::terminate()), None] {
        for (what, frames) in ways() {
            on_primary("UPDATE t SET v = 0")?;
            stage.cluster.wait_caught_up()?;
            let mut holder = stage.cluster.admin(PRIMARY)?;
            holder.query("BEGIN; SELECT v FROM t FOR UPDATE")?;
            let mut writer = stage.client("session")?;
            writer.send(&frames)?;
            wait_for("the write to wait", PATIENCE, || {
                Ok((count("wait_event_type = 'Lock'")? == "1").then_some(()))
            })?;
            farewell.iter().try_for_each(|farewell| writer.send(std::slice::from_ref(farewell)))?;
            drop(writer);
            // If leaving was marked, the replica gets to hold that.
            let mut global = stage.client("global")?;
            wait_until(Duration::from_secs(2), || {
                stage.look(&mut global, READ).is_ok_and(|look| look.on == [REPLICA])
            });
            stage.cluster.pause_replay(REPLICA)?;
            holder.query("ROLLBACK")?;
            wait_for("the write's end", PATIENCE, || Ok((count("state <> 'idle'")? == "0").then_some(())))?;
            // It may have been cancelled: then there is nothing to see.
            let written = on_primary(READ)?;
            wait_for(&format!("{what} to be seen at global"), Duration::from_secs(5), || {
                Ok((stage.look(&mut global, READ)?.value == written).then_some(()))
            })?;
            stage.catch_up()?;
        }
    }
    Ok(())
}
