//! Whether what a request binds must be compared first with what its client was told of it. Definitions may have been
//! changed past weir, and then a connection that prepares the statement anew would return rows of another shape.
//!
//! Nothing here waits for the answer: the session does, or the sender in front of a request that can run again asks.

use crate::backend::ledger::Batch;
use crate::backend::prepared::Standing;
use crate::router::Route;
use crate::session::client::Client;
use crate::session::conversation::Conversation;
use crate::session::flow::plan::Manner;
use crate::session::flow::rerun::joins;
use crate::session::leg::Leg;
use crate::session::leg::hold_back::{Hold, Joins};
use crate::session::leg::legs::Legs;
use crate::session::leg::sender::Comparing;
use crate::session::model::statements::Naming;
use crate::session::relay::message::Field;
use crate::session::relay::request::Request;
use crate::wire::TxStatus;

/// The statements that a request binds, prepared before it, of which it is not known that they are on this connection what
/// their client was told. One that asks for a portal's columns is about to be told, and takes whatever they are.
fn unverified<'a>(
    conversation: &'a Conversation,
    bytes: &'a [u8],
    leg: &'a Leg,
    request: &'a Request,
) -> impl Iterator<Item = Field> + 'a {
    let told_anew = request.describes_portal();
    request
        .bound_earlier()
        .filter(move |name| !told_anew && is_unverified(standing(conversation, leg, name.of(bytes))))
}

/// Whether a request must wait for the comparison. What can run again needs not: it is compared in front of it, in the
/// same write.
pub(crate) fn waits(
    (conversation, client, leg): (&Conversation, &Client, &Leg),
    request: &Request,
    manner: Manner,
) -> bool {
    let bytes = &client.read_buffer[..];
    let mut names = unverified(conversation, bytes, leg, request).peekable();
    names.peek().is_some()
        && !(names.all(|name| is_new(standing(conversation, leg, name.of(bytes))))
            && runs_again((conversation, client, leg), request, manner))
}

/// Whether a request is kept until its answer is complete, on a connection on which nothing else is under way.
fn runs_again(
    (conversation, client, leg): (&Conversation, &Client, &Leg),
    request: &Request,
    manner: Manner,
) -> bool {
    let limit = conversation.policy.config.routing.hold_back;
    let alone = !leg.owes() && leg.batch() == Batch::Closed && leg.responses.tx == TxStatus::Idle;
    let fits = request.len <= limit && request.len <= client.read_buffer.len() && request.ends() == 1;
    alone
        && fits
        && matches!(manner, Manner::AsItComes | Manner::Alone)
        // What is kept of the primary's answers depends on what the request is found to do when it is tracked.
        && leg.route == Route::Replica
        && joins(conversation, leg, request, manner) == Joins::Nothing
}

/// What is done about what a request binds when it is written.
pub(crate) fn comparing(client: &Client, plan: &Hold) -> Comparing {
    match plan.joins {
        _ if plan.described => Comparing::Needless,
        Joins::Flight => Comparing::Done,
        _ if client.buffer.is_holding() => Comparing::InFront,
        _ => Comparing::Done,
    }
}

/// How a statement of the client's stands there; `None` where that does not matter.
fn standing(conversation: &Conversation, leg: &Leg, name: &[u8]) -> Option<Standing> {
    let state = &conversation.state;
    if name.is_empty() {
        let unnamed = state.names.unnamed.as_ref().filter(|unnamed| unnamed.told.is_some())?;
        let missing = leg.lease.unnamed != Some(unnamed.serial) && unnamed.standing == Standing::Serves;
        return missing.then_some(Standing::Missing);
    }
    let handle = state.names.get(name)?;
    handle.told?;
    if handle.naming == Naming::Clients {
        return None;
    }
    match leg.lease.prepared.standing(handle.preparation(), handle.told) {
        // What was found in a transaction may have been undone with it.
        Standing::Differs if handle.epoch == handle.statement.epoch(state.database().ddl()) => None,
        Standing::TakesOthers if handle.types.is_none() => None,
        standing => Some(standing),
    }
}

fn is_unverified(standing: Option<Standing>) -> bool {
    !matches!(standing, None | Some(Standing::Serves))
}

/// Whether it is only to be asked for.
fn is_new(standing: Option<Standing>) -> bool {
    matches!(standing, Some(Standing::Missing | Standing::Unasked))
}

/// Asks the server what the statements give now that the request binds and whose results may have changed.
pub(super) fn verify(client: &Client, conversation: &mut Conversation, legs: &mut Legs, request: &Request) {
    let Some(leg) = legs.active_mut() else { return };
    let bytes = &client.read_buffer[..];
    let names: Vec<_> = unverified(conversation, bytes, leg, request).collect();
    let (batch, tx) = (leg.batch(), leg.responses.tx);
    let mut sender = leg.sender(&mut conversation.state, &conversation.shared.metrics, Some(tx));
    if batch == Batch::Closed && tx != TxStatus::Failed {
        // Names are looked up by them.
        sender.settings();
    }
    // A batch is open now: the client's own Sync will end it.
    sender.verify(names.iter().map(|name| name.of(bytes)));
}
