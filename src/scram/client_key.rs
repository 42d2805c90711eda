//! What a client's proof gives away: ClientKey. Whoever has it can log in wherever its verifier is stored, as with the
//! password itself, so it is wiped when it is dropped, and printed never.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};

use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

use super::Verifier;

/// ClientKey (RFC 5802, section 3). Equality takes the same time whatever differs.
#[derive(Clone)]
pub struct ClientKey(Zeroizing<[u8; 32]>);

impl ClientKey {
    /// Wraps a key.
    pub fn new(key: [u8; 32]) -> Self {
        Self(Zeroizing::new(key))
    }

    /// The key itself, for the one place that computes a proof with it.
    pub(crate) fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether a verifier is of this key.
    pub(crate) fn fits(&self, verifier: &Verifier) -> Choice {
        Sha256::digest(self.expose()).as_slice().ct_eq(&verifier.stored_key)
    }
}

impl PartialEq for ClientKey {
    fn eq(&self, other: &Self) -> bool {
        self.expose().ct_eq(other.expose()).into()
    }
}

impl Eq for ClientKey {}

impl fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientKey(***)")
    }
}

/// What logs in to a server in place of a password: the key, and the verifier that it belongs to, which must be the
/// server's as well. Wiped when nobody has it any more.
#[derive(Debug)]
pub struct PassKey {
    /// Whose key it is.
    pub(crate) verifier: Verifier,
    /// The key.
    pub(crate) client_key: ClientKey,
    /// Whether the user has proved the key of another verifier since.
    superseded: AtomicBool,
}

impl PassKey {
    /// A key, and its verifier.
    pub fn new(verifier: Verifier, client_key: ClientKey) -> Self {
        Self { verifier, client_key, superseded: AtomicBool::new(false) }
    }

    /// Whether another key of the user's holds by now.
    pub(crate) fn is_superseded(&self) -> bool {
        self.superseded.load(Ordering::Relaxed)
    }

    pub(crate) fn supersede(&self, by_another: &PassKey) {
        self.superseded.store(self != by_another, Ordering::Relaxed);
    }
}

// Who has the same key has the same pools, whenever it was proved.
impl PartialEq for PassKey {
    fn eq(&self, other: &Self) -> bool {
        self.verifier == other.verifier && self.client_key == other.client_key
    }
}

impl Eq for PassKey {}

impl Hash for PassKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // The key follows from it.
        self.verifier.stored_key.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_key_is_printed() {
        let pass_key = PassKey::new(Verifier::of_password("pencil"), ClientKey::new([7; 32]));
        assert_eq!(
            format!("{pass_key:?}"),
            "PassKey { verifier: Verifier { iterations: 4096, .. }, client_key: ClientKey(***), superseded: false }"
        );
    }

    #[test]
    fn keys_are_equal_by_their_content_and_fit_their_verifier_only() {
        assert_eq!(ClientKey::new([7; 32]), ClientKey::new([7; 32]));
        assert_ne!(ClientKey::new([7; 32]), ClientKey::new([8; 32]));
        let verifier =
            Verifier { stored_key: Sha256::digest([7; 32]).into(), ..Verifier::of_password("pencil") };
        assert!(bool::from(ClientKey::new([7; 32]).fits(&verifier)));
        assert!(!bool::from(ClientKey::new([8; 32]).fits(&verifier)));
    }
}
