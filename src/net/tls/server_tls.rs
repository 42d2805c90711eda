//! TLS towards one server: what is demanded of it, by which certificates, and what came of it last.
//!
//! The files are read when the configuration is, and again by the next connection after they have changed; while they cannot be
//! used, what was read before goes on. Connections that are open keep what they began with.

use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use rustls::pki_types::CertificateDer;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, SupportedProtocolVersion};
use tokio::task::spawn_blocking;

use super::PROTOCOL;
use super::failure::TlsFailure;
use super::passphrase::Passphrase;
use super::pem::{read_certificates, read_key};
use super::provider;
use super::revocation::Revoked;
use super::sslmode::{SslMode, Tried, Way};
use super::verify::{Roots, ServerVerifier, Trust};
use crate::net::peer::Encryption;

/// Who may have issued a server's certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Root {
    /// Anybody; it is not looked at.
    #[default]
    Anyone,
    /// Those in this file.
    File(PathBuf),
    /// Those that the system trusts.
    System,
}

/// What weir shows to a server that asks who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// A file with a certificate and those between it and its root.
    pub certificate: PathBuf,
    /// A file with its key.
    pub key: PathBuf,
    /// What that is encrypted by, where it is.
    pub passphrase: Option<Passphrase>,
}

/// What an operator says of TLS towards a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// When it is encrypted.
    pub mode: SslMode,
    /// How TLS is begun where it must be: [`Way::Demanded`] or [`Way::Direct`].
    pub begin: Way,
    /// Whether TLS 1.2 is spoken beside 1.3.
    pub tls_1_2: bool,
    /// Whom the server's certificate must come from.
    pub root: Root,
    /// A file with the lists of certificates of theirs that hold no more.
    pub revoked: Option<PathBuf>,
    /// What weir shows.
    pub identity: Option<Identity>,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            mode: SslMode::default(),
            begin: Way::Demanded,
            tls_1_2: true,
            root: Root::Anyone,
            revoked: None,
            identity: None,
        }
    }
}

/// TLS towards one server.
#[derive(Default)]
pub struct ServerTls {
    terms: Terms,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    loaded: Option<Loaded>,
    /// How the last connection was encrypted; `None` before there was one.
    last: Option<Encryption>,
}

/// What the files said, and when they were written.
#[derive(Debug)]
struct Loaded {
    config: Arc<ClientConfig>,
    stamps: Vec<Stamp>,
}

/// Another one when the file is another.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp(Option<(SystemTime, u64, u64)>);

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.terms.fmt(f)
    }
}

impl PartialEq for ServerTls {
    fn eq(&self, other: &Self) -> bool {
        self.terms == other.terms
    }
}

impl Eq for ServerTls {}

impl ServerTls {
    /// By these terms. The files are read by the first who connects.
    pub fn new(terms: Terms) -> Arc<Self> {
        Arc::new(Self { terms, state: Mutex::default() })
    }

    /// Reads the files.
    ///
    /// # Errors
    /// The first that cannot be used, and why, in words that quote nothing of what is in it.
    pub fn load(&self) -> io::Result<()> {
        let stamps = self.stamps();
        let config = self.terms.client_config()?;
        self.lock().loaded = Some(Loaded { config, stamps });
        Ok(())
    }

    /// What the operator says.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// How the last connection was encrypted; `None` before there was one.
    pub fn last(&self) -> Option<Encryption> {
        self.lock().last.clone()
    }

    pub(super) fn first(&self) -> Way {
        self.terms.mode.first(self.terms.begin)
    }

    pub(super) fn second(&self, tried: Tried) -> Option<Way> {
        self.terms.mode.second(tried)
    }

    /// What it was before.
    pub(super) fn note(&self, encryption: Encryption) -> Option<Encryption> {
        self.lock().last.replace(encryption)
    }

    /// What a handshake goes by, with the files as they are now.
    pub(super) async fn config(self: &Arc<Self>) -> io::Result<Arc<ClientConfig>> {
        if self.terms.files().next().is_none() {
            let loaded = self.lock().loaded.as_ref().map(|loaded| loaded.config.clone());
            return match loaded {
                Some(config) => Ok(config),
                None => self.loaded(),
            };
        }
        // Files may lie far away.
        let me = self.clone();
        spawn_blocking(move || me.reloaded()).await.map_err(io::Error::other)?
    }

