//! The last minute, second by second: how many reads and writes each server has had, and why reads were on the primary.
//!
//! Counters are looked at once a second, which costs some microseconds: so whoever begins to watch sees a minute back. Bounded: 61
//! looks, each with a number for every server and reason that there is.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};

use crate::admin::snapshot::{Rates, Split};
use crate::cluster::topology::ServerId;
use crate::router::Route;
use crate::session::Shared;
use crate::telemetry::metrics::{Access, Requests};

/// Seconds that are told.
const SECONDS: usize = 60;

/// What the counters said at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Totals {
    /// Reads and writes by server.
    servers: Vec<(ServerId, [u64; 2])>,
    /// Reads on replicas.
    replicas: u64,
    /// Reads on the primary, by why.
    pub(super) kept: BTreeMap<&'static str, u64>,
}

impl Totals {
    /// What they say now.
    pub(super) fn of(requests: &Requests) -> Self {
        let mut totals = Self::default();
        for (server, counters) in requests.by_server() {
            let [mut reads, mut writes] = [0; 2];
            for counted in counters.counted() {
                match counted.access {
                    Access::None => continue,
                    Access::Write => writes += counted.count,
                    Access::Read => reads += counted.count,
                }
                if counted.access == Access::Read && counted.route == Route::Replica.as_str() {
                    totals.replicas += counted.count;
                } else if counted.access == Access::Read {
                    *totals.kept.entry(counted.reason).or_default() += counted.count;
                }
            }
            totals.servers.push((server, [reads, writes]));
        }
        totals
    }

    fn server(&self, server: ServerId) -> Option<[u64; 2]> {
        self.servers.iter().find(|(id, _)| *id == server).map(|(_, counts)| *counts)
    }

    /// Reads by where they ran.
    pub(super) fn split(&self) -> Split {
        Split { replicas: self.replicas, primary: self.kept.values().sum() }
    }
}

/// The looks of the last minute.
pub(in crate::server) struct Minute {
    /// When weir began.
    pub(super) began: Instant,
    looks: Mutex<VecDeque<(Instant, Totals)>>,
}

impl Minute {
    /// Nothing yet.
    pub(in crate::server) fn new(began: Instant) -> Self {
        Self { began, looks: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Instant, Totals)>> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more look.
    fn add(&self, at: Instant, totals: Totals) {
        let mut looks = self.lock();
        if looks.len() > SECONDS {
            looks.pop_front();
        }
        looks.push_back((at, totals));
    }

    fn forget(&self) {
        self.lock().clear();
    }

    /// What the counters said at the beginning of the minute, or when weir was first looked at.
    pub(super) fn first(&self) -> Totals {
        self.lock().front().map(|(_, totals)| totals.clone()).unwrap_or_default()
    }

    /// What a server was asked, second by second.
    pub(super) fn rates(&self, server: ServerId, name: &str) -> Rates {
        let looks = self.lock();
        let mut rates = Rates { server: name.to_owned(), ..Rates::default() };
        for ((before, old), (at, new)) in looks.iter().zip(looks.iter().skip(1)) {
            let seconds = at.saturating_duration_since(*before).as_secs_f64().max(0.001);
            // One that has run nothing yet has no counters: it begins at zero.
            let (old, new) = (old.server(server).unwrap_or_default(), new.server(server).unwrap_or_default());
            let [reads, writes] = [0, 1].map(|kind: usize| {
                let more = new[kind].saturating_sub(old[kind]) as f64 / seconds;
                (more * 10.0).round() / 10.0
            });
            rates.reads.push(reads);
            rates.writes.push(writes);
        }
        rates
    }
}

/// Looks once a second, for ever.
pub(in crate::server) async fn take_samples(shared: Arc<Shared>, minute: Arc<Minute>) {
    let mut second = interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        second.tick().await;
        match is_wanted(&shared) {
            true => minute.add(Instant::now(), Totals::of(&shared.metrics.requests)),
            false => minute.forget(),
        }
    }
}

/// Whether there is a page on which a minute could be looked back.
fn is_wanted(shared: &Shared) -> bool {
    shared.policy().config.metrics.is_some_and(|metrics| metrics.page)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(reads: u64, writes: u64) -> Totals {
        Totals { servers: vec![(ServerId(1), [reads, writes])], replicas: reads, ..Totals::default() }
    }

    #[test]
    fn a_minute_is_sixty_seconds_however_long_it_runs() {
        let began = Instant::now();
        let minute = Minute::new(began);
        assert_eq!(minute.rates(ServerId(1), "a").reads, [0.0; 0]);
        for second in 0..200 {
            minute.add(began + Duration::from_secs(second), totals(second * 5, second));
        }
        let rates = minute.rates(ServerId(1), "a");
        assert_eq!((rates.reads, rates.writes), (vec![5.0; 60], vec![1.0; 60]));
        assert_eq!(minute.first().split().replicas, 139 * 5);
    }

    #[test]
    fn a_late_look_tells_no_more_a_second_and_a_new_server_begins_at_nothing() {
        let began = Instant::now();
        let minute = Minute::new(began);
        minute.add(began, Totals::default());
        minute.add(began + Duration::from_secs(4), totals(40, 0));
        minute.add(began + Duration::from_secs(5), totals(0, 0));
        assert_eq!(minute.rates(ServerId(1), "a").reads, [10.0, 0.0], "counters that ended are no load");
        assert_eq!(minute.rates(ServerId(2), "b").reads, [0.0, 0.0]);
    }
}
