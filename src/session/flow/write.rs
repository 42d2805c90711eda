//! The writing of a request to its connection, and what is to be remembered of it from then on.

use std::time::Instant;

use crate::router::{Reason, Route};
use crate::session::client::{Client, Phase};
use crate::session::conversation::Conversation;
use crate::session::flow::plan::Manner;
use crate::session::flow::rerun::joins;
use crate::session::flow::show::enter_transaction;
use crate::session::flow::spans;
use crate::session::flow::verification::comparing;
use crate::session::leg::Leg;
use crate::session::leg::connection::Sending;
use crate::session::leg::hold_back::{Hold, Joins, hold};
use crate::session::leg::past::notes_request;
use crate::session::leg::progress::Sent;
use crate::session::relay::facts::Fact;
use crate::session::relay::framer::Unit;
use crate::session::relay::kept::Keeps;
use crate::session::relay::message::MessageKind;
use crate::session::relay::request::Request;
use crate::session::state::State;
use crate::session::transaction::Event;
use crate::session::transaction::journal::Ran;
use crate::sql::{Dependency, Kind, Statement};
use crate::telemetry::metrics::observe;
use crate::wire::TxStatus;
use crate::wire::tag::client as tag;

/// How a request is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How {
    pub manner: Manner,
    /// What of it weir answers itself.
    pub keeps: Keeps,
    /// Why it goes where it goes.
    pub reason: Reason,
    /// When weir began to work on it.
    pub begun: Instant,
}

/// Takes the request's bytes and writes them, as the server needs them, to the connection's write buffer.
pub(crate) fn write(
    (client, conversation, leg): (&mut Client, &mut Conversation, &mut Leg),
    request: &Request,
    how: &How,
) {
    if conversation.state.requests.spans.is_some() {
        spans::begins(conversation, (request, &*client.read_buffer), (how.reason, how.manner), leg);
    }
    let access = conversation.tracks(request, leg);
    conversation.counts.request(&conversation.shared, (leg.lease.server(), leg.route), how.reason, access);
    makes_way(conversation, leg, request);
    let len = request.len.min(client.read_buffer.len());
    if let Unit::Long { tag: tag::QUERY, .. } = request.unit
        && let Some(text) = client.begin_long(len, request.len - len, conversation.strings())
    {
        conversation.has_read_long(&text);
    }
    let now = Instant::now();
    observe(&conversation.shared.metrics.added_seconds, now.saturating_duration_since(how.begun));
    let idle = !leg.owes();
    leg.begin_flight(now);
    let bytes = client.take(len);
    if request.any(Fact::ConcernsWeir) {
        enter_transaction(conversation, leg, request, how.manner);
    }
    let plan = Hold {
        joins: if idle { joins(conversation, leg, request, how.manner) } else { Joins::Flight },
        limit: conversation.policy.config.routing.hold_back,
        described: request.describes_portal(),
    };
    marks(&mut conversation.state, leg, request, (how, plan.joins));
    conversation.notes_writers(request, leg.route);
    hold(leg, &mut client.buffer, &mut conversation.state, request, &bytes, &plan);
    let begun = begins(conversation, leg, (request, &bytes), how);
    conversation.notes_untold(request, leg.route);
    if request.any(Fact::LooksNow) {
        conversation.state.transaction.journal_mut().into_iter().for_each(|journal| journal.queries());
    }
    // While something is in flight the status is known only where nothing in it can fail a transaction.
    let tx = match (idle, conversation.state.transaction.status_on_server()) {
        (true, _) => begun.or(Some(leg.responses.tx)),
        (false, TxStatus::Idle) => Some(TxStatus::Idle),
        (false, _) => None,
    };
    let comparing = comparing(client, &plan);
    let sending = Sending { tx, keeps: how.keeps, comparing };
    notes_request(&mut leg.lease, &conversation.state, request);
    // Sending it binds its portals.
    let executed = match request.any(Fact::Transacts) || request.any(Fact::ExecutesEarlier) {
        true => request.executed(&bytes, &conversation.state.names),
        false => Vec::new(),
    };
    leg.send(request, &bytes, &mut conversation.state, &conversation.shared.metrics, sending);
    if request.len > len {
        client.phase = Phase::Streaming(request.len - len);
    }
    if !matches!(how.manner, Manner::Alone | Manner::Kept) {
        conversation.foretell(&executed, how.keeps);
    }
    if matches!(how.manner, Manner::Within | Manner::Aside) {
        opens_portals(conversation, request, &bytes, leg.route);
    }
    conversation.went(request, len, now);
}

