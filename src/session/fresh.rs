//! Reads that are fresh enough: what a request needs of a replica, waiting for one that has it, and what the
//! session's own writes and reads mean for the next.

use std::time::{Duration, Instant};

use super::dirt::may_write_by_reading;
use super::request::Request;
use super::sight::Touched;
use super::{Leg, Look, Session};
use crate::cluster::topology::{Server, ServerId, Topology};
use crate::freshness::{Marks, Moment, Need, Primary, Seen};
use crate::pool::Lease;
use crate::router::{Decision, Route};
use crate::sql::{Consistency, Hint, Kind, Statement};
use crate::telemetry::metrics::{ReadOutcome, observe};
use crate::wire::TxStatus;

/// What a read asks of a replica.
#[derive(Clone, Copy, Debug)]
pub(super) struct Demand {
    pub(super) need: Need<ServerId>,
    pub(super) level: Consistency,
}

impl Demand {
    /// Of a request that looks at no data.
    pub(super) const NOTHING: Self = Self { need: Need::NOTHING, level: Consistency::Eventual };

    /// The instant through which a replica that was not looked at before must be fresh.
    pub(super) fn through(&self, moment: Moment) -> Option<Instant> {
        self.need.through(moment)
    }

    /// Whether some connection to this server may meet it.
    pub(super) fn may_be_met(&self, server: &Server, moment: Moment) -> bool {
        self.need.is_met(server.id, &server.freshness, None, moment)
    }

    /// Whether this connection meets it.
    pub(super) fn is_met_by(&self, lease: &Lease, server: &Server, moment: Moment) -> bool {
        self.need.is_met(server.id, &server.freshness, Some(lease.opened), moment)
    }
}

impl Session {
    /// What a request that goes to a replica needs of it. The floor is what was acknowledged when it arrived, and
    /// that is now.
    pub(super) fn demand_of(&self, request: &Request, decision: Decision, now: Instant) -> Demand {
        if decision.route == Route::Primary
            || self.expected != TxStatus::Idle
            || !request.statements().any(looks)
        {
            return Demand::NOTHING;
        }
        let levels = self.levels(&request.hint());
        let written = match levels.consistency {
            Consistency::Eventual => None,
            Consistency::Strong => self.wrote,
            Consistency::Session | Consistency::Global => {
                self.wrote.max(self.floor(request, levels.consistency))
            }
        };
        let seen = self.seen.filter(|_| levels.consistency != Consistency::Eventual);
        let strictly = (levels.consistency == Consistency::Strong).then_some(now);
        let need =
            Need { written, strictly, seen, max_staleness: levels.max_staleness, min_lsn: levels.min_lsn };
        Demand { need, level: levels.consistency }
    }

    /// When what the request looks at was last seen on the primary and, at level `global`, last written by anybody.
    fn floor(&self, request: &Request, level: Consistency) -> Option<Instant> {
        let marks = Some(&self.state.database().marks).filter(|_| level == Consistency::Global);
        let highest = self.sight.last(&Touched::Anything).max(marks.map(Marks::latest));
        let topology = self.shared.cluster.topology();
        if topology.replicas().all(|server| server.freshness.through() >= highest) {
            // Whatever it looks at is there: no need to find out what that is.
            return highest;
        }
        let catalog = self.shared.cluster.catalogs().of(&self.who.server_database);
        let since = catalog.as_deref().and_then(|catalog| catalog.since);
        match (Touched::by(request.statements(), catalog.as_deref()), since) {
            (Touched::Anything, _) | (_, None) => highest,
            (touched @ Touched::These(_), Some(since)) => {
                // What was marked by an earlier catalog may have been marked under other names.
                let since = Some(since).min(highest);
                since.max(self.sight.last(&touched)).max(marks.map(|marks| marks.last_write(touched.slots())))
            }
        }
    }

    pub(super) fn moment(topology: &Topology, now: Instant) -> Moment {
        let primary = match topology.writable() {
            Some(_) => Primary::There,
            None => Primary::Gone(topology.replicas().filter_map(|server| server.freshness.through()).max()),
        };
        Moment { now, primary }
    }

