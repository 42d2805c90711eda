//! A stream that holds bytes on both sides, as a layer of encryption does: for tests of whatever must not forget them.
//!
//! It reads ahead of whoever reads from it, keeps what it is given until it is flushed, does both in pieces of a few bytes,
//! and finds its socket full each time before it puts something there.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;

use super::{Socket, Stream};

/// Most bytes held in each direction.
const HELD_MAX: usize = 64;

/// Most bytes that a read or a write moves.
const PIECE: usize = 7;

/// Whether the socket takes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    Full,
    Free,
}

/// The stream.
#[derive(Debug)]
pub struct Holding {
    stream: UnixStream,
    /// Taken from the socket and not given out.
    arrived: BytesMut,
    /// Given and not put on the socket.
    leaving: BytesMut,
    room: Room,
}

impl Holding {
    /// A stream that holds bytes, and its peer, which does not.
    pub(crate) fn pair() -> io::Result<(Stream, UnixStream)> {
        Self::sockets().map(|(socket, peer)| (Stream::Plain(socket), peer))
    }

    /// The same for what stands over a socket.
    pub(crate) fn sockets() -> io::Result<(Socket, UnixStream)> {
        let (stream, peer) = UnixStream::pair()?;
        let holding = Self { stream, arrived: BytesMut::new(), leaving: BytesMut::new(), room: Room::Full };
        Ok((Socket::Holding(Box::new(holding)), peer))
    }

    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.arrived.is_empty() { self.stream.poll_read_ready(cx) } else { Poll::Ready(Ok(())) }
    }

    pub(super) fn is_flushed(&self) -> bool {
        self.leaving.is_empty()
    }
}

impl AsyncRead for Holding {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.arrived.is_empty() {
            let mut ahead = [0; HELD_MAX];
            let mut ahead = ReadBuf::new(&mut ahead);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut ahead))?;
            self.arrived.extend_from_slice(ahead.filled());
        }
        let n = PIECE.min(buffer.remaining()).min(self.arrived.len());
        buffer.put_slice(&self.arrived.split_to(n));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Holding {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.leaving.len() >= HELD_MAX {
            ready!(self.as_mut().poll_flush(cx))?;
        }
        let n = PIECE.min(bytes.len()).min(HELD_MAX - self.leaving.len());
        self.leaving.extend_from_slice(&bytes[..n]);
        Poll::Ready(Ok(n))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, leaving, room, .. } = &mut *self;
        while !leaving.is_empty() {
            if *room == Room::Full {
                *room = Room::Free;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let piece = &leaving[..PIECE.min(leaving.len())];
            let n = ready!(Pin::new(&mut *stream).poll_write(cx, piece))?;
            leaving.advance(n);
            *room = Room::Full;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
