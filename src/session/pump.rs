//! Moving bytes in all directions at once.
//!
//! One turn writes what waits for the server, reads what the server has said, writes what is free to go to the
//! client, and reads what the client has said, each as far as the sockets let it. Waiting on one side only would
//! dead-lock with a client that sends without reading.

use std::future::poll_fn;
use std::task::{Context, Poll};

use super::replies::Rerun;
use super::state::{Ear, Retry};
use super::{Batch, Link, Phase, Session};
use crate::error::{Error, Result};
use crate::net::buffer::poll_fill;

/// Unread bytes of one side above which it is not read from.
const INBOX_MAX: usize = 256 << 10;

/// Whether a turn moved anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moved {
    Nothing,
    Something,
}

impl Session {
    /// Waits until bytes have moved. Cancel safe.
    ///
    /// # Errors
    /// [`Error::Lost`] when the client is gone. What happens on the server's side is left for
    /// [`Session::land`] to see.
    pub(super) async fn pump(&mut self) -> Result<()> {
        poll_fn(|cx| self.poll_pump(cx)).await
    }

    fn poll_pump(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let mut moved = Moved::Nothing;
        loop {
            let from_server = self.poll_server(cx);
            let to_client = self.poll_to_client(cx)?;
            if from_server == Moved::Nothing && to_client == Moved::Nothing {
                break;
            }
            moved = Moved::Something;
            // More may have arrived meanwhile; but what has landed is dealt with first.
            if self.has_landed() {
                break;
            }
        }
        if self.wants_client() {
            match poll_fill(&mut self.stream, cx, &mut self.inbox, INBOX_MAX) {
                Poll::Ready(Ok(0)) => {
                    return Poll::Ready(Err(Error::Lost(std::io::ErrorKind::UnexpectedEof.into())));
                }
                Poll::Ready(Ok(_)) => moved = Moved::Something,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Error::Lost(error))),
                Poll::Pending => {}
            }
        }
        if moved == Moved::Nothing { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    /// Whether all that was sent has been answered, or the connection is gone: time for [`Session::land`].
    fn has_landed(&self) -> bool {
        self.leg.as_ref().is_none_or(|leg| leg.replies.ledger.is_empty() || leg.link != Link::Up)
    }

    /// Whether the client's bytes can be taken: not while what it sent already waits for the server.
    fn wants_client(&self) -> bool {
        self.phase != Phase::Over
            && !self.is_full()
            && (self.inbox.len() < INBOX_MAX || matches!(self.phase, Phase::Streaming(_)))
    }

    /// Writes to the server and reads from it, once.
    fn poll_server(&mut self, cx: &mut Context<'_>) -> Moved {
        let Some(leg) = &mut self.leg else { return Moved::Nothing };
        if leg.link != Link::Up {
            return Moved::Something;
        }
        let waited = leg.lease.outbox.len();
        if let Poll::Ready(Err(_)) = leg.lease.poll_flush(cx) {
            // What the server said before it closed the connection may still be read: that is the better reason.
            leg.lease.outbox.clear();
        }
        let moved = if leg.lease.outbox.len() < waited { Moved::Something } else { Moved::Nothing };
        if self.outflow.len() >= INBOX_MAX && !self.outflow.is_holding() {
            // The client does not read: then the server need not go on.
            return moved;
        }
        match leg.lease.poll_fill(cx, INBOX_MAX) {
            Poll::Ready(Ok(n)) if n > 0 => {
                self.hear();
                Moved::Something
            }
            Poll::Ready(_) => {
                leg.link = Link::Lost;
                Moved::Something
            }
            Poll::Pending => moved,
        }
    }

    /// Takes what has arrived from the server.
    pub(super) fn hear(&mut self) {
        let Some(leg) = &mut self.leg else { return };
        let backend = &mut *leg.lease;
        let mut ear = Ear {
            state: &mut self.state,
            prepared: &mut backend.prepared,
            unnamed: &mut backend.unnamed,
            retry: leg.retry,
        };
        if let Err(error) = leg.replies.absorb(&mut backend.inbox, &mut self.outflow, &mut ear) {
            leg.link = Link::Broken(match error {
                Error::ServerProtocol(why) => why,
                _ => "unknown",
            });
            return;
        }
        if leg.replies.ledger.awaits_sync() {
            // A Sync that was sent into a copy did not end the batch.
            leg.batch = Batch::Open;
        }
        if self.state.definitions_changed() {
            // Before the client hears of its DDL: what it does next must not meet the old catalog.
            self.shared.cluster.catalogs().stale(&self.who.server_database);
            self.state.database().learned.clear();
        }
        let limit = self.shared.config.routing.hold_back;
        if self.outflow.is_holding() && leg.replies.rerun == Rerun::No && self.outflow.held() > limit {
            // Too much to hold: from here on the request cannot be run again.
            self.outflow.release();
            self.state.retained.clear();
            leg.retry = Retry::Never;
        }
    }

    /// Writes to the client what is free to go.
    fn poll_to_client(&mut self, cx: &mut Context<'_>) -> Result<Moved> {
        let waited = self.outflow.len();
        let inbox = self.leg.as_mut().map(|leg| &mut leg.lease.inbox);
        if let Poll::Ready(Err(error)) = self.outflow.poll_flush(&mut self.stream, cx, inbox) {
            return Err(Error::Lost(error));
        }
        Ok(if self.outflow.len() < waited { Moved::Something } else { Moved::Nothing })
    }
}
