//! The leg: its connection, what the server owes there, and what is known of it.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::BytesMut;

use crate::backend::ledger::{Action, Batch, Ledger, Reply};
use crate::cluster::topology::{Load, Topology};
use crate::pool::Lease;
use crate::router::Route;
use crate::session::consistency::tracking::{Answers, Standing};
use crate::session::leg::observer::Observer;
use crate::session::leg::progress::Progress;
use crate::session::leg::sender::{Comparing, Sender};
use crate::session::leg::state::{LegEvent, Why};
use crate::session::leg::trust::Trust;
use crate::session::model::set::Set;
use crate::session::model::statements::Naming;
use crate::session::relay::client_buffer::ClientBuffer;
use crate::session::relay::facts::Fact;
use crate::session::relay::kept::Keeps;
use crate::session::relay::pending_reply::PendingReply;
use crate::session::relay::request::Request;
use crate::session::relay::responses::{Flow, Halt, Responses, Watcher};
use crate::session::state::State;
use crate::sql::Kind;
use crate::telemetry::metrics::{Metrics, count};
use crate::wire::TxStatus;
use crate::wire::request::put_bare;
use crate::wire::tag::client;

/// A leased connection at work.
pub(crate) struct Leg {
    pub lease: Lease,
    pub route: Route,
    /// What the server owes, and how far it has answered.
    pub responses: Responses,
    /// What is known of the connection besides.
    pub progress: Progress,
    /// When the oldest request in flight was sent.
    pub since: Instant,
    /// When it was lent, or was last found with nothing open on it.
    pub taken: Instant,
    /// The requests in flight, as one, for the server's load figures.
    pub flight: Option<Flight>,
    /// The server's load figures.
    pub load: Arc<Load>,
}

/// A request under way counts in the server's load figures until this is dropped, however the session ends.
pub(crate) struct Flight {
    load: Arc<Load>,
    since: Instant,
    /// For how long, where somebody has looked.
    ended: Option<Duration>,
}

impl Flight {
    fn begin(load: &Arc<Load>, since: Instant) -> Self {
        load.begin();
        Self { load: load.clone(), since, ended: None }
    }

    /// All is answered. For how long it was under way.
    pub(crate) fn end(mut self, now: Instant) -> Duration {
        let took = now.saturating_duration_since(self.since);
        self.ended = Some(took);
        took
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.load.end(self.ended.unwrap_or_else(|| self.since.elapsed()));
    }
}

/// What a turn with the server brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Nothing to act upon.
    Quiet,
    /// All that waited for it has been written.
    Flushed,
    /// It said something, which is in the read buffer.
    Heard,
    /// It is gone.
    Lost,
}

impl Leg {
    /// A connection goes to work. `ledger` is empty: its memory serves again.
    pub(crate) fn new(
        lease: Lease,
        route: Route,
        load: Arc<Load>,
        ledger: Ledger<PendingReply>,
        now: Instant,
    ) -> Self {
        Self {
            progress: Progress::new(lease.settings.clone()),
            lease,
            route,
            responses: Responses::with(ledger),
            since: now,
            taken: now,
            flight: None,
            load,
        }
    }

    /// Whether anything can still be sent and heard.
    pub(crate) fn is_up(&self) -> bool {
        self.progress.state.is_up()
    }

    /// Takes note of what the probes have found. A primary that is one no more is given up, whatever runs there.
    pub(crate) fn look(&mut self, topology: &Topology, now: Instant) {
        let server = self.lease.server();
        self.progress.trust = self.progress.trust.of(topology, server, self.route, now);
        if self.progress.trust == Trust::Deposed {
            self.progress.on(LegEvent::GaveUp(Why::Deposed));
        }
    }

    /// Whether what the server says may be acted upon. What a silent primary says may be lost to a new one already; a
    /// replica's word binds nobody.
    pub(crate) fn is_believed(&self) -> bool {
        self.route == Route::Replica || self.progress.trust.is_sound()
    }

