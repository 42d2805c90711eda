//! Reads while nobody can tell what the primary has: it is gone, or only seems to be.

use std::thread;
use std::time::{Duration, Instant};

use harness::client::Client;
use harness::{Failure, Options, Result, Stop, wait_for};

use crate::stage::{Look, PATIENCE, PRIMARY, REPLICA, Stage};

const TABLES: &str = "CREATE TABLE t AS SELECT 0 AS v";

const READ: &str = "SELECT v FROM t";

fn stage(primary_wait: &str) -> Result<Stage> {
    let stage =
        Stage::with(Options::new(1), TABLES, |setup| setup.set("pool", "primary_wait", primary_wait))?;
    stage.wait_served_by_replica(&mut stage.client("global")?, READ)?;
    Ok(stage)
}

/// Waits until weir says so of the primary.
fn wait_up(stage: &Stage, up: f64) -> Result<()> {
    stage.weir.wait_up(stage.cluster.name(PRIMARY), up)
}

/// The primary does not answer for a while: nobody is shown less than was acknowledged meanwhile.
#[test]
fn a_primary_that_pauses_makes_no_read_older() -> Result<()> {
    let stage = stage("\"30s\"")?;
    let mut writer = stage.client("session")?;
    stage.cluster.pause_replay(REPLICA)?;
    writer.query("UPDATE t SET v = 1")?;
    assert_eq!(stage.look(&mut writer, READ)?, Look { value: "1".to_owned(), on: vec![PRIMARY] });
    let mut readers = [("the writer", writer), ("global", stage.client("global")?)];
    stage.cluster.freeze(PRIMARY)?;
    let looks = wait_up(&stage, 0.0).and_then(|()| {
        thread::scope(|scope| {
            let looks: Vec<_> = readers
                .iter_mut()
                .map(|(who, client)| {
                    scope.spawn(move || (*who, client.query(READ).map(|a| a.value().to_owned())))
                })
                .collect();
            thread::sleep(Duration::from_millis(500));
            stage.cluster.thaw(PRIMARY)?;
            looks.into_iter().map(|look| Ok(look.join().unwrap())).collect::<Result<Vec<_>>>()
        })
    });
    // A frozen process cannot even be stopped.
    stage.cluster.thaw(PRIMARY)?;
    for (who, look) in looks? {
        assert_eq!(look?, "1", "{who}");
    }
    Ok(())
}

/// When the primary has been away for longer than anybody waits for it, what replicas have is all there is.
#[test]
fn reads_go_on_when_the_primary_stays_away() -> Result<()> {
    let stage = stage("\"1s\"")?;
    let mut writer = stage.client("session")?;
    stage.cluster.pause_replay(REPLICA)?;
    writer.query("UPDATE t SET v = 1")?;
    stage.cluster.stop(PRIMARY, Stop::Immediate)?;
    wait_up(&stage, 0.0)?;
    for client in [&mut writer, &mut stage.client("global")?] {
        wait_for("a read without the primary", PATIENCE, || {
            Ok((client.query(READ)?.value() == "0").then_some(()))
        })?;
    }
    let refused = stage.client("strong")?.query(READ).unwrap_err();
    assert_eq!(refused.sqlstate(), Some("08006"), "{refused}");
    Ok(())
}

/// More reads at once than there are connections: new ones are opened, and nothing is waited for that cannot come.
#[test]
fn new_connections_to_a_replica_need_no_primary() -> Result<()> {
    let stage = stage("\"60s\"")?;
    stage.cluster.stop(PRIMARY, Stop::Immediate)?;
    wait_up(&stage, 0.0)?;
    // The samplers come to rest.
    thread::sleep(Duration::from_secs(3));
    let mut clients = (0..6).map(|_| stage.client("global")).collect::<Result<Vec<_>>>()?;
    let begun = Instant::now();
    thread::scope(|scope| {
        let read = |client| scope.spawn(move || Client::query(client, "SELECT v, pg_sleep(1) FROM t"));
        let reads: Vec<_> = clients.iter_mut().map(read).collect();
        reads.into_iter().try_for_each(|read| {
            assert_eq!(read.join().unwrap()?.value(), "0");
            Ok::<_, Failure>(())
        })
    })?;
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    Ok(())
}
