//! What becomes of a session's connections when it is over. The server runs what it was sent to the end, as it would
//! for a client of its own; then a transaction is rolled back and state is discarded, and only then does anybody else
//! get the connection. None of that is on a client's time. What cannot be brought to a known end is closed.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::time::timeout;

use crate::backend::exec;
use crate::backend::ledger::Batch;
use crate::error::{Error, Result};
use crate::pool::Lease;
use crate::router::Route;
use crate::session::consistency::pending_writes::PendingWrites;
use crate::session::consistency::tracking::{acknowledge, give_up};
use crate::session::leg::Leg;
use crate::session::leg::past::notes_pins;
use crate::session::leg::progress::Sent;
use crate::session::leg::reset::{Leftover, Reset, Standing, fit, reset};
use crate::session::relay::client_buffer::ClientBuffer;
use crate::session::relay::pending_reply::PendingReply;
use crate::session::relay::responses::Flow;
use crate::session::shared::Shared;
use crate::session::shared::databases::Database;
use crate::session::shared::registry::Entry;
use crate::session::state::State;
use crate::session::transaction::Event;
use crate::wire::TxStatus;
use crate::wire::request::put_copy_fail;

/// Unread bytes that are taken at once, to be thrown away.
const CHUNK: usize = 256 << 10;

/// How long what nobody waits for may still run before it is cancelled. Most of it is over sooner, and a cancel request
/// costs the server a process.
const GENTLE: Duration = Duration::from_millis(100);

/// How long a server may run what it was sent before it sees that its client is gone. Generous, because what is committed
/// after that is seen too late by whoever asks for fresh reads.
const OUTLAST_MAX: Duration = Duration::from_secs(600);

/// How long a server may take to end what was cancelled, or what weir knows nothing of.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Has a connection that listens for nobody any more forget it, and gives it back. One that does not is closed.
pub(crate) async fn unlisten(mut lease: Lease) {
    let forgets = timeout(PATIENCE, exec(&mut lease, "UNLISTEN *")).await;
    if matches!(forgets, Ok(Ok(_))) && fit(&lease, Reset::Nothing).is_ok() {
        lease.release(Instant::now());
    }
}

/// A connection whose session is over.
pub(crate) struct Cleanup {
    pub shared: Arc<Shared>,
    /// The session that is over: cancel requests on their way to the connection are waited for. None where it goes on
    /// elsewhere, and none is on its way.
    pub entry: Option<Arc<Entry>>,
    pub state: Box<State>,
    pub leg: Box<Leg>,
    /// The database on the servers.
    pub name: Arc<str>,
    /// What was sent and not answered when the client went, and may be committed still.
    pub pending_writes: PendingWrites,
    /// What the session leaves on the connection as far as is known now.
    pub leftover: Leftover,
}

impl Cleanup {
    /// Brings the connection to where others can have it, or closes it.
    pub(crate) async fn run(mut self) {
        let answered = self.outlive().await;
        if answered.is_err() {
            return self.outlast().await;
        }
        self.mark(acknowledge);
        let outcome = timeout(PATIENCE, self.clean()).await;
        let resets = &self.shared.metrics.resets;
        match outcome {
            Ok(Ok(reset)) => {
                match reset {
                    Reset::Nothing => {}
                    Reset::RolledBack => resets.rolled_back.inc(),
                    Reset::Discarded => resets.discarded.inc(),
                }
                let settled = match &self.entry {
                    Some(entry) => entry.leaves() || entry.settled().await,
                    None => true,
                };
                if settled {
                    self.leg.lease.release(Instant::now());
                }
            }
            Ok(Err(_)) | Err(_) => resets.closed.inc(),
        }
    }

    /// Lets the server end what it was sent. What cannot be committed any more, or only reads, is cancelled if it takes
    /// long; what may be committed is left alone, as PostgreSQL leaves it alone.
    async fn outlive(&mut self) -> Result<()> {
        if self.leg.batch() == Batch::Open && !self.leg.responses.ledger.is_empty() {
            // No Sync, which would commit what the client did not.
            self.leg.flush_batch();
        }
        if let Ok(outcome) = timeout(GENTLE, self.answered()).await {
            return outcome;
        }
        if self.is_futile() {
            timeout(PATIENCE, self.cancelled()).await.unwrap_or(Err(Error::ServerLost))
        } else {
            let (shared, server) = (self.shared.clone(), self.leg.lease.server());
            tokio::select! {
                biased;
                outcome = self.answered() => outcome,
                () = shared.goes_down(server) => Err(Error::ServerLost),
            }
        }
    }

    /// Has the server cancel what it was sent, statement by statement: a cancel request ends the one that runs, and there
    /// may be others behind it.
    ///
    /// # Errors
    /// Also when a cancel request may be on its way still: whatever ran on the connection next might be hit.
    async fn cancelled(&mut self) -> Result<()> {
        let key = self.leg.lease.key.clone();
        let mut pause = GENTLE;
        while self.is_futile() {
            self.shared.cancel_on(&key).await?;
            if let Ok(outcome) = timeout(pause, self.answered()).await {
                return outcome;
            }
            pause *= 2;
        }
        // What is left may be committed by now: it is not to be hurried.
        self.answered().await
    }

