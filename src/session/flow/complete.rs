//! When all that was sent has been answered: what is still held is let go, the connection goes back unless the session
//! needs it, and what must be run again is put back to be taken anew. And when a connection is lost meanwhile.

use std::time::{Duration, Instant};

use crate::backend::ledger::Batch;
use crate::error::{Error, Result};
use crate::router::Route;
use crate::session::client::Phase;
use crate::session::conversation::{Cause, Rerun, accounts};
use crate::session::flow::failover::{Doubt, Fate, LossFact, Lost, cause};
use crate::session::flow::hearing;
use crate::session::flow::listening;
use crate::session::flow::rerun::LOSSES_MAX;
use crate::session::flow::session::Session;
use crate::session::flow::upgrade::{let_go, release_parked, upgrade};
use crate::session::leg::Leg;
use crate::session::leg::cleanup::{Cleanup, unlisten};
use crate::session::leg::connection::{Abandoned, LeftBatch};
use crate::session::leg::past::notes_pins;
use crate::session::leg::progress::{Retry, Sent};
use crate::session::leg::state::{LegEvent, LegState, Why};
use crate::session::leg::trust::Trust;
use crate::session::model::savepoints::Control;
use crate::session::model::set::Set;
use crate::session::transaction::Event;
use crate::telemetry::metrics::RerunCause;
use crate::wire::TxStatus;

/// How long a replica whose probes fail may say nothing before its answer is given up: nothing can have been written there,
/// but one that is only slow may be in the middle of a long answer.
const SLOW: Duration = Duration::from_millis(400);

impl Session {
    /// Whether [`Session::complete`] has something to look after.
    pub(super) fn is_to_complete(&self) -> bool {
        self.legs.active().is_some_and(|leg| !leg.is_up() || !leg.owes())
            || hearing::withholds(&self.conversation)
    }

    /// Looks after a flight that has ended. Not cancel safe.
    ///
    /// # Errors
    /// When the client must be closed because of what happened on the server's side.
    pub(crate) async fn complete(&mut self) -> Result<()> {
        if hearing::withholds(&self.conversation) {
            // On the heap: few listen, but every client's task would have room for it.
            Box::pin(listening::hear(self)).await?;
        }
        let Some(leg) = self.legs.active() else { return Ok(()) };
        if !leg.is_up() {
            return self.fail_over();
        }
        if leg.owes() {
            return Ok(());
        }
        if leg.progress.state.is_rerunning() {
            self.run_again().await;
        } else {
            let needed = self.end_flight();
            let Self { client, conversation, legs, .. } = self;
            release_parked(client, conversation, legs);
            if !needed {
                self.give_back().await;
            }
        }
        Ok(())
    }

    /// All is answered: the client gets what was held of it. Says whether the session needs the connection any longer.
    fn end_flight(&mut self) -> bool {
        let Self { client, conversation, legs, .. } = self;
        let Some(leg) = legs.active_mut() else { return true };
        let now = Instant::now();
        if leg.progress.sent.has(Sent::Look) && leg.batch() == Batch::Closed {
            leg.progress.sent.remove(Sent::Look);
            conversation.looked(leg, now);
        }
        if let Some(flight) = leg.flight.take() {
            let took = flight.end(now);
            accounts::flight(conversation, leg, took, &mut client.traffic);
            conversation.count(leg, took);
        }
        let state = &mut conversation.state;
        if leg.batch() == Batch::Closed {
            // Within a batch the server has not said what became of the transaction.
            state.transaction.on(Event::Answered(leg.responses.tx));
        }
        if let Some(spans) = state.requests.spans.as_mut().filter(|_| leg.batch() == Batch::Closed) {
            spans.settle_written(now);
        }
        state.names.settle();
        state.pins.settle();
        client.buffer.release();
        state.replay_buffer.clear();
        conversation.losses = 0;
        conversation.doubt_flight();
        if leg.responses.tx == TxStatus::Idle {
            if leg.batch() == Batch::Closed {
                // Not when a transaction ends: the next one may have begun in what was in flight behind it.
                accounts::transaction(conversation);
                conversation.ends();
                accounts::settled(conversation, leg, now);
                conversation.settle_definitions();
            }
            conversation.tell_pins();
        }
        let pinned = leg.route == Route::Primary && conversation.pinned().is_some();
        if pinned {
            notes_pins(&mut leg.lease, &mut conversation.state);
        }
        let streams = matches!(client.phase, Phase::Streaming(_));
        leg.is_held() || streams || pinned || leg.has_sequence_affinity(&conversation.state)
    }

