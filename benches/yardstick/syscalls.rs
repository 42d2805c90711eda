//! System calls per transaction: where a proxy's time in the kernel comes from.

use std::time::Duration;

use harness::{Cluster, Result};

use crate::load::{Length, Load};
use crate::meter::{self, Counts};
use crate::target::Target;

/// How long the calls are counted.
const TIME: Duration = Duration::from_secs(4);

/// Runs a load with strace on the proxy, and prints the calls that come up at least once in a hundred transactions.
pub(crate) fn count(cluster: &Cluster, load: &Load, target: &Target) -> Result<()> {
    let Some(pid) = target.pid() else { return Ok(()) };
    let run = || load.transactions(cluster, target, Length::Time(TIME));
    let (mut calls, transactions) = meter::system_calls(pid, cluster.directory(), run)?;
    calls.values_mut().for_each(|calls| *calls /= transactions);
    println!("  {} calls per transaction: {}", target.name(), listed(&calls));
    Ok(())
}

/// Those that come up at least once in a hundred transactions.
pub(crate) fn listed(calls: &Counts) -> String {
    let often = calls.iter().filter(|(_, calls)| **calls >= 0.01);
    often.map(|(name, calls)| format!("{name} {calls:.2}")).collect::<Vec<_>>().join(", ")
}