    /// Whether nothing more is to be sent: the server does not answer its probes.
    pub(crate) fn is_silent(&self) -> bool {
        matches!(self.progress.trust, Trust::Silent(_))
    }

    /// Whether the server waits for the rest of a batch.
    pub(crate) fn batch(&self) -> Batch {
        self.responses.ledger.batch()
    }

    /// Whether it is still to answer something.
    pub(crate) fn owes(&self) -> bool {
        !self.responses.ledger.is_empty()
    }

    /// Whether so much is in flight that nothing more is taken from the client until some of it has gone.
    pub(crate) fn is_full(&self) -> bool {
        const WRITE_BUFFER_MAX: usize = 256 << 10;
        const LEDGER_MAX: usize = 16 << 10;
        self.lease.write_buffer.len() >= WRITE_BUFFER_MAX || self.responses.ledger.len() >= LEDGER_MAX
    }

    /// Whether the session needs the connection for what is under way, besides the rest of a long message.
    pub(crate) fn is_held(&self) -> bool {
        self.responses.tx != TxStatus::Idle
            || self.batch() == Batch::Open
            || self.responses.flow != Flow::Query
            || self.is_in_between()
    }

    /// Whether some of what was written is not sent, or of a message of the server the rest has not come.
    pub(crate) fn is_in_between(&self) -> bool {
        !self.lease.is_flushed() || self.responses.is_within_frame()
    }

    /// Whether the server waits for the rest of a batch or of a copy that must go there, whatever it is. On the
    /// primary a batch is one transaction, and what has been sent of it may not be answered before its end has;
    /// anywhere, what follows an error is thrown away up to the Sync.
    pub(crate) fn has_begun(&self) -> bool {
        let on_primary = self.batch() == Batch::Open || self.responses.flow == Flow::CopyIn;
        self.responses.ledger.is_discarding() || (self.route == Route::Primary && on_primary)
    }

