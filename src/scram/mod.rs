//! SCRAM-SHA-256 (RFC 5802, RFC 7677), as far as it is keys and what is computed with them: what a verifier is, the key that
//! a login against it proves, and how that key logs in elsewhere.
//!
//! It knows no sockets and no users, and never waits. The server's half of an exchange is in `frontend`.

#[cfg(test)]
#[path = "agreement_tests.rs"]
pub(crate) mod agreement;
mod client;
mod client_key;
#[cfg(test)]
#[path = "recorded_tests.rs"]
pub(crate) mod recorded;
mod verifier;

pub(crate) use client::{Binding, ClientFirst, Mistrust};
pub use client_key::{ClientKey, PassKey};
pub use verifier::Verifier;
pub(crate) use verifier::{SALT_LENGTH, hmac};
