//! What readers and writers want of the samplers, what the samplers found of the primary, and the bells between them.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::freshness::{Epoch, Lsn, pace};

/// Shared by all sessions and all samplers. Noting a write costs two atomics, one of them a load, and a bell only when
/// the sampler sleeps for longer than a write may wait. Many fields: each is an atomic or a bell of its own, so that nobody
/// who notes one thing waits for another.
#[derive(Debug)]
pub struct Demand {
    epoch: Epoch,
    /// Readers that wait now.
    waiting: AtomicUsize,
    /// The latest instant that any reader has waited for, as a number.
    wanted: AtomicU64,
    /// The latest acknowledged write.
    written: AtomicU64,
    /// The latest of those that no transaction stands for.
    untransacted: AtomicU64,
    /// When the primary was last asked for a sample that counts, and when its answer came.
    newest: AtomicU64,
    answered: AtomicU64,
    /// That answer, with the first of these instants.
    position: Mutex<Option<(Lsn, Instant)>>,
    /// Sizes in bytes of a page and of a segment of the write-ahead log; 0 until the primary has told them.
    page: AtomicU64,
    segment: AtomicU64,
    /// Whether the primary's sampler sleeps for longer than a write may wait, and than a reader may.
    primary_dozes: AtomicBool,
    primary_sleeps: AtomicBool,
    /// Whether any replica's sampler sleeps for longer than a reader may wait.
    replicas_sleep: AtomicBool,
    /// Rung when the primary's sampler should look again at how long to sleep.
    primary: Notify,
    /// Rung when the replicas' samplers should.
    replicas: Notify,
    /// Rung when a replica was found to have come further, or a sample of the primary was taken.
    news: Notify,
}

impl Demand {
    /// Nobody wants anything. No instant before `epoch` will be given.
    pub fn new(epoch: Instant) -> Self {
        Self {
            epoch: Epoch::new(epoch),
            waiting: AtomicUsize::new(0),
            wanted: AtomicU64::new(0),
            written: AtomicU64::new(0),
            untransacted: AtomicU64::new(0),
            newest: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            position: Mutex::new(None),
            page: AtomicU64::new(0),
            segment: AtomicU64::new(0),
            primary_dozes: AtomicBool::new(false),
            primary_sleeps: AtomicBool::new(false),
            replicas_sleep: AtomicBool::new(false),
            primary: Notify::new(),
            replicas: Notify::new(),
            news: Notify::new(),
        }
    }

    /// A write was acknowledged at `at`: replicas are sampled often until they hold it.
    pub fn wrote(&self, at: Instant) {
        self.written.fetch_max(self.epoch.number(at), Ordering::SeqCst);
        rouse(&self.primary_dozes, &self.primary);
    }

    /// What was acknowledged at `at` may have been written without a transaction, as VACUUM writes: a replica that lacks
    /// no transaction may lack it all the same. Returns an instant to which this write is to be put: what was found of
    /// replicas without knowing of it was asked before that.
    pub(crate) fn wrote_untransacted(&self, at: Instant) -> Instant {
        self.untransacted.fetch_max(self.epoch.number(at), Ordering::SeqCst);
        Instant::now()
    }

