//! From one connection of a transaction to another: the replica's is given up or put aside, the one that was put aside
//! comes to the front, and what is needed no longer is made fit for others.

use std::time::Instant;

use crate::backend::ledger::Batch;
use crate::router::Route;
use crate::session::client::Client;
use crate::session::consistency::pending_writes::PendingWrites;
use crate::session::conversation::Conversation;
use crate::session::leg::Leg;
use crate::session::leg::cleanup::Cleanup;
use crate::session::leg::legs::Legs;
use crate::session::leg::reset::Leftover;
use crate::session::transaction::Event;
use crate::session::transaction::journal::Ran;
use crate::wire::TxStatus;

/// The transaction leaves its replica, whose connection owes nothing: what has been said there is in the journal. Where a
/// cursor or a portal is open there, it waits for whoever asks for more of it.
pub(super) async fn upgrade(client: &mut Client, conversation: &mut Conversation, legs: &mut Legs) {
    let Some(mut leg) = legs.take() else { return };
    client.buffer.settle(&mut leg.lease.read_buffer);
    let settled = conversation.entry.leaves() || conversation.entry.settled().await;
    let transaction = &mut conversation.state.transaction;
    let open = transaction.journal().is_some_and(|journal| journal.has_portal(None));
    transaction.on(Event::Withdrawn);
    if settled && open && leg.responses.tx == TxStatus::Open {
        legs.park(leg);
    } else if settled {
        let_go(conversation, leg);
    }
}

/// Requests go to the connection that was put aside, and this one, which owes nothing, waits in its place.
pub(super) async fn swap(client: &mut Client, conversation: &mut Conversation, legs: &mut Legs) {
    let settled = conversation.entry.leaves() || conversation.entry.settled().await;
    if exchange(client, conversation, legs) && !settled {
        // A cancel request may hit it yet.
        legs.take_parked();
        close_all(conversation);
    }
}

/// The transaction gets no other connection: it stays on the one that was put aside for what is open there. Whether there is
/// one.
pub(super) fn return_aside(client: &mut Client, conversation: &mut Conversation, legs: &mut Legs) -> bool {
    let waits = legs.is_parked() && legs.active().is_none() && conversation.state.transaction.is_promised();
    if !waits || !exchange(client, conversation, legs) {
        return false;
    }
    let default = conversation.routing.isolation();
    conversation.state.transaction.on(Event::Begins(Ran::Replica, default));
    true
}

/// Has requests go to the other connection. Whether they do.
fn exchange(client: &mut Client, conversation: &mut Conversation, legs: &mut Legs) -> bool {
    let failed = legs.active().is_some_and(|leg| leg.responses.tx == TxStatus::Failed);
    if !legs.swap(&mut client.buffer) {
        return false;
    }
    let Some(leg) = legs.active_mut() else { return true };
    conversation.entry.runs_on(leg.lease.key.clone());
    leg.look(&conversation.shared.cluster.topology(), Instant::now());
    if failed && leg.responses.tx == TxStatus::Open {
        // What was open on the other is gone with its transaction, which has failed for its client.
        leg.sender(&mut conversation.state, &conversation.shared.metrics, None).fail_block();
        close_all(conversation);
        legs.take_parked().into_iter().for_each(|leg| let_go(conversation, leg));
    }
    true
}

fn close_all(conversation: &mut Conversation) {
    conversation.state.transaction.journal_mut().into_iter().for_each(|journal| journal.closes(None));
}

/// Where nothing is open any more on a replica's connection beside the primary's, it is let go.
pub(super) fn release_parked(client: &mut Client, conversation: &mut Conversation, legs: &mut Legs) {
    let transaction = &conversation.state.transaction;
    if !legs.is_parked() || transaction.journal().is_some_and(|journal| journal.has_portal(None)) {
        return;
    }
    let aside = |leg: &Leg| leg.route == Route::Replica && !leg.owes() && leg.batch() == Batch::Closed;
    match legs.active() {
        Some(leg) if leg.route == Route::Replica && !aside(leg) => return,
        Some(leg) if aside(leg) => _ = exchange(client, conversation, legs),
        _ => {}
    }
    if let Some(mut leg) = legs.take_parked() {
        client.buffer.settle(&mut leg.lease.read_buffer);
        let_go(conversation, leg);
    }
}

/// A connection on which the client's transaction has only read is made fit for others. It owes nothing.
pub(super) fn let_go(conversation: &Conversation, leg: Box<Leg>) {
    let cleanup = Cleanup {
        shared: conversation.shared.clone(),
        entry: None,
        state: Box::new(conversation.state.successor()),
        leg,
        name: conversation.who.server_database.clone(),
        pending_writes: PendingWrites::default(),
        leftover: Leftover::Known,
    };
    conversation.shared.spawn(cleanup.run());
}
