//! When a connection to a server is lost, and when weir itself must answer with an error.

use std::time::Instant;

use bytes::{Buf, BytesMut};

use super::cutter::{Cut, End};
use super::note::Note;
use super::replies::Watcher;
use super::state::{Ear, Retry};
use super::{Batch, Leg, Link, Look, Phase, Session};
use crate::error::{Error, Result};
use crate::router::Route;
use crate::wire::TxStatus;
use crate::wire::reply::{self, Report, Severity, TransactionStatus};
use crate::wire::tag::client;

impl Session {
    /// The connection is gone. If nothing of the answer is out and nothing was changed, the requests run again
    /// elsewhere and the client notices nothing; else it is told, and keeps its session where that can be.
    ///
    /// # Errors
    /// When the client must be closed: it was within a transaction or a message, or its state went with the server.
    pub(super) fn lost(&mut self) -> Result<()> {
        self.mark_unanswered();
        let Some(mut leg) = self.leg.take() else { return Ok(()) };
        self.entry.leaves();
        if leg.look == Look::AtData {
            // Part of an answer may have been seen.
            self.looked(&leg, Instant::now());
        }
        self.shared.cluster.suspect(leg.lease.server());
        leg.flight = None;
        let ending = self.state.ending.take();
        let readies = leg.replies.ledger.readies();
        let notes = leg.replies.ledger.abandon();
        let commits = leg.route == Route::Primary && notes.iter().any(Note::commits);
        let backend = &mut *leg.lease;
        let mut ear = Ear {
            state: &mut self.state,
            prepared: &mut backend.prepared,
            unnamed: &mut backend.unnamed,
            retry: Retry::Never,
        };
        ear.dropped(notes);
        let within = leg.replies.is_within_frame() && self.outflow.held() == 0;
        let error = match (leg.link, ending) {
            // Whatever the server said before it went: whether it had committed by then is not known.
            _ if commits => Error::CommitUnknown,
            (Link::Broken(why), _) => Error::ServerProtocol(why),
            (Link::Deaf, _) => Error::QueryTimeout,
            (_, Some(said)) => Error::Refused { sqlstate: said.sqlstate, message: said.message },
            _ => Error::ServerLost,
        };
        tracing::warn!(server = leg.lease.server().0, %error, "connection to a server lost");
        if self.can_run_again(&leg) {
            self.outflow.discard(&mut leg.lease.inbox);
            self.outflow.release();
            self.shared.metrics.rerun("connection_lost");
            self.unread(None);
            self.expected = TxStatus::Idle;
            return Ok(());
        }
        self.outflow.discard(&mut leg.lease.inbox);
        self.outflow.release();
        let open = leg.replies.tx != TxStatus::Idle || self.expected != TxStatus::Idle;
        let unseen = leg.route == Route::Primary && self.has_run_code();
        if within || open || self.state.pin.is_some() || unseen {
            // It still knows whether anything can be told behind what has been sent.
            self.leg = within.then_some(leg);
            return Err(error);
        }
        self.expected = TxStatus::Idle;
        self.state.carry.rollback();
        if let Phase::Streaming(left) = self.phase {
            self.phase = Phase::Dropping(left);
        }
        for _ in 0..readies {
            self.tell(&error);
            self.outflow.write(|out| reply::ready_for_query(out, TransactionStatus::Idle));
        }
        if leg.batch == Batch::Open {
            self.tell(&error);
            self.phase = Phase::Skipping(0);
        }
        Ok(())
    }

    /// Whether what is in flight can be taken back and run elsewhere without the client noticing.
    fn can_run_again(&self, leg: &Leg) -> bool {
        leg.retry == Retry::OnPrimary && self.outflow.is_holding() && !self.state.retained.bytes.is_empty()
    }

    /// Gives up a connection to a server that has been found to be down, if that costs the client nothing. A frozen
    /// server closes nothing, so that otherwise the answer would be waited for until the kernel loses its patience.
    /// What cannot be run again goes on waiting: the server may only be slow.
    pub(super) fn give_up(&mut self) {
        let Some(leg) = &self.leg else { return };
        let down =
            self.shared.cluster.topology().server(leg.lease.server()).is_none_or(|server| !server.is_up());
        let gives_up = down && self.can_run_again(leg);
        if let Some(leg) = self.leg.as_mut().filter(|_| gives_up) {
            leg.link = Link::Lost;
        }
    }

    /// Answers a request that got no connection with an error.
    pub(super) fn refuse(&mut self, cut: &Cut, len: usize, error: &Error) {
        tracing::warn!(%error, "request refused");
        let available = len.min(self.inbox.len());
        self.inbox.advance(available);
        if let Some(detour) = &mut self.detour {
            detour.left = detour.left.saturating_sub(available);
        }
        if self.detour.as_ref().is_some_and(|detour| detour.left == 0) {
            self.detour = None;
        }
        self.tell(error);
        match cut {
            Cut::Batch { end: End::Flush | End::Open, .. } => self.phase = Phase::Skipping(0),
            Cut::Long { tag, .. } if !matches!(*tag, client::QUERY | client::FUNCTION_CALL) => {
                self.phase = Phase::Skipping(len - available);
            }
            _ => {
                self.outflow.write(|out| reply::ready_for_query(out, TransactionStatus::Idle));
                if len > available {
                    self.phase = Phase::Dropping(len - available);
                }
            }
        }
    }

    /// Queues an ErrorResponse.
    pub(super) fn tell(&mut self, error: &Error) {
        self.shared.metrics.error(error.sqlstate());
        let message = error.to_string();
        let report = Report::new(Severity::Error, error.sqlstate(), &message);
        self.outflow.write(|out: &mut BytesMut| reply::error(out, &report));
    }

    /// Throws away what follows an error up to the batch's end.
    pub(super) fn skip(&mut self, cut: Cut) {
        match cut {
            Cut::Batch { len, end } => {
                self.inbox.advance(len);
                if end == End::Sync {
                    self.phase = Phase::Messages;
                    self.outflow.write(|out| reply::ready_for_query(out, TransactionStatus::Idle));
                }
            }
            Cut::Single { len } | Cut::CopyEnd { len } | Cut::Ignored { len } => self.inbox.advance(len),
            Cut::Long { len, .. } => self.drop_rest(len),
            Cut::CopyData { len, missing } => self.drop_rest(len + missing),
            Cut::More | Cut::Terminate => {}
        }
    }

    /// Drops a message of this length that has not arrived whole. Skipping goes on behind it.
    fn drop_rest(&mut self, len: usize) {
        let available = len.min(self.inbox.len());
        self.inbox.advance(available);
        self.phase = Phase::Skipping(len - available);
    }
}
