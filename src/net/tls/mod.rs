//! Encryption of streams by TLS, as either end of it. Knows of certificates, and of nobody's name in PostgreSQL.
//!
//! rustls does the cryptography, by ring; a process-wide default of it is never set.

mod acceptor;
mod end_point;
mod names;
mod pem;
mod stream;
#[cfg(test)]
pub(crate) mod test_certificates;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::ring;

pub use acceptor::{Acceptor, AcceptorError, AcceptorFiles, Agreed, PROTOCOL};
pub use end_point::end_point;
pub use pem::{PemError, read_certificates, read_key, read_revocation_lists};
pub use stream::{Secured, accept, connect};

/// Where every configuration of TLS has its cryptography from.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
