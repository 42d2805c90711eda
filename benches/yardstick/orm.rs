//! Transactions as an ORM's driver sends them: `BEGIN;` as a simple query, statements with parameters, `COMMIT;`, each
//! awaited before the next. pgbench sends all of a transaction in one protocol, and prepares while it holds a
//! connection, so that with more clients than connections it waits for itself.
//!
//! Each client is a thread of its own that waits in the kernel, so none has to wait for another's turn.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use harness::client::{Client, Login, front};
use harness::{CpuTime, Failure, Result};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::load::{Length, Load, Sample};
use crate::replies::Replies;
use crate::target::Target;

/// What a client does in a transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// A simple query.
    Query(&'static str),
    /// A statement whose one parameter is the number of an account.
    Execute(&'static str),
    /// The connection is held, and nothing is said.
    Think(Duration),
}

const SELECT: Step = Step::Execute("SELECT abalance FROM pgbench_accounts WHERE aid = $1");
const UPDATE: Step = Step::Execute("UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = $1");
const BEGIN: Step = Step::Query("BEGIN;");
const COMMIT: Step = Step::Query("COMMIT;");
const ROLLBACK: Step = Step::Query("ROLLBACK;");

/// What a request costs that only reads.
pub(crate) const READ: &[Step] = &[BEGIN, SELECT, ROLLBACK];

/// A request that changes what it has read.
pub(crate) const WRITE: &[Step] = &[BEGIN, SELECT, SELECT, UPDATE, COMMIT];

/// A request that does something else while its transaction is open.
pub(crate) const THINKING: &[Step] = &[BEGIN, SELECT, Step::Think(Duration::from_millis(10)), ROLLBACK];

/// As many accounts as pgbench makes at the smallest scale.
const ACCOUNTS: u32 = 100_000;

/// What goes by before anything is measured.
const WARM_UP: Duration = Duration::from_secs(1);

/// The manual's number of the type.
const INT4: u32 = 23;

pub(crate) fn run(load: &Load, steps: &'static [Step], target: &Target, time: Duration) -> Result<Sample> {
    let clients = open(load, steps, target)?;
    let finished = AtomicU64::new(0);
    let watch = || {
        let read = || (Instant::now(), finished.load(Ordering::Relaxed), target.cpu());
        sleep(WARM_UP);
        let from = read();
        sleep(time.saturating_sub(WARM_UP));
        (from, read())
    };
    let ((from, before, cpu_before), (to, after, cpu_after)) =
        all_at_work(clients, Length::Time(time), &finished, watch)?;
    let (transactions, spent) = ((after - before) as f64, cpu_after.since(cpu_before));
    let rate = transactions / (to - from).as_secs_f64();
    let cpu = CpuTime { user: spent.user / transactions, system: spent.system / transactions };
    Ok(Sample { rate, latency: f64::from(load.clients) / rate * 1e3, cpu })
}

pub(crate) fn transactions(
    load: &Load,
    steps: &'static [Step],
    target: &Target,
    length: Length,
) -> Result<f64> {
    let clients = open(load, steps, target)?;
    let finished = AtomicU64::new(0);
    all_at_work(clients, length, &finished, || ())?;
    Ok(finished.into_inner() as f64)
}

/// Lets the clients work, and meanwhile this thread.
fn all_at_work<T>(
    clients: Vec<OrmClient>,
    length: Length,
    finished: &AtomicU64,
    meanwhile: impl FnOnce() -> T,
) -> Result<T> {
    let begin = Instant::now();
    thread::scope(|scope| {
        let start = |client| scope.spawn(move || work(client, length, begin, finished));
        let running: Vec<_> = clients.into_iter().map(start).collect();
        let done = meanwhile();
        for thread in running {
            thread.join().map_err(|_| Failure::new("a client's thread panicked"))??;
        }
        Ok(done)
    })
}

fn open(load: &Load, steps: &'static [Step], target: &Target) -> Result<Vec<OrmClient>> {
    (0..load.clients).map(|number| OrmClient::open(load, steps, target, number)).collect()
}

/// Does a client's transactions, and counts them where all are counted.
fn work(mut client: OrmClient, length: Length, begin: Instant, finished: &AtomicU64) -> Result<()> {
    let mut count = 0;
    let goes_on = |count| match length {
        Length::Time(time) => begin.elapsed() < time,
        Length::Transactions(most) => count < most,
    };
    while goes_on(count) {
        client.transaction()?;
        finished.fetch_add(1, Ordering::Relaxed);
        count += 1;
    }
    Ok(())
}

/// A client, logged in.
struct OrmClient {
    client: Client,
    replies: Replies,
    steps: &'static [Step],
    how: Sending,
    /// The same numbers in each run.
    random: StdRng,
}

/// How statements with parameters are sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sending {
    /// Parsed once per connection, as asyncpg does.
    Prepared,
    /// Parsed each time, unnamed, as libpq does when it is given parameters.
    Extended,
}

impl OrmClient {
    fn open(load: &Load, steps: &'static [Step], target: &Target, number: u32) -> Result<Self> {
        let how = if load.protocol == "prepared" { Sending::Prepared } else { Sending::Extended };
        let login = Login::new("app", "app").database(target.database(load.protocol));
        let client = Client::connect(&target.address(), &login)?;
        let replies = Replies::of(&client)?;
        let mut opened = Self { client, replies, steps, how, random: StdRng::seed_from_u64(number.into()) };
        if how == Sending::Prepared {
            opened.prepare()?;
        }
        Ok(opened)
    }

    fn prepare(&mut self) -> Result<()> {
        for (at, step) in self.steps.iter().enumerate() {
            if let Step::Execute(sql) = step {
                let name = statement(at);
                let frames =
                    [front::parse(&name, sql, &[INT4]), front::describe_statement(&name), front::sync()];
                self.ask(&frames)?;
            }
        }
        Ok(())
    }

    fn transaction(&mut self) -> Result<()> {
        for (at, step) in self.steps.iter().enumerate() {
            match step {
                Step::Query(sql) => self.ask(&[front::query(sql)])?,
                Step::Execute(sql) => self.execute(at, sql)?,
                Step::Think(time) => sleep(*time),
            }
        }
        Ok(())
    }

    fn execute(&mut self, at: usize, sql: &str) -> Result<()> {
        let account = self.random.random_range(1..=ACCOUNTS).to_be_bytes();
        let bind = |name: &str| front::bind_formats("", name, &[1], &[Some(account.as_slice())], &[1]);
        match self.how {
            Sending::Prepared => self.ask(&[bind(&statement(at)), front::execute("", 0), front::sync()]),
            Sending::Extended => self.ask(&[
                front::parse("", sql, &[INT4]),
                bind(""),
                front::describe_portal(""),
                front::execute("", 0),
                front::sync(),
            ]),
        }
    }

    fn ask(&mut self, frames: &[Vec<u8>]) -> Result<()> {
        self.client.send(frames)?;
        self.replies.skip(1)
    }
}

/// The name of the statement of a step, in asyncpg's manner.
fn statement(step: usize) -> String {
    format!("__asyncpg_stmt_{step:x}__")
}
