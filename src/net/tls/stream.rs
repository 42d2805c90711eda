//! A stream whose bytes travel encrypted: the handshake, and what follows it.
//!
//! rustls keeps bytes in both directions, and this file makes a `Stream` of that which keeps `Stream`'s contract. It gives
//! bytes to the socket when it is flushed or its room is used up, so that what was written in several pieces leaves in one
//! system call; and a peer that does not read makes it hold [`UNSENT_MAX`] and not more.

use std::future::poll_fn;
use std::io::{self, BufRead, IoSlice, Read, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use rustls::pki_types::ServerName;
use rustls::{CipherSuite, ClientConfig, ClientConnection, Connection, ProtocolVersion};
use rustls::{ServerConfig, ServerConnection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::poll_read_buf;

use crate::net::{Socket, Tls};

/// Most bytes that are encrypted and not on the socket. What the relay passes on at once is not often more.
const UNSENT_MAX: usize = 64 << 10;

/// What rustls takes from the socket in one read. Who has that much waiting has more.
const PIECE: usize = 4 << 10;

/// What is read at once from a peer that sends much: as much as the relay reads from a plain socket then.
const AHEAD: usize = 128 << 10;

/// An encrypted stream over a socket.
#[derive(Debug)]
pub struct Secured {
    socket: Socket,
    session: Connection,
    /// How many decrypted bytes the session holds, so that it is not asked in vain.
    decrypted: usize,
    /// Whether nothing more is to be decrypted.
    ended: bool,
    /// Encrypted bytes that were read ahead. No memory while there are none.
    ahead: BytesMut,
    /// How many the last read from the socket gave: whoever sends a [`PIECE`] at once sends more.
    arrived: usize,
}

/// Makes the encrypted stream of a client's, as `config` says. Not cancel safe.
///
/// # Errors
/// Of the socket, or with a [`rustls::Error`] in it: the two do not come together. The peer has been told by an alert, as
/// far as its socket took it at once.
pub async fn accept(socket: Socket, config: Arc<ServerConfig>) -> io::Result<Box<Secured>> {
    let session = ServerConnection::new(config).map_err(io::Error::other)?;
    handshake(Secured::new(socket, session.into())).await
}

/// Makes the encrypted stream of one to the server `name`, as `config` says. Not cancel safe.
///
/// # Errors
/// As [`accept`].
pub async fn connect(
    socket: Socket,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
) -> io::Result<Box<Secured>> {
    let session = ClientConnection::new(config, name).map_err(io::Error::other)?;
    handshake(Secured::new(socket, session.into())).await
}

async fn handshake(mut secured: Box<Secured>) -> io::Result<Box<Secured>> {
    poll_fn(|cx| secured.poll_handshake(cx)).await?;
    Ok(secured)
}

impl Secured {
    fn new(socket: Socket, mut session: Connection) -> Box<Self> {
        session.set_buffer_limit(Some(UNSENT_MAX));
        Box::new(Self { socket, session, decrypted: 0, ended: false, ahead: BytesMut::new(), arrived: 0 })
    }

    /// What the handshake has settled, but for certificates: those are in [`Secured::peer_certificate`], and with whoever
    /// has shown one.
    pub fn settled(&self) -> Tls {
        let version = match self.session.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "TLSv1.3",
        };
        let cipher = self.session.negotiated_cipher_suite().map(|suite| cipher_name(suite.suite()));
        Tls { version, cipher: cipher.unwrap_or_default(), end_point: None, certificate: None }
    }

    /// The certificate that the other end has shown, in DER.
    pub fn peer_certificate(&self) -> Option<&[u8]> {
        self.session.peer_certificates()?.first().map(AsRef::as_ref)
    }

    /// The protocol that both ends agreed to speak within (ALPN).
    pub fn protocol(&self) -> Option<&[u8]> {
        self.session.alpn_protocol()
    }

    /// What lies below.
    pub(crate) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Decrypted bytes, encrypted ones that were read ahead, and the end are all known here and nowhere else.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let holds = !self.session.wants_read() || !self.ahead.is_empty();
        if holds { Poll::Ready(Ok(())) } else { self.socket.poll_readable(cx) }
    }

    /// Decrypts what has come: ready when a read would give something, with how many bytes that is, or the end.
    pub(crate) fn poll_arrived(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        while self.decrypted == 0 && !self.ended {
            ready!(self.poll_fetch(cx))?;
        }
        Poll::Ready(Ok(self.decrypted))
    }

    pub(crate) fn is_flushed(&self) -> bool {
        !self.session.wants_write() && self.socket.is_flushed()
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_send(cx))?;
            if !self.session.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            if ready!(self.poll_fetch(cx))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// Takes encrypted bytes from the socket and decrypts what is whole of them. Gives how many there were, 0 at the end.
    fn poll_fetch(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.ahead.is_empty() && self.arrived >= PIECE {
            self.ahead.reserve(AHEAD);
            let read = poll_read_buf(Pin::new(&mut self.socket), cx, &mut self.ahead);
            self.arrived = self.ahead.len();
            if self.ahead.is_empty() {
                self.ahead = BytesMut::new();
                return read;
            }
        }
        let n = if self.ahead.is_empty() {
            let n = ready!(blocking(self.session.read_tls(&mut NotWaiting(&mut self.socket, cx))))?;
            self.arrived = n;
            n
        } else {
            let n = self.session.read_tls(&mut &self.ahead[..])?;
            self.ahead.advance(n);
            if self.ahead.is_empty() {
                self.ahead = BytesMut::new();
            }
            n
        };
        self.ended |= n == 0;
        let state = self.session.process_new_packets();
        // What it asks to be answered by itself, such as an alert. What is left of that is part of the next flush.
        if self.session.wants_write() {
            let _ = self.session.write_tls(&mut NotWaiting(&mut self.socket, cx));
        }
        let state = state.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        self.decrypted = state.plaintext_bytes_to_read();
        self.ended |= state.peer_has_closed();
        Poll::Ready(Ok(n))
    }

    /// Puts on the socket what is encrypted.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.session.wants_write() {
            ready!(self.poll_send_some(cx))?;
        }
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_send_some(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(blocking(self.session.write_tls(&mut NotWaiting(&mut self.socket, cx))))? {
            0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Gives out what is decrypted, as far as it fits.
    fn give(&mut self, buffer: &mut ReadBuf<'_>) -> io::Result<()> {
        while self.decrypted > 0 && buffer.remaining() > 0 {
            let chunk = self.session.reader().into_first_chunk()?;
            let n = chunk.len().min(buffer.remaining());
            buffer.put_slice(&chunk[..n]);
            self.session.reader().consume(n);
            self.decrypted -= n;
        }
        Ok(())
    }

    /// Whether the peer has ended the stream, and all that came before is given out. Without a farewell (close_notify), too:
    /// PostgreSQL's messages have lengths, so what is cut off shows.
    fn has_ended(&self) -> bool {
        self.ended && self.decrypted == 0
    }
}

impl AsyncRead for Secured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.remaining();
        loop {
            self.give(buffer)?;
            let something = buffer.remaining() < before || before == 0;
            // What was read ahead fills the rest of the buffer; the socket is not asked for that.
            let enough = something && (self.ahead.is_empty() || buffer.remaining() == 0);
            if enough || self.has_ended() {
                return Poll::Ready(Ok(()));
            }
            match self.poll_fetch(cx) {
                Poll::Ready(Ok(_)) => {}
                _ if something => return Poll::Ready(Ok(())),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl AsyncWrite for Secured {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if slices.iter().all(|slice| slice.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        loop {
            let n = self.session.writer().write_vectored(slices)?;
            if n > 0 {
                return Poll::Ready(Ok(n));
            }
            ready!(self.poll_send_some(cx))?;
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_send(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.session.send_close_notify();
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// A socket as rustls reads and writes it: what would have to wait is an error.
struct NotWaiting<'a, 'b>(&'a mut Socket, &'a mut Context<'b>);

impl Read for NotWaiting<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(buffer);
        waiting(Pin::new(&mut *self.0).poll_read(self.1, &mut buffer))?;
        Ok(buffer.filled().len())
    }
}

impl Write for NotWaiting<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        waiting(Pin::new(&mut *self.0).poll_write(self.1, bytes))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if let [one] = slices {
            // The usual answer is one record, and the kernel spends less on send than on writev.
            return self.write(one);
        }
        waiting(Pin::new(&mut *self.0).poll_write_vectored(self.1, slices))
    }

    fn flush(&mut self) -> io::Result<()> {
        waiting(Pin::new(&mut *self.0).poll_flush(self.1))
    }
}

fn waiting<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

fn blocking<T>(result: io::Result<T>) -> Poll<io::Result<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        result => Poll::Ready(result),
    }
}

/// The name that PostgreSQL shows, which is OpenSSL's.
fn cipher_name(suite: CipherSuite) -> String {
    let name = match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => "ECDHE-ECDSA-AES128-GCM-SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 => "ECDHE-ECDSA-AES256-GCM-SHA384",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-ECDSA-CHACHA20-POLY1305",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => "ECDHE-RSA-AES128-GCM-SHA256",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => "ECDHE-RSA-AES256-GCM-SHA384",
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-RSA-CHACHA20-POLY1305",
        other => return format!("{other:?}"),
    };
    name.to_owned()
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
