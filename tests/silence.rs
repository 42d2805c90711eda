//! Servers that fall silent while somebody has a connection to them, and primaries that are one no more.
//!
//! The kernel tells nobody of a frozen server: its connections stay open, and take what is written to them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::{Duration, Instant};

use harness::client::{Client, Message, ServerError, front};
use harness::{Cluster, Options, Result, Weir, WeirSetup, wait_for};
use rustix::process::{Pid, Signal, kill_process};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// As long as nothing that is given up early may take: the kernel would take a quarter of an hour.
const SOON: Duration = Duration::from_secs(10);

fn setup(cluster: &Cluster, lost_after: &str) -> WeirSetup {
    WeirSetup::in_front_of(cluster, 0..cluster.size())
        .at_any_age()
        .probing_quickly()
        .set("health", "lost_after", lost_after)
        .set("pool", "primary_wait", "\"30s\"")
}

/// A table that clients may write to.
fn with_table(replicas: usize) -> Result<Cluster> {
    let cluster = Cluster::with(Options::new(replicas))?;
    cluster.sql(0, "CREATE TABLE kept (id int); GRANT ALL ON kept TO app; GRANT pg_read_all_stats TO app")?;
    cluster.wait_caught_up()?;
    Ok(cluster)
}

/// A scene with frozen servers, which are thawed whatever comes of it: a frozen process cannot even be stopped.
fn thawed<T>(cluster: &Cluster, scene: impl FnOnce() -> Result<T>) -> Result<T> {
    let outcome = scene();
    for server in 0..cluster.size() {
        cluster.thaw(server)?;
    }
    outcome
}

/// Waits until weir takes a server for the primary.
fn wait_primary(weir: &Weir, server: &str) -> Result<()> {
    wait_for(&format!("{server} to be seen as the primary"), PATIENCE, || {
        let labels = [("server", server), ("role", "primary")];
        Ok((weir.metrics()?.sum("weir_server_role", &labels) == 1.0).then_some(()))
    })
}

fn says(client: &mut Client, sql: &str) -> Result<()> {
    client.query(sql).map(drop)
}

/// What the client hears is this error, soon, and the transaction status behind it.
fn hears(client: &mut Client, sqlstate: &str, status: char) -> Result<()> {
    let begun = Instant::now();
    let heard = client.until_ready()?;
    let errors: Vec<ServerError> = heard.iter().filter_map(Message::error).collect();
    assert_eq!(errors.iter().map(ServerError::sqlstate).collect::<Vec<_>>(), [sqlstate], "{heard:?}");
    assert_eq!(heard.last().unwrap().status(), Some(status), "{heard:?}");
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    Ok(())
}

/// The process that serves a client on a server, by what it has said last.
fn process_of(cluster: &Cluster, server: usize, said: &str) -> Result<Pid> {
    let sql = format!("SELECT pid FROM pg_stat_activity WHERE query = '{said}' AND pid <> pg_backend_pid()");
    let pid = cluster.sql(server, &sql)?.value().parse().unwrap();
    Ok(Pid::from_raw(pid).unwrap())
}

/// Two primaries: from the moment that weir believes the new one, nobody has a word with the old one.
#[test]
fn nobody_writes_to_a_deposed_primary() -> Result<()> {
    let cluster = with_table(1)?;
    let weir = setup(&cluster, "\"30s\"").start(WEIR)?;
    let (mut pinned, mut within, mut writing) = (weir.connect()?, weir.connect()?, weir.connect()?);
    says(&mut pinned, "CREATE TEMP TABLE mine (id int)")?;
    says(&mut within, "BEGIN")?;
    says(&mut within, "INSERT INTO kept VALUES (1)")?;
    writing.send(&[front::query("INSERT INTO kept SELECT 2 FROM pg_sleep(60)")])?;
    wait_for("the write to run", PATIENCE, || {
        let running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%SELECT 2 FROM pg_sleep%' \
                       AND pid <> pg_backend_pid()";
        Ok((cluster.sql(0, running)?.value() == "1").then_some(()))
    })?;
    cluster.promote(1)?;
    wait_primary(&weir, "replica1")?;
    hears(&mut writing, "08007", 'I')?;
    // It has what no other server has.
    assert!(pinned.is_closed_within(SOON)?);
    within.send(&[front::query("INSERT INTO kept VALUES (1)")])?;
    hears(&mut within, "08006", 'E')?;
    assert_eq!(within.query("ROLLBACK")?.tag, "ROLLBACK");
    let mark = cluster.mark();
    for client in [&mut within, &mut writing] {
        says(client, "INSERT INTO kept VALUES (3)")?;
    }
    assert_eq!(cluster.ran_on(&mark, "VALUES (3)"), [1, 1]);
    Ok(())
}

