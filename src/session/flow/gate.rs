//! Waiting at the gate: while its database is paused, no transaction of a session begins.
//!
//! What runs is let run to its end. A transaction that has only read, and has no connection, waits where it is: nothing on
//! any server depends on it.

use std::sync::Arc;

use crate::backend::ledger::Batch;
use crate::error::{Bar, Error, Result};
use crate::session::connections::wait::Waiting;
use crate::session::conversation::Conversation;
use crate::session::flow::session::Session;
use crate::session::leg::Leg;
use crate::session::shared::Shared;
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
pub(super) fn is_shut(conversation: &Conversation) -> bool {
    conversation.shared.board.gate.is_shut(|| Some(names(conversation)))
}

/// Lets nobody in where it is shut before the client's login counts, and tells those whose database takes nobody.
///
/// # Errors
/// [`Error::MayNotEnter`].
/// Cancel safe.
pub(super) async fn enters(shared: &Shared, names: &Names) -> Result<()> {
    if shared.board.gate.is_disabled(names) {
        return Err(Error::MayNotEnter(Bar::Closed, names.client.to_string()));
    }
    shared.board.gate.opens(names).await;
    Ok(())
}

impl Session {
    /// A request is about to be looked at. Says so where operators see it before it looks at the gate itself, and waits
    /// there if its transaction has not begun.
    ///
    /// # Errors
    /// The client cancelled, or the session ends.
    pub(super) async fn heed_gate(&mut self) -> Result<()> {
        if self.legs.active().is_some_and(is_between) {
            self.conversation.entry.begins();
        }
        if !is_shut(&self.conversation) {
            return Ok(());
        }
        // On the heap: few wait, but every client's task would have room for it.
        Box::pin(self.wait_at_gate()).await
    }

    async fn wait_at_gate(&mut self) -> Result<()> {
        // What is in flight may end its transaction, and the request begin another.
        self.answered_while(|leg| leg.batch() == Batch::Closed).await?;
        if self.legs.active().is_some_and(|leg| !is_between(leg) || !leg.is_up()) {
            return Ok(());
        }
        let shared = self.conversation.shared.clone();
        let Self { client, conversation, legs, .. } = self;
        let entry = Arc::clone(&conversation.entry);
        let names = names(conversation);
        let waiting = Waiting { shared: &shared, entry: &entry, client };
        let outcome = waiting.queue(async { Ok(shared.board.gate.opens(&names).await) }).await;
        if let Some(leg) = legs.active() {
            // What it keeps it still has.
            entry.runs_on(leg.lease.key.clone());
        }
        outcome
    }

    /// A connection was lent while the gate was being shut: it goes back unused, and the session waits.
    ///
    /// # Errors
    /// The client cancelled, or the session ends.
    pub(super) async fn return_to_gate(&mut self) -> Result<()> {
        self.give_back().await;
        self.wait_at_gate().await
    }
}
