//! The client's side of a session: its socket, what it has sent and nobody has taken, and what is on its way to it.
//!
//! It never knows a server: what must go to one is given out, and what comes from one is put into the client buffer.

use std::future::poll_fn;
use std::io::ErrorKind;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::AsyncWrite;

use crate::error::{Error, Result};
use crate::net::Stream;
use crate::net::buffer::poll_fill;
use crate::session::relay::client_buffer::ClientBuffer;
use crate::session::relay::framer::{End, Framer, Unit};
use crate::session::relay::responses::Flow;
use crate::sql::{LongText, StandardConformingStrings};
use crate::telemetry::metrics::{Metrics, count};
use crate::wire::frame::BadHeader;
use crate::wire::reply::{self, Report, Severity, TransactionStatus};
use crate::wire::request::{TERMINATE, put_bare};
use crate::wire::tag::client;
use crate::wire::{HEADER, TxStatus};

/// Unread bytes of one side above which it is not read from.
pub(crate) const READ_BUFFER_MAX: usize = 256 << 10;

/// Room behind what is taken from the buffer that is not worth being kept.
const LEFT_OVER: usize = 64;

/// What the client's next bytes are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Messages.
    #[default]
    Messages,
    /// The rest of a long message, of which so much is still to come; it goes to the server as it is.
    Streaming(usize),
    /// The rest of a message that goes nowhere.
    Dropping(usize),
    /// The rest of a batch that weir has answered with an error: thrown away up to its Sync, and first so many
    /// bytes of a message that has not arrived whole.
    Skipping(usize),
    /// None: it has left, or broken the protocol.
    Over,
    /// None: it has left, and the last message to it will never have an end.
    Torn,
}

impl Phase {
    /// Bytes of the current message that are still to come.
    fn owes(self) -> usize {
        match self {
            Phase::Messages | Phase::Over | Phase::Torn => 0,
            Phase::Streaming(left) | Phase::Dropping(left) | Phase::Skipping(left) => left,
        }
    }
}

/// A client's connection.
pub(crate) struct Client {
    stream: Stream,
    /// What the client has sent and weir has not taken.
    pub(crate) read_buffer: BytesMut,
    framer: Framer,
    /// What is on its way to the client.
    pub(crate) buffer: ClientBuffer,
    /// What its next bytes are.
    pub(crate) phase: Phase,
    /// The long query string that is being passed on.
    long: Option<Box<LongText>>,
    metrics: Arc<Metrics>,
    /// Bytes from the client and to it, until they are written down.
    pub(crate) traffic: (usize, usize),
}

impl Client {
    /// A client that has logged in and sent `received` behind that.
    pub(crate) fn new(stream: Stream, received: BytesMut, metrics: Arc<Metrics>) -> Self {
        Self {
            stream,
            // The login's buffer would stay with a client that says nothing.
            read_buffer: if received.is_empty() { BytesMut::new() } else { received },
            framer: Framer::default(),
            buffer: ClientBuffer::default(),
            phase: Phase::Messages,
            long: None,
            metrics,
            traffic: (0, 0),
        }
    }

    /// Moves on what has come of a long message: to `write_buffer` where it goes to a server. Gives the text back that
    /// has been read to its end by that.
    pub(crate) fn stream_on(&mut self, write_buffer: Option<&mut BytesMut>) -> Option<Box<LongText>> {
        let left = self.phase.owes();
        if left == 0 {
            return None;
        }
        let n = left.min(self.read_buffer.len());
        let bytes = self.read_buffer.split_to(n);
        let mut read = None;
        if let Phase::Streaming(_) = self.phase {
            read = self.read_long(&bytes, left - n);
            write_buffer.into_iter().for_each(|buffer| buffer.extend_from_slice(&bytes));
        } else {
            // It went no further.
            self.long = None;
        }
        self.phase = match self.phase {
            Phase::Skipping(_) => Phase::Skipping(left - n),
            Phase::Streaming(_) if left > n => Phase::Streaming(left - n),
            Phase::Dropping(_) if left > n => Phase::Dropping(left - n),
            _ => Phase::Messages,
        };
        read
    }

    /// A long query string begins at the front of the buffer. Gives it back if that is all of it.
    pub(crate) fn begin_long(
        &mut self,
        len: usize,
        missing: usize,
        strings: StandardConformingStrings,
    ) -> Option<Box<LongText>> {
        let mut text = LongText::new(strings);
        text.read(self.read_buffer.get(HEADER..len).unwrap_or_default());
        self.long = Some(Box::new(text));
        self.read_long(&[], missing)
    }

    /// More of a long query string. Before the server can run it, all of it has been read here.
    fn read_long(&mut self, bytes: &[u8], missing: usize) -> Option<Box<LongText>> {
        self.long.as_mut()?.read(bytes);
        if missing == 0 { self.long.take() } else { None }
    }

