//! pgbench runs.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::time::Duration;

use harness::{Cluster, CpuTime, Failure, Result};

use crate::load::{Length, Load, Sample};
use crate::target::Target;

/// What pgbench is told of its transaction.
type Options = &'static [&'static str];

/// Makes pgbench's tables.
pub(crate) fn load_data(cluster: &Cluster, scale: u32) -> Result<()> {
    let mut command = pgbench(cluster, cluster.port(0), "disable")?;
    let output = command.args(["-i", "-q", "-s", &scale.to_string(), "app"]).output()?;
    if !output.status.success() {
        return Err(Failure::new(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    cluster.sql(0, "VACUUM ANALYZE").map(drop)
}

/// Runs a load on a target for this long.
///
/// The proxy's CPU time is read when pgbench reports its progress, so that what the clients' logins cost, and
/// the first second, are outside of what is measured.
pub(crate) fn run(
    cluster: &Cluster,
    load: &Load,
    options: Options,
    target: &Target,
    time: Duration,
) -> Result<Sample> {
    let mut command = command(cluster, load, options, target, Length::Time(time))?;
    let mut child = command.args(["-P", "1"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let stderr = child.stderr.take().ok_or_else(|| Failure::new("pgbench has no stderr"))?;
    let mut readings: Vec<(Progress, CpuTime)> = Vec::new();
    let mut complaints = String::new();
    for line in BufReader::new(stderr).lines() {
        let line = line?;
        match Progress::read(&line) {
            Some(progress) => readings.push((progress, target.cpu())),
            None => complaints += &(line + "\n"),
        }
    }
    let mut words = String::new();
    child.stdout.take().map(|mut stdout| stdout.read_to_string(&mut words)).transpose()?;
    let status = child.wait()?;
    let failed = words.lines().any(|line| line.starts_with("number of failed") && !line.contains(": 0 "));
    if !status.success() || failed {
        let (name, protocol) = (target.name(), load.protocol);
        return Err(Failure::new(format!(
            "pgbench ({protocol}) through {name} failed:\n{complaints}{words}"
        )));
    }
    let cpu = per_transaction(&readings).ok_or_else(|| Failure::new("pgbench reported no progress"))?;
    let figure =
        |name: &str| figure(&words, name).ok_or_else(|| Failure::new(format!("no {name} in:\n{words}")));
    Ok(Sample { rate: figure("tps = ")?, latency: figure("latency average = ")?, cpu })
}

/// Runs a load and measures nothing; how many transactions there were.
pub(crate) fn transactions(
    cluster: &Cluster,
    load: &Load,
    options: Options,
    target: &Target,
    length: Length,
) -> Result<f64> {
    let output = command(cluster, load, options, target, length)?.output()?;
    let words = String::from_utf8_lossy(&output.stdout);
    let processed = figure(&words, "number of transactions actually processed: ");
    processed.filter(|_| output.status.success()).ok_or_else(|| {
        let (name, protocol, complaints) =
            (target.name(), load.protocol, String::from_utf8_lossy(&output.stderr));
        Failure::new(format!("pgbench ({protocol}) through {name} failed:\n{complaints}{words}"))
    })
}

/// The command line of a run.
fn command(
    cluster: &Cluster,
    load: &Load,
    options: Options,
    target: &Target,
    length: Length,
) -> Result<Command> {
    let mut command = pgbench(cluster, target.port, target.sslmode)?;
    let (clients, threads) = (load.clients.to_string(), load.clients.min(2).to_string());
    command.args(["-n", "-M", load.protocol, "-c", &clients, "-j", &threads]);
    match length {
        Length::Time(time) => command.args(["-T", &time.as_secs().to_string()]),
        Length::Transactions(count) => command.args(["-t", &count.to_string(), "--random-seed=1"]),
    };
    command.args(options).arg(target.database(load.protocol));
    Ok(command)
}

fn pgbench(cluster: &Cluster, port: u16, sslmode: &str) -> Result<Command> {
    let mut command = Command::new(cluster.postgres().program("pgbench")?);
    command
        .env("PGPASSWORD", "app")
        .env("PGUSER", "app")
        .env("PGSSLMODE", sslmode)
        .env("PGGSSENCMODE", "disable");
    command.args(["-h", "127.0.0.1", "-p", &port.to_string()]);
    Ok(command)
}

/// One of pgbench's progress lines.
#[derive(Clone, Copy)]
struct Progress {
    seconds: f64,
    rate: f64,
}

impl Progress {
    /// Reads `progress: 2.0 s, 21453.1 tps, lat 1.488 ms stddev 0.912, 0 failed`.
    fn read(line: &str) -> Option<Self> {
        let (seconds, rest) = line.strip_prefix("progress: ")?.split_once(" s, ")?;
        Some(Self { seconds: seconds.parse().ok()?, rate: rest.split(' ').next()?.parse().ok()? })
    }
}

/// CPU time per transaction between the first and the last report.
fn per_transaction(readings: &[(Progress, CpuTime)]) -> Option<CpuTime> {
    let transactions: f64 =
        readings.windows(2).map(|pair| pair[1].0.rate * (pair[1].0.seconds - pair[0].0.seconds)).sum();
    let spent = readings.last()?.1.since(readings.first()?.1);
    let enough = readings.len() >= 2 && transactions > 0.0;
    enough.then(|| CpuTime { user: spent.user / transactions, system: spent.system / transactions })
}

/// The number that follows a name in pgbench's summary.
fn figure(words: &str, name: &str) -> Option<f64> {
    let line = words.lines().find_map(|line| line.strip_prefix(name))?;
    line.split([' ', '/']).next()?.parse().ok()
}
