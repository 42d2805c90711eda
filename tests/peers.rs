//! Several copies of weir behind one balancer: a cancel request may come to any of them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use harness::client::{Address, Client, Key, Login, Message, front};
use harness::{Cluster, Daemon, Result, Weir, WeirSetup, free_port, wait_for};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A balancer that gives each connection to the next copy.
struct Balancer {
    port: u16,
    over: Arc<AtomicBool>,
}

impl Balancer {
    fn in_front_of(copies: &[Weir]) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let ports: Vec<u16> = copies.iter().map(Weir::port).collect();
        let over = Arc::new(AtomicBool::new(false));
        let (ended, next) = (over.clone(), AtomicUsize::new(0));
        thread::spawn(move || {
            for client in listener.incoming().map_while(io::Result::ok) {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                let port = ports[next.fetch_add(1, Ordering::Relaxed) % ports.len()];
                if let Ok(server) = TcpStream::connect(("127.0.0.1", port)) {
                    join(client, server);
                }
            }
        });
        Ok(Self { port, over })
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

/// What either says, the other hears.
fn join(client: TcpStream, server: TcpStream) {
    let (Ok(their), Ok(our)) = (client.try_clone(), server.try_clone()) else { return };
    for (mut from, mut to) in [(client, server), (our, their)] {
        thread::spawn(move || {
            drop(io::copy(&mut from, &mut to));
            drop(to.shutdown(Shutdown::Write));
        });
    }
}

/// HAProxy, in TCP mode and round robin, where it is installed.
fn haproxy(copies: &[Weir]) -> Result<Option<(Daemon, u16)>> {
    let program = Path::new("/usr/sbin/haproxy");
    if !program.exists() {
        return Ok(None);
    }
    let port = free_port()?;
    let servers: String = copies
        .iter()
        .map(|copy| format!("  server s{port} 127.0.0.1:{port}\n", port = copy.port()))
        .collect();
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("haproxy-{port}"));
    std::fs::create_dir_all(&directory)?;
    let file = directory.join("haproxy.cfg");
    std::fs::write(
        &file,
        format!(
            "defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1m\n  timeout server 1m\n\
             listen weir\n  bind 127.0.0.1:{port}\n  balance roundrobin\n{servers}"
        ),
    )?;
    let daemon = Daemon::start(Command::new(program).arg("-f").arg(&file), &directory.join("log"))?;
    wait_for("HAProxy to listen", PATIENCE, || Ok(TcpStream::connect(("127.0.0.1", port)).ok().map(drop)))?;
    Ok(Some((daemon, port)))
}

/// Copies that know each other, in front of the same servers.
fn copies(count: u8, more: &str) -> Result<Vec<Weir>> {
    let ports: Vec<u16> = (0..count).map(|_| free_port()).collect::<Result<_>>()?;
    let peers: String = (1..)
        .zip(&ports)
        .map(|(id, port)| {
            format!("[[peers]]\nid = {id}\nhost = \"127.0.0.1\"\nport = {port}\nsslmode = \"disable\"\n")
        })
        .collect();
    let start = |(id, port): (u8, &u16)| {
        WeirSetup::in_front_of(Cluster::shared(), [0])
            .append(&format!("[[listeners]]\naddress = \"127.0.0.1:{port}\""))
            .append(&peers)
            .append(more)
            .environment("WEIR__LISTEN__PEER_ID", &id.to_string())
            .start(WEIR)
    };
    (1..).zip(&ports).map(start).collect()
}

fn first_error(heard: &[Message]) -> Option<String> {
    heard.iter().find_map(Message::error).map(|error| error.sqlstate().to_owned())
}

fn wait_running(what: &str) -> Result<()> {
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%{what}%' \
         AND pid <> pg_backend_pid()"
    );
    wait_for(&format!("{what} to run"), PATIENCE, || {
        Ok((Cluster::shared().sql(0, &sql)?.value() == "1").then_some(()))
    })
}

/// Sends a cancel request, and waits until it is told to have arrived.
fn cancel(address: &Address, key: &Key) -> Result<()> {
    let mut other = Client::open(address)?;
    other.send(&[front::cancel_request(key)])?;
    assert!(other.is_closed_within(PATIENCE)?);
    Ok(())
}

