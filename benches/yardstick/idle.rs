//! Idle clients: what a proxy pays for those who only hold their connection.

use std::thread;

use harness::client::{Client, Login};
use harness::{Failure, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::target::{Bench, Kind};

/// How many clients are opened.
const CLIENTS: usize = 1000;

/// Logins at a time.
const THREADS: usize = 4;

/// Lets this process and its children open as many files as the hard limit allows.
pub(crate) fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    // Failing costs the idle case alone, which then says what it lacks.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// Measures the growth of each pooler's memory, in a process that nobody has used before.
///
/// Direct connections and HAProxy are left out: there, each client is a server process of its own.
pub(crate) fn measure(bench: &Bench, kinds: &[Kind]) -> Result<()> {
    println!(
        "{CLIENTS} idle clients            MB in all  kB per client, logged in   after one query each   x PgBouncer"
    );
    let mut bouncer = None;
    for kind in kinds.iter().filter(|kind| !matches!(kind, Kind::Direct | Kind::Haproxy)) {
        let target = bench.start(*kind)?;
        let open = |_| -> Result<Client> {
            let login = Login::new("app", "app");
            Client::connect(&target.address(), &login)
        };
        // The pool's own connections, buffers and tables are there before the first reading.
        let mut first = open(0)?;
        first.query("SELECT 1")?;
        let before = target.rss_kb();
        let mut clients = side_by_side((0..CLIENTS).collect(), open)?;
        let logged_in = target.rss_kb();
        clients = side_by_side(clients, |mut client: Client| client.query("SELECT 1").map(|_| client))?;
        let used = target.rss_kb();
        let each = |reading: u64| (reading as f64 - before as f64) / clients.len() as f64;
        let megabytes = (used as f64 - before as f64) / 1024.0;
        bouncer = if *kind == Kind::Pgbouncer { Some(each(used)) } else { bouncer };
        // It has to be measured first.
        let times = bouncer.map_or_else(|| "-".to_owned(), |bouncer| format!("{:.2}", each(used) / bouncer));
        println!(
            "  {:<22}{megabytes:>9.1}{:>27.2}{:>23.2}{times:>14}",
            kind.name(),
            each(logged_in),
            each(used)
        );
    }
    println!();
    Ok(())
}

/// Does something with each of these, in a few threads.
fn side_by_side<A: Send, B: Send>(items: Vec<A>, task: impl Fn(A) -> Result<B> + Sync) -> Result<Vec<B>> {
    let mut shares: Vec<Vec<A>> = (0..THREADS).map(|_| Vec::new()).collect();
    items.into_iter().enumerate().for_each(|(index, item)| shares[index % THREADS].push(item));
    let task = &task;
    thread::scope(|scope| {
        let share =
            |items: Vec<A>| scope.spawn(move || items.into_iter().map(task).collect::<Result<Vec<B>>>());
        let running: Vec<_> = shares.into_iter().map(share).collect();
        let mut done = Vec::new();
        for thread in running {
            done.extend(thread.join().map_err(|_| Failure::new("a thread panicked"))??);
        }
        Ok(done)
    })
}
