//! What a span tells of a request, where requests are traced: put together when it is written, from what is known then.
//!
//! Nothing here decides anything. Of what is not sampled nothing is put together.

use std::time::{Duration, Instant};

use crate::backend::ledger::Batch;
use crate::error::Error;
use crate::router::{Reason, Route};
use crate::session::conversation::Conversation;
use crate::session::flow::plan::Manner;
use crate::session::leg::Leg;
use crate::session::relay::framer::{End, Unit};
use crate::session::relay::message::MessageKind;
use crate::session::relay::request::Request;
use crate::session::shared::spans::OpenSpans;
use crate::sql::{Name, Statement, TraceParent, shape, trace_parent};
use crate::telemetry::spans::{Asked, Ids, Place, Span, Waited, Went};
use crate::wire::TxStatus;
use crate::wire::tag::client::{FUNCTION_CALL, QUERY};

/// The most bytes of a summary.
const SUMMARY_MAX: usize = 255;

/// The session's open spans, if it is traced.
pub(super) fn open(conversation: &mut Conversation) -> Option<&mut OpenSpans> {
    conversation.state.requests.spans.as_deref_mut()
}

/// A request is about to be written to this leg.
pub(super) fn begins(
    conversation: &mut Conversation,
    (request, bytes): (&Request, &[u8]),
    (reason, manner): (Reason, Manner),
    leg: &Leg,
) {
    let batch = match request.unit {
        Unit::Batch { end: End::Flush | End::Open, .. } => Batch::Open,
        // Its Sync stands in a unit of its own.
        Unit::Long { tag, .. } if tag != QUERY && tag != FUNCTION_CALL => Batch::Open,
        _ => Batch::Closed,
    };
    let Some(mut open) = conversation.state.requests.spans.take() else { return };
    {
        let conversation = &*conversation;
        let went = || Went {
            server: place(conversation, leg),
            route: leg.route.as_str(),
            reason: reason.as_str(),
            transaction: transaction(conversation, manner, leg.route),
        };
        open.begins(batch, went, |went| span(conversation, (request, bytes), went));
    }
    conversation.state.requests.spans = Some(open);
}

/// weir answers a request itself, or refuses it with this error.
pub(super) fn ends_here(
    conversation: &mut Conversation,
    (request, bytes): (&Request, &[u8]),
    reason: &'static str,
    error: Option<&Error>,
) {
    let Some(mut open) = conversation.state.requests.spans.take() else { return };
    let went = || Went { server: None, route: ANSWERED_ROUTE, reason, transaction: "weir" };
    let error = error.map(Error::sqlstate);
    open.ends_here((went, error), Instant::now(), |went| span(conversation, (request, bytes), went));
    conversation.state.requests.spans = Some(open);
}

/// The route of what no server has seen.
const ANSWERED_ROUTE: &str = "weir";

/// The request under way has waited for so long until it had a connection.
pub(super) fn waited(conversation: &mut Conversation, time: Duration) {
    if let Some(open) = open(conversation) {
        open.waited_for_connection(time);
    }
}

/// What the client has yet to say of its batch goes nowhere: the server has ended it.
pub(super) fn give_up_parts(conversation: &mut Conversation) {
    if let Some(open) = open(conversation) {
        open.settle_all(Instant::now());
    }
}

/// What a request's span is known by, if it is sampled: its application has said so, or chance does where it says nothing.
fn sampled(conversation: &Conversation, (request, bytes): (&Request, &[u8])) -> Option<Ids> {
    let id = || rand::random::<u64>().max(1).to_be_bytes();
    match parent(request, bytes) {
        Some(parent) if parent.is_recorded() => {
            Some(Ids { trace: parent.trace, span: id(), parent: Some(parent.span) })
        }
        Some(_) => None,
        None => {
            let is_drawn = rand::random::<f64>() < conversation.policy.config.traces.sampled;
            let trace = || rand::random::<u128>().max(1).to_be_bytes();
            is_drawn.then(|| Ids { trace: trace(), span: id(), parent: None })
        }
    }
}

/// The span of the application. Only of texts that come now: that of a prepared statement names who prepared it.
fn parent(request: &Request, bytes: &[u8]) -> Option<TraceParent> {
    request.messages.iter().find_map(|message| match message.kind {
        MessageKind::Query { sql } | MessageKind::Parse { sql, .. } => trace_parent(sql.of(bytes)),
        _ => None,
    })
}

/// A span, if the request is sampled.
fn span(
    conversation: &Conversation,
    (request, bytes): (&Request, &[u8]),
    went: impl FnOnce() -> Went,
) -> Option<Box<Span>> {
    let ids = sampled(conversation, (request, bytes))?;
    let sql = request.text(bytes, &conversation.state.names).unwrap_or_default();
    let text = shape(sql, conversation.strings());
    let who = &conversation.who;
    let asked = Asked {
        database: who.database.clone(),
        user: who.user.name.clone(),
        summary: summary(&text, request.statements().next()).into(),
        text: text.into(),
    };
    let waited = Waited::default();
    Some(Box::new(Span { ids, asked, went: went(), waited, rows: None, error: None, reruns: Vec::new() }))
}

/// The statement's first word, and the relations that it names, those that it writes first.
fn summary(text: &str, statement: Option<&Statement>) -> String {
    let mut summary = text.split([' ', '(', ';']).next().unwrap_or_default().to_ascii_uppercase();
    let names = statement.into_iter().flat_map(|one| one.writes.iter().chain(&one.reads));
    for Name { schema, name } in names {
        let schema = schema.as_ref().map(|schema| format!("{schema}.")).unwrap_or_default();
        if summary.len() + schema.len() + name.len() >= SUMMARY_MAX {
            break;
        }
        summary.push_str(&format!(" {schema}{name}"));
    }
    summary
}

/// How the transaction runs in which the request does.
fn transaction(conversation: &Conversation, manner: Manner, route: Route) -> &'static str {
    let transaction = &conversation.state.transaction;
    match (manner, transaction.status(), route) {
        (Manner::Kept, ..) => "weir",
        (_, TxStatus::Idle, _) => "none",
        (Manner::Alone, ..) => "lazy",
        (_, _, Route::Replica) => "replica",
        (_, _, Route::Primary) => "primary",
    }
}

fn place(conversation: &Conversation, leg: &Leg) -> Option<Place> {
    let topology = conversation.shared.cluster.topology();
    let server = topology.server(leg.lease.server())?;
    let (host, port) = (server.address.host.clone(), server.address.port);
    Some(Place { name: server.name.clone(), host, port })
}
