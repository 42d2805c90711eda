//! One client's life after its login: requests in, answers out, over connections leased for as long as they are needed.
//!
//! One task owns the client's socket and the leased connections. Nothing stands between them: no channel, no second task,
//! no lock. A session is a client, a conversation (what belongs to the client) and legs (connections at work for it).
//! Each turn of [`Session::run`] takes what can be taken from the client's buffer, then moves bytes in all directions at
//! once until something has changed.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::BytesMut;

use crate::backend::ledger::{Batch, Ledger};
use crate::error::{Error, Result};
use crate::frontend::Admission;
use crate::net::Stream;
use crate::router::Route;
use crate::session::client::{Client, Phase, READ_BUFFER_MAX};
use crate::session::connections::Connections;
use crate::session::connections::wait::Waiting;
use crate::session::conversation::{Conversation, Who};
use crate::session::flow::greeting;
use crate::session::flow::greeting::Newcomer;
use crate::session::flow::handover::{self, Comer};
use crate::session::flow::hearing;
use crate::session::flow::notices::HeldNotices;
use crate::session::flow::standing::may_enter;
use crate::session::flow::timeouts::{Deadlines, Doing, Expired, Moment, Promised};
use crate::session::flow::visit::{enters, visitor};
use crate::session::leg::Leg;
use crate::session::leg::connection::{Reading, Turn};
use crate::session::leg::legs::Legs;
use crate::session::leg::progress::{Retry, SequenceUse};
use crate::session::leg::state::{LegEvent, Why};
use crate::session::model::portable::Blob;
use crate::session::model::set::Set;
use crate::session::relay::framer::Unit;
use crate::session::relay::message::Message;
use crate::session::relay::pending_reply::PendingReply;
use crate::session::relay::responses::Flow;
use crate::session::shared::Shared;
use crate::session::shared::gate::Names;
use crate::session::shared::kin::Parcel;
use crate::session::shared::registry::Rest;
use crate::session::state::Due;
use crate::wire::TxStatus;

/// How long a connection is kept for a client that has drawn from a sequence and may ask for it: a client's own time and
/// a round trip.
const SEQUENCE_AFFINITY: Duration = Duration::from_millis(100);

/// How long a client may say nothing within a batch before what it has said of it is run. A batch that arrives in pieces
/// should be routed as a whole: longer than its pieces take to follow each other, shorter than anybody notices.
const BATCH_PAUSE: Duration = Duration::from_millis(10);

/// A client, all that is known of it, and the connections that work for it.
pub(crate) struct Session {
    pub(super) client: Client,
    pub(super) conversation: Conversation,
    pub(super) legs: Legs,
    pub(super) connections: Connections,
    /// How long it may go on, where that is limited.
    pub(super) deadlines: Option<Box<Deadlines>>,
    /// How long notices are held back, while some are.
    pub(super) notices: HeldNotices,
    pub(super) memory: Memory,
}

/// Emptied lists, whose memory serves again.
#[derive(Default)]
pub(super) struct Memory {
    /// Of the next request.
    pub(super) messages: Vec<Message>,
    /// Of the next leg.
    pub(super) ledger: Ledger<PendingReply>,
}

