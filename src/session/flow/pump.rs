//! Moving bytes in all directions at once.
//!
//! One turn writes what waits for the server, reads what the server has said, writes what is free to go to the
//! client, and reads what the client has said, each as far as the sockets let it. Waiting on one side only would
//! dead-lock with a client that sends without reading.

use std::future::poll_fn;
use std::task::{Context, Poll};

use crate::error::{Error, Result};
use crate::net::buffer::poll_fill;
use crate::session::model::state::{Observer, Retry};
use crate::session::relay::responses::{Halt, Replay};
use crate::session::{Batch, Link, Phase, Session};
use crate::telemetry::metrics::count;

/// Unread bytes of one side above which it is not read from.
pub(crate) const READ_BUFFER_MAX: usize = 256 << 10;

/// What a turn with the server brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Server {
    /// Nothing to act upon.
    Quiet,
    /// All that waited for it has been written.
    Flushed,
    /// It said something, or is gone.
    Heard,
}

impl Session {
    /// Waits until there is something to act upon: the client's bytes, an answer that is complete, room where there
    /// was none. Cancel safe.
    ///
    /// # Errors
    /// [`Error::Lost`] when the client is gone, [`Error::Shutdown`] when a drain finds the session between two
    /// requests. What happens on the server's side is left for [`Session::complete`] to see.
    pub(crate) async fn pump(&mut self) -> Result<()> {
        poll_fn(|cx| match self.poll_pump(cx) {
            Poll::Pending if self.is_drained() => Poll::Ready(Err(Error::Shutdown)),
            Poll::Pending => self.poll_deadline(cx),
            turn => turn,
        })
        .await
    }

    /// Each socket is asked until it has nothing more, and no oftener: that last asking is what wakes the task again.
    pub(crate) fn poll_pump(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let full = self.is_full();
        loop {
            let blocked = self.is_unread();
            let unconfirmed = self.state.unconfirmed;
            let server = self.poll_server(cx);
            let waited = self.client_buffer.len();
            self.poll_to_client(cx)?;
            // What was sent of an open batch may stay unanswered until the request that waits for the settings is
            // written.
            let open = self.leg.as_ref().is_some_and(|leg| leg.batch == Batch::Open);
            let confirmed = open && self.state.unconfirmed < unconfirmed;
            let complete = confirmed || self.is_complete();
            match server {
                Server::Heard if complete => return Poll::Ready(Ok(())),
                Server::Flushed if complete => return Poll::Ready(Ok(())),
                Server::Heard => continue,
                Server::Flushed | Server::Quiet => {}
            }
            if !(blocked && self.client_buffer.len() < waited) {
                break;
            }
        }
        if self.phase == Phase::Over {
            return if self.is_settled() { Poll::Ready(Ok(())) } else { Poll::Pending };
        }
        if self.is_full() {
            return Poll::Pending;
        }
        if self.read_buffer.len() < READ_BUFFER_MAX {
            match poll_fill(&mut self.stream, cx, &mut self.read_buffer, READ_BUFFER_MAX) {
                Poll::Ready(Ok(0)) => {
                    return Poll::Ready(Err(Error::Lost(std::io::ErrorKind::UnexpectedEof.into())));
                }
                Poll::Ready(Ok(n)) => {
                    count(&self.shared.metrics.bytes.from_client, n);
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Error::Lost(error))),
                Poll::Pending => {}
            }
        }
        if full { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// Whether all that was sent has been answered, or the connection is gone: time for [`Session::complete`].
    pub(crate) fn is_complete(&self) -> bool {
        self.leg.as_ref().is_none_or(|leg| leg.replies.ledger.is_empty() || leg.link != Link::Up)
    }

    /// Whether the client does not read what it has been sent: then the server need not go on.
    fn is_unread(&self) -> bool {
        self.client_buffer.len() >= READ_BUFFER_MAX && !self.client_buffer.is_holding()
    }

    /// Writes to the server and reads from it, once.
    fn poll_server(&mut self, cx: &mut Context<'_>) -> Server {
        if self.entry.take_alarm() {
            self.give_up();
        }
        let requeue = self.is_unread();
        let Some(leg) = &mut self.leg else { return Server::Quiet };
        if leg.link != Link::Up {
            return Server::Heard;
        }
        let bytes = &self.shared.metrics.bytes;
        let unsent = !leg.lease.is_flushed();
        let waiting = leg.lease.write_buffer.len();
        let flush = leg.lease.poll_flush(cx);
        count(&bytes.to_server, waiting - leg.lease.write_buffer.len());
        if let Poll::Ready(Err(_)) = flush {
            // What the server said before it closed the connection may still be read: that is the better reason.
            leg.lease.write_buffer.clear();
        }
        let flushed = unsent && leg.lease.is_flushed();
        let quiet = if flushed { Server::Flushed } else { Server::Quiet };
        if requeue {
            return quiet;
        }
        match leg.lease.poll_fill(cx, READ_BUFFER_MAX) {
            Poll::Ready(Ok(n)) if n > 0 => {
                count(&bytes.from_server, n);
                self.on_server_bytes();
                Server::Heard
            }
            Poll::Ready(_) => {
                leg.link = Link::Lost;
                Server::Heard
            }
            Poll::Pending => quiet,
        }
    }

    /// Takes what has arrived from the server.
    pub(crate) fn on_server_bytes(&mut self) {
        self.suspect_functions();
        let Some(leg) = &mut self.leg else { return };
        let before = leg.replies.tx;
        let backend = &mut *leg.lease;
        let mut observer = Observer {
            state: &mut self.state,
            prepared: &mut backend.prepared,
            unnamed: &mut backend.unnamed,
            retry: leg.retry,
        };
        if let Err(halt) =
            leg.replies.absorb(&mut backend.read_buffer, &mut self.client_buffer, &mut observer)
        {
            leg.link = match halt {
                Halt::Broken(why) => Link::Broken(why),
                Halt::Refused => Link::Refused,
            };
            return;
        }
        self.mark_answered(before);
        // Before the client hears of its DDL: what it does next must not meet the old catalog.
        self.tell_definitions();
        let Some(leg) = &mut self.leg else { return };
        if leg.replies.ledger.awaits_sync() {
            // A Sync that was sent into a copy did not end the batch.
            leg.batch = Batch::Open;
        }
        let limit = self.shared.config.routing.hold_back.min(READ_BUFFER_MAX / 2);
        if self.client_buffer.is_holding()
            && leg.replies.replay == Replay::No
            && self.client_buffer.held() > limit
        {
            // Too much to hold: from here on the request cannot be run again.
            self.client_buffer.release();
            self.state.replay_buffer.clear();
            leg.retry = Retry::Never;
        }
    }

    /// Writes to the client what is free to go.
    fn poll_to_client(&mut self, cx: &mut Context<'_>) -> Result<()> {
        let read_buffer = self.leg.as_mut().map(|leg| &mut leg.lease.read_buffer);
        let waiting = self.client_buffer.len();
        let flush = self.client_buffer.poll_flush(&mut self.stream, cx, read_buffer);
        count(&self.shared.metrics.bytes.to_client, waiting - self.client_buffer.len());
        match flush {
            Poll::Ready(Err(error)) => Err(Error::Lost(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }
}
