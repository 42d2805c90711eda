//! What is told of weir when somebody asks: figures that live elsewhere, and its condition.

use std::sync::Arc;
use std::time::Instant;

use super::crowding::{AT_LEAST, Held};
use super::finding::Finding;
use super::look::{self, Minute};
use crate::admin::Question;
use crate::admin::http::Condition;
use crate::admin::snapshot::Snapshot;
use crate::cluster::topology::{Role, Server};
use crate::discovery::Report;
use crate::net::Encryption;
use crate::session::Shared;
use crate::telemetry::log::LostLines;
use crate::telemetry::metrics::{Metrics, raise_to};

/// Figures that are read when somebody asks for them.
pub(super) fn watch_figures(metrics: &Metrics, shared: &Arc<Shared>, lost: LostLines) {
    metrics.before_scrape(move |metrics| raise_to(&metrics.log_lines_lost, lost.count()));
    let shared = Arc::downgrade(shared);
    metrics.before_scrape(move |metrics| {
        let Some(shared) = shared.upgrade() else { return };
        let counts = shared.classifier.counts();
        raise_to(&metrics.verdict_cache_hits, counts.hits);
        raise_to(&metrics.verdict_cache_misses, counts.misses);
        metrics.verdict_cache_entries.set(i64::try_from(counts.entries).unwrap_or(i64::MAX));
        let (connections, listeners) = shared.subscriptions.counts();
        metrics.background.listen_connections.set(i64::try_from(connections).unwrap_or(i64::MAX));
        metrics.background.listeners.set(i64::try_from(listeners).unwrap_or(i64::MAX));
        let topology = arc_swap::Guard::into_inner(shared.cluster.topology());
        let pools = shared.pools.all();
        let now = Instant::now();
        let holders = shared.registry.holders(AT_LEAST, now);
        metrics.keep(&topology.servers);
        metrics.by_client.keep(&shared.policy().config);
        for server in &topology.servers {
            metrics.servers.set_state(server);
            metrics.servers.set_freshness(server, now);
            if let Some(encryption) = server.address.tls.last() {
                let (version, cipher) = match &encryption {
                    Encryption::Tls(tls) => (tls.version, &*tls.cipher),
                    Encryption::None => ("none", ""),
                };
                metrics.servers.set_encryption(&server.name, version, cipher);
            }
            let (mut active, mut idle, mut waiting, mut full) = (0, 0, 0, 0);
            for pool in pools.iter().filter(|pool| pool.key().server == server.id) {
                let counts = pool.counts();
                active += counts.active;
                idle += counts.idle;
                waiting += counts.waiting;
                full += usize::from(pool.is_full());
            }
            let held = Held::by(holders.iter().filter(|holder| holder.key.server == server.id));
            metrics.servers.set_held(&server.name, held.idle_in_transaction, held.pinned);
            metrics.servers.set_full(&server.name, full);
            metrics.servers.set_pool(&server.name, active, idle, waiting);
        }
    });
}

/// What the HTTP endpoints ask.
pub(super) struct State {
    pub(super) shared: Arc<Shared>,
    pub(super) finding: Arc<Finding>,
    pub(super) minute: Arc<Minute>,
}

impl State {
    /// Weir begins nothing new while it drains, whatever the servers could do.
    fn serves(&self) -> std::result::Result<(), String> {
        if self.shared.is_draining() { Err("draining".to_owned()) } else { Ok(()) }
    }
}

impl Condition for State {
    fn ready_to_write(&self) -> std::result::Result<(), String> {
        self.serves().and_then(|()| self.shared.cluster.ready())
    }

    fn ready_to_read(&self) -> std::result::Result<(), String> {
        self.serves().and_then(|()| self.shared.cluster.ready_to_read())
    }

    fn status(&self) -> String {
        let topology = arc_swap::Guard::into_inner(self.shared.cluster.topology());
        let pinned = self.shared.metrics.pinned_sessions.get();
        let state = if self.shared.is_draining() { "draining" } else { "running" };
        let mut out = format!("state {state}\nclients {}, {pinned} pinned\n", self.shared.registry.len());
        let now = Instant::now();
        topology.servers.iter().for_each(|server| out += &line_of(server, now));
        out += &lines_of(&self.finding.report());
        for pool in self.shared.pools.all() {
            let (key, counts) = (pool.key(), pool.counts());
            let server = topology.server(key.server).map_or("?", |server| &server.name);
            out += &format!(
                "pool {server} {} {}: {} active, {} idle, {} waiting\n",
                key.database, key.user, counts.active, counts.idle, counts.waiting
            );
        }
        out
    }

    fn shows_page(&self) -> bool {
        self.shared.policy().config.metrics.is_some_and(|metrics| metrics.page)
    }

    fn snapshot(&self) -> Snapshot {
        look::snapshot(&self.shared, &self.minute, self.finding.trouble().as_deref())
    }

    fn explain(&self, question: &Question) -> String {
        super::explain::explain(&self.shared, question)
    }
}

/// How servers are found, where they are.
fn lines_of(report: &Report) -> String {
    if report.kind == "static" {
        return String::new();
    }
    let age = report.age.map(|age| format!(", answered {} s ago", age.as_secs()));
    let source = report.source.iter().map(|source| format!(" by {source}"));
    let paused = if report.is_paused { ", the cluster is paused" } else { "" };
    let mut lines = format!("discovery {}, {} servers", report.kind, report.members.len());
    lines += age.as_deref().unwrap_or(", no answer yet");
    source.for_each(|source| lines += &source);
    lines += &format!("{paused}\n");
    for member in &report.members {
        let told = [&member.said, &member.remark].into_iter().filter(|told| !told.is_empty());
        let told = told.map(String::as_str).collect::<Vec<_>>().join("; ");
        lines += &format!("found {} at {}:{}: {told}\n", member.name, member.host, member.port);
    }
    report.troubles.iter().for_each(|trouble| lines += &format!("discovery trouble: {trouble}\n"));
    lines
}

/// What is known of a server: what it is, how far behind, and what the matter is with it.
fn line_of(server: &Server, now: Instant) -> String {
    let (role, health) = (server.role.as_str(), server.health.as_str());
    let mut line = format!("server {} {role} {health}", server.name);
    if server.role == Role::Replica {
        let behind = server.freshness.behind().map(|bytes| format!("lag {bytes} bytes"));
        let age = |through| now.saturating_duration_since(through).as_millis();
        let stale = server.freshness.through().map(|through| format!("staleness {} ms", age(through)));
        [behind, stale].into_iter().flatten().for_each(|known| line += &format!(", {known}"));
    }
    match server.address.tls.last() {
        Some(Encryption::Tls(tls)) => line += &format!(", {} {}", tls.version, tls.cipher),
        Some(Encryption::None) => line += ", not encrypted",
        None => {}
    }
    // A server's words may have more than one line.
    let trouble = server.trouble.iter().map(|trouble| format!(": {}", trouble.replace('\n', " ")));
    trouble.for_each(|trouble| line += &trouble);
    line + "\n"
}
