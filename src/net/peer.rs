//! Who is at the other end of a stream, as far as the socket and its encryption tell.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::UnixStream;

/// The other end of a stream.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Where it is.
    pub address: PeerAddress,
    /// Whether what it says travels encrypted.
    pub encryption: Encryption,
}

impl Peer {
    /// Who comes by TCP. By IPv4 to a socket of both families it is who it is elsewhere, in rules and in the log.
    pub(super) fn of_tcp(address: SocketAddr) -> Self {
        Self::plain(PeerAddress::Tcp(SocketAddr::new(address.ip().to_canonical(), address.port())))
    }

    /// Whose process the kernel says it is.
    pub(super) fn of_unix(stream: &UnixStream) -> io::Result<Self> {
        let process = stream.peer_cred()?;
        let peer = UnixPeer { uid: process.uid(), gid: process.gid(), pid: process.pid() };
        Ok(Self::plain(PeerAddress::Unix(peer)))
    }

    /// A peer of which nothing is known but where it is.
    pub fn plain(address: PeerAddress) -> Self {
        Self { address, encryption: Encryption::None }
    }
}

/// Where a peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerAddress {
    /// At the other end of a network.
    Tcp(SocketAddr),
    /// On this machine, where the kernel says whose process it is.
    Unix(UnixPeer),
}

/// A process at the other end of a Unix socket, as it was when it connected (`SO_PEERCRED`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnixPeer {
    /// The user that it runs as.
    pub uid: u32,
    /// The group that it runs as.
    pub gid: u32,
    /// Its number, where the system tells it.
    pub pid: Option<i32>,
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PeerAddress::Tcp(address) => address.fmt(f),
            PeerAddress::Unix(UnixPeer { pid: Some(pid), uid, .. }) => write!(f, "unix:pid={pid},uid={uid}"),
            PeerAddress::Unix(UnixPeer { uid, .. }) => write!(f, "unix:uid={uid}"),
        }
    }
}

/// How a stream is encrypted.
#[derive(Clone, Debug)]
pub enum Encryption {
    /// Not at all.
    None,
    /// By TLS.
    Tls(Arc<Tls>),
}

/// What a TLS handshake has settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// As PostgreSQL spells it: `TLSv1.3`.
    pub version: &'static str,
    /// The cipher suite's name.
    pub cipher: String,
    /// What binds a login to this stream (tls-server-end-point, RFC 5929): a hash of the certificate that the server's end
    /// has shown. None when its kind of signature has no such hash.
    pub end_point: Option<Vec<u8>>,
    /// The certificate that the client's end has shown, verified.
    pub certificate: Option<ClientCertificate>,
}

/// The names in a client's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The subject's common name.
    pub common_name: Option<String>,
    /// The whole subject, as RFC 2253 writes it.
    pub distinguished_name: String,
    /// The DNS names of subjectAltName.
    pub names: Vec<String>,
}
