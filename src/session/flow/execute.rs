//! A request's way to a server: where it goes, the connection it gets, and the writing of it.

use std::time::Instant;

use bytes::Buf;

use crate::backend::ledger::{Action, Reply};
use crate::error::{Error, Result};
use crate::router::{Decision, Reason, Replicas, Route, Transaction, World, route_all};
use crate::session::consistency::requirement::Requirement;
use crate::session::flow::checkout::ends_session;
use crate::session::flow::request::{self, Item, Parsed, Request, foretell};
use crate::session::flow::settings_sync::Refused;
use crate::session::leg::hold_back::{Hold, Joins, hold};
use crate::session::leg::sender::Sender;
use crate::session::model::state::Observer;
use crate::session::model::statements::{KnownResult, Naming};
use crate::session::relay::framer::{End, Unit};
use crate::session::relay::responses::{Flow, Replay, Watcher};
use crate::session::{Batch, Flight, Leg, Link, Phase, Session};
use crate::telemetry::metrics::observe;
use crate::wire::request::{parse, put_bare};
use crate::wire::tag::client;
use crate::wire::{TxStatus, header};

/// Where a request can be written, as things stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// On the connection that the session has.
    Here,
    /// On another one, once all that is in flight has been answered.
    Later,
    /// On another one, once the batch that is open on this one has been ended.
    Elsewhere,
    /// On a connection that is yet to be checked out.
    New,
}

impl Session {
    /// Does what a cut of the client's bytes asks for.
    pub(crate) async fn take(&mut self, cut: Unit) -> Result<()> {
        if let Phase::Skipping(_) = self.phase {
            self.skip(cut);
            return Ok(());
        }
        match cut {
            Unit::CopyData { len, missing } => self.copy_data(len, missing),
            Unit::CopyEnd { len } => self.copy_end(len),
            Unit::Ignored { len } => self.read_buffer.advance(len),
            Unit::Single { .. } | Unit::Batch { .. } | Unit::Long { .. } => return self.request(cut).await,
            Unit::More | Unit::Terminate => {}
        }
        Ok(())
    }

    fn copy_data(&mut self, len: usize, missing: usize) {
        let bytes = self.read_buffer.split_to(len);
        match &mut self.leg {
            // Copy data may be sent ahead of the server's word that it wants some; outside a copy it is ignored.
            Some(leg) if leg.replies.flow == Flow::CopyIn || !leg.replies.ledger.is_empty() => {
                leg.lease.write_buffer.unsplit(bytes);
                if missing > 0 {
                    self.phase = Phase::Streaming(missing);
                }
            }
            _ if missing > 0 => self.phase = Phase::Dropping(missing),
            _ => {}
        }
    }

    fn copy_end(&mut self, len: usize) {
        let bytes = self.read_buffer.split_to(len);
        let Some(leg) = &mut self.leg else { return };
        if leg.replies.flow == Flow::CopyIn {
            leg.replies.flow = Flow::Query;
        } else if leg.replies.ledger.is_empty() {
            return;
        } else {
            leg.replies.ledger.copy_end();
        }
        leg.lease.write_buffer.unsplit(bytes);
    }

    async fn request(&mut self, cut: Unit) -> Result<()> {
        let mut begun = Instant::now();
        let request = self.read(cut);
        if self.is_block_lost() && !self.resume_block(&request).await? {
            return Ok(());
        }
        self.end_sequence_affinity(&request).await?;
        self.look_up_weir_settings(&request).await?;
        let mut decision = self.decide(&request, begun);
        let mut demand = self.demand_of(&request, decision, begun);
        let again = self.rerun.is_some();
        loop {
            match self.place(&request, decision, &demand) {
                Place::Here if self.sets_first(&request) => {
                    self.confirmed().await?;
                    match self.refused_settings()? {
                        // Not by way of `complete`, which would give the connection back.
                        Refused::Not => continue,
                        Refused::OnReplica(sqlstate) => self.rerun_on_primary(request.len, sqlstate),
                        Refused::Here(error) => {
                            self.refuse(&request.cut, request.len, &error);
                            return Ok(());
                        }
                    }
                }
                Place::Here if self.breaks_in(&request) => self.batch_answered().await?,
                Place::Here if self.names_move(&request) => {
                    self.answered().await?;
                    self.state.names.settle();
                    continue;
                }
                Place::Here if self.verifies(&request) => self.answered().await?,
                Place::Here => {
                    self.await_freshness(&request, &demand).await;
                    break;
                }
                Place::New => {
                    if let Some(lease) = self.where_drawn(&request, decision.route) {
                        self.take_over(lease, decision.route, begun);
                        continue;
                    }
                    match self.lease(&mut decision, &demand, begun).await {
                        // weir's own time goes on without the time spent waiting for others.
                        Ok(waited) => begun += waited,
                        Err(error) if ends_session(&error) => return Err(error),
                        Err(error) => {
                            self.refuse(&request.cut, request.len, &error);
                            return Ok(());
                        }
                    }
                    continue;
                }
                Place::Elsewhere => self.end_batch(),
                Place::Later => {}
            }
            if !self.is_complete() {
                self.pump().await?;
                begun = Instant::now();
            }
            self.complete().await?;
            if self.rerun.is_some() && !again {
                // What was in flight has come back to the front of the buffer, and goes first.
                return Ok(());
            }
            // What was answered meanwhile may have been the session's own write.
            decision = self.decide(&request, begun);
            demand = self.demand_of(&request, decision, begun);
        }
        self.shared.metrics.request(decision.route as usize, decision.reason as usize);
        self.follow(&request, decision.reason);
        self.remember(&request, decision);
        self.predict_pins(&request);
        self.write(&request, begun)
    }

