//! Who may log in, and what their passwords are checked against.

mod keys;

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::{Credential, User};
use crate::scram::{SALT_LENGTH, hmac};

pub use crate::scram::{ClientKey, Verifier};
pub use keys::Keys;

/// What PostgreSQL and libpq use when nothing else is configured (`scram_iterations`).
const DEFAULT_ITERATIONS: u32 = 4096;

/// How a user proves who it is.
#[derive(Clone, Debug)]
pub enum Proof {
    /// Not at all, because the configuration says so.
    Trust,
    /// SCRAM-SHA-256 against this verifier.
    Scram(Verifier),
}

/// One user that may log in.
#[derive(Clone, Debug)]
pub struct Account {
    /// The user as configured: name, identity towards the servers, and its own settings.
    pub user: Arc<User>,
    /// How it proves who it is.
    pub proof: Proof,
}

/// What a name turned out to be.
#[derive(Clone, Debug)]
pub enum Found {
    /// A user that may log in.
    Account(Account),
    /// None that may log in. With a verifier all the same, so that it is challenged as any other: the same name gets the same
    /// salt as long as this process lives, and no password fits.
    Nobody(Verifier),
}

/// A verifier in the configuration that is not of the form `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey`.
#[derive(Debug, thiserror::Error)]
#[error("user \"{user}\": not a SCRAM-SHA-256 verifier")]
pub struct InvalidVerifier {
    /// Whose it is.
    pub user: Arc<str>,
}

/// All users that may log in.
#[derive(Debug)]
pub struct Users {
    accounts: HashMap<Arc<str>, Account>,
    decoy: Decoy,
    keys: Keys,
}

impl Users {
    /// Prepares the configured users. Takes milliseconds of CPU for each plain password, which becomes a verifier
    /// here, once.
    pub fn new(configured: &[User]) -> Result<Self, InvalidVerifier> {
        let mut accounts = HashMap::with_capacity(configured.len());
        for user in configured {
            let invalid = || InvalidVerifier { user: Arc::clone(&user.name) };
            let proof = match &user.credential {
                Credential::Trust => Proof::Trust,
                Credential::Password(password) => Proof::Scram(Verifier::of_password(password.expose())),
                Credential::Verifier(text) => {
                    Proof::Scram(Verifier::parse(text.expose()).ok_or_else(invalid)?)
                }
            };
            accounts.insert(Arc::clone(&user.name), Account { user: Arc::new(user.clone()), proof });
        }
        let decoy = Decoy::resembling(accounts.values());
        Ok(Self { accounts, decoy, keys: Keys::default() })
    }

    /// What their logins have proved.
    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Who `name` is that wants to work on `database`. Cancel safe.
    pub async fn find(&self, name: &str, _database: &str) -> Found {
        // Made in any case, so that an unknown name takes as long as a known one.
        let decoy = self.decoy.verifier(name);
        match self.accounts.get(name) {
            Some(account) => Found::Account(account.clone()),
            None => Found::Nobody(decoy),
        }
    }
}

/// Makes verifiers that look real. PostgreSQL does the same with its mock authentication nonce.
struct Decoy {
    secret: [u8; 32],
    iterations: u32,
}

impl Decoy {
    /// The iteration count is sent in the challenge, so it must be the one that most users have.
    fn resembling<'a>(accounts: impl Iterator<Item = &'a Account>) -> Self {
        let mut counts: HashMap<u32, usize> = HashMap::new();
        for account in accounts {
            if let Proof::Scram(verifier) = &account.proof {
                *counts.entry(verifier.iterations).or_default() += 1;
            }
        }
        let usual = counts.into_iter().max_by_key(|&(iterations, count)| (count, iterations));
        let iterations = usual.map_or(DEFAULT_ITERATIONS, |(iterations, _)| iterations);
        Self { secret: rand::random(), iterations }
    }

    fn verifier(&self, name: &str) -> Verifier {
        let [salt, stored_key, server_key] =
            [b's', b'c', b'k'].map(|what| hmac(&self.secret, &[&[what], name.as_bytes()]));
        let salt = salt.get(..SALT_LENGTH).unwrap_or_default().to_vec();
        Verifier { iterations: self.iterations, salt, stored_key, server_key }
    }
}

impl std::fmt::Debug for Decoy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoy").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}
