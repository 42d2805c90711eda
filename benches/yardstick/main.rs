//! The yardstick: what a proxy costs, measured side by side in one run.
//!
//! A direct connection, HAProxy in TCP mode, PgBouncer in transaction mode and weir stand in front of the same
//! servers and take turns, round after round, so that whatever else the machine does hits all of them alike. The
//! figures are medians over the rounds. The one that matters is the proxy's CPU time per transaction: throughput
//! on a machine that also runs the clients and the servers says little about the proxy.

#![forbid(unsafe_code)]

mod bulk;
mod encryption;
mod handshakes;
mod idle;
mod instructions;
mod load;
mod meter;
mod orm;
mod pgbench;
mod pipeline;
mod replies;
mod report;
mod syscalls;
mod target;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use harness::{Cluster, Options, Result};

use encryption::{Encryption, KeyKind, Side};
use load::Load;
use meter::Meter;
use pipeline::Syncs;
use report::Row;
use target::{Bench, Kind, Purpose, Setting};

/// Compares what proxies cost: direct, HAProxy, PgBouncer and weir, interleaved, medians over the rounds.
#[derive(Parser)]
#[command(name = "yardstick")]
struct Arguments {
    /// What to measure; everything when absent.
    #[arg(long, value_delimiter = ',', value_name = "CASE,...")]
    cases: Vec<Case>,
    /// What to compare; everything when absent. `weir` has the primary only, as PgBouncer has; `weir-split` sends
    /// reads to replicas; `weir-eventual` does so however old these are.
    #[arg(long, value_delimiter = ',', value_name = "TARGET,...")]
    targets: Vec<Kind>,
    /// Seconds of each pgbench run, at least 3: the first one warms up.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u64).range(3..))]
    seconds: u64,
    /// Runs of each case on each target.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    rounds: u64,
    /// Server connections of each pool.
    #[arg(long, default_value_t = 20)]
    pool: usize,
    /// pgbench's scale factor: 15 MB each.
    #[arg(long, default_value_t = 20)]
    scale: u32,
    /// Replicas behind the primary.
    #[arg(long, default_value_t = 1)]
    replicas: usize,
    /// Says this in the configuration of each weir, too: `routing.transactions="primary"`.
    #[arg(long = "setting", value_name = "SECTION.KEY=VALUE", value_parser = Setting::read)]
    settings: Vec<Setting>,
    /// Has clients speak TLS, or proxies towards the servers as well. For pgbench's loads, handshakes and idle clients; the
    /// others are left out.
    #[arg(long, value_name = "SIDE")]
    tls: Option<Side>,
    /// The kind of key that is shown there.
    #[arg(long, value_name = "KIND", default_value = "ecdsa", requires = "tls")]
    key: KeyKind,
    /// Another weir to measure than the one built along with this program.
    #[arg(long, value_name = "PATH", default_value = env!("CARGO_BIN_EXE_weir"))]
    weir: PathBuf,
    /// Also count each proxy's system calls per transaction (strace).
    #[arg(long)]
    syscalls: bool,
    /// Count the instructions in user space and the system calls per transaction of PgBouncer and weir, or of the
    /// targets named, instead of measuring time: figures that other programs on the machine do not change. By perf
    /// where there are counters, else by callgrind; only figures by the same tool can be compared. `misses` counts of
    /// those instructions only the ones that have to be fetched.
    #[arg(long, value_name = "TOOL", require_equals = true, conflicts_with_all = ["cases", "seconds", "syscalls"])]
    instructions: Option<Option<Meter>>,
    /// Of what is counted, only what has these words in its name: `--named "select, prepared"`.
    #[arg(long, value_name = "WORDS", requires = "instructions", default_value = "")]
    named: String,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Case {
    /// pgbench -S, simple protocol, one client
    Simple1,
    /// pgbench -S, extended protocol, one client
    Extended1,
    /// pgbench -S, prepared statements, one client
    Prepared1,
    /// pgbench -S, simple protocol, 32 clients
    Simple32,
    /// pgbench -S, extended protocol, 32 clients
    Extended32,
    /// pgbench -S, prepared statements, 32 clients
    Prepared32,
    /// pgbench's TPC-B, simple protocol, 16 clients
    Tpcb,
    /// pgbench -S -C: a new connection for every transaction, 8 clients
    Connect,
    /// An ORM's reading transaction: BEGIN, a prepared select, ROLLBACK, 32 clients
    OrmRead,
    /// The same with a statement that is parsed each time, which an old PgBouncer carries in transaction mode
    OrmReadExtended,
    /// An ORM's writing transaction: BEGIN, two selects and an update, prepared, COMMIT, 32 clients
    OrmWrite,
    /// The same with statements that are parsed each time
    OrmWriteExtended,
    /// 200 clients that think for 10 ms in each reading transaction
    Thinking,
    /// A 100 MB result of 1 kB rows, ten times
    Bulk,
    /// 1,000 one-row statements in a pipeline, with one Sync
    Pipeline,
    /// 1,000 one-row statements in a pipeline, each with a Sync of its own
    PipelineSyncs,
    /// Memory of 1,000 idle clients
    Idle,
    /// TLS handshakes without a login; needs --tls
    Handshake,
}

impl Case {
    /// The load, when it is of transactions.
    fn load(self) -> Option<Load> {
        match self {
            Self::Simple1 => Some(Load::select("simple", 1)),
            Self::Extended1 => Some(Load::select("extended", 1)),
            Self::Prepared1 => Some(Load::select("prepared", 1)),
            Self::Simple32 => Some(Load::select("simple", 32)),
            Self::Extended32 => Some(Load::select("extended", 32)),
            Self::Prepared32 => Some(Load::select("prepared", 32)),
            Self::Tpcb => Some(Load::tpcb("simple", 16)),
            Self::Connect => Some(Load::connecting(8)),
            Self::OrmRead => Some(Load::orm_read("prepared", 32)),
            Self::OrmReadExtended => Some(Load::orm_read("extended", 32)),
            Self::OrmWrite => Some(Load::orm_write("prepared", 32)),
            Self::OrmWriteExtended => Some(Load::orm_write("extended", 32)),
            Self::Thinking => Some(Load::thinking("extended", 200)),
            Self::Bulk | Self::Pipeline | Self::PipelineSyncs | Self::Idle | Self::Handshake => None,
        }
    }