    fn decide(&mut self, request: &Request, now: Instant) -> Decision {
        if let Some(rerun) = &self.rerun {
            let reason = if rerun.cause.is_some() { Reason::Rerun } else { Reason::ReplicaLost };
            return Decision { route: Route::Primary, reason };
        }
        self.refresh_routing();
        let route = self.leg.as_ref().map_or(Route::Primary, |leg| leg.route);
        let transaction = match self.expected {
            TxStatus::Idle => Transaction::None,
            TxStatus::Open => Transaction::Open(route),
            TxStatus::Failed => Transaction::Failed(route),
        };
        let session = self.session_view(transaction);
        let shared = &self.shared;
        let topology = shared.cluster.topology();
        let replicas = if topology.replicas().next().is_some() { Replicas::Usable } else { Replicas::None };
        let catalogs = shared.cluster.catalogs();
        let some_matter = catalogs.know_confined() || catalogs.know_traces();
        let needs_catalog = request.items.iter().any(|item| item.calls() || (some_matter && item.reads()));
        let catalog = if needs_catalog { catalogs.of(&self.who.server_database) } else { None };
        let world = World {
            replicas,
            catalog: catalog.as_deref(),
            learned: &self.state.database().learned,
            rules: &shared.config.routing.rules,
            functions: &shared.functions,
            now,
        };
        let text = |item: &Item| item.text(&self.read_buffer, &self.state.names).unwrap_or_default();
        let items = request.items.iter().map(|item| (&*item.verdict, text(item)));
        let decision = route_all(items, &session, &world);
        if decision.reason == Reason::UnknownFunction {
            shared.cluster.catalogs().missed(&self.who.server_database, world.now);
        }
        if transaction != Transaction::None {
            return decision;
        }
        if decision.route != route && self.leg.as_ref().is_some_and(|leg| leg.has_begun()) {
            return Decision { route, reason: Reason::InTransaction };
        }
        if decision.route == Route::Primary {
            return decision;
        }
        // More of an unfinished batch may be a write: only what is seen whole can go to a replica.
        let whole = match request.cut {
            Unit::Batch { end: End::Open, .. } | Unit::Long { .. } => false,
            // Portals, and what was set for the transaction, cannot follow when the rest goes elsewhere.
            Unit::Batch { len, end: End::Flush } => !request::leaves_portal(&self.read_buffer[..len]),
            _ => true,
        };
        if whole { decision } else { Decision { route: Route::Primary, reason: Reason::TooLong } }
    }

    fn place(&self, request: &Request, decision: Decision, demand: &Requirement) -> Place {
        let Some(leg) = &self.leg else { return Place::New };
        if leg.link != Link::Up || leg.replies.replay == Replay::Wanted {
            return Place::Later;
        }
        if leg.replies.ledger.is_discarding() {
            // Only here it is thrown away, as it must be.
            return Place::Here;
        }
        let idle = leg.replies.ledger.is_empty();
        // A transaction cannot move. Anything else on a replica can, and there what others wrote meanwhile counts.
        let stays = leg.route == Route::Primary || self.expected != TxStatus::Idle;
        let fresh = stays || self.is_fresh(&leg.lease, demand);
        if leg.batch == Batch::Open && (leg.route == Route::Primary || (leg.route == decision.route && fresh))
        {
            // What was sent of the batch may be answered only when its end is there: there is nothing to wait for.
            return Place::Here;
        }
        if leg.route == decision.route && fresh {
            // What may have to be run again must all be kept.
            let kept = self.state.replay_buffer.bytes.len() + request.len;
            let keeps = !self.client_buffer.is_holding() || kept <= self.shared.config.routing.hold_back;
            return if idle || keeps { Place::Here } else { Place::Later };
        }
        if leg.route == decision.route && leg.batch == Batch::Closed {
            return Place::Later;
        }
        match (idle, leg.route, leg.batch) {
            (false, ..) => Place::Later,
            (true, Route::Replica, Batch::Open) => Place::Elsewhere,
            (true, ..) => Place::Here,
        }
    }

