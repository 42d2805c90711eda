//! How many clients may be there at once: a limit that may be another one at any moment. Whoever is there stays.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::telemetry::metrics::Metrics;

/// The places for clients.
#[derive(Debug)]
pub(super) struct Places {
    limit: AtomicUsize,
    taken: AtomicUsize,
}

/// One client's place, until it is dropped.
#[derive(Debug)]
pub(super) struct Place(Arc<Places>);

impl Places {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit: AtomicUsize::new(limit), taken: AtomicUsize::new(0) })
    }

    /// Nobody comes in from now on while there are so many.
    pub(super) fn limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Release);
    }

    /// Has figures tell how many there may be.
    pub(super) fn watch_figures(self: &Arc<Self>, metrics: &Metrics) {
        let places = self.clone();
        metrics.before_scrape(move |metrics| {
            let limit = places.limit.load(Ordering::Relaxed);
            metrics.clients_max.set(i64::try_from(limit).unwrap_or(i64::MAX));
        });
    }

    /// A place, if there is one.
    pub(super) fn take(self: &Arc<Self>) -> Option<Place> {
        let limit = self.limit.load(Ordering::Acquire);
        let one_more = |taken| (taken < limit).then_some(taken + 1);
        let taken = self.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more);
        taken.is_ok().then(|| Place(self.clone()))
    }

    /// A place for somebody who has had one with another weir, however many there are.
    pub(super) fn keep(self: &Arc<Self>) -> Place {
        self.taken.fetch_add(1, Ordering::AcqRel);
        Place(self.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_there_stays_when_there_is_less_room() {
        let places = Places::new(2);
        let (one, two) = (places.take().unwrap(), places.take().unwrap());
        assert!(places.take().is_none());
        places.limit(1);
        drop(one);
        assert!(places.take().is_none());
        drop(two);
        let _one = places.take().unwrap();
        places.limit(3);
        assert!(places.take().is_some());
    }
}
