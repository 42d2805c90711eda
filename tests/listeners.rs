//! Clients that LISTEN by one connection that they share: what they hear, when, from whom, and what it costs the others.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use harness::client::{Client, Login, Message, front};
use harness::{Cluster, Options, Result, Stop, Weir, WeirSetup, wait_for};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The connections that listen for clients, as the primary has them.
const FEEDS: &str = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'weir (listens%'";

fn before(pool_size: &str) -> WeirSetup {
    WeirSetup::in_front_of(Cluster::shared(), [0]).set("pool", "size", pool_size)
}

/// A notification: from whom, and what.
fn notification(message: &Message) -> Option<(u32, String)> {
    let (pid, rest) = message.body.split_first_chunk::<4>().filter(|_| message.tag == b'A')?;
    let words: Vec<_> = rest.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    Some((u32::from_be_bytes(*pid), format!("{} {}", words[0], words[1])))
}

fn heard(messages: &[Message]) -> Vec<(u32, String)> {
    messages.iter().filter_map(notification).collect()
}

fn ask(client: &mut Client, sql: &str) -> Result<Vec<Message>> {
    client.ask(&[front::query(sql)])
}

fn pid(client: &Client) -> u32 {
    client.key().unwrap().pid
}

/// The next message must be this notification.
fn hears(client: &mut Client, from: u32, what: &str) -> Result<()> {
    let message = client.read()?;
    assert_eq!(notification(&message), Some((from, what.to_owned())), "{message}");
    Ok(())
}

/// The client is closed with this SQLSTATE, whatever it hears before.
fn is_closed(client: &mut Client, sqlstate: &str) -> Result<()> {
    loop {
        let message = client.read()?;
        if let Some(error) = message.error() {
            assert_eq!((error.severity(), error.sqlstate()), ("FATAL", sqlstate), "{error}");
            break;
        }
    }
    assert!(client.is_closed_within(PATIENCE)?);
    Ok(())
}

/// Waits until the primary has so many connections that listen for clients.
fn wait_feeds(cluster: &Cluster, count: usize) -> Result<()> {
    wait_for(&format!("{count} connections that listen"), PATIENCE, || {
        Ok((cluster.sql(cluster.primary(), FEEDS)?.rows.len() == count).then_some(()))
    })
}

fn pinned(weir: &Weir) -> Result<f64> {
    Ok(weir.metrics()?.sum("weir_pinned_sessions", &[]))
}

#[test]
fn twenty_workers_that_listen_leave_two_connections_to_everybody() -> Result<()> {
    let cluster = Cluster::shared();
    cluster.sql(0, "CREATE TABLE jobs (id int, worker int); GRANT ALL ON jobs TO app")?;
    let weir = before("2").start(WEIR)?;
    let mut workers = (0..20).map(|_| weir.connect()).collect::<Result<Vec<_>>>()?;
    for worker in &mut workers {
        // As graphile-worker does it.
        assert_eq!(heard(&ask(worker, "LISTEN \"jobs:insert\"; LISTEN \"worker:migrate\"")?), []);
    }
    let mut other = weir.connect()?;
    for round in 0..3 {
        other.query(&format!("INSERT INTO jobs VALUES ({round}, -1); NOTIFY \"jobs:insert\", '{round}'"))?;
        for (number, worker) in workers.iter_mut().enumerate() {
            hears(worker, pid(&other), &format!("jobs:insert {round}"))?;
            worker.query(&format!("UPDATE jobs SET worker = {number} WHERE id = {round}"))?;
        }
    }
    assert_eq!(pinned(&weir)?, 0.0);
    let metrics = weir.metrics()?;
    assert_eq!(
        (metrics.sum("weir_listeners", &[]), metrics.sum("weir_listen_connections", &[])),
        (20.0, 1.0)
    );
    // The other tests' weirs have their own.
    let mine = format!("{FEEDS} AND datname = 'app' AND usename = 'app'");
    assert!(!cluster.sql(0, &mine)?.rows.is_empty());
    assert_eq!(weir.metrics()?.sum("weir_timeouts_total", &[]), 0.0);
    assert_eq!(other.query("SELECT count(*) FROM jobs")?.value(), "3");
    Ok(())
}

