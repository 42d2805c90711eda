//! What is not run again when its connection is lost: it may be committed already, or the rest of it is lost.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use harness::client::{Client, Message, front};
use harness::{Cluster, Options, Result, Weir, WeirSetup, wait_for};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A primary with a table and no replica: everything runs there.
fn alone() -> Result<(Cluster, Weir)> {
    let cluster = Cluster::with(Options::new(0))?;
    cluster.sql(0, "CREATE TABLE kept (id int); GRANT ALL ON kept TO app")?;
    let weir = WeirSetup::in_front_of(&cluster, 0..1).probing_quickly().start(WEIR)?;
    Ok((cluster, weir))
}

/// Ends the one server process that is like this.
fn terminate(cluster: &Cluster, like: &str) -> Result<()> {
    let of_it = format!("FROM pg_stat_activity WHERE {like} AND pid <> pg_backend_pid()");
    wait_for(&format!("a process with {like}"), PATIENCE, || {
        Ok((cluster.sql(0, &format!("SELECT count(*) {of_it}"))?.value() == "1").then_some(()))
    })?;
    cluster.sql(0, &format!("SELECT pg_terminate_backend(pid, 10000) {of_it}")).map(drop)
}

/// The statements as one batch, without its end.
fn batch(statements: &[&str]) -> Vec<Vec<u8>> {
    let run = |sql: &&str| [front::parse("", sql, &[]), front::bind("", "", &[]), front::execute("", 0)];
    statements.iter().flat_map(run).collect()
}

/// The errors that are the answer to what is in flight; or the connection is closed.
fn refused(client: &mut Client) -> Result<Vec<String>> {
    let heard = client.until_ready()?;
    Ok(heard.iter().filter_map(Message::error).map(|error| error.sqlstate().to_owned()).collect())
}

fn count(cluster: &Cluster) -> Result<String> {
    Ok(cluster.sql(0, "SELECT count(*) FROM kept")?.value().to_owned())
}

/// The server waits for a standby when it has committed, and is lost before it can say so.
#[test]
fn what_may_be_committed_is_not_run_again() -> Result<()> {
    let (cluster, weir) = alone()?;
    for statements in [
        ["INSERT INTO kept VALUES (1)", "COMMIT"],
        ["INSERT INTO kept VALUES (1)", "COMMIT AND CHAIN"],
        ["ROLLBACK", "INSERT INTO kept VALUES (1)"],
        ["COMMIT", "INSERT INTO kept VALUES (1)"],
    ] {
        let extended = [batch(&statements), vec![front::sync()]].concat();
        for request in [vec![front::query(statements.join(";"))], extended] {
            let mut client = weir.connect()?;
            client.query("BEGIN")?;
            cluster.set(0, "synchronous_standby_names", "nobody")?;
            client.send(&request)?;
            terminate(&cluster, "wait_event = 'SyncRep'")?;
            cluster.set(0, "synchronous_standby_names", "''")?;
            assert_eq!(refused(&mut client)?, ["08007"], "{statements:?}");
            assert_eq!(count(&cluster)?, "1", "{statements:?}");
            cluster.sql(0, "TRUNCATE kept")?;
        }
    }
    Ok(())
}

/// It lasts, and whoever has prepared it must look for it.
#[test]
fn what_may_be_prepared_is_said_to_be_unknown() -> Result<()> {
    let cluster = Cluster::with(Options::new(0).setting("max_prepared_transactions", "5"))?;
    cluster.sql(0, "CREATE TABLE kept (id int); GRANT ALL ON kept TO app")?;
    let weir = WeirSetup::in_front_of(&cluster, 0..1).probing_quickly().start(WEIR)?;
    let extended = |sql: &str| [batch(&[sql]), vec![front::sync()]].concat();
    for request in [vec![front::query("PREPARE TRANSACTION 'a'")], extended("PREPARE TRANSACTION 'b'")] {
        let mut client = weir.connect()?;
        client.query("BEGIN")?;
        client.query("INSERT INTO kept VALUES (1)")?;
        cluster.set(0, "synchronous_standby_names", "nobody")?;
        client.send(&request)?;
        terminate(&cluster, "wait_event = 'SyncRep'")?;
        cluster.set(0, "synchronous_standby_names", "''")?;
        assert_eq!(refused(&mut client)?, ["08007"]);
    }
    assert_eq!(cluster.sql(0, "SELECT count(*) FROM pg_prepared_xacts")?.value(), "2");
    Ok(())
}

/// What was sent of a batch before is lost as well.
#[test]
fn the_rest_of_a_batch_is_not_run_without_its_beginning() -> Result<()> {
    let (cluster, weir) = alone()?;
    let mut client = weir.connect()?;
    client.send(&[batch(&["INSERT INTO kept VALUES (1)"]), vec![front::flush()]].concat())?;
    while client.read()?.tag != b'C' {}
    client.send(&[batch(&["SELECT 'rest' FROM pg_sleep(2)"]), vec![front::sync()]].concat())?;
    terminate(&cluster, "query LIKE '%rest%' AND state = 'active'")?;
    assert_eq!(refused(&mut client)?, ["57P01"]);
    assert_eq!(count(&cluster)?, "0");
    Ok(())
}

