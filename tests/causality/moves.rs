//! A session that changes replicas, and servers that change their roles.

use harness::client::Client;
use harness::{Options, Result, Stop, wait_for};

use crate::stage::{Look, PATIENCE, PRIMARY, REPLICA, Stage};

const OTHER: usize = 2;

const TABLES: &str = "CREATE TABLE t AS SELECT 0 AS v";

const READ: &str = "SELECT v FROM t";

/// A new client at a level that has seen this value on that replica.
fn who_has_seen(stage: &Stage, level: &str, replica: usize, value: &str) -> Result<Client> {
    let seen = Look { value: value.to_owned(), on: vec![replica] };
    wait_for("a session that reads from that replica", PATIENCE, || {
        let mut client = stage.client(level)?;
        Ok((stage.look(&mut client, READ)? == seen).then_some(client))
    })
}

/// Nobody here writes through weir: what a session has seen once is all that holds it.
#[test]
fn reads_do_not_go_back_in_time() -> Result<()> {
    let stage = Stage::with(Options::new(2), TABLES, |setup| setup)?;
    stage.cluster.pause_replay(REPLICA)?;
    stage.cluster.sql(PRIMARY, "UPDATE t SET v = 1")?;
    // The other one has it: replay is held back on the first only.
    wait_for("the other replica", PATIENCE, || {
        Ok((stage.cluster.sql(OTHER, READ)?.value() == "1").then_some(()))
    })?;

    let mut careless = who_has_seen(&stage, "eventual", OTHER, "1")?;
    let mut behind = who_has_seen(&stage, "session", REPLICA, "0")?;
    let mut seers = Vec::new();
    for level in ["session", "global"] {
        seers.push(who_has_seen(&stage, level, OTHER, "1")?);
    }
    // What a session saw on the primary counts as well.
    let mut from_primary = stage.client("session")?;
    assert_eq!(from_primary.query(&format!("/* weir: primary */ {READ}"))?.value(), "1");
    let mut in_transaction = stage.client("session")?;
    in_transaction.query("/* weir: transactions=primary */ BEGIN")?;
    assert_eq!(in_transaction.query(READ)?.value(), "1");
    in_transaction.query("COMMIT")?;
    let mut for_once = stage.client("eventual")?;
    assert_eq!(for_once.query(&format!("/* weir: primary */ {READ}"))?.value(), "1");
    for client in [&mut from_primary, &mut in_transaction] {
        for _ in 0..10 {
            assert_eq!(stage.look(client, READ)?.value, "1");
        }
    }

    stage.cluster.stop(OTHER, Stop::Fast)?;
    for client in seers.iter_mut().chain([&mut from_primary, &mut in_transaction]) {
        assert_eq!(stage.look(client, READ)?, Look { value: "1".to_owned(), on: vec![PRIMARY] });
    }
    let look = stage.look(&mut for_once, &format!("/* weir: consistency=session */ {READ}"))?;
    assert_eq!(look, Look { value: "1".to_owned(), on: vec![PRIMARY] });
    // Who has seen nothing newer reads on, and who asks for nothing goes back.
    let stale = Look { value: "0".to_owned(), on: vec![REPLICA] };
    assert_eq!(stage.look(&mut behind, READ)?, stale);
    assert_eq!(stage.look(&mut careless, READ)?, stale);
    Ok(())
}

/// What was asked for once with less care takes nothing back of what the session has seen.
#[test]
fn a_careless_read_does_not_let_time_run_backwards() -> Result<()> {
    let stage = Stage::with(Options::new(2), TABLES, |setup| setup)?;
    stage.cluster.pause_replay(REPLICA)?;
    stage.cluster.sql(PRIMARY, "UPDATE t SET v = 1")?;
    wait_for("the other replica", PATIENCE, || {
        Ok((stage.cluster.sql(OTHER, READ)?.value() == "1").then_some(()))
    })?;
    let mut seers = Vec::new();
    for level in ["session", "global"] {
        seers.push((level, who_has_seen(&stage, level, OTHER, "1")?));
    }
    let other = stage.cluster.name(OTHER);
    stage.cluster.stop(OTHER, Stop::Fast)?;
    stage.weir.wait_up(other, 0.0)?;
    let careless = format!("/* weir: consistency=eventual */ {READ}");
    for (level, client) in &mut seers {
        let stale = Look { value: "0".to_owned(), on: vec![REPLICA] };
        assert_eq!(stage.look(client, &careless)?, stale, "{level}");
        for _ in 0..10 {
            let look = stage.look(client, READ)?;
            assert_eq!(look, Look { value: "1".to_owned(), on: vec![PRIMARY] }, "{level}");
        }
        // And once more, now that it has seen it on the primary.
        assert_eq!(stage.look(client, &careless)?, stale, "{level}");
        assert_eq!(stage.look(client, READ)?.value, "1", "{level}");
    }
    Ok(())
}

