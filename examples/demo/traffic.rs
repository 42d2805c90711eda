//! A few clients that read and write through weir, at a pace that people can follow.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use harness::client::{Address, Client, Login, Message, front};
use harness::{Cluster, Result};

/// How many clients there are that send statement by statement.
pub(crate) const CLIENTS: u64 = 4;

/// The table that only the client that works like an ORM asks for.
pub(crate) const ORM_TABLE: &str = "orders";

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

/// Makes the tables that the clients work on.
pub(crate) fn load_data(cluster: &Cluster) -> Result<()> {
    let mut owner = cluster.connect(cluster.primary())?;
    owner.query("CREATE TABLE accounts (id int PRIMARY KEY, balance int NOT NULL)")?;
    owner.query(&format!("INSERT INTO accounts SELECT n, 100 FROM generate_series(1, {ACCOUNTS}) n"))?;
    owner.query("CREATE TABLE orders (id int PRIMARY KEY, account int NOT NULL, amount int NOT NULL)")?;
    owner.query(&format!(
        "INSERT INTO orders SELECT n, 1 + n / 5, 10 FROM generate_series(1, {ACCOUNTS}) n"
    ))?;
    owner.query("CREATE INDEX ON orders (account)")?;
    cluster.wait_caught_up()
}

impl Traffic {
    /// Starts the clients.
    pub(crate) fn start(address: Address, stop: Arc<AtomicBool>) -> Self {
        let failures = Arc::new(Failures::default());
        let client = |work: Work| {
            let (address, stop, failures) = (address.clone(), Arc::clone(&stop), Arc::clone(&failures));
            thread::spawn(move || live(&address, &stop, &failures, work))
        };
        let plain = (0..CLIENTS).map(|number| -> Work {
            Box::new(move |client, stop| statement_by_statement(client, number, stop))
        });
        let clients = plain.chain([Box::new(like_an_orm) as Work]).map(client).collect();
        Self { clients, failures }
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

/// What a client does on one connection, until the flag is raised.
type Work = Box<dyn Fn(&mut Client, &AtomicBool) -> Result<()> + Send>;

/// A client that comes back after an error, as applications do.
fn live(address: &Address, stop: &AtomicBool, failures: &Failures, work: Work) {
    let login = Login::new("app", "app").parameter("application_name", "demo");
    let once = || {
        let mut client = Client::connect(address, &login)?;
        work(&mut client, stop)?;
        client.close()
    };
    while !stop.load(Ordering::Relaxed) {
        if let Err(failure) = once() {
            failures.count.fetch_add(1, Ordering::Relaxed);
            *failures.last.lock().unwrap_or_else(PoisonError::into_inner) = failure.to_string();
            thread::sleep(PAUSE * 10);
        }
    }
}

/// What an ORM makes of a program that never speaks of transactions: one around everything, with two reads in it, now
/// and then a write between them, and time to think after each.
fn like_an_orm(client: &mut Client, stop: &AtomicBool) -> Result<()> {
    let mut id = 0;
    while !stop.load(Ordering::Relaxed) {
        id = 1 + (id + 36) % ACCOUNTS;
        client.query("BEGIN")?;
        client.query(&format!("SELECT account, amount FROM orders WHERE id = {id}"))?;
        thread::sleep(PAUSE);
        if id % 10 == 0 {
            client.query(&format!("UPDATE orders SET amount = amount + 1 WHERE id = {id}"))?;
        }
        client.query(&format!("SELECT count(*), sum(amount) FROM orders WHERE account = 1 + {id} / 5"))?;
        thread::sleep(PAUSE);
        client.query("COMMIT")?;
    }
    Ok(())
}

/// Mostly reads, in both protocols, some writes, now and then a transaction of both.
fn statement_by_statement(client: &mut Client, number: u64, stop: &AtomicBool) -> Result<()> {
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
    Ok(())
}

/// Fails when the answer holds an error.
fn checked(heard: Vec<Message>) -> Result<()> {
    heard.iter().find_map(Message::error).map_or(Ok(()), |error| Err(error.into()))
}