    /// Somebody waits for a replica that is fresh through `through`: the samplers ask at once, and again as soon as
    /// may be, until the guard is dropped.
    pub fn want(&self, through: Instant) -> Wanted<'_> {
        self.wanted.fetch_max(self.epoch.number(through), Ordering::SeqCst);
        self.waiting.fetch_add(1, Ordering::SeqCst);
        // What the caller looks at next is no older than this: see `learned`.
        fence(Ordering::SeqCst);
        rouse(&self.primary_sleeps, &self.primary);
        rouse(&self.replicas_sleep, &self.replicas);
        Wanted { demand: self }
    }

    /// When the primary was last asked for a sample that it answered; `None` before the first of each primary.
    pub fn newest(&self) -> Option<Instant> {
        self.epoch.instant(self.newest.load(Ordering::Acquire))
    }

    /// Where the primary was when it was last asked, and when that was: what was acknowledged before that instant lies
    /// at or before the position. `None` before the first sample of each primary.
    pub fn position(&self) -> Option<(Lsn, Instant)> {
        *self.last_position()
    }

    /// Where replay stands once it has replayed everything before this insert position, by the sizes of the primary's
    /// pages and segments. Until those are known it is left as it is, which asks for more at the most.
    pub fn as_replayed(&self, inserted: Lsn) -> Lsn {
        inserted.as_replayed(self.page.load(Ordering::Relaxed), self.segment.load(Ordering::Relaxed))
    }

    /// Rings when a replica was found to have come further or the primary was sampled, as long as anybody waits (see
    /// [`Demand::want`]). To be taken in hand before looking.
    pub fn news(&self) -> Notified<'_> {
        self.news.notified()
    }

    /// The last acknowledged write.
    pub(crate) fn written(&self) -> Option<Instant> {
        self.epoch.instant(self.written.load(Ordering::SeqCst))
    }

    /// The last acknowledged write that no transaction may stand for.
    pub(crate) fn untransacted(&self) -> Option<Instant> {
        self.epoch.instant(self.untransacted.load(Ordering::SeqCst))
    }

    /// The latest instant that anybody waits for, if anybody does.
    pub(crate) fn wanted(&self) -> Option<Instant> {
        let waiting = self.waiting.load(Ordering::SeqCst) > 0;
        self.epoch.instant(self.wanted.load(Ordering::SeqCst)).filter(|_| waiting)
    }

    /// When the last counted answer of the primary came.
    pub(crate) fn answered(&self) -> Option<Instant> {
        self.epoch.instant(self.answered.load(Ordering::SeqCst))
    }

    /// The primary's sampler is about to sleep so long: rings when it should not go on, for writes only if there are
    /// `replicas` that could lack them. How long it may sleep is to be looked at once more after this, for what has come
    /// before.
    pub(crate) fn primary_sleeps(&self, delay: Duration, replicas: usize) -> Notified<'_> {
        let bell = self.primary.notified();
        // Who comes while it sleeps for less than that need not ring. Nobody but who rings takes a sign back: there are
        // two such samplers for a moment when another server becomes the primary.
        if delay > pace::FAST && replicas > 0 {
            self.primary_dozes.store(true, Ordering::SeqCst);
        }
        if delay > pace::GAP {
            self.primary_sleeps.store(true, Ordering::SeqCst);
        }
        bell
    }

    /// The same for a replica's sampler.
    pub(crate) fn replica_sleeps(&self, delay: Duration) -> Notified<'_> {
        let bell = self.replicas.notified();
        if delay > pace::GAP {
            self.replicas_sleep.store(true, Ordering::SeqCst);
        }
        bell
    }

    /// The primary, asked at `asked`, was found to be at `position`; its answer came at `answered`.
    pub(crate) fn sampled(&self, asked: Instant, answered: Instant, position: Lsn) {
        *self.last_position() = Some((position, asked));
        self.newest.store(self.epoch.number(asked), Ordering::SeqCst);
        self.answered.store(self.epoch.number(answered), Ordering::SeqCst);
        rouse(&self.replicas_sleep, &self.replicas);
        self.learned();
    }

    /// The primary's write-ahead log has pages and segments of these sizes, in bytes.
    pub(crate) fn sized(&self, page: u64, segment: u64) {
        self.page.store(page, Ordering::Relaxed);
        self.segment.store(segment, Ordering::Relaxed);
    }

    /// Something has been learned that somebody may wait for.
    pub(crate) fn learned(&self) {
        // Either this sees who waits, or who waits looks after this and sees what was learned.
        fence(Ordering::SeqCst);
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.news.notify_waiters();
        }
    }

    /// Another primary, or another timeline of it: what was sampled is of the past.
    pub(crate) fn forget(&self) {
        *self.last_position() = None;
        self.newest.store(0, Ordering::SeqCst);
        self.answered.store(0, Ordering::SeqCst);
    }

    fn last_position(&self) -> MutexGuard<'_, Option<(Lsn, Instant)>> {
        self.position.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes who sleeps, and need not be woken again. What it is woken for has been stored before: so either this sees that
/// somebody sleeps, or who is about to, and looks once more after saying so, sees what it is about.
fn rouse(asleep: &AtomicBool, bell: &Notify) {
    if asleep.load(Ordering::SeqCst) && asleep.swap(false, Ordering::SeqCst) {
        bell.notify_waiters();
    }
}

/// A reader that waits. Dropped, it waits no more.
#[derive(Debug)]
pub struct Wanted<'a> {
    demand: &'a Demand,
}

impl Wanted<'_> {
    /// It waits for this instant as well.
    pub fn through(&self, through: Instant) {
        self.demand.wanted.fetch_max(self.demand.epoch.number(through), Ordering::SeqCst);
        self.demand.primary.notify_waiters();
        self.demand.replicas.notify_waiters();
    }
}

impl Drop for Wanted<'_> {
    fn drop(&mut self) {
        self.demand.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
#[path = "demand_tests.rs"]
mod tests;
