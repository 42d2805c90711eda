//! What the servers themselves say that they ran: their logs, read as they grow.

use std::collections::VecDeque;
use std::time::Instant;

use harness::{Cluster, Mark};

use crate::traffic::ORM_TABLE;

/// How many statements of other clients are kept for showing.
const KEPT: usize = 5;

/// Statements of one server, by what they do.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) reads: u64,
    pub(crate) writes: u64,
    /// Of the reads, those of the client that works like an ORM.
    orm: u64,
}

/// Counts of all servers, and what was run by others than the demo's own clients.
pub(crate) struct Servers<'a> {
    cluster: &'a Cluster,
    mark: Mark,
    looked: Instant,
    counts: Vec<Counts>,
    rates: Vec<(f64, f64)>,
    foreign: VecDeque<(usize, String)>,
}

impl<'a> Servers<'a> {
    pub(crate) fn new(cluster: &'a Cluster) -> Self {
        let size = cluster.size();
        Self {
            cluster,
            mark: cluster.mark(),
            looked: Instant::now(),
            counts: vec![Counts::default(); size],
            rates: vec![(0.0, 0.0); size],
            foreign: VecDeque::new(),
        }
    }

    /// Reads what the servers have logged since the last look.
    pub(crate) fn look(&mut self) {
        let now = self.cluster.mark();
        let seconds = self.looked.elapsed().as_secs_f64();
        for server in 0..self.cluster.size() {
            let before = self.counts[server];
            for statement in self.cluster.statements_between(server, &self.mark, &now) {
                self.count(server, &statement);
            }
            let after = self.counts[server];
            let rate = |now: u64, then: u64| (now - then) as f64 / seconds;
            self.rates[server] = (rate(after.reads, before.reads), rate(after.writes, before.writes));
        }
        self.mark = now;
        self.looked = Instant::now();
    }

    /// Statements so far, by server.
    pub(crate) fn counts(&self) -> &[Counts] {
        &self.counts
    }

    /// How much of what the ORM-like client read came from replicas, in percent.
    pub(crate) fn orm_share(&self) -> f64 {
        let all: u64 = self.counts.iter().map(|counts| counts.orm).sum();
        let primary = self.counts[self.cluster.primary()].orm;
        100.0 * (all - primary) as f64 / all.max(1) as f64
    }

    /// Reads and writes a second between the last two looks, by server.
    pub(crate) fn rates(&self) -> &[(f64, f64)] {
        &self.rates
    }

    /// The last statements that others than the demo's clients ran, with the server.
    pub(crate) fn foreign(&self) -> impl Iterator<Item = (&str, &str)> {
        self.foreign.iter().map(|(server, statement)| (self.cluster.name(*server), statement.as_str()))
    }

    fn count(&mut self, server: usize, statement: &str) {
        // What weir puts in front of a request, so that the connection has the client's settings.
        if statement.starts_with("SELECT pg_catalog.set_config(") {
            return;
        }
        let counts = &mut self.counts[server];
        let orm = statement.contains(ORM_TABLE);
        let first = statement.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
        match first.as_str() {
            "SELECT" if statement.contains("FOR UPDATE") => counts.writes += 1,
            "SELECT" => {
                counts.reads += 1;
                counts.orm += u64::from(orm);
            }
            "INSERT" | "UPDATE" | "DELETE" | "MERGE" => counts.writes += 1,
            _ => {}
        }
        let demo = statement.contains("balance") && statement.contains("accounts");
        if !demo && !orm && !matches!(first.as_str(), "BEGIN" | "COMMIT") {
            let line = statement.split_whitespace().collect::<Vec<_>>().join(" ");
            self.foreign.push_back((server, line));
            self.foreign.drain(..self.foreign.len().saturating_sub(KEPT));
        }
    }
}
