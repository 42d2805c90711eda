//! What is written down of a session's requests for operators: how many, how long, and of which shape.
//!
//! A few additions for each request, next to what is measured anyway.

use std::time::{Duration, Instant};

use crate::session::conversation::Conversation;
use crate::session::leg::Leg;
use crate::session::shared::shapes::{Flight, stands_for};
use crate::session::shared::visitors::{add, add_time};

/// All that was in flight has been answered after so long.
pub(crate) fn flight(
    conversation: &mut Conversation,
    leg: &Leg,
    took: Duration,
    traffic: &mut (usize, usize),
) {
    let Some(visitor) = conversation.entry.visitor() else { return };
    let tally = &visitor.tally;
    add_time(&tally.query_time, took);
    bytes(conversation, traffic);
    let trail = &mut conversation.trail;
    trail.nth = trail.nth.wrapping_add(1);
    let Some(stands_for) = stands_for(trail.nth, took) else { return };
    let (Some(skeleton), Some(reason)) = (trail.skeleton, trail.reason) else { return };
    let flight = Flight { skeleton, visitor, route: leg.route, reason, reads: trail.reads, took };
    conversation.shared.board.shapes.count(&flight, stands_for, || conversation.trail.shape());
}

/// The client has sent and was sent so many bytes.
pub(crate) fn bytes(conversation: &Conversation, traffic: &mut (usize, usize)) {
    let Some(visitor) = conversation.entry.visitor() else { return };
    let (received, sent) = std::mem::take(traffic);
    add(&visitor.tally.received, received as u64);
    add(&visitor.tally.sent, sent as u64);
}

/// A request goes its way, or is answered.
pub(crate) fn request(conversation: &Conversation) {
    conversation.entry.visitor().into_iter().for_each(|visitor| add(&visitor.tally.queries, 1));
}

/// A connection was lent, after so long.
pub(crate) fn assignment(conversation: &Conversation, waited: Duration) {
    let Some(visitor) = conversation.entry.visitor() else { return };
    add(&visitor.tally.assignments, 1);
    if waited > Duration::ZERO {
        add_time(&visitor.tally.wait_time, waited);
    }
}

/// A transaction is over, unless one is open.
pub(crate) fn transaction(conversation: &Conversation) {
    if !conversation.state.transaction.is_over() {
        return;
    }
    conversation.entry.visitor().into_iter().for_each(|visitor| add(&visitor.tally.transactions, 1));
}

/// Nothing is open on a connection that was lent, for as long as it was.
pub(crate) fn settled(conversation: &Conversation, leg: &mut Leg, now: Instant) {
    let held = now.saturating_duration_since(std::mem::replace(&mut leg.taken, now));
    let Some(visitor) = conversation.entry.visitor() else { return };
    add_time(&visitor.tally.transaction_time, held);
}