#[test]
fn each_hears_by_whom_it_was_notified_and_itself_before_it_is_told_that_it_is_done() -> Result<()> {
    let weir = before("1").start(WEIR)?;
    let (mut one, mut two, mut third) = (weir.connect()?, weir.connect()?, weir.connect()?);
    for client in [&mut one, &mut two] {
        client.query("LISTEN people")?;
    }
    for round in 0..50 {
        // One process serves all of them in turn.
        let (word, own) =
            (format!("people {round}"), |client: &Client, word: &str| vec![(pid(client), word.to_owned())]);
        let said = ask(&mut one, &format!("NOTIFY people, '{round}'"))?;
        assert_eq!(heard(&said), own(&one, &word), "{said:?}");
        assert_eq!(said.last().map(|last| last.tag), Some(b'Z'));
        let again = ask(&mut two, &format!("SELECT pg_notify('people', '{round}')"))?;
        assert_eq!(heard(&again), [own(&one, &word), own(&two, &word)].concat(), "{again:?}");
        hears(&mut one, pid(&two), &word)?;
        ask(&mut third, &format!("NOTIFY people, '{round}'"))?;
        hears(&mut one, pid(&third), &word)?;
        hears(&mut two, pid(&third), &word)?;
    }
    Ok(())
}

#[test]
fn nothing_is_heard_that_came_before_and_all_that_comes_after() -> Result<()> {
    let weir = before("2").start(WEIR)?;
    let (mut early, mut other) = (weir.connect()?, weir.connect()?);
    early.query("LISTEN times")?;
    for round in 0..50 {
        let mut late = weir.connect()?;
        other.query("NOTIFY times, 'before'")?;
        let said = match round % 2 {
            0 => ask(&mut late, "LISTEN times")?,
            _ => late.ask(&[
                front::parse("", "LISTEN times", &[]),
                front::bind("", "", &[]),
                front::execute("", 0),
                front::sync(),
            ])?,
        };
        assert_eq!(heard(&said), [], "{said:?}");
        other.query("NOTIFY times, 'after'")?;
        hears(&mut late, pid(&other), "times after")?;
        hears(&mut early, pid(&other), "times before")?;
        hears(&mut early, pid(&other), "times after")?;
    }
    Ok(())
}

#[test]
fn a_connection_keeps_nothing_of_a_listen_that_passed() -> Result<()> {
    let weir = before("1").start(WEIR)?;
    let (mut listener, mut other) = (weir.connect()?, weir.connect()?);
    for says in
        ["LISTEN traces", "BEGIN; LISTEN traces; COMMIT", "LISTEN traces; SELECT pg_listening_channels()"]
    {
        listener.query(says)?;
        assert_eq!(listener.query("SELECT pg_listening_channels()")?.value(), "traces");
        // A function that weir cannot look into.
        let found = other.query("SELECT count(*) FROM (SELECT pg_listening_channels()) c")?;
        assert_eq!(found.value(), "0", "behind {says}");
        assert_eq!(heard(&ask(&mut other, "NOTIFY traces")?), []);
        hears(&mut listener, pid(&other), "traces ")?;
        listener.query("UNLISTEN *")?;
        assert_eq!(heard(&ask(&mut listener, "NOTIFY traces")?), []);
    }
    assert_eq!(pinned(&weir)?, 0.0);
    Ok(())
}

