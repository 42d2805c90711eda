//! What replicas have taught: shapes of statements that looked like reads and were refused by one.

use std::collections::HashMap;
use std::sync::RwLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::sql::SkeletonId;

/// Remembered shapes of one database, a bounded number for a bounded time.
///
/// Looked at for every read, so that while nothing was learned it costs one atomic load.
#[derive(Debug)]
pub struct Learned {
    until: RwLock<HashMap<SkeletonId, Instant>>,
    count: AtomicUsize,
    terms: RwLock<Terms>,
}

/// How many are remembered, and for how long.
#[derive(Clone, Copy, Debug)]
struct Terms {
    capacity: usize,
    ttl: Duration,
}

impl Learned {
    /// Remembers at most `capacity` shapes, each for `ttl`.
    pub fn new(capacity: usize, ttl: Duration) -> Self {
        Self {
            until: RwLock::default(),
            count: AtomicUsize::new(0),
            terms: RwLock::new(Terms { capacity, ttl }),
        }
    }

    /// Other terms hold for what is learned from now on. What is too much is forgotten, whatever it is.
    pub fn limit(&self, capacity: usize, ttl: Duration) {
        *self.terms.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Terms { capacity, ttl };
        if self.len() > capacity {
            self.clear();
        }
    }

    /// A replica refused this shape. The oldest makes room when there is none.
    pub fn remember(&self, skeleton: SkeletonId, now: Instant) {
        let Terms { capacity, ttl } = *self.terms.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        if capacity == 0 {
            return;
        }
        // The map is whole between any two statements here, so a poisoned lock still guards a good one.
        let mut until = self.until.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        if until.len() >= capacity && !until.contains_key(&skeleton) {
            until.retain(|_, end| *end > now);
        }
        if until.len() >= capacity && !until.contains_key(&skeleton) {
            let oldest = until.iter().min_by_key(|(_, end)| **end).map(|(id, _)| *id);
            oldest.and_then(|id| until.remove(&id));
        }
        until.insert(skeleton, now + ttl);
        self.count.store(until.len(), Ordering::Release);
    }

    /// Whether a replica refused this shape within the time that counts.
    pub fn knows(&self, skeleton: SkeletonId, now: Instant) -> bool {
        if self.count.load(Ordering::Acquire) == 0 {
            return false;
        }
        let until = self.until.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        until.get(&skeleton).is_some_and(|end| *end > now)
    }

    /// How many shapes are remembered, expired ones that nobody has looked for included.
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets everything, as after a change of the schema.
    pub fn clear(&self) {
        let mut until = self.until.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        until.clear();
        self.count.store(0, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_learned_is_known_until_its_time_is_over() {
        let learned = Learned::new(10, Duration::from_secs(60));
        let now = Instant::now();
        assert!(!learned.knows(SkeletonId(1), now));
        learned.remember(SkeletonId(1), now);
        assert!(learned.knows(SkeletonId(1), now + Duration::from_secs(59)));
        assert!(!learned.knows(SkeletonId(2), now));
        assert!(!learned.knows(SkeletonId(1), now + Duration::from_secs(60)));
        learned.clear();
        assert!(!learned.knows(SkeletonId(1), now));
    }

    #[test]
    fn the_oldest_makes_room() {
        let learned = Learned::new(2, Duration::from_secs(60));
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        learned.remember(SkeletonId(1), now);
        learned.remember(SkeletonId(2), later);
        learned.remember(SkeletonId(1), later + Duration::from_secs(1));
        learned.remember(SkeletonId(3), later);
        assert_eq!(learned.len(), 2);
        assert!(learned.knows(SkeletonId(1), later));
        assert!(!learned.knows(SkeletonId(2), later));
        assert!(learned.knows(SkeletonId(3), later));
    }
}
