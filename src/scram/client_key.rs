//! What a client's proof gives away: ClientKey. Whoever has it can log in wherever its verifier is stored, as with the
//! password itself, so it is wiped when it is dropped, and printed never.

use std::fmt;
use std::hash::{Hash, Hasher};

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
/// server's as well.
#[derive(Debug, PartialEq, Eq)]
pub struct PassKey {
    /// Whose key it is.
    pub verifier: Verifier,
    /// The key.
    pub client_key: ClientKey,
}

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
        let pass_key =
            PassKey { verifier: Verifier::of_password("pencil"), client_key: ClientKey::new([7; 32]) };
        let printed = format!("{pass_key:?}");
        assert_eq!(
            printed,
            "PassKey { verifier: Verifier { iterations: 4096, .. }, client_key: ClientKey(***) }"
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
