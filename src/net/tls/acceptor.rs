//! What weir shows to clients that want TLS, and what it demands of them: read from files, and read anew when they change.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::ring::Ticketer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::handshakes::{HandshakeCounts, Handshakes};
use super::names::names;
use super::{PemError, accept, end_point, provider, read_certificates, read_key, read_revocation_lists};
use crate::net::{Socket, Stream, Tls};

/// The protocol that is spoken within, as it is registered for ALPN (PostgreSQL manual, "Protocol Flow").
pub const PROTOCOL: &[u8] = b"postgresql";

/// How many tickets for resumption a TLS 1.3 client is sent. Two serve browsers; libpq takes none.
const TICKETS: usize = 1;

/// Files, and what else holds for clients that want TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptorFiles {
    /// weir's certificate, and those between it and a root.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The certificates of those who sign clients' certificates. None are asked for without.
    pub roots: Option<PathBuf>,
    /// Certificates of clients that hold no more.
    pub revoked: Option<PathBuf>,
    /// Whether TLS 1.2 is spoken as well as 1.3.
    pub tls_1_2: bool,
}

impl AcceptorFiles {
    /// All of them.
    pub fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.certificate, &self.key].into_iter().chain(&self.roots).chain(&self.revoked)
    }
}

/// Why there is no TLS for clients.
#[derive(Debug, thiserror::Error)]
pub enum AcceptorError {
    /// A file gives nothing.
    #[error(transparent)]
    File(#[from] PemError),
    /// The files do not go together, or say what cannot be.
    #[error("{}: {why}", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// In which way.
        why: String,
    },
}

/// Accepts clients' TLS handshakes.
#[derive(Debug)]
pub struct Acceptor {
    files: AcceptorFiles,
    current: ArcSwap<Shown>,
    handshakes: Handshakes,
}

/// What is shown at present.
#[derive(Debug)]
struct Shown {
    config: Arc<ServerConfig>,
    end_point: Option<Vec<u8>>,
    /// When weir's certificate expires, in seconds since the Unix epoch.
    expires: Option<i64>,
}

impl Acceptor {
    /// Reads the files.
    ///
    /// # Errors
    /// When a file cannot be used, or certificate and key do not belong together.
    pub fn load(files: AcceptorFiles) -> Result<Self, AcceptorError> {
        let current = ArcSwap::from_pointee(Shown::load(&files)?);
        Ok(Self { files, current, handshakes: Handshakes::default() })
    }

    /// Where all of it stands.
    pub fn files(&self) -> &AcceptorFiles {
        &self.files
    }

    /// How clients' handshakes have ended so far.
    pub fn counts(&self) -> HandshakeCounts {
        self.handshakes.counts()
    }

    /// When the certificate that is shown expires, in seconds since the Unix epoch.
    pub fn expires(&self) -> Option<i64> {
        self.current.load().expires
    }

    /// Reads the files anew, for clients that come from now on. Nobody resumes an old session then: it may be one that would
    /// not be taken any more.
    ///
    /// # Errors
    /// As [`Acceptor::load`]; what held before holds on.
    pub fn reload(&self) -> Result<(), AcceptorError> {
        self.current.store(Arc::new(Shown::load(&self.files)?));
        Ok(())
    }

    /// Makes the encrypted stream of a client's, whose first bytes are those of its handshake. Not cancel safe.
    ///
    /// # Errors
    /// As [`accept`].
    pub async fn accept(&self, socket: Socket) -> io::Result<(Stream, Tls)> {
        let handshake = self.handshakes.begin();
        let shown = self.current.load_full();
        let secured = accept(socket, shown.config.clone()).await?;
        let certificate = secured.peer_certificate().map(names).transpose()?;
        handshake.done();
        let tls = Tls { end_point: shown.end_point.clone(), certificate, ..secured.settled() };
        Ok((Stream::Tls(secured), tls))
    }
}

impl Shown {
    fn load(files: &AcceptorFiles) -> Result<Self, AcceptorError> {
        let unfit = |path: &PathBuf, why: &dyn ToString| AcceptorError::Unfit {
            path: path.clone(),
            why: why.to_string(),
        };
        let chain = read_certificates(&files.certificate)?;
        let key = read_key(&files.key, None)?;
        let end_point = chain.first().and_then(|own| end_point(own));
        let expires = chain.first().and_then(|own| expires(own));
        let both: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
        let versions = if files.tls_1_2 { both } else { &both[..1] };
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .map_err(|error| unfit(&files.certificate, &error))?
            .with_client_cert_verifier(Self::verifier(files)?)
            .with_single_cert(chain, key)
            .map_err(|error| {
                unfit(&files.key, &format!("the key and {}: {error}", files.certificate.display()))
            })?;
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        config.ticketer = Ticketer::new().map_err(|error| unfit(&files.certificate, &error))?;
        config.send_tls13_tickets = TICKETS;
        Ok(Self { config: Arc::new(config), end_point, expires })
    }

    /// Who signs clients' certificates. Whether a client needs one is not decided here.
    fn verifier(files: &AcceptorFiles) -> Result<Arc<dyn ClientCertVerifier>, AcceptorError> {
        let Some(path) = &files.roots else { return Ok(Arc::new(NoClientAuth)) };
        let unfit = |why: &dyn ToString| AcceptorError::Unfit { path: path.clone(), why: why.to_string() };
        let mut roots = RootCertStore::empty();
        for root in read_certificates(path)? {
            roots.add(root).map_err(|error| unfit(&error))?;
        }
        let mut verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).allow_unauthenticated();
        if let Some(revoked) = &files.revoked {
            verifier = verifier.with_crls(read_revocation_lists(revoked)?).allow_unknown_revocation_status();
        }
        verifier.build().map_err(|error| unfit(&error))
    }
}

/// When a certificate expires, in seconds since the Unix epoch.
fn expires(certificate: &[u8]) -> Option<i64> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Some(certificate.validity().not_after.timestamp())
}

#[cfg(test)]
#[path = "acceptor_tests.rs"]
mod tests;
