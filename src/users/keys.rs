//! The keys that logins have proved, for logging in to the servers by them: none is in any file.
//!
//! Here is only who knows of one. Who keeps it in memory are the sessions and the pools that use it; with the last of them it
//! is wiped.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::scram::{ClientKey, PassKey, Verifier};

/// So many users may be gone before anybody looks.
const SWEPT_LEAST: usize = 16;

/// The keys of all users that have one now.
#[derive(Debug, Default)]
pub struct Keys(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    by_user: HashMap<Arc<str>, Vec<Weak<PassKey>>>,
    /// How many were left when those were last forgotten who are gone.
    swept: usize,
}

impl Known {
    /// A user's keys; the one that holds is the last.
    fn of(&mut self, user: &str) -> &mut Vec<Weak<PassKey>> {
        if self.by_user.len() > 2 * self.swept + SWEPT_LEAST {
            self.by_user.retain(|_, keys| keys.iter().any(|key| key.strong_count() > 0));
            self.swept = self.by_user.len();
        }
        self.by_user.entry(user.into()).or_default()
    }
}

impl Keys {
    /// A user has proved a key against this verifier. What it has proved against others holds no more for those who come.
    pub(crate) fn proved(&self, user: &str, verifier: Verifier, client_key: ClientKey) -> Arc<PassKey> {
        let proved = PassKey::new(verifier, client_key);
        let mut known = self.lock();
        let keys = known.of(user);
        let mut others: Vec<_> = keys.iter().filter_map(Weak::upgrade).collect();
        others.iter().for_each(|key| key.supersede(&proved));
        let same = others.iter().position(|key| **key == proved);
        let current = same.map_or_else(|| Arc::new(proved), |at| others.remove(at));
        // The last one is what holds.
        *keys = others.iter().chain([&current]).map(Arc::downgrade).collect();
        current
    }

    /// The key that a user has proved last, while it is in use.
    pub(crate) fn known(&self, user: &str) -> Option<Arc<PassKey>> {
        self.lock().by_user.get(user)?.last()?.upgrade()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verifier(salt: u8) -> Verifier {
        Verifier { iterations: 4096, salt: vec![salt; 16], stored_key: [salt; 32], server_key: [salt; 32] }
    }

    fn prove(keys: &Keys, user: &str, which: u8) -> Arc<PassKey> {
        keys.proved(user, verifier(which), ClientKey::new([which; 32]))
    }

    #[test]
    fn a_key_is_known_while_somebody_has_it() {
        let keys = Keys::default();
        assert!(keys.known("a").is_none());
        let (first, second) = (prove(&keys, "a", 1), prove(&keys, "a", 1));
        assert!(Arc::ptr_eq(&first, &second), "the same key is in memory once");
        drop(first);
        assert_eq!(keys.known("a").as_ref(), Some(&second));
        assert!(keys.known("b").is_none());
        drop(second);
        assert!(keys.known("a").is_none());
    }

    #[test]
    fn a_new_verifier_supersedes_the_old_key_and_not_the_other_way_round() {
        let keys = Keys::default();
        let old = prove(&keys, "a", 1);
        let new = prove(&keys, "a", 2);
        assert!(old.is_superseded() && !new.is_superseded());
        assert_ne!(old, new);
        assert_eq!(keys.known("a"), Some(new.clone()));
        // The old one is proved again: so it is that which holds.
        assert!(Arc::ptr_eq(&prove(&keys, "a", 1), &old));
        assert!(!old.is_superseded() && new.is_superseded());
        let others = prove(&keys, "b", 3);
        assert!(!old.is_superseded() && !others.is_superseded());
    }

    #[test]
    fn those_who_are_gone_are_forgotten() {
        let keys = Keys::default();
        for user in 0..100 {
            drop(prove(&keys, &user.to_string(), 1));
        }
        assert!(keys.lock().by_user.len() <= SWEPT_LEAST + 1);
    }
}
