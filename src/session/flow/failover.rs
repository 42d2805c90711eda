//! When a connection to a server is lost, and when weir itself must answer with an error.

use std::time::Instant;

use bytes::{Buf, BytesMut};

use crate::error::{Error, Result};
use crate::router::{Decision, Reason, Route};
use crate::session::flow::checkout::ends_session;
use crate::session::flow::request::Request;
use crate::session::leg::sender::Sender;
use crate::session::model::state::{Observer, Retry};
use crate::session::relay::framer::{End, Unit};
use crate::session::relay::pending_reply::PendingReply;
use crate::session::relay::responses::Watcher;
use crate::session::{Batch, Leg, Link, Look, Phase, Session, Wished};
use crate::sql::Kind;
use crate::telemetry::metrics::RerunCause;
use crate::wire::TxStatus;
use crate::wire::reply::{self, Report, Severity, TransactionStatus};
use crate::wire::tag::client;

/// What may have been committed though nobody said so.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Doubt {
    None,
    /// A statement outside a transaction.
    Write,
    /// A transaction.
    Commit,
}

/// What a client was still owed.
struct Owed {
    readies: usize,
    errors: Errors,
}

/// Whether a batch that is not over has had its error.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Errors {
    Due,
    Told,
}

/// What goes in front of a transaction that is made to fail.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Precede {
    WithSettings,
    WithNothing,
}

impl Session {
    /// The connection is gone. If nothing of the answer is out and nothing was changed, the requests run again
    /// elsewhere and the client notices nothing; else it is told, and keeps its session: outside a transaction, or in
    /// one that has failed.
    ///
    /// # Errors
    /// When the client must be closed: it was sent part of a message, or its state went with the server.
    pub(crate) fn lost(&mut self) -> Result<()> {
        let wrote = !self.state.pending_writes.is_clean();
        self.mark_unanswered();
        let Some(mut leg) = self.leg.take() else { return Ok(()) };
        self.entry.leaves();
        if leg.look == Look::AtData {
            // Part of an answer may have been seen.
            self.looked(&leg, Instant::now());
        }
        if leg.link != Link::Refused {
            self.shared.cluster.suspect(leg.lease.server());
        }
        leg.flight = None;
        let owed = Owed {
            readies: leg.replies.ledger.readies(),
            errors: if leg.replies.ledger.is_discarding() { Errors::Told } else { Errors::Due },
        };
        let commits = self.forgets(&mut leg) && leg.route == Route::Primary;
        let within = leg.replies.is_within_frame() && self.client_buffer.held() == 0;
        let doubt = match leg.replies.tx {
            _ if commits => Doubt::Commit,
            TxStatus::Idle if wrote => Doubt::Write,
            _ => Doubt::None,
        };
        let error = self.cause_of(&leg, doubt);
        tracing::warn!(server = leg.lease.server().0, %error, "connection to a server lost");
        let again = self.can_run_again(&leg);
        self.client_buffer.discard(&mut leg.lease.read_buffer);
        self.client_buffer.release();
        if again {
            let (why, cause) = match leg.link {
                Link::Refused => (RerunCause::SettingsRefused, Some(error.sqlstate().to_owned())),
                _ => (RerunCause::ConnectionLost, None),
            };
            self.shared.metrics.rerun(why);
            self.requeue(cause);
            self.expected = TxStatus::Idle;
            return Ok(());
        }
        let state = self.pinned().is_some() || self.has_run_code();
        if within || leg.end == Wished::Yes || (state && leg.route == Route::Primary) {
            // It still knows whether anything can be told behind what has been sent.
            self.leg = within.then_some(leg);
            return Err(error);
        }
        self.tell_lost(&leg, owed, error);
        Ok(())
    }

    /// What the client is told of it.
    fn cause_of(&mut self, leg: &Leg, doubt: Doubt) -> Error {
        let (ending, refused) = (self.state.ending.take(), self.state.refused.take());
        match (leg.link, ending, refused) {
            (Link::Refused, _, Some(refused)) => refused,
            // Whatever the server said before it went: whether it had committed by then is not known.
            _ if doubt == Doubt::Commit => Error::CommitUnknown,
            (Link::Broken(why), ..) => Error::ServerProtocol(why),
            (Link::Deaf, ..) => Error::QueryTimeout,
            (_, Some(said), _) => said,
            _ if doubt == Doubt::Write => Error::CommitUnknown,
            _ => Error::ServerLost,
        }
    }

