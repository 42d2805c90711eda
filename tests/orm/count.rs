//! Where an application's reads run: counted in the servers' own logs, so that nobody's word has to be taken for it.

use clap::Args;
use harness::{Cluster, Result, Weir};

use crate::application::Application;

/// What is asked of an application.
#[derive(Args)]
pub(crate) struct Load {
    /// Requests to each application.
    #[arg(long, default_value_t = 3000, value_name = "N")]
    requests: u32,
    /// Users who ask at the same time.
    #[arg(long, default_value_t = 24, value_name = "N")]
    users: u32,
    /// Repeats a run's choices.
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
}

/// What an application's requests came to.
pub(crate) struct Count {
    pub(crate) requests: u64,
    /// Read statements by server, the primary first.
    reads: Vec<u64>,
    /// Answers that did not show what was acknowledged before they were asked for.
    pub(crate) stale: u64,
    pub(crate) failed: u64,
}

impl Load {
    /// Runs an application on what listens to this port, and counts.
    pub(crate) fn count(&self, cluster: &Cluster, port: u16, application: &Application<'_>) -> Result<Count> {
        let mark = cluster.mark();
        let Self { requests, users, seed } = self;
        let arguments =
            [format!("--requests={requests}"), format!("--users={users}"), format!("--seed={seed}")];
        let figures = application.start(port, &arguments)?.end()?;
        let reads =
            |server| cluster.statements(server, &mark).iter().filter(|text| is_read(text)).count() as u64;
        Ok(Count {
            requests: figures.number("requests")?,
            reads: (0..cluster.size()).map(reads).collect(),
            stale: figures.number("stale")?,
            failed: figures.number("failed")?,
        })
    }
}

impl Count {
    pub(crate) fn reads(&self) -> u64 {
        self.reads.iter().sum()
    }

    pub(crate) fn on_replicas(&self) -> u64 {
        self.reads.iter().skip(1).sum()
    }

    /// Of all reads, those on replicas.
    pub(crate) fn share(&self) -> f64 {
        self.on_replicas() as f64 / self.reads().max(1) as f64
    }
}

/// Whether a statement in a server's log is a read of the application's. A cursor is one, however often it is fetched
/// from. What weir puts in front of requests is none: settings, and the bare SELECT that takes a snapshot.
fn is_read(statement: &str) -> bool {
    let first = statement.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
    let ours = statement.starts_with("SELECT pg_catalog.set_config(") || statement.trim() == "SELECT";
    matches!(first.as_str(), "SELECT" | "WITH" | "DECLARE") && !ours && !statement.contains("FOR UPDATE")
}

/// weir's routes and reasons with the number of requests, the most frequent first.
pub(crate) fn routes(weir: &Weir) -> Result<Vec<(String, f64)>> {
    let sums = weir.metrics()?.sums_by("weir_requests_total", ["route", "reason"]);
    let mut routes: Vec<_> =
        sums.into_iter().map(|([route, reason], count)| (format!("{route} {reason}"), count)).collect();
    routes.sort_by(|a, b| b.1.total_cmp(&a.1));
    Ok(routes)
}
