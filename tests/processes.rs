//! What lives in one server process and shows: who notifies, and that a session comes back to where it was.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use harness::client::{Client, Message, front};
use harness::{Cluster, Result, Weir, WeirSetup};

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
    clients.iter_mut().try_for_each(|client| client.query("BEGIN").map(drop))?;
    let process = |client: &mut Client| -> Result<String> {
        Ok(client.query("SELECT pg_backend_pid()")?.value().to_owned())
    };
    let before = clients.iter_mut().map(process).collect::<Result<Vec<_>>>()?;
    clients.iter_mut().try_for_each(|client| client.query("COMMIT").map(drop))?;
    for _ in 0..3 {
        for (client, before) in clients.iter_mut().zip(&before) {
            assert_eq!(process(client)?, *before);
        }
    }
    Ok(())
}
