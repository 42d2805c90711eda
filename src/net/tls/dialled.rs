//! Connecting to a server as `sslmode` says. One connection at a time: whether another is tried after a refused login, who logs
//! in decides, by [`Target::second`].
//!
//! Nothing that a server says before the handshake is believed but the one letter that it is asked for, and nothing may stand
//! behind that: whoever sits in between could have put it there.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::PROTOCOL;
use super::end_point::end_point;
use super::failure::{TlsFailure, in_one_line};
use super::server_tls::ServerTls;
use super::sslmode::{SslMode, Tried, Way};
use super::stream;
use crate::net::dial::dial;
use crate::net::peer::{Encryption, Tls};
use crate::net::{Keepalive, Socket, Stream};

/// SSLRequest: its length, and a code that no protocol version has.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// A server to connect to.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// Its host, or the directory of its Unix socket when it begins with `/`.
    pub host: &'a str,
    /// Its port.
    pub port: u16,
    /// Where that is, when it is known already; nobody is asked then. Its certificate is for the host all the same.
    pub address: Option<IpAddr>,
    /// TLS towards it.
    pub tls: &'a Arc<ServerTls>,
}

/// A connection to a server.
#[derive(Debug)]
pub struct Dialled {
    /// What carries it.
    pub stream: Stream,
    /// How that is encrypted.
    pub encryption: Encryption,
}

impl Dialled {
    fn plain(socket: Socket) -> Self {
        Self { stream: Stream::Plain(socket), encryption: Encryption::None }
    }

    /// How to make another like this, for what is said about it: a cancel request.
    pub fn again(&self, way: Way) -> Way {
        match (&self.encryption, way) {
            (Encryption::None, _) => Way::Plain,
            (Encryption::Tls(_), Way::Direct) => Way::Direct,
            (Encryption::Tls(_), _) => Way::Demanded,
        }
    }
}