    /// The next thing to do with the client's bytes.
    ///
    /// # Errors
    /// The client has broken the protocol.
    pub(crate) fn next_unit(&mut self, flow: Flow) -> Result<Unit> {
        if self.phase.owes() > 0 {
            return Ok(Unit::More);
        }
        self.framer.next(&self.read_buffer, flow).map_err(|bad| match bad {
            BadHeader::Length => Error::Protocol("invalid message length"),
            BadHeader::Type(tag) => Error::MessageType(tag),
        })
    }

    /// Whether whole messages of a batch wait for its end.
    pub(crate) fn is_within_batch(&self) -> bool {
        self.framer.seen() > 0
    }

    /// A client that says nothing more within a batch waits for what PostgreSQL tells without being asked: as if it had
    /// asked for it.
    pub(crate) fn flush_batch(&mut self) {
        let begun = self.read_buffer.split_off(self.framer.seen());
        put_bare(&mut self.read_buffer, client::FLUSH);
        self.read_buffer.unsplit(begun);
    }

    /// The first so many bytes of a batch are a request of their own: what follows needs another connection.
    pub(crate) fn part_batch(&mut self, at: usize) {
        let behind = self.read_buffer.split_off(at.min(self.read_buffer.len()));
        put_bare(&mut self.read_buffer, client::FLUSH);
        self.read_buffer.unsplit(behind);
        self.framer.reset();
    }

    /// Puts requests back in front of the unread bytes.
    pub(crate) fn requeue(&mut self, mut bytes: BytesMut) {
        bytes.unsplit(std::mem::take(&mut self.read_buffer));
        self.read_buffer = bytes;
        self.framer.reset();
    }

    /// Takes the front of what it has sent.
    pub(crate) fn take(&mut self, len: usize) -> BytesMut {
        // Two halves of a buffer share its memory, for which they need some more. So not where no room would be left.
        let rest = self.read_buffer.capacity() - len.min(self.read_buffer.len());
        let all = len == self.read_buffer.len() && rest < LEFT_OVER;
        if all { std::mem::take(&mut self.read_buffer) } else { self.read_buffer.split_to(len) }
    }

    /// An idle client holds no buffer.
    pub(crate) fn trim(&mut self) {
        if self.read_buffer.is_empty() && self.read_buffer.capacity() > 0 {
            self.read_buffer = BytesMut::new();
        }
    }

    /// Whether the client does not read what it has been sent: then the server need not go on.
    pub(crate) fn is_behind(&self) -> bool {
        self.buffer.len() >= READ_BUFFER_MAX && !self.buffer.is_holding()
    }

    /// Whether all that is for the client is on its way.
    pub(crate) fn is_told(&self) -> bool {
        self.buffer.is_empty() && self.stream.is_flushed()
    }

    /// Between two messages, with nothing unread and nothing unsent.
    pub(crate) fn is_idle(&self) -> bool {
        self.read_buffer.is_empty() && self.is_told() && self.phase == Phase::Messages
    }

    /// Whether it can be given to another weir as it is: nothing is on its way to it, no message is half read but in the
    /// buffer, and what it says is not encrypted by keys that only this process has.
    pub(crate) fn is_portable(&self) -> bool {
        matches!(self.stream, Stream::Plain(_))
            && self.is_told()
            && self.phase == Phase::Messages
            && !self.is_within_batch()
    }

    /// The stream, and what of the client has been read and not taken.
    pub(crate) fn into_parts(self) -> (Stream, BytesMut) {
        (self.stream, self.read_buffer)
    }

