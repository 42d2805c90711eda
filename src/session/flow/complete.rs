//! When all that was sent has been answered: what is still held is let go, the connection goes back unless the
//! session needs it, and what must be run again is put back to be taken anew.

use std::time::{Duration, Instant};

use bytes::BytesMut;

use crate::error::Result;
use crate::router::Route;
use crate::session::relay::responses::{Flow, Replay};
use crate::session::{Batch, Leg, Link, Look, Phase, Rerun, Session};
use crate::telemetry::metrics::{RerunCause, observe};
use crate::wire::TxStatus;

impl Session {
    /// Looks after a flight that has ended. Not cancel safe.
    ///
    /// # Errors
    /// When the client must be closed because of what happened on the server's side.
    pub(crate) async fn complete(&mut self) -> Result<()> {
        let Some(leg) = &mut self.leg else { return Ok(()) };
        if leg.link != Link::Up {
            return self.lost();
        }
        if !leg.replies.ledger.is_empty() {
            return Ok(());
        }
        if leg.replies.replay == Replay::Wanted {
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
        self.client_buffer.release();
        self.state.replay_buffer.clear();
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
        if self.has_sequence_affinity() {
            return Ok(());
        }
        self.give_back().await;
        Ok(())
    }

    /// Gives the connection back to its pool.
    async fn give_back(&mut self) {
        let Some(mut leg) = self.leg.take() else { return };
        self.client_buffer.settle(&mut leg.lease.read_buffer);
        let settled = self.entry.leaves() || self.entry.settled().await;
        if self.read_buffer.is_empty() {
            // An idle client holds no buffer.
            self.read_buffer = BytesMut::new();
        }
        leg.lease.settings = self.state.settings.carried().clone();
        self.ledger = std::mem::take(&mut leg.replies.ledger);
        if !settled || leg.replies.tx != TxStatus::Idle || !self.state.pins.is_empty() {
            // It carries what must not reach anybody else, or a cancel request may: closed, not given back.
            self.state.pins.clear();
            self.tell_pins();
            return;
        }
        self.put_aside(leg.route, leg.lease);
    }

    /// The server has answered everything, with an error in it that sends the request to the primary.
    async fn run_again(&mut self) -> Result<()> {
        let Some(leg) = &mut self.leg else { return Ok(()) };
        self.client_buffer.discard(&mut leg.lease.read_buffer);
        if leg.batch == Batch::Open {
            // The server throws everything away until it is told that the batch is over.
            self.end_batch();
            return Ok(());
        }
        self.client_buffer.release();
        leg.replies.replay = Replay::No;
        leg.flight = None;
        // What weir put into the batch was taken back with it.
        self.state.settings.rollback();
        let cause = self.state.rerun_cause.take();
        self.shared.metrics.rerun(RerunCause::Error(cause.as_deref().unwrap_or_default()));
        self.requeue(cause);
        self.expected = TxStatus::Idle;
        self.give_back().await;
        Ok(())
    }

    /// Puts the retained requests back in front of the client's unread bytes.
    pub(crate) fn requeue(&mut self, cause: Option<String>) {
        let mut bytes = self.state.take_replay();
        self.rerun = Some(Rerun { left: bytes.len(), cause });
        bytes.unsplit(std::mem::take(&mut self.read_buffer));
        self.read_buffer = bytes;
        self.framer.reset();
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
    pub(crate) fn is_held(&self, phase: Phase) -> bool {
        self.replies.tx != TxStatus::Idle
            || self.batch == Batch::Open
            || self.replies.flow != Flow::Query
            || matches!(phase, Phase::Streaming(_))
            || !self.lease.is_flushed()
            || self.replies.is_within_frame()
    }
}
