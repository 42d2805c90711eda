//! Transactions that read where they can: each of their reads sees what its level promises, wherever it runs, and so does
//! the one snapshot of those that keep one.

use harness::client::{Client, front};
use harness::{Options, Result, wait_for};

use crate::case::ask;
use crate::stage::{Look, PATIENCE, PRIMARY, REPLICA, Stage, app, first_value};

const TABLES: &str = "
    CREATE TABLE t AS SELECT 0 AS v;
    CREATE TABLE other AS SELECT 0 AS v";

const READ: &str = "SELECT v FROM t";

const OTHER: &str = "SELECT v FROM other";

const OTHER_REPLICA: usize = 2;

const ONE_SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

fn on(server: usize, value: &str) -> Look {
    Look { value: value.to_owned(), on: vec![server] }
}

/// A write that is acknowledged to somebody else.
fn write(stage: &Stage, sql: &str) -> Result<()> {
    stage.client("session")?.query(sql).map(drop)
}

/// How often weir has written this reason down for requests that went this way.
fn routed(stage: &Stage, route: &str, reason: &str) -> Result<f64> {
    let labels = [("route", route), ("reason", reason)];
    Ok(stage.weir.metrics()?.sum("weir_requests_total", &labels))
}

/// All is 0 and on the replica, which is held back from now on; then `other` is written, and it is known that this does
/// not concern `t`.
fn other_written(stage: &Stage) -> Result<()> {
    let mut somebody = stage.client("session")?;
    wait_for("a write of one table not to concern another", PATIENCE, || {
        stage.catch_up()?;
        somebody.query("UPDATE other SET v = 0")?;
        somebody.query("UPDATE t SET v = 0")?;
        let mut reader = stage.client("global")?;
        stage.wait_served_by_replica(&mut reader, READ)?;
        stage.wait_served_by_replica(&mut reader, OTHER)?;
        stage.cluster.pause_replay(REPLICA)?;
        somebody.query("UPDATE other SET v = 1")?;
        Ok((stage.look(&mut stage.client("global")?, READ)? == on(REPLICA, "0")).then_some(()))
    })
}

/// In a transaction that read 0 on the replica, which is held back from now on.
fn begun(stage: &Stage, level: &str, statements: &[&str]) -> Result<Client> {
    wait_for("a transaction that reads on the replica", PATIENCE, || {
        stage.catch_up()?;
        write(stage, "UPDATE t SET v = 0")?;
        stage.wait_served_by_replica(&mut stage.client("global")?, READ)?;
        let mut client = stage.client(level)?;
        statements.iter().try_for_each(|sql| client.query(sql).map(drop))?;
        if stage.look(&mut client, READ)? != on(REPLICA, "0") {
            return Ok(None);
        }
        stage.cluster.pause_replay(REPLICA)?;
        Ok(Some(client))
    })
}

/// What others had acknowledged between two statements of a transaction is seen by the second, although one of two
/// replicas lacks it and has served the first.
#[test]
fn a_read_in_a_transaction_sees_what_others_wrote() -> Result<()> {
    let stage = Stage::with(Options::new(2), TABLES, |setup| setup)?;
    let mut client = stage.client("global")?;
    for begin in ["BEGIN", "BEGIN READ ONLY", "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"] {
        stage.catch_up()?;
        write(&stage, "UPDATE t SET v = 0")?;
        stage.wait_served_by_replica(&mut stage.client("global")?, READ)?;
        stage.cluster.pause_replay(REPLICA)?;
        client.query(begin)?;
        assert_eq!(client.query(READ)?.value(), "0", "{begin}");
        for n in 1..=20 {
            write(&stage, &format!("UPDATE t SET v = {n}"))?;
            let look = stage.look(&mut client, READ)?;
            assert_eq!(look.value, n.to_string(), "{begin}");
            assert_ne!(look.on, [REPLICA], "{begin}");
        }
        client.query("COMMIT")?;
    }
    // Whoever asks for nothing may be shown the old row all along.
    wait_for("a transaction at eventual that reads the old row twice", PATIENCE, || {
        let mut client = stage.client("eventual")?;
        client.query("BEGIN")?;
        let looks = [stage.look(&mut client, READ)?, stage.look(&mut client, READ)?];
        Ok((looks == [on(REPLICA, "0"), on(REPLICA, "0")]).then_some(()))
    })
}

