//! System calls per transaction: where a proxy's time in the kernel comes from.

use std::process::{Command, Stdio};
use std::time::Duration;

use harness::{Cluster, Failure, Result, tools};

use crate::pgbench::{self, Load};
use crate::target::Target;

/// How long the calls are counted.
const TIME: Duration = Duration::from_secs(4);

/// Runs a load with strace on the proxy, and prints the calls that come up at least once in a hundred transactions.
pub(crate) fn count(cluster: &Cluster, load: &Load, target: &Target) -> Result<()> {
    let Some(pid) = target.pid() else { return Ok(()) };
    let file = cluster.directory().join("strace");
    let mut strace = Command::new(tools::ensure("strace")?);
    strace.args(["-f", "-c", "-U", "name,calls", "-p", &pid.to_string(), "-o"]).arg(&file);
    let mut strace = strace.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let output = pgbench::command(cluster, load, target, TIME)?.output()?;
    // SIGINT makes it let go of the proxy and write its summary.
    Command::new("sh").arg("-c").arg(format!("kill -INT {}", strace.id())).status()?;
    strace.wait()?;
    let words = String::from_utf8_lossy(&output.stdout);
    let processed =
        words.lines().find_map(|line| line.strip_prefix("number of transactions actually processed: "));
    let transactions: f64 = processed
        .and_then(|number| number.split('/').next()?.trim().parse().ok())
        .ok_or_else(|| Failure::new(format!("pgbench under strace failed:\n{words}")))?;
    let calls = std::fs::read_to_string(&file)?;
    let per_transaction = calls.lines().filter_map(|line| {
        let (name, calls) = line.trim().split_once(char::is_whitespace)?;
        let calls = calls.trim().parse::<f64>().ok()? / transactions;
        (calls >= 0.01 && name != "total").then(|| format!("{name} {calls:.2}"))
    });
    println!("  {} calls per transaction: {}", target.name(), per_transaction.collect::<Vec<_>>().join(", "));
    Ok(())
}
