//! Reads while the primary is missed: what nobody was writing is read as before, and the rest waits for no longer than is
//! left of the one time for which anybody waits.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use harness::client::{Client, Message, front};
use harness::{Options, Result, Stop, wait_for};

use crate::stage::{Look, PATIENCE, PRIMARY, REPLICA, Stage, app};

const TABLES: &str = "CREATE TABLE a AS SELECT 0 AS v; CREATE TABLE b AS SELECT 0 AS v";

const READ_A: &str = "SELECT v FROM a";

const READ_B: &str = "SELECT v FROM b";

/// What takes no longer than this has not waited for a primary: a probe and what a busy machine adds.
const SOON: Duration = Duration::from_millis(1500);

fn stage(options: Options, primary_wait: &str) -> Result<Stage> {
    // Long enough for a machine that has no time: what is read on a replica before the primary is gone stays there.
    let stage = Stage::with(options, TABLES, |setup| {
        setup.set("pool", "primary_wait", primary_wait).set("routing", "freshness_wait", "\"1s\"")
    })?;
    settled(&stage)?;
    Ok(stage)
}

/// Waits until what was written in the beginning is on all replicas, and the catalog has been known for a while.
fn settled(stage: &Stage) -> Result<()> {
    let mut client = stage.client("global")?;
    stage.wait_served_by_replica(&mut client, READ_A)?;
    thread::sleep(Duration::from_millis(1200));
    for read in [READ_A, READ_B] {
        client.query(read)?;
    }
    Ok(())
}

fn wait_up(stage: &Stage, up: f64) -> Result<()> {
    stage.weir.wait_up(stage.cluster.name(PRIMARY), up)
}

/// Reads again and again; the longest that one took.
fn slowest(client: &mut Client, statements: &[&str], stop: &AtomicBool) -> Result<Duration> {
    let mut slowest = Duration::ZERO;
    while !stop.load(Ordering::SeqCst) {
        let begun = Instant::now();
        statements.iter().try_for_each(|sql| client.query(sql).map(drop))?;
        slowest = slowest.max(begun.elapsed());
        thread::sleep(Duration::from_millis(5));
    }
    Ok(slowest)
}

/// Eight sessions read one table, one by one and in transactions, four write another: those who read notice nothing, though
/// nobody can tell what the primary had acknowledged last, and though it stays away for longer than replicas may be old.
#[test]
fn reads_of_what_nobody_writes_do_not_wait() -> Result<()> {
    let stage = Stage::with(Options::new(2), TABLES, |setup| {
        setup.set("pool", "primary_wait", "\"6s\"").set("routing", "max_staleness", "\"3s\"")
    })?;
    settled(&stage)?;
    let ways: [&[&str]; 4] = [
        &[READ_A],
        &["BEGIN", READ_A, "COMMIT"],
        &["BEGIN READ ONLY", READ_A, "COMMIT"],
        &["BEGIN READ ONLY", "SET LOCAL work_mem = '1MB'", READ_A, READ_A, "COMMIT"],
    ];
    let stop = AtomicBool::new(false);
    let waited = thread::scope(|scope| {
        let stop = &stop;
        let readers: Vec<_> = (0..8)
            .map(|n| {
                let client = stage.log_in(app().parameter("options", "-c weir.consistency=global"));
                scope.spawn(move || slowest(&mut client?, ways[n % 4], stop))
            })
            .collect();
        let writers: Vec<_> = (0..4)
            .map(|_| {
                let client = stage.client("global");
                scope.spawn(move || -> Result<()> {
                    let mut client = client?;
                    while client.query("UPDATE b SET v = v + 1").is_ok() {}
                    Ok(())
                })
            })
            .collect();
        thread::sleep(Duration::from_millis(500));
        let stopped = stage.cluster.stop(PRIMARY, Stop::Immediate);
        thread::sleep(Duration::from_secs(8));
        stop.store(true, Ordering::SeqCst);
        writers.into_iter().try_for_each(|writer| writer.join().unwrap())?;
        stopped?;
        readers.into_iter().map(|reader| reader.join().unwrap()).collect::<Result<Vec<_>>>()
    })?;
    assert!(waited.iter().all(|waited| *waited < SOON), "{waited:?}");
    Ok(())
}

/// What was acknowledged and may be lost is waited for once, whenever a read comes, and however it comes.
#[test]
fn all_reads_wait_until_the_same_moment() -> Result<()> {
    let stage = stage(Options::new(1), "\"4s\"")?;
    let ways: [&[&str]; 4] = [
        &[],
        &["BEGIN"],
        &["BEGIN READ ONLY"],
        // This one has a replica's connection, on which it has read.
        &["BEGIN READ ONLY", "SET LOCAL work_mem = '1MB'", READ_B],
    ];
    let mut clients = Vec::new();
    for delay in [0, 2000] {
        for way in ways {
            let mut client = stage.client("global")?;
            way.iter().try_for_each(|sql| client.query(sql).map(drop))?;
            clients.push((delay, way.len(), client));
        }
    }
    stage.cluster.pause_replay(REPLICA)?;
    stage.client("session")?.query("UPDATE b SET v = 1")?;
    stage.cluster.stop(PRIMARY, Stop::Immediate)?;
    wait_up(&stage, 0.0)?;
    let gone = Instant::now();
    let ends = thread::scope(|scope| {
        let reads: Vec<_> = clients
            .into_iter()
            .map(|(delay, way, mut client)| {
                scope.spawn(move || -> Result<_> {
                    thread::sleep(Duration::from_millis(delay));
                    let value = client.query(READ_B)?.value().to_owned();
                    Ok((value, delay, way, gone.elapsed()))
                })
            })
            .collect();
        reads.into_iter().map(|read| read.join().unwrap()).collect::<Result<Vec<_>>>()
    })?;
    let (early, late) = (Duration::from_secs(3), Duration::from_secs(4) + SOON);
    for (value, delay, way, end) in ends {
        assert_eq!(value, "0");
        assert!(end > early && end < late, "{delay} {way}: {end:?}");
    }
    // Who comes later does not wait at all.
    let begun = Instant::now();
    assert_eq!(stage.client("global")?.query(READ_B)?.value(), "0");
    for way in ways {
        let mut client = stage.client("eventual")?;
        way.iter().try_for_each(|sql| client.query(sql).map(drop))?;
        let refused = client.query(&format!("/* weir: consistency=strong */ {READ_B}")).unwrap_err();
        assert_eq!(refused.sqlstate(), Some("08006"), "{refused}");
    }
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    Ok(())
}