/// The same where there is no other replica: it goes on at the primary.
#[test]
fn each_statement_is_as_fresh_as_its_level_promises() -> Result<()> {
    let stage = Stage::set(TABLES)?;
    for (level, seen) in
        [("eventual", on(REPLICA, "0")), ("session", on(REPLICA, "0")), ("global", on(PRIMARY, "1"))]
    {
        for begin in ["BEGIN", "BEGIN READ ONLY"] {
            let mut client = begun(&stage, level, &[begin])?;
            write(&stage, "UPDATE t SET v = 1")?;
            assert_eq!(stage.look(&mut client, READ)?, seen, "{level}, {begin}");
            client.query("COMMIT")?;
        }
    }
    // What was written past weir, `strong` sees.
    let mut client = begun(&stage, "strong", &["BEGIN READ ONLY"])?;
    stage.cluster.sql(PRIMARY, "UPDATE t SET v = 1")?;
    assert_eq!(stage.look(&mut client, READ)?, on(PRIMARY, "1"));
    Ok(())
}

/// A transaction that has a replica's connection leaves it for the primary when that gets too old, with all it has set.
#[test]
fn a_transaction_leaves_a_replica_that_has_become_too_old() -> Result<()> {
    let stage = Stage::set(TABLES)?;
    for (level, begin) in
        [("global", "BEGIN"), ("global", "BEGIN READ ONLY"), ("strong", "BEGIN"), ("session", "BEGIN")]
    {
        let mut client = begun(
            &stage,
            level,
            &[
                begin,
                "SET LOCAL app.tenant = 'seven'",
                "SAVEPOINT s",
                "SELECT set_config('app.role', 'it', true)",
            ],
        )?;
        write(&stage, "UPDATE t SET v = 1")?;
        let before = routed(&stage, "primary", "stale")?;
        let look = stage.look(&mut client, &format!("SELECT v || ' ' || s FROM t, {SETTINGS}"))?;
        if level == "session" {
            assert_eq!(look, on(REPLICA, "0 seven it"), "{level}, {begin}");
        } else {
            assert_eq!(look, on(PRIMARY, "1 seven it"), "{level}, {begin}");
            assert!(routed(&stage, "primary", "stale")? > before, "{level}, {begin}");
        }
        // The savepoint is there as well, and what was set before it outlives it.
        client.query("ROLLBACK TO s")?;
        assert_eq!(client.query(&format!("SELECT s FROM {SETTINGS}"))?.value(), "seven ", "{level}, {begin}");
        client.query("COMMIT")?;
        assert_eq!(client.query(&format!("SELECT s FROM {SETTINGS}"))?.value(), " ", "{level}, {begin}");
    }
    Ok(())
}

/// With what it has set it goes to another replica that is fresh enough, if there is one.
#[test]
fn a_transaction_leaves_a_replica_that_has_become_too_old_for_another() -> Result<()> {
    let stage = Stage::with(Options::new(2), TABLES, |setup| setup)?;
    for (level, begin) in [("global", "BEGIN"), ("strong", "BEGIN"), ("global", ONE_SNAPSHOT)] {
        // A machine that has no time may come too late: then once more.
        wait_for(&format!("a transaction at {level}, {begin}, that changes replicas"), PATIENCE, || {
            stage.catch_up()?;
            write(&stage, "UPDATE t SET v = 0")?;
            stage.cluster.wait_caught_up()?;
            let mut client = stage.client(level)?;
            client.query(begin)?;
            let hint = "/* weir: consistency=eventual */";
            client.query("SET LOCAL app.tenant = 'seven'")?;
            if begin == "BEGIN" && stage.look(&mut client, &format!("{hint} {READ}"))?.on != [REPLICA] {
                return Ok(None);
            }
            stage.cluster.pause_replay(REPLICA)?;
            write(&stage, "UPDATE t SET v = 1")?;
            let look = stage.look(&mut client, &format!("SELECT v || ' ' || s FROM t, {SETTINGS}"))?;
            assert_eq!(look.value, "1 seven ", "{level}, {begin}");
            client.query("COMMIT")?;
            Ok((look.on == [OTHER_REPLICA]).then_some(()))
        })?;
    }
    Ok(())
}

