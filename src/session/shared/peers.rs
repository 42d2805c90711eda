//! Cancel requests whose key another copy of weir has given: they are passed on to it, and their clients wait until they have
//! arrived.
//!
//! Whoever can connect can ask for that, as for any cancel: so few are on their way at once, and none for long.

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::backend;
use crate::config;
use crate::pool::Pools;
use crate::session::shared::copies::{copy_of, passed_on};
use crate::session::shared::registry::CANCEL_TIMEOUT;
use crate::wire::startup::CancelKey;

/// Requests on their way to other copies at once. More of them wait for their turn.
const AT_ONCE: usize = 64;

/// The way to the other copies.
pub(super) struct Peers {
    turns: Semaphore,
}

impl Default for Peers {
    fn default() -> Self {
        Self { turns: Semaphore::new(AT_ONCE) }
    }
}

impl Peers {
    /// Passes a request on, and waits until it has arrived. False when there is no such copy, or it cannot be reached.
    pub(super) async fn pass_on(&self, key: &CancelKey, peers: &config::Peers, pools: &Pools) -> bool {
        let Some(peer) = peers.other(copy_of(key.pid())) else { return false };
        let Some(marked) = passed_on(key) else { return false };
        let deadline = Instant::now() + CANCEL_TIMEOUT;
        let Ok(Ok(_turn)) = timeout_at(deadline, self.turns.acquire()).await else { return false };
        let (target, keepalive) = (peer.target(), pools.keepalive());
        let passed = backend::cancel(&target, target.first(), &marked, &keepalive, deadline).await;
        if let Err(error) = &passed {
            tracing::warn!(peer = peer.id, %error, "cancel request not passed on");
        }
        passed.is_ok()
    }
}
