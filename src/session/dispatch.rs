//! A request's way to a server: what it is, where it goes, the connection it gets, and the writing of it.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use bytes::Buf;

use super::cutter::{Cut, End};
use super::replies::{Flow, Rerun};
use super::send::Sender;
use super::state::{Ear, Retry, State};
use super::{Batch, Flight, Leg, Link, Phase, Session};
use crate::backend::ledger::{Action, Reply};
use crate::error::{Error, Result};
use crate::router::{Decision, Reason, Replicas, Route, Transaction, World, route_all};
use crate::session::replies::Watcher;
use crate::sql::{Chain, Kind, SkeletonId, Verdict, Why};
use crate::wire::request::{self, Named};
use crate::wire::tag::client;
use crate::wire::{TxStatus, header};

/// A request that is about to be routed. Its bytes are at the front of the client's buffer.
struct Request {
    cut: Cut,
    len: usize,
    items: Vec<Item>,
}

/// A statement that the request is about.
struct Item {
    verdict: Arc<Verdict>,
    /// Where its text stands in the client's buffer; empty when it was parsed earlier.
    sql: Range<usize>,
    /// Whether a Parse brings it: those are used up in order when the request is written.
    parsed: Parsed,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Parsed {
    Here,
    Earlier,
}

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
    pub(super) async fn take(&mut self, cut: Cut) -> Result<()> {
        if self.phase == Phase::Skipping {
            self.skip(cut);
            return Ok(());
        }
        match cut {
            Cut::CopyData { len, missing } => self.copy_data(len, missing),
            Cut::CopyEnd { len } => self.copy_end(len),
            Cut::Ignored { len } => self.inbox.advance(len),
            Cut::Single { .. } | Cut::Batch { .. } | Cut::Long { .. } => return self.request(cut).await,
            Cut::More | Cut::Terminate => {}
        }
        Ok(())
    }

    fn copy_data(&mut self, len: usize, missing: usize) {
        let bytes = self.inbox.split_to(len);
        match &mut self.leg {
            // Copy data may be sent ahead of the server's word that it wants some; outside a copy it is ignored.
            Some(leg) if leg.replies.flow == Flow::CopyIn || !leg.replies.ledger.is_empty() => {
                leg.lease.outbox.unsplit(bytes);
                if missing > 0 {
                    self.phase = Phase::Streaming(missing);
                }
            }
            _ if missing > 0 => self.phase = Phase::Dropping(missing),
            _ => {}
        }
    }

    fn copy_end(&mut self, len: usize) {
        let bytes = self.inbox.split_to(len);
        let Some(leg) = &mut self.leg else { return };
        if leg.replies.flow == Flow::CopyIn {
            leg.replies.flow = Flow::Query;
        } else if leg.replies.ledger.is_empty() {
            return;
        } else {
            leg.replies.ledger.copy_end();
        }
        leg.lease.outbox.unsplit(bytes);
    }

    async fn request(&mut self, cut: Cut) -> Result<()> {
        let begun = Instant::now();
        let request = self.read(cut);
        let mut decision = self.decide(&request);
        loop {
            match self.place(&request, decision) {
                Place::Here => break,
                Place::New => {
                    if let Err(error) = self.lease(&mut decision).await {
                        self.refuse(&request.cut, request.len, &error)?;
                        return Ok(());
                    }
                    continue;
                }
                Place::Elsewhere => self.end_batch(),
                Place::Later => {}
            }
            self.pump().await?;
            self.land().await?;
            if self.detour.is_some() {
                // What was in flight has come back to the front of the buffer, and goes first.
                return Ok(());
            }
            decision = self.decide(&request);
        }
        self.shared.metrics.request(decision.route as usize, decision.reason as usize);
        self.write(request, begun)
    }

