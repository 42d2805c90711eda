//! Reads that are fresh enough: what a request needs of a replica, and whether one has it.

use std::time::{Duration, Instant};

use tokio::time::timeout_at;

use crate::cluster::topology::{Server, ServerId, Topology};
use crate::freshness::{Marks, Moment, Need, Primary};
use crate::pool::Lease;
use crate::router::{Decision, Route};
use crate::session::consistency::observed_reads::Touched;
use crate::session::flow::request::Request;
use crate::session::{Leg, Session};
use crate::sql::{Chain, Consistency, Hint, Isolation, Kind, Statement};
use crate::telemetry::metrics::{ReadOutcome, observe};
use crate::wire::TxStatus;

/// How far behind a replica must be for nobody to wait for it, at least. Samples of one that nobody cares about are a
/// second apart.
const HOPELESS: Duration = Duration::from_secs(2);

/// What a read asks of a replica.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Requirement {
    pub(crate) need: Need<ServerId>,
    pub(crate) level: Consistency,
}

impl Requirement {
    /// Of a request that looks at no data.
    pub(crate) const NOTHING: Self = Self { need: Need::NOTHING, level: Consistency::Eventual };

    /// The instant through which a replica that was not looked at before must be fresh.
    pub(crate) fn through(&self, moment: Moment) -> Option<Instant> {
        self.need.through(moment)
    }

    /// Whether some connection to this server may meet it.
    pub(crate) fn may_be_met(&self, server: &Server, moment: Moment) -> bool {
        self.need.is_met(server.id, &server.freshness, None, moment)
    }

    /// Whether this connection meets it.
    pub(crate) fn is_met_by(&self, lease: &Lease, server: &Server, moment: Moment) -> bool {
        self.need.is_met(server.id, &server.freshness, Some(lease.opened), moment)
    }
}

impl Session {
    /// What a request that goes to a replica needs of it. The floor is what was acknowledged when it arrived, and
    /// that is now.
    pub(crate) fn demand_of(&self, request: &Request, decision: Decision, now: Instant) -> Requirement {
        if decision.route == Route::Primary || !request.statements().any(looks) {
            return Requirement::NOTHING;
        }
        let levels = self.levels(&request.hint());
        let written = match levels.consistency {
            Consistency::Eventual => None,
            Consistency::Strong => self.wrote,
            Consistency::Session | Consistency::Global => {
                self.wrote.max(self.moved).max(self.floor(request, levels.consistency))
            }
        };
        let seen = self.seen.filter(|_| levels.consistency != Consistency::Eventual);
        let strictly = (levels.consistency == Consistency::Strong).then_some(now);
        let need =
            Need { written, strictly, seen, max_staleness: levels.max_staleness, min_lsn: levels.min_lsn };
        Requirement { need, level: levels.consistency }
    }

    /// When what the request looks at was last seen on the primary and, at level `global`, last written by anybody.
    fn floor(&self, request: &Request, level: Consistency) -> Option<Instant> {
        let marks = Some(&self.state.database().marks).filter(|_| level == Consistency::Global);
        let highest = self.observed_reads.last(&Touched::Anything).max(marks.map(Marks::latest));
        let topology = self.shared.cluster.topology();
        if topology.replicas().all(|server| server.freshness.through() >= highest) {
            // Whatever it looks at is there: no need to find out what that is.
            return highest;
        }
        let catalog = self.shared.cluster.catalogs().of(&self.who.server_database);
        let since = catalog.as_deref().and_then(|catalog| catalog.since);
        if request.statements().any(begins) {
            return highest;
        }
        match (Touched::by(request.statements(), catalog.as_deref()), since) {
            (Touched::Anything, _) | (_, None) => highest,
            (touched @ Touched::These(_), Some(since)) => {
                // What was marked by an earlier catalog may have been marked under other names.
                let since = Some(since).min(highest);
                since
                    .max(self.observed_reads.last(&touched))
                    .max(marks.map(|marks| marks.last_write(touched.slots())))
            }
        }
    }

    pub(crate) fn moment(&self, topology: &Topology, now: Instant) -> Moment {
        let gone = || {
            let since = self.shared.cluster.without_primary_since();
            // Until then a read waits for one, as a write does.
            since.is_some_and(|since| {
                now.saturating_duration_since(since) >= self.shared.config.pool.primary_wait
            })
        };
        let primary = if topology.writable().is_none() && gone() {
            Primary::Gone(topology.replicas().filter_map(|server| server.freshness.through()).max())
        } else {
            Primary::There
        };
        Moment { now, primary }
    }

