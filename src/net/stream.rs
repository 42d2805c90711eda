//! A byte stream to a client or to a server.
//!
//! What lies between weir and the socket is this file's affair: whoever reads or writes sees bytes, and need not know
//! whether a layer in between keeps some of them for a while.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;

use super::socket::Socket;
use super::tls::Secured;

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
    /// A socket as it is.
    Plain(Socket),
    /// An encrypted stream over one.
    Tls(Box<Secured>),
}

impl Stream {
    /// From now on the peer may take its time to read. The kernel's limit for what is sent and not acknowledged holds for
    /// a peer as well that has no room for more, and a server process that waits for a lock reads nothing. What the limit
    /// was, if there was one.
    pub fn wait_for_room(&self) -> io::Result<Option<Duration>> {
        self.socket().wait_for_room()
    }

    /// From now on the kernel gives up a peer that does not take what it is sent for as long as that.
    pub fn give_up_after(&self, limit: Option<Duration>) -> io::Result<()> {
        self.socket().give_up_after(limit)
    }

    /// The descriptor of a stream that is not encrypted, for another process.
    ///
    /// # Errors
    /// When the runtime does not let go of it, or keys of this process encrypt it.
    pub fn into_descriptor(self) -> io::Result<OwnedFd> {
        match self {
            Stream::Plain(Socket::Tcp(stream)) => stream.into_std().map(OwnedFd::from),
            Stream::Plain(Socket::Unix(stream)) => stream.into_std().map(OwnedFd::from),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// The stream of somebody on this machine, without what is there for those who pass on any.
    pub fn into_unix(self) -> Option<UnixStream> {
        match self {
            Stream::Plain(Socket::Unix(stream)) => Some(stream),
            _ => None,
        }
    }

    /// What lies below any encryption.
    fn socket(&self) -> &Socket {
        match self {
            Stream::Plain(socket) => socket,
            Stream::Tls(stream) => stream.socket(),
        }
    }

    /// The protocol that both ends have agreed to speak within the encryption (ALPN).
    pub(super) fn protocol(&self) -> Option<&[u8]> {
        match self {
            Stream::Plain(_) => None,
            Stream::Tls(stream) => stream.protocol(),
        }
    }

    /// Ready when a read would give something, or the end. May be ready in vain; costs no system call. Cancel safe.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Plain(socket) => socket.poll_readable(cx),
            Stream::Tls(stream) => stream.poll_readable(cx),
        }
    }

    /// How many bytes a read would give, where that can be known, and the end counts as none. Cancel safe.
    pub(super) fn poll_arrived(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<usize>>> {
        match self {
            Stream::Plain(_) => Poll::Ready(Ok(None)),
            Stream::Tls(stream) => stream.poll_arrived(cx).map_ok(Some),
        }
    }

    /// The next byte that the peer has sent, which stays to be read; `None` at the end, and of what is no TCP socket. Cancel
    /// safe.
    pub(super) async fn peek(&self) -> io::Result<Option<u8>> {
        let Stream::Plain(socket) = self else { return Ok(None) };
        poll_fn(|cx| socket.poll_peek(cx)).await
    }

    /// Whether all that was written is on the socket.
    pub fn is_flushed(&self) -> bool {
        match self {
            Stream::Plain(socket) => socket.is_flushed(),
            Stream::Tls(stream) => stream.is_flushed(),
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
            Stream::Plain(socket) => Pin::new(socket).poll_read(cx, buffer),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(socket) => Pin::new(socket).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(socket) => Pin::new(socket).poll_write_vectored(cx, slices),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
        }
    }
}