const SETTINGS: &str = "(SELECT coalesce(current_setting('app.tenant', true), '') || ' ' || coalesce(current_setting('app.role', true), '')) AS c (s)";

/// Behind its own write a transaction sees that, and nobody else does before it is committed, or ever if it is rolled
/// back.
#[test]
fn a_transaction_sees_its_own_write_and_others_do_when_it_is_committed() -> Result<()> {
    let stage = Stage::set(TABLES)?;
    for level in ["session", "global", "strong"] {
        for (end, seen) in
            [("COMMIT", "1"), ("ROLLBACK", "0"), ("COMMIT AND CHAIN", "1"), ("ROLLBACK AND CHAIN", "0")]
        {
            let what = format!("{level}, {end}");
            let mut client = begun(&stage, level, &["BEGIN"])?;
            client.query("UPDATE t SET v = 1")?;
            for _ in 0..3 {
                assert_eq!(stage.look(&mut client, READ)?, on(PRIMARY, "1"), "{what}");
            }
            assert_eq!(stage.client(level)?.query(READ)?.value(), "0", "{what}");
            client.query(end)?;
            assert_eq!(client.query(READ)?.value(), seen, "{what}");
            for level in ["global", "strong"] {
                let mut other = stage.client(level)?;
                assert_eq!(other.query(READ)?.value(), seen, "{what}, another at {level}");
                other.query("BEGIN")?;
                assert_eq!(other.query(READ)?.value(), seen, "{what}, another at {level} in a transaction");
            }
        }
    }
    Ok(())
}

/// What a transaction has seen on the primary, behind its write, it and its session see from then on: the write was of
/// another table, and what was seen was written past weir.
#[test]
fn what_was_seen_behind_an_upgrade_is_seen_from_then_on() -> Result<()> {
    let stage = Stage::set(TABLES)?;
    for level in ["session", "global"] {
        let mut client = begun(&stage, level, &["BEGIN"])?;
        stage.cluster.sql(PRIMARY, "UPDATE t SET v = 1")?;
        client.query("LOCK TABLE other IN ACCESS SHARE MODE")?;
        assert_eq!(stage.look(&mut client, READ)?, on(PRIMARY, "1"), "{level}");
        client.query("COMMIT")?;
        client.query("BEGIN")?;
        assert_eq!(stage.look(&mut client, READ)?, on(PRIMARY, "1"), "{level}, in the next transaction");
        client.query("COMMIT")?;
        assert_eq!(stage.look(&mut client, READ)?, on(PRIMARY, "1"), "{level}, behind it");
        assert_eq!(stage.look(&mut stage.client(level)?, READ)?, on(REPLICA, "0"), "{level}, a stranger");
    }
    Ok(())
}

