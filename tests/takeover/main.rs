//! A weir takes over from another one, and no client notices: `weir run --takeover`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod hazards;
mod stage;

use std::process::Stdio;
use std::time::Duration;

use harness::client::{Address, Client, Login, front};
use harness::{Cluster, Options, Papers, Result, WeirSetup, wait_for};
use stage::{PATIENCE, Successor, WEIR, furnish, is_furnished, pgbench, says, value, wait_end};

/// Clients that say nothing while one weir takes over from the other. `WEIR_TAKEOVER_CLIENTS` has it be others.
fn idle_clients() -> usize {
    std::env::var("WEIR_TAKEOVER_CLIENTS").map_or(100, |count| count.parse().unwrap())
}

/// A user who logs in without a password: a thousand logins should not be what a test spends its time with.
const QUICK: &str =
    "[[users]]\nname = \"quick\"\nauth = \"trust\"\nserver_user = \"app\"\nserver_password = \"app\"";

#[test]
fn an_upgrade_under_load_loses_no_connection_and_no_query() -> Result<()> {
    let cluster = Cluster::with(Options::new(1).setting("max_connections", "100"))?;
    let setup = WeirSetup::in_front_of(&cluster, 0..2).append(QUICK).set("pool", "size", "10");
    let mut weir = setup.set("listen", "drain_timeout", "\"60s\"").start(WEIR)?;
    let port = weir.port();
    assert!(pgbench(&cluster, port, &["-i", "-q"]).output()?.status.success());
    cluster.wait_caught_up()?;
    let login = Login::new("quick", "").database("app");
    let mut idle = (0..idle_clients())
        .map(|number| {
            let mut client = Client::connect(&weir.address(), &login)?;
            client.set_patience(PATIENCE);
            furnish(&mut client, number)?;
            Ok(client)
        })
        .collect::<Result<Vec<_>>>()?;
    let arguments = ["-n", "-c", "8", "-j", "2", "-M", "prepared", "-t", "300"];
    let mut bench = pgbench(&cluster, port, &arguments);
    let bench = bench.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    wait_for("pgbench to be at work", PATIENCE, || {
        let sessions = weir.metrics()?.sum("weir_sessions", &[("user", "app")]);
        Ok((sessions >= 8.0).then_some(()))
    })?;
    let successor = Successor::of(&weir)?;
    let told = bench.wait_with_output()?;
    let said = String::from_utf8_lossy(&[told.stdout, told.stderr].concat()).into_owned();
    let logs = || format!("{said}\n{}\n{}", weir.log(), successor.log());
    assert!(told.status.success() && said.contains("number of failed transactions: 0"), "{}", logs());
    assert!(said.contains("transactions actually processed: 2400/2400"), "{}", logs());
    wait_end(&mut weir)?;
    for (number, client) in idle.iter_mut().enumerate() {
        is_furnished(client, number)?;
    }
    assert!(says(&successor.log(), "has taken over"), "{}", successor.log());
    Ok(())
}

#[test]
fn a_client_comes_along_when_its_transaction_ends_and_hears_of_nothing_before() -> Result<()> {
    let cluster = Cluster::shared();
    cluster.sql(0, "CREATE TABLE handed (id int); ALTER TABLE handed OWNER TO app")?;
    let mut weir = WeirSetup::in_front_of(cluster, 0..2).start(WEIR)?;
    let (mut busy, mut idle) = (weir.connect()?, weir.connect()?);
    busy.set_patience(PATIENCE);
    furnish(&mut busy, 1)?;
    busy.query("BEGIN")?;
    busy.query("INSERT INTO handed VALUES (1)")?;
    busy.query("SET LOCAL timezone = 'Etc/GMT+9'")?;
    // Half of a request: it is the new one's to read the rest.
    let request = front::query("SELECT 'all of it'");
    idle.send_bytes(&request[..9])?;
    idle.read_within(Duration::from_millis(200))?;

    let successor = Successor::of(&weir)?;
    assert_eq!(busy.query("SHOW timezone")?.value(), "Etc/GMT+9");
    assert!(weir.exit_status().is_none(), "it has a client in a transaction");
    let mut new = weir.connect()?;
    assert_eq!(new.query("SELECT count(*) FROM handed")?.value(), "0", "it is not committed");
    busy.query("COMMIT")?;
    wait_end(&mut weir)?;
    is_furnished(&mut busy, 1)?;
    assert_eq!(busy.query("SELECT count(*) FROM handed")?.value(), "1");
    idle.send_bytes(&request[9..])?;
    assert_eq!(value(&idle.until_ready()?), "all of it");
    assert!(says(&successor.log(), "has taken over"), "{}", successor.log());
    let taken = weir.metrics()?.sum("weir_takeover_clients_total", &[]);
    assert_eq!(taken, 2.0);
    Ok(())
}