impl Session {
    /// Makes a session of a newcomer and queues its greeting.
    ///
    /// # Errors
    /// Why it cannot begin, with the stream on which the client is to be told: the database does not exist, a startup
    /// setting is refused, no server can be reached.
    pub(crate) async fn begin(
        shared: Arc<Shared>,
        newcomer: Newcomer,
    ) -> std::result::Result<Self, (Stream, Error)> {
        let Newcomer { admission, listener, deadline } = newcomer;
        let Admission { stream, peer, received, greeting, user, means, key, welcome } = admission;
        let mut who = Who::new(&shared.policy().config, user, &greeting.database, listener);
        who.key = key;
        let entry = shared.registry.enter(greeting.minor, &who.user.server_user);
        let names = Names { client: who.database.clone(), server: who.server_database.clone() };
        entry.is_of(visitor(&shared, &who.user.name, &names, (&peer, &who.listener)));
        let mut session = Session {
            client: Client::new(stream, received, shared.metrics.clone()),
            legs: Legs::default(),
            connections: Connections::new(who.mode, &shared),
            deadlines: Deadlines::new(who.user.timeouts, Instant::now()),
            notices: HeldNotices::default(),
            memory: Memory::default(),
            conversation: Conversation::new(
                shared,
                who,
                entry,
                greeting::startup_settings(&greeting.parameters),
            ),
        };
        session.client.buffer.write(|out| out.extend_from_slice(&welcome));
        let Self { client, conversation, connections, .. } = &mut session;
        // Who leaves meanwhile keeps no place in a queue.
        let (shared, entry) = (conversation.shared.clone(), conversation.entry.clone());
        let waiting = Waiting { shared: &shared, entry: &entry, client };
        let entering = waiting.queue(async {
            // A login does not time out while its database is paused.
            let came = tokio::time::Instant::now();
            enters(&shared, &names).await?;
            let entered = async {
                may_enter(conversation, means).await?;
                greeting::settle_in(conversation, connections).await
            };
            let told = tokio::time::timeout_at(deadline + came.elapsed(), entered).await;
            told.unwrap_or(Err(Error::LoginTimeout))
        });
        match entering.await {
            Ok(told) => {
                conversation.enters();
                conversation.refresh_routing();
                greeting::want_catalog(conversation).await;
                greeting::greet(client, conversation, &told.statuses);
                Ok(session)
            }
            Err(error) => {
                session.leave();
                Err((session.client.turned_away().await, error))
            }
        }
    }

    /// Serves the client until it leaves, takes too long, or until a drain finds the session between two requests.
    ///
    /// # Errors
    /// Why the connection must be closed; the client is still to be told, unless it is the client that was lost.
    pub(crate) async fn run(&mut self) -> Result<()> {
        // Who drains or raises an alarm wakes the task by this; what it finds then is asked in `pump`.
        poll_fn(|cx| {
            self.conversation.entry.wakes(cx.waker());
            Poll::Ready(())
        })
        .await;
        loop {
            if self.is_to_complete() {
                self.complete().await?;
            }
            if self.is_full() {
                self.pump().await?;
                continue;
            }
            match self.next_unit() {
                Ok(Unit::More) => self.await_more().await?,
                Ok(Unit::Terminate) if self.is_settled() => return Ok(()),
                Err(error) if self.is_settled() => return Err(error),
                Ok(Unit::Terminate) | Err(_) => self.settle().await?,
                Ok(unit) => self.take(unit).await?,
            }
        }
    }

    /// The next thing to do with the client's bytes.
    fn next_unit(&mut self) -> Result<Unit> {
        let leg = self.legs.active_mut();
        let flow = leg.as_ref().map_or_else(Default::default, |leg| leg.responses.flow);
        if let Some(text) = self.client.stream_on(leg.map(|leg| &mut leg.lease.write_buffer)) {
            self.conversation.has_read_long(&text);
        }
        self.client.next_unit(flow)
    }

    /// Whether the session must end: somebody wants that, or weir is leaving and lets it.
    fn is_over(&self) -> bool {
        let shared = &self.conversation.shared;
        self.conversation.entry.is_terminated()
            || (shared.is_leaving() && (self.goes_along() || self.is_drained()))
    }

    /// Whether weir is draining and it is between two requests, or weir waits no longer.
    fn is_drained(&self) -> bool {
        let shared = &self.conversation.shared;
        shared.is_draining() && (self.is_idle() || shared.is_ending())
    }

    /// Whether it goes along to another weir now.
    pub(crate) fn goes_along(&self) -> bool {
        let Self { client, conversation, legs, connections, .. } = self;
        conversation.shared.is_handing_over()
            && !conversation.entry.is_terminated()
            && handover::is_portable((client, legs), conversation, connections)
    }

