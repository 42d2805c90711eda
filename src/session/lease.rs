//! Getting a connection: which server, and a place in its pool.

use std::time::{Duration, Instant};

use super::replies::Replies;
use super::state::Retry;
use super::{Batch, Leg, Link, Session};
use crate::cluster::topology::ServerId;
use crate::error::{Error, Result};
use crate::pool::{Account, Lease, Pool, PoolKey};
use crate::router::{Decision, Reason, Route, pick};
use crate::telemetry::metrics::observe;
use std::sync::Arc;

/// Time between two attempts to reach a primary that the probes take to be well.
const RECONNECT: Duration = Duration::from_millis(200);

impl Session {
    /// Checks out a connection for a decision. A replica that gives none is passed over for another, and at last for
    /// the primary; the decision is changed accordingly. Says how long that took, if it was not at once.
    ///
    /// # Errors
    /// Why the primary gave none. Cancel safe.
    pub(super) async fn lease(&mut self, decision: &mut Decision, now: Instant) -> Result<Duration> {
        let (lease, waited) = match self.lease_at_once(decision.route, now) {
            Some(lease) => (lease, Duration::ZERO),
            None => {
                let begun = Instant::now();
                // On the heap: few wait, but every client's task would have room for it.
                (Box::pin(self.lease_in_turn(decision)).await?, begun.elapsed())
            }
        };
        observe(&self.shared.metrics.checkout_wait_seconds, waited);
        let load = match self.shared.cluster.topology().server(lease.server()) {
            Some(server) => server.load.clone(),
            None => return Err(Error::NoPrimary),
        };
        self.entry.runs_on(lease.key.clone());
        self.state.carry.leased(lease.settings.clone());
        if decision.route == Route::Replica {
            self.replica = Some(lease.server());
        }
        self.leg = Some(Box::new(Leg {
            lease,
            route: decision.route,
            replies: Replies::with(std::mem::take(&mut self.ledger)),
            batch: Batch::Closed,
            retry: Retry::Never,
            link: Link::Up,
            since: now,
            flight: None,
            load,
        }));
        Ok(waited)
    }

    /// An idle connection to the server that is best for this route, if there is one.
    fn lease_at_once(&mut self, route: Route, now: Instant) -> Option<Lease> {
        let server = {
            let topology = self.shared.cluster.topology();
            match route {
                Route::Primary => topology.writable()?.id,
                Route::Replica => pick(&topology, self.replica, &[], rand::random(), now)?,
            }
        };
        let pool = self.pool(server)?;
        pool.try_checkout(self.state.carry.wanted())
    }

    async fn lease_in_turn(&mut self, decision: &mut Decision) -> Result<Lease> {
        if decision.route == Route::Replica {
            if let Some(lease) = self.lease_replica().await? {
                return Ok(lease);
            }
            *decision = Decision { route: Route::Primary, reason: Reason::NoReplica };
        }
        self.lease_primary().await
    }

    /// A connection to the primary. One that is going away, or gone without the probes having seen it, is waited for
    /// as one that is known to be missing.
    async fn lease_primary(&mut self) -> Result<Lease> {
        let shared = self.shared.clone();
        let deadline = tokio::time::Instant::now() + shared.config.pool.primary_wait;
        loop {
            let mut changes = shared.cluster.changes();
            let writable = shared.cluster.topology().writable().map(|server| server.id);
            let server = match writable {
                Some(server) => server,
                None => {
                    let found =
                        async { shared.cluster.wait_for_primary(deadline).await.ok_or(Error::NoPrimary) };
                    self.entry.queue(found).await?
                }
            };
            let pool = self.pool(server).ok_or(Error::NoPrimary)?;
            if let Some(lease) = pool.try_checkout(self.state.carry.wanted()) {
                return Ok(lease);
            }
            let outcome = self.entry.queue(pool.checkout(self.state.carry.wanted())).await;
            match &outcome {
                Err(error) if error.is_outage() && tokio::time::Instant::now() < deadline => {}
                _ => return outcome,
            }
            // Whether there is a change or not, there is another attempt.
            let _ = tokio::time::timeout(RECONNECT, changes.changed()).await;
        }
    }

    /// A connection to the replica that the balancer picks; when its pool has none free and is full, to any other that
    /// has one free or may open one; else the first that comes free. A replica that refuses or cannot be reached is left out.
    ///
    /// # Errors
    /// The client cancelled.
    async fn lease_replica(&mut self) -> Result<Option<Lease>> {
        let mut excluded: Vec<ServerId> = Vec::new();
        loop {
            let topology = arc_swap::Guard::into_inner(self.shared.cluster.topology());
            let picked = pick(&topology, self.replica, &excluded, rand::random(), Instant::now());
            let Some(picked) = picked else { return Ok(None) };
            let Some(mut pool) = self.pool(picked) else { return Ok(None) };
            if let Some(lease) = pool.try_checkout(self.state.carry.wanted()) {
                return Ok(Some(lease));
            }
            if !pool.can_grow() {
                let others = topology.replicas().map(|server| server.id);
                let others: Vec<_> = others.filter(|id| *id != picked && !excluded.contains(id)).collect();
                if let Some(lease) = self.first_free(&others) {
                    return Ok(Some(lease));
                }
                let roomy = others.into_iter().filter_map(|id| self.pool(id)).find(|pool| pool.can_grow());
                pool = roomy.unwrap_or(pool);
            }
            match self.entry.queue(pool.checkout(self.state.carry.wanted())).await {
                Ok(lease) => return Ok(Some(lease)),
                Err(Error::Canceled) => return Err(Error::Canceled),
                Err(error) => {
                    let server = pool.key().server;
                    tracing::debug!(server = server.0, %error, "no connection to a replica");
                    excluded.push(server);
                }
            }
        }
    }

    /// An idle connection to any of these servers.
    fn first_free(&mut self, servers: &[ServerId]) -> Option<Lease> {
        servers.iter().find_map(|server| self.pool(*server)?.try_checkout(self.state.carry.wanted()))
    }

    /// The session's pool on a server.
    pub(super) fn pool(&mut self, server: ServerId) -> Option<Arc<Pool>> {
        let index = usize::from(server.0);
        if let Some(Some(pool)) = self.pools.get(index) {
            return Some(pool.clone());
        }
        let who = &self.who;
        let key =
            PoolKey { server, database: who.server_database.clone(), user: who.user.server_user.clone() };
        let account = Account { password: who.user.server_password.clone() };
        let pool = self.shared.pools.get(&key, &account, who.pool_size)?;
        self.pools.resize(self.pools.len().max(index + 1), None);
        self.pools[index] = Some(pool.clone());
        Some(pool)
    }
}
