//! What is on its way to the client: bytes that weir queued, then the front of the server's own buffer.
//!
//! The server's bytes stay where they were read and are written from there; only where something is cut out or put in
//! between are the bytes before it copied. While an answer is held back (its request may still be run again elsewhere)
//! it grows here without being free to go.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::AsyncWrite;

use crate::net::Stream;

/// Most bytes that are copied to go out with those before them: copying that much costs less than a system call.
const TAIL_MAX: usize = 4 << 10;

/// Bytes for the client, in order: `queue`, then the first `passed` bytes of the server's read buffer.
#[derive(Debug, Default)]
pub(crate) struct ClientBuffer {
    queue: BytesMut,
    /// Bytes of `queue` that may be written.
    queue_free: usize,
    /// Bytes at the front of the server's read buffer that are for the client.
    passed: usize,
    /// Bytes of `passed` that may be written. More than none only when all of `queue` is free.
    passed_free: usize,
    answer: Answer,
}

/// Whether the answer that is under way is held back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It goes out as it comes.
    #[default]
    Released,
    /// Nothing of it is out.
    Held,
}

impl ClientBuffer {
    /// Bytes that wait, held or free.
    pub(crate) fn len(&self) -> usize {
        self.queue.len() + self.passed
    }

    /// Nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that are held back.
    pub(crate) fn held(&self) -> usize {
        self.len() - self.queue_free - self.passed_free
    }

    /// Bytes at the front of the server's read buffer that have been passed.
    pub(crate) fn passed(&self) -> usize {
        self.passed
    }

    /// Bytes that were taken out of the server's read buffer or made up.
    #[cfg(test)]
    pub(crate) fn queued(&self) -> &[u8] {
        &self.queue
    }

    /// From now on bytes are held back.
    pub(crate) fn hold(&mut self) {
        self.answer = Answer::Held;
    }

    /// Whether bytes are held back.
    pub(crate) fn is_holding(&self) -> bool {
        self.answer == Answer::Held
    }

    /// Whether bytes are held back.
    pub(crate) fn answer(&self) -> Answer {
        self.answer
    }

    /// All bytes so far may go; later ones are still held.
    pub(crate) fn free(&mut self) {
        self.queue_free = self.queue.len();
        self.passed_free = self.passed;
    }

    /// All bytes may go, later ones too.
    pub(crate) fn release(&mut self) {
        self.answer = Answer::Released;
        self.free();
    }

    /// The next `n` bytes of the read buffer are for the client.
    pub(crate) fn pass(&mut self, n: usize) {
        self.passed += n;
        self.after();
    }

    /// The next `n` bytes of the read buffer are for nobody.
    pub(crate) fn cut(&mut self, read_buffer: &mut BytesMut, n: usize) {
        self.settle(read_buffer);
        read_buffer.advance(n);
    }

    /// Bytes that weir makes up come next.
    pub(crate) fn put(&mut self, read_buffer: &mut BytesMut, bytes: &[u8]) {
        self.settle(read_buffer);
        self.queue.extend_from_slice(bytes);
        self.after();
    }

    /// Bytes that weir makes up come next; there is no server.
    pub(crate) fn write(&mut self, write: impl FnOnce(&mut BytesMut)) {
        write(&mut self.queue);
        self.after();
    }

    /// Moves what was passed out of the server's read buffer, so that the connection can go its way.
    pub(crate) fn settle(&mut self, read_buffer: &mut BytesMut) {
        if self.passed == 0 {
            return;
        }
        if self.passed_free > 0 {
            self.queue_free = self.queue.len() + self.passed_free;
        }
        self.queue.extend_from_slice(&read_buffer[..self.passed]);
        read_buffer.advance(self.passed);
        (self.passed, self.passed_free) = (0, 0);
    }

    /// Throws away what is held back.
    pub(crate) fn discard(&mut self, read_buffer: &mut BytesMut) {
        self.settle(read_buffer);
        self.queue.truncate(self.queue_free);
        if self.queue.is_empty() {
            self.queue = BytesMut::new();
        }
    }

    fn after(&mut self) {
        if self.answer == Answer::Released {
            self.free();
        }
    }

