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

/// Reads once what has arrived, unless `limit` bytes wait in the buffer already: then the caller must take some first. `Ready(Ok(0))` is the peer's end.
///
/// An empty buffer without memory gets some only when the socket is readable: an idle connection holds none.
/// Cancel safe.
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
    if buffer.capacity() == 0 {
        ready!(stream.poll_readable(cx))?;
        buffer.reserve(SMALL);
    } else if spare == 0 {
        // A read has filled it: what is coming is large.
        buffer.reserve(LARGE.min(limit.max(SMALL)));
    } else if spare < SMALL / 2 {
        // Mostly this only moves the unread rest to the front.
        buffer.reserve(SMALL);
    }
    poll_read_buf(Pin::new(stream), cx, buffer)
}
