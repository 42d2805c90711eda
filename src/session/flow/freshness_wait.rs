//! A statement of a transaction on a replica waits there for the replica to be fresh enough: the transaction cannot move.
//!
//! What waits for a connection is not here.

use tokio::time::timeout_at;

use crate::error::Result;
use crate::session::client::Client;
use crate::session::connections::wait::Waiting;
use crate::session::consistency::requirement::Requirement;
use crate::session::conversation::Conversation;
use crate::session::flow::plan::Freshness;
use crate::session::leg::Leg;

/// Waits until the leg's replica is as fresh as this asks, but no longer than `freshness_wait`. Says whether it is. Cancel safe.
///
/// # Errors
/// [`Error::Canceled`](crate::error::Error::Canceled); the client has gone, or weir waits for it no longer.
pub(super) async fn await_freshness(
    client: &mut Client,
    conversation: &Conversation,
    leg: &Leg,
    requirement: &Requirement,
) -> Result<Freshness> {
    let clock = conversation.clock();
    let samplers = conversation.shared.cluster.demand().clone();
    let wait = conversation.policy.config.routing.freshness_wait;
    let deadline = tokio::time::Instant::now() + wait;
    let _wanted = samplers.want(requirement.through(&clock));
    let fresh = async {
        loop {
            let mut news = std::pin::pin!(samplers.news());
            news.as_mut().enable();
            if requirement.is_met((leg.lease.server(), leg.lease.opened), &clock) {
                return Freshness::Enough;
            }
            if clock.is_hopeless(wait) || timeout_at(deadline, news).await.is_err() {
                return Freshness::Short;
            }
        }
    };
    Waiting { shared: &conversation.shared, entry: &conversation.entry, client }.hold(fresh).await
}
