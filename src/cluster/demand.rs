//! What readers and writers want of the samplers: how often to ask, and the bell for when something was learned.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// Shared by all sessions and all samplers. Noting a write costs an atomic or two.
#[derive(Debug)]
pub struct Demand {
    epoch: Instant,
    /// Readers that wait now.
    waiting: AtomicUsize,
    /// The latest instant that any reader has waited for, in nanoseconds since one before the epoch.
    wanted: AtomicU64,
    /// The latest acknowledged write.
    written: AtomicU64,
    /// When the primary was last asked for a sample that it answered.
    newest: AtomicU64,
    /// Rung when a sampler should not wait any longer.
    bell: Notify,
    /// Rung when a replica was found to have come further.
    news: Notify,
}

impl Demand {
    /// Nobody wants anything. No instant before `epoch` will be given.
    pub fn new(epoch: Instant) -> Self {
        Self {
            epoch,
            waiting: AtomicUsize::new(0),
            wanted: AtomicU64::new(0),
            written: AtomicU64::new(0),
            newest: AtomicU64::new(0),
            bell: Notify::new(),
            news: Notify::new(),
        }
    }

    /// A write was acknowledged at `at`: replicas are sampled often until they hold it.
    pub fn wrote(&self, at: Instant) {
        self.written.fetch_max(self.nanos(at), Ordering::AcqRel);
        self.bell.notify_waiters();
    }

    /// Somebody waits for a replica that is fresh through `through`: the samplers ask at once, and again as soon as
    /// may be, until the guard is dropped.
    pub fn want(&self, through: Instant) -> Wanted<'_> {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        self.wanted.fetch_max(self.nanos(through), Ordering::AcqRel);
        self.bell.notify_waiters();
        Wanted { demand: self }
    }

    /// When the primary was last asked for a sample that it answered; `None` before the first.
    pub fn newest(&self) -> Option<Instant> {
        self.newest
            .load(Ordering::Acquire)
            .checked_sub(1)
            .map(|nanos| self.epoch + Duration::from_nanos(nanos))
    }

    /// Rings when a replica was found to have come further. To be enabled before looking.
    pub fn news(&self) -> tokio::sync::futures::Notified<'_> {
        self.news.notified()
    }

    fn nanos(&self, instant: Instant) -> u64 {
        let since = instant.saturating_duration_since(self.epoch).as_nanos();
        u64::try_from(since).unwrap_or(u64::MAX - 1) + 1
    }
}

/// A reader that waits. Dropped, it waits no more.
#[derive(Debug)]
pub struct Wanted<'a> {
    demand: &'a Demand,
}

impl Drop for Wanted<'_> {
    fn drop(&mut self) {
        self.demand.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}
