//! A socket that is connected, and its options.
//!
//! It puts nothing between weir and the kernel: what encrypts stands over it (`net/tls`), and `Stream` over both.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::keepalive;

/// A client that vanished without a word (a cut cable, a lost virtual machine) is noticed after about two minutes.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// A connected socket. It holds no bytes, so that its flush is no system call; but the tests' one does, and whoever stands
/// over a socket keeps to what `Stream` says of such.
#[derive(Debug)]
pub enum Socket {
    /// TCP, with `TCP_NODELAY` and keepalive.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
    /// One that holds as much as it may.
    #[cfg(test)]
    Holding(Box<super::holding::Holding>),
}

impl Socket {
    /// Takes a client's TCP connection and sets its options: whole replies are written at once, so waiting for more
    /// bytes (Nagle) only ever adds latency.
    pub fn tcp(stream: TcpStream) -> io::Result<Self> {
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL);
        SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
        Self::to_server(stream)
    }

    /// The same for one to a server, whose keepalive is set already.
    pub(super) fn to_server(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Socket::Tcp(stream))
    }

    /// As [`super::Stream::wait_for_room`].
    pub(super) fn wait_for_room(&self) -> io::Result<Option<Duration>> {
        let Socket::Tcp(stream) = self else { return Ok(None) };
        let limit = keepalive::given_up_after(stream)?;
        keepalive::give_up_after(stream, None)?;
        Ok(limit)
    }

    /// As [`super::Stream::give_up_after`].
    pub(super) fn give_up_after(&self, limit: Option<Duration>) -> io::Result<()> {
        match self {
            Socket::Tcp(stream) => keepalive::give_up_after(stream, limit),
            _ => Ok(()),
        }
    }

    /// Ready when a read would give something, or the end. May be ready in vain; costs no system call. Cancel safe.
    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Socket::Tcp(stream) => stream.poll_read_ready(cx),
            Socket::Unix(stream) => stream.poll_read_ready(cx),
            #[cfg(test)]
            Socket::Holding(stream) => stream.poll_readable(cx),
        }
    }

    /// The next byte that the peer has sent, which stays to be read; `None` at the end, and of what is no TCP socket.
    pub(super) fn poll_peek(&self, cx: &mut Context<'_>) -> Poll<io::Result<Option<u8>>> {
        let Socket::Tcp(stream) = self else { return Poll::Ready(Ok(None)) };
        let mut first = [0];
        let n = ready!(stream.poll_peek(cx, &mut ReadBuf::new(&mut first)))?;
        Poll::Ready(Ok(first.first().copied().filter(|_| n > 0)))
    }

    /// Whether all that was written is with the kernel.
    pub(super) fn is_flushed(&self) -> bool {
        match self {
            Socket::Tcp(_) | Socket::Unix(_) => true,
            #[cfg(test)]
            Socket::Holding(stream) => stream.is_flushed(),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Socket::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
            #[cfg(test)]
            Socket::Holding(stream) => Pin::new(&mut **stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Socket::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            #[cfg(test)]
            Socket::Holding(stream) => Pin::new(&mut **stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Socket::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            #[cfg(test)]
            Socket::Holding(stream) => Pin::new(&mut **stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Socket::Unix(stream) => Pin::new(stream).poll_flush(cx),
            #[cfg(test)]
            Socket::Holding(stream) => Pin::new(&mut **stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Socket::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            #[cfg(test)]
            Socket::Holding(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
        }
    }
}