    /// To write to the connection, on which this is the transaction status, as far as it is known.
    pub(crate) fn sender<'a>(
        &'a mut self,
        state: &'a mut State,
        metrics: &'a Metrics,
        tx: Option<TxStatus>,
    ) -> Sender<'a> {
        Sender {
            backend: &mut self.lease,
            ledger: &mut self.responses.ledger,
            progress: &mut self.progress,
            state,
            tx,
            dropped: Vec::new(),
            keeps: Keeps::Nothing,
            naming: Naming::Weirs,
            names_process: false,
            comparing: Comparing::Done,
            untold: None,
            metrics,
        }
    }

    /// A request is about to be sent, alone or behind others.
    pub(crate) fn begin_flight(&mut self, now: Instant) {
        if !self.owes() {
            // The server's own time begins here: what a connection took to open says nothing about how fast it answers.
            self.since = now;
        }
        if self.flight.is_none() {
            self.flight = Some(Flight::begin(&self.load, self.since));
        }
    }

    /// Has the server answer what it was sent of the open batch.
    pub(crate) fn flush_batch(&mut self) {
        put_bare(&mut self.lease.write_buffer, client::FLUSH);
    }

    /// Ends the open batch with a Sync of weir's: the client will end it elsewhere.
    pub(crate) fn end_batch(&mut self) {
        put_bare(&mut self.lease.write_buffer, client::SYNC);
        self.responses.ledger.push(Reply::Sync, Action::Swallow, PendingReply::EndsBatch);
    }

    /// The client's CopyDone or CopyFail. Outside a copy it is ignored.
    pub(crate) fn copy_end(&mut self, bytes: BytesMut) {
        if self.responses.flow == Flow::CopyIn {
            self.responses.flow = Flow::Query;
        } else if self.owes() {
            self.responses.ledger.copy_end();
        } else {
            return;
        }
        self.lease.write_buffer.unsplit(bytes);
    }

    /// Writes a request to the connection, and in front of it what it needs there. `bytes` is as much of it as is there.
    pub(crate) fn send(
        &mut self,
        request: &Request,
        bytes: &[u8],
        state: &mut State,
        metrics: &Metrics,
        sending: Sending,
    ) {
        let (batch, status, route) = (self.batch(), self.responses.tx, self.route);
        let alone = !self.owes() && status == TxStatus::Idle;
        let mut sender = self.sender(state, metrics, sending.tx);
        sender.naming = request.names_prepared();
        sender.names_process = request.any(Fact::NamesProcess);
        sender.keeps = sending.keeps;
        sender.comparing = sending.comparing;
        if batch == Batch::Closed && status != TxStatus::Failed {
            let names = sender.lacks_name_only() && alone && request.only_reads();
            if names && sender.may_join(request) {
                sender.name_within();
            } else {
                sender.settings();
            }
        }
        if route == Route::Primary && status != TxStatus::Failed {
            request.verdicts().for_each(|verdict| sender.prepare_for(verdict, batch));
        }
        request.messages.iter().for_each(|message| sender.message(message, bytes));
        let dropped = sender.dropped;
        if !dropped.is_empty() {
            self.drop_replies(state, dropped);
        }
    }

    /// How what it has said stands to what was written; `before` is the transaction status that it had before that.
    pub(crate) fn answers(&self, before: TxStatus) -> Answers {
        let now = self.responses.tx;
        let over = !self.owes() && self.batch() == Batch::Closed;
        Answers { before, now: if over { Standing::Over(now) } else { Standing::UnderWay(now) } }
    }

    /// Writes to the server and reads from it, once; not the latter when the client is `behind` with its reading.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, reading: Reading, metrics: &Metrics) -> Turn {
        let bytes = &metrics.bytes;
        let (unsent, waiting) = (!self.lease.is_flushed(), self.lease.write_buffer.len());
        let flush = self.lease.poll_flush(cx);
        count(&bytes.to_server, waiting - self.lease.write_buffer.len());
        if let Poll::Ready(Err(_)) = flush {
            // What the server said before it closed the connection may still be read: that is the better reason.
            self.lease.write_buffer.clear();
        }
        let flushed = unsent && self.lease.is_flushed();
        let quiet = if flushed { Turn::Flushed } else { Turn::Quiet };
        let Reading::UpTo(limit) = reading else { return quiet };
        match self.lease.poll_fill(cx, limit) {
            Poll::Ready(Ok(n)) if n > 0 => {
                count(&bytes.from_server, n);
                if let Trust::Silent(since) = &mut self.progress.trust
                    && self.route == Route::Replica
                {
                    // It is slow, not dead.
                    *since = Instant::now();
                }
                Turn::Heard
            }
            Poll::Ready(_) => {
                self.progress.on(LegEvent::Closed);
                Turn::Lost
            }
            Poll::Pending => quiet,
        }
    }

    /// Takes what has arrived from the server: what is for the client is in `buffer` afterwards.
    pub(crate) fn on_server_bytes(&mut self, state: &mut State, buffer: &mut ClientBuffer) {
        let server = self.lease.server();
        let backend = &mut *self.lease;
        let mut observer = Observer {
            state,
            prepared: &mut backend.prepared,
            unnamed: &mut backend.unnamed,
            progress: &mut self.progress,
            server,
        };
        match self.responses.absorb(&mut backend.read_buffer, buffer, &mut observer) {
            // It has told the progress of it.
            Ok(()) | Err(Halt::Refused) => {}
            Err(Halt::Broken(why)) => self.progress.on(LegEvent::Violated(why)),
        }
    }

    /// These messages will never be answered: what they were to do has not happened.
    pub(crate) fn drop_replies(&mut self, state: &mut State, replies: Vec<PendingReply>) {
        let server = self.lease.server();
        let backend = &mut *self.lease;
        let mut observer = Observer {
            state,
            prepared: &mut backend.prepared,
            unnamed: &mut backend.unnamed,
            progress: &mut self.progress,
            server,
        };
        observer.dropped(replies);
    }

    /// What was sent on a lost connection and not answered has not happened. Says what that was.
    pub(crate) fn abandon(&mut self, state: &mut State) -> Abandoned {
        let ledger = &mut self.responses.ledger;
        let readies = ledger.readies();
        let batch = match ledger.batch() {
            Batch::Open if ledger.is_discarding() => LeftBatch::Failed,
            Batch::Open => LeftBatch::Open,
            Batch::Closed => LeftBatch::Closed,
        };
        let replies = ledger.abandon();
        let begins = replies.iter().filter(|reply| reply.begins()).count();
        let (commits, behind) = commits_and_behind(replies.iter());
        self.progress.retry = Set::default();
        self.drop_replies(state, replies);
        Abandoned { readies, batch, begins, commits, behind }
    }
}

