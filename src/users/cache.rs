//! Answers about users, as long as they count. Pure: the time is an argument.
//!
//! How many are kept has a limit, and those about names that nobody has do not push out the others: whoever makes names up
//! fills no memory, and has nobody asked for again.

use std::hash::Hash;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use lru::LruCache;

use super::Account;
use crate::config::Secret;

/// How many answers of each kind are kept.
const KEPT_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(9_999);

/// An answer that is younger is not asked for again because a password did not fit: guesses would ask for it.
const DOUBT_PAUSE: Duration = Duration::from_secs(1);

/// For how long answers count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// There is such a user.
    pub(super) known: Duration,
    /// There is none.
    pub(super) unknown: Duration,
}

/// An answer, and from when.
#[derive(Debug)]
struct Kept<T> {
    what: T,
    since: Instant,
    /// A password did not fit it.
    doubted: bool,
}

impl<T> Kept<T> {
    fn counts(&self, term: Duration, now: Instant) -> bool {
        !self.doubted && now.saturating_duration_since(self.since) < term
    }
}

/// What was found of a user: what was said, and what was made of it; nothing is made of a secret that lets nobody in.
pub(super) type Made = (Secret, Option<Account>);

/// Answers by what was asked for.
#[derive(Debug)]
pub(super) struct Answers<K: Hash + Eq> {
    terms: Terms,
    known: LruCache<K, Kept<Made>>,
    unknown: LruCache<K, Kept<()>>,
}

impl<K: Hash + Eq> Answers<K> {
    pub(super) fn new(terms: Terms) -> Self {
        Self { terms, known: LruCache::new(KEPT_MAX), unknown: LruCache::new(KEPT_MAX) }
    }

    /// An answer that still counts.
    pub(super) fn get(&mut self, key: &K, now: Instant) -> Option<Option<Account>> {
        if let Some(kept) = self.known.get(key) {
            return kept.counts(self.terms.known, now).then(|| kept.what.1.clone());
        }
        let kept = self.unknown.get(key)?;
        kept.counts(self.terms.unknown, now).then_some(None)
    }

    /// The last answer, however old: for when there is nobody to ask.
    pub(super) fn last(&mut self, key: &K) -> Option<Option<Account>> {
        match (self.known.get(key), self.unknown.get(key)) {
            (Some(kept), _) => Some(kept.what.1.clone()),
            (None, Some(_)) => Some(None),
            (None, None) => None,
        }
    }

    /// What was made of this secret before.
    pub(super) fn made(&mut self, key: &K, secret: &Secret) -> Option<Option<Account>> {
        let kept = self.known.get(key).filter(|kept| kept.what.0 == *secret);
        kept.map(|kept| kept.what.1.clone())
    }

    /// An answer that was asked for at `now`: there is no such user, or what was found of it.
    pub(super) fn put(&mut self, key: K, found: Option<Made>, now: Instant) {
        match found {
            None => {
                self.known.pop(&key);
                self.unknown.put(key, Kept { what: (), since: now, doubted: false });
            }
            Some(made) => {
                self.unknown.pop(&key);
                self.known.put(key, Kept { what: made, since: now, doubted: false });
            }
        }
    }

    /// A password did not fit the answer: it may have been changed since.
    pub(super) fn doubt(&mut self, key: &K, now: Instant) {
        let is_due = |since: Instant| now.saturating_duration_since(since) >= DOUBT_PAUSE;
        if let Some(kept) = self.known.get_mut(key).filter(|kept| is_due(kept.since)) {
            kept.doubted = true;
        }
        if let Some(kept) = self.unknown.get_mut(key).filter(|kept| is_due(kept.since)) {
            kept.doubted = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Timeouts, User};
    use crate::users::stored::account;

    const TERMS: Terms = Terms { known: Duration::from_secs(60), unknown: Duration::from_secs(10) };

    fn made(text: &str) -> Option<Made> {
        let secret = Secret::new(text);
        let account = account(&User::unlisted("app".into(), Timeouts::default()), &secret);
        Some((secret, account))
    }

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn an_answer_counts_as_long_as_its_kind_says_and_then_only_for_want_of_another() {
        let (mut answers, start) = (Answers::new(TERMS), Instant::now());
        answers.put("a", made("x"), start);
        answers.put("b", None, start);
        let counts = |answers: &mut Answers<&str>, key, seconds| {
            answers.get(&key, after(start, seconds)).map(|found| found.is_some())
        };
        assert_eq!(counts(&mut answers, "a", 59), Some(true));
        assert_eq!(counts(&mut answers, "a", 60), None);
        assert_eq!(counts(&mut answers, "b", 9), Some(false));
        assert_eq!(counts(&mut answers, "b", 10), None);
        assert_eq!(counts(&mut answers, "c", 0), None);
        assert!(answers.last(&"a").unwrap().is_some() && answers.last(&"b").unwrap().is_none());
        assert!(answers.last(&"c").is_none());
        answers.put("a", None, after(start, 60));
        answers.put("b", made("y"), after(start, 60));
        assert_eq!((counts(&mut answers, "a", 61), counts(&mut answers, "b", 61)), (Some(false), Some(true)));
    }

    #[test]
    fn the_same_secret_is_the_same_account() {
        let (mut answers, start) = (Answers::new(TERMS), Instant::now());
        assert!(answers.made(&"a", &Secret::new("x")).is_none());
        answers.put("a", made("x"), start);
        assert!(answers.made(&"a", &Secret::new("x")).is_some_and(|account| account.is_some()));
        assert!(answers.made(&"a", &Secret::new("y")).is_none());
    }

    #[test]
    fn a_doubt_ends_an_answer_unless_it_is_new() {
        let (mut answers, start) = (Answers::new(TERMS), Instant::now());
        for (key, found) in [("a", made("x")), ("b", None)] {
            answers.put(key, found.clone(), start);
            answers.doubt(&key, start + Duration::from_millis(999));
            assert!(answers.get(&key, after(start, 1)).is_some());
            answers.doubt(&key, after(start, 1));
            assert!(answers.get(&key, after(start, 1)).is_none());
            assert!(answers.last(&key).is_some());
            answers.put(key, found, after(start, 2));
            assert!(answers.get(&key, after(start, 2)).is_some());
        }
    }

    #[test]
    fn made_up_names_push_out_nobody_else() {
        let (mut answers, start) = (Answers::new(TERMS), Instant::now());
        answers.put(0, made("x"), start);
        for name in 1..=KEPT_MAX.get() + 10 {
            answers.put(name, None, start);
        }
        assert!(answers.get(&0, start).is_some_and(|found| found.is_some()));
        assert_eq!(answers.unknown.len(), KEPT_MAX.get());
    }
}
