//! Reads that are fresh enough: what a request needs of a replica, and whether one has it.
//!
//! It never takes a connection and waits for nothing.

use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::cluster::topology::{Server, ServerId, Topology};
use crate::freshness::{Doubt, Freshness, Furthest, Legacy, Lsn, Marks, Missing, Moment, Need, Primary};
use crate::router::Route;
use crate::session::consistency::observed_reads::Touched;
use crate::session::consistency::shared_catalogs::{CommonFloor, join, reads_shared};
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
    /// When the catalogs that all databases share were.
    pub common: &'a Marks,
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
        let floor = match levels.consistency {
            // It needs more than that, or less.
            Consistency::Eventual | Consistency::Strong => Floor::default(),
            Consistency::Session | Consistency::Global => basis.floor(request),
        };
        let need = Need {
            written: floor.written,
            doubt: floor.doubt,
            strictly: (levels.consistency == Consistency::Strong).then_some(now),
            seen: tracking.seen().filter(|_| levels.consistency != Consistency::Eventual),
            max_staleness: levels.max_staleness,
            min_lsn: levels.min_lsn,
        };
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
        // The time counts for an age and while there is no primary. To read it takes longer than all else here.
        let timeless = self.need.max_staleness.is_none() && topology.writable().is_some();
        let now = if timeless { opened } else { Instant::now() };
        let moment = clock.moment(&topology, now);
        let server = topology.server(server);
        server.is_some_and(|server| self.need.is_met(server.id, &server.freshness, Some(opened), moment))
    }

    /// The instant through which a replica that the session never looked at must be fresh now.
    pub(crate) fn through(&self, clock: &Clock<'_>) -> Instant {
        let topology = clock.cluster.topology();
        let moment = clock.moment(&topology, Instant::now());
        let doubt = self.need.doubt.map(|doubt| doubt.at);
        self.need.through(moment).max(doubt).unwrap_or(moment.now)
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
        let primary = match self.missing_since(topology) {
            None => Primary::There,
            Some(since) if now.saturating_duration_since(since) >= self.primary_wait => {
                Primary::Gone(topology.replicas().filter_map(|server| furthest(&server.freshness)).max())
            }
            Some(since) => Primary::Missing(Missing { since, legacy: legacy(topology) }),
        };
        Moment { now, primary }
    }

    /// Until when reads wait for a primary, where there is none: all of them until the same moment, whenever they came.
    pub(crate) fn waits_until(&self) -> Option<Instant> {
        self.missing_since(&self.cluster.topology()).map(|since| since + self.primary_wait)
    }

    /// Until when a read waits for its replica that may wait until `deadline`: where there is no primary to go to, as long
    /// as it would wait for one, and no longer.
    pub(crate) fn waits_for_replica(&self, deadline: Instant) -> Instant {
        self.waits_until().unwrap_or(deadline)
    }

    fn missing_since(&self, topology: &Topology) -> Option<Instant> {
        if topology.writable().is_some() { None } else { self.cluster.without_primary_since() }
    }

    /// Whether every replica was so far behind when it was last asked that to wait for one is to wait in vain. Without a
    /// primary that says nothing: all of them are asked, and none is found to hold what was acknowledged since.
    pub(crate) fn is_hopeless(&self, freshness_wait: Duration) -> bool {
        let limit = HOPELESS.max(freshness_wait * 10);
        let far = |server: &Server| match (server.freshness.sampled(), server.freshness.through()) {
            (Some(sampled), Some(through)) => sampled.saturating_duration_since(through) > limit,
            _ => false,
        };
        let topology = self.cluster.topology();
        topology.writable().is_some() && topology.replicas().all(far)
    }
}

/// How far a replica is, as far as anything is known.
fn furthest(known: &Freshness) -> Option<Furthest> {
    // In this order: what has been replayed is not less than what belongs to the instant.
    let through = known.through()?;
    Some(Furthest { through, replayed: known.replayed() })
}

/// What a primary that is gone has left to the replicas that follow it. What the others have is of no use to anybody.
fn legacy(topology: &Topology) -> Option<Legacy> {
    let heirs = topology.replicas().map(|server| &server.freshness).filter(|known| known.through().is_some());
    heirs.map(|known| Some(Legacy { asked: known.sampled()?, received: known.received()? })).reduce(
        |one, other| {
            let (one, other) = (one?, other?);
            Some(Legacy { asked: one.asked.min(other.asked), received: one.received.max(other.received) })
        },
    )?
}

/// What the writes of the past ask of a replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Floor {
    written: Option<Instant>,
    doubt: Option<Doubt>,
}

impl Floor {
    fn last(&self) -> Option<Instant> {
        self.written.max(self.doubt.map(|doubt| doubt.at))
    }
}

impl Basis<'_> {
    /// When what the request looks at was last seen or written by the session on the primary and, at level `global`, last
    /// written by anybody.
    fn floor(&self, request: &Request) -> Floor {
        let marks = Some(self.marks).filter(|_| self.levels.consistency == Consistency::Global);
        let (tracking, observed) = (self.tracking, self.tracking.observed());
        let known = observed.last(&Touched::Anything).max(tracking.moved());
        let highest = Floor {
            written: known.max(marks.map(Marks::latest_write)),
            doubt: marks.and_then(|marks| doubt(marks.unanswered.latest(), marks.looked.latest())),
        };
        let all = self.with_common(highest, CommonFloor::possible);
        let topology = self.cluster.topology();
        if topology.replicas().all(|server| server.freshness.through() >= all.last()) {
            // Whatever it looks at is there: no need to find out what that is.
            return all;
        }
        let catalog = self.cluster.catalogs().of(self.database);
        let since = catalog.as_deref().and_then(|catalog| catalog.since);
        // Nobody knows what will be looked at by those that see what this one does.
        let lasts = |statement: &Statement| {
            begins(statement) || matches!(statement.kind, Kind::SetTransaction(_, Scope::Local))
        };
        if self.besides == Touched::Anything || request.statements().any(lasts) {
            return all;
        }
        // Without definitions nobody knows what is behind a name.
        let described = catalog.as_deref().filter(|_| since.is_some());
        let shared = request.statements().any(|statement| reads_shared(statement, described));
        let common = if shared { CommonFloor::possible } else { CommonFloor::certain };
        match (Touched::by(request.statements(), catalog.as_deref()), since) {
            (Touched::Anything, _) | (_, None) => self.with_common(highest, common),
            (touched @ Touched::These(_), Some(since)) => {
                let slots = touched.slots();
                // What was marked by an earlier catalog may have been marked under other names.
                let since = Some(since).min(highest.last());
                let known = observed.last(&touched).max(tracking.moved());
                let floor = Floor {
                    written: since.max(known).max(marks.map(|marks| marks.last_write(slots))),
                    doubt: marks
                        .and_then(|marks| doubt(marks.unanswered.last(slots), marks.looked.last(slots))),
                };
                self.with_common(floor, common)
            }
        }
    }

    /// The same with what is asked for of the catalogs that all databases share.
    fn with_common(&self, floor: Floor, common: fn(&Marks) -> CommonFloor) -> Floor {
        if self.levels.consistency != Consistency::Global {
            return floor;
        }
        let common = common(self.common);
        Floor { written: floor.written.max(Some(common.written)), doubt: join(floor.doubt, common.doubt) }
    }
}

fn doubt(at: Option<Instant>, looked: Option<Instant>) -> Option<Doubt> {
    at.map(|at| Doubt { at, looked })
}