fn passed_on(copies: &[Weir]) -> Result<f64> {
    let counts =
        copies.iter().map(|copy| Ok(copy.metrics()?.sum("weir_cancels_total", &[("result", "passed_on")])));
    counts.sum()
}

#[test]
fn a_cancel_works_through_any_copy() -> Result<()> {
    let copies = copies(3, "")?;
    let balancer = Balancer::in_front_of(&copies)?;
    let haproxy = haproxy(&copies)?;
    let doors = [Some(balancer.port), haproxy.as_ref().map(|(_, port)| *port)];
    let mut pids = Vec::new();
    for (number, (version, door)) in [(0, 0), (2, 0), (0, 1), (2, 1)]
        .into_iter()
        .filter_map(|(v, door)| Some((v, doors[door]?)))
        .enumerate()
    {
        let login = Login::new("app", "app").version(3, version);
        // One client on each copy, and each is cancelled through each of them: a turn takes two connections, and so the balancer
        // is at another copy after each.
        for client in 0..3 {
            let mut client_of_one = Client::connect(&Address::local(door), &login)?;
            client_of_one.set_patience(PATIENCE);
            let key = client_of_one.key().unwrap().clone();
            pids.push(key.pid);
            let wrong = Key { secret: vec![7; key.secret.len()], ..key.clone() };
            for turn in 0..3 {
                let what = format!("peers {number} {client} {turn}");
                client_of_one.send(&[front::query(format!("SELECT '{what}' FROM pg_sleep(60)"))])?;
                wait_running(&what)?;
                // With another secret nothing is cancelled, whoever hears of it first.
                cancel(&Address::local(door), &wrong)?;
                assert!(
                    client_of_one.read_within(Duration::from_millis(50))?.is_none(),
                    "{what}: a wrong key"
                );
                cancel(&Address::local(door), &key)?;
                assert_eq!(first_error(&client_of_one.until_ready()?).as_deref(), Some("57014"), "{what}");
            }
        }
    }
    // What clients are told names the copy: no two of them have one process ID.
    let named: std::collections::HashSet<u32> = pids.iter().map(|pid| pid >> 23).collect();
    assert_eq!(named, [1, 2, 3].into(), "{pids:?}");
    assert!(passed_on(&copies)? >= 24.0);
    Ok(())
}

#[test]
fn a_cancel_that_nobody_knows_comes_to_an_end() -> Result<()> {
    let lost = free_port()?;
    let gone = format!("[[peers]]\nid = 9\nhost = \"127.0.0.1\"\nport = {lost}\n");
    let copies = copies(2, &gone)?;
    let mut client = Client::connect(&copies[0].address(), &Login::new("app", "app"))?;
    let key = client.key().unwrap().clone();
    let of = |copy: u32| Key { pid: copy << 23 | key.pid & ((1 << 23) - 1), ..key.clone() };
    // Of a copy that is gone, of one that nobody has heard of, of no copy, and of one that has no such client.
    for copy in [9, 77, 0, 2] {
        cancel(&copies[0].address(), &of(copy))?;
        cancel(&copies[1].address(), &of(copy))?;
    }
    client.query("SELECT 'nobody was hit'")?;
    assert_eq!(passed_on(&copies)?, 1.0, "the second copy was told of its own");

    // Two that take each other for a third one.
    let ports = [free_port()?, free_port()?];
    let start = |own: usize, other: usize| {
        let (own_port, other_port) = (ports[own], ports[other]);
        WeirSetup::in_front_of(Cluster::shared(), [0])
            .append(&format!("[[listeners]]\naddress = \"127.0.0.1:{own_port}\""))
            .append(&format!("[[peers]]\nid = 9\nhost = \"127.0.0.1\"\nport = {other_port}"))
            .set("listen", "peer_id", &(own + 1).to_string())
            .start(WEIR)
    };
    let circle = [start(0, 1)?, start(1, 0)?];
    cancel(&circle[0].address(), &of(9))?;
    assert_eq!(passed_on(&circle)?, 3.0);
    Ok(())
}