    /// Gives the connection back to its pool.
    pub(crate) async fn give_back(&mut self) {
        let Some(mut leg) = self.legs.take() else { return };
        let Self { client, conversation, connections, memory, .. } = self;
        client.buffer.settle(&mut leg.lease.read_buffer);
        let settled = conversation.entry.leaves() || conversation.entry.settled().await;
        client.trim();
        leg.lease.settings = leg.progress.carried.now().clone();
        std::mem::swap(&mut memory.ledger, &mut leg.responses.ledger);
        let state = &conversation.state;
        // What a session keeps for itself is its own, whatever is left there.
        let is_unfit = !connections.are_kept() && state.pins.has_vanished();
        if !settled || leg.responses.tx != TxStatus::Idle || !state.pins().is_empty() || is_unfit {
            // It carries what must not reach anybody else, or a cancel request may: closed, not given back.
            let state = &mut conversation.state;
            state.pins.clear(state.transaction.undoable_mut());
            conversation.tell_pins();
            return;
        }
        if leg.progress.sent.has(Sent::Listens) && !connections.are_kept() {
            return conversation.shared.spawn(unlisten(leg.lease));
        }
        connections.put_aside((leg.route, leg.lease), &conversation.state, leg.taken);
    }

    /// The server has answered everything, with an error in it that sends the request to the primary.
    async fn run_again(&mut self) {
        let Self { client, conversation, legs, .. } = self;
        let Some(leg) = legs.active_mut() else { return };
        client.buffer.discard(&mut leg.lease.read_buffer);
        if leg.batch() == Batch::Open {
            // The server throws everything away until it is told that the batch is over.
            return leg.end_batch();
        }
        client.buffer.release();
        let cause = match &mut leg.progress.state {
            LegState::Rerunning(sqlstate) => std::mem::take(sqlstate),
            _ => String::new(),
        };
        leg.progress.on(LegEvent::Requeued);
        leg.flight = None;
        // What weir put into the batch was taken back with it.
        leg.progress.carried.follow(Control::Rollback);
        conversation.shared.metrics.rerun(RerunCause::Error(&cause));
        // A session does not lose its state by a plan that was stale.
        if leg.responses.tx != TxStatus::Idle {
            // Its transaction has failed there, and goes on elsewhere.
            upgrade(client, conversation, legs).await;
        } else if leg.route == Route::Replica || conversation.pinned().is_none() {
            // What was in flight behind the error has run, and may have left what the session forgets next.
            self.give_back().await;
        }
        self.requeue(Cause::Error(cause));
    }

    /// Puts the requests in flight back in front of the client's unread bytes.
    fn requeue(&mut self, cause: Cause) {
        let bytes = self.conversation.state.take_replay();
        self.conversation.losses += usize::from(cause.sqlstate().is_none());
        if let Some(spans) = &mut self.conversation.state.requests.spans {
            spans.returns(cause.sqlstate().unwrap_or("connection_lost"), Instant::now());
        }
        self.conversation.rerun = Some(Rerun { left: bytes.len(), cause });
        self.client.requeue(bytes);
    }

