//! A pool of connections through a restart of the primary. What ran is lost; no connection may be left believing that
//! something is open on it, for then every later transaction of the pool fails. A driver believes that when its BEGIN
//! is answered by an error: a BEGIN on its way when the server dies, or one that no primary is there for.

use std::fmt;
use std::thread;
use std::time::Duration;

use harness::client::{Address, Client, Login};
use harness::{Cluster, Failure, Result, Stop, wait_for};

use crate::application::Application;

/// How long weir waits for a primary.
pub(crate) const PRIMARY_WAIT: Duration = Duration::from_millis(500);

/// How long the primary is away, time after time: as briefly as it can be, then longer than weir waits for it.
const OUTAGES: [Duration; 4] = [Duration::ZERO, Duration::ZERO, Duration::ZERO, Duration::from_secs(2)];

/// How long weir may take to find the primary again.
const PATIENCE: Duration = Duration::from_secs(20);

/// Between two outages.
const AT_WORK: Duration = Duration::from_millis(500);

/// What became of the transactions.
pub(crate) struct Outcome {
    /// Those that failed while the primary was away.
    lost: u64,
    /// Those tried after it was back.
    later: u64,
    /// And of these, those that failed.
    failed: u64,
    last: String,
}

/// Restarts the primary under the pool of an application that is connected to this port, again and again.
pub(crate) fn measure(cluster: &Cluster, port: u16, application: &Application<'_>) -> Result<Outcome> {
    let mut running = application.start(port, &[])?;
    if running.line()?.is_empty() {
        return Err(Failure::new("the application did not come to work"));
    }
    for outage in OUTAGES {
        cluster.stop(cluster.primary(), Stop::Immediate)?;
        thread::sleep(outage);
        cluster.restart(cluster.primary())?;
        wait_for("a write", PATIENCE, || {
            let mut client = Client::connect(&Address::local(port), &Login::new("app", "app"))?;
            Ok(client.query("UPDATE articles SET version = version WHERE id = 480").ok())
        })?;
        thread::sleep(AT_WORK);
    }
    running.go_on()?;
    let figures = running.end()?;
    Ok(Outcome {
        lost: figures.number("lost")?,
        later: figures.number("later")?,
        failed: figures.number("failed")?,
        last: figures.words("last")?,
    })
}

impl Outcome {
    /// What was missed, if anything was.
    pub(crate) fn miss(&self) -> Option<String> {
        (self.failed > 0).then(|| format!("{} of {} later transactions failed", self.failed, self.later))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} transactions lost, then {} of {} failed", self.lost, self.failed, self.later)?;
        if self.failed > 0 {
            write!(f, " ({})", self.last)?;
        }
        Ok(())
    }
}
