//! What is told of weir when somebody asks: figures that live elsewhere, and its condition.

use std::sync::Arc;

use super::crowding::{AT_LEAST, Held};
use crate::admin::http::Condition;
use crate::cluster::topology::Role;
use crate::session::Shared;
use crate::telemetry::metrics::{Metrics, raise_to};

/// Figures that are read when somebody asks for them.
pub(super) fn watch_figures(metrics: &Metrics, shared: &Arc<Shared>) {
    let shared = Arc::downgrade(shared);
    metrics.before_scrape(move |metrics| {
        let Some(shared) = shared.upgrade() else { return };
        let counts = shared.classifier.counts();
        raise_to(&metrics.verdict_cache_hits, counts.hits);
        raise_to(&metrics.verdict_cache_misses, counts.misses);
        metrics.verdict_cache_entries.set(i64::try_from(counts.entries).unwrap_or(i64::MAX));
        let topology = arc_swap::Guard::into_inner(shared.cluster.topology());
        let pools = shared.pools.all();
        let now = std::time::Instant::now();
        let holders = shared.registry.holders(AT_LEAST, now);
        metrics.servers.keep(&topology.servers);
        for server in &topology.servers {
            metrics.servers.set_state(server);
            metrics.servers.set_freshness(server, now);
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
}

impl Condition for State {
    fn ready(&self) -> std::result::Result<(), String> {
        self.shared.cluster.ready()
    }

    fn status(&self) -> String {
        let topology = arc_swap::Guard::into_inner(self.shared.cluster.topology());
        let pinned = self.shared.metrics.pinned_sessions.get();
        let mut out = format!("clients {}, {pinned} pinned\n", self.shared.registry.len());
        for server in &topology.servers {
            let role = match server.role {
                Role::Primary => "primary",
                Role::Replica => "replica",
                Role::Unknown => "unknown",
            };
            let health = if server.is_up() { "up" } else { "down" };
            out += &format!("server {} {role} {health}\n", server.name);
        }
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
}