    /// Takes it apart for that: it is over here. `None` when its socket is gone.
    pub(crate) fn pack(mut self) -> Option<Parcel> {
        let mut client = handover::said(&self.conversation);
        self.leave();
        let (stream, received) = self.client.into_parts();
        client.received = Blob(received.to_vec());
        Some(Parcel { client, socket: stream.into_descriptor().ok()? })
    }

    /// Goes on where another weir stopped.
    ///
    /// # Errors
    /// The client's socket, when that cannot be.
    pub(crate) async fn unpack(shared: Arc<Shared>, comer: Comer) -> std::result::Result<Self, Stream> {
        let Comer { stream, peer, user, listener, portable } = comer;
        let received = BytesMut::from(&*portable.received.0);
        let resumed = handover::resume(shared.clone(), (user, listener), &peer, portable).await;
        let Some(conversation) = resumed else { return Err(stream) };
        Ok(Self {
            client: Client::new(stream, received, shared.metrics.clone()),
            legs: Legs::default(),
            connections: Connections::new(conversation.who.mode, &shared),
            deadlines: Deadlines::new(conversation.who.user.timeouts, Instant::now()),
            notices: HeldNotices::default(),
            memory: Memory::default(),
            conversation,
        })
    }

    /// Whether all that came before the client's last message has been answered. A copy that the client did not end
    /// never will be.
    fn is_settled(&self) -> bool {
        let answered = |leg: &Leg| !leg.owes() || leg.responses.flow == Flow::CopyIn;
        self.client.is_told() && self.legs.active().is_none_or(answered)
    }

    /// Goes on answering a client from which nothing more is taken. PostgreSQL reads one message after the other, so
    /// what stands before a Terminate is run, and what stands before a broken message is answered.
    async fn settle(&mut self) -> Result<()> {
        if self.client.phase != Phase::Over {
            self.client.phase = Phase::Over;
            if let Some(leg) = self.legs.active_mut().filter(|leg| leg.batch() == Batch::Open) {
                // No Sync, which would commit what the client did not.
                leg.flush_batch();
            }
        }
        self.pump().await
    }

    /// Whether enough is in flight: nothing more is taken from the client until some of it has gone.
    fn is_full(&self) -> bool {
        self.legs.active().is_some_and(|leg| {
            leg.is_full() || !leg.is_up() || (leg.owes() && (leg.is_silent() || self.takes_turns(leg)))
        })
    }

    /// Whether the session does one thing after the other. One that listens is told between its transactions what was
    /// notified, so that each must be over before the next one begins.
    fn takes_turns(&self, leg: &Leg) -> bool {
        self.conversation.state.listening.is_some()
            && leg.batch() == Batch::Closed
            && leg.responses.flow == Flow::Query
            && !matches!(self.client.phase, Phase::Streaming(_))
    }

    /// Between two requests: nothing under way on a connection, nothing to take, nothing to send.
    fn is_idle(&self) -> bool {
        self.client.is_idle()
            && !self.conversation.state.transaction.is_promised()
            && self.legs.active().is_none_or(|leg| !leg.owes() && !leg.is_held())
    }

    /// Whether all that was sent has been answered, or the connection is gone: time for [`Session::complete`].
    pub(super) fn is_complete(&self) -> bool {
        self.legs.active().is_none_or(|leg| !leg.owes() || !leg.is_up())
    }

    /// Nothing can be taken of what the client has sent: waits for more of it, or for the server. Cancel safe.
    ///
    /// # Errors
    /// As [`Session::pump`].
    async fn await_more(&mut self) -> Result<()> {
        if self.client.is_within_batch() {
            // On the heap: mostly a batch is there at once.
            return Box::pin(self.await_batch()).await;
        }
        if self.has_sequence_affinity() {
            return self.hold_sequence_affinity().await;
        }
        if !self.conversation.state.pins.doubts() {
            return self.pump().await;
        }
        // What the catalog tells may set the connection free.
        let cluster = self.conversation.shared.cluster.clone();
        let news = cluster.catalogs().news();
        tokio::pin!(news);
        news.as_mut().enable();
        self.conversation.resolve_doubts();
        if !self.conversation.state.pins.doubts() {
            return Ok(());
        }
        tokio::select! {
            pumped = self.pump() => pumped,
            () = news => Ok(()),
        }
    }

