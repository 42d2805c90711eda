//! The client's end of TLS: it trusts one authority and nobody else, and looks at the name.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::front;

/// An encrypted socket.
pub type Secured = StreamOwned<ClientConnection, TcpStream>;

/// How long a handshake may wait for a word.
const PATIENCE: Duration = Duration::from_secs(10);

/// A port of the loopback address behind which somebody speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsAddress {
    /// The port.
    pub port: u16,
    /// Who must have issued the certificate, in DER.
    pub authority: Vec<u8>,
    /// How it begins.
    pub hello: Hello,
}

/// How TLS begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hello {
    /// When an SSLRequest has been answered.
    Asked,
    /// With the first byte. Within it this is to be spoken (ALPN).
    Direct(Option<Vec<u8>>),
}

/// Makes a socket an encrypted one.
pub(super) fn secured(mut socket: TcpStream, address: &TlsAddress) -> io::Result<Box<Secured>> {
    socket.set_read_timeout(Some(PATIENCE))?;
    if address.hello == Hello::Asked {
        socket.write_all(&front::ssl_request())?;
        let mut answer = [0];
        socket.read_exact(&mut answer)?;
        if answer != *b"S" {
            return Err(io::Error::other("it does not want to speak TLS"));
        }
    }
    let name = ServerName::try_from("127.0.0.1").map_err(io::Error::other)?;
    let mut session = ClientConnection::new(config(address)?, name).map_err(io::Error::other)?;
    while session.is_handshaking() {
        session.complete_io(&mut socket)?;
    }
    Ok(Box::new(StreamOwned::new(session, socket)))
}

fn config(address: &TlsAddress) -> io::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_slice(&address.authority)).map_err(io::Error::other)?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    if let Hello::Direct(Some(protocol)) = &address.hello {
        config.alpn_protocols = vec![protocol.clone()];
    }
    Ok(Arc::new(config))
}
