//! Reads that are fresh enough: what a request needs of a replica, and whether one has it.
//!
//! It never takes a connection and waits for nothing.

use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::cluster::topology::{Server, ServerId, Topology};
use crate::freshness::{Lsn, Marks, Moment, Need, Primary};
use crate::router::Route;
use crate::session::consistency::observed_reads::Touched;
use crate::session::consistency::tracking::Tracking;
use crate::session::relay::facts::{Fact, begins};
use crate::session::relay::request::Request;
use crate::sql::{Consistency, Kind, Scope, Statement};

/// How far behind a replica must be for nobody to wait for it, at least. Samples of one that nobody cares about are a
/// second apart.
const HOPELESS: Duration = Duration::from_secs(2);

/// What a read asks of a replica.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Requirement {
    pub(crate) need: Need<ServerId>,
    pub(crate) level: Consistency,
}

/// What is asked of one read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Levels {
    /// Whose writes the replica must hold.
    pub consistency: Consistency,
    /// The oldest that it may be.
    pub max_staleness: Option<Duration>,
    /// How far it must have replayed.
    pub min_lsn: Option<Lsn>,
}

/// What a requirement follows from, besides the request.
pub(crate) struct Basis<'a> {
    pub cluster: &'a Cluster,
    /// The database on the servers.
    pub database: &'a str,
    /// When its relations were last written by anybody.
    pub marks: &'a Marks,
    /// What the session has written and seen.
    pub tracking: &'a Tracking,
    /// What is asked of the read.
    pub levels: Levels,
    /// What those behind it look at that will see no more than it does.
    pub besides: Touched,
}

impl Requirement {
    /// Of a request that looks at no data.
    pub(crate) const NOTHING: Self = Self { need: Need::NOTHING, level: Consistency::Eventual };

    /// What a request that goes this way needs. The floor is what was acknowledged when it arrived, and that is `now`.
    pub(crate) fn of(request: &Request, basis: &Basis<'_>, now: Instant) -> Self {
        let (levels, tracking) = (basis.levels, basis.tracking);
        let written = match levels.consistency {
            Consistency::Eventual => None,
            Consistency::Strong => tracking.wrote(),
            Consistency::Session | Consistency::Global => {
                tracking.wrote().max(tracking.moved()).max(basis.floor(request))
            }
        };
        let seen = tracking.seen().filter(|_| levels.consistency != Consistency::Eventual);
        let strictly = (levels.consistency == Consistency::Strong).then_some(now);
        let need =
            Need { written, strictly, seen, max_staleness: levels.max_staleness, min_lsn: levels.min_lsn };
        Self { need, level: levels.consistency }
    }

    /// Whether a request that goes this way needs anything.
    pub(crate) fn concerns(request: &Request, route: Route) -> bool {
        route == Route::Replica && request.any(Fact::Looks)
    }

    /// Whether some connection to this server may meet it.
    pub(crate) fn may_be_met(&self, server: &Server, moment: Moment) -> bool {
        self.need.is_met(server.id, &server.freshness, None, moment)
    }

    /// Whether a connection to this server that was opened then meets it now.
    pub(crate) fn is_met(&self, (server, opened): (ServerId, Instant), clock: &Clock<'_>) -> bool {
        if self.need.is_nothing() {
            return true;
        }
        let topology = clock.cluster.topology();
        let moment = clock.moment(&topology, Instant::now());
        let server = topology.server(server);
        server.is_some_and(|server| self.need.is_met(server.id, &server.freshness, Some(opened), moment))
    }

    /// The instant through which a replica that the session never looked at must be fresh now.
    pub(crate) fn through(&self, clock: &Clock<'_>) -> Instant {
        let topology = clock.cluster.topology();
        let moment = clock.moment(&topology, Instant::now());
        self.need.through(moment).unwrap_or(moment.now)
    }
}

/// The freshness clock as a session reads it.
#[derive(Clone, Copy)]
pub(crate) struct Clock<'a> {
    pub cluster: &'a Cluster,
    /// How long a read waits for a primary before it makes do without one, as a write does.
    pub primary_wait: Duration,
}

impl Clock<'_> {
    /// The moment at which something is weighed, and how things stand with the primary.
    pub(crate) fn moment(&self, topology: &Topology, now: Instant) -> Moment {
        let gone = || {
            let since = self.cluster.without_primary_since();
            since.is_some_and(|since| now.saturating_duration_since(since) >= self.primary_wait)
        };
        let primary = if topology.writable().is_none() && gone() {
            Primary::Gone(topology.replicas().filter_map(|server| server.freshness.through()).max())
        } else {
            Primary::There
        };
        Moment { now, primary }
    }

    /// Whether every replica was so far behind when it was last asked that to wait for one is to wait in vain.
    pub(crate) fn is_hopeless(&self, freshness_wait: Duration) -> bool {
        let limit = HOPELESS.max(freshness_wait * 10);
        let far = |server: &Server| match (server.freshness.sampled(), server.freshness.through()) {
            (Some(sampled), Some(through)) => sampled.saturating_duration_since(through) > limit,
            _ => false,
        };
        self.cluster.topology().replicas().all(far)
    }
}

impl Basis<'_> {
    /// When what the request looks at was last seen on the primary and, at level `global`, last written by anybody.
    fn floor(&self, request: &Request) -> Option<Instant> {
        let marks = Some(self.marks).filter(|_| self.levels.consistency == Consistency::Global);
        let observed = self.tracking.observed();
        let highest = observed.last(&Touched::Anything).max(marks.map(Marks::latest));
        let topology = self.cluster.topology();
        if topology.replicas().all(|server| server.freshness.through() >= highest) {
            // Whatever it looks at is there: no need to find out what that is.
            return highest;
        }
        let catalog = self.cluster.catalogs().of(self.database);
        let since = catalog.as_deref().and_then(|catalog| catalog.since);
        // Nobody knows what will be looked at by those that see what this one does.
        let lasts = |statement: &Statement| {
            begins(statement) || matches!(statement.kind, Kind::SetTransaction(_, Scope::Local))
        };
        if self.besides == Touched::Anything || request.statements().any(lasts) {
            return highest;
        }
        match (Touched::by(request.statements(), catalog.as_deref()), since) {
            (Touched::Anything, _) | (_, None) => highest,
            (touched @ Touched::These(_), Some(since)) => {
                // What was marked by an earlier catalog may have been marked under other names.
                let since = Some(since).min(highest);
                since.max(observed.last(&touched)).max(marks.map(|marks| marks.last_write(touched.slots())))
            }
        }
    }
}