    /// What the request is about.
    fn read(&mut self, cut: Cut) -> Request {
        let mut items = Vec::new();
        let len = match cut {
            Cut::Single { len } => {
                if self.inbox.first() == Some(&client::QUERY) {
                    items.push(self.classified(5..len - 1, Parsed::Here));
                }
                len
            }
            Cut::Batch { len, .. } => {
                self.read_batch(len, &mut items);
                len
            }
            Cut::Long { tag, len } => {
                let verdict = match request::bind(&self.inbox) {
                    Some(view) if tag == client::BIND => self.statement_verdict(view.statement),
                    _ => Some(Arc::new(Verdict::opaque(SkeletonId(0), Why::TooLong))),
                };
                items.extend(verdict.map(|verdict| Item { verdict, sql: 0..0, parsed: Parsed::Earlier }));
                len
            }
            _ => 0,
        };
        Request { cut, len, items }
    }

    fn read_batch(&mut self, len: usize, items: &mut Vec<Item>) {
        let mut at = 0;
        while let Some(Ok(head)) = header(&self.inbox[at..len]) {
            let frame = at..at + head.len;
            let bytes = &self.inbox[frame.clone()];
            match head.tag {
                client::PARSE => {
                    if let Some(view) = request::parse(bytes) {
                        let start = frame.start + 5 + view.name.len() + 1;
                        items.push(self.classified(start..start + view.sql.len(), Parsed::Here));
                    }
                }
                client::BIND => {
                    let verdict = request::bind(bytes).and_then(|view| self.statement_verdict(view.statement));
                    items.extend(verdict.map(|verdict| Item { verdict, sql: 0..0, parsed: Parsed::Earlier }));
                }
                client::DESCRIBE => {
                    if let Some(Named::Statement(name)) = request::named(bytes) {
                        let verdict = self.statement_verdict(name);
                        items.extend(verdict.map(|verdict| Item { verdict, sql: 0..0, parsed: Parsed::Earlier }));
                    }
                }
                _ => {}
            }
            at = frame.end;
        }
    }

    fn classified(&self, sql: Range<usize>, parsed: Parsed) -> Item {
        let verdict = self.shared.classifier.classify(&self.inbox[sql.clone()], self.view.strings);
        Item { verdict, sql, parsed }
    }

    /// The verdict of a statement that was parsed before this request.
    fn statement_verdict(&self, name: &[u8]) -> Option<Arc<Verdict>> {
        if name.is_empty() {
            return self.state.names.unnamed.as_ref().map(|unnamed| unnamed.verdict.clone());
        }
        self.state.names.get(name).map(|handle| handle.statement.verdict.clone())
    }

    fn decide(&mut self, request: &Request) -> Decision {
        if let Some(detour) = &self.detour {
            let reason = if detour.cause.is_some() { Reason::Rerun } else { Reason::ReplicaLost };
            return Decision { route: Route::Primary, reason };
        }
        self.refresh_view();
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
        let needs_catalog = request.items.iter().any(|item| item.needs_catalog());
        let catalog = if needs_catalog { shared.cluster.catalogs().of(&self.who.server_database) } else { None };
        let world = World {
            replicas,
            catalog: catalog.as_deref(),
            learned: &self.state.database().learned,
            rules: &shared.config.routing.rules,
            functions: &shared.functions,
            now: Instant::now(),
        };
        let items = request.items.iter().map(|item| (&*item.verdict, &self.inbox[item.sql.clone()]));
        let decision = route_all(items, &session, &world);
        // More of an unfinished batch may be a write: only what is seen whole can go to a replica.
        let whole = !matches!(request.cut, Cut::Batch { end: End::Open, .. });
        if whole || decision.route == Route::Primary || transaction != Transaction::None {
            return decision;
        }
        Decision { route: Route::Primary, reason: Reason::TooLong }
    }

