//! A statement of a transaction on a replica waits there for the replica to be fresh enough: the transaction cannot move.
//!
//! What waits for a connection is not here.

use std::time::Instant;

use tokio::time::sleep_until;

use crate::error::Result;
use crate::session::client::Client;
use crate::session::connections::wait::Waiting;
use crate::session::consistency::requirement::Requirement;
use crate::session::conversation::Conversation;
use crate::session::flow::plan::Freshness;
use crate::session::flow::spans;
use crate::session::leg::Leg;

/// Waits until the leg's replica is as fresh as this asks, but no longer than `freshness_wait`, or while there is no primary
/// to which the transaction could move, no longer than for one. Says whether it is. Cancel safe.
///
/// # Errors
/// [`Error::Canceled`](crate::error::Error::Canceled); the client has gone, or weir waits for it no longer.
pub(super) async fn await_freshness(
    client: &mut Client,
    conversation: &mut Conversation,
    leg: &Leg,
    requirement: &Requirement,
) -> Result<Freshness> {
    let clock = conversation.clock();
    let samplers = conversation.shared.cluster.demand().clone();
    let wait = conversation.policy.config.routing.freshness_wait;
    let begun = Instant::now();
    let deadline = begun + wait;
    let _wanted = samplers.want(requirement.through(&clock));
    let mut changes = conversation.shared.cluster.changes();
    let fresh = async {
        loop {
            let mut news = std::pin::pin!(samplers.news());
            news.as_mut().enable();
            changes.mark_unchanged();
            // Before it looks: what will do once nobody waits any more is to be found by a look after that.
            let (now, until) = (Instant::now(), clock.waits_for_replica(deadline));
            if requirement.is_met((leg.lease.server(), leg.lease.opened), &clock) {
                return Freshness::Enough;
            }
            if clock.is_hopeless(wait) || now >= until {
                return Freshness::Short;
            }
            tokio::select! {
                () = news => {}
                // The primary may be gone, or back.
                _ = changes.changed() => {}
                () = sleep_until(until.into()) => {}
            }
        }
    };
    let outcome =
        Waiting { shared: &conversation.shared, entry: &conversation.entry, client }.hold(fresh).await;
    if let Some(open) = spans::open(conversation) {
        open.waited_for_freshness(begun.elapsed());
    }
    outcome
}
