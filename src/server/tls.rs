//! What clients are encrypted by while weir runs: read at the start, and anew when it is told to or when a file changes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::{ListenTls, Watched};
use crate::frontend::Encrypt;
use crate::net::tls::{Acceptor, AcceptorError, AcceptorFiles, HandshakeCounts};
use crate::telemetry::metrics::{Metrics, raise_to};

/// How one listener encrypts.
#[derive(Clone, Debug)]
pub(super) enum Encrypting {
    Off,
    Allow(Arc<Acceptor>),
    Require(Arc<Acceptor>),
}

impl Encrypting {
    pub(super) fn as_offered(&self) -> Encrypt<'_> {
        match self {
            Encrypting::Off => Encrypt::Off,
            Encrypting::Allow(acceptor) => Encrypt::Allow(acceptor),
            Encrypting::Require(acceptor) => Encrypt::Require(acceptor),
        }
    }
}

/// All acceptors that there were. Listeners with the same files have one, so that a client may resume at one what it began
/// at another, and handshakes are counted where they were.
#[derive(Clone, Debug, Default)]
pub(super) struct Acceptors(Arc<Mutex<Vec<Arc<Acceptor>>>>);

impl Acceptors {
    /// How a listener encrypts that is configured so. Blocks.
    pub(super) fn of(&self, configured: &ListenTls) -> Result<Encrypting, AcceptorError> {
        Ok(match configured {
            ListenTls::Off => Encrypting::Off,
            ListenTls::Allow(files) => Encrypting::Allow(self.acceptor(files)?),
            ListenTls::Require(files) => Encrypting::Require(self.acceptor(files)?),
        })
    }

    fn acceptor(&self, files: &AcceptorFiles) -> Result<Arc<Acceptor>, AcceptorError> {
        let mut all = self.lock();
        if let Some(known) = all.iter().find(|acceptor| acceptor.files() == files) {
            return Ok(known.clone());
        }
        let acceptor = Arc::new(Acceptor::load(files.clone())?);
        all.push(acceptor.clone());
        Ok(acceptor)
    }

    /// Has handshakes counted in the figures.
    pub(super) fn watch_figures(&self, metrics: &Metrics) {
        let acceptors = self.clone();
        metrics.before_scrape(move |metrics| {
            let all = acceptors.lock();
            let sum = |of: fn(HandshakeCounts) -> u64| all.iter().map(|acceptor| of(acceptor.counts())).sum();
            raise_to(&metrics.tls_handshakes.ok, sum(|counts| counts.ok));
            raise_to(&metrics.tls_handshakes.failed, sum(|counts| counts.failed));
            drop(all);
            let used = acceptors.used();
            let expiry =
                |one: &Arc<Acceptor>| Some((one.files().certificate.display().to_string(), one.expires()?));
            let expiries: Vec<_> = used.iter().filter_map(expiry).collect();
            metrics.set_certificates(expiries.iter().map(|(file, expires)| (file.as_str(), *expires)));
        });
    }

    /// How all files look that are in use.
    pub(super) fn watched(&self) -> Watched {
        let mut watched = Watched::default();
        let used = self.used();
        used.iter().flat_map(|acceptor| acceptor.files().paths()).for_each(|path| watched.look_at(path));
        watched
    }

    /// Reads all files anew that are in use, and says how they looked. Blocks.
    pub(super) fn reload(&self) -> Watched {
        let watched = self.watched();
        for acceptor in self.used() {
            let certificate = acceptor.files().certificate.display();
            match acceptor.reload() {
                Ok(()) => tracing::info!(%certificate, "read anew, and shown to new clients"),
                Err(error) => {
                    tracing::error!(%certificate, %error, "read anew, and not taken: what was shown before is shown on");
                }
            }
        }
        watched
    }

    /// Those that a listener has, or a client that is about to be encrypted by one.
    fn used(&self) -> Vec<Arc<Acceptor>> {
        self.lock().iter().filter(|acceptor| Arc::strong_count(acceptor) > 1).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Acceptor>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