    /// The probes have found something out about the connection's server. A frozen server closes nothing, so that an answer
    /// would be waited for until the kernel loses its patience: what can be run again is given up at once, anything else
    /// when the silence has lasted. Whether the server can be believed again, so that what it has said meanwhile counts.
    pub(crate) fn heed_probes(&mut self) -> bool {
        let again = self.legs.active().is_some_and(|leg| self.can_run_again(leg) || self.is_unused(leg));
        let Self { conversation, legs, .. } = self;
        let Some(leg) = legs.active_mut().filter(|leg| leg.is_up()) else { return false };
        let (was_silent, now) = (leg.is_silent(), Instant::now());
        leg.look(&conversation.shared.cluster.topology(), now);
        let limit = match leg.route {
            Route::Primary => conversation.policy.config.health.lost_after,
            Route::Replica => SLOW,
        };
        match leg.progress.trust {
            Trust::Silent(_) if again => leg.progress.on(LegEvent::Closed),
            Trust::Silent(since) if leg.owes() && now.saturating_duration_since(since) >= limit => {
                leg.progress.on(LegEvent::GaveUp(Why::Silent));
            }
            Trust::Silent(_) | Trust::Deposed | Trust::Sound => {}
        }
        was_silent && leg.progress.trust.is_sound()
    }

    /// The client has a word for a server that does not answer its probes. A transaction is lost then; what else lives there
    /// is waited for as long as anything is.
    ///
    /// # Errors
    /// As [`Session::complete`].
    pub(crate) async fn meet_silence(&mut self) -> Result<()> {
        let limit = self.conversation.policy.config.health.lost_after;
        while let Some(leg) = self.legs.active_mut().filter(|leg| leg.is_up() && !leg.owes()) {
            let Trust::Silent(since) = leg.progress.trust else { return Ok(()) };
            if leg.responses.tx != TxStatus::Idle || since.elapsed() >= limit {
                leg.progress.on(LegEvent::GaveUp(Why::Silent));
                break;
            }
            self.pump().await?;
        }
        self.complete().await
    }

    /// Whether what is in flight is kept, nothing of its answer is out, and another connection would serve as well.
    fn can_run_again(&self, leg: &Leg) -> bool {
        leg.progress.retry.has(Retry::Loss)
            && self.client.buffer.is_holding()
            && !self.conversation.state.replay_buffer.bytes.is_empty()
            && !self.lost_with(leg).has(LossFact::StateThere)
    }

    /// The connection is gone. If nothing of the answer is out and nothing was changed, the requests run again
    /// elsewhere and the client notices nothing; else it is told, and keeps its session: outside a transaction, or in
    /// one that has failed.
    ///
    /// # Errors
    /// When the client must be closed: it was sent part of a message, or its state went with the server.
    pub(crate) fn fail_over(&mut self) -> Result<()> {
        let Some(mut leg) = self.legs.take() else { return Ok(()) };
        let unused = self.is_unused(&leg);
        // A server may go by what it is told of the session, wherever that is.
        self.conversation.losses += usize::from(unused);
        if let Some(mut parked) = self.legs.take_parked() {
            // Together they were one transaction.
            self.client.buffer.settle(&mut parked.lease.read_buffer);
            let_go(&self.conversation, parked);
        }
        let (anew, snapshot) = (unused || self.is_begun_anew(&leg), self.is_snapshot_lost(&leg));
        if anew || snapshot {
            self.conversation.leaves(&leg);
            leg.abandon(&mut self.conversation.state);
            self.client.buffer.settle(&mut leg.lease.read_buffer);
            let error = cause(std::mem::take(&mut leg.progress.state), Doubt::None);
            let event = if anew { Event::Withdrawn } else { Event::SnapshotLost(error) };
            self.conversation.state.transaction.on(event);
            return Ok(());
        }
        let pending = &self.conversation.state.pending_writes;
        let (writes, prepares) = (!pending.is_clean(), leg.owes() && pending.may_prepare());
        let is_over = self.conversation.state.transaction.journal().is_none();
        let again = self.can_run_again(&leg);
        self.conversation.mark_unanswered();
        self.conversation.leaves(&leg);
        leg.flight = None;
        let abandoned = leg.abandon(&mut self.conversation.state);
        let facts = [
            (LossFact::PendingWrites, writes),
            (LossFact::MayPrepare, prepares),
            (LossFact::CanRunAgain, again),
            (LossFact::UnansweredBegin, abandoned.begins > 0),
        ];
        let facts = self.lost_with(&leg).union(facts.into());
        // Within a batch the end of a transaction is answered before the server says where it stands.
        let tx = if is_over { TxStatus::Idle } else { leg.responses.tx };
        let lost = Lost { route: leg.route, tx, facts };
        let refused = matches!(leg.progress.state, LegState::Refused(_));
        if refused {
            self.conversation.state.suspects_settings();
        }
        let state = std::mem::take(&mut leg.progress.state);
        let error = cause(state, lost.doubt(&abandoned));
        let server = self.conversation.server_name(leg.lease.server());
        tracing::warn!(%server, %error, "connection to a server lost");
        self.client.buffer.discard(&mut leg.lease.read_buffer);
        self.client.buffer.release();
        let fate = lost.fate();
        if let (Some(spans), false) = (&mut self.conversation.state.requests.spans, fate == Fate::RunAgain) {
            spans.lost(error.sqlstate(), Instant::now());
        }
        match fate {
            Fate::RunAgain => {
                let (why, cause) = match (refused, leg.route) {
                    (true, _) => (RerunCause::SettingsRefused, Cause::Error(error.sqlstate().to_owned())),
                    (false, Route::Replica) => (RerunCause::ConnectionLost, Cause::ReplicaLost),
                    (false, Route::Primary) => (RerunCause::ConnectionLost, Cause::PrimaryLost),
                };
                self.conversation.shared.metrics.rerun(why);
                self.requeue(cause);
                Ok(())
            }
            Fate::Torn => {
                self.client.phase = Phase::Torn;
                Err(error)
            }
            Fate::Close => Err(error),
            Fate::Tell => {
                let error = if refused { self.strands(error) } else { error };
                self.tell_lost(leg.responses.tx, &abandoned, error);
                Ok(())
            }
        }
    }

