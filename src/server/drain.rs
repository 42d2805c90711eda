//! The end of a run: what is under way comes to its end, and what does not is closed.

use std::time::Duration;

use tokio::time::timeout;

use crate::session::Shared;

/// How long a client that is closed because weir waits no longer may take to hear of it.
pub(super) const FAREWELL: Duration = Duration::from_secs(1);

/// Lets running work come to its end, and what sessions have left to be rolled back or committed; closes what has no end.
/// Clients go on being accepted, to be told why they are refused, and because cancel requests come that way.
pub(super) async fn drain(shared: &Shared, at_once: impl Future<Output = ()>) {
    tracing::info!(clients = shared.registry.len(), "draining");
    shared.begin_drain();
    // A client's task ends when it has heard why it is closed.
    let finished = tokio::select! {
        () = shared.finished() => true,
        () = tokio::time::sleep(shared.policy().config.clients.drain_timeout) => false,
        () = at_once => false,
    };
    if !finished {
        let (clients, tasks) = (shared.registry.len(), shared.under_way());
        tracing::warn!(clients, tasks, "drain ended: closing what is left");
        shared.end();
        // Whoever does not listen is closed with the process.
        let _ = timeout(FAREWELL, shared.finished()).await;
    }
}
