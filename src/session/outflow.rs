//! What is on its way to the client: bytes that weir queued, then the front of the server's own buffer.
//!
//! The server's bytes stay where they were read and are written from there; only where something is cut out or put in
//! between are the bytes before it copied. While an answer is held back (its request may still be run again elsewhere)
//! it grows here without being free to go.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use tokio::io::AsyncWrite;

use crate::net::Stream;

/// Most bytes that are copied to go out with those before them: copying that much costs less than a system call.
const TAIL_MAX: usize = 4 << 10;

/// Bytes for the client, in order: `queue`, then the first `passed` bytes of the server's inbox.
#[derive(Debug, Default)]
pub(super) struct Outflow {
    queue: BytesMut,
    /// Bytes of `queue` that may be written.
    queue_free: usize,
    /// Bytes at the front of the server's inbox that are for the client.
    passed: usize,
    /// Bytes of `passed` that may be written. More than none only when all of `queue` is free.
    passed_free: usize,
    answer: Answer,
}

/// Whether the answer that is under way is held back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Answer {
    /// It goes out as it comes.
    #[default]
    Released,
    /// Nothing of it is out.
    Held,
}

impl Outflow {
    /// Bytes that wait, held or free.
    pub(super) fn len(&self) -> usize {
        self.queue.len() + self.passed
    }

    /// Nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that are held back.
    pub(super) fn held(&self) -> usize {
        self.len() - self.queue_free - self.passed_free
    }

    /// Bytes at the front of the server's inbox that have been passed.
    pub(super) fn passed(&self) -> usize {
        self.passed
    }

    /// Bytes that were taken out of the inbox or made up.
    #[cfg(test)]
    pub(super) fn queued(&self) -> &[u8] {
        &self.queue
    }

    /// From now on bytes are held back.
    pub(super) fn hold(&mut self) {
        self.answer = Answer::Held;
    }

    /// Whether bytes are held back.
    pub(super) fn is_holding(&self) -> bool {
        self.answer == Answer::Held
    }

    /// Whether bytes are held back.
    pub(super) fn answer(&self) -> Answer {
        self.answer
    }

    /// All bytes so far may go; later ones are still held.
    pub(super) fn free(&mut self) {
        self.queue_free = self.queue.len();
        self.passed_free = self.passed;
    }

    /// All bytes may go, later ones too.
    pub(super) fn release(&mut self) {
        self.answer = Answer::Released;
        self.free();
    }

    /// The next `n` bytes of the inbox are for the client.
    pub(super) fn pass(&mut self, n: usize) {
        self.passed += n;
        self.after();
    }

    /// The next `n` bytes of the inbox are for nobody.
    pub(super) fn cut(&mut self, inbox: &mut BytesMut, n: usize) {
        self.settle(inbox);
        inbox.advance(n);
    }

    /// Bytes that weir makes up come next.
    pub(super) fn put(&mut self, inbox: &mut BytesMut, bytes: &[u8]) {
        self.settle(inbox);
        self.queue.extend_from_slice(bytes);
        self.after();
    }

    /// Bytes that weir makes up come next; there is no server.
    pub(super) fn write(&mut self, write: impl FnOnce(&mut BytesMut)) {
        write(&mut self.queue);
        self.after();
    }

    /// Moves what was passed out of the inbox, so that the connection can go its way.
    pub(super) fn settle(&mut self, inbox: &mut BytesMut) {
        if self.passed == 0 {
            return;
        }
        if self.passed_free > 0 {
            self.queue_free = self.queue.len() + self.passed_free;
        }
        self.queue.extend_from_slice(&inbox[..self.passed]);
        inbox.advance(self.passed);
        (self.passed, self.passed_free) = (0, 0);
    }

    /// Throws away what is held back.
    pub(super) fn discard(&mut self, inbox: &mut BytesMut) {
        self.settle(inbox);
        self.queue.truncate(self.queue_free);
    }

    fn after(&mut self) {
        if self.answer == Answer::Released {
            self.free();
        }
    }

    /// Writes what is free to go; ready when all of it is written. Cancel safe.
    pub(super) fn poll_flush(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
        mut inbox: Option<&mut BytesMut>,
    ) -> Poll<io::Result<()>> {
        if let Some(inbox) = &mut inbox
            && (1..=TAIL_MAX).contains(&self.passed)
            && !self.queue.is_empty()
        {
            // What little stands behind something that was cut out is copied rather than sent by itself.
            self.settle(inbox);
        }
        while self.queue_free > 0 {
            let n = std::task::ready!(poll_some(stream, cx, &self.queue[..self.queue_free]))?;
            self.queue.advance(n);
            self.queue_free -= n;
        }
        if self.queue.is_empty() && self.queue.capacity() > 0 {
            // An idle client holds no memory here.
            self.queue = BytesMut::new();
        }
        let Some(inbox) = inbox else { return Poll::Ready(Ok(())) };
        while self.passed_free > 0 {
            let n = std::task::ready!(poll_some(stream, cx, &inbox[..self.passed_free]))?;
            inbox.advance(n);
            self.passed -= n;
            self.passed_free -= n;
        }
        Poll::Ready(Ok(()))
    }
}

fn poll_some(stream: &mut Stream, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
    Pin::new(stream).poll_write(cx, bytes).map(|written| match written {
        Ok(0) => Err(io::ErrorKind::WriteZero.into()),
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_and_put_keep_the_order() {
        let mut inbox = BytesMut::from(&b"aaXXbb"[..]);
        let mut out = Outflow::default();
        out.pass(2);
        out.cut(&mut inbox, 2);
        out.put(&mut inbox, b"--");
        out.pass(2);
        assert_eq!((&out.queue[..], &inbox[..]), (&b"aa--"[..], &b"bb"[..]));
        out.settle(&mut inbox);
        assert_eq!(&out.queue[..], b"aa--bb");
        assert_eq!((out.queue_free, out.held()), (6, 0));
    }

    #[test]
    fn what_is_held_can_be_thrown_away_and_nothing_else() {
        let mut inbox = BytesMut::from(&b"freeheld"[..]);
        let mut out = Outflow::default();
        out.pass(4);
        out.hold();
        out.pass(4);
        assert_eq!(out.held(), 4);
        out.discard(&mut inbox);
        out.release();
        assert_eq!((&out.queue[..], out.queue_free, inbox.len()), (&b"free"[..], 4, 0));
    }

    #[test]
    fn a_finished_answer_is_freed_while_the_next_is_held() {
        let mut inbox = BytesMut::from(&b"onetwo"[..]);
        let mut out = Outflow::default();
        out.hold();
        out.pass(3);
        out.free();
        out.pass(3);
        assert_eq!((out.held(), out.passed_free), (3, 3));
        out.put(&mut inbox, b"!");
        assert_eq!((out.queue_free, out.held()), (3, 4));
        out.release();
        assert_eq!(out.queue_free, 7);
    }
}
