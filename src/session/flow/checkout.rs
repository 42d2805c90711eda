//! Getting a connection: which server, and a place in its pool.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::time::timeout_at;

use crate::backend::Key;
use crate::cluster::topology::{Server, ServerId};
use crate::error::{Error, Result};
use crate::pool::{Account, Lease, Pool, PoolKey};
use crate::router::{Decision, Reason, Route, pick};
use crate::session::consistency::requirement::Requirement;
use crate::session::model::state::{Retry, SequenceUse};
use crate::session::relay::responses::Replies;
use crate::session::{Batch, Leg, Link, Look, Session, Wished};
use crate::telemetry::metrics::{ReadOutcome, observe};

/// What came of looking for a fresh replica.
enum Fresh {
    /// It was there.
    AtOnce(Lease),
    /// It was found to be fresh enough in time.
    Waited(Lease),
    /// None was.
    TooLate,
    /// None can be used, fresh or not.
    NoReplica,
}

/// A connection to a replica that may do.
enum Replica {
    Lent(Lease),
    /// None that can be reached is fresh enough, as far as is known.
    Stale,
    /// None can be reached.
    None,
}

/// Time between two attempts to reach a primary that the probes take to be well.
const RECONNECT: Duration = Duration::from_millis(200);

/// How long a read without a primary waits for its replica before it looks whether there is one again.
const ORPHANED: Duration = Duration::from_millis(100);

/// Whether a session ends with this failure to get a connection.
pub(crate) fn ends_session(error: &Error) -> bool {
    matches!(error, Error::Lost(_) | Error::Shutdown | Error::ServerLost)
}

impl Session {
    /// Checks out a connection for a decision. A replica that gives none is passed over for another, and at last for
    /// the primary; the decision is changed accordingly. Says how long that took, if it was not at once.
    ///
    /// # Errors
    /// Why the primary gave none; [`Error::Lost`], [`Error::Shutdown`] and [`Error::ServerLost`] end the session.
    /// Cancel safe.
    pub(crate) async fn lease(
        &mut self,
        decision: &mut Decision,
        demand: &Requirement,
        now: Instant,
    ) -> Result<Duration> {
        let at_once = match self.session_pool {
            None => self.lease_at_once(decision.route, demand, now),
            Some(_) => self.own_at_once(decision.route, demand, now)?,
        };
        let (lease, waited) = match at_once {
            Some(lease) => {
                if decision.route == Route::Replica {
                    self.count_read(demand, ReadOutcome::Fresh, Duration::ZERO);
                }
                (lease, Duration::ZERO)
            }
            None => {
                let begun = Instant::now();
                // On the heap: few wait, but every client's task would have room for it.
                (Box::pin(self.lease_in_turn(decision, demand)).await?, begun.elapsed())
            }
        };
        observe(&self.shared.metrics.checkout_wait_seconds, waited);
        self.take_over(lease, decision.route, now);
        Ok(waited)
    }

    /// The session's requests run on this connection from now on.
    pub(crate) fn take_over(&mut self, lease: Lease, route: Route, now: Instant) {
        let topology = self.shared.cluster.topology();
        // Of one that has been removed in this moment nobody asks how busy it is.
        let load = topology.server(lease.server()).map(|server| server.load.clone()).unwrap_or_default();
        self.entry.runs_on(lease.key.clone());
        self.state.server = Some(lease.server());
        self.state.drew = SequenceUse::Not;
        self.state.settings.leased(lease.settings.clone());
        let last = match route {
            Route::Replica => {
                self.replica = Some(lease.server());
                &mut self.last.replica
            }
            Route::Primary => &mut self.last.primary,
        };
        if !std::ptr::eq(last.as_ptr(), Arc::as_ptr(&lease.key)) {
            *last = Arc::downgrade(&lease.key);
        }
        self.leg = Some(Box::new(Leg {
            lease,
            route,
            replies: Replies::with(std::mem::take(&mut self.ledger)),
            batch: Batch::Closed,
            retry: Retry::Never,
            link: Link::Up,
            since: now,
            look: Look::Away,
            end: Wished::No,
            flight: None,
            load,
        }));
    }

    /// The connection that the session had last.
    fn last(&self, route: Route) -> &Weak<Key> {
        match route {
            Route::Primary => &self.last.primary,
            Route::Replica => &self.last.replica,
        }
    }

    /// An idle connection to the server that is best for this route, if there is one.
    fn lease_at_once(&mut self, route: Route, demand: &Requirement, now: Instant) -> Option<Lease> {
        let server = {
            let topology = self.shared.cluster.topology();
            match route {
                Route::Primary => topology.writable()?.id,
                Route::Replica => {
                    let moment = self.moment(&topology, now);
                    let fresh = |server: &Server| demand.may_be_met(server, moment);
                    pick(&topology, self.replica, fresh, rand::random(), now)?
                }
            }
        };
        let lease = self.pool(server)?.try_checkout(self.state.settings.wanted(), self.last(route))?;
        if route == Route::Replica && !self.is_fresh(&lease, demand) {
            lease.release(now);
            return None;
        }
        Some(lease)
    }