/// A snapshot that lasts holds all that was acknowledged before the statement that takes it, of whatever relation later
/// statements will read.
#[test]
fn one_snapshot_holds_what_only_later_statements_read() -> Result<()> {
    let stage = Stage::set(TABLES)?;
    let set = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY";
    for statements in [
        &[ONE_SNAPSHOT, READ][..],
        &[ONE_SNAPSHOT, "SELECT 1"],
        &[ONE_SNAPSHOT, "SELECT set_config('app.tenant', 'seven', true)"],
        &[ONE_SNAPSHOT, "DECLARE c CURSOR FOR SELECT v FROM t"],
        &[ONE_SNAPSHOT, "SET LOCAL app.tenant = 'seven'"],
        &[ONE_SNAPSHOT, "SET LOCAL app.tenant = 'seven'", READ],
        &[ONE_SNAPSHOT, "SAVEPOINT s", READ],
        &["BEGIN", set, READ],
        &["START TRANSACTION READ ONLY, ISOLATION LEVEL REPEATABLE READ", "SHOW datestyle", READ],
        &[ONE_SNAPSHOT, READ, "COMMIT AND CHAIN", READ],
        &[ONE_SNAPSHOT, READ, "ROLLBACK AND CHAIN", "SELECT 1"],
    ] {
        other_written(&stage)?;
        let mut client = stage.client("global")?;
        statements.iter().try_for_each(|sql| client.query(sql).map(drop))?;
        assert_eq!(client.query(OTHER)?.value(), "1", "{statements:?}");
        client.query("COMMIT")?;
    }
    // In one batch.
    let run = |sql: &str| [front::parse("", sql, &[]), front::bind("", "", &[]), front::execute("", 0)];
    for batch in [
        [&run(ONE_SNAPSHOT)[..], &run(READ), &[front::sync()]].concat(),
        [&run(ONE_SNAPSHOT)[..], &[front::sync()], &run("SELECT 1"), &[front::sync()]].concat(),
        vec![front::query(format!("{ONE_SNAPSHOT}; {READ}"))],
    ] {
        other_written(&stage)?;
        let mut client = stage.client("global")?;
        first_value(&ask(&mut client, &batch)?)?;
        assert_eq!(client.query(OTHER)?.value(), "1", "{batch:?}");
        client.query("COMMIT")?;
    }
    Ok(())
}

/// The session's own write is in its next snapshot, whatever opens the connection on which that is taken.
#[test]
fn one_snapshot_holds_what_its_session_wrote() -> Result<()> {
    let stage = Stage::set(TABLES)?;
    for level in ["session", "global", "strong"] {
        for first in
            ["SET LOCAL app.tenant = 'seven'", "SELECT set_config('app.tenant', 'seven', true)", "SELECT 1"]
        {
            let mut client = begun(&stage, level, &[])?;
            client.query("UPDATE t SET v = 1")?;
            client.query(ONE_SNAPSHOT)?;
            client.query(first)?;
            assert_eq!(client.query(READ)?.value(), "1", "{level}, {first}");
            client.query("COMMIT")?;
        }
    }
    Ok(())
}

/// The snapshot of a transaction that another's end began is taken by its own first statement.
#[test]
fn a_snapshot_behind_a_chain_is_a_new_one() -> Result<()> {
    let stage = Stage::set(TABLES)?;
    for (level, end) in [("global", "COMMIT AND CHAIN"), ("strong", "ROLLBACK AND CHAIN")] {
        let mut client = begun(&stage, level, &[ONE_SNAPSHOT])?;
        client.query(end)?;
        write(&stage, "UPDATE t SET v = 1")?;
        assert_eq!(stage.look(&mut client, READ)?, on(PRIMARY, "1"), "{level}, {end}");
        write(&stage, "UPDATE t SET v = 2")?;
        assert_eq!(stage.look(&mut client, READ)?, on(PRIMARY, "1"), "{level}, {end}");
        client.query("COMMIT")?;
    }
    Ok(())
}

