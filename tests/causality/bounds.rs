//! How old a replica may be, and how long a read waits for one.

use std::thread;
use std::time::{Duration, Instant};

use harness::{Options, Result, WeirSetup, wait_for};

use crate::stage::{Look, PATIENCE, PRIMARY, REPLICA, Stage, app};

const TABLES: &str = "CREATE TABLE t AS SELECT 0 AS v";

const READ: &str = "SELECT v FROM t";

fn on(server: usize, value: &str) -> Look {
    Look { value: value.to_owned(), on: vec![server] }
}

/// Holds replay back, and writes past weir, so that the replica grows older from now on.
fn ageing(stage: &Stage) -> Result<Instant> {
    stage.wait_served_by_replica(&mut stage.client("global")?, READ)?;
    stage.cluster.pause_replay(REPLICA)?;
    stage.cluster.sql(PRIMARY, "UPDATE t SET v = v + 1")?;
    Ok(Instant::now())
}

/// Lets the replica become this much older than the write.
fn let_age(since: Instant, age: Duration) {
    thread::sleep((since + age).saturating_duration_since(Instant::now()));
}

#[test]
fn a_replica_that_is_too_old_is_not_read() -> Result<()> {
    let stage =
        Stage::with(Options::new(1), TABLES, |setup| setup.set("routing", "consistency", "\"eventual\""))?;
    let mut set = stage.log_in(app())?;
    let mut startup = stage
        .log_in(app().parameter("options", "-c weir.consistency=eventual -c weir.max_staleness=300ms"))?;
    let mut hinted = stage.client("eventual")?;
    let hint = |age: &str| format!("/* weir: max_staleness={age} */ {READ}");
    let written = ageing(&stage)?;
    let_age(written, Duration::from_millis(400));
    set.query("SET weir.max_staleness = '300ms'")?;
    assert_eq!(stage.look(&mut set, READ)?, on(PRIMARY, "1"));
    assert_eq!(stage.look(&mut startup, READ)?, on(PRIMARY, "1"));
    assert_eq!(stage.look(&mut hinted, &hint("300ms"))?, on(PRIMARY, "1"));
    // The same replica is young enough for others.
    for age in ["1h", "off"] {
        set.query(&format!("SET weir.max_staleness = '{age}'"))?;
        assert_eq!(stage.wait_served_by_replica(&mut set, READ)?, "0", "{age}");
        startup.query(&format!("SET weir.max_staleness = '{age}'"))?;
        assert_eq!(stage.wait_served_by_replica(&mut startup, READ)?, "0", "{age}");
    }
    assert_eq!(stage.wait_served_by_replica(&mut hinted, &hint("1h"))?, "0");

    stage.catch_up()?;
    set.query("SET weir.max_staleness = '300ms'")?;
    assert_eq!(stage.wait_served_by_replica(&mut set, READ)?, "1");
    Ok(())
}

/// Nothing is written: a replica that holds everything does not grow older.
#[test]
fn an_idle_primary_makes_no_replica_old() -> Result<()> {
    let stage =
        Stage::with(Options::new(1), TABLES, |setup| setup.set("routing", "consistency", "\"eventual\""))?;
    let mut client = stage.client("eventual")?;
    client.query("SET weir.max_staleness = '300ms'")?;
    stage.wait_served_by_replica(&mut client, READ)?;
    thread::sleep(Duration::from_secs(2));
    assert_eq!(stage.wait_served_by_replica(&mut client, READ)?, "0");
    Ok(())
}

fn waiting(limit: &str) -> impl FnOnce(WeirSetup) -> WeirSetup {
    move |setup| setup.set("routing", "freshness_wait", limit)
}

#[test]
fn a_read_waits_for_the_replica_to_catch_up() -> Result<()> {
    let stage = Stage::with(Options::new(1), TABLES, waiting("\"1s\""))?;
    for level in ["session", "global", "strong"] {
        let mut client = stage.client(level)?;
        let waited = || -> Result<f64> {
            let labels = [("consistency", level), ("outcome", "waited")];
            Ok(stage.weir.metrics()?.sum("weir_reads_total", &labels))
        };
        let before = waited()?;
        // A machine that has no time may find the replica fresh, or come too late: then once more.
        wait_for(&format!("a read at {level} that waits for the replica"), PATIENCE, || {
            stage.wait_served_by_replica(&mut client, READ)?;
            stage.cluster.pause_replay(REPLICA)?;
            client.query("UPDATE t SET v = v + 1")?;
            let now = stage.cluster.sql(PRIMARY, READ)?.value().to_owned();
            let look = thread::scope(|scope| {
                let look = scope.spawn(|| stage.look(&mut client, READ));
                thread::sleep(Duration::from_millis(100));
                stage.cluster.resume_replay(REPLICA)?;
                look.join().unwrap()
            })?;
            assert_eq!(look.value, now, "{level}");
            Ok((look.on == [REPLICA] && waited()? > before).then_some(()))
        })?;
    }
    Ok(())
}

/// Waiting in vain ends on the primary, without an error and without harm to the replica.
#[test]
fn a_read_that_waited_in_vain_runs_on_the_primary() -> Result<()> {
    for limit in ["\"300ms\"", "\"0ms\""] {
        let stage = Stage::with(Options::new(1), TABLES, waiting(limit))?;
        let mut client = stage.client("global")?;
        stage.wait_served_by_replica(&mut client, READ)?;
        stage.cluster.pause_replay(REPLICA)?;
        client.query("UPDATE t SET v = 1")?;
        let begun = Instant::now();
        assert_eq!(stage.look(&mut client, READ)?, on(PRIMARY, "1"));
        if limit == "\"300ms\"" {
            assert!(begun.elapsed() >= Duration::from_millis(300), "{:?}", begun.elapsed());
        }
        let metrics = stage.weir.metrics()?;
        let stale = [("consistency", "global"), ("outcome", "stale")];
        assert!(metrics.sum("weir_reads_total", &stale) >= 1.0);
        assert_eq!(metrics.sum("weir_server_up", &[("server", "replica1")]), 1.0);
        assert_eq!(metrics.sum("weir_errors_total", &[]), 0.0);
        assert_eq!(stage.look(&mut stage.client("eventual")?, READ)?, on(REPLICA, "0"));
        stage.catch_up()?;
        assert_eq!(stage.wait_served_by_replica(&mut client, READ)?, "1");
    }
    Ok(())
}

/// A replica that has not moved for a while is not waited for again and again; once it moves it is read.
#[test]
fn a_replica_that_stands_still_is_not_waited_for_by_every_read() -> Result<()> {
    const READS: u32 = 60;
    let limit = Duration::from_millis(300);
    let stage = Stage::with(Options::new(1), TABLES, waiting("\"300ms\""))?;
    let mut client = stage.client("global")?;
    stage.wait_served_by_replica(&mut client, READ)?;
    stage.cluster.pause_replay(REPLICA)?;
    stage.client("session")?.query("UPDATE t SET v = 1")?;
    let begun = Instant::now();
    for _ in 0..READS {
        assert_eq!(client.query(READ)?.value(), "1");
    }
    let took = begun.elapsed();
    assert!(took < limit * READS / 3, "{READS} reads took {took:?}");
    stage.catch_up()?;
    assert_eq!(stage.wait_served_by_replica(&mut client, READ)?, "1");
    Ok(())
}