    /// Writes what is free to go; ready when all of it is on the socket. Cancel safe.
    pub(crate) fn poll_flush(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
        read_buffer: Option<&mut BytesMut>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_write(stream, cx, read_buffer))?;
        // Also when nothing was written: the stream may still hold what it was given before.
        Pin::new(stream).poll_flush(cx)
    }

    /// Gives the stream what is free to go.
    fn poll_write(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
        mut read_buffer: Option<&mut BytesMut>,
    ) -> Poll<io::Result<()>> {
        if let Some(read_buffer) = &mut read_buffer
            && (1..=TAIL_MAX).contains(&self.passed)
            && !self.queue.is_empty()
        {
            // What little stands behind something that was cut out is copied rather than sent by itself.
            self.settle(read_buffer);
        }
        while self.queue_free > 0 {
            let n = ready!(poll_some(stream, cx, &self.queue[..self.queue_free]))?;
            self.queue.advance(n);
            self.queue_free -= n;
        }
        if self.queue.is_empty() && self.queue.capacity() > 0 {
            // An idle client holds no memory here.
            self.queue = BytesMut::new();
        }
        let Some(read_buffer) = read_buffer else { return Poll::Ready(Ok(())) };
        while self.passed_free > 0 {
            let n = ready!(poll_some(stream, cx, &read_buffer[..self.passed_free]))?;
            read_buffer.advance(n);
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
    use std::future::poll_fn;
    use std::time::Duration;

    use tokio::io::AsyncReadExt;
    use tokio::time::timeout;

    use super::*;
    use crate::net::holding::Holding;
    use crate::net::tls::test_certificates::pair;

    #[test]
    fn cut_and_put_keep_the_order() {
        let mut read_buffer = BytesMut::from(&b"aaXXbb"[..]);
        let mut out = ClientBuffer::default();
        out.pass(2);
        out.cut(&mut read_buffer, 2);
        out.put(&mut read_buffer, b"--");
        out.pass(2);
        assert_eq!((&out.queue[..], &read_buffer[..]), (&b"aa--"[..], &b"bb"[..]));
        out.settle(&mut read_buffer);
        assert_eq!(&out.queue[..], b"aa--bb");
        assert_eq!((out.queue_free, out.held()), (6, 0));
    }

    #[test]
    fn what_is_held_can_be_thrown_away_and_nothing_else() {
        let mut read_buffer = BytesMut::from(&b"freeheld"[..]);
        let mut out = ClientBuffer::default();
        out.pass(4);
        out.hold();
        out.pass(4);
        assert_eq!(out.held(), 4);
        out.discard(&mut read_buffer);
        out.release();
        assert_eq!((&out.queue[..], out.queue_free, read_buffer.len()), (&b"free"[..], 4, 0));
    }

    #[test]
    fn a_finished_answer_is_freed_while_the_next_is_held() {
        let mut read_buffer = BytesMut::from(&b"onetwo"[..]);
        let mut out = ClientBuffer::default();
        out.hold();
        out.pass(3);
        out.free();
        out.pass(3);
        assert_eq!((out.held(), out.passed_free), (3, 3));
        out.put(&mut read_buffer, b"!");
        assert_eq!((out.queue_free, out.held()), (3, 4));
        out.release();
        assert_eq!(out.queue_free, 7);
    }

    #[tokio::test]
    async fn what_the_stream_has_taken_arrives_though_nothing_more_is_written() {
        for text in [&b"short"[..], &[b'x'; 1000]] {
            let (mut stream, mut peer) = Holding::pair().unwrap();
            let mut read_buffer = BytesMut::from(text);
            let mut out = ClientBuffer::default();
            out.put(&mut BytesMut::new(), b"made up, ");
            out.pass(text.len());
            let written = poll_fn(|cx| out.poll_flush(&mut stream, cx, Some(&mut read_buffer)));
            timeout(Duration::from_secs(5), written).await.unwrap().unwrap();
            assert!(out.is_empty() && stream.is_flushed());
            drop(stream);
            let mut told = Vec::new();
            peer.read_to_end(&mut told).await.unwrap();
            assert_eq!(told, [b"made up, ", text].concat());
        }
    }

    /// Writes a long value as the relay does, whose bytes come to `read_buffer` little by little. Says how much the client
    /// heard, and whether it was as it should be.
    async fn relay_value(mut stream: Stream, mut peer: Stream, len: usize, rest: Duration) -> (usize, bool) {
        const ARRIVES: usize = 100_003;
        let byte = |at: usize| u8::try_from(at % 251).unwrap_or_default();
        let relay = async move {
            let (mut out, mut read_buffer, mut at) = (ClientBuffer::default(), BytesMut::new(), 0);
            while at < len {
                let n = ARRIVES.min(len - at);
                read_buffer.extend((at..at + n).map(byte));
                out.pass(n);
                at += n;
                poll_fn(|cx| out.poll_flush(&mut stream, cx, Some(&mut read_buffer))).await.unwrap();
                assert!(out.is_empty() && stream.is_flushed());
            }
            poll_fn(|cx| Pin::new(&mut stream).poll_shutdown(cx)).await.unwrap();
        };
        let hear = async move {
            let (mut at, mut right, mut piece) = (0, true, vec![0; 64 << 10]);
            loop {
                let n = peer.read(&mut piece).await.unwrap();
                if n == 0 {
                    return (at, right);
                }
                right &= piece[..n].iter().enumerate().all(|(i, heard)| *heard == byte(at + i));
                at += n;
                if !rest.is_zero() {
                    tokio::time::sleep(rest).await;
                }
            }
        };
        timeout(Duration::from_secs(120), async { tokio::join!(relay, hear).1 }).await.unwrap()
    }

    #[tokio::test]
    async fn a_long_value_passes_through_encryption_whole() {
        let (stream, peer) = pair().await;
        let len = 10_000_001;
        assert_eq!(relay_value(stream, peer, len, Duration::ZERO).await, (len, true));
    }

    /// Takes its time without optimisation: `cargo test --release -- --ignored huge`.
    #[tokio::test]
    #[ignore = "300 MB"]
    async fn a_huge_value_passes_through_encryption_whole() {
        let (stream, peer) = pair().await;
        let len = 300_000_000;
        assert_eq!(relay_value(stream, peer, len, Duration::ZERO).await, (len, true));
    }

    #[tokio::test]
    async fn a_slow_reader_gets_all_of_an_encrypted_value() {
        let (stream, peer) = pair().await;
        let len = 2_000_003;
        assert_eq!(relay_value(stream, peer, len, Duration::from_millis(1)).await, (len, true));
    }

    #[tokio::test]
    async fn an_answer_that_is_held_does_not_keep_what_went_before_in_the_stream() {
        let (mut stream, mut peer) = Holding::pair().unwrap();
        let mut read_buffer = BytesMut::from(&b"held"[..]);
        let mut out = ClientBuffer::default();
        out.put(&mut read_buffer, b"free");
        out.hold();
        out.pass(4);
        let written = poll_fn(|cx| out.poll_flush(&mut stream, cx, Some(&mut read_buffer)));
        timeout(Duration::from_secs(5), written).await.unwrap().unwrap();
        let mut told = [0; 4];
        timeout(Duration::from_secs(5), peer.read_exact(&mut told)).await.unwrap().unwrap();
        assert_eq!((&told, out.held()), (b"free", 4));
    }
}