impl Target<'_> {
    /// What is tried first. Unix sockets are never encrypted.
    pub fn first(&self) -> Way {
        if self.host.starts_with('/') { Way::Plain } else { self.tls.first() }
    }

    /// What is tried, over a new connection, when the server has refused the login over one that was made `way`.
    pub fn second(&self, way: Way, encryption: &Encryption) -> Option<Way> {
        let tried = match encryption {
            Encryption::None => Tried::Plain(way),
            Encryption::Tls(_) => Tried::Tls(way),
        };
        self.tls.second(tried).filter(|_| !self.host.starts_with('/'))
    }

    /// Connects, not later than `deadline`. Where TLS is only preferred, a handshake that fails is a reason to do without.
    /// Dropping the future gives up.
    pub async fn connect(&self, way: Way, keepalive: &Keepalive, deadline: Instant) -> io::Result<Dialled> {
        match self.attempt(way, keepalive, deadline).await {
            Err(error) if way == Way::Preferred && TlsFailure::is_of_handshake(&error) => {
                let plain = self.attempt(Way::Plain, keepalive, deadline).await?;
                self.note(&plain, Some(&error));
                Ok(plain)
            }
            Ok(dialled) => {
                self.note(&dialled, None);
                Ok(dialled)
            }
            Err(error) => Err(error),
        }
    }

    /// Connects to who speaks something else than PostgreSQL's protocol, by TLS from the first byte. Dropping the future gives up.
    pub async fn connect_directly(&self, keepalive: &Keepalive, deadline: Instant) -> io::Result<Stream> {
        let Socket::Tcp(socket) = self.dial(keepalive, deadline).await? else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let handshake = async {
            // Which protocol is spoken there is nothing to agree on.
            let mut config = (*self.tls.config().await?).clone();
            config.alpn_protocols.clear();
            let host = self.server_name(&socket)?;
            stream::connect(Socket::Tcp(socket), Arc::new(config), host)
                .await
                .map_err(TlsFailure::from_handshake)
        };
        let secured = timeout_at(deadline, handshake).await;
        Ok(Stream::Tls(secured.map_err(io::Error::from)??))
    }

    async fn dial(&self, keepalive: &Keepalive, deadline: Instant) -> io::Result<Socket> {
        match self.address {
            Some(address) => dial(&address.to_string(), self.port, keepalive, deadline).await,
            None => dial(self.host, self.port, keepalive, deadline).await,
        }
    }

    async fn attempt(&self, way: Way, keepalive: &Keepalive, deadline: Instant) -> io::Result<Dialled> {
        let mut socket = match self.dial(keepalive, deadline).await? {
            Socket::Tcp(socket) if way != Way::Plain => socket,
            socket => return Ok(Dialled::plain(socket)),
        };
        let negotiation = async {
            let encrypts = way == Way::Direct || ask(&mut socket).await?;
            if encrypts {
                return self.handshake(socket, way).await;
            }
            match way {
                Way::Preferred => Ok(Dialled::plain(Socket::Tcp(socket))),
                _ => Err(TlsFailure::Unsupported.into()),
            }
        };
        timeout_at(deadline, negotiation).await.map_err(io::Error::from)?
    }

    async fn handshake(&self, socket: TcpStream, way: Way) -> io::Result<Dialled> {
        let config = self.tls.config().await?;
        let host = self.server_name(&socket)?;
        let handshake = stream::connect(Socket::Tcp(socket), config, host).await;
        let secured = handshake.map_err(TlsFailure::from_handshake)?;
        if way == Way::Direct && secured.protocol() != Some(PROTOCOL) {
            return Err(TlsFailure::NoAlpn.into());
        }
        let bound = secured.peer_certificate().and_then(end_point);
        let encryption = Encryption::Tls(Arc::new(Tls { end_point: bound, ..secured.settled() }));
        Ok(Dialled { stream: Stream::Tls(secured), encryption })
    }

    /// The name that the server is told (SNI), if it is one, and that its certificate must be for. What can be no name in a
    /// certificate is none that anybody verifies.
    fn server_name(&self, socket: &TcpStream) -> io::Result<ServerName<'static>> {
        match ServerName::try_from(self.host.to_owned()) {
            Ok(name) => Ok(name),
            Err(_) if self.tls.terms().mode < SslMode::VerifyFull => Ok(socket.peer_addr()?.ip().into()),
            Err(error) => Err(io::Error::other(error)),
        }
    }

    /// Keeps how the connection is encrypted, to be looked at, and tells it when that is another way than before.
    fn note(&self, dialled: &Dialled, failed: Option<&io::Error>) {
        let before = self.tls.note(dialled.encryption.clone());
        let (host, port) = (self.host, self.port);
        match (&dialled.encryption, failed, before) {
            (Encryption::Tls(now), _, Some(Encryption::Tls(before)))
                if (now.version, &now.cipher) == (before.version, &before.cipher) => {}
            (Encryption::Tls(now), ..) => {
                tracing::info!(host, port, version = now.version, cipher = now.cipher, "connected with TLS");
            }
            (Encryption::None, _, Some(Encryption::None)) => {}
            (Encryption::None, Some(error), _) => {
                let error = in_one_line(error);
                tracing::warn!(host, port, error, "the TLS handshake failed; connected without encryption");
            }
            (Encryption::None, None, Some(Encryption::Tls(_))) => {
                tracing::warn!(host, port, "connected without encryption, which was encrypted before");
            }
            (Encryption::None, None, None) => {}
        }
    }
}

/// Whether a certificate could be for this host.
pub fn names_host(host: &str) -> bool {
    ServerName::try_from(host).is_ok()
}

/// Asks the server for TLS. Whether it has it.
async fn ask(socket: &mut TcpStream) -> io::Result<bool> {
    socket.write_all(&SSL_REQUEST).await?;
    // One letter is to come, and room for one more shows what must not.
    let mut answer = [0; 2];
    let length = socket.read(&mut answer).await?;
    match &answer[..length] {
        [] => Err(io::ErrorKind::UnexpectedEof.into()),
        [b'E', ..] => Err(TlsFailure::ErrorResponse.into()),
        [b'S'] => Ok(true),
        [b'N'] => Ok(false),
        [b'S' | b'N', _] => Err(TlsFailure::EarlyData.into()),
        _ => Err(TlsFailure::Response.into()),
    }
}
