//! What the session's own requests mean for later reads, its own and those of others: what they may have written is
//! marked before the client hears of it, and what they have seen is remembered.

use std::time::Instant;

use crate::cluster::topology::ServerId;
use crate::freshness::Seen;
use crate::router::Route;
use crate::session::consistency::pending_writes::may_write_by_reading;
use crate::session::consistency::requirement::{looks, reads};
use crate::session::flow::request::{Item, Request};
use crate::session::{Batch, Leg, Look, Session};
use crate::wire::TxStatus;

impl Session {
    /// A request goes to the session's connection: what it looks at and what it may write is remembered until it has
    /// been answered.
    pub(crate) fn goes(&mut self, request: &Request) {
        self.keeps_in_mind(request.statements());
        let Some(leg) = &mut self.leg else { return };
        let at_data = request.statements().any(looks);
        if at_data {
            leg.look = Look::AtData;
        }
        // With one server there will never be a replica to be stale.
        if leg.route == Route::Replica || self.shared.config.servers.len() == 1 {
            return;
        }
        request.items.iter().for_each(|item| self.state.pending_writes.sent(&item.verdict));
        if !at_data {
            return;
        }
        let catalog = self.shared.cluster.catalogs().of(&self.who.server_database);
        let catalog = catalog.as_deref();
        let read = || request.statements().filter(|statement| reads(statement));
        self.observed_reads.look(read(), catalog);
        if self.was_refused(request) || read().any(|statement| may_write_by_reading(statement, catalog)) {
            self.state.pending_writes.sent_anything();
        }
    }

    /// Whether a replica refused a request as a write, now or lately: then it is one, whatever its text says.
    fn was_refused(&self, request: &Request) -> bool {
        let learned = &self.state.database().learned;
        let now = self.rerun.as_ref().is_some_and(|rerun| rerun.cause.as_deref() == Some("25006"));
        let lately = |item: &Item| learned.knows(item.verdict.skeleton, Instant::now());
        now || (!learned.is_empty() && request.items.iter().any(lately))
    }

    /// The session has looked at data on a server.
    pub(crate) fn looked(&mut self, leg: &Leg, at: Instant) {
        let server = leg.lease.server();
        match leg.route {
            Route::Replica => {
                let same = |seen: &Seen<ServerId>| seen.server == server && leg.lease.opened <= seen.at;
                let before = self.seen.replace(Seen { server, at });
                // It moved. The move may have asked for less than the next read will.
                self.moved = before.filter(|seen| !same(seen)).map(|seen| seen.at).max(self.moved);
            }
            Route::Primary => {
                self.observed_reads.saw(at);
                // What was seen there must be on a replica before the session looks at one.
                self.shared.cluster.demand().wrote(at);
            }
        }
    }

    /// Something was answered that may have been committed: marks it, before the client hears of it.
    pub(crate) fn mark(&mut self, now: Instant) {
        let marks = &self.state.database().marks;
        let at = self.shared.mark(marks, &self.who.server_database, &self.state.pending_writes, now);
        self.wrote = Some(at);
    }

    /// What was sent and will never be answered may have been committed all the same.
    pub(crate) fn mark_unanswered(&mut self) {
        if !self.state.pending_writes.is_clean() {
            self.mark(Instant::now());
            self.tell_unanswered_definitions();
            self.state.pending_writes.clear();
        }
    }

    /// Marks what the server's last words may have acknowledged. `before` is the transaction status that it had before
    /// them.
    pub(crate) fn mark_answered(&mut self, before: TxStatus) {
        let commit = self.state.pending_writes.take_commit();
        if self.state.pending_writes.is_clean() {
            return;
        }
        let Some(leg) = &self.leg else { return };
        let now_idle = leg.replies.tx == TxStatus::Idle;
        // What a batch has done so far is committed by its end only, whatever was answered before.
        let over = now_idle && leg.replies.ledger.is_empty() && leg.batch == Batch::Closed;
        if commit || now_idle || before == TxStatus::Idle {
            self.mark(Instant::now());
        }
        if over {
            self.state.pending_writes.clear();
        }
    }
}