/// How many of these commit a transaction, and how many run behind the end of one and in no other.
fn commits_and_behind<'a>(replies: impl Iterator<Item = &'a PendingReply>) -> (usize, usize) {
    let (mut commits, mut behind, mut outside) = (0, 0, false);
    for reply in replies {
        // What is executed by a portal is not remembered, unless it changes the session.
        behind += usize::from(outside && matches!(reply, PendingReply::Bound(..)));
        for statement in reply.verdict().into_iter().flat_map(|verdict| &verdict.statements) {
            match statement.kind {
                Kind::Commit { .. } | Kind::Rollback { .. } => {
                    commits += usize::from(matches!(statement.kind, Kind::Commit { .. }));
                    outside = !statement.kind.chains();
                }
                Kind::Begin(_) => outside = false,
                _ => behind += usize::from(outside),
            }
        }
    }
    (commits, behind)
}

/// How a request is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sending {
    /// Transaction status of the connection, as far as it is known.
    pub tx: Option<TxStatus>,
    /// What of the request weir answers itself.
    pub keeps: Keeps,
    /// What is done about statements that may not be any more what the client was told of them.
    pub comparing: Comparing,
}

/// How much is read from a server at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Nothing: the client does not read what it has been sent.
    Off,
    /// Up to so many unread bytes.
    UpTo(usize),
}

/// What a lost connection has left unanswered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Abandoned {
    /// ReadyForQuery that the client was still owed.
    pub readies: usize,
    pub batch: LeftBatch,
    /// How many of the requests would have begun a transaction.
    pub begins: usize,
    /// How many would have committed one.
    pub commits: usize,
    /// How many stand behind the end of one, and in no other.
    pub behind: usize,
}

/// The batch that a lost connection leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeftBatch {
    /// None.
    Closed,
    /// One that is not over.
    Open,
    /// One that is not over and has had its error.
    Failed,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{Classifier, StandardConformingStrings};

    #[test]
    fn what_runs_behind_a_transaction_is_committed_by_itself() {
        for (text, counts) in [
            ("INSERT INTO t VALUES (1); ROLLBACK", (0, 0)),
            ("INSERT INTO t VALUES (1); COMMIT", (1, 0)),
            ("ROLLBACK; INSERT INTO t VALUES (1)", (0, 1)),
            ("ROLLBACK AND CHAIN; INSERT INTO t VALUES (1)", (0, 0)),
            ("ROLLBACK; BEGIN; INSERT INTO t VALUES (1)", (0, 0)),
            ("COMMIT; INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)", (1, 2)),
        ] {
            let verdict = Classifier::new(1).classify(text.as_bytes(), StandardConformingStrings::On);
            let replies = [PendingReply::Runs(verdict), PendingReply::None];
            assert_eq!(commits_and_behind(replies.iter()), counts, "{text}");
        }
    }

    #[test]
    fn a_request_counts_until_it_is_over_however_it_ends() {
        let load = Arc::new(Load::default());
        let flight = Flight::begin(&load, Instant::now());
        assert_eq!(load.outstanding(), 1);
        drop(flight);
        assert_eq!(load.outstanding(), 0);
    }
}
