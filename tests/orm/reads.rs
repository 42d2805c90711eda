//! Where an application's reads run, beside the target; why they ran there is weir's word, from its metrics.

use std::fmt::Write;

use harness::{Cluster, Result, Weir};

use crate::application::Application;
use crate::count::{Count, Load, routes};

/// The least share of read statements that run on replicas.
const TARGET: f64 = 0.95;

/// Above the rows.
pub(crate) const HEAD: &str =
    "application   requests   reads  on replicas  on the primary    share  stale reads  failed";

/// What an application's requests came to.
pub(crate) struct Outcome {
    count: Count,
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
    Ok(Outcome { count: load.count(cluster, weir.port(), application)?, routes: routes(weir)? })
}

impl Outcome {
    /// One row of the table, and weir's reasons below it.
    pub(crate) fn row(&self, name: &str) -> String {
        let count = &self.count;
        let mut row = format!(
            "{name:<12}{:>10}{:>8}{:>13}{:>16}{:>7.1} %{:>13}{:>8}",
            count.requests,
            count.reads(),
            count.on_replicas(),
            count.reads() - count.on_replicas(),
            100.0 * count.share(),
            count.stale,
            count.failed
        );
        for (route, count) in &self.routes {
            let _ = write!(row, "\n    {count:>6} requests: {route}");
        }
        row
    }

    /// The targets that were missed.
    pub(crate) fn misses(&self) -> impl Iterator<Item = String> {
        let Count { stale, failed, .. } = self.count;
        let share = self.count.share();
        let share = (share < TARGET).then(|| format!("{:.1} % of the reads ran on replicas", 100.0 * share));
        let stale = (stale > 0).then(|| format!("{stale} stale reads"));
        let failed = (failed > 0).then(|| format!("{failed} requests failed"));
        [share, stale, failed].into_iter().flatten()
    }
}