    /// Waits for more of a batch, and not for long: what is there of it is run when its client pauses. PostgreSQL runs each
    /// message as it comes, and tells errors at once. Cancel safe.
    ///
    /// # Errors
    /// As [`Session::pump`].
    async fn await_batch(&mut self) -> Result<()> {
        match tokio::time::timeout(BATCH_PAUSE, self.pump()).await {
            Ok(pumped) => pumped,
            Err(_) => {
                self.client.flush_batch();
                Ok(())
            }
        }
    }

    pub(super) fn has_sequence_affinity(&self) -> bool {
        self.legs.active().is_some_and(|leg| leg.has_sequence_affinity(&self.conversation.state))
    }

    /// Waits for the client as long as the connection is kept for it, because it may be about to ask what it has drawn.
    /// Cancel safe.
    ///
    /// # Errors
    /// As [`Session::pump`].
    async fn hold_sequence_affinity(&mut self) -> Result<()> {
        if let Some(pool) = self.legs.active().map(|leg| leg.lease.pool().clone()) {
            let wanted = tokio::time::timeout(SEQUENCE_AFFINITY, pool.wanted());
            tokio::select! {
                pumped = self.pump() => return pumped,
                _ = wanted => {}
            }
        }
        self.legs.active_mut().into_iter().for_each(|leg| leg.progress.drew = SequenceUse::Not);
        Ok(())
    }

    /// Waits until there is something to act upon: the client's bytes, an answer that is complete, room where there
    /// was none. Cancel safe.
    ///
    /// # Errors
    /// [`Error::Lost`] when the client is gone, [`Error::Shutdown`] when a drain finds the session between two
    /// requests, what has gone on for too long. What happens on the server's side is left for [`Session::complete`] to
    /// see.
    pub(super) async fn pump(&mut self) -> Result<()> {
        poll_fn(|cx| {
            let listens = self.conversation.state.listening.is_some();
            if listens {
                hearing::poll_hear((&mut self.client, &mut self.conversation, &mut self.legs), cx)?;
            }
            match self.poll_pump(cx) {
                Poll::Pending if self.is_over() => Poll::Ready(Err(Error::Shutdown)),
                Poll::Pending => {
                    if listens && hearing::has_more(&self.client, &self.conversation, &self.legs) {
                        cx.waker().wake_by_ref();
                    }
                    self.poll_deadline(cx)
                }
                turn => turn,
            }
        })
        .await
    }

    /// One turn writes what waits for the server, reads what the server has said, writes what is free to go to the
    /// client, and reads what the client has said: waiting on one side only would dead-lock with a client that sends
    /// without reading. Each socket is asked until it has nothing more, and no oftener: that last asking is what wakes
    /// the task again.
    pub(super) fn poll_pump(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let full = self.is_full();
        loop {
            let behind = self.client.is_behind();
            let unconfirmed = self.legs.active().map(|leg| leg.progress.unconfirmed).unwrap_or_default();
            let turn = self.poll_server(cx);
            self.release_notices(cx);
            let waited = self.client.buffer.len();
            let passing = self.legs.active_mut().map(|leg| &mut leg.lease.read_buffer);
            if let Poll::Ready(Err(lost)) = self.client.poll_flush(cx, passing) {
                return Poll::Ready(Err(lost));
            }
            // What was sent of an open batch may stay unanswered until the request that waits for the settings is
            // written.
            let confirmed = self.legs.active().is_some_and(|leg| {
                leg.batch() == Batch::Open && leg.progress.unconfirmed.has_fallen(unconfirmed)
            });
            match turn {
                Turn::Heard | Turn::Lost | Turn::Flushed if confirmed || self.is_complete() => {
                    return Poll::Ready(Ok(()));
                }
                Turn::Heard | Turn::Lost => continue,
                Turn::Flushed | Turn::Quiet => {}
            }
            if !(behind && self.client.buffer.len() < waited) {
                break;
            }
        }
        if self.client.phase == Phase::Over {
            // Who has closed its socket waits for no answer, though it took its leave first.
            return if self.is_settled() { Poll::Ready(Ok(())) } else { self.client.poll_closed(cx) };
        }
        if self.is_full() {
            return Poll::Pending;
        }
        match self.client.poll_fill(cx) {
            Poll::Pending if full => Poll::Ready(Ok(())),
            filled => filled,
        }
    }

