//! How far one replica is known to have come.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::{Epoch, Lsn};

/// How far a replica is known to have come: written by its sampler, read by every read. Never locked.
///
/// All of it is about one life of the server: what held before a restart says nothing about what was there after it,
/// since a server that crashed begins to answer at an earlier position than it had reached. Connections do not outlive
/// a restart. So a connection that was open before a sample was asked for, and still is, leads to the server that
/// answered that sample.
#[derive(Debug)]
pub struct Freshness {
    epoch: Epoch,
    /// Instants as numbers; 0 is never.
    through: AtomicU64,
    sampled: AtomicU64,
    /// When the first sample of this life was asked for.
    since: AtomicU64,
    replayed: AtomicU64,
    received: AtomicU64,
    behind: AtomicU64,
}

impl Freshness {
    /// Of a replica of which nothing is known. No instant before `epoch` will ever be asked for.
    pub fn new(epoch: Instant) -> Self {
        Self {
            epoch: Epoch::new(epoch),
            through: AtomicU64::new(0),
            sampled: AtomicU64::new(0),
            since: AtomicU64::new(0),
            replayed: AtomicU64::new(0),
            received: AtomicU64::new(0),
            behind: AtomicU64::new(u64::MAX),
        }
    }

    /// The instant such that the replica holds everything that was acknowledged before it; `None` when nothing is
    /// known.
    pub fn through(&self) -> Option<Instant> {
        self.epoch.instant(self.through.load(Ordering::Acquire))
    }

    /// When the last sample that the replica answered was asked for, in the server's present life.
    pub fn sampled(&self) -> Option<Instant> {
        self.epoch.instant(self.sampled.load(Ordering::Acquire))
    }

    /// Whether a connection that was opened at `opened` is known to lead to the life of the server that there was at `seen`:
    /// because it was open then, or because the server has been sampled over one connection from before `seen` until after
    /// `opened`.
    pub fn is_life_of(&self, seen: Instant, opened: Instant) -> bool {
        if opened <= seen {
            return true;
        }
        // In this order: see `publish`.
        let sampled = self.sampled();
        let since = self.epoch.instant(self.since.load(Ordering::Acquire));
        sampled >= Some(opened) && since.is_some_and(|since| since <= seen)
    }

    /// The last WAL position that the replica said it has replayed; 0/0 when nothing is known.
    pub fn replayed(&self) -> Lsn {
        Lsn(self.replayed.load(Ordering::Acquire))
    }

    /// The last WAL position that the replica said it has received, which is not less; `None` when nothing is known.
    pub fn received(&self) -> Option<Lsn> {
        Some(Lsn(self.received.load(Ordering::Acquire))).filter(|received| received.0 > 0)
    }

    /// Whether it said that it has replayed all it has received.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.received().is_some_and(|received| self.replayed() >= received)
    }

    /// Bytes of WAL between the replica and the newest sample of the primary, at the last sample; `None` when nothing
    /// is known.
    pub fn behind(&self) -> Option<u64> {
        Some(self.behind.load(Ordering::Relaxed)).filter(|behind| *behind != u64::MAX)
    }

    /// How much it has received, by the sample that is published next; `None` when it does not know.
    pub(crate) fn receives(&self, received: Option<Lsn>) {
        self.received.store(received.map_or(0, |received| received.0), Ordering::Release);
    }

    /// A sample was answered: asked for at `asked`, it said `replayed`, which is `behind` bytes short of the
    /// primary's position, and holds everything acknowledged before `through`.
    pub fn publish(&self, asked: Instant, replayed: Lsn, behind: u64, through: Option<Instant>) {
        // The position first, the life's sign last: who sees `asked` sees what belongs to it.
        if self.since.load(Ordering::Relaxed) == 0 {
            self.since.store(self.epoch.number(asked), Ordering::Release);
        }
        self.replayed.store(replayed.0, Ordering::Release);
        self.behind.store(behind, Ordering::Relaxed);
        self.through.store(through.map_or(0, |through| self.epoch.number(through)), Ordering::Release);
        self.sampled.store(self.epoch.number(asked), Ordering::Release);
    }

    /// What it said it has replayed is all that was acknowledged before `through`, as a later answer of the primary tells.
    pub(crate) fn advance(&self, through: Instant) {
        self.through.store(self.epoch.number(through), Ordering::Release);
    }

    /// Nothing is known any more: the connection that was asked is gone, or another timeline has begun.
    pub fn forget(&self) {
        self.sampled.store(0, Ordering::Release);
        self.since.store(0, Ordering::Release);
        self.through.store(0, Ordering::Release);
        self.replayed.store(0, Ordering::Release);
        self.received.store(0, Ordering::Release);
        self.behind.store(u64::MAX, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_life_lasts_as_long_as_it_is_sampled() {
        let epoch = Instant::now();
        let at = |ms| epoch + Duration::from_millis(ms);
        let freshness = Freshness::new(epoch);
        assert!(freshness.is_life_of(at(20), at(20)) && !freshness.is_life_of(at(20), at(21)));
        freshness.publish(at(10), Lsn(1), 0, None);
        assert!(!freshness.is_life_of(at(20), at(21)), "it may have been restarted since");
        freshness.publish(at(30), Lsn(1), 0, None);
        assert!(freshness.is_life_of(at(20), at(30)) && freshness.is_life_of(at(10), at(30)));
        assert!(!freshness.is_life_of(at(9), at(30)) && !freshness.is_life_of(at(20), at(31)));
        freshness.forget();
        freshness.publish(at(40), Lsn(1), 0, None);
        assert!(!freshness.is_life_of(at(20), at(30)));
    }

    #[test]
    fn instants_come_back_as_they_were_given() {
        let epoch = Instant::now();
        let freshness = Freshness::new(epoch);
        assert_eq!((freshness.through(), freshness.sampled(), freshness.behind()), (None, None, None));
        let (asked, through) = (epoch + Duration::from_nanos(123_456_789), epoch);
        freshness.publish(asked, Lsn(7), 5, Some(through));
        assert_eq!((freshness.through(), freshness.sampled()), (Some(through), Some(asked)));
        assert_eq!((freshness.replayed(), freshness.behind()), (Lsn(7), Some(5)));
        assert_eq!(freshness.received(), None);
        freshness.receives(Some(Lsn(9)));
        assert_eq!(freshness.received(), Some(Lsn(9)));
        freshness.forget();
        assert_eq!((freshness.through(), freshness.sampled(), freshness.behind()), (None, None, None));
        assert_eq!((freshness.replayed(), freshness.received()), (Lsn(0), None));
    }
}
