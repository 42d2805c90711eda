//! Where a request is to go, by what its session knows at this moment.

use std::time::Instant;

use crate::router::{Decision, Reason, Replicas, Route, Transaction, World, route_all};
use crate::session::conversation::Conversation;
use crate::session::flow::plan::{confine, seen_in_part};
use crate::session::leg::Leg;
use crate::session::relay::facts::Fact;
use crate::session::relay::message::Message;
use crate::session::relay::request::Request;
use crate::wire::TxStatus;

/// Where a request is to go that stands at the front of `bytes`, if this is the session's connection.
pub(crate) fn decide(
    conversation: &mut Conversation,
    bytes: &[u8],
    leg: Option<&Leg>,
    request: &Request,
    now: Instant,
) -> Decision {
    if let Some(rerun) = &conversation.rerun {
        let reason = if rerun.cause.is_some() { Reason::Rerun } else { Reason::ReplicaLost };
        return Decision { route: Route::Primary, reason };
    }
    conversation.refresh_routing();
    let route = leg.map_or(Route::Primary, |leg| leg.route);
    let transaction = match conversation.state.transaction.status() {
        TxStatus::Idle => Transaction::None,
        TxStatus::Open => Transaction::Open(route),
        TxStatus::Failed => Transaction::Failed(route),
    };
    let decision = by_router(conversation, bytes, transaction, request, now);
    if transaction != Transaction::None {
        return decision;
    }
    let begun = leg.filter(|leg| leg.has_begun()).map(|leg| leg.route);
    let confined = confine(decision, begun);
    if confined.route == decision.route && !request.is_self_contained() {
        return seen_in_part(decision);
    }
    confined
}

fn by_router(
    conversation: &Conversation,
    bytes: &[u8],
    transaction: Transaction,
    request: &Request,
    now: Instant,
) -> Decision {
    let shared = &conversation.shared;
    let topology = shared.cluster.topology();
    let replicas = if topology.replicas().next().is_some() { Replicas::Usable } else { Replicas::None };
    let catalogs = shared.cluster.catalogs();
    let some_matter = || catalogs.know_confined() || catalogs.know_traces();
    let needs_catalog = request.any(Fact::Calls) || (request.any(Fact::Reads) && some_matter());
    let catalog = if needs_catalog { conversation.catalog() } else { None };
    let world = World {
        replicas,
        catalog: catalog.as_deref(),
        learned: &conversation.state.database().learned,
        rules: &conversation.policy.config.routing.rules,
        functions: &conversation.policy.functions,
        now,
    };
    let text = |one: &Message| match world.rules {
        // Only rules look at texts, and finding that of a name takes a while.
        [] => Default::default(),
        _ => one.text(bytes, &conversation.state.names).unwrap_or_default(),
    };
    let statements = request.messages.iter().filter_map(|one| Some((one.verdict.as_deref()?, text(one))));
    let decision = route_all(statements, &conversation.view(transaction), &world);
    if decision.reason == Reason::UnknownFunction {
        catalogs.missed(&conversation.who.server_database, now);
    }
    decision
}