    /// Whether a connection meets a demand.
    pub(super) fn is_fresh(&self, lease: &Lease, demand: &Demand) -> bool {
        if demand.need.is_nothing() {
            return true;
        }
        let topology = self.shared.cluster.topology();
        let moment = Self::moment(&topology, Instant::now());
        let server = topology.server(lease.server());
        server.is_some_and(|server| demand.is_met_by(lease, server, moment))
    }

    /// Whether a request may join what is in flight on the session's connection, as far as freshness goes.
    pub(super) fn is_fresh_here(&self, leg: &Leg, demand: &Demand) -> bool {
        leg.route == Route::Primary || self.is_fresh(&leg.lease, demand)
    }

    /// Counts a read by what its freshness cost.
    pub(super) fn count_read(&self, demand: &Demand, outcome: ReadOutcome, waited: Duration) {
        if demand.need.is_nothing() {
            return;
        }
        self.shared.metrics.read(demand.level, outcome);
        if waited > Duration::ZERO {
            observe(&self.shared.metrics.freshness_wait_seconds, waited);
        }
    }

    /// A request goes to the session's connection: what it looks at and what it may write is remembered until it has
    /// been answered.
    pub(super) fn goes(&mut self, request: &Request) {
        let Some(leg) = &mut self.leg else { return };
        let at_data = request.statements().any(looks);
        if at_data {
            leg.look = Look::AtData;
        }
        if leg.route == Route::Replica {
            return;
        }
        request.items.iter().for_each(|item| self.state.dirt.sent(&item.verdict));
        if !at_data {
            return;
        }
        let catalog = self.shared.cluster.catalogs().of(&self.who.server_database);
        let catalog = catalog.as_deref();
        let read = || request.statements().filter(|statement| reads(statement));
        self.sight.look(read(), catalog);
        // What a replica refused as a write is one.
        let refused = self.detour.as_ref().is_some_and(|detour| detour.cause.as_deref() == Some("25006"));
        if refused || read().any(|statement| may_write_by_reading(statement, catalog)) {
            self.state.dirt.sent_anything();
        }
    }

    /// The session has looked at data on a server.
    pub(super) fn looked(&mut self, server: ServerId, route: Route, at: Instant) {
        match route {
            Route::Replica => self.seen = Some(Seen { server, at }),
            Route::Primary => {
                self.sight.saw(at);
                // What was seen there must be on a replica before the session looks at one.
                self.shared.cluster.demand().wrote(at);
            }
        }
    }

    /// Something was answered that may have been committed: marks it, before the client hears of it.
    pub(super) fn mark(&mut self, now: Instant) {
        let catalog = self.shared.cluster.catalogs().of(&self.who.server_database);
        let marks = &self.state.database().marks;
        self.state.dirt.mark(marks, catalog.as_deref(), &self.shared.functions, now);
        self.wrote = Some(now);
        self.shared.cluster.demand().wrote(now);
    }

    /// What was sent and will never be answered may have been committed all the same.
    pub(super) fn mark_unanswered(&mut self) {
        if !self.state.dirt.is_clean() {
            self.mark(Instant::now());
            self.state.dirt.clear();
        }
    }

    /// Marks what the server's last words may have acknowledged. `before` is the transaction status that it had before
    /// them.
    pub(super) fn mark_answered(&mut self, before: TxStatus) {
        let commit = self.state.dirt.take_commit();
        if self.state.dirt.is_clean() {
            return;
        }
        let Some(leg) = &self.leg else { return };
        let now_idle = leg.replies.tx == TxStatus::Idle;
        let over = now_idle && leg.replies.ledger.is_empty();
        if commit || now_idle || before == TxStatus::Idle {
            self.mark(Instant::now());
        }
        if over {
            self.state.dirt.clear();
        }
    }
}

/// Whether a statement looks at data, or begins what will.
fn looks(statement: &Statement) -> bool {
    matches!(statement.kind, Kind::Begin(_)) || reads(statement)
}

/// Whether a statement looks at data.
fn reads(statement: &Statement) -> bool {
    matches!(
        statement.kind,
        Kind::Read | Kind::Primary(_) | Kind::Execute(_) | Kind::Cursor | Kind::Prepare(_)
    )
}

/// The strictest of what the hints of a request's statements ask for.
pub(super) fn strictest(hints: impl Iterator<Item = Hint>) -> Hint {
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
