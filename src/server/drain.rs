//! The end of a run: what is under way comes to its end, and what does not is closed.

use std::time::Duration;

use tokio::time::timeout;

use super::accept::Door;

/// How long a client that is closed because weir waits no longer may take to hear of it.
const FAREWELL: Duration = Duration::from_secs(1);

/// Lets running work come to its end, and closes what has none. Clients go on being accepted, to be told why they are
/// refused, and because cancel requests come that way.
pub(super) async fn drain(door: &Door, at_once: impl Future<Output = ()>) {
    let shared = &door.shared;
    let clients = &shared.config.clients;
    tracing::info!(clients = shared.registry.len(), "draining");
    shared.begin_drain();
    let all = u32::try_from(clients.limit).unwrap_or(u32::MAX);
    // A client has its permit until it has heard why it is closed.
    let gone = door.permits.acquire_many(all);
    tokio::pin!(gone);
    let finished = tokio::select! {
        _ = &mut gone => true,
        () = tokio::time::sleep(clients.drain_timeout) => false,
        () = at_once => false,
    };
    if !finished {
        tracing::warn!(clients = shared.registry.len(), "drain ended: closing what is left");
        shared.end();
        // Whoever does not listen is closed with the process.
        let _ = timeout(FAREWELL, gone).await;
    }
}
