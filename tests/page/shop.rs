//! A shop's applications, so that there is something to be seen: what goes to replicas, what does not, and why.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use harness::client::{Address, Client, Login};
use harness::{Result, Weir};

const SCHEMA: &str = "
CREATE TABLE customer (id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE purchase (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer int NOT NULL, cents int NOT NULL);
CREATE TABLE stock (item int PRIMARY KEY, left_over int NOT NULL);
CREATE INDEX ON purchase (customer);
INSERT INTO customer SELECT n, 'customer ' || n FROM generate_series(1, 2000) n;
INSERT INTO purchase (customer, cents) SELECT n % 2000, n FROM generate_series(1, 20000) n;
INSERT INTO stock SELECT n, 100000 FROM generate_series(1, 500) n;
CREATE FUNCTION discount(int) RETURNS int LANGUAGE sql AS 'SELECT $1 % 7';
";

/// Tables, and a function whose author did not say that it only reads.
pub(crate) fn furnish(client: &mut Client) -> Result<()> {
    client.query(SCHEMA).map(drop)
}

/// The applications at work. They end with the value.
pub(crate) struct Shop {
    stop: Arc<AtomicBool>,
    /// Round trips that have ended well.
    pub(crate) done: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
    _quiet: Vec<Client>,
}

/// What one of them does over and over: statements, each of which may fail while servers are away.
type Turn = fn(&mut Client, u64) -> Result<()>;

fn browse(client: &mut Client, n: u64) -> Result<()> {
    let customer = n * 7919 % 2000;
    client.query(&format!(
        "SELECT id, cents FROM purchase WHERE customer = {customer} ORDER BY id DESC LIMIT 10"
    ))?;
    if n.is_multiple_of(6) {
        client.query(&format!("SELECT name, discount(id) FROM customer WHERE id = {customer}"))?;
    }
    Ok(())
}

fn as_orms_do(client: &mut Client, n: u64) -> Result<()> {
    client.query("BEGIN")?;
    client.query(&format!("SELECT name FROM customer WHERE id = {}", n % 2000))?;
    client.query(&format!("SELECT sum(cents) FROM purchase WHERE customer = {}", n % 2000))?;
    client.query("COMMIT").map(drop)
}

fn check_out(client: &mut Client, n: u64) -> Result<()> {
    let item = n * 31 % 500 + 1;
    client.query("BEGIN")?;
    client.query(&format!("SELECT name FROM customer WHERE id = {}", n % 2000))?;
    client.query(&format!("SELECT left_over FROM stock WHERE item = {item} FOR UPDATE"))?;
    client.query(&format!("UPDATE stock SET left_over = left_over - 1 WHERE item = {item}"))?;
    client.query(&format!("SELECT left_over FROM stock WHERE item = {item}"))?;
    client.query("COMMIT")?;
    client.query(&format!("INSERT INTO purchase (customer, cents) VALUES ({}, {n})", n % 2000)).map(drop)
}

/// One client's turns from the `n`th on, with pauses of about `pause` milliseconds, more and less, as in life; it comes again
/// when it has lost its connection.
fn come_and_go(
    (address, name): (&Address, &str),
    (turn, mut n): (Turn, u64),
    (pause, phase): (u64, f64),
    (stop, done): (&AtomicBool, &AtomicU64),
) {
    let login = Login::new("app", "app").parameter("application_name", name);
    let begun = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let Ok(mut client) = Client::connect(address, &login) else {
            thread::sleep(Duration::from_millis(200));
            continue;
        };
        while !stop.load(Ordering::Relaxed) && turn(&mut client, n).is_ok() {
            n += 1;
            done.fetch_add(1, Ordering::Relaxed);
            let wave = 1.0 + 0.55 * (begun.elapsed().as_secs_f64() / 7.0 + phase).sin();
            thread::sleep(Duration::from_secs_f64(pause as f64 * wave / 1000.0));
        }
    }
}

impl Shop {
    pub(crate) fn open(weir: &Weir) -> Result<Self> {
        let (stop, done) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let kinds: [(&str, Turn, u64, usize); 3] =
            [("shop web", browse, 18, 5), ("shop api", as_orms_do, 35, 3), ("checkout", check_out, 90, 3)];
        let mut threads = Vec::new();
        for (nth, (name, turn, pause, many)) in kinds.into_iter().enumerate() {
            for copy in 0..many {
                let (stop, done, address) = (stop.clone(), done.clone(), weir.address());
                threads.push(thread::spawn(move || {
                    let n = (nth * 1000 + copy * 100) as u64;
                    come_and_go((&address, name), (turn, n), (pause, nth as f64 * 2.0), (&stop, &done));
                }));
            }
        }
        let quiet = |name: &str, statements: &[&str]| -> Result<Client> {
            let login = Login::new("app", "app").parameter("application_name", name);
            let mut client = Client::connect(&weir.address(), &login)?;
            statements.iter().try_for_each(|sql| client.query(sql).map(drop))?;
            Ok(client)
        };
        let quiet = vec![
            quiet("nightly report", &["CREATE TEMP TABLE sums AS SELECT 1 AS n"])?,
            quiet("job worker", &["SELECT pg_advisory_lock(7)"])?,
            quiet("psql", &["BEGIN", "SELECT left_over FROM stock WHERE item = 500 FOR UPDATE"])?,
            quiet("<script>window.harm = 1</script><img src=x onerror=alert(1)>", &["SELECT 1"])?,
        ];
        Ok(Self { stop, done, threads, _quiet: quiet })
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}