    fn place(&self, request: &Request, decision: Decision) -> Place {
        let Some(leg) = &self.leg else { return Place::New };
        if leg.link != Link::Up || leg.replies.rerun == Rerun::Wanted {
            return Place::Later;
        }
        let idle = leg.replies.ledger.is_empty();
        if leg.route == decision.route {
            // What may have to be run again must all be kept.
            let kept = self.state.retained.bytes.len() + request.len;
            let keeps = !self.outflow.is_holding() || kept <= self.shared.config.routing.hold_back;
            return if idle || keeps { Place::Here } else { Place::Later };
        }
        match (idle, leg.route, leg.batch) {
            (false, ..) => Place::Later,
            (true, Route::Replica, Batch::Open) => Place::Elsewhere,
            (true, ..) => Place::Here,
        }
    }

    /// Ends the batch that is open on the connection: the client will end it elsewhere.
    fn end_batch(&mut self) {
        let Some(leg) = &mut self.leg else { return };
        request::put_bare(&mut leg.lease.outbox, client::SYNC);
        leg.replies.ledger.push(Reply::Sync, Action::Swallow, super::note::Note::None);
        leg.batch = Batch::Closed;
    }

    /// Takes the request's bytes and writes them, as the server needs them, to the connection's outbox.
    fn write(&mut self, request: Request, begun: Instant) -> Result<()> {
        let Some(leg) = &mut self.leg else { return Err(Error::ServerLost) };
        let idle = leg.replies.ledger.is_empty();
        if idle {
            leg.since = begun;
        }
        if leg.flight == Flight::Idle {
            leg.flight = Flight::Sent;
            leg.load.begin();
        }
        let available = request.len.min(self.inbox.len());
        let bytes = self.inbox.split_to(available);
        hold(leg, &mut self.outflow, &mut self.state, &request, &bytes, (idle, self.expected), {
            self.shared.config.routing.hold_back
        });
        if let Some(detour) = &mut self.detour {
            if let (Some(cause), Some(item)) = (&detour.cause, request.items.first()) {
                if matches!(cause.as_str(), "25006" | "0A000") {
                    self.state.database().learned.remember(item.verdict.skeleton, begun);
                    self.shared.metrics.learned.inc();
                }
            }
            detour.left = detour.left.saturating_sub(available);
            if detour.left == 0 {
                self.detour = None;
            }
        }
        let tx = (idle || self.expected == TxStatus::Idle).then_some(if idle { leg.replies.tx } else { self.expected });
        let backend = &mut *leg.lease;
        let mut sender = Sender {
            backend,
            ledger: &mut leg.replies.ledger,
            state: &mut self.state,
            tx,
            dropped: Vec::new(),
        };
        if leg.batch == Batch::Closed {
            sender.settings();
        }
        let mut parsed = request.items.iter().filter(|item| item.parsed == Parsed::Here).map(|item| &item.verdict);
        let mut at = 0;
        while let Some(Ok(head)) = header(&bytes[at..]) {
            let frame = &bytes[at..bytes.len().min(at + head.len)];
            match head.tag {
                client::QUERY => match parsed.next() {
                    Some(verdict) => sender.query(frame, verdict),
                    None => sender.long_query(frame, &request.items),
                },
                client::FUNCTION_CALL => sender.call(frame),
                client::PARSE => {
                    let verdict = request::parse(frame).and_then(|_| parsed.next()).cloned();
                    sender.message(frame, verdict);
                }
                _ => sender.message(frame, None),
            }
            at += head.len.min(bytes.len() - at);
        }
        let dropped = sender.dropped;
        leg.batch = match request.cut {
            Cut::Batch { end: End::Flush | End::Open, .. } => Batch::Open,
            Cut::Long { tag, .. } if tag != client::QUERY && tag != client::FUNCTION_CALL => Batch::Open,
            _ => Batch::Closed,
        };
        if request.len > available {
            self.phase = Phase::Streaming(request.len - available);
        }
        self.expected = foretell(self.expected, &request.items);
        if !dropped.is_empty() {
            let mut ear = Ear {
                state: &mut self.state,
                prepared: &mut leg.lease.prepared,
                unnamed: &mut leg.lease.unnamed,
                retry: leg.retry,
            };
            ear.dropped(dropped);
        }
        self.hear();
        Ok(())
    }
}
