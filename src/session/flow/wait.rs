//! Waiting for a connection: until there is one, or the client cancels, leaves or is told to.

use std::future::poll_fn;
use std::io::ErrorKind;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BytesMut;
use tokio::io::AsyncWrite;

use crate::error::{Error, Result};
use crate::net::Stream;
use crate::net::buffer::poll_fill;
use crate::session::flow::pump::READ_BUFFER_MAX;
use crate::session::{Entry, Session, Shared};
use crate::telemetry::metrics::count;
use crate::wire::request::TERMINATE;

/// A session that waits. What its client sends meanwhile is kept behind the request, up to what is read ahead of any
/// request; whoever has sent more than that is not watched.
pub(crate) struct Waiting<'a> {
    shared: &'a Shared,
    entry: &'a Entry,
    stream: &'a mut Stream,
    read_buffer: &'a mut BytesMut,
    client: Client,
}

/// Whether anything more can come from a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    There,
    /// It has said that it leaves. What it sent before that is run all the same.
    Leaving,
}

impl Session {
    /// To wait for something that stands between a request and its connection.
    pub(crate) fn waiting(&mut self) -> Waiting<'_> {
        Waiting {
            shared: &self.shared,
            entry: &self.entry,
            stream: &mut self.stream,
            read_buffer: &mut self.read_buffer,
            client: Client::There,
        }
    }
}

impl Waiting<'_> {
    /// Waits for a connection. Cancel safe if `connection` is.
    ///
    /// # Errors
    /// [`Error::Canceled`], [`Error::Lost`], [`Error::Shutdown`], or why there is no connection.
    pub(crate) async fn queue<T>(mut self, connection: impl Future<Output = Result<T>>) -> Result<T> {
        let entry = self.entry;
        let watched = async {
            tokio::select! {
                biased;
                outcome = connection => outcome,
                error = poll_fn(|cx| self.poll_end(cx)) => Err(error),
            }
        };
        entry.queue(watched).await
    }

    /// Ready when nobody waits any more.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        // What it was told before goes on its way meanwhile. Should that fail, reading will too.
        let _ = Pin::new(&mut *self.stream).poll_flush(cx);
        while self.client == Client::There {
            match poll_fill(self.stream, cx, self.read_buffer, READ_BUFFER_MAX) {
                Poll::Ready(Ok(0)) if self.read_buffer.ends_with(TERMINATE) => self.client = Client::Leaving,
                Poll::Ready(Ok(0)) => return Poll::Ready(Error::Lost(ErrorKind::UnexpectedEof.into())),
                Poll::Ready(Ok(n)) => count(&self.shared.metrics.bytes.from_client, n),
                Poll::Ready(Err(error)) => return Poll::Ready(Error::Lost(error)),
                Poll::Pending => break,
            }
        }
        if self.shared.is_ending() { Poll::Ready(Error::Shutdown) } else { Poll::Pending }
    }
}
