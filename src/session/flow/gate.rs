//! Waiting at the gate: while its database is paused, no transaction of a session begins.
//!
//! What runs is let run to its end. A transaction that has only read, and has no connection, waits where it is: nothing on
//! any server depends on it.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use crate::backend::ledger::Batch;
use crate::error::{Error, Result};
use crate::session::connections::wait::Waiting;
use crate::session::conversation::{Conversation, accounts};
use crate::session::flow::session::Session;
use crate::session::leg::Leg;
use crate::session::relay::request::Request;
use crate::session::shared::gate::Names;
use crate::wire::TxStatus;

/// Whether nothing of the session's is open on this connection.
fn is_between(leg: &Leg) -> bool {
    !leg.owes() && leg.responses.tx == TxStatus::Idle && leg.batch() == Batch::Closed
}

/// By which names the session's database is known.
pub(crate) fn names(conversation: &Conversation) -> Names {
    let who = &conversation.who;
    Names { client: who.database.clone(), server: who.server_database.clone() }
}

/// Whether a transaction of this session's may not begin now.
fn is_shut(conversation: &Conversation) -> bool {
    conversation.shared.board.gate.is_shut(|| Some(names(conversation)))
}

/// A request is about to be looked at. Says so where operators see it before it looks at the gate itself, and waits there if
/// its transaction has not begun. Breaks when the client has cancelled, and was told.
///
/// # Errors
/// When the session ends.
pub(super) async fn heed_gate(session: &mut Session, request: &Request) -> Result<ControlFlow<()>> {
    if session.legs.active().is_some_and(is_between) {
        session.conversation.entry.begins();
    }
    if !is_shut(&session.conversation) {
        return Ok(ControlFlow::Continue(()));
    }
    // On the heap: few wait, but every client's task would have room for it.
    Box::pin(wait_at_gate(session, request)).await
}

/// Breaks when the client has cancelled, and was told.
async fn wait_at_gate(session: &mut Session, request: &Request) -> Result<ControlFlow<()>> {
    match wait(session).await {
        Ok(()) => Ok(ControlFlow::Continue(())),
        Err(error @ Error::Canceled) => {
            session.refuse(request, &error);
            Ok(ControlFlow::Break(()))
        }
        Err(error) => Err(error),
    }
}

async fn wait(session: &mut Session) -> Result<()> {
    // What is in flight may end its transaction, and the request begin another.
    session.answered_while(|leg| leg.batch() == Batch::Closed).await?;
    if session.legs.active().is_some_and(|leg| !is_between(leg) || !leg.is_up()) {
        return Ok(());
    }
    let shared = session.conversation.shared.clone();
    let Session { client, conversation, legs, .. } = session;
    let entry = Arc::clone(&conversation.entry);
    let names = names(conversation);
    let waiting = Waiting { shared: &shared, entry: &entry, client };
    let outcome = waiting
        .queue(async {
            shared.board.gate.opens(&names).await;
            Ok(())
        })
        .await;
    if let Some(leg) = legs.active() {
        // What it keeps it still has.
        entry.runs_on(leg.lease.key.clone());
    }
    outcome
}

/// A connection was lent, after so long. Should the gate have been shut meanwhile it goes back unused, and the session waits.
/// Breaks likewise.
///
/// # Errors
/// When the session ends.
pub(super) async fn passes_gate(
    session: &mut Session,
    request: &Request,
    waited: Duration,
) -> Result<ControlFlow<()>> {
    if !is_shut(&session.conversation) || session.legs.is_parked() {
        accounts::assignment(&session.conversation, waited);
        return Ok(ControlFlow::Continue(()));
    }
    // On the heap: hardly anybody comes here.
    Box::pin(async {
        session.give_back().await;
        wait_at_gate(session, request).await
    })
    .await
}