    /// Whether nothing of what is in flight can be of use to anybody: it only reads, or belongs to a transaction whose end
    /// was never sent.
    fn is_futile(&self) -> bool {
        self.leg.route == Route::Replica || self.is_undone() || self.only_reads()
    }

    /// Whether all of it belongs to a transaction that will be rolled back.
    fn is_undone(&self) -> bool {
        let responses = &self.leg.responses;
        let ends = || responses.ledger.notes().any(PendingReply::ends) || self.pending_writes.may_prepare();
        responses.tx != TxStatus::Idle && !ends()
    }

    fn only_reads(&self) -> bool {
        let (catalog, policy) = (self.shared.cluster.catalogs().of(&self.name), self.shared.policy());
        self.pending_writes.only_reads(catalog.as_deref(), &policy.functions)
    }

    /// Writes what waits, and reads until the server has answered all it was sent. Cancel safe.
    async fn answered(&mut self) -> Result<()> {
        loop {
            self.fail_copy();
            let leg = &self.leg;
            let responses = &leg.responses;
            if responses.ledger.is_empty()
                && leg.lease.write_buffer.is_empty()
                && !responses.is_within_frame()
            {
                return Ok(());
            }
            poll_fn(|cx| self.poll_turn(cx)).await?;
        }
    }

    /// Ends a copy that its client did not end.
    fn fail_copy(&mut self) {
        if self.leg.responses.flow == Flow::CopyIn {
            put_copy_fail(&mut self.leg.lease.write_buffer, b"the client has gone");
            self.leg.responses.flow = Flow::Query;
        }
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let leg = &mut *self.leg;
        let backend = &mut *leg.lease;
        let unsent = !backend.is_flushed();
        let flushed = backend.poll_flush(cx).map_err(|_| Error::ServerLost)?;
        match backend.poll_fill(cx, CHUNK) {
            Poll::Ready(Ok(n)) if n > 0 => {}
            Poll::Ready(_) => return Poll::Ready(Err(Error::ServerLost)),
            // It may have been all there was to do.
            Poll::Pending if unsent && flushed.is_ready() => return Poll::Ready(Ok(())),
            Poll::Pending => return Poll::Pending,
        }
        let mut nobody = ClientBuffer::default();
        leg.on_server_bytes(&mut self.state, &mut nobody);
        if !leg.is_up() {
            return Poll::Ready(Err(Error::ServerLost));
        }
        nobody.settle(&mut leg.lease.read_buffer);
        Poll::Ready(Ok(()))
    }

    /// Undoes what the session has left on the connection, which has answered everything.
    async fn clean(&mut self) -> Result<Reset> {
        if self.leg.responses.ledger.is_discarding() {
            // Behind an error there is nothing that this could commit.
            self.leg.end_batch();
            self.answered().await?;
            self.state.on(Event::Abandoned, &mut self.leg.progress.carried);
        }
        let mut leftover = self.leftover.max(Leftover::of(&self.state));
        if self.leg.progress.sent.has(Sent::Listens) {
            leftover = leftover.max(Leftover::State);
        }
        if self.shared.cluster.catalogs().matters().has_changed() {
            // It may have run what somebody has defined meanwhile.
            leftover = Leftover::Lasting;
        }
        let mut standing = Standing::Idle;
        if self.leg.responses.tx != TxStatus::Idle || self.leg.batch() == Batch::Open {
            standing = Standing::Open;
            self.state.on(Event::Abandoned, &mut self.leg.progress.carried);
        }
        notes_pins(&mut self.leg.lease, &mut self.state);
        self.leg.lease.settings = self.leg.progress.carried.now().clone();
        reset(&mut self.leg.lease, standing, leftover).await
    }

    /// What was in flight has come to its end, and is marked so.
    fn mark(&self, how: fn(&Shared, (&str, &Database), &PendingWrites)) {
        if self.pending_writes.is_clean() {
            return;
        }
        how(&self.shared, (&self.name, self.state.database()), &self.pending_writes);
        if self.pending_writes.may_define() {
            self.shared.cluster.catalogs().doubt(&self.name);
        }
    }

    /// Lets the server know that nothing more will come. Where something may be committed still, waits until it has
    /// closed the connection: until then it counts as open, which it is. A server that is down, or a server process that
    /// does not come to an end, does not keep the connection's place in the pool.
    pub(crate) async fn outlast(mut self) {
        self.shared.metrics.resets.closed.inc();
        if self.pending_writes.is_clean() {
            return;
        }
        let (shared, server) = (self.shared.clone(), self.leg.lease.server());
        let lease = &mut self.leg.lease;
        let closed = poll_fn(|cx| {
            ready!(lease.poll_shutdown(cx))?;
            loop {
                lease.read_buffer.clear();
                if ready!(lease.poll_fill(cx, CHUNK))? == 0 {
                    return Poll::Ready(Ok::<_, std::io::Error>(()));
                }
            }
        });
        // However it ended: nothing can be committed any more, or nobody will know.
        tokio::select! {
            biased;
            _ = timeout(OUTLAST_MAX, closed) => {}
            () = shared.goes_down(server) => {}
        }
        self.mark(give_up);
    }
}
