//! Reading into a buffer that costs nothing while nothing arrives.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio_util::io::poll_read_buf;

use super::Stream;

/// First size of a buffer: holds the usual request or answer in one read.
const SMALL: usize = 8 << 10;

/// Size once a read has filled what was there: a stream is under way, and fewer, larger reads cost less.
const LARGE: usize = 128 << 10;

/// Reads once what has arrived, unless `limit` bytes wait in the buffer already: then the caller must take some first.
/// `Ready(Ok(0))` is the peer's end. Once it is pending with room left, all that the stream held has been read.
///
/// An empty buffer without memory gets some only when there is something to read, and does not keep it in vain: an idle
/// connection holds none. Cancel safe.
pub fn poll_fill(
    stream: &mut Stream,
    cx: &mut Context<'_>,
    buffer: &mut BytesMut,
    limit: usize,
) -> Poll<io::Result<usize>> {
    if buffer.len() >= limit {
        return Poll::Pending;
    }
    let spare = buffer.capacity() - buffer.len();
    let bare = buffer.capacity() == 0;
    if bare {
        ready!(stream.poll_readable(cx))?;
        let room = match ready!(stream.poll_arrived(cx))? {
            // One byte more than that: a buffer that is full tells of a large stream.
            Some(arrived @ 1..SMALL) => arrived + 1,
            _ => SMALL,
        };
        buffer.reserve(room);
    } else if spare < SMALL / 2 {
        ready!(stream.poll_readable(cx))?;
        // When a read has filled it, what is coming is large. Else this mostly moves the unread rest to the front.
        buffer.reserve(if spare == 0 { LARGE.min(limit.max(SMALL)) } else { SMALL });
    }
    let read = poll_read_buf(Pin::new(stream), cx, buffer);
    if bare && read.is_pending() {
        *buffer = BytesMut::new();
    }
    read
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use tokio::io::AsyncWriteExt;
    use tokio::time::timeout;

    use super::*;
    use crate::net::Socket;
    use crate::net::holding::Holding;

    async fn fill(stream: &mut Stream, buffer: &mut BytesMut) -> io::Result<usize> {
        let filled = poll_fn(|cx| poll_fill(stream, cx, buffer, 1 << 16));
        timeout(Duration::from_secs(5), filled).await.expect("the stream holds bytes that nobody reads")
    }

    #[tokio::test]
    async fn what_a_stream_holds_is_read_though_nothing_more_arrives() {
        let (mut stream, mut peer) = Holding::pair().unwrap();
        let sent = vec![b'x'; 30];
        peer.write_all(&sent).await.unwrap();
        let mut taken = Vec::new();
        while taken.len() < sent.len() {
            // As when an idle client's buffer is given up: no memory, and the socket has been emptied.
            let mut buffer = BytesMut::new();
            fill(&mut stream, &mut buffer).await.unwrap();
            taken.extend_from_slice(&buffer);
        }
        assert_eq!(taken, sent);
        drop(peer);
        assert_eq!(fill(&mut stream, &mut BytesMut::new()).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_connection_that_says_nothing_holds_no_memory() {
        let (ours, mut peer) = tokio::net::UnixStream::pair().unwrap();
        let (mut stream, mut buffer) = (Stream::Plain(Socket::Unix(ours)), BytesMut::new());
        peer.write_all(b"x").await.unwrap();
        fill(&mut stream, &mut buffer).await.unwrap();
        // The socket may still count as readable when nothing is there.
        buffer = BytesMut::new();
        poll_fn(|cx| {
            assert!(poll_fill(&mut stream, cx, &mut buffer, 1 << 16).is_pending());
            Poll::Ready(())
        })
        .await;
        assert_eq!(buffer.capacity(), 0);
    }
}