    /// Writes to the server and reads from it, once.
    fn poll_server(&mut self, cx: &mut Context<'_>) -> Turn {
        let alarmed = self.conversation.entry.take_alarm();
        let recovered = alarmed && self.heed_probes();
        let reading = if self.client.is_behind() { Reading::Off } else { Reading::UpTo(READ_BUFFER_MAX) };
        let Some(leg) = self.legs.active_mut() else { return Turn::Quiet };
        if !leg.is_up() {
            return Turn::Lost;
        }
        let turn = leg.poll(cx, reading, &self.conversation.shared.metrics);
        match turn {
            // It stays where it was read.
            Turn::Heard if !leg.is_believed() => {}
            Turn::Heard => self.on_server_bytes(),
            Turn::Quiet | Turn::Flushed if recovered => {
                self.on_server_bytes();
                return Turn::Heard;
            }
            Turn::Quiet | Turn::Flushed | Turn::Lost => {}
        }
        turn
    }

    /// Lets go of notices that have been held back for long enough, and of what is held with them.
    fn release_notices(&mut self, cx: &mut Context<'_>) {
        let holding = self.client.buffer.is_holding();
        let held = |leg: &Leg| leg.responses.notices > 0 && holding && !leg.progress.state.is_rerunning();
        if !self.legs.active().is_some_and(held) {
            return self.notices.settle();
        }
        if self.notices.poll(cx).is_ready() {
            self.runs_only_here();
        }
    }

    /// Takes what has arrived from the server.
    pub(super) fn on_server_bytes(&mut self) {
        let Self { client, conversation, legs, .. } = self;
        let Some(leg) = legs.active_mut() else { return };
        // Before the words are taken in, which may tell that what code did is committed.
        conversation.suspect_functions();
        let (before, said) = (leg.responses.tx, leg.responses.said);
        leg.on_server_bytes(&mut conversation.state, &mut client.buffer);
        let answers = Some(leg.answers(before)).filter(|_| leg.responses.said != said);
        if let Some(spans) = &mut conversation.state.requests.spans {
            spans.settle(Instant::now());
        }
        // The answer was out already, or too long to be held.
        if let Some(shape) = leg.progress.shape.take_refused() {
            conversation.learn(shape, Instant::now());
        }
        if !leg.is_up() {
            // What it said before its last words is on its way to the client all the same.
            answers.into_iter().for_each(|answers| conversation.mark_last_words(&answers));
            return;
        }
        answers.into_iter().for_each(|answers| conversation.mark_answered(&answers));
        conversation.signal_others();
        // Before the client hears of its DDL: what it does next must not meet the old catalog.
        conversation.tell_definitions();
        let limit = conversation.policy.config.routing.hold_back.min(READ_BUFFER_MAX / 2);
        // Of the primary a client hears whatever it would hear without weir: only an answer that is there at once is there
        // whole. Unless the process ends, which sends what it had.
        let begun = leg.route == Route::Primary
            && leg.owes()
            && client.buffer.held() > 0
            && leg.responses.farewells == 0
            && !leg.progress.state.is_ending();
        let due = client.buffer.held() > limit || (begun && !leg.progress.retry.has(Retry::StalePlan));
        if client.buffer.is_holding() && !leg.progress.state.is_rerunning() && due {
            self.runs_only_here();
        }
    }