    /// Whether a connection meets a demand.
    pub(crate) fn is_fresh(&self, lease: &Lease, demand: &Requirement) -> bool {
        if demand.need.is_nothing() {
            return true;
        }
        let topology = self.shared.cluster.topology();
        let moment = self.moment(&topology, Instant::now());
        let server = topology.server(lease.server());
        server.is_some_and(|server| demand.is_met_by(lease, server, moment))
    }

    /// The instant through which a replica must be fresh now that the session never looked at.
    pub(crate) fn through(&self, demand: &Requirement) -> Instant {
        let topology = self.shared.cluster.topology();
        let moment = self.moment(&topology, Instant::now());
        demand.through(moment).unwrap_or(moment.now)
    }

    /// Whether every replica was so far behind when it was last asked that to wait for one is to wait in vain.
    pub(crate) fn is_hopeless(&self) -> bool {
        let limit = HOPELESS.max(self.shared.config.routing.freshness_wait * 10);
        let far = |server: &Server| match (server.freshness.sampled(), server.freshness.through()) {
            (Some(sampled), Some(through)) => sampled.saturating_duration_since(through) > limit,
            _ => false,
        };
        self.shared.cluster.topology().replicas().all(far)
    }

    /// Holds a statement of a transaction on a replica back until the replica is as fresh as it asks, but no longer
    /// than `freshness_wait`: the transaction cannot move any more, and is as fresh as its beginning asked. One with a
    /// single snapshot will not see anything newer.
    /// Cancel safe.
    pub(crate) async fn await_freshness(&mut self, request: &Request, demand: &Requirement) {
        let held = |leg: &&Leg| leg.route == Route::Replica && leg.replies.tx == TxStatus::Open;
        let keeps_snapshot = matches!(
            self.state.transaction.isolation(),
            Some(Isolation::RepeatableRead | Isolation::Serializable)
        ) && !request.statements().any(begins);
        if demand.need.is_nothing() || keeps_snapshot || self.leg.as_deref().filter(held).is_none() {
            return;
        }
        let samplers = self.shared.cluster.demand().clone();
        let deadline = tokio::time::Instant::now() + self.shared.config.routing.freshness_wait;
        let fresh =
            |session: &Self| session.leg.as_ref().is_none_or(|leg| session.is_fresh(&leg.lease, demand));
        if fresh(self) {
            return;
        }
        let _wanted = samplers.want(self.through(demand));
        loop {
            let mut news = std::pin::pin!(samplers.news());
            news.as_mut().enable();
            if fresh(self) || self.is_hopeless() {
                return;
            }
            if timeout_at(deadline, news).await.is_err() {
                return;
            }
        }
    }

    /// Counts a read by what its freshness cost.
    pub(crate) fn count_read(&self, demand: &Requirement, outcome: ReadOutcome, waited: Duration) {
        if demand.need.is_nothing() {
            return;
        }
        self.shared.metrics.read(demand.level, outcome);
        if waited > Duration::ZERO {
            observe(&self.shared.metrics.freshness_wait_seconds, waited);
        }
    }
}

/// Whether a statement looks at data, or begins what will.
pub(crate) fn looks(statement: &Statement) -> bool {
    begins(statement) || reads(statement)
}

/// Whether a statement begins a transaction, of which it is not known what it will look at.
fn begins(statement: &Statement) -> bool {
    let chains = |chain| chain == Chain::Chain;
    match statement.kind {
        Kind::Begin(_) => true,
        Kind::Commit { chain } | Kind::Rollback { chain } => chains(chain),
        _ => false,
    }
}

/// Whether a statement looks at data.
pub(crate) fn reads(statement: &Statement) -> bool {
    matches!(
        statement.kind,
        Kind::Read | Kind::Primary(_) | Kind::Execute(_) | Kind::Cursor | Kind::Prepare(_)
    )
}

/// The strictest of what the hints of a request's statements ask for.
pub(crate) fn strictest(hints: impl Iterator<Item = Hint>) -> Hint {
    let both = |a: Hint, b: Hint| Hint {
        target: a.target.or(b.target),
        consistency: a.consistency.max(b.consistency),
        max_staleness: match (a.max_staleness, b.max_staleness) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        },
    };
    hints.reduce(both).unwrap_or_default()
}