    /// Whether the request names a statement that a batch in flight defines or closes, unless an error comes first.
    fn names_move(&self, request: &Request) -> bool {
        let names = &self.state.names;
        let in_flight =
            |leg: &Leg| leg.batch == Batch::Closed && leg.link == Link::Up && !leg.replies.ledger.is_empty();
        names.are_moving()
            && self.leg.as_ref().is_some_and(|leg| in_flight(leg))
            && request.names_any(&self.read_buffer[..request.len.min(self.read_buffer.len())], |name| {
                names.is_moving(name)
            })
    }

    /// Whether a statement that the request binds must be looked at first: its client was told a result in an earlier
    /// epoch, and this server does not hold the preparation of that time. Then it has been asked, and the answer is
    /// to be waited for: rows of another shape than the client decodes must never reach it.
    fn verifies(&mut self, request: &Request) -> bool {
        let Some(leg) = &mut self.leg else { return false };
        let ddl = self.state.database().ddl();
        let mut outdated = Vec::new();
        for name in request.items.iter().filter_map(|item| item.bound.clone()) {
            let Some(handle) = self.state.names.get(&self.read_buffer[name.clone()]) else { continue };
            let known = handle.result != KnownResult::Nothing && handle.naming == Naming::Weirs;
            // What was found in a transaction may have been undone with it.
            let was_outdated = |result| matches!(result, KnownResult::Outdated(_));
            if known
                && handle.epoch < handle.statement.epoch(ddl)
                && (was_outdated(handle.result) || leg.lease.prepared.name(handle.preparation()).is_none())
            {
                outdated.push(name);
            }
        }
        if outdated.is_empty() {
            return false;
        }
        let mut sender = Sender::on(leg, &mut self.state, &self.shared.metrics, None);
        for name in outdated {
            sender.verify(&self.read_buffer[name]);
        }
        // A batch is open now: the client's own Sync will end it.
        leg.batch = Batch::Open;
        true
    }

    /// Whether a simple query comes in the middle of a batch. An error in front makes the server throw it away up to the
    /// client's Sync, so that nothing with a Sync of weir's own may be written in its place before that is known.
    fn breaks_in(&self, request: &Request) -> bool {
        let owes = |leg: &Leg| {
            leg.batch == Batch::Open && leg.replies.flow == Flow::Query && !leg.replies.ledger.is_empty()
        };
        matches!(request.cut, Unit::Single { .. }) && self.leg.as_ref().is_some_and(|leg| owes(leg))
    }

    /// Waits until what was sent of the open batch is answered, or a copy has begun.
    async fn batch_answered(&mut self) -> Result<()> {
        if let Some(leg) = &mut self.leg {
            put_bare(&mut leg.lease.write_buffer, client::FLUSH);
        }
        let owes = |leg: &Leg| {
            !leg.replies.ledger.is_empty() && leg.link == Link::Up && leg.replies.flow == Flow::Query
        };
        while self.leg.as_ref().is_some_and(|leg| owes(leg)) {
            self.pump().await?;
        }
        Ok(())
    }

    /// Waits until the server has answered all it was sent, or is gone.
    pub(crate) async fn answered(&mut self) -> Result<()> {
        while self.leg.as_ref().is_some_and(|leg| !leg.replies.ledger.is_empty() && leg.link == Link::Up) {
            self.pump().await?;
        }
        Ok(())
    }

    /// Ends the batch that is open on the connection: the client will end it elsewhere.
    pub(crate) fn end_batch(&mut self) {
        let Some(leg) = &mut self.leg else { return };
        put_bare(&mut leg.lease.write_buffer, client::SYNC);
        leg.replies.ledger.push(
            Reply::Sync,
            Action::Swallow,
            crate::session::relay::pending_reply::PendingReply::None,
        );
        leg.batch = Batch::Closed;
    }

    /// Keeps of a request that begins a flight what the slow-query line will say, if there is to be one.
    fn follow(&mut self, request: &Request, reason: Reason) {
        let Some(leg) = &self.leg else { return };
        if leg.flight.is_some() || self.shared.config.log.slow_query.is_none() {
            return;
        }
        match request.text(&self.read_buffer, &self.state.names) {
            Some(sql) => self.trail.begin(sql, reason, self.routing.strings),
            // What is executed or fetched now was named earlier in the batch.
            None if leg.batch == Batch::Open => {}
            None => self.trail.begin(b"", reason, self.routing.strings),
        }
    }