    /// Whether it can be measured over TLS, or over plain sockets.
    fn fits(self, tls: Option<Side>) -> bool {
        match (self, tls) {
            (Self::Handshake, tls) => tls.is_some(),
            (_, None) | (Self::Idle, Some(_)) => true,
            (_, Some(_)) => self.load().is_some_and(|load| load.is_pgbenchs()),
        }
    }

    /// Where the Syncs are, when it is a pipeline.
    fn syncs(self) -> Option<Syncs> {
        match self {
            Self::Pipeline => Some(Syncs::One),
            Self::PipelineSyncs => Some(Syncs::Each),
            _ => None,
        }
    }
}

fn main() -> std::process::ExitCode {
    // `cargo bench` passes `--bench` to every benchmark.
    let mut arguments = Arguments::parse_from(std::env::args_os().filter(|argument| argument != "--bench"));
    if arguments.cases.is_empty() {
        arguments.cases = Case::value_variants().to_vec();
    }
    if arguments.targets.is_empty() {
        arguments.targets = match arguments.instructions {
            None => Kind::value_variants().to_vec(),
            Some(_) => vec![Kind::Pgbouncer, Kind::Weir],
        };
    }
    arguments.cases.retain(|case| case.fits(arguments.tls));
    match run(&arguments) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("yardstick: {failure}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    idle::raise_file_limit();
    // Installing it in the middle would disturb what is measured.
    if arguments.syscalls || arguments.instructions.is_some() {
        harness::tools::ensure("strace")?;
    }
    let meter = arguments.instructions.map(|named| named.unwrap_or_else(Meter::available));
    let options = Options::new(arguments.replicas)
        .quiet()
        .setting("shared_buffers", "512MB")
        .setting("max_wal_size", "8GB")
        .setting("checkpoint_timeout", "1h")
        .setting("autovacuum", "off")
        // What thinks holds a connection each, where there is no pool, while the pools keep theirs.
        .setting("max_connections", "700");
    let cluster = Cluster::with(options)?;
    eprintln!("loading data: pgbench scale {}", arguments.scale);
    pgbench::load_data(&cluster, arguments.scale)?;
    if meter.is_none() {
        eprintln!("loading data: 100 MB of 1 kB rows");
        bulk::load_data(&cluster)?;
    }
    cluster.wait_caught_up()?;

    let prepare = |side| Encryption::prepare(&cluster, side, arguments.key);
    let encryption = arguments.tls.map(prepare).transpose()?;
    let bench = Bench {
        cluster: &cluster,
        weir: &arguments.weir,
        settings: &arguments.settings,
        encryption: encryption.as_ref(),
        pool: arguments.pool,
        purpose: Purpose::Speed,
    };
    if let Some(meter) = meter {
        let loads = instructions::loads(&arguments.named);
        return instructions::measure(&bench, &arguments.targets, meter, (&loads, arguments.rounds));
    }
    let targets = arguments.targets.iter().map(|kind| bench.start(*kind)).collect::<Result<Vec<_>>>()?;
    println!("PostgreSQL {}", cluster.sql(0, "SHOW server_version")?.value());
    targets.iter().for_each(|target| println!("{}: {}", target.name(), target.description()));
    println!("{} rounds of {} s, pools of {}\n", arguments.rounds, arguments.seconds, arguments.pool);

    for case in &arguments.cases {
        measure(*case, arguments, &bench, &targets)?;
    }
    Ok(())
}

/// Measures one case on all targets, round by round, and prints its table.
fn measure(case: Case, arguments: &Arguments, bench: &Bench, targets: &[target::Target]) -> Result<()> {
    if case == Case::Idle {
        return idle::measure(bench, &arguments.targets);
    }
    if case == Case::Handshake {
        return handshakes::measure(targets, arguments.rounds);
    }
    let time = Duration::from_secs(arguments.seconds);
    let mut rows: Vec<Row> = targets.iter().map(|target| Row::new(target.kind)).collect();
    for round in 0..arguments.rounds as usize {
        // Another target goes first in every round.
        for turn in 0..targets.len() {
            let index = (round + turn) % targets.len();
            let sample = match (case.load(), case.syncs()) {
                (Some(load), _) => load.run(bench.cluster, &targets[index], time)?,
                (None, Some(syncs)) => pipeline::run(&targets[index], syncs, time)?,
                (None, None) => bulk::run(&targets[index])?,
            };
            rows[index].samples.push(sample);
        }
    }
    match (case.load(), case.syncs()) {
        (Some(load), _) => report::transactions(&load, &rows),
        (None, Some(syncs)) => report::pipelines(syncs, &rows),
        (None, None) => report::bulk(&rows),
    }
    if let Some(load) = case.load().filter(|_| arguments.syscalls) {
        for target in targets {
            syscalls::count(bench.cluster, &load, target)?;
        }
    }
    println!();
    Ok(())
}
