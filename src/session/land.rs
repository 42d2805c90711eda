//! When all that was sent has been answered: what is still held is let go, the connection goes back unless the
//! session needs it, and what must be run again is put back to be taken anew.

use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::replies::{Flow, Rerun};
use super::{Batch, Detour, Leg, Link, Look, Phase, Session};
use crate::error::Result;
use crate::router::Route;
use crate::telemetry::metrics::observe;
use crate::wire::TxStatus;

impl Session {
    /// Looks after a flight that has ended. Not cancel safe.
    ///
    /// # Errors
    /// When the client must be closed because of what happened on the server's side.
    pub(super) async fn land(&mut self) -> Result<()> {
        let Some(leg) = &mut self.leg else { return Ok(()) };
        if leg.link != Link::Up {
            return self.lost();
        }
        if !leg.replies.ledger.is_empty() {
            return Ok(());
        }
        if leg.replies.rerun == Rerun::Wanted {
            return self.run_again().await;
        }
        let now = Instant::now();
        let took = now.saturating_duration_since(leg.since);
        if leg.look == Look::AtData && leg.batch == Batch::Closed {
            leg.look = Look::Away;
            if let Some(leg) = self.leg.take() {
                self.looked(&leg, now);
                self.leg = Some(leg);
            }
        }
        let Some(leg) = &mut self.leg else { return Ok(()) };
        if leg.flight.take().is_some() {
            self.count(took);
            self.tell_if_slow(took);
        }
        let Some(leg) = &mut self.leg else { return Ok(()) };
        self.expected = leg.replies.tx;
        self.state.names.settle();
        self.state.pins.settle();
        self.outflow.release();
        self.state.retained.clear();
        if leg.replies.tx == TxStatus::Idle {
            if leg.batch == Batch::Closed {
                // Not when a transaction ends: the next one may have begun in what was in flight behind it.
                self.state.names.end_transaction();
            }
            self.tell_pins();
        }
        let Some(leg) = &self.leg else { return Ok(()) };
        if leg.is_held(self.phase) || (leg.route == Route::Primary && self.pinned().is_some()) {
            return Ok(());
        }
        if self.lingers() {
            return Ok(());
        }
        self.give_back().await;
        Ok(())
    }

    /// Gives the connection back to its pool.
    async fn give_back(&mut self) {
        let Some(mut leg) = self.leg.take() else { return };
        self.outflow.settle(&mut leg.lease.inbox);
        if !self.entry.leaves() {
            self.entry.settled().await;
        }
        if self.inbox.is_empty() {
            // An idle client holds no buffer.
            self.inbox = BytesMut::new();
        }
        leg.lease.settings = self.state.carry.carried().clone();
        self.ledger = std::mem::take(&mut leg.replies.ledger);
        if leg.replies.tx != TxStatus::Idle || !self.state.pins.is_empty() {
            // It carries what must not reach anybody else: closed, not given back.
            self.state.pins.clear();
            self.tell_pins();
            return;
        }
        self.put_aside(leg.route, leg.lease);
    }

    /// The server has answered everything, with an error in it that sends the request to the primary.
    async fn run_again(&mut self) -> Result<()> {
        let Some(leg) = &mut self.leg else { return Ok(()) };
        self.outflow.discard(&mut leg.lease.inbox);
        if leg.batch == Batch::Open {
            // The server throws everything away until it is told that the batch is over.
            self.end_batch();
            return Ok(());
        }
        self.outflow.release();
        leg.replies.rerun = Rerun::No;
        leg.flight = None;
        // What weir put into the batch was taken back with it.
        self.state.carry.rollback();
        let cause = self.state.rerun_cause.take();
        self.shared.metrics.rerun(cause.as_deref().unwrap_or("unknown"));
        self.unread(cause);
        self.expected = TxStatus::Idle;
        self.give_back().await;
        Ok(())
    }

    /// Puts the retained requests back in front of the client's unread bytes.
    pub(super) fn unread(&mut self, cause: Option<String>) {
        let mut bytes = self.state.take_retained();
        self.detour = Some(Detour { left: bytes.len(), cause });
        bytes.unsplit(std::mem::take(&mut self.inbox));
        self.inbox = bytes;
        self.cutter.reset();
    }

    fn count(&mut self, took: Duration) {
        let Some(leg) = &self.leg else { return };
        let metrics = &self.shared.metrics;
        match leg.route {
            Route::Primary => observe(&metrics.query_seconds.primary, took),
            Route::Replica => observe(&metrics.query_seconds.replica, took),
        }
        if let Some(sqlstate) = self.state.last_error.take() {
            if sqlstate == "25006" && leg.route == Route::Primary {
                // It may be a primary no more. A client's own READ ONLY transaction looks the same; that costs a probe.
                self.shared.cluster.suspect(leg.lease.server());
            }
            metrics.error(&sqlstate);
        }
    }
}

impl Leg {
    /// Whether the session needs the connection for what is under way.
    pub(super) fn is_held(&self, phase: Phase) -> bool {
        self.replies.tx != TxStatus::Idle
            || self.batch == Batch::Open
            || self.replies.flow != Flow::Query
            || matches!(phase, Phase::Streaming(_))
            || !self.lease.outbox.is_empty()
            || self.replies.is_within_frame()
    }
}
