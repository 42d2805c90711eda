//! A byte stream to a client or to a server.
//!
//! What lies between weir and the socket is this file's affair: whoever reads or writes sees bytes, and need not know
//! whether a layer in between keeps some of them for a while.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::keepalive;
use super::tls::Secured;

/// A client that vanished without a word (a cut cable, a lost virtual machine) is noticed after about two minutes.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// A connected stream. It may hold bytes in either direction (a layer of encryption does), and forgets none of them:
///
/// - What it has taken from the socket and not given out yet is to be read: [`Stream::poll_readable`] is ready at once
///   while there is any, whatever the socket says.
/// - What it has been given and not put on the socket yet goes out when it is flushed, and not otherwise. Whoever
///   writes polls [`AsyncWrite::poll_flush`] behind the last byte, and again whenever the task runs, until
///   [`Stream::is_flushed`]. It is the stream that remembers what is left, so that nobody else has to.
/// - A shutdown flushes first.
///
/// A plain socket holds nothing: its flush is no system call. A variant that holds bytes answers each question below for
/// itself, and is to pass the tests that run over `Holding`.
#[derive(Debug)]
pub enum Stream {
    /// TCP, with `TCP_NODELAY` and keepalive.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
    /// One of the others, encrypted.
    Tls(Box<Secured>),
    /// One that holds as much as it may.
    #[cfg(test)]
    Holding(Box<super::holding::Holding>),
}

impl Stream {
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
        Ok(Stream::Tcp(stream))
    }

    /// From now on the peer may take its time to read. The kernel's limit for what is sent and not acknowledged holds for
    /// a peer as well that has no room for more, and a server process that waits for a lock reads nothing. What the limit
    /// was, if there was one.
    pub fn wait_for_room(&self) -> io::Result<Option<Duration>> {
        let Stream::Tcp(stream) = self.socket() else { return Ok(None) };
        let limit = keepalive::given_up_after(stream)?;
        keepalive::give_up_after(stream, None)?;
        Ok(limit)
    }

    /// From now on the kernel gives up a peer that does not take what it is sent for as long as that.
    pub fn give_up_after(&self, limit: Option<Duration>) -> io::Result<()> {
        match self.socket() {
            Stream::Tcp(stream) => keepalive::give_up_after(stream, limit),
            _ => Ok(()),
        }
    }

    /// What lies below any encryption.
    fn socket(&self) -> &Stream {
        match self {
            Stream::Tls(stream) => stream.socket(),
            socket => socket,
        }
    }

    /// Ready when a read would give something, or the end. May be ready in vain; costs no system call. Cancel safe.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Tcp(stream) => stream.poll_read_ready(cx),
            Stream::Unix(stream) => stream.poll_read_ready(cx),
            Stream::Tls(stream) => stream.poll_readable(cx),
            #[cfg(test)]
            Stream::Holding(stream) => stream.poll_readable(cx),
        }
    }

    /// The next byte that the peer has sent, which stays to be read; `None` at the end, and of what is no TCP socket. Cancel
    /// safe.
    pub(super) async fn peek(&self) -> io::Result<Option<u8>> {
        let Stream::Tcp(stream) = self else { return Ok(None) };
        let mut first = [0];
        let n = stream.peek(&mut first).await?;
        Ok(first.first().copied().filter(|_| n > 0))
    }

    /// Whether all that was written is on the socket.
    pub fn is_flushed(&self) -> bool {
        match self {
            Stream::Tcp(_) | Stream::Unix(_) => true,
            Stream::Tls(stream) => stream.is_flushed(),
            #[cfg(test)]
            Stream::Holding(stream) => stream.is_flushed(),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_read(cx, buffer),
            #[cfg(test)]
            Stream::Holding(stream) => Pin::new(&mut **stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_write(cx, bytes),
            #[cfg(test)]
            Stream::Holding(stream) => Pin::new(&mut **stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Stream::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_write_vectored(cx, slices),
            #[cfg(test)]
            Stream::Holding(stream) => Pin::new(&mut **stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_flush(cx),
            #[cfg(test)]
            Stream::Holding(stream) => Pin::new(&mut **stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
            #[cfg(test)]
            Stream::Holding(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
        }
    }
}
