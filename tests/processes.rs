//! What lives in one server process and shows: who notifies, and that a session comes back to where it was.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use harness::client::{Client, Message, front};
use harness::{Cluster, Options, Result, Weir, WeirSetup};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

fn start() -> Result<Weir> {
    WeirSetup::in_front_of(Cluster::shared(), 0..1).set("pool", "size", "4").start(WEIR)
}

fn pid(client: &Client) -> u32 {
    client.key().unwrap().pid
}

/// The sender's process ID and the payload.
fn notification(message: &Message) -> (u32, String) {
    let pid = u32::from_be_bytes(message.body[..4].try_into().unwrap());
    let texts: Vec<_> = message.body[4..].split(|byte| *byte == 0).collect();
    (pid, String::from_utf8(texts[1].to_vec()).unwrap())
}

#[test]
fn a_notification_tells_which_client_sent_it() -> Result<()> {
    let weir = start()?;
    let (mut listener, mut writer, mut other) = (weir.connect()?, weir.connect()?, weir.connect()?);
    listener.query("LISTEN processes")?;
    writer.query("NOTIFY processes, 'by another'")?;
    assert_eq!(notification(&listener.read()?), (pid(&writer), "by another".to_owned()));
    // Over the connection that was the other's a moment ago.
    other.query("BEGIN")?;
    other.query("SELECT pg_notify('processes', 'in a transaction')")?;
    other.query("COMMIT")?;
    assert_eq!(notification(&listener.read()?), (pid(&other), "in a transaction".to_owned()));
    let heard = listener.ask(&[front::query("NOTIFY processes, 'by itself'")])?;
    let own = heard.iter().find(|message| message.tag == b'A').unwrap();
    assert_eq!(notification(own), (pid(&listener), "by itself".to_owned()));
    // One that is no client of weir's keeps its own.
    let mut stranger = Cluster::shared().connect(0)?;
    stranger.query("NOTIFY processes, 'from elsewhere'")?;
    let expected: u32 = stranger.query("SELECT pg_backend_pid()")?.value().parse().unwrap();
    assert_eq!(notification(&listener.read()?), (expected, "from elsewhere".to_owned()));
    Ok(())
}

#[test]
fn a_session_comes_back_to_its_process_while_nobody_needs_that() -> Result<()> {
    let weir = start()?;
    let mut clients: Vec<Client> = (0..3).map(|_| weir.connect()).collect::<Result<_>>()?;
    // All at once, so that each has its own.
    clients.iter_mut().try_for_each(|client| client.query("BEGIN; SELECT 1").map(drop))?;
    let process = |client: &mut Client| -> Result<String> {
        Ok(client.query("SELECT pg_backend_pid() + 0")?.value().to_owned())
    };
    let before = clients.iter_mut().map(process).collect::<Result<Vec<_>>>()?;
    assert!(before[0] != before[1] && before[1] != before[2] && before[2] != before[0], "{before:?}");
    clients.iter_mut().try_for_each(|client| client.query("COMMIT").map(drop))?;
    for _ in 0..3 {
        for (client, before) in clients.iter_mut().zip(&before) {
            assert_eq!(process(client)?, *before);
        }
    }
    Ok(())
}

/// Who has drawn from a sequence and asks for it is told its own number or none, however many others draw meanwhile;
/// its own, if it asks at once.
#[test]
fn what_was_drawn_is_known_to_who_drew_it() -> Result<()> {
    let cluster = Cluster::with(Options::new(1))?;
    cluster.sql(
        0,
        "SET ROLE app; CREATE TABLE drawn (id serial, by int); CREATE SEQUENCE never; CREATE TABLE plain (id int)",
    )?;
    cluster.wait_caught_up()?;
    let weir = WeirSetup::in_front_of(&cluster, 0..2).at_any_age().set("pool", "size", "4").start(WEIR)?;
    let undefined = |client: &mut Client, sql: &str| -> Result<()> {
        let error = client.query(sql).unwrap_err();
        assert_eq!(error.sqlstate(), Some("55000"), "{sql}: {error}");
        Ok(())
    };
    undefined(&mut weir.connect()?, "SELECT lastval()")?;
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let others: Vec<_> = (0..3)
            .map(|n| {
                let (weir, over) = (&weir, &over);
                scope.spawn(move || -> Result<()> {
                    let mut client = weir.connect()?;
                    while !over.load(Ordering::SeqCst) {
                        client.query(&format!("INSERT INTO drawn (by) VALUES ({n})"))?;
                        client.query("INSERT INTO plain VALUES (1)")?;
                    }
                    Ok(())
                })
            })
            .collect();
        let own = || -> Result<()> {
            let mut told_right = 0;
            for by in 10..60 {
                let mut client = weir.connect()?;
                undefined(&mut client, "SELECT currval('drawn_id_seq')")?;
                client.query(&format!("INSERT INTO drawn (by) VALUES ({by})"))?;
                match client.query("SELECT currval('drawn_id_seq')") {
                    Ok(told) => {
                        let last = client.query("SELECT lastval()")?;
                        let sql = format!("/* weir: primary */ SELECT id FROM drawn WHERE by = {by}");
                        let drawn = client.query(&sql)?;
                        assert_eq!([told.value(), last.value()], [drawn.value(); 2]);
                        told_right += 1;
                    }
                    // This process was not served for so long that others got its connection.
                    Err(error) => assert_eq!(error.sqlstate(), Some("55000"), "{error}"),
                }
                undefined(&mut client, "SELECT currval('never')")?;
                client.close()?;
            }
            assert!(told_right > 0);
            println!("{told_right} of 50 were told what they drew");
            Ok(())
        };
        let outcome = own();
        over.store(true, Ordering::SeqCst);
        others.into_iter().try_for_each(|other| other.join().unwrap())?;
        outcome
    })
}

/// A connection that is kept for who has drawn, should it ask what, is not kept from who waits for one.
#[test]
fn who_has_drawn_does_not_keep_others_waiting() -> Result<()> {
    let cluster = Cluster::shared();
    cluster.sql(0, "DROP SEQUENCE IF EXISTS contended; CREATE SEQUENCE contended; GRANT ALL ON SEQUENCE contended TO app")?;
    let weir = WeirSetup::in_front_of(cluster, 0..1).set("pool", "size", "1").start(WEIR)?;
    let (mut drawer, mut other) = (weir.connect()?, weir.connect()?);
    let mut waits = Vec::new();
    for _ in 0..15 {
        drawer.query("SELECT nextval('contended')")?;
        let begun = Instant::now();
        other.query("SELECT 1")?;
        waits.push(begun.elapsed());
    }
    // It would be kept for a tenth of a second.
    waits.sort();
    assert!(waits[waits.len() / 2] < Duration::from_millis(50), "{waits:?}");
    // Where nobody waits it is kept, and only there.
    drawer.query("SELECT nextval('contended')")?;
    assert_eq!(drawer.query("SELECT currval('contended')")?.value(), "16");
    Ok(())
}