    /// Whether a connection carries nothing of its client's yet: it was taken for a request that is still to be written, and at
    /// most settings of weir's are on their way. Nobody would miss it, unless connections are lost like that time and again.
    fn is_unused(&self, leg: &Leg) -> bool {
        leg.responses.tx == TxStatus::Idle
            && leg.batch() == Batch::Closed
            && leg.responses.ledger.readies() == 0
            && !leg.responses.is_within_frame()
            && !matches!(leg.progress.state, LegState::Refused(_))
            && self.conversation.state.transaction.is_promised()
            && !self.legs.is_parked()
            && !leg.has_sequence_affinity(&self.conversation.state)
            && self.lost_with(leg).is_empty()
            && self.conversation.losses < LOSSES_MAX
    }

    /// Whether a connection that is lost between two requests is missed by nobody: all that was there can be said again. But
    /// for one that its client wanted to last no longer.
    fn is_begun_anew(&self, leg: &Leg) -> bool {
        let transaction = &self.conversation.state.transaction;
        let can_be_told = match leg.route {
            Route::Replica => transaction.journal().is_some() && transaction.is_renewable(),
            Route::Primary => transaction.can_be_told(),
        };
        can_be_told && leg.responses.tx != TxStatus::Idle && self.is_lost_unasked(leg)
    }

    /// Whether a transaction is lost between two requests in which only reads cannot go on.
    fn is_snapshot_lost(&self, leg: &Leg) -> bool {
        let open = leg.responses.tx == TxStatus::Open;
        open && self.conversation.state.transaction.has_only_read() && self.is_lost_unasked(leg)
    }

    /// Whether a connection is lost on which nothing was under way and no state lived, and not because its client wanted its
    /// transaction to last no longer.
    fn is_lost_unasked(&self, leg: &Leg) -> bool {
        !leg.progress.state.is_overdue()
            && !leg.owes()
            && leg.batch() == Batch::Closed
            && !leg.responses.is_within_frame()
            && !self.lost_with(leg).has(LossFact::StateThere)
    }

