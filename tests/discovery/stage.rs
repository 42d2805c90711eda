//! Real servers, a weir that finds them, and clients that work through it all the while.

use std::fmt::Write as _;
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use harness::client::{Address, Client, Login};
use harness::{Cluster, Result, Weir, WeirSetup, wait_for};

pub(crate) const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// How long anything that is waited for may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A configuration without servers, where each change is noticed quickly.
pub(crate) fn setup(cluster: &Cluster) -> WeirSetup {
    WeirSetup::in_front_of(cluster, [])
        .at_any_age()
        .probing_quickly()
        .set("console", "users", "[\"postgres\"]")
        .set("discovery", "keep", "\"0s\"")
}

/// A member as Patroni says it.
pub(crate) fn member(cluster: &Cluster, server: usize, role: &str, more: &str) -> String {
    let state = if role.ends_with("leader") { "running" } else { "streaming" };
    let state = if more.contains("\"state\"") { String::new() } else { format!(", \"state\": \"{state}\"") };
    let (host, port) = (cluster.host(server), cluster.port(server));
    format!(
        "{{\"name\": \"pg{server}\", \"role\": \"{role}\"{state}, \"host\": \"{host}\", \"port\": {port}, \
         \"api_url\": \"http://{host}:8008/patroni\", \"timeline\": 1{more}}}"
    )
}

/// What Patroni says of these members.
pub(crate) fn cluster_of(members: &[String], more: &str) -> String {
    format!("{{\"members\": [{}], \"scope\": \"demo\"{more}}}", members.join(", "))
}

/// Servers that weir has a metric of, by their names.
pub(crate) fn known(weir: &Weir) -> Result<Vec<String>> {
    let metrics = weir.metrics()?;
    let names = metrics.all("weir_server_up").filter_map(|series| series.labels.get("server").cloned());
    let mut names: Vec<String> = names.collect();
    names.sort();
    Ok(names)
}

/// Waits until weir knows these servers, and that all are up.
pub(crate) fn wait_known(weir: &Weir, names: &[&str]) -> Result<()> {
    let mut seen = Vec::new();
    let waited = wait_for(&format!("{names:?} to be known"), PATIENCE, || {
        let metrics = weir.metrics()?;
        seen = known(weir)?;
        let up = names.iter().all(|name| metrics.sum("weir_server_up", &[("server", name)]) == 1.0);
        Ok((up && seen == names).then_some(()))
    });
    waited.map_err(|failure| harness::Failure::new(format!("{failure}, but {seen:?}; log:\n{}", weir.log())))
}

/// Waits for a line of the log.
pub(crate) fn wait_logged(weir: &Weir, words: &str) -> Result<()> {
    wait_for(&format!("{words:?} in the log"), PATIENCE, || Ok(weir.log().contains(words).then_some(())))
        .map_err(|failure| harness::Failure::new(format!("{failure}:\n{}", weir.log())))
}

/// Rows of the console.
pub(crate) fn console(weir: &Weir, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
    let login = Login::new("postgres", "postgres").database("weir");
    let answer = Client::connect(&weir.address(), &login)?.query(sql)?;
    Ok(answer.rows)
}

/// Writes another configuration, and has it read.
pub(crate) fn reload(weir: &Weir, text: &str) -> Output {
    std::fs::write(weir.config(), text).unwrap();
    Command::new(WEIR).arg("reload").arg("--config").arg(weir.config()).output().unwrap()
}

/// Ports of other addresses that lead to servers: so several can have the same port.
pub(crate) fn forward(address: &str, port: u16, to: u16) {
    let listener = TcpListener::bind((address, port)).unwrap();
    thread::spawn(move || {
        for client in listener.incoming().map_while(io::Result::ok) {
            if let Ok(server) = TcpStream::connect(("127.0.0.1", to)) {
                join(client, server);
            }
        }
    });
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

/// Clients that read and write until they are told to end.
pub(crate) struct Traffic {
    over: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<std::result::Result<(), String>>>,
}

impl Traffic {
    /// Each in turn reads, writes, and reads within a transaction. The table is there already.
    pub(crate) fn start(address: &Address) -> Self {
        let (over, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let client = |number: usize| {
            let (over, done, address) = (over.clone(), done.clone(), address.clone());
            thread::spawn(move || {
                let mut client = Client::connect(&address, &Login::new("app", "app")).map_err(said)?;
                client.set_patience(PATIENCE);
                while !over.load(Ordering::Relaxed) {
                    turn(&mut client, number).map_err(said)?;
                    done.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            })
        };
        let clients = (0..4).map(client).collect();
        Self { over, done, clients }
    }

    /// Waits until each of them has likely been through what holds now.
    pub(crate) fn goes_on(&self) -> Result<()> {
        let from = self.done.load(Ordering::Relaxed);
        wait_for("clients to go on", PATIENCE, || {
            let ended = self.clients.iter().any(JoinHandle::is_finished);
            Ok((ended || self.done.load(Ordering::Relaxed) >= from + 8).then_some(()))
        })
    }

    /// Ends it. What went wrong, which is to be nothing.
    pub(crate) fn end(self) -> String {
        self.over.store(true, Ordering::Relaxed);
        let mut wrong = String::new();
        for client in self.clients {
            if let Err(failure) = client.join().unwrap() {
                let _ = writeln!(wrong, "{failure}");
            }
        }
        wrong
    }
}

fn turn(client: &mut Client, number: usize) -> Result<()> {
    let insert = format!("INSERT INTO t VALUES ({number})");
    let read = "SELECT count(*) FROM t";
    [read, &insert, "BEGIN", read, "COMMIT"].into_iter().try_for_each(|sql| client.query(sql).map(drop))
}

fn said(failure: harness::Failure) -> String {
    failure.to_string()
}