    /// Reads what the client has sent, up to what is read ahead of any request; pending when that much is there. Cancel
    /// safe.
    ///
    /// # Errors
    /// [`Error::Lost`] when it is gone.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let limit = READ_BUFFER_MAX + self.framer.wanted();
        match poll_fill(&mut self.stream, cx, &mut self.read_buffer, limit) {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(Error::Lost(ErrorKind::UnexpectedEof.into()))),
            Poll::Ready(Ok(n)) => {
                count(&self.metrics.bytes.from_client, n);
                self.traffic.0 += n;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(Error::Lost(error))),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Ready when the client has gone, as far as that can be seen by reading ahead: one that has sent more than is read
    /// ahead is not watched, and what stands before a Terminate is run all the same. Cancel safe.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        // What it was told before goes on its way meanwhile. Should that fail, reading will too.
        let _ = Pin::new(&mut self.stream).poll_flush(cx);
        loop {
            match self.poll_fill(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(Error::Lost(end)))
                    if end.kind() == ErrorKind::UnexpectedEof && self.read_buffer.ends_with(TERMINATE) =>
                {
                    return Poll::Pending;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(error),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Fails when a client from which nothing more is taken has closed its socket; else pending. Cancel safe.
    pub(crate) fn poll_closed<T>(&mut self, cx: &mut Context<'_>) -> Poll<Result<T>> {
        loop {
            ready!(self.poll_fill(cx))?;
        }
    }

    /// Writes what is free to go; `passing` is the server's read buffer, of which the front may be. Cancel safe.
    ///
    /// # Errors
    /// [`Error::Lost`] when the client is gone.
    pub(crate) fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        passing: Option<&mut BytesMut>,
    ) -> Poll<Result<()>> {
        if self.is_told() {
            return Poll::Ready(Ok(()));
        }
        let waiting = self.buffer.len();
        let flush = self.buffer.poll_flush(&mut self.stream, cx, passing);
        count(&self.metrics.bytes.to_client, waiting - self.buffer.len());
        self.traffic.1 += waiting - self.buffer.len();
        flush.map_err(Error::Lost)
    }

    /// Answers a request that goes nowhere with an error, and throws it away.
    pub(crate) fn refuse(&mut self, unit: &Unit, len: usize, error: &Error, status: TxStatus) {
        tracing::warn!(%error, "request refused");
        let available = len.min(self.read_buffer.len());
        self.read_buffer.advance(available);
        self.tell(error);
        match unit {
            Unit::Batch { end: End::Flush | End::Open, .. } => self.phase = Phase::Skipping(0),
            Unit::Long { tag, .. } if !matches!(*tag, client::QUERY | client::FUNCTION_CALL) => {
                self.phase = Phase::Skipping(len - available);
            }
            _ => {
                self.tell_ready(status);
                if len > available {
                    self.phase = Phase::Dropping(len - available);
                }
            }
        }
    }

    /// Queues a ReadyForQuery.
    pub(crate) fn tell_ready(&mut self, status: TxStatus) {
        let status = match status {
            TxStatus::Idle => TransactionStatus::Idle,
            TxStatus::Open => TransactionStatus::Transaction,
            TxStatus::Failed => TransactionStatus::Error,
        };
        self.buffer.write(|out| reply::ready_for_query(out, status));
    }

    /// Queues an ErrorResponse.
    pub(crate) fn tell(&mut self, error: &Error) {
        self.metrics.error(error.sqlstate());
        let message = error.to_string();
        let report = Report {
            detail: error.detail(),
            hint: error.hint(),
            ..Report::new(Severity::Error, error.sqlstate(), &message)
        };
        self.buffer.write(|out: &mut BytesMut| reply::error(out, &report));
    }

    /// What is still to come of a message that was being passed on goes nowhere any more. Says how much that is.
    pub(crate) fn drop_streaming(&mut self) -> usize {
        let Phase::Streaming(left) = self.phase else { return 0 };
        if left > 0 {
            self.phase = Phase::Dropping(left);
        }
        left
    }

    /// Throws away what follows an error up to the batch's end, which is answered with this status.
    pub(crate) fn skip(&mut self, unit: Unit, status: TxStatus) {
        match unit {
            Unit::Batch { len, end } => {
                self.read_buffer.advance(len);
                if end == End::Sync {
                    self.phase = Phase::Messages;
                    self.tell_ready(status);
                }
            }
            Unit::Single { len } | Unit::CopyEnd { len } | Unit::Ignored { len } => {
                self.read_buffer.advance(len);
            }
            Unit::Long { len, .. } => self.skip_rest(len),
            Unit::CopyData { len, missing } => self.skip_rest(len + missing),
            Unit::More | Unit::Terminate => {}
        }
    }

    /// Drops a message of this length that has not arrived whole. Skipping goes on behind it.
    fn skip_rest(&mut self, len: usize) {
        let available = len.min(self.read_buffer.len());
        self.read_buffer.advance(available);
        self.phase = Phase::Skipping(len - available);
    }

    /// The stream of a client whose session does not begin. The login itself went well, and it is told so first.
    pub(crate) async fn turned_away(mut self) -> Stream {
        // Should that fail, what it is told next will too.
        let _ = poll_fn(|cx| self.buffer.poll_flush(&mut self.stream, cx, None)).await;
        self.stream
    }

    /// The client's stream, to be told why it is closed, behind all that was on its way to the client. `None` when
    /// nothing can be told: the client does not take it, or the last message has no end.
    pub(crate) async fn into_stream(mut self) -> Option<Stream> {
        const PATIENCE: Duration = Duration::from_secs(5);
        if self.phase == Phase::Torn {
            return None;
        }
        let flush = poll_fn(|cx| self.buffer.poll_flush(&mut self.stream, cx, None));
        let flushed = tokio::time::timeout(PATIENCE, flush).await;
        matches!(flushed, Ok(Ok(()))).then_some(self.stream)
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