/// A replica that crashed begins to answer at an earlier position than it had reached: what was known of it before
/// says nothing.
#[test]
fn a_replica_that_comes_back_with_less_is_not_trusted() -> Result<()> {
    let stage = Stage::set(TABLES)?;
    let cluster = &stage.cluster;
    // It will come back to where it stands now.
    cluster.sql(PRIMARY, "CHECKPOINT")?;
    cluster.wait_caught_up()?;
    cluster.sql(REPLICA, "CHECKPOINT")?;

    let mut writer = stage.client("session")?;
    writer.query("UPDATE t SET v = 1")?;
    assert_eq!(stage.wait_served_by_replica(&mut writer, READ)?, "1");
    let mut seer = who_has_seen(&stage, "session", REPLICA, "1")?;
    let mut global = stage.client("global")?;
    cluster.set(REPLICA, "recovery_min_apply_delay", "'1h'")?;
    cluster.stop(REPLICA, Stop::Immediate)?;
    cluster.restart(REPLICA)?;
    assert_eq!(cluster.sql(REPLICA, READ)?.value(), "0", "the replica came back with all that it had");

    let stale = Look { value: "0".to_owned(), on: vec![REPLICA] };
    let mut careless = stage.client("eventual")?;
    wait_for("the replica to be read again", PATIENCE, || {
        Ok((stage.look(&mut careless, READ)? == stale).then_some(()))
    })?;
    for _ in 0..20 {
        for client in [&mut writer, &mut seer, &mut global, &mut stage.client("strong")?] {
            assert_eq!(stage.look(client, READ)?, Look { value: "1".to_owned(), on: vec![PRIMARY] });
        }
    }
    cluster.set(REPLICA, "recovery_min_apply_delay", "0")?;
    for client in [&mut writer, &mut seer, &mut global] {
        assert_eq!(stage.wait_served_by_replica(client, READ)?, "1");
    }
    Ok(())
}

#[test]
fn reads_are_right_after_a_failover() -> Result<()> {
    let stage = Stage::with(Options::new(2), TABLES, |setup| setup)?;
    let cluster = &stage.cluster;
    // Else nobody tells weir which timeline a replica follows before its next restartpoint.
    cluster.sql(PRIMARY, "GRANT pg_read_all_stats TO app")?;
    let mut writer = stage.client("session")?;
    writer.query("UPDATE t SET v = 1")?;
    cluster.wait_caught_up()?;
    cluster.stop(PRIMARY, Stop::Immediate)?;
    cluster.promote(REPLICA)?;
    cluster.follow(OTHER)?;
    writer = stage.client("session")?;
    writer.query("UPDATE t SET v = 2")?;
    for level in ["session", "global", "strong"] {
        let mut client = stage.client(level)?;
        // What a `session` of a stranger may read is older than that.
        let least = if level == "session" { 1 } else { 2 };
        for _ in 0..20 {
            let value: i32 = stage.look(&mut client, READ)?.value.parse().unwrap();
            assert!(value >= least, "{level} read {value}");
        }
        wait_for("the replica that is left to serve reads", PATIENCE, || {
            let look = stage.look(&mut client, READ)?;
            Ok((look == Look { value: "2".to_owned(), on: vec![OTHER] }).then_some(()))
        })?;
    }
    // Freshness means the new primary's from now on.
    cluster.pause_replay(OTHER)?;
    writer.query("UPDATE t SET v = 3")?;
    for level in ["global", "strong"] {
        let look = stage.look(&mut stage.client(level)?, READ)?;
        assert_eq!(look, Look { value: "3".to_owned(), on: vec![REPLICA] }, "{level}");
    }
    let look = stage.look(&mut stage.client("eventual")?, READ)?;
    assert_eq!(look, Look { value: "2".to_owned(), on: vec![OTHER] });
    Ok(())
}