#[test]
fn what_cannot_be_shared_keeps_its_connection() -> Result<()> {
    let weir = before("4").start(WEIR)?;
    let mut other = weir.connect()?;
    for (says, notifies, hears_what) in [
        ("LISTEN \"Käse\"", "NOTIFY \"Käse\"", "Käse "),
        ("DO $$ BEGIN EXECUTE 'LISTEN hidden'; END $$", "NOTIFY hidden", "hidden "),
    ] {
        let mut client = weir.connect()?;
        client.query(says)?;
        assert_eq!(pinned(&weir)?, 1.0, "{says}");
        other.query(notifies)?;
        hears(&mut client, pid(&other), hears_what)?;
        client.close()?;
        wait_for("the pin to go", PATIENCE, || Ok((pinned(&weir)? == 0.0).then_some(())))?;
    }
    let weir = before("4").set("pool", "listen", "\"pinned\"").start(WEIR)?;
    let (mut client, mut other) = (weir.connect()?, weir.connect()?);
    client.query("LISTEN here")?;
    assert_eq!(pinned(&weir)?, 1.0);
    other.query("NOTIFY here")?;
    hears(&mut client, pid(&other), "here ")
}

#[test]
fn who_hears_of_a_write_reads_it() -> Result<()> {
    let cluster = Cluster::start()?;
    cluster.sql(0, "CREATE TABLE news (id int); GRANT ALL ON news TO app")?;
    cluster.wait_caught_up()?;
    let weir = WeirSetup::in_front_of(&cluster, 0..cluster.size()).start(WEIR)?;
    let (mut listener, mut past) = (weir.connect()?, cluster.connect(0)?);
    listener.query("LISTEN news")?;
    (1..cluster.size()).try_for_each(|replica| cluster.pause_replay(replica))?;
    // By nobody whom weir knows of.
    past.query("BEGIN; INSERT INTO news VALUES (1); NOTIFY news; COMMIT")?;
    hears(&mut listener, pid(&past), "news ")?;
    assert_eq!(listener.query("SELECT count(*) FROM news")?.value(), "1");
    // The same of what was written just before somebody begins to listen.
    let mut late = weir.connect()?;
    past.query("INSERT INTO news VALUES (2)")?;
    late.query("LISTEN news")?;
    assert_eq!(late.query("SELECT count(*) FROM news")?.value(), "2");
    (1..cluster.size()).try_for_each(|replica| cluster.resume_replay(replica))
}

#[test]
fn who_takes_nothing_is_closed_and_others_hear_all() -> Result<()> {
    let weir = before("2").set("pool", "notification_queue", "\"256kB\"").start(WEIR)?;
    let (mut busy, mut deaf, mut eager) = (weir.connect()?, weir.connect()?, weir.connect()?);
    for client in [&mut busy, &mut deaf, &mut eager] {
        client.query("LISTEN flood")?;
    }
    busy.query("BEGIN")?;
    busy.query("SELECT 1")?;
    let mut other = weir.connect()?;
    let before = weir.rss_kb();
    for round in 0..2_000 {
        other.query(&format!("SELECT pg_notify('flood', '{round} ' || repeat('x', 7000))"))?;
        let heard = eager.read()?;
        let (_, what) = notification(&heard).unwrap();
        assert!(what.starts_with(&format!("flood {round} ")), "{what}");
    }
    is_closed(&mut busy, "54000")?;
    // What was on its way to it is bounded as well.
    assert!(weir.rss_kb() < before + 16 * 1024, "{} kB, then {} kB", before, weir.rss_kb());
    let closed = |client: &mut Client| client.is_closed_within(PATIENCE);
    assert!(closed(&mut deaf)?);
    assert_eq!(other.query("SELECT 1")?.value(), "1");
    Ok(())
}

/// A weir in front of a cluster of its own, with a client that listens and one in a transaction that does.
fn stage(options: Options) -> Result<(Cluster, Weir, Client, Client)> {
    let cluster = Cluster::with(options)?;
    let weir = WeirSetup::in_front_of(&cluster, 0..cluster.size()).probing_quickly().start(WEIR)?;
    let (mut idle, mut busy) = (weir.connect()?, weir.connect()?);
    idle.query("LISTEN fate")?;
    busy.query("LISTEN fate")?;
    Ok((cluster, weir, idle, busy))
}

