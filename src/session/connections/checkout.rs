//! Getting a connection: which server, and a place in its pool.

use std::borrow::Cow;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::time::sleep_until;

use crate::backend::settings::Settings;
use crate::cluster::topology::{Server, ServerId, Topology};
use crate::error::{Error, Result};
use crate::pool::{Lease, Pool, Wish};
use crate::router::{Decision, Reason, Route, pick};
use crate::session::client::Client;
use crate::session::connections::Connections;
use crate::session::connections::wait::Waiting;
use crate::session::consistency::requirement::Requirement;
use crate::session::conversation::Conversation;
use crate::session::leg::reset::Leftover;
use crate::session::shared::Shared;
use crate::session::shared::gate::Names;
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

/// How long a new connection to a replica is waited for to be known to lead to the server that was sampled, when there is
/// no primary to go to.
const UNSAMPLED: Duration = Duration::from_secs(1);

/// Ready when this server is not the primary any more: who waits for a connection to it would write to another's replica,
/// or to a primary that nobody follows. Cancel safe.
async fn deposed(shared: &Shared, server: ServerId) {
    let mut changes = shared.cluster.changes();
    while shared.cluster.topology().writable().is_some_and(|primary| primary.id == server) {
        if changes.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Whether a session ends with this failure to get a connection.
pub(crate) fn ends_session(error: &Error) -> bool {
    matches!(error, Error::Lost(_) | Error::Shutdown | Error::ServerLost)
}

/// A request that looks for its connection.
pub(crate) struct Checkout<'a> {
    pub client: &'a mut Client,
    pub conversation: &'a Conversation,
    pub connections: &'a mut Connections,
    /// What it needs of a replica.
    pub requirement: &'a Requirement,
}

/// A connection, and what was waited for it.
pub(crate) struct Lent {
    pub lease: Lease,
    /// Where it leads, and why: not where the request was to go, if that could not be had.
    pub decision: Decision,
    pub waited: Duration,
}

impl<'a> Checkout<'a> {
    /// Checks out a connection for a decision. A replica that gives none is passed over for another, and at last for
    /// the primary; the decision is changed accordingly. Says how long that took, if it was not at once.
    ///
    /// # Errors
    /// Why the primary gave none; [`Error::Lost`], [`Error::Shutdown`] and [`Error::ServerLost`] end the session.
    /// Cancel safe.
    pub(crate) async fn run(mut self, mut decision: Decision, now: Instant) -> Result<Lent> {
        let at_once = match self.connections.are_kept() {
            false => self.at_once(decision.route, now),
            true => self.own_at_once(decision.route, now)?,
        };
        let mut for_freshness = Duration::ZERO;
        let (lease, waited) = match at_once {
            Some(lease) => {
                if decision.route == Route::Replica {
                    self.count_read(ReadOutcome::Fresh, Duration::ZERO);
                }
                (lease, Duration::ZERO)
            }
            None => {
                let begun = Instant::now();
                // On the heap: few wait, but every client's task would have room for it.
                let lease = Box::pin(self.while_open(&mut decision, &mut for_freshness)).await?;
                (lease, begun.elapsed())
            }
        };
        observe(&self.shared().metrics.checkout_wait_seconds, waited.saturating_sub(for_freshness));
        Ok(Lent { lease, decision, waited })
    }

    fn shared(&self) -> &'a Shared {
        &self.conversation.shared
    }

    fn is_fresh(&self, lease: &Lease) -> bool {
        self.requirement.is_met((lease.server(), lease.opened), &self.conversation.clock())
    }

    fn wanted(&self) -> Cow<'a, Settings> {
        self.conversation.state.wanted()
    }

    /// What the session would have of a connection, if it wants these settings.
    fn wish<'s>(&self, settings: &'s Settings) -> Wish<'s>
    where
        'a: 's,
    {
        let spoken = &self.conversation.state.pins.spoken;
        Wish { settings, spoken: Some(&spoken.placeholders), buffers: spoken.buffers }
    }

    fn pool(&mut self, server: ServerId) -> Option<Arc<Pool>> {
        let conversation = self.conversation;
        self.connections.pool(&conversation.shared, &conversation.who, server)
    }

    /// To wait for something that stands between the request and its connection.
    fn waiting(&mut self) -> Waiting<'_> {
        let Self { client, conversation, .. } = self;
        Waiting { shared: &conversation.shared, entry: &conversation.entry, client }
    }

    /// Counts a read by what its freshness cost.
    fn count_read(&self, outcome: ReadOutcome, waited: Duration) {
        if self.requirement.need.is_nothing() {
            return;
        }
        let metrics = &self.shared().metrics;
        metrics.read(self.requirement.level, outcome);
        if waited > Duration::ZERO {
            observe(&metrics.freshness_wait_seconds, waited);
        }
    }

    /// An idle connection to the server that is best for this route, if there is one.
    fn at_once(&mut self, route: Route, now: Instant) -> Option<Lease> {
        let requirement = self.requirement;
        let server = {
            let topology = self.shared().cluster.topology();
            match route {
                Route::Primary => topology.writable()?.id,
                Route::Replica => {
                    let moment = self.conversation.clock().moment(&topology, now);
                    let fresh = |server: &Server| requirement.may_be_met(server, moment);
                    pick(&topology, self.connections.replica, fresh, rand::random(), now)?
                }
            }
        };
        let wanted = self.wanted();
        let (pool, wish) = (self.pool(server)?, self.wish(&wanted));
        let lease = pool.try_checkout(wish, self.connections.last(route))?;
        if route == Route::Replica && !self.is_fresh(&lease) {
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
    fn own_at_once(&mut self, route: Route, now: Instant) -> Result<Option<Lease>> {
        if !self.keeps(route) {
            return Ok(self.at_once(route, now));
        }
        let topology = arc_swap::Guard::into_inner(self.shared().cluster.topology());
        if route == Route::Primary {
            return match topology.writable() {
                Some(primary) => self.take_primary(primary.id),
                None => Ok(None),
            };
        }
        let (requirement, moment) = (self.requirement, self.conversation.clock().moment(&topology, now));
        let will_do = |server: &Server| requirement.may_be_met(server, moment);
        if !self.connections.kept.as_ref().is_some_and(|kept| kept.serves(&topology, will_do)) {
            return Ok(None);
        }
        let Some(lease) = self.take_replica(&topology, will_do) else { return Ok(None) };
        if self.is_fresh(&lease) {
            return Ok(Some(lease));
        }
        self.put_aside(lease);
        Ok(None)
    }

    /// As [`Checkout::in_turn`], and nothing that it waits for counts while the database is paused.
    async fn while_open(&mut self, decision: &mut Decision, for_freshness: &mut Duration) -> Result<Lease> {
        let (shared, who) = (self.conversation.shared.clone(), &self.conversation.who);
        let names = Names { client: who.database.clone(), server: who.server_database.clone() };
        let gate = &shared.board.gate;
        loop {
            let before = *decision;
            tokio::select! {
                biased;
                () = gate.shuts(&names) => *decision = before,
                lease = self.in_turn(decision, for_freshness) => return lease,
            }
            let opens = async {
                gate.opens(&names).await;
                Ok(())
            };
            self.waiting().queue(opens).await?;
        }
    }

    /// Says besides how long of it was spent `for_freshness`.
    async fn in_turn(&mut self, decision: &mut Decision, for_freshness: &mut Duration) -> Result<Lease> {
        let begun = Instant::now();
        let (clock, deadline) = (self.conversation.clock(), self.primary_deadline());
        if decision.route == Route::Primary {
            // What comes from a replica only reads, and waits as such.
            let absence = clock.waits_until().filter(|_| decision.reason == Reason::Stale);
            return self.primary(absence.map_or(deadline, Into::into)).await;
        }
        let mut rounds = 0..;
        loop {
            let is_first = rounds.next() == Some(0);
            let is_over = tokio::time::Instant::now() >= clock.waits_until().map_or(deadline, Into::into);
            let (reason, outcome) = match self.fresh(for_freshness).await? {
                Fresh::AtOnce(lease) if is_first => {
                    self.count_read(ReadOutcome::Fresh, Duration::ZERO);
                    return Ok(lease);
                }
                Fresh::AtOnce(lease) | Fresh::Waited(lease) => {
                    self.count_read(ReadOutcome::Waited, begun.elapsed());
                    return Ok(lease);
                }
                Fresh::TooLate => (Reason::Stale, ReadOutcome::Stale),
                Fresh::NoReplica => (Reason::NoReplica, ReadOutcome::NoReplica),
            };
            match self.primary_instead(reason, deadline).await {
                // The session's own connection was lost, and with it what the session relies upon.
                Err(Error::ServerLost) => return Err(Error::ServerLost),
                // A replica may do all the same, and will when there has been no primary for so long that the freshest
                // is as good as it gets.
                Err(error) if error.is_absence() && (is_first || !is_over) => {}
                outcome_there => {
                    self.count_read(outcome, begun.elapsed());
                    *decision = Decision { route: Route::Primary, reason };
                    return outcome_there;
                }
            }
        }
    }

    /// A connection to the primary, for a read that finds no replica. Not waited for once there is no primary, if there are
    /// replicas: what must be there of what the read asks for is another question then.
    async fn primary_instead(&mut self, why: Reason, deadline: tokio::time::Instant) -> Result<Lease> {
        let shared = self.conversation.shared.clone();
        match self.conversation.clock().waits_until() {
            Some(end) if why == Reason::NoReplica => self.primary(end.into()).await,
            Some(_) => self.primary(tokio::time::Instant::now()).await,
            None => tokio::select! {
                biased;
                lease = self.primary(deadline) => lease,
                () = shared.cluster.wait_for_absence() => Err(Error::NoPrimary),
            },
        }
    }

    /// Until when a request that comes now waits for a primary that is missing.
    fn primary_deadline(&self) -> tokio::time::Instant {
        tokio::time::Instant::now() + self.conversation.policy.config.pool.primary_wait
    }

    /// A connection to a replica that is fresh enough, or is found to be within `freshness_wait`; where there is no primary,
    /// before nobody waits for one any more. What is waited for that, and not for a connection, adds to `for_freshness`.
    ///
    /// # Errors
    /// The client cancelled.
    async fn fresh(&mut self, for_freshness: &mut Duration) -> Result<Fresh> {
        let (shared, clock) = (self.conversation.shared.clone(), self.conversation.clock());
        let samplers = shared.cluster.demand();
        let mut changes = shared.cluster.changes();
        let came = Instant::now();
        let mut deadline = came + self.conversation.policy.config.routing.freshness_wait;
        let mut fresh: fn(Lease) -> Fresh = Fresh::AtOnce;
        let wanted = samplers.want(self.requirement.through(&clock));
        loop {
            // Whatever is learned from here on is heard below: somebody is known to wait, and the bell is taken in
            // hand, before anything is looked at.
            let mut news = std::pin::pin!(samplers.news());
            news.as_mut().enable();
            changes.mark_unchanged();
            let begun = Instant::now();
            let lent = self.replica().await?;
            // What a connection took to come free or to open is not waiting for freshness.
            deadline += begun.elapsed();
            let mut until = clock.waits_for_replica(deadline);
            match lent {
                Replica::Lent(lease) if self.is_fresh(&lease) => return Ok(fresh(lease)),
                // Opened a moment ago: whom it leads to is known once that server has answered again.
                Replica::Lent(lease) => {
                    let opened = lease.opened;
                    self.put_aside(lease);
                    wanted.through(opened);
                    until = until.max(if self.has_primary() { deadline } else { came + UNSAMPLED });
                }
                Replica::Stale if self.is_hopeless() => return Ok(Fresh::TooLate),
                Replica::Stale => {}
                Replica::None => return Ok(Fresh::NoReplica),
            }
            if Instant::now() >= until {
                return Ok(Fresh::TooLate);
            }
            let learned = async {
                tokio::select! {
                    () = news => {}
                    // The primary may be gone, or back.
                    _ = changes.changed() => {}
                    () = sleep_until(until.into()) => {}
                }
                Ok(())
            };
            let paused = Instant::now();
            self.waiting().queue(learned).await?;
            *for_freshness += paused.elapsed();
            fresh = Fresh::Waited;
        }
    }

    fn is_hopeless(&self) -> bool {
        self.conversation.clock().is_hopeless(self.conversation.policy.config.routing.freshness_wait)
    }

    /// Whether the session has a connection of its own for this route.
    fn keeps(&self, route: Route) -> bool {
        self.connections.kept.as_ref().is_some_and(|kept| kept.has(route))
    }

    fn take_primary(&mut self, server: ServerId) -> Result<Option<Lease>> {
        self.connections.kept.as_mut().map_or(Ok(None), |kept| kept.take_primary(server))
    }

    fn take_replica(&mut self, topology: &Topology, will_do: impl Fn(&Server) -> bool) -> Option<Lease> {
        let known = Leftover::of(&self.conversation.state);
        self.connections.kept.as_mut()?.take_replica(topology, will_do, known)
    }

    /// A replica's connection that does not do yet.
    fn put_aside(&mut self, lease: Lease) {
        self.connections.put_aside((Route::Replica, lease), &self.conversation.state, Instant::now());
    }

    fn has_primary(&self) -> bool {
        self.shared().cluster.topology().writable().is_some()
    }

    /// A connection to the primary. One that is going away or coming up, or gone without the probes having seen it, is
    /// waited for as one that is known to be missing: until `deadline`. One that is full is waited for in its pool, as
    /// long as it is the primary: up to `checkout_timeout`.
    async fn primary(&mut self, deadline: tokio::time::Instant) -> Result<Lease> {
        let shared = self.conversation.shared.clone();
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
            let wanted = self.wanted();
            let wish = self.wish(&wanted);
            if let Some(lease) = pool.try_checkout(wish, &Weak::new()) {
                return Ok(lease);
            }
            let size = self.conversation.who.pool_size;
            let lent = async {
                tokio::select! {
                    biased;
                    lent = pool.checkout(wish, size) => lent,
                    () = deposed(&shared, server) => Err(Error::NoPrimary),
                }
            };
            let outcome = self.waiting().queue(lent).await;
            match &outcome {
                Err(error) if error.is_absence() && tokio::time::Instant::now() < deadline => {}
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
    async fn replica(&mut self) -> Result<Replica> {
        let mut excluded: Vec<ServerId> = Vec::new();
        loop {
            let topology = arc_swap::Guard::into_inner(self.shared().cluster.topology());
            let now = Instant::now();
            let (requirement, moment) = (self.requirement, self.conversation.clock().moment(&topology, now));
            let reachable = |server: &Server| !excluded.contains(&server.id);
            let will_do = |server: &Server| reachable(server) && requirement.may_be_met(server, moment);
            let Some(picked) = pick(&topology, self.connections.replica, will_do, rand::random(), now) else {
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
            let wanted = self.wanted();
            let wish = self.wish(&wanted);
            if let Some(lease) = pool.try_checkout(wish, &Weak::new()) {
                return Ok(Replica::Lent(lease));
            }
            let size = self.conversation.who.pool_size;
            if !pool.can_grow(size) {
                let others = topology.replicas().filter(|server| will_do(server)).map(|server| server.id);
                let others: Vec<_> = others.filter(|id| *id != picked).collect();
                if let Some(lease) = self.first_free(&others) {
                    return Ok(Replica::Lent(lease));
                }
                let roomy =
                    others.into_iter().filter_map(|id| self.pool(id)).find(|pool| pool.can_grow(size));
                pool = roomy.unwrap_or(pool);
                if !pool.can_grow(size) && self.keeps(Route::Primary) {
                    // Connections that sessions keep for good are not worth waiting for.
                    return Ok(Replica::None);
                }
            }
            // Another replica, or the primary, does as well as one that is full.
            let elsewhere = topology.writable().is_some()
                || topology.replicas().any(|server| server.id != pool.key().server && will_do(server));
            let lent = match elsewhere {
                true => self.waiting().queue(pool.checkout_or_leave(wish, size)).await,
                false => self.waiting().queue(pool.checkout(wish, size)).await,
            };
            match lent {
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
        let wanted = self.wanted();
        let wish = self.wish(&wanted);
        servers.iter().find_map(|server| self.pool(*server)?.try_checkout(wish, &Weak::new()))
    }
}