    fn reloaded(&self) -> io::Result<Arc<ClientConfig>> {
        let stamps = self.stamps();
        let before =
            self.lock().loaded.as_ref().map(|loaded| (loaded.config.clone(), loaded.stamps == stamps));
        match before {
            Some((config, true)) => Ok(config),
            Some((config, false)) => {
                if let Err(error) = self.load() {
                    tracing::warn!(%error, "the files for TLS towards a server have changed and cannot be used; what they held before goes on");
                    self.lock().loaded = Some(Loaded { config, stamps });
                }
                self.loaded()
            }
            None => self.loaded(),
        }
    }

    fn loaded(&self) -> io::Result<Arc<ClientConfig>> {
        if let Some(loaded) = &self.lock().loaded {
            return Ok(loaded.config.clone());
        }
        self.load().map_err(|error| TlsFailure::Files(Arc::new(error)))?;
        let loaded = self.lock().loaded.as_ref().map(|loaded| loaded.config.clone());
        loaded.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn stamps(&self) -> Vec<Stamp> {
        self.terms.files().map(Stamp::of).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stamp {
    fn of(file: &Path) -> Self {
        let found = std::fs::metadata(file).ok();
        Self(found.and_then(|found| Some((found.modified().ok()?, found.len(), found.ino()))))
    }
}

impl Terms {
    /// Whether any certificate or key is to be read.
    pub fn has_files(&self) -> bool {
        self.root != Root::Anyone || self.revoked.is_some() || self.identity.is_some()
    }

    fn files(&self) -> impl Iterator<Item = &Path> {
        let root = match &self.root {
            Root::File(file) => Some(&**file),
            Root::Anyone | Root::System => None,
        };
        let identity = self.identity.iter().flat_map(|own| [&*own.certificate, &*own.key]);
        root.into_iter().chain(self.revoked.as_deref()).chain(identity)
    }

    fn client_config(&self) -> io::Result<Arc<ClientConfig>> {
        let provider = provider();
        let revoked = self.revoked.as_deref().map(Revoked::read).transpose()?;
        let algorithms = provider.signature_verification_algorithms;
        let verifier = ServerVerifier::new(self.trust()?, revoked, algorithms);
        let both: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(if self.tls_1_2 { both } else { &both[..1] })
            .map_err(io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let chain = read_certificates(&own.certificate).map_err(io::Error::other)?;
                let key = read_key(&own.key, own.passphrase.as_ref()).map_err(io::Error::other)?;
                builder.with_client_auth_cert(chain, key).map_err(|error| {
                    io::Error::other(format!(
                        "{}: it does not go with its certificate: {error}",
                        own.key.display()
                    ))
                })?
            }
        };
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        Ok(Arc::new(config))
    }

    /// A root certificate is looked at in every mode that has TLS, as libpq does.
    fn trust(&self) -> io::Result<Trust> {
        let roots = match &self.root {
            // The configuration is refused before; whoever comes here by another way must not be less safe.
            Root::Anyone if self.mode >= SslMode::VerifyCa => {
                return Err(io::Error::other("there is no root certificate to verify the server's by"));
            }
            Root::Anyone => return Ok(Trust::Anyone),
            Root::File(file) => read_certificates(file).map_err(io::Error::other)?,
            Root::System => system_roots()?,
        };
        let roots = Roots::new(roots);
        Ok(if self.mode == SslMode::VerifyFull { Trust::Host(roots) } else { Trust::Issuers(roots) })
    }
}

fn system_roots() -> io::Result<Vec<CertificateDer<'static>>> {
    let found = rustls_native_certs::load_native_certs();
    match found.errors.into_iter().next() {
        Some(error) if found.certs.is_empty() => Err(io::Error::other(error)),
        None if found.certs.is_empty() => Err(io::Error::other("the system has no root certificates")),
        _ => Ok(found.certs),
    }
}
