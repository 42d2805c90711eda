//! What holds across several copies of weir that know nothing of each other: `strong`, and a token that is carried along.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;

use harness::client::{Client, Login};
use harness::{Cluster, Dice, Failure, Options, Result, Weir};

use crate::WEIR;

const COPIES: usize = 3;

/// Writers, each with a row of its own, and how often each of them writes.
const WRITERS: usize = 4;
const WRITES: u64 = 150;

/// How the readers ask.
const LEVELS: [&str; 2] = ["strong", "global"];

/// What came of the reads at one level.
#[derive(Default)]
struct Tally {
    reads: AtomicU64,
    on_replicas: AtomicU64,
    stale: AtomicU64,
}

fn connect(weir: &Weir, level: &str) -> Result<Client> {
    let options = format!("-c weir.consistency={level}");
    Client::connect(&weir.address(), &Login::new("app", "app").parameter("options", &options))
}

/// Writes through one copy after the other, and has what was acknowledged read through another at once.
fn write_and_read(copies: &[Weir], row: usize, tallies: &[Tally; 2]) -> Result<()> {
    let all = |level| copies.iter().map(|copy| connect(copy, level)).collect::<Result<Vec<_>>>();
    let (mut writers, mut readers) = (all("session")?, [all(LEVELS[0])?, all(LEVELS[1])?]);
    let mut dice = Dice::new(7, row as u64);
    for version in 1..=WRITES {
        let through = dice.index(COPIES);
        writers[through].query(&format!("UPDATE kept SET v = {version} WHERE id = {row}"))?;
        let other = (through + 1 + dice.index(COPIES - 1)) % COPIES;
        // In either order: what the first of them waits for, the second finds.
        for level in if dice.percent(50) { [0, 1] } else { [1, 0] } {
            let sql = format!("SELECT v, server FROM here, kept WHERE id = {row}");
            let answer = readers[level][other].query(&sql)?;
            let cells = answer.rows.first().ok_or_else(|| Failure::new("no row"))?;
            let text = |cell: usize| cells.get(cell).cloned().flatten().unwrap_or_default();
            let tally = &tallies[level];
            tally.reads.fetch_add(1, SeqCst);
            tally.on_replicas.fetch_add(u64::from(text(1).starts_with("replica")), SeqCst);
            tally.stale.fetch_add(u64::from(text(0) != version.to_string()), SeqCst);
        }
    }
    Ok(())
}

#[test]
fn strong_holds_across_copies_of_weir() -> Result<()> {
    let _turn = crate::turn();
    let cluster = Cluster::with(Options::new(2).quiet())?;
    let mut owner = cluster.connect(0)?;
    owner.query(crate::shape::HERE)?;
    let last = WRITERS - 1;
    owner.query(&format!("CREATE TABLE kept AS SELECT id, 0 AS v FROM generate_series(0, {last}) AS id"))?;
    cluster.wait_caught_up()?;
    let copies = (0..COPIES).map(|_| Weir::start(WEIR, &cluster)).collect::<Result<Vec<_>>>()?;
    let tallies = <[Tally; 2]>::default();
    thread::scope(|scope| {
        let (copies, tallies) = (&copies, &tallies);
        let writers: Vec<_> =
            (0..WRITERS).map(|row| scope.spawn(move || write_and_read(copies, row, tallies))).collect();
        writers.into_iter().try_for_each(|writer| writer.join().unwrap())
    })?;
    for (level, tally) in LEVELS.iter().zip(&tallies) {
        let [reads, on_replicas, stale] =
            [&tally.reads, &tally.on_replicas, &tally.stale].map(|count| count.load(SeqCst));
        eprintln!("{level}: {stale} stale of {reads} reads through another copy, {on_replicas} on replicas");
    }
    assert_eq!(tallies[0].stale.load(SeqCst), 0, "stale reads at strong");
    // A token covers what was acknowledged before it, whoever carries it where.
    let (mut writer, mut reader) = (connect(&copies[0], "session")?, connect(&copies[1], "session")?);
    for version in 1000..1050 {
        writer.query(&format!("UPDATE kept SET v = {version} WHERE id = 0"))?;
        let token = writer.query("SHOW weir.lsn")?.value().to_owned();
        reader.query(&format!("SET weir.min_lsn = '{token}'"))?;
        assert_eq!(reader.query("SELECT v FROM kept WHERE id = 0")?.value(), version.to_string());
    }
    Ok(())
}