    /// Answers what was in flight with the error. A transaction whose end was not in flight has failed by it, and the
    /// client will end it.
    fn tell_lost(&mut self, leg: &Leg, owed: Owed, error: Error) {
        let in_block = leg.replies.tx != TxStatus::Idle && self.expected != TxStatus::Idle;
        self.expected = if in_block { TxStatus::Failed } else { TxStatus::Idle };
        self.state.rolled_back();
        if !in_block {
            self.state.reported.clear();
        }
        self.state.names.end_transaction();
        let left = match self.phase {
            Phase::Streaming(left) => left,
            _ => 0,
        };
        if left > 0 {
            self.phase = Phase::Dropping(left);
        }
        let mut untold = (owed.errors == Errors::Due).then_some(error);
        for _ in 0..owed.readies {
            match &untold {
                Some(error) => self.tell(error),
                // What came after it in the pipeline.
                None if owed.errors == Errors::Due => self.tell(&Error::BlockAborted),
                None => {}
            }
            if in_block {
                untold = None;
            }
            self.tell_ready();
        }
        if leg.batch == Batch::Open {
            if let Some(error) = untold.take() {
                self.tell(&error);
            }
            self.phase = Phase::Skipping(left);
        }
        // Between two requests PostgreSQL would close the connection. Here the next one hears of it.
        self.untold = untold.filter(|_| in_block);
    }

    /// Whether the session is in a transaction block that has failed because its connection was lost.
    pub(crate) fn is_block_lost(&self) -> bool {
        self.leg.is_none() && self.expected == TxStatus::Failed
    }

    /// Makes the server of the next request stand where the client stands, in a transaction that has failed. False
    /// when the request was answered instead: the first one is told of the loss, unless it takes everything back.
    pub(crate) async fn resume_block(&mut self, request: &Request) -> Result<bool> {
        if let Some(error) = self.untold.take() {
            let end = request.statements().next().map(|statement| &statement.kind);
            match end {
                Some(Kind::Rollback { .. }) => {}
                other => {
                    if let Some(Kind::Commit { .. }) = other {
                        self.expected = TxStatus::Idle;
                    }
                    self.refuse(&request.cut, request.len, &error);
                    return Ok(false);
                }
            }
        }
        let mut resumed = self.fail_anew(request, Precede::WithSettings).await;
        if matches!(resumed, Err((Link::Refused, _))) {
            // Even then the client must be able to end its transaction.
            resumed = self.fail_anew(request, Precede::WithNothing).await;
        }
        match resumed {
            Ok(()) => return Ok(true),
            Err((_, error)) if ends_session(&error) => return Err(error),
            // The block is still lost: nothing runs outside of it.
            Err((_, error)) => self.refuse(&request.cut, request.len, &error),
        }
        Ok(false)
    }

    /// Leases a connection and makes a transaction there that has failed.
    ///
    /// # Errors
    /// Why there is none, and what became of the connection.
    async fn fail_anew(
        &mut self,
        request: &Request,
        precede: Precede,
    ) -> std::result::Result<(), (Link, Error)> {
        let up = |error| (Link::Up, error);
        let mut decision = Decision { route: Route::Primary, reason: Reason::InTransaction };
        let demand = self.demand_of(request, decision, Instant::now());
        self.lease(&mut decision, &demand, Instant::now()).await.map_err(up)?;
        let Some(leg) = &mut self.leg else { return Err(up(Error::ServerLost)) };
        let tx = Some(TxStatus::Idle);
        let mut sender = Sender::on(leg, &mut self.state, &self.shared.metrics, tx);
        if precede == Precede::WithSettings {
            sender.settings();
        }
        sender.failed_block();
        self.answered().await.map_err(up)?;
        let Some(mut leg) = self.leg.take_if(|leg| leg.link != Link::Up) else { return Ok(()) };
        self.entry.leaves();
        if leg.link != Link::Refused {
            self.shared.cluster.suspect(leg.lease.server());
        }
        self.forgets(&mut leg);
        self.client_buffer.settle(&mut leg.lease.read_buffer);
        Err((leg.link, self.cause_of(&leg, Doubt::None)))
    }