    /// From here on what is in flight cannot be run again.
    pub(super) fn runs_only_here(&mut self) {
        let Self { client, conversation, legs, .. } = self;
        client.buffer.release();
        conversation.state.replay_buffer.clear();
        if let Some(leg) = legs.active_mut() {
            leg.progress.retry = Set::default();
            leg.responses.notices = 0;
        }
    }

    /// What the session does, for its limits of time.
    fn moment(&self) -> Moment {
        let Conversation { state, routing, .. } = &self.conversation;
        let transaction = &state.transaction;
        let doing = match self.legs.active().map_or(Doing::Nothing, Doing::on) {
            // In a transaction of which no server knows, or not any more.
            Doing::Nothing if transaction.is_promised() => Doing::Pausing,
            Doing::Nothing if self.legs.active().is_none() && transaction.status() != TxStatus::Idle => {
                Doing::Pausing
            }
            doing => doing,
        };
        let promised = || Promised { number: transaction.number, limits: routing.limits() };
        Moment {
            doing,
            answered: state.requests.answered,
            promised: transaction.is_promised().then(promised),
        }
    }

    /// Ready when the session may not go on as it does. To be asked when there is nothing else to do. Cancel safe.
    ///
    /// # Errors
    /// When the client must be closed.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let moment = self.moment();
        let rest = self.legs.active().map_or(Rest::Not, |_| moment.doing.rest());
        let entry = &self.conversation.entry;
        if self.deadlines.is_none() && moment.asked().is_none() && entry.is_resting(rest) {
            return Poll::Pending;
        }
        let now = Instant::now();
        entry.rests(rest, now);
        let Some(deadlines) = Deadlines::of(&mut self.deadlines, &moment, now) else {
            return Poll::Pending;
        };
        if deadlines.look(moment, now) {
            self.conversation.state.requests.due = Due::InTime;
        }
        let shared = self.conversation.shared.clone();
        let timeouts = &shared.metrics.timeouts;
        loop {
            let expired = std::task::ready!(deadlines.poll_expired(cx));
            match expired {
                Expired::Client => {
                    timeouts.idle_client.inc();
                    return Poll::Ready(Err(Error::IdleClient));
                }
                Expired::IdleInTransaction => {
                    timeouts.idle_in_transaction.inc();
                    return Poll::Ready(Err(Error::IdleInTransaction));
                }
                Expired::Transaction => {
                    timeouts.transaction.inc();
                    return Poll::Ready(Err(Error::TransactionTimeout));
                }
                Expired::Query => {
                    timeouts.query.inc();
                    cancel_own(&mut self.conversation);
                }
                Expired::Cancel => {
                    self.give_up_deaf();
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }

    /// The server does not cancel: its connection is of no use.
    pub(super) fn give_up_deaf(&mut self) {
        if let Some(leg) = self.legs.active_mut() {
            leg.progress.retry = Set::default();
            leg.progress.on(LegEvent::GaveUp(Why::Deaf));
        }
    }

    /// The client's stream, to be told why it is closed, behind all that was on its way to the client. `None` when
    /// nothing can be told: the client does not take it, or the last message has no end.
    pub(crate) async fn into_stream(mut self) -> Option<Stream> {
        if let Some(mut leg) = self.legs.take() {
            if leg.responses.is_within_frame() {
                return None;
            }
            self.client.buffer.settle(&mut leg.lease.read_buffer);
        }
        self.client.into_stream().await
    }
}

/// Sends a cancel request for a session's own request. The connection is not given back while it is on its way.
fn cancel_own(conversation: &mut Conversation) {
    conversation.state.requests.due = Due::Overdue;
    let Some(aim) = conversation.entry.aim() else { return };
    let shared = conversation.shared.clone();
    conversation.shared.spawn(async move {
        shared.deliver(aim).await;
    });
}
