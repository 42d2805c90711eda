//! The values by which the next step is decided, taken from a session at one moment.

use crate::backend::ledger::Batch;
use crate::router::Route;
use crate::session::client::Client;
use crate::session::consistency::requirement::Requirement;
use crate::session::conversation::Conversation;
use crate::session::flow::plan::{
    Condition, Freshness, LegFacts, Manner, Owed, RequestFact, Settings, Situation,
};
use crate::session::flow::verification::waits;
use crate::session::leg::Leg;
use crate::session::leg::state::LegState;
use crate::session::relay::facts::{Fact, begins};
use crate::session::relay::framer::Unit;
use crate::session::relay::request::Request;
use crate::session::transaction::Snapshots;
use crate::wire::TxStatus;

/// How things stand between a request that is to go this way, and needs this of a replica, and the session's connection.
pub(crate) fn situation(
    conversation: &Conversation,
    client: &Client,
    leg: &Leg,
    request: &Request,
    (route, manner, requirement): (Route, Manner, &Requirement),
) -> Situation {
    let bytes = &client.read_buffer[..];
    let names = &conversation.state.names;
    let moving = names.are_moving() && request.names_any(bytes, |name| names.is_moving(name));
    let unverified = waits((conversation, client, leg), request, manner);
    Situation {
        route,
        manner,
        expected: conversation.state.transaction.status_on_server(),
        leg: LegFacts {
            route: leg.route,
            condition: condition(leg),
            owed: owed(leg),
            batch: leg.batch(),
            tx: leg.responses.tx,
            flow: leg.responses.flow,
            freshness: freshness(conversation, leg, request, (manner, requirement)),
            settings: settings(conversation, leg),
        },
        request: [
            (RequestFact::Single, matches!(request.unit, Unit::Single { .. })),
            (RequestFact::Acts, request.any(Fact::Acts)),
            (RequestFact::NamesMove, moving),
            (RequestFact::Unverified, unverified),
            (RequestFact::TooMuchToKeep, is_too_much(conversation, client, request)),
            (RequestFact::Limited, conversation.who.user.timeouts.query.is_some()),
        ]
        .into(),
    }
}

fn condition(leg: &Leg) -> Condition {
    match &leg.progress.state {
        LegState::Rerunning(_) => Condition::Rerunning,
        state if state.is_up() => Condition::Working,
        _ => Condition::Lost,
    }
}

fn owed(leg: &Leg) -> Owed {
    if leg.responses.ledger.is_discarding() {
        Owed::Discarding
    } else if !leg.progress.unconfirmed.is_none() {
        Owed::Settings
    } else if leg.owes() {
        Owed::Answers
    } else {
        Owed::Nothing
    }
}

fn freshness(
    conversation: &Conversation,
    leg: &Leg,
    request: &Request,
    (manner, requirement): (Manner, &Requirement),
) -> Freshness {
    if leg.route == Route::Primary
        || requirement.is_met((leg.lease.server(), leg.lease.opened), &conversation.clock())
    {
        return Freshness::Enough;
    }
    let transaction = &conversation.state.transaction;
    let between = leg.responses.tx == TxStatus::Open && leg.batch() == Batch::Closed && !leg.owes();
    match transaction.snapshots(conversation.routing.isolation()) {
        Snapshots::OneTaken if !request.statements().any(begins) => Freshness::Fixed,
        _ if manner == Manner::Within && between && transaction.is_renewable() => Freshness::Elsewhere,
        _ => Freshness::Short,
    }
}

fn is_too_much(conversation: &Conversation, client: &Client, request: &Request) -> bool {
    let kept = conversation.state.replay_buffer.bytes.len() + request.len;
    client.buffer.is_holding() && kept > conversation.policy.config.routing.hold_back
}

fn settings(conversation: &Conversation, leg: &Leg) -> Settings {
    let (carried, wanted) = (leg.progress.carried.now(), conversation.state.wanted_at_first());
    if *carried == *wanted {
        Settings::Same
    } else if carried.acts_as(&wanted) {
        Settings::Rights
    } else if carried.differs_in_name_only(&wanted) {
        Settings::Name
    } else {
        Settings::Values
    }
}
