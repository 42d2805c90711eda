//! A few clients that read and write through weir, at a pace that people can follow.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use harness::client::{Address, Client, Login, Message, front};
use harness::{Cluster, Result};

/// How many clients there are.
pub(crate) const CLIENTS: u64 = 4;

/// What each does between two statements.
const PAUSE: Duration = Duration::from_millis(15);

/// Rows in the table.
const ACCOUNTS: u64 = 1000;

/// Clients at work until the flag is raised.
pub(crate) struct Traffic {
    failures: Arc<Failures>,
    clients: Vec<JoinHandle<()>>,
}

/// What went wrong so far.
#[derive(Default)]
struct Failures {
    count: AtomicU64,
    last: Mutex<String>,
}

/// Makes the table that the clients work on.
pub(crate) fn load_data(cluster: &Cluster) -> Result<()> {
    let mut owner = cluster.connect(cluster.primary())?;
    owner.query("CREATE TABLE accounts (id int PRIMARY KEY, balance int NOT NULL)")?;
    owner.query(&format!("INSERT INTO accounts SELECT n, 100 FROM generate_series(1, {ACCOUNTS}) n"))?;
    cluster.wait_caught_up()
}

impl Traffic {
    /// Starts the clients.
    pub(crate) fn start(address: Address, stop: Arc<AtomicBool>) -> Self {
        let failures = Arc::new(Failures::default());
        let client = |number: u64| {
            let (address, stop, failures) = (address.clone(), Arc::clone(&stop), Arc::clone(&failures));
            thread::spawn(move || live(&address, number, &stop, &failures))
        };
        Self { clients: (0..CLIENTS).map(client).collect(), failures }
    }

    /// Statements that failed.
    pub(crate) fn errors(&self) -> u64 {
        self.failures.count.load(Ordering::Relaxed)
    }

    /// What the last failure said.
    pub(crate) fn last_error(&self) -> String {
        self.failures.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        for client in self.clients.drain(..) {
            let _ = client.join();
        }
    }
}

/// A client that comes back after an error, as applications do.
fn live(address: &Address, number: u64, stop: &AtomicBool, failures: &Failures) {
    while !stop.load(Ordering::Relaxed) {
        if let Err(failure) = work(address, number, stop) {
            failures.count.fetch_add(1, Ordering::Relaxed);
            *failures.last.lock().unwrap_or_else(PoisonError::into_inner) = failure.to_string();
            thread::sleep(PAUSE * 10);
        }
    }
}

/// One connection's work: mostly reads, in both protocols, some writes, now and then a transaction of both.
fn work(address: &Address, number: u64, stop: &AtomicBool) -> Result<()> {
    let mut client =
        Client::connect(address, &Login::new("app", "app").parameter("application_name", "demo"))?;
    checked(
        client.ask(&[
            front::parse("read", "SELECT balance FROM accounts WHERE id = $1", &[23]),
            front::sync(),
        ])?,
    )?;
    let mut step = number * 7;
    while !stop.load(Ordering::Relaxed) {
        step += 1;
        let id = 1 + (step * 37 + number) % ACCOUNTS;
        match step % 20 {
            3 | 8 | 13 => {
                drop(client.query(&format!("UPDATE accounts SET balance = balance + 1 WHERE id = {id}"))?)
            }
            18 => {
                client.query("BEGIN")?;
                client.query(&format!("SELECT balance FROM accounts WHERE id = {id} FOR UPDATE"))?;
                client.query(&format!("UPDATE accounts SET balance = balance - 1 WHERE id = {id}"))?;
                client.query("COMMIT")?;
            }
            even if even % 2 == 0 => {
                drop(client.query(&format!("SELECT balance FROM accounts WHERE id = {id}"))?)
            }
            _ => {
                let id = id.to_string();
                let run =
                    [front::bind("", "read", &[Some(id.as_bytes())]), front::execute("", 0), front::sync()];
                checked(client.ask(&run)?)?;
            }
        }
        thread::sleep(PAUSE);
    }
    client.close()
}

/// Fails when the answer holds an error.
fn checked(heard: Vec<Message>) -> Result<()> {
    heard.iter().find_map(Message::error).map_or(Ok(()), |error| Err(error.into()))
}
