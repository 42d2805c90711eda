//! A request's way to a server: the steps that it needs, one after the other, and the writing of it.

use std::future::poll_fn;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Buf;

use crate::backend::ledger::Batch;
use crate::error::{Error, Result};
use crate::pool::Lease;
use crate::router::{ANSWERED, Decision, Reason, Route};
use crate::session::client::Phase;
use crate::session::connections::checkout::{Checkout, ends_session};
use crate::session::consistency::requirement::Requirement;
use crate::session::conversation::{Cause, Rerun, accounts};
use crate::session::flow::answer::answer;
use crate::session::flow::course::Course;
use crate::session::flow::decide::{Decided, decide, parts_at};
use crate::session::flow::failover::{Doubt, cause};
use crate::session::flow::freshness_wait::await_freshness;
use crate::session::flow::gate::{heed_gate, passes_gate};
use crate::session::flow::in_flight::InFlight;
use crate::session::flow::listening;
use crate::session::flow::plan::{Freshness, Manner, Step, plan, without_leg};
use crate::session::flow::resume::{ends_lost, resume_block};
use crate::session::flow::session::Session;
use crate::session::flow::show;
use crate::session::flow::situation::situation;
use crate::session::flow::spans;
use crate::session::flow::timeouts::Deadlines;
use crate::session::flow::unsettable::{meet_stranded, meet_unsettable};
use crate::session::flow::upgrade::{release_parked, return_aside, swap, upgrade};
use crate::session::flow::verification::verify;
use crate::session::flow::write::write;
use crate::session::leg::Leg;
use crate::session::leg::progress::SequenceUse;
use crate::session::leg::state::LegState;
use crate::session::model::rebase::rebased;
use crate::session::relay::facts::Fact;
use crate::session::relay::framer::Unit;
use crate::session::relay::kept::Keeps;
use crate::session::relay::pending_reply::PendingReply;
use crate::session::relay::request::{Reader, Request};
use crate::session::relay::responses::Flow;
use crate::session::transaction::{Certainty, Event};
use crate::sql::Statement;
use crate::wire::TxStatus;

/// What comes after a step.
pub(super) enum Next {
    /// Another look at how things stand.
    Plan,
    /// The same, when all that is in flight has been answered, with the request decided anew: what was answered
    /// meanwhile may have been the session's own write.
    Decide,
    /// The writing.
    Write,
    /// Nothing: the request was answered, or is looked at anew.
    Over,
}

impl Session {
    /// Does what a unit of the client's bytes asks for.
    pub(crate) async fn take(&mut self, unit: Unit) -> Result<()> {
        if let Some(deadlines) = &mut self.deadlines
            && !deadlines.out_of_range(&self.conversation.entry).await
        {
            // A cancel request that does not arrive costs the connection.
            self.give_up_deaf();
            self.complete().await?;
        }
        if let Phase::Skipping(_) = self.client.phase {
            self.client.skip(unit, self.conversation.state.transaction.status());
            return Ok(());
        }
        match unit {
            Unit::CopyData { len, missing } => self.copy_data(len, missing),
            Unit::CopyEnd { len } => self.copy_end(len),
            Unit::Ignored { len } => self.client.read_buffer.advance(len),
            Unit::Single { .. } | Unit::Batch { .. } | Unit::Long { .. } => return self.request(unit).await,
            Unit::More | Unit::Terminate => {}
        }
        Ok(())
    }

    fn copy_data(&mut self, len: usize, missing: usize) {
        let bytes = self.client.read_buffer.split_to(len);
        self.copies_ahead();
        match self.legs.active_mut() {
            // Copy data may be sent ahead of the server's word that it wants some; outside a copy it is ignored.
            Some(leg) if leg.responses.flow == Flow::CopyIn || leg.owes() => {
                leg.lease.write_buffer.unsplit(bytes);
                if missing > 0 {
                    self.client.phase = Phase::Streaming(missing);
                }
            }
            _ if missing > 0 => self.client.phase = Phase::Dropping(missing),
            _ => {}
        }
    }

