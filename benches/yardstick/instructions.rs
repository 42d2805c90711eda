//! Instructions and system calls per transaction: what a proxy does, whatever else the machine does.
//!
//! Each figure is the difference between a long and a short run of the same transactions, so that logging in and leaving
//! cancel out, as does what the tool itself adds to a run. What the proxy does by itself goes by the clock, and a proxy
//! that is being counted is slow: it is measured while nobody asks for anything, and taken off for the time that the
//! long run took longer. System calls are counted of a proxy at its usual speed, as it takes more of what is ready at
//! once when it is slow.

use std::thread::sleep;
use std::time::{Duration, Instant};

use harness::{Failure, Result};

use crate::load::{Length, Load};
use crate::meter::{self, Counts, Meter};
use crate::report::median;
use crate::syscalls::listed;
use crate::target::{Bench, Kind, Purpose, Target};

/// Transactions of the short and of the long run, all clients together.
const SHORT: u32 = 800;
const LONG: u32 = 4000;

/// How long a proxy is watched doing nothing. weir is at work about once a second then.
const IDLE: Duration = Duration::from_secs(8);

/// What is counted.
const LOADS: [Load; 14] = [
    Load::select("simple", 1),
    Load::select("extended", 1),
    Load::select("prepared", 1),
    Load::tpcb("simple", 1),
    Load::tpcb("extended", 1),
    Load::tpcb("prepared", 1),
    Load::orm_read("prepared", 1),
    Load::orm_write("prepared", 1),
    Load::select("simple", 8),
    Load::select("extended", 8),
    Load::select("prepared", 8),
    Load::tpcb("simple", 8),
    Load::tpcb("extended", 8),
    Load::tpcb("prepared", 8),
];

/// Those that have these words in their names.
pub(crate) fn loads(words: &str) -> Vec<Load> {
    LOADS.iter().copied().filter(|load| load.name().contains(words)).collect()
}

/// Counts loads on all targets and prints the medians of the rounds. One target runs at a time.
pub(crate) fn measure(
    bench: &Bench,
    kinds: &[Kind],
    meter: Meter,
    (loads, rounds): (&[Load], u64),
) -> Result<()> {
    println!("PostgreSQL {}", bench.cluster.sql(0, "SHOW server_version")?.value());
    println!(
        "instructions by {}, in user space; calls by strace; both per transaction, medians of {rounds} rounds\n",
        meter.name()
    );
    for kind in kinds.iter().filter(|kind| **kind != Kind::Direct) {
        let start = |tool| Bench { purpose: Purpose::Counting(tool), ..*bench }.start(*kind);
        let tool = Tool::Instructions(meter);
        let instructions = all_loads(bench, &start(Some(meter))?, tool, (loads, rounds))?;
        let target = start(None)?;
        let calls = all_loads(bench, &target, Tool::Calls, (loads, rounds))?;
        println!("{:<28}instructions  spread     calls  spread", target.name());
        println!("  {}", target.description());
        for (load, (instructions, calls)) in loads.iter().zip(instructions.iter().zip(&calls)) {
            let (count, count_spread) = summary(instructions);
            let (call, call_spread) = summary(calls);
            let name = load.name();
            println!(
                "  {name:<26}{count:>12.0}{count_spread:>7.2}%{call:>10.2}{call_spread:>7.2}%   {}",
                listed(&calls[0])
            );
        }
        println!();
    }
    Ok(())
}

/// What a tool counts.
#[derive(Clone, Copy, Debug)]
enum Tool {
    Instructions(Meter),
    Calls,
}

/// What was counted, and how long it took.
struct Stretch {
    counts: Counts,
    seconds: f64,
}

impl Tool {
    fn count(self, bench: &Bench, target: &Target, work: impl FnOnce() -> Result<()>) -> Result<Stretch> {
        let pid = target.pid().ok_or_else(|| Failure::new("there is no proxy"))?;
        let timed = || {
            let begin = Instant::now();
            work().map(|()| begin.elapsed().as_secs_f64())
        };
        let (counts, seconds) = match self {
            Self::Instructions(meter) => meter.instructions(pid, timed)?,
            Self::Calls => meter::system_calls(pid, bench.cluster.directory(), timed)?,
        };
        Ok(Stretch { counts, seconds })
    }
}

/// The counts per transaction of each load, one per round.
fn all_loads(
    bench: &Bench,
    target: &Target,
    tool: Tool,
    (loads, rounds): (&[Load], u64),
) -> Result<Vec<Vec<Counts>>> {
    let run = |load: &Load, transactions: u32| {
        let length = Length::Transactions(transactions / load.clients);
        load.transactions(bench.cluster, target, length).map(drop)
    };
    // Connections are opened, and caches filled.
    loads.iter().try_for_each(|load| run(load, SHORT))?;
    let idle = tool.count(bench, target, || {
        sleep(IDLE);
        Ok(())
    })?;
    let once = |load: &Load| -> Result<Counts> {
        let short = tool.count(bench, target, || run(load, SHORT))?;
        let long = tool.count(bench, target, || run(load, LONG))?;
        Ok(per_transaction(&short, &long, &idle))
    };
    loads.iter().map(|load| (0..rounds).map(|_| once(load)).collect()).collect()
}

fn per_transaction(short: &Stretch, long: &Stretch, idle: &Stretch) -> Counts {
    let more = |name: &str, count: f64| {
        let of = |stretch: &Stretch| stretch.counts.get(name).copied().unwrap_or_default();
        let by_itself = of(idle) / idle.seconds * (long.seconds - short.seconds);
        (count - of(short) - by_itself) / f64::from(LONG - SHORT)
    };
    long.counts.iter().map(|(name, count)| (name.clone(), more(name, *count))).collect()
}

/// The median of the sums, and how far these are apart, in percent.
fn summary(rounds: &[Counts]) -> (f64, f64) {
    let sums: Vec<f64> = rounds.iter().map(|counts| counts.values().sum()).collect();
    let middle = median(sums.clone());
    let (least, most) =
        sums.iter().fold((f64::MAX, f64::MIN), |(least, most), sum| (least.min(*sum), most.max(*sum)));
    (middle, (most - least) / middle * 100.0)
}
