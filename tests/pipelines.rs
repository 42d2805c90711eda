//! Pipelines stay pipelines: what a client sends at once for one server is written there at once, and not one request
//! after the answer to the one before.
//!
//! A server that does not answer shows it: behind it stands a middleman who passes on everything that weir writes,
//! and keeps the answers back until all requests have arrived.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use harness::client::{Client, Message, front};
use harness::{Cluster, Result, Weir, WeirSetup, wait_for};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A word in each request of a pipeline.
const WORD: &[u8] = b"pipelined";

/// Requests of a pipeline.
const REQUESTS: usize = 100;

/// Between weir and a server.
struct Middleman {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// How often the word has come along.
    words: AtomicUsize,
    gate: Mutex<Gate>,
    moved: Condvar,
}

/// Whether answers pass on the connections where the word was said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Gate {
    #[default]
    Open,
    Shut,
}

impl Middleman {
    fn before(server: u16) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let shared = Arc::<Shared>::default();
        let ours = shared.clone();
        thread::spawn(move || {
            for weir in listener.incoming().map_while(std::io::Result::ok) {
                let shared = ours.clone();
                thread::spawn(move || pass(weir, server, &shared));
            }
        });
        Ok(Self { port, shared })
    }

    fn set(&self, gate: Gate) {
        *self.shared.gate.lock().unwrap() = gate;
        self.shared.moved.notify_all();
    }

    fn words(&self) -> usize {
        self.shared.words.load(Ordering::SeqCst)
    }

    /// A server's table of the configuration.
    fn table(&self) -> String {
        format!("[[servers]]\nhost = \"127.0.0.1\"\nport = {}", self.port)
    }
}

fn pass(mut weir: TcpStream, server: u16, shared: &Arc<Shared>) -> std::io::Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", server))?;
    weir.set_nodelay(true)?;
    let said = Arc::<AtomicUsize>::default();
    let (from, to) = (server.try_clone()?, weir.try_clone()?);
    let (theirs, heard) = (shared.clone(), said.clone());
    thread::spawn(move || answer(from, to, &theirs, &heard));
    let (mut chunk, mut tail) = ([0; 1 << 16], Vec::new());
    loop {
        let n = weir.read(&mut chunk)?;
        if n == 0 {
            return server.shutdown(Shutdown::Both);
        }
        // A word may come in two pieces.
        tail.extend_from_slice(&chunk[..n]);
        let words = tail.windows(WORD.len()).filter(|window| *window == WORD).count();
        tail.drain(..tail.len().saturating_sub(WORD.len() - 1));
        // Before the server can answer it.
        said.fetch_add(words, Ordering::SeqCst);
        shared.words.fetch_add(words, Ordering::SeqCst);
        server.write_all(&chunk[..n])?;
    }
}

fn answer(
    mut server: TcpStream,
    mut weir: TcpStream,
    shared: &Shared,
    said: &AtomicUsize,
) -> std::io::Result<()> {
    let mut chunk = [0; 1 << 16];
    loop {
        let n = server.read(&mut chunk)?;
        if n == 0 {
            return weir.shutdown(Shutdown::Both);
        }
        let gate = shared.gate.lock().unwrap();
        let shut = |gate: &mut Gate| *gate == Gate::Shut && said.load(Ordering::SeqCst) > 0;
        drop(shared.moved.wait_while(gate, shut).unwrap());
        weir.write_all(&chunk[..n])?;
    }
}

/// Sends a pipeline while the server is mute, and hears the answers once all of it has arrived there.
fn send_to_a_mute_server(
    client: &mut Client,
    middleman: &Middleman,
    frames: &[Vec<u8>],
) -> Result<Vec<Message>> {
    let before = middleman.words();
    middleman.set(Gate::Shut);
    client.send(frames)?;
    let arrived = wait_for("all requests to arrive at a server that does not answer", PATIENCE, || {
        Ok((middleman.words() - before == REQUESTS).then_some(()))
    });
    let missing = REQUESTS - (middleman.words() - before);
    middleman.set(Gate::Open);
    assert!(arrived.is_ok(), "{missing} of {REQUESTS} requests wait for answers");
    let ends = frames.iter().filter(|frame| matches!(frame[0], b'S' | b'Q')).count();
    let mut heard = Vec::new();
    for _ in 0..ends {
        heard.extend(client.until_ready()?);
    }
    Ok(heard)
}