/// Where a request may have to be put back after part of it has been answered, it is known to what that returns.
fn marks(state: &mut State, leg: &Leg, request: &Request, (how, joins): (&How, Joins)) {
    let kept = how.keeps != Keeps::Nothing && request.any(Fact::Controls);
    // What only reads, outside a transaction, changes nothing to which that could return.
    let renewable = || joins == Joins::Renewable && !(state.transaction.is_over() && request.only_reads());
    if kept || renewable() || (how.manner == Manner::Within && leg.route == Route::Replica) {
        state.transaction.on(Event::Marks);
    }
}

/// Has the server told of the transaction, where it does not know of it and has to. The status that it has there then.
fn begins(
    conversation: &mut Conversation,
    leg: &mut Leg,
    (request, bytes): (&Request, &[u8]),
    how: &How,
) -> Option<TxStatus> {
    let is_begin = |one: &Statement| matches!(one.kind, Kind::Begin(_));
    if request.any(Fact::Transacts) && request.statements().any(is_begin) {
        // Of one that begins by the client's own words nobody else tells.
        conversation.state.transaction.next_because(how.reason);
    }
    // What is thrown away up to the end of its batch begins nothing.
    if how.manner != Manner::Within
        || leg.responses.tx != TxStatus::Idle
        || leg.responses.ledger.is_discarding()
    {
        return None;
    }
    let (state, default) = (&mut conversation.state, conversation.routing.isolation());
    if how.keeps == Keeps::Begin
        && let Some(begin) = request.statements().find(|one| is_begin(one))
    {
        state.transaction.on(Event::Kept(begin));
    }
    state.transaction.next_because(how.reason);
    let modes = |statement: &Statement| matches!(statement.kind, Kind::Begin(_) | Kind::SetTransaction(..));
    let journal = state.transaction.journal()?;
    let on = match leg.route {
        Route::Primary => Ran::Primary,
        Route::Replica => Ran::Replica,
    };
    let begin = if request.statements().any(modes) { journal.begin_and_query(on) } else { journal.begin(on) };
    let names = request.messages.iter().filter_map(|message| match message.kind {
        MessageKind::Bind { statement: name, .. } | MessageKind::DescribeStatement { name } => {
            Some(name.of(bytes))
        }
        _ => None,
    });
    leg.begin(state, &conversation.shared.metrics, (begin, default), names);
    Some(state.transaction.status_on_server())
}

/// What a request opens on a replica's connection and leaves open, or closes there: from then on more may be asked of it.
/// What takes an open one's name on the primary closes it for its client.
fn opens_portals(conversation: &mut Conversation, request: &Request, bytes: &[u8], route: Route) {
    let State { names, transaction, .. } = &mut *conversation.state;
    let Some(journal) = transaction.journal_mut() else { return };
    if route == Route::Primary && !journal.has_portal(None) {
        return;
    }
    let leaves = route == Route::Replica && request.leaves_portal();
    for message in &request.messages {
        match message.kind {
            MessageKind::Bind { portal, .. } if leaves && !portal.is_empty() => {
                let shape = names.portal(portal.of(bytes)).map(|verdict| verdict.skeleton);
                journal.opens(portal.of(bytes), shape);
            }
            MessageKind::ClosePortal { name } => journal.closes(Some(name.of(bytes))),
            MessageKind::Bind { portal, .. } => journal.closes(Some(portal.of(bytes))),
            MessageKind::Query { .. } => journal.closes(Some(b"")),
            _ => {}
        }
    }
    if leaves && request.leaves_unnamed_portal() {
        journal.opens(b"", names.portal(b"").map(|verdict| verdict.skeleton));
    }
}

/// Takes note of what a request does to server processes: a database is to be left by all others, or one is to end.
fn makes_way(conversation: &Conversation, leg: &mut Leg, request: &Request) {
    if !request.any(Fact::NamesProcess) {
        return;
    }
    for statement in request.statements() {
        if let Some(database) = &statement.vacates {
            // The server gives them a few seconds to be gone.
            conversation.shared.pools.vacate(database);
            conversation.shared.cluster.vacate(database);
        }
        if let Dependency::Termination = &statement.depends_on {
            leg.progress.sent.add(Sent::Termination);
        }
    }
}