    /// Takes the request's bytes and writes them, as the server needs them, to the connection's outbox.
    fn write(&mut self, request: &Request, begun: Instant) -> Result<()> {
        self.goes(request);
        self.makes_way(request);
        let len = self.is_there(request);
        let Some(leg) = &mut self.leg else { return Err(Error::ServerLost) };
        let idle = leg.replies.ledger.is_empty();
        let now = Instant::now();
        observe(&self.shared.metrics.added_seconds, now.saturating_duration_since(begun));
        if idle {
            // The server's own time begins here: what a connection took to open says nothing about how fast it answers.
            leg.since = now;
        }
        if leg.flight.is_none() {
            leg.flight = Some(Flight::begin(&leg.load, leg.since));
        }
        let bytes = &self.read_buffer[..len];
        let plan = Hold {
            joins: match (idle, &self.rerun) {
                (false, _) => Joins::Flight,
                (true, None) => Joins::Nothing,
                (true, Some(_)) => Joins::Rerun,
            },
            expected: self.expected,
            limit: self.shared.config.routing.hold_back,
        };
        hold(leg, &mut self.client_buffer, &mut self.state, request, bytes, &plan);
        // While something is in flight the status is known only where nothing in it can fail a transaction.
        let tx = match (idle, self.expected) {
            (true, _) => Some(leg.replies.tx),
            (false, TxStatus::Idle) => Some(TxStatus::Idle),
            (false, _) => None,
        };
        let mut sender = Sender {
            backend: &mut leg.lease,
            ledger: &mut leg.replies.ledger,
            state: &mut self.state,
            tx,
            dropped: Vec::new(),
            naming: request.names_prepared(),
            metrics: &self.shared.metrics,
        };
        if leg.batch == Batch::Closed && leg.replies.tx != TxStatus::Failed {
            let shares = idle && leg.replies.tx == TxStatus::Idle;
            if sender.state.settings.lacks_name_only() && shares && request.only_reads() {
                sender.name_within();
            } else {
                sender.settings();
            }
        }
        if leg.route == Route::Primary && leg.replies.tx != TxStatus::Failed {
            request.items.iter().for_each(|item| sender.prepare_for(&item.verdict, leg.batch));
        }
        send_frames(&mut sender, bytes, request);
        let dropped = sender.dropped;
        leg.batch = request.leaves();
        self.read_buffer.advance(len);
        if request.len > len {
            self.phase = Phase::Streaming(request.len - len);
        }
        self.expected = foretell(self.expected, &request.items);
        if !dropped.is_empty() {
            let backend = &mut *leg.lease;
            let mut observer = Observer {
                state: &mut self.state,
                prepared: &mut backend.prepared,
                unnamed: &mut backend.unnamed,
                retry: leg.retry,
            };
            observer.dropped(dropped);
        }
        self.went(request, len, now);
        // What weir answers itself may be due at once.
        self.on_server_bytes();
        Ok(())
    }

    /// Part of a detour has been written; a shape that a replica refused is remembered.
    fn went(&mut self, request: &Request, len: usize, now: Instant) {
        let Some(rerun) = &mut self.rerun else { return };
        let refused = matches!(rerun.cause.as_deref(), Some("25006" | "0A000"));
        rerun.left = rerun.left.saturating_sub(len);
        if rerun.left == 0 {
            self.rerun = None;
        }
        if let (true, Some(item)) = (refused, request.items.first()) {
            self.state.database().learned.remember(item.verdict.skeleton, now);
            self.shared.metrics.learned.inc();
        }
    }
}

impl Leg {
    /// Whether the server waits for the rest of a batch or of a copy that must go there, whatever it is. On the
    /// primary a batch is one transaction, and what has been sent of it may not be answered before its end has;
    /// anywhere, what follows an error is thrown away up to the Sync.
    fn has_begun(&self) -> bool {
        let on_primary = self.batch == Batch::Open || self.replies.flow == Flow::CopyIn;
        self.replies.ledger.is_discarding() || (self.route == Route::Primary && on_primary)
    }
}

/// Writes the messages of a request, the last of which may be there only in part.
fn send_frames(sender: &mut Sender<'_>, bytes: &[u8], request: &Request) {
    let mut parsed =
        request.items.iter().filter(|item| item.parsed == Parsed::Here).map(|item| &item.verdict);
    let mut at = 0;
    while let Some(Ok(head)) = header(&bytes[at..]) {
        let end = bytes.len().min(at + head.len);
        let frame = &bytes[at..end];
        match head.tag {
            client::QUERY => {
                let verdict = parsed.next().or_else(|| request.items.first().map(|item| &item.verdict));
                if let Some(verdict) = verdict {
                    sender.query(frame, verdict);
                }
            }
            client::FUNCTION_CALL => sender.call(frame),
            client::PARSE => {
                let verdict = parse(frame).and_then(|_| parsed.next()).cloned();
                sender.message(frame, verdict);
            }
            _ => sender.message(frame, None),
        }
        at = end;
    }
}