/// A commit that a frozen primary gets to when there is another primary already is nobody's commit.
#[test]
fn what_a_deposed_primary_says_when_it_thaws_is_not_passed_on() -> Result<()> {
    let cluster = with_table(1)?;
    let weir = setup(&cluster, "\"30s\"").start(WEIR)?;
    let mut client = weir.connect()?;
    says(&mut client, "BEGIN")?;
    says(&mut client, "INSERT INTO kept VALUES (1)")?;
    thawed(&cluster, || {
        cluster.freeze(0)?;
        client.send(&[front::query("COMMIT")])?;
        weir.wait_up("primary", 0.0)?;
        cluster.promote(1)?;
        wait_primary(&weir, "replica1")?;
        hears(&mut client, "08007", 'I')
    })?;
    says(&mut client, "INSERT INTO kept VALUES (2)")?;
    assert_eq!(cluster.sql(1, "SELECT string_agg(id::text, ',') FROM kept")?.value(), "2");
    Ok(())
}

/// A server whose probes fail may have been overtaken: what it says is passed on when one succeeds.
#[test]
fn what_a_silent_primary_says_waits_for_the_next_probe() -> Result<()> {
    let cluster = with_table(1)?;
    let weir = setup(&cluster, "\"30s\"").start(WEIR)?;
    for overtaken in [false, true] {
        let mut client = weir.connect()?;
        says(&mut client, "BEGIN")?;
        says(&mut client, "INSERT INTO kept VALUES (1)")?;
        let backend = process_of(&cluster, 0, "INSERT INTO kept VALUES (1)")?;
        thawed(&cluster, || {
            cluster.freeze(0)?;
            client.send(&[front::query("COMMIT")])?;
            weir.wait_up("primary", 0.0)?;
            // This process alone goes on, and answers. Its words reach weir well within that time.
            kill_process(backend, Signal::CONT).unwrap();
            assert!(client.read_within(Duration::from_millis(1500))?.is_none(), "an answer was passed on");
            if overtaken {
                cluster.promote(1)?;
                return hears(&mut client, "08007", 'I');
            }
            cluster.thaw(0)?;
            let heard = client.until_ready()?;
            assert!(heard.iter().all(|message| message.error().is_none()), "{heard:?}");
            assert_eq!(heard.last().unwrap().status(), Some('I'));
            assert_eq!(client.query("SELECT 1")?.value(), "1");
            Ok(())
        })?;
    }
    Ok(())
}

