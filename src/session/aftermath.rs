//! What becomes of a write whose client has gone: the server runs what it was sent to the end, and may commit long
//! after.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Instant;

use super::dirt::Dirt;
use super::replies::Flow;
use super::state::Database;
use super::{Link, Phase, Session, Shared};
use crate::pool::Lease;
use crate::router::Route;

/// Unread bytes that are taken at once, to be thrown away.
const CHUNK: usize = 64 << 10;

/// What was sent and not answered when the client went.
struct Aftermath {
    shared: Arc<Shared>,
    database: Arc<Database>,
    /// The database on the servers.
    name: Arc<str>,
    dirt: Dirt,
}

impl Session {
    /// The session is over for everybody else. What it has sent to the primary is marked now and, as it may not have
    /// been committed yet, once more when it must have been.
    pub fn leave(&mut self) {
        self.shared.registry.leave(&self.entry);
        if self.state.dirt.is_clean() {
            return;
        }
        let dirt = self.state.dirt.clone();
        self.mark_unanswered();
        let runs = |leg: &super::Leg| {
            leg.route == Route::Primary && leg.link == Link::Up && !leg.replies.ledger.is_empty()
        };
        let Some(leg) = self.leg.take_if(|leg| runs(leg)) else { return };
        if leg.replies.is_within_frame() {
            self.phase = Phase::Torn;
        }
        if leg.replies.flow == Flow::CopyIn {
            // The server takes the end of the connection for the failure of the copy.
            return;
        }
        let aftermath = Aftermath {
            shared: self.shared.clone(),
            database: self.state.database().clone(),
            name: self.who.server_database.clone(),
            dirt,
        };
        tokio::spawn(aftermath.outlast(leg.lease));
    }
}

impl Aftermath {
    /// Lets the server know that nothing more will come, and waits until it has closed the connection. Until then it
    /// counts as open, which it is.
    async fn outlast(self, mut lease: Lease) {
        // However it ended, nothing can be committed any more.
        let _ = poll_fn(|cx| {
            ready!(lease.poll_shutdown(cx))?;
            loop {
                lease.inbox.clear();
                if ready!(lease.poll_fill(cx, CHUNK))? == 0 {
                    return Poll::Ready(Ok::<_, std::io::Error>(()));
                }
            }
        })
        .await;
        self.shared.mark(&self.database.marks, &self.name, &self.dirt, Instant::now());
        if self.dirt.may_define() {
            self.shared.cluster.catalogs().doubt(&self.name);
        }
    }
}