    /// Data that was sent before anybody asked for it is not kept: its COPY runs once.
    fn copies_ahead(&mut self) {
        if self.client.buffer.is_holding() && self.legs.active().is_some_and(Leg::owes) {
            self.runs_only_here();
        }
    }

    fn copy_end(&mut self, len: usize) {
        let bytes = self.client.read_buffer.split_to(len);
        self.copies_ahead();
        if let Some(leg) = self.legs.active_mut() {
            leg.copy_end(bytes);
        }
    }

    /// Brings a request to where it can be written, step by step, and writes it.
    async fn request(&mut self, unit: Unit) -> Result<()> {
        let begun = Instant::now();
        if self.conversation.read_policy(begun) {
            self.deadlines = Deadlines::new(self.conversation.who.user.timeouts, begun);
            // Its password towards the servers may be another.
            self.connections.find_pools_anew();
        }
        if self.sets_in_flight() {
            // Under which settings a statement of what follows is prepared or executed is known then: who else may share it.
            return self.pump().await;
        }
        self.conversation.refresh_routing();
        let request = self.read(unit);
        if request.any(Fact::Unread) && self.waits_to_read() {
            self.memory.messages = request.into_memory();
            return self.pump().await;
        }
        if request.any(Fact::UnderOthers) {
            let Self { client, conversation, .. } = self;
            request.uses_earlier().for_each(|name| conversation.state.uses(name.of(&client.read_buffer)));
        }
        self.conversation.says(&request);
        if let Next::Over = self.meets(&request).await? {
            return Ok(());
        }
        let mut course = self.decide(&request, begun);
        if let Some(at) = parts_at(&self.conversation, &self.client.read_buffer, &request, course.decision) {
            self.client.part_batch(at);
            self.memory.messages = request.into_memory();
            return Ok(());
        }
        let was_rerun = self.conversation.rerun.is_some();
        loop {
            let step = self.plan(&request, &course);
            match self.act(step, &request, &mut course).await? {
                Next::Plan => continue,
                Next::Write => break,
                Next::Over => return Ok(()),
                Next::Decide => {}
            }
            // Nothing may be owed, and the connection be held all the same by what is not sent or heard to its end.
            if !self.is_complete() || self.legs.active().is_some_and(|leg| leg.is_up() && leg.is_in_between())
            {
                self.pump().await?;
                course.begun = Instant::now();
            }
            let lost = self.legs.active().is_some_and(|leg| !leg.is_up());
            self.complete().await?;
            let returned = self.conversation.rerun.is_some() && !was_rerun;
            if lost || returned || self.deadlines.is_some() {
                // The transaction or the batch that the request belongs to may be lost as well. Or what was in flight
                // has come back to the front of the buffer, and goes first. Or it was cancelled, which may not be over.
                return Ok(());
            }
            course = self.decide(&request, course.begun);
        }
        self.send(request, &course).await
    }

    /// What stands before a request, whatever it asks: a pause, losses to be told, settings that no server takes.
    async fn meets(&mut self, request: &Request) -> Result<Next> {
        if heed_gate(self, request).await?.is_break() {
            return Ok(Next::Over);
        }
        if self.legs.active().is_some_and(Leg::is_silent) {
            // On the heap: few meet one, but every client's task would have room for it.
            Box::pin(self.meet_silence()).await?;
        }
        if self.is_answered_by_loss(request).await? {
            return Ok(Next::Over);
        }
        if self.conversation.state.refusals.settings.is_some()
            && Box::pin(meet_unsettable(self, request)).await?.is_break()
        {
            return Ok(Next::Over);
        }
        self.end_sequence_affinity(request).await?;
        if request.any(Fact::ConcernsWeir) {
            // On the heap: few ask, but every client's task would have room for it.
            Box::pin(self.look_up_weir_settings(request)).await?;
        }
        let listens = listening::concerns(self, request);
        // On the heap: few listen, but every client's task would have room for it.
        if listens && Box::pin(listening::meet(self, request)).await?.is_break() {
            return Ok(Next::Over);
        }
        Ok(Next::Plan)
    }

