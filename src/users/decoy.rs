//! Verifiers for names that may not log in, so that they are challenged as any other name is.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::{Account, Proof, Verifier};
use crate::scram::{SALT_LENGTH, hmac};

/// What PostgreSQL and libpq use when nothing else is configured (`scram_iterations`).
const DEFAULT_ITERATIONS: u32 = 4096;

/// Makes verifiers that look real. PostgreSQL does the same with its mock authentication nonce.
pub(super) struct Decoy {
    secret: [u8; 32],
    /// What most users have. It is sent in the challenge.
    iterations: OnceLock<u32>,
}

impl Decoy {
    /// Resembles the users that are listed; if there are none, the first that is found.
    pub(super) fn resembling<'a>(accounts: impl Iterator<Item = &'a Account>) -> Self {
        let mut counts: HashMap<u32, usize> = HashMap::new();
        for account in accounts {
            if let Proof::Scram(verifier) = &account.proof {
                *counts.entry(verifier.iterations).or_default() += 1;
            }
        }
        let usual = counts.into_iter().max_by_key(|&(iterations, count)| (count, iterations));
        let iterations = usual.map(|(iterations, _)| OnceLock::from(iterations)).unwrap_or_default();
        Self { secret: rand::random(), iterations }
    }

    /// A user was found. Once there is one to resemble, no other changes that: the same name gets the same challenge.
    pub(super) fn has_seen(&self, account: &Account) {
        if let Proof::Scram(verifier) = &account.proof {
            let _ = self.iterations.set(verifier.iterations);
        }
    }

    /// The same for the same name, as long as this process lives.
    pub(super) fn verifier(&self, name: &str) -> Verifier {
        let [salt, stored_key, server_key] =
            [b's', b'c', b'k'].map(|what| hmac(&self.secret, &[&[what], name.as_bytes()]));
        let salt = salt.get(..SALT_LENGTH).unwrap_or_default().to_vec();
        let iterations = self.iterations.get().copied().unwrap_or(DEFAULT_ITERATIONS);
        Verifier { iterations, salt, stored_key, server_key }
    }
}

impl std::fmt::Debug for Decoy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoy").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}