#[test]
fn a_cancel_request_finds_its_client_with_either() -> Result<()> {
    let cluster = Cluster::shared();
    let mut weir = WeirSetup::in_front_of(cluster, [0]).start(WEIR)?;
    let (mut stays, mut goes) = (weir.connect()?, weir.connect()?);
    stays.query("BEGIN")?;
    stays.query("SELECT pg_advisory_xact_lock(77)")?;
    let successor = Successor::of(&weir)?;
    wait_for("the idle one to come along", PATIENCE, || {
        Ok((weir.metrics()?.sum("weir_clients", &[]) >= 1.0).then_some(()))
    })?;
    for client in [&mut stays, &mut goes] {
        client.set_patience(PATIENCE);
        client.send(&[front::query("SELECT pg_sleep(300) /* to be cancelled */")])?;
        let running = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' \
                       AND query LIKE '%to be cancelled%' AND pid <> pg_backend_pid()";
        wait_for("it to run", PATIENCE, || Ok((cluster.sql(0, running)?.value() == "1").then_some(())))?;
        client.cancel()?;
        let heard = client.until_ready()?;
        let error = heard.iter().find_map(|message| message.error());
        assert_eq!(error.unwrap().sqlstate(), "57014", "{heard:?}");
    }
    stays.query("ROLLBACK")?;
    wait_end(&mut weir)?;
    assert!(says(&successor.log(), "has taken over"));
    assert_eq!(stays.query("SELECT 1")?.value(), "1");
    Ok(())
}

#[test]
fn who_cannot_be_moved_stays_until_it_leaves() -> Result<()> {
    let cluster = Cluster::shared();
    let papers = Papers::new()?;
    let setup = WeirSetup::in_front_of(cluster, [0]).encrypting_clients(&papers);
    let mut weir = setup.set("listen", "tls", "\"allow\"").start(WEIR)?;
    let mut encrypted = weir.connect()?;
    let plain = Address::local(weir.port());
    let connect = || Client::connect(&plain, &Login::new("app", "app"));
    let (mut listens, mut temporary, mut free) = (connect()?, connect()?, connect()?);
    listens.query("LISTEN handed_over")?;
    temporary.query("CREATE TEMP TABLE mine AS SELECT 7 AS it")?;

    let successor = Successor::of(&weir)?;
    free.query("SELECT 1")?;
    assert_eq!(encrypted.query("SELECT 2")?.value(), "2");
    assert_eq!(temporary.query("SELECT it FROM mine")?.value(), "7");
    free.query("NOTIFY handed_over, 'still here'")?;
    let heard = listens.read()?;
    assert_eq!(heard.tag, b'A', "{heard}");
    // It is nobody's turn to come by the old one.
    assert_eq!(Client::connect(&weir.address(), &Login::new("app", "app"))?.query("SELECT 3")?.value(), "3");
    assert!(weir.exit_status().is_none(), "{}", weir.log());
    temporary.query("DROP TABLE mine")?;
    temporary.query("DISCARD ALL")?;
    listens.query("UNLISTEN *")?;
    encrypted.close()?;
    wait_end(&mut weir)?;
    for client in [&mut listens, &mut temporary, &mut free] {
        assert_eq!(client.query("SELECT 4")?.value(), "4");
    }
    assert!(says(&successor.log(), "has taken over"), "{}", successor.log());
    Ok(())
}

#[test]
fn nobody_reads_by_the_new_one_less_than_was_acknowledged_by_the_old_one() -> Result<()> {
    let cluster = Cluster::with(Options::new(1))?;
    cluster
        .sql(0, "CREATE TABLE seen (v int); INSERT INTO seen VALUES (0); ALTER TABLE seen OWNER TO app")?;
    cluster.wait_caught_up()?;
    let setup = WeirSetup::in_front_of(&cluster, 0..2).set("routing", "consistency", "\"global\"");
    let mut weir = setup.set("routing", "freshness_wait", "\"100ms\"").start(WEIR)?;
    let (mut writer, mut stays, mut session) = (weir.connect()?, weir.connect()?, weir.connect()?);
    session.query("SET weir.consistency = session")?;
    stays.query("BEGIN")?;
    stays.query("SELECT pg_advisory_xact_lock(78)")?;
    cluster.pause_replay(1)?;
    session.query("UPDATE seen SET v = 1")?;
    writer.query("UPDATE seen SET v = 2")?;
    let read = "SELECT v FROM seen";

    let _successor = Successor::of(&weir)?;
    let mut new = weir.connect()?;
    assert_eq!(new.query(read)?.value(), "2", "what was written through the old one");
    assert_eq!(session.query(read)?.value(), "2", "what the session itself wrote, and more");
    assert_eq!(writer.query(read)?.value(), "2");
    // While both serve, each sees what the other has acknowledged.
    stays.query("UPDATE seen SET v = 3")?;
    stays.query("COMMIT AND CHAIN")?;
    assert_eq!(new.query(read)?.value(), "3", "what was written through the old one since");
    new.query("UPDATE seen SET v = 4")?;
    assert_eq!(stays.query(read)?.value(), "4", "what was written through the new one");
    stays.query("UPDATE seen SET v = 5")?;
    stays.query("COMMIT")?;
    wait_end(&mut weir)?;
    assert_eq!(new.query(read)?.value(), "5", "what was written last");
    cluster.resume_replay(1)?;
    Ok(())
}