/// Each statement parsed, bound, described, executed and ended with a Sync, as libpq's pipeline mode does.
fn batches(sql: &str) -> Vec<Vec<u8>> {
    let batch = |n: usize| {
        let value = format!("{n} pipelined");
        [
            front::parse("", sql, &[25]),
            front::bind("", "", &[Some(value.as_bytes())]),
            front::describe_portal(""),
            front::execute("", 0),
            front::sync(),
        ]
    };
    (0..REQUESTS).flat_map(batch).collect()
}

/// The rows, and that they are one for each request and in order.
fn assert_in_order(heard: &[Message]) {
    let rows: Vec<_> = heard.iter().flat_map(Message::text_row).flatten().collect();
    let expected: Vec<_> = (0..REQUESTS).map(|n| format!("{n} pipelined")).collect();
    assert_eq!(rows, expected);
}

fn in_front_of(middleman: &Middleman) -> Result<Weir> {
    WeirSetup::in_front_of(Cluster::shared(), []).append(&middleman.table()).start(WEIR)
}

#[test]
fn batches_for_the_primary_do_not_wait_for_each_other() -> Result<()> {
    let middleman = Middleman::before(Cluster::shared().port(0))?;
    let weir = in_front_of(&middleman)?;
    let mut client = weir.connect()?;
    let mut mute = |frames: &[Vec<u8>]| send_to_a_mute_server(&mut client, &middleman, frames);
    assert_in_order(&mute(&batches("SELECT $1"))?);

    // Under one Sync.
    let mut one: Vec<_> = batches("SELECT $1").into_iter().filter(|frame| frame[0] != b'S').collect();
    one.push(front::sync());
    assert_in_order(&mute(&one)?);

    // As simple queries.
    let queries: Vec<_> = (0..REQUESTS).map(|n| front::query(format!("SELECT '{n} pipelined'"))).collect();
    assert_in_order(&mute(&queries)?);

    // In transactions, each of which is begun and ended within the pipeline.
    let in_blocks: Vec<_> = queries
        .iter()
        .flat_map(|select| [front::query("BEGIN"), select.clone(), front::query("COMMIT")])
        .collect();
    assert_in_order(&mute(&in_blocks)?);
    Ok(())
}

#[test]
fn prepared_statements_and_settings_do_not_stop_a_pipeline() -> Result<()> {
    let middleman = Middleman::before(Cluster::shared().port(0))?;
    let weir = in_front_of(&middleman)?;
    let mut client = weir.connect()?;
    // Another session leaves its settings on the connection, so that ours must be set again.
    let settle = |client: &mut Client| -> Result<()> {
        client.query("SET application_name = 'ours'")?;
        weir.connect()?.query("SET application_name = 'theirs'; SELECT 1").map(drop)
    };
    let named: Vec<_> = (0..REQUESTS)
        .flat_map(|n| {
            let value = format!("{n} pipelined");
            [front::bind("", "s", &[Some(value.as_bytes())]), front::execute("", 0), front::sync()]
        })
        .collect();
    client.ask(&[front::parse("s", "SELECT $1", &[25]), front::sync()])?;
    settle(&mut client)?;
    assert_in_order(&send_to_a_mute_server(&mut client, &middleman, &named)?);
    client.query("BEGIN")?;
    assert_in_order(&send_to_a_mute_server(&mut client, &middleman, &named)?);
    client.query("COMMIT")?;
    assert_eq!(client.query("SHOW application_name")?.value(), "ours");
    Ok(())
}

#[test]
fn batches_for_a_replica_do_not_wait_for_each_other() -> Result<()> {
    let cluster = Cluster::shared();
    let middleman = Middleman::before(cluster.port(1))?;
    let weir = WeirSetup::in_front_of(cluster, [0]).append(&middleman.table()).at_any_age().start(WEIR)?;
    let mut client = weir.connect()?;
    assert_in_order(&send_to_a_mute_server(&mut client, &middleman, &batches("SELECT $1"))?);
    Ok(())
}