#[test]
fn a_feed_that_is_lost_is_told_between_transactions_and_opened_anew_for_others() -> Result<()> {
    let (cluster, weir, mut idle, mut busy) = stage(Options::new(0))?;
    wait_feeds(&cluster, 1)?;
    busy.query("BEGIN; CREATE TABLE done (id int)")?;
    cluster.sql(0, &format!("SELECT pg_terminate_backend(pid) FROM ({FEEDS}) f"))?;
    is_closed(&mut idle, "57P01")?;
    // Its transaction has lost nothing.
    busy.query("INSERT INTO done VALUES (1)")?;
    assert_eq!(busy.query("COMMIT")?.tag, "COMMIT");
    is_closed(&mut busy, "57P01")?;
    let mut again = weir.connect()?;
    again.query("LISTEN fate")?;
    let said = ask(&mut again, "NOTIFY fate")?;
    assert_eq!(heard(&said), [(pid(&again), "fate ".to_owned())]);
    assert_eq!(again.query("SELECT count(*) FROM done")?.value(), "1");
    // With the last client goes the connection.
    again.close()?;
    wait_feeds(&cluster, 0)
}

#[test]
fn listeners_are_told_of_another_primary() -> Result<()> {
    for frozen in [false, true] {
        let (cluster, weir, mut idle, mut busy) = stage(Options::new(1))?;
        if frozen {
            cluster.freeze(0)?;
        } else {
            cluster.stop(0, Stop::Immediate)?;
        }
        cluster.promote(1)?;
        is_closed(&mut idle, "57P01")?;
        is_closed(&mut busy, "57P01")?;
        let mut again = wait_for("somebody to listen on the new primary", PATIENCE, || {
            let mut again = weir.connect()?;
            Ok(again.query("LISTEN fate").is_ok().then_some(again))
        })?;
        let mut past = Client::connect(&cluster.address(1), &Login::new("app", "app"))?;
        past.query("NOTIFY fate, 'goes on'")?;
        hears(&mut again, pid(&past), "fate goes on")?;
        if frozen {
            cluster.thaw(0)?;
        }
    }
    Ok(())
}

#[test]
fn a_server_without_room_says_so_and_the_session_goes_on() -> Result<()> {
    let cluster = Cluster::with(Options::new(0))?;
    let weir = WeirSetup::in_front_of(&cluster, [0]).set("pool", "size", "1").start(WEIR)?;
    let mut client = weir.connect()?;
    client.query("SELECT pg_backend_pid() + 0")?;
    let there = cluster.sql(0, "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'")?;
    cluster.sql(0, &format!("ALTER ROLE app CONNECTION LIMIT {}", there.value()))?;
    let refused = ask(&mut client, "LISTEN anything")?;
    assert_eq!(refused.iter().find_map(Message::error).unwrap().sqlstate(), "53300");
    assert_eq!(client.query("SELECT 1")?.value(), "1");
    cluster.sql(0, "ALTER ROLE app CONNECTION LIMIT -1")?;
    client.query("LISTEN anything")?;
    assert_eq!(heard(&ask(&mut client, "NOTIFY anything")?).len(), 1);
    Ok(())
}

#[test]
fn a_client_that_does_not_speak_is_told_between_its_transactions() -> Result<()> {
    let weir = before("2").start(WEIR)?;
    let (mut quiet, mut other) = (weir.connect()?, weir.connect()?);
    quiet.query("LISTEN whisper")?;
    for word in ["one", "two", "three"] {
        other.query(&format!("BEGIN; NOTIFY whisper, '{word}'; NOTIFY whisper, '{word}'; COMMIT"))?;
        hears(&mut quiet, pid(&other), &format!("whisper {word}"))?;
    }
    // Who is in a transaction hears at its end.
    quiet.query("BEGIN")?;
    quiet.query("CREATE TEMP TABLE brief (id int) ON COMMIT DROP")?;
    other.query("NOTIFY whisper, 'later'")?;
    assert_eq!(heard(&ask(&mut quiet, "SELECT 1")?), []);
    assert_eq!(heard(&ask(&mut quiet, "ROLLBACK")?), [(pid(&other), "whisper later".to_owned())]);
    Ok(())
}