/// A snapshot is kept to the end, whatever is written meanwhile; with modes that were said in the batch of the first
/// statement as well.
#[test]
fn one_snapshot_is_kept() -> Result<()> {
    let stage = Stage::set(TABLES)?;
    let run = |sql: &str| [front::parse("", sql, &[]), front::bind("", "", &[]), front::execute("", 0)];
    let set = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY";
    let set_alone = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ";
    for (n, frames) in [
        [&run(ONE_SNAPSHOT)[..], &run(READ), &[front::sync()]].concat(),
        vec![front::query(ONE_SNAPSHOT), front::query(READ)],
        vec![front::query(ONE_SNAPSHOT), front::query("SET LOCAL app.tenant = 'seven'"), front::query(READ)],
        [&[front::query("BEGIN")][..], &run(set), &run(READ), &[front::sync()]].concat(),
        [&run("BEGIN")[..], &run(set), &run(READ), &[front::sync()]].concat(),
        [&[front::query("BEGIN")][..], &run(set_alone), &run(READ), &[front::sync()]].concat(),
    ]
    .into_iter()
    .enumerate()
    {
        stage.catch_up()?;
        write(&stage, "UPDATE t SET v = 0")?;
        stage.wait_served_by_replica(&mut stage.client("global")?, READ)?;
        let mut client = stage.log_in(app())?;
        assert_eq!(first_value(&ask(&mut client, &frames)?)?, "0", "talk {n}");
        for v in 1..=3 {
            write(&stage, &format!("UPDATE t SET v = {v}"))?;
            stage.cluster.wait_caught_up()?;
            assert_eq!(client.query(READ)?.value(), "0", "talk {n}");
        }
        client.query("COMMIT")?;
    }
    Ok(())
}

/// A cursor shows what was there when it was declared, wherever its transaction has gone since, or stands where it was
/// declared on the primary.
#[test]
fn a_cursor_outlives_the_replica_that_has_become_too_old() -> Result<()> {
    let stage = Stage::set(TABLES)?;
    let fetch = "FETCH ALL FROM c";
    let declare = "DECLARE c CURSOR FOR SELECT v FROM t";
    for level in ["global", "strong"] {
        for begin in ["BEGIN", "BEGIN READ ONLY"] {
            let what = format!("{level}, {begin}");
            // Declared before.
            let mut client = begun(&stage, level, &[begin, declare])?;
            write(&stage, "UPDATE t SET v = 1")?;
            assert_eq!(stage.look(&mut client, READ)?, on(PRIMARY, "1"), "{what}");
            assert_eq!(client.query(fetch)?.value(), "0", "{what}");
            assert_eq!(stage.look(&mut client, READ)?, on(PRIMARY, "1"), "{what}");
            client.query("COMMIT")?;
            // Nothing has moved it when more is asked for, by its name or of a portal.
            let mut client = begun(&stage, level, &[begin, declare])?;
            let run = [front::parse("", READ, &[]), front::bind("p", "", &[]), front::execute("p", 1)];
            assert_eq!(
                first_value(&ask(&mut client, &[&run[..], &[front::sync()]].concat())?)?,
                "0",
                "{what}"
            );
            write(&stage, "UPDATE t SET v = 1")?;
            assert_eq!(client.query(fetch)?.value(), "0", "{what}");
            first_value(&ask(&mut client, &[front::execute("p", 0), front::sync()])?)?;
            assert_eq!(stage.look(&mut client, READ)?, on(PRIMARY, "1"), "{what}");
            client.query("COMMIT")?;
            // Declared when the replica was too old for that.
            client.query(begin)?;
            client.query(declare)?;
            assert_eq!(client.query(fetch)?.value(), "1", "{what}");
            client.query("COMMIT")?;
            // The same behind a read.
            let mut client = begun(&stage, level, &[begin])?;
            write(&stage, "UPDATE t SET v = 1")?;
            client.query(declare)?;
            assert_eq!(client.query(fetch)?.value(), "1", "{what}");
            client.query("COMMIT")?;
            // The same where the transaction has a replica's connection.
            let mut client = begun(&stage, level, &[begin, "SET LOCAL app.tenant = 'seven'"])?;
            write(&stage, "UPDATE t SET v = 1")?;
            client.query(declare)?;
            assert_eq!(client.query(fetch)?.value(), "1", "{what}");
            client.query("COMMIT")?;
        }
    }
    Ok(())
}