    /// What was sent on a lost connection and not answered has not happened. Whether there was a commit in it.
    fn forgets(&mut self, leg: &mut Leg) -> bool {
        let notes = leg.replies.ledger.abandon();
        let commits = notes.iter().any(PendingReply::commits);
        let backend = &mut *leg.lease;
        let mut observer = Observer {
            state: &mut self.state,
            prepared: &mut backend.prepared,
            unnamed: &mut backend.unnamed,
            retry: Retry::Never,
        };
        observer.dropped(notes);
        commits
    }

    /// Whether what is in flight can be taken back and run elsewhere without the client noticing.
    fn can_run_again(&self, leg: &Leg) -> bool {
        leg.retry == Retry::OnPrimary
            && self.client_buffer.is_holding()
            && !self.state.replay_buffer.bytes.is_empty()
    }

    /// Gives up a connection to a server that has been found to be down, if that costs the client nothing. A frozen
    /// server closes nothing, so that otherwise the answer would be waited for until the kernel loses its patience.
    /// What cannot be run again goes on waiting: the server may only be slow.
    pub(crate) fn give_up(&mut self) {
        let Some(leg) = &self.leg else { return };
        let down =
            self.shared.cluster.topology().server(leg.lease.server()).is_none_or(|server| !server.is_up());
        let gives_up = down && self.can_run_again(leg);
        if let Some(leg) = self.leg.as_mut().filter(|_| gives_up) {
            leg.link = Link::Lost;
        }
    }

    /// Answers a request that got no connection with an error.
    pub(crate) fn refuse(&mut self, cut: &Unit, len: usize, error: &Error) {
        tracing::warn!(%error, "request refused");
        let available = len.min(self.read_buffer.len());
        self.read_buffer.advance(available);
        if let Some(rerun) = &mut self.rerun {
            rerun.left = rerun.left.saturating_sub(available);
        }
        if self.rerun.as_ref().is_some_and(|rerun| rerun.left == 0) {
            self.rerun = None;
        }
        self.tell(error);
        match cut {
            Unit::Batch { end: End::Flush | End::Open, .. } => self.phase = Phase::Skipping(0),
            Unit::Long { tag, .. } if !matches!(*tag, client::QUERY | client::FUNCTION_CALL) => {
                self.phase = Phase::Skipping(len - available);
            }
            _ => {
                self.tell_ready();
                if len > available {
                    self.phase = Phase::Dropping(len - available);
                }
            }
        }
    }

    /// Queues a ReadyForQuery.
    fn tell_ready(&mut self) {
        let status = match self.expected {
            TxStatus::Idle => TransactionStatus::Idle,
            TxStatus::Open => TransactionStatus::Transaction,
            TxStatus::Failed => TransactionStatus::Error,
        };
        self.client_buffer.write(|out| reply::ready_for_query(out, status));
    }

    /// Queues an ErrorResponse.
    pub(crate) fn tell(&mut self, error: &Error) {
        self.shared.metrics.error(error.sqlstate());
        let message = error.to_string();
        let report = Report {
            detail: error.detail(),
            hint: error.hint(),
            ..Report::new(Severity::Error, error.sqlstate(), &message)
        };
        self.client_buffer.write(|out: &mut BytesMut| reply::error(out, &report));
    }

    /// Throws away what follows an error up to the batch's end.
    pub(crate) fn skip(&mut self, cut: Unit) {
        match cut {
            Unit::Batch { len, end } => {
                self.read_buffer.advance(len);
                if end == End::Sync {
                    self.phase = Phase::Messages;
                    self.tell_ready();
                }
            }
            Unit::Single { len } | Unit::CopyEnd { len } | Unit::Ignored { len } => {
                self.read_buffer.advance(len)
            }
            Unit::Long { len, .. } => self.drop_rest(len),
            Unit::CopyData { len, missing } => self.drop_rest(len + missing),
            Unit::More | Unit::Terminate => {}
        }
    }

    /// Drops a message of this length that has not arrived whole. Skipping goes on behind it.
    fn drop_rest(&mut self, len: usize) {
        let available = len.min(self.read_buffer.len());
        self.read_buffer.advance(available);
        self.phase = Phase::Skipping(len - available);
    }
}