    /// The same in session pooling: the session's own connection, if it can be used as it is. Where it has none yet,
    /// one from the pool.
    ///
    /// # Errors
    /// [`Error::ServerLost`] when its state is gone with its connection.
    fn own_at_once(&mut self, route: Route, demand: &Requirement, now: Instant) -> Result<Option<Lease>> {
        if !self.has_aside(route) {
            return Ok(self.lease_at_once(route, demand, now));
        }
        let topology = arc_swap::Guard::into_inner(self.shared.cluster.topology());
        if route == Route::Primary {
            return match topology.writable() {
                Some(primary) => self.take_primary(primary.id),
                None => Ok(None),
            };
        }
        let moment = self.moment(&topology, now);
        let will_do = |server: &Server| demand.may_be_met(server, moment);
        if !self.serves_aside(&topology, will_do) {
            return Ok(None);
        }
        let Some(lease) = self.take_replica(&topology, will_do) else { return Ok(None) };
        if self.is_fresh(&lease, demand) {
            return Ok(Some(lease));
        }
        self.put_aside(route, lease);
        Ok(None)
    }

    async fn lease_in_turn(&mut self, decision: &mut Decision, demand: &Requirement) -> Result<Lease> {
        if decision.route == Route::Primary {
            return self.lease_primary().await;
        }
        let begun = Instant::now();
        let (reason, outcome) = match self.lease_fresh(demand).await? {
            Fresh::AtOnce(lease) => {
                self.count_read(demand, ReadOutcome::Fresh, Duration::ZERO);
                return Ok(lease);
            }
            Fresh::Waited(lease) => {
                self.count_read(demand, ReadOutcome::Waited, begun.elapsed());
                return Ok(lease);
            }
            Fresh::TooLate => (Reason::Stale, ReadOutcome::Stale),
            Fresh::NoReplica => (Reason::NoReplica, ReadOutcome::NoReplica),
        };
        self.count_read(demand, outcome, begun.elapsed());
        match self.lease_primary().await {
            // None for so long that the freshest replica is as good as it gets.
            // But the session's own connection was lost, and with it what the session relies upon.
            Err(Error::ServerLost) => Err(Error::ServerLost),
            Err(error) if error.is_outage() || matches!(error, Error::NoPrimary) => {
                match self.lease_fresh(demand).await? {
                    Fresh::AtOnce(lease) | Fresh::Waited(lease) => Ok(lease),
                    Fresh::TooLate | Fresh::NoReplica => Err(error),
                }
            }
            outcome => {
                *decision = Decision { route: Route::Primary, reason };
                outcome
            }
        }
    }

    /// A connection to a replica that is fresh enough, or is found to be within `freshness_wait`.
    ///
    /// # Errors
    /// The client cancelled.
    async fn lease_fresh(&mut self, demand: &Requirement) -> Result<Fresh> {
        let samplers = self.shared.cluster.demand().clone();
        let mut deadline = tokio::time::Instant::now() + self.shared.config.routing.freshness_wait;
        let patience = tokio::time::Instant::now() + self.shared.config.pool.primary_wait;
        let mut fresh: fn(Lease) -> Fresh = Fresh::AtOnce;
        let wanted = samplers.want(self.through(demand));
        loop {
            // Whatever is learned from here on is heard below: somebody is known to wait, and the bell is taken in
            // hand, before anything is looked at.
            let mut news = std::pin::pin!(samplers.news());
            news.as_mut().enable();
            let begun = tokio::time::Instant::now();
            let lent = self.lease_replica(demand).await?;
            // What a connection took to come free or to open is not waiting for freshness.
            deadline += begun.elapsed();
            match lent {
                Replica::Lent(lease) if self.is_fresh(&lease, demand) => return Ok(fresh(lease)),
                // Opened a moment ago: whom it leads to is known once that server has answered again.
                Replica::Lent(lease) => {
                    let opened = lease.opened;
                    self.put_aside(Route::Replica, lease);
                    wanted.through(opened);
                }
                Replica::Stale if self.is_hopeless() => return Ok(Fresh::TooLate),
                Replica::Stale => {}
                Replica::None => return Ok(Fresh::NoReplica),
            }
            let learned = async { Ok(timeout_at(deadline, news).await.is_ok()) };
            if !self.waiting().queue(learned).await? {
                let now = tokio::time::Instant::now();
                // Without a primary there is nowhere else to go: the replica may still be found to do.
                if demand.need.strictly.is_some() || now >= patience || self.has_primary() {
                    return Ok(Fresh::TooLate);
                }
                deadline = patience.min(now + ORPHANED);
            }
            fresh = Fresh::Waited;
        }
    }

