//! The writing of a request to its connection, and what is to be remembered of it from then on.

use std::time::Instant;

use bytes::Buf;

use crate::session::client::{Client, Phase};
use crate::session::conversation::Conversation;
use crate::session::leg::Leg;
use crate::session::leg::connection::Sending;
use crate::session::leg::hold_back::{Hold, Joins, hold};
use crate::session::leg::progress::Sent;
use crate::session::relay::facts::Fact;
use crate::session::relay::framer::Unit;
use crate::session::relay::kept::Keeps;
use crate::session::relay::request::Request;
use crate::sql::Dependency;
use crate::telemetry::metrics::observe;
use crate::wire::TxStatus;
use crate::wire::tag::client as tag;

/// Takes the request's bytes and writes them, as the server needs them, to the connection's write buffer.
pub(crate) fn write(
    (client, conversation, leg): (&mut Client, &mut Conversation, &mut Leg),
    request: &Request,
    begun: Instant,
) {
    conversation.tracks(request, leg);
    makes_way(conversation, leg, request);
    let len = request.len.min(client.read_buffer.len());
    if let Unit::Long { tag: tag::QUERY, .. } = request.unit
        && let Some(text) = client.begin_long(len, request.len - len, conversation.routing.strings)
    {
        conversation.has_read_long(&text);
    }
    let now = Instant::now();
    observe(&conversation.shared.metrics.added_seconds, now.saturating_duration_since(begun));
    let idle = !leg.owes();
    leg.begin_flight(now);
    let bytes = &client.read_buffer[..len];
    let plan = Hold {
        joins: match (idle, &conversation.rerun) {
            (false, _) => Joins::Flight,
            (true, None) => Joins::Nothing,
            (true, Some(_)) => Joins::Rerun,
        },
        expected: conversation.state.transaction.status(),
        limit: conversation.policy.config.routing.hold_back,
    };
    hold(leg, &mut client.buffer, &mut conversation.state, request, bytes, &plan);
    // While something is in flight the status is known only where nothing in it can fail a transaction.
    let tx = match (idle, conversation.state.transaction.status()) {
        (true, _) => Some(leg.responses.tx),
        (false, TxStatus::Idle) => Some(TxStatus::Idle),
        (false, _) => None,
    };
    let sending = Sending { tx, keeps: Keeps::Nothing };
    leg.send(request, bytes, &mut conversation.state, &conversation.shared.metrics, sending);
    client.read_buffer.advance(len);
    if request.len > len {
        client.phase = Phase::Streaming(request.len - len);
    }
    conversation.foretell(request);
    conversation.went(request, len, now);
}

/// Takes note of what a request does to server processes: a database is to be left by all others, or one is to end.
fn makes_way(conversation: &Conversation, leg: &mut Leg, request: &Request) {
    if !request.any(Fact::MakesWay) {
        return;
    }
    for statement in request.statements() {
        if let Some(database) = &statement.vacates {
            // The server gives them a few seconds to be gone.
            conversation.shared.pools.vacate(database);
        }
        if let Dependency::Termination = &statement.depends_on {
            leg.progress.sent.add(Sent::Termination);
        }
    }
}