/// A write that waits for a lock when its primary dies: it was never acknowledged, and what the replica holds is all that
/// there will be of it. Who is told that nobody knows whether it happened waits for somebody who knows.
#[test]
fn a_write_that_was_never_answered_keeps_only_its_own_session_waiting() -> Result<()> {
    let stage = stage(Options::new(1), "\"60s\"")?;
    let mut lock = stage.cluster.admin(PRIMARY)?;
    lock.query("BEGIN")?;
    lock.query("LOCK TABLE b IN SHARE MODE")?;
    let mut writer = stage.client("session")?;
    writer.send(&[front::query("UPDATE b SET v = 1")])?;
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    wait_for("the write to wait", PATIENCE, || {
        Ok((stage.cluster.sql(PRIMARY, waits)?.value() == "1").then_some(()))
    })?;
    stage.cluster.stop(PRIMARY, Stop::Immediate)?;
    wait_up(&stage, 0.0)?;
    assert!(writer.until_ready()?.iter().any(|message| message.error().is_some()));
    for level in ["session", "global"] {
        let begun = Instant::now();
        let look = stage.look(&mut stage.client(level)?, READ_B)?;
        assert_eq!(look, Look { value: "0".to_owned(), on: vec![REPLICA] });
        assert!(begun.elapsed() < SOON, "{level}: {:?}", begun.elapsed());
    }
    let begun = Instant::now();
    assert_eq!(stage.look(&mut writer, READ_A)?, Look { value: "0".to_owned(), on: vec![REPLICA] });
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    writer.send(&[front::query(READ_B)])?;
    assert!(writer.read_within(Duration::from_secs(1))?.is_none());
    stage.cluster.restart(PRIMARY)?;
    assert_eq!(value(&writer.until_ready()?), "0");
    Ok(())
}

/// A commit that two replicas have and one of them shows, when the primary dies before anybody is told of it: whoever reads
/// then sees it, because some may have.
#[test]
fn what_one_reader_may_have_seen_no_later_one_misses() -> Result<()> {
    let options =
        Options::new(2).setting("synchronous_standby_names", "2 (*)").setting("synchronous_commit", "local");
    let stage = Stage::with(options, TABLES, |setup| setup.set("pool", "primary_wait", "\"60s\""))?;
    settled(&stage)?;
    let mut writer = stage.client("session")?;
    writer.query("SET synchronous_commit = remote_apply")?;
    stage.cluster.pause_replay(REPLICA)?;
    writer.send(&[front::query("UPDATE b SET v = 1")])?;
    wait_for("the other replica to show it", PATIENCE, || {
        Ok((stage.cluster.sql(2, READ_B)?.value() == "1").then_some(()))
    })?;
    let held = "SELECT pg_last_wal_receive_lsn() > pg_last_wal_replay_lsn()";
    wait_for("the replica to have received it", PATIENCE, || {
        Ok((stage.cluster.sql(REPLICA, held)?.value() == "t").then_some(()))
    })?;
    stage.cluster.stop(PRIMARY, Stop::Immediate)?;
    wait_up(&stage, 0.0)?;
    assert!(writer.until_ready()?.iter().any(|message| message.error().is_some()));
    for _ in 0..10 {
        let begun = Instant::now();
        let look = stage.look(&mut stage.client("global")?, READ_B)?;
        assert_eq!(look, Look { value: "1".to_owned(), on: vec![2] });
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    }
    Ok(())
}

/// A session whose connection somebody else has by now gets a newer one: it leads to the same server, as weir knows from
/// having asked it all the while.
#[test]
fn who_gets_a_newer_connection_reads_on_where_it_has_read() -> Result<()> {
    let stage = stage(Options::new(1), "\"60s\"")?;
    stage.cluster.stop(PRIMARY, Stop::Immediate)?;
    wait_up(&stage, 0.0)?;
    let mut reader = stage.client("session")?;
    let mut others = (0..2).map(|_| stage.client("eventual")).collect::<Result<Vec<_>>>()?;
    for busy_ones in [1, 2] {
        let others = &mut others[..busy_ones];
        reader.query(READ_A)?;
        others.iter_mut().try_for_each(|other| other.send(&[front::query("SELECT pg_sleep(2)")]))?;
        let busy = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        wait_for("the others to be at work", PATIENCE, || {
            Ok((stage.cluster.sql(REPLICA, busy)?.value() == others.len().to_string()).then_some(()))
        })?;
        let begun = Instant::now();
        reader.query(READ_A)?;
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        others.iter_mut().try_for_each(|other| other.until_ready().map(drop))?;
    }
    Ok(())
}

fn value(heard: &[Message]) -> String {
    crate::stage::first_value(heard).unwrap_or_else(|failure| failure.to_string())
}