    fn has_primary(&self) -> bool {
        self.shared.cluster.topology().writable().is_some()
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
                    self.waiting().queue(found).await?
                }
            };
            if let Some(lease) = self.take_primary(server)? {
                return Ok(lease);
            }
            // One that has been removed in this moment is not looked at again.
            let Some(pool) = self.pool(server) else { continue };
            if let Some(lease) = pool.try_checkout(self.state.settings.wanted(), &Weak::new()) {
                return Ok(lease);
            }
            let (wanted, size) = (self.state.settings.wanted().clone(), self.who.pool_size);
            let outcome = self.waiting().queue(pool.checkout(&wanted, size)).await;
            match &outcome {
                Err(error) if error.is_outage() && tokio::time::Instant::now() < deadline => {}
                _ => return outcome,
            }
            // Whether there is a change or not, there is another attempt.
            let pause = async { Ok(tokio::time::timeout(RECONNECT, changes.changed()).await.is_ok()) };
            self.waiting().queue(pause).await?;
        }
    }

    /// A connection to the replica that the balancer picks; when its pool has none free and is full, to any other that
    /// has one free or may open one; else the first that comes free. A replica that refuses or cannot be reached is left out.
    ///
    /// # Errors
    /// The client cancelled.
    async fn lease_replica(&mut self, demand: &Requirement) -> Result<Replica> {
        let mut excluded: Vec<ServerId> = Vec::new();
        loop {
            let topology = arc_swap::Guard::into_inner(self.shared.cluster.topology());
            let now = Instant::now();
            let moment = self.moment(&topology, now);
            let reachable = |server: &Server| !excluded.contains(&server.id);
            let will_do = |server: &Server| reachable(server) && demand.may_be_met(server, moment);
            let Some(picked) = pick(&topology, self.replica, will_do, rand::random(), now) else {
                let stale = topology.replicas().any(reachable);
                return Ok(if stale { Replica::Stale } else { Replica::None });
            };
            if let Some(lease) = self.take_replica(&topology, will_do) {
                return Ok(Replica::Lent(lease));
            }
            let Some(mut pool) = self.pool(picked) else {
                excluded.push(picked);
                continue;
            };
            if let Some(lease) = pool.try_checkout(self.state.settings.wanted(), &Weak::new()) {
                return Ok(Replica::Lent(lease));
            }
            let size = self.who.pool_size;
            if !pool.can_grow(size) {
                let others = topology.replicas().filter(|server| will_do(server)).map(|server| server.id);
                let others: Vec<_> = others.filter(|id| *id != picked).collect();
                if let Some(lease) = self.first_free(&others) {
                    return Ok(Replica::Lent(lease));
                }
                let roomy =
                    others.into_iter().filter_map(|id| self.pool(id)).find(|pool| pool.can_grow(size));
                pool = roomy.unwrap_or(pool);
                if !pool.can_grow(size) && self.has_aside(Route::Primary) {
                    // Connections that sessions keep for good are not worth waiting for.
                    return Ok(Replica::None);
                }
            }
            let wanted = self.state.settings.wanted().clone();
            match self.waiting().queue(pool.checkout(&wanted, size)).await {
                Ok(lease) => return Ok(Replica::Lent(lease)),
                Err(error @ (Error::Canceled | Error::Lost(_) | Error::Shutdown)) => return Err(error),
                Err(error) => {
                    let server = pool.key().server;
                    let name = topology.server(server).map(|server| &*server.name);
                    tracing::debug!(server = name, %error, "no connection to a replica");
                    excluded.push(server);
                }
            }
        }
    }

    /// An idle connection to any of these servers.
    fn first_free(&mut self, servers: &[ServerId]) -> Option<Lease> {
        servers
            .iter()
            .find_map(|server| self.pool(*server)?.try_checkout(self.state.settings.wanted(), &Weak::new()))
    }

    /// The session's pool on a server.
    pub(crate) fn pool(&mut self, server: ServerId) -> Option<Arc<Pool>> {
        let of_server = |pool: &&Arc<Pool>| pool.key().server == server && !pool.is_closed();
        if let Some(pool) = self.pools.iter().find(of_server) {
            return Some(pool.clone());
        }
        self.pools.retain(|pool| !pool.is_closed());
        let who = &self.who;
        let key =
            PoolKey { server, database: who.server_database.clone(), user: who.user.server_user.clone() };
        let account = Account { password: who.user.server_password.clone() };
        let pool = self.shared.pools.get(&key, &account)?;
        self.pools.push(pool.clone());
        Some(pool)
    }
}