/// A session that keeps its connection may have on it what weir has not seen.
#[test]
fn nothing_is_run_again_without_the_state_of_its_session() -> Result<()> {
    let (cluster, _) = alone()?;
    cluster.sql(0, "CREATE FUNCTION leaves() RETURNS int LANGUAGE sql AS 'SELECT 1'")?;
    let mode = WeirSetup::in_front_of(&cluster, 0..1).probing_quickly().set("pool", "mode", "\"session\"");
    let weir = mode.start(WEIR)?;
    for request in [
        "SELECT 'goes' FROM pg_sleep(2)",
        "BEGIN; INSERT INTO kept SELECT 1 FROM (SELECT 'goes' FROM pg_sleep(2)) s",
    ] {
        let mut client = weir.connect()?;
        client.query("SELECT leaves()")?;
        client.send(&[front::query(request)])?;
        terminate(&cluster, "query LIKE '%goes%' AND state = 'active'")?;
        let error = loop {
            if let Some(error) = client.read()?.error() {
                break error;
            }
        };
        assert_eq!(error.sqlstate(), "57P01", "{request}");
        assert!(client.is_closed_within(PATIENCE)?, "{request}");
    }
    Ok(())
}

/// The server throws the rest away, and another one would not.
#[test]
fn what_follows_an_error_in_its_batch_is_not_run() -> Result<()> {
    let (cluster, weir) = alone()?;
    let mut client = weir.connect()?;
    client.query("BEGIN")?;
    client.send(&[batch(&["SELECT 1 / (SELECT count(*) FROM kept)"]), vec![front::flush()]].concat())?;
    while client.read()?.tag != b'E' {}
    cluster.freeze(0)?;
    let sent = client.send(&[batch(&["INSERT INTO kept VALUES (1)"]), vec![front::sync()]].concat());
    let seen = weir.wait_up("primary", 0.0);
    cluster.thaw(0)?;
    sent.and(seen)?;
    let heard = client.until_ready()?;
    assert_eq!(heard.last().unwrap().status(), Some('E'), "{heard:?}");
    assert_eq!(client.query("COMMIT")?.tag, "ROLLBACK");
    assert_eq!(count(&cluster)?, "0");
    Ok(())
}

/// On a replica, too.
#[test]
fn what_follows_an_error_on_a_replica_is_not_run() -> Result<()> {
    let cluster = Cluster::with(Options::new(1))?;
    cluster.sql(0, "CREATE TABLE kept (id int); GRANT ALL ON kept TO app")?;
    cluster.wait_caught_up()?;
    let weir = WeirSetup::in_front_of(&cluster, 0..2).probing_quickly().at_any_age().start(WEIR)?;
    for begin in [None, Some("BEGIN")] {
        let mut client = weir.connect()?;
        begin.map(|begin| client.query(begin)).transpose()?;
        let mark = cluster.mark();
        let fails = "SELECT 1 / (SELECT count(*) FROM kept)";
        client.send(&[batch(&[fails]), vec![front::flush()]].concat())?;
        while client.read()?.tag != b'E' {}
        assert_eq!(cluster.ran_on(&mark, fails), [1]);
        cluster.freeze(1)?;
        let sent = client.send(&[batch(&["INSERT INTO kept VALUES (1)"]), vec![front::sync()]].concat());
        let heard = sent.and_then(|()| client.until_ready());
        cluster.thaw(1)?;
        let (heard, status) = (heard?, if begin.is_some() { 'E' } else { 'I' });
        assert_eq!(heard.last().unwrap().status(), Some(status), "{heard:?}");
        assert!(heard.iter().all(|message| message.tag != b'C'), "{heard:?}");
        assert_eq!(count(&cluster)?, "0");
        weir.wait_up("replica1", 1.0)?;
    }
    Ok(())
}

#[test]
fn a_copy_whose_data_was_sent_ahead_is_told_of_its_loss() -> Result<()> {
    let (cluster, weir) = alone()?;
    let (mut admin, mut client) = (cluster.admin(0)?, weir.connect()?);
    client.query("BEGIN")?;
    admin.query("BEGIN; LOCK TABLE kept")?;
    client.send(&[front::query("COPY kept FROM STDIN"), front::copy_data("1\n"), front::copy_done()])?;
    terminate(&cluster, "query LIKE 'COPY%' AND state = 'active'")?;
    admin.query("COMMIT")?;
    assert_eq!(refused(&mut client)?, ["57P01"]);
    assert_eq!(client.query("COMMIT")?.tag, "ROLLBACK");
    Ok(())
}