    /// Whether a request is answered by what has become of its transaction.
    async fn is_answered_by_loss(&mut self, request: &Request) -> Result<bool> {
        if self.conversation.state.transaction.is_stranded() && meet_stranded(self, request).is_break() {
            return Ok(true);
        }
        let is_lost = self.conversation.state.transaction.is_lost();
        Ok(is_lost && (ends_lost(self, request) || !resume_block(self, request).await?))
    }

    /// Writes a request that has come to where it can be written.
    async fn send(&mut self, request: Request, course: &Course) -> Result<()> {
        accounts::request(&self.conversation);
        if self.conversation.state.listening.is_some() {
            Box::pin(listening::before_writing(self, &request)).await?;
        }
        self.conversation.goes(&request, course.decision, &self.client.read_buffer, self.legs.active());
        let Self { client, conversation, connections, legs, memory, .. } = self;
        let Some(leg) = legs.active_mut() else { return Err(Error::ServerLost) };
        connections.runs(request.statements());
        write((client, conversation, leg), &request, &course.how());
        let open_ended = request.is_open_ended();
        memory.messages = request.into_memory();
        // What weir answers itself may be due at once.
        self.on_server_bytes();
        if open_ended {
            // A client that sends without a pause must hear of an error all the same, and of what its server says a task
            // that always has something to read is not told.
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Whether something is in flight that changes settings. What is of an open batch may not be answered before its end
    /// has come.
    fn sets_in_flight(&self) -> bool {
        let sets = |pending: &PendingReply| {
            pending.verdict().is_some_and(|verdict| verdict.statements.iter().any(Statement::sets))
        };
        self.conversation.state.transaction.certainty() == Certainty::Uncertain
            && self.legs.active().is_some_and(|leg| {
                leg.is_up() && leg.batch() == Batch::Closed && leg.responses.ledger.notes().any(sets)
            })
    }

    /// Whether the answers to what may change how a text is read come before the text is sent.
    fn waits_to_read(&self) -> bool {
        self.legs.active().is_some_and(|leg| leg.is_up() && leg.owes() && leg.batch() == Batch::Closed)
    }

    fn read(&mut self, unit: Unit) -> Request {
        let conversation = &self.conversation;
        let reader = Reader {
            classifier: &conversation.shared.classifier,
            strings: conversation.strings(),
            statements: &conversation.state.names,
            in_flight: &InFlight { conversation, leg: self.legs.active() },
            under: conversation.state.executes_under(),
        };
        Request::read(unit, &self.client.read_buffer, &reader, std::mem::take(&mut self.memory.messages))
    }

    fn decide(&mut self, request: &Request, begun: Instant) -> Course {
        let Self { client, conversation, legs, .. } = self;
        let decided = decide(conversation, &client.read_buffer, legs.active(), request, begun);
        let Decided { decision, manner, keeps } = decided;
        let requirement = match manner {
            // What is open shows what was there when it was opened.
            Manner::Aside => Requirement::NOTHING,
            _ => conversation.requirement(request, decision.route, begun),
        };
        if manner == Manner::Alone
            && decision.route == Route::Replica
            && conversation.waits_in_vain(request, &requirement, begun)
        {
            let decision = Decision { route: Route::Primary, reason: Reason::LikelyWrite };
            let promised = conversation.state.transaction.is_promised();
            let manner = if promised { Manner::Within } else { Manner::AsItComes };
            return Course { decision, manner, keeps: Keeps::Nothing, requirement, begun };
        }
        Course { decision, manner, keeps, requirement, begun }
    }

    fn plan(&self, request: &Request, course: &Course) -> Step {
        let Course { decision, manner, requirement, .. } = course;
        let Some(leg) = self.legs.active() else { return without_leg(*manner) };
        let goes = (decision.route, *manner, requirement);
        plan(&situation(&self.conversation, &self.client, leg, request, goes))
    }

    async fn act(&mut self, step: Step, request: &Request, course: &mut Course) -> Result<Next> {
        match step {
            Step::CheckOut => return self.check_out(request, course).await,
            Step::SendSettings | Step::AwaitSettings => {
                if let (Step::SendSettings, Some(leg)) = (step, self.legs.active_mut()) {
                    let (conversation, tx) = (&mut self.conversation, Some(leg.responses.tx));
                    leg.sender(&mut conversation.state, &conversation.shared.metrics, tx).settings();
                }
                self.settings_confirmed().await?;
                return self.refused_settings(request);
            }
            Step::AwaitAnswers => {}
            Step::EndBatch => return self.end_batch().await,
            Step::FlushBatch => {
                self.legs.active_mut().into_iter().for_each(Leg::flush_batch);
                self.answered_while(|leg| leg.responses.flow == Flow::Query).await?;
            }
            Step::AwaitNames => {
                self.answered_while(|_| true).await?;
                self.conversation.state.names.settle();
                return Ok(Next::Plan);
            }
            Step::Verify => {
                verify(&self.client, &mut self.conversation, &mut self.legs, request);
                self.answered_while(|_| true).await?;
            }
            Step::AwaitFreshness => {
                let Self { client, conversation, legs, .. } = self;
                let Some(leg) = legs.active() else { return Ok(Next::Plan) };
                // On the heap: few wait, but every client's task would have room for it.
                return match Box::pin(await_freshness(client, conversation, leg, &course.requirement)).await {
                    Ok(Freshness::Enough) => Ok(Next::Write),
                    // The primary has all of it, and what was said in the transaction can be said there again.
                    Ok(Freshness::Short)
                        if course.manner == Manner::Within && leg.batch() == Batch::Closed =>
                    {
                        course.decision = Decision { route: Route::Primary, reason: Reason::Stale };
                        Ok(Next::Plan)
                    }
                    Ok(_) => Ok(Next::Write),
                    Err(Error::Canceled) => Box::pin(self.cancel_held(request)).await,
                    Err(error) => Err(error),
                };
            }
            Step::Write => return Ok(Next::Write),
            Step::Answer => {
                let Self { client, conversation, legs, .. } = self;
                conversation.shared.metrics.answered(ANSWERED, course.decision.reason as usize);
                answer(client, conversation, legs.active_mut(), request);
                release_parked(client, conversation, legs);
                return Ok(Next::Over);
            }
            Step::Upgrade => {
                upgrade(&mut self.client, &mut self.conversation, &mut self.legs).await;
                return Ok(Next::Plan);
            }
            Step::Swap => {
                swap(&mut self.client, &mut self.conversation, &mut self.legs).await;
                return Ok(Next::Plan);
            }
        }
        Ok(Next::Decide)
    }

    /// Ends the open batch where it is.
    async fn end_batch(&mut self) -> Result<Next> {
        self.legs.active_mut().into_iter().for_each(Leg::end_batch);
        self.answered_while(|_| true).await?;
        if self.conversation.state.last_error.is_some() && self.legs.active().is_some_and(Leg::is_up) {
            // A timeout that ran while the server waited for more. The client's batch ends with it.
            self.complete().await?;
            spans::give_up_parts(&mut self.conversation);
            self.client.phase = Phase::Skipping(0);
            return Ok(Next::Over);
        }
        Ok(Next::Decide)
    }

    /// Takes a connection for the request.
    async fn check_out(&mut self, request: &Request, course: &mut Course) -> Result<Next> {
        let Self { client, conversation, connections, .. } = self;
        let drawn = connections.where_drawn(conversation, request, course.decision.route);
        let outcome = match drawn {
            Some(lease) => Ok((lease, Duration::ZERO)),
            None => {
                let requirement = &course.requirement;
                let checkout = Checkout { client, conversation, connections, requirement };
                checkout.run(course.decision, course.begun).await.map(|lent| {
                    course.decision = lent.decision;
                    course.settle(conversation, request);
                    (lent.lease, lent.waited)
                })
            }
        };
        match outcome {
            Ok((lease, waited)) => {
                // weir's own time goes on without the time spent waiting for others.
                course.begun += waited;
                spans::waited(&mut self.conversation, waited);
                self.take_over(lease, course.decision.route, course.begun);
                let passed = passes_gate(self, request, waited).await?;
                Ok(if passed.is_break() { Next::Over } else { Next::Plan })
            }
            Err(error) if ends_session(&error) => Err(error),
            Err(error) if return_aside(&mut self.client, &mut self.conversation, &mut self.legs) => {
                Box::pin(self.fail_transaction(request, &error)).await
            }
            Err(error) => {
                self.refuse(request, &error);
                Ok(Next::Over)
            }
        }
    }

    /// The session's requests run on this connection from now on.
    pub(super) fn take_over(&mut self, lease: Lease, route: Route, now: Instant) {
        let Self { conversation, connections, legs, memory, .. } = self;
        // Whoever changes the topology from here on raises an alarm that is heard.
        conversation.entry.begins();
        conversation.entry.runs_on(lease.key.clone());
        let topology = conversation.shared.cluster.topology();
        // Of one that has been removed in this moment nobody asks how busy it is.
        let load = topology.server(lease.server()).map(|server| server.load.clone()).unwrap_or_default();
        connections.remember(&lease, route);
        let ledger = std::mem::take(&mut memory.ledger);
        let mut leg = Box::new(Leg::new(lease, route, load, ledger, now));
        leg.look(&topology, now);
        let session = conversation.state.transaction.undoable_mut();
        if let Some(before) = conversation.defaults.look_at(&leg.lease, &topology, session) {
            let told = conversation.defaults.told();
            conversation.state.rereads(|settings| rebased(settings, &before, told));
        }
        drop(topology);
        legs.activate(leg);
    }

    /// Waits until the server has answered all it was sent, or is gone, or is not like this any more.
    pub(super) async fn answered_while(&mut self, is_like_this: impl Fn(&Leg) -> bool) -> Result<()> {
        while self.legs.active().is_some_and(|leg| leg.owes() && leg.is_up() && is_like_this(leg)) {
            self.pump().await?;
        }
        Ok(())
    }

    /// Waits until no settings are on their way, or the connection is of no use.
    async fn settings_confirmed(&mut self) -> Result<()> {
        let waits = |session: &Self| {
            session.legs.active().is_some_and(|leg| !leg.progress.unconfirmed.is_none() && leg.is_up())
        };
        while waits(self) {
            // Not only when all has been answered, which an open batch may never be.
            poll_fn(|cx| match self.poll_pump(cx) {
                Poll::Pending if !waits(self) => Poll::Ready(Ok(())),
                turn => turn,
            })
            .await?;
        }
        Ok(())
    }

    /// What became of settings that went alone.
    ///
    /// # Errors
    /// The primary's refusal, when what the session has there is lost with the connection.
    fn refused_settings(&mut self, request: &Request) -> Result<Next> {
        let alone = |leg: &Leg| {
            matches!(leg.progress.state, LegState::Refused(_)) && leg.responses.ledger.readies() == 0
        };
        // Not by way of `complete`, which would give the connection back.
        let Some(mut leg) = self.legs.take_if(alone) else { return Ok(Next::Plan) };
        self.conversation.entry.leaves();
        // The answers to what came before are whole.
        self.client.buffer.settle(&mut leg.lease.read_buffer);
        self.client.buffer.release();
        let error = cause(std::mem::take(&mut leg.progress.state), Doubt::None);
        let server = self.conversation.server_name(leg.lease.server());
        tracing::warn!(%server, %error, "settings refused");
        if self.conversation.pinned().is_none() {
            self.conversation.state.suspects_settings();
        }
        match leg.route {
            // It may not know a role yet, say.
            Route::Replica => {
                let cause = Cause::Error(error.sqlstate().to_owned());
                self.conversation.rerun = Some(Rerun { left: request.len, cause });
                Ok(Next::Decide)
            }
            Route::Primary if self.conversation.pinned().is_some() => Err(error),
            // The request is read again.
            Route::Primary => Ok(Next::Over),
        }
    }

    /// The request was cancelled while it was held back. It is never sent: something else makes its transaction fail in
    /// its stead. The cancel may have hit what is in flight before it instead.
    ///
    /// # Errors
    /// As [`Session::pump`].
    async fn cancel_held(&mut self, request: &Request) -> Result<Next> {
        self.legs.active_mut().filter(|leg| leg.owes()).into_iter().for_each(Leg::flush_batch);
        self.answered_while(|_| true).await?;
        if !self.conversation.entry.settled().await {
            // It may hit whatever comes next.
            self.give_up_deaf();
        }
        let open = |leg: &&mut Leg| {
            leg.is_up() && leg.responses.tx == TxStatus::Open && !leg.responses.ledger.is_discarding()
        };
        let Some(leg) = self.legs.active_mut().filter(open) else { return Ok(Next::Decide) };
        if leg.batch() == Batch::Open {
            leg.end_batch();
        }
        self.fail_transaction(request, &Error::Canceled).await
    }

    /// Has the transaction fail on its connection, and tells the client why.
    ///
    /// # Errors
    /// As [`Session::pump`].
    pub(super) async fn fail_transaction(&mut self, request: &Request, error: &Error) -> Result<Next> {
        let Self { conversation, legs, .. } = self;
        let Some(leg) = legs.active_mut() else { return Ok(Next::Decide) };
        leg.sender(&mut conversation.state, &conversation.shared.metrics, None).fail_block();
        self.answered_while(|_| true).await?;
        let Some(leg) = self.legs.active().filter(|leg| leg.is_up()) else { return Ok(Next::Decide) };
        self.conversation.state.transaction.on(Event::Answered(leg.responses.tx));
        self.refuse(request, error);
        Ok(Next::Over)
    }

    /// Finds out what a request is going to be told of weir's own settings. Cancel safe.
    ///
    /// # Errors
    /// When the client is lost meanwhile.
    async fn look_up_weir_settings(&mut self, request: &Request) -> Result<()> {
        let wait = show::sample_wait(request, self.conversation.policy.config.pool.primary_wait);
        if show::shows(request) && self.legs.active().is_some_and(|leg| leg.batch() == Batch::Closed) {
            // What the client has sent before this may be a write, or set what is shown now.
            self.answered_while(|_| true).await?;
        }
        let Self { conversation, legs, .. } = self;
        let sample = match wait {
            None => None,
            Some(wait) => {
                let sample = show::sampled_within(conversation.shared.cluster.demand(), wait);
                match legs.active() {
                    None => conversation.entry.queue(sample).await.ok(),
                    // A cancel goes to the connection that the session has.
                    Some(_) => sample.await.ok(),
                }
            }
        };
        show::enter(conversation, request, sample);
        Ok(())
    }

    /// Answers the request with an error: it goes nowhere.
    pub(super) fn refuse(&mut self, request: &Request, error: &Error) {
        let asked = (request, &*self.client.read_buffer);
        spans::ends_here(&mut self.conversation, asked, "", Some(error));
        self.conversation.passed_over(request.len.min(self.client.read_buffer.len()));
        if self.conversation.state.transaction.is_promised() {
            self.conversation.state.transaction.on(Event::Failed);
            self.conversation.state.transaction.on(Event::Ready(TxStatus::Idle));
        }
        let status = self.conversation.state.transaction.status();
        self.client.refuse(&request.unit, request.len, error, status);
    }

    /// Lets the connection go if this request is not what it was kept for.
    ///
    /// # Errors
    /// As [`Session::complete`].
    async fn end_sequence_affinity(&mut self, request: &Request) -> Result<()> {
        if self.has_sequence_affinity() && !request.any(Fact::AsksDrawn) {
            self.legs.active_mut().into_iter().for_each(|leg| leg.progress.drew = SequenceUse::Not);
            self.complete().await?;
        }
        Ok(())
    }
}