    /// Whether what the session relies on lives on its connection to the primary, or may.
    fn relies_on_primary(&self) -> bool {
        self.conversation.pinned().is_some() || self.connections.hold_unseen_state()
    }

    /// What is lost with a leg.
    fn lost_with(&self, leg: &Leg) -> Set<LossFact> {
        let torn = leg.responses.is_within_frame() && self.client.buffer.held() == 0;
        [
            (LossFact::TornMessage, torn),
            (LossFact::StateThere, leg.route == Route::Primary && self.relies_on_primary()),
            (LossFact::WantedEnd, leg.progress.sent.has(Sent::Termination)),
        ]
        .into()
    }

    /// A server has refused what it was told of the session. A transaction of which it has not run anything fails by that, and
    /// what is in its journal stays: its client may go back to a savepoint. Why it fails; of one that had failed before the
    /// client knows.
    fn strands(&mut self, error: Error) -> Error {
        let transaction = &mut self.conversation.state.transaction;
        if !transaction.is_unheard() {
            return error;
        }
        let had_failed = transaction.has_failed();
        transaction.on(Event::Strands);
        if had_failed { Error::BlockAborted } else { error }
    }

    /// Answers what was in flight with the error. A transaction whose end was not in flight has failed by it, and the
    /// client will end it.
    fn tell_lost(&mut self, tx: TxStatus, abandoned: &Abandoned, error: Error) {
        let Self { client, conversation, .. } = self;
        conversation.state.transaction.on(Event::Lost(tx));
        let in_block = conversation.state.transaction.status() == TxStatus::Failed;
        let status = conversation.state.transaction.status();
        conversation.state.names.end_transaction();
        let left = client.drop_streaming();
        let is_due = abandoned.batch != LeftBatch::Failed;
        let mut untold = is_due.then_some(error);
        for _ in 0..abandoned.readies {
            match &untold {
                Some(error) => client.tell(error),
                // What came after it in the pipeline.
                None if is_due => client.tell(&Error::BlockAborted),
                None => {}
            }
            if in_block {
                untold = None;
            }
            client.tell_ready(status);
        }
        if abandoned.batch != LeftBatch::Closed {
            if let Some(error) = untold.take() {
                client.tell(&error);
            }
            client.phase = Phase::Skipping(left);
        }
        // Between two requests PostgreSQL would close the connection. Here the next one hears of it.
        if let Some(error) = untold {
            conversation.state.transaction.on(Event::Untold(error));
        }
    }

    /// The session is over for everybody else. What it has sent to the primary is marked now and, as it may not have
    /// been committed yet, once more when it must have been. Its connections are made fit for others.
    pub(crate) fn leave(&mut self) {
        let Self { client, conversation, connections, legs, .. } = self;
        conversation.shared.registry.leave(&conversation.entry);
        accounts::bytes(conversation, &mut client.traffic);
        conversation.state.listening = None;
        let pending_writes = conversation.state.pending_writes.clone();
        conversation.mark_unanswered();
        let leftover = connections.leftover(&conversation.state);
        connections.let_go(leftover);
        legs.take_parked().into_iter().for_each(|parked| let_go(conversation, parked));
        // A connection that is lost stays: what has come over it is still to be told.
        let Some(mut leg) = legs.take_if(Leg::is_up) else { return };
        // The server waits for the rest of a message that nobody has: whatever came next would be taken for it.
        let half_sent = matches!(client.phase, Phase::Streaming(left) if left > 0);
        if leg.responses.is_within_frame() {
            client.phase = Phase::Torn;
        }
        client.buffer.settle(&mut leg.lease.read_buffer);
        let nothing = conversation.state.successor();
        let cleanup = Cleanup {
            shared: conversation.shared.clone(),
            entry: Some(conversation.entry.clone()),
            state: std::mem::replace(&mut conversation.state, Box::new(nothing)),
            leg,
            name: conversation.who.server_database.clone(),
            pending_writes,
            leftover,
        };
        if half_sent {
            conversation.shared.spawn(cleanup.outlast());
        } else {
            conversation.shared.spawn(cleanup.run());
        }
    }
}
