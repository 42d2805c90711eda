//! Where an application's reads run: counted in the servers' own logs, so that nobody's word has to be taken for it.
//! Why they ran there is weir's word, from its metrics.

use std::fmt::Write;

use clap::Args;
use harness::{Cluster, Result, Weir};

use crate::application::Application;

/// The least share of read statements that run on replicas.
const TARGET: f64 = 0.95;

/// Above the rows.
pub(crate) const HEAD: &str =
    "application   requests   reads  on replicas  on the primary    share  stale reads  failed";

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
pub(crate) struct Outcome {
    requests: u64,
    /// Read statements by server, the primary first.
    reads: Vec<u64>,
    /// Answers that did not show what was acknowledged before they were asked for.
    stale: u64,
    failed: u64,
    /// weir's routes and reasons with the number of requests, the most frequent first.
    routes: Vec<(String, f64)>,
}

/// Runs an application, and counts.
pub(crate) fn measure(
    cluster: &Cluster,
    weir: &Weir,
    application: &Application<'_>,
    load: &Load,
) -> Result<Outcome> {
    let mark = cluster.mark();
    let Load { requests, users, seed } = load;
    let arguments = [format!("--requests={requests}"), format!("--users={users}"), format!("--seed={seed}")];
    let figures = application.start(weir.port(), &arguments)?.end()?;
    let reads = |server| cluster.statements(server, &mark).iter().filter(|text| is_read(text)).count() as u64;
    Ok(Outcome {
        requests: figures.number("requests")?,
        reads: (0..cluster.size()).map(reads).collect(),
        stale: figures.number("stale")?,
        failed: figures.number("failed")?,
        routes: routes(weir)?,
    })
}

/// Whether a statement in a server's log is a read of the application's. A cursor is one, however often it is fetched
/// from. What weir puts in front of requests is none: settings, and the bare SELECT that takes a snapshot.
fn is_read(statement: &str) -> bool {
    let first = statement.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
    let ours = statement.starts_with("SELECT pg_catalog.set_config(") || statement.trim() == "SELECT";
    matches!(first.as_str(), "SELECT" | "WITH" | "DECLARE") && !ours && !statement.contains("FOR UPDATE")
}

fn routes(weir: &Weir) -> Result<Vec<(String, f64)>> {
    let sums = weir.metrics()?.sums_by("weir_requests_total", ["route", "reason"]);
    let mut routes: Vec<_> =
        sums.into_iter().map(|([route, reason], count)| (format!("{route} {reason}"), count)).collect();
    routes.sort_by(|a, b| b.1.total_cmp(&a.1));
    Ok(routes)
}

impl Outcome {
    fn on_replicas(&self) -> u64 {
        self.reads.iter().skip(1).sum()
    }

    fn all(&self) -> u64 {
        self.reads.iter().sum()
    }

    /// Of all reads, those on replicas.
    fn share(&self) -> f64 {
        self.on_replicas() as f64 / self.all().max(1) as f64
    }

    /// One row of the table, and weir's reasons below it.
    pub(crate) fn row(&self, name: &str) -> String {
        let mut row = format!(
            "{name:<12}{:>10}{:>8}{:>13}{:>16}{:>7.1} %{:>13}{:>8}",
            self.requests,
            self.all(),
            self.on_replicas(),
            self.all() - self.on_replicas(),
            100.0 * self.share(),
            self.stale,
            self.failed
        );
        for (route, count) in &self.routes {
            let _ = write!(row, "\n    {count:>6} requests: {route}");
        }
        row
    }

    /// The targets that were missed.
    pub(crate) fn misses(&self) -> impl Iterator<Item = String> {
        let share = (self.share() < TARGET)
            .then(|| format!("{:.1} % of the reads ran on replicas", 100.0 * self.share()));
        let stale = (self.stale > 0).then(|| format!("{} stale reads", self.stale));
        let failed = (self.failed > 0).then(|| format!("{} requests failed", self.failed));
        [share, stale, failed].into_iter().flatten()
    }
}
