//! Encryption of streams by TLS, as either end of it. Knows of certificates, and of nobody's name in PostgreSQL.
//!
//! rustls does the cryptography, by ring; a process-wide default of it is never set.

mod acceptor;
mod dialled;
mod end_point;
mod failure;
mod handshakes;
mod host_name;
mod names;
mod passphrase;
mod pem;
mod revocation;
mod server_tls;
mod sslmode;
mod stream;
#[cfg(test)]
pub(crate) mod test_certificates;
mod verify;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::ring;

pub use acceptor::{Acceptor, AcceptorError, AcceptorFiles, PROTOCOL};
pub use dialled::{Dialled, Target, names_host};
pub use end_point::end_point;
pub use failure::TlsFailure;
pub(crate) use failure::in_one_line;
pub use handshakes::HandshakeCounts;
pub use passphrase::Passphrase;
pub use pem::{PemError, read_certificates, read_key, read_revocation_lists};
pub use server_tls::{Identity, Root, ServerTls, Terms};
pub use sslmode::{SslMode, Way};
pub use stream::{Secured, accept, connect};

/// Where every configuration of TLS has its cryptography from.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