/// Nobody waits for the dead: what runs there is given up, what can run elsewhere does, and what waited for its client
/// fails at the next word.
#[test]
fn what_a_silent_primary_does_not_answer_is_given_up() -> Result<()> {
    let cluster = with_table(1)?;
    let weir = setup(&cluster, "\"1s\"").start(WEIR)?;
    let mut clients: Vec<Client> = (0..4).map(|_| weir.connect()).collect::<Result<_>>()?;
    let [within, committing, pinned, reading] = &mut clients[..] else { unreachable!() };
    for client in [&mut *within, &mut *committing] {
        says(client, "BEGIN")?;
        says(client, "INSERT INTO kept VALUES (1)")?;
    }
    says(pinned, "CREATE TEMP TABLE mine (id int)")?;
    says(reading, "BEGIN READ ONLY")?;
    thawed(&cluster, || {
        cluster.freeze(0)?;
        committing.send(&[front::query("COMMIT")])?;
        pinned.send(&[front::query("INSERT INTO kept VALUES (2)")])?;
        weir.wait_up("primary", 0.0)?;
        let begun = Instant::now();
        within.send(&[front::query("INSERT INTO kept VALUES (1)")])?;
        hears(within, "08006", 'E')?;
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
        assert_eq!(within.query("ROLLBACK")?.tag, "ROLLBACK");
        hears(committing, "08007", 'I')?;
        assert!(pinned.is_closed_within(SOON)?);
        // What can be read elsewhere is.
        says(reading, "SELECT count(*) FROM kept")?;
        assert_eq!(reading.query("COMMIT")?.tag, "COMMIT");
        Ok(())
    })?;
    for client in [within, committing, reading] {
        wait_for("the primary", PATIENCE, || client.query("INSERT INTO kept VALUES (3)").map(Some))?;
    }
    Ok(())
}

/// A pause that is shorter costs nobody anything.
#[test]
fn a_short_silence_is_waited_out() -> Result<()> {
    let cluster = with_table(0)?;
    let weir = setup(&cluster, "\"30s\"").start(WEIR)?;
    let (mut committing, mut pinned) = (weir.connect()?, weir.connect()?);
    says(&mut committing, "BEGIN")?;
    says(&mut committing, "INSERT INTO kept VALUES (1)")?;
    says(&mut pinned, "CREATE TEMP TABLE mine (id int)")?;
    thawed(&cluster, || {
        cluster.freeze(0)?;
        committing.send(&[front::query("COMMIT")])?;
        weir.wait_up("primary", 0.0)?;
        pinned.send(&[front::query("INSERT INTO mine VALUES (1) RETURNING id")])?;
        assert!(pinned.read_within(Duration::from_millis(500))?.is_none());
        Ok(())
    })?;
    for client in [&mut committing, &mut pinned] {
        let heard = client.until_ready()?;
        assert!(heard.iter().all(|message| message.error().is_none()), "{heard:?}");
    }
    assert_eq!(cluster.sql(0, "SELECT count(*) FROM kept")?.value(), "1");
    Ok(())
}

/// A transaction that keeps one snapshot and has read cannot move. One that has not read can.
#[test]
fn a_snapshot_on_a_frozen_replica_is_given_up() -> Result<()> {
    let cluster = with_table(1)?;
    let weir = setup(&cluster, "\"1s\"").start(WEIR)?;
    let (mut begun, mut idle, mut fresh) = (weir.connect()?, weir.connect()?, weir.connect()?);
    for client in [&mut begun, &mut idle, &mut fresh] {
        says(client, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
    }
    let mark = cluster.mark();
    for client in [&mut begun, &mut idle] {
        says(client, "SELECT count(*) FROM kept")?;
    }
    assert_eq!(cluster.ran_on(&mark, "count(*) FROM kept"), [1, 1]);
    thawed(&cluster, || {
        cluster.freeze(1)?;
        for client in [&mut begun, &mut fresh] {
            client.send(&[front::query("SELECT count(*) FROM kept")])?;
        }
        weir.wait_up("replica1", 0.0)?;
        hears(&mut begun, "08006", 'E')?;
        idle.send(&[front::query("SELECT count(*) FROM kept")])?;
        hears(&mut idle, "08006", 'E')?;
        let heard = fresh.until_ready()?;
        assert!(heard.iter().all(|message| message.error().is_none()), "{heard:?}");
        for client in [&mut begun, &mut idle, &mut fresh] {
            says(client, "ROLLBACK")?;
            says(client, "SELECT count(*) FROM kept")?;
        }
        Ok(())
    })
}
