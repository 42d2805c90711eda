//! How often servers are asked how far they are.

use std::time::{Duration, Instant};

/// Least time between two samples of one server, whoever wants what: the bound on what sampling costs it.
pub const GAP: Duration = Duration::from_millis(1);

/// Between two samples while somebody's write is on its way to the replicas.
pub const FAST: Duration = Duration::from_millis(10);

/// Between two samples of the primary while nobody cares.
pub const SLOW: Duration = Duration::from_millis(950);

/// Most time between two samples of a replica. More than [`SLOW`], so that replicas are asked once in a round, when the
/// primary has answered, and by themselves only when there is none.
pub const ALONE_MAX: Duration = Duration::from_secs(1);

/// How long a write counts as on its way. A replica that does not have it by then is behind for some other reason, and
/// is not made to catch up by being asked; who waits for it has it asked anyway.
pub const RECENT: Duration = Duration::from_secs(1);

/// What is wanted of the samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// The instant through which somebody who waits now wants a replica to be fresh. Of several the latest.
    pub wanted: Option<Instant>,
    /// The last acknowledged write, unless all replicas in use hold it.
    pub unheld: Option<Instant>,
}

/// How long the primary is left alone at `now`, having last been asked at `last`.
pub fn primary(now: Instant, last: Option<Instant>, wishes: Wishes) -> Duration {
    let Some(last) = last else { return Duration::ZERO };
    // A sample serves whoever wants no later instant than that at which it was asked for.
    let wanted = wishes.wanted.filter(|wanted| *wanted > last).map(|wanted| wanted.max(last + GAP));
    let recent = |written: &Instant| now.saturating_duration_since(*written) < RECENT;
    let unheld = wishes.unheld.filter(recent).map(|_| last + FAST);
    until(now, [wanted, unheld], last + SLOW)
}

/// What is known when it is decided how long a replica is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    /// When the last answer of the primary came.
    pub answered: Option<Instant>,
    /// For when that was asked.
    pub newest: Option<Instant>,
    /// Through when the replica is fresh.
    pub through: Option<Instant>,
}

/// How long a replica is left alone at `now`, having last been asked at `last`.
///
/// It is asked whenever the primary has answered, so that it keeps the primary's pace, and again and again as long as
/// somebody waits for what is known to be on the primary and the replica does not have yet.
pub fn replica(now: Instant, last: Option<Instant>, wishes: Wishes, lag: Lag) -> Duration {
    let Some(last) = last else { return Duration::ZERO };
    let due = Some(last + GAP);
    let round = due.filter(|_| lag.answered.is_some_and(|answered| answered > last));
    // Nobody can be found to be fresher than the newest sample.
    let reachable = wishes.wanted.and_then(|wanted| lag.newest.map(|newest| newest.min(wanted)));
    let awaited = due.filter(|_| reachable.is_some_and(|instant| lag.through < Some(instant)));
    until(now, [round, awaited], last + ALONE_MAX)
}

fn until(now: Instant, early: [Option<Instant>; 2], late: Instant) -> Duration {
    early.into_iter().flatten().fold(late, Instant::min).saturating_duration_since(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Milliseconds on a clock of the test's own.
    struct Clock(Instant);

    impl Clock {
        fn at(&self, at: u64) -> Instant {
            self.0 + ms(at)
        }

        fn wishes(&self, wanted: Option<u64>, unheld: Option<u64>) -> Wishes {
            Wishes { wanted: wanted.map(|w| self.at(w)), unheld: unheld.map(|u| self.at(u)) }
        }

        /// How long the primary is left alone at 5000, last asked at `last`.
        fn primary(&self, last: u64, wanted: Option<u64>, unheld: Option<u64>) -> Duration {
            primary(self.at(5000), Some(self.at(last)), self.wishes(wanted, unheld))
        }

        /// How long a replica is left alone at 5000, last asked at `last`.
        fn replica(&self, last: u64, wanted: Option<u64>, lag: [Option<u64>; 3]) -> Duration {
            let [answered, newest, through] = lag.map(|instant| instant.map(|instant| self.at(instant)));
            let lag = Lag { answered, newest, through };
            replica(self.at(5000), Some(self.at(last)), self.wishes(wanted, None), lag)
        }
    }

    #[test]
    fn a_server_that_was_never_asked_is_asked_at_once() {
        let now = Instant::now();
        let lag = Lag { answered: None, newest: None, through: None };
        assert_eq!(primary(now, None, Wishes::default()), Duration::ZERO);
        assert_eq!(replica(now, None, Wishes::default(), lag), Duration::ZERO);
    }

    #[test]
    fn the_primary_is_asked_slowly_when_nobody_cares() {
        let clock = Clock(Instant::now());
        assert_eq!(clock.primary(4990, None, None), ms(940));
        assert_eq!(clock.primary(4000, None, None), Duration::ZERO);
        assert_eq!(clock.primary(1000, None, None), Duration::ZERO, "overdue");
    }

    #[test]
    fn a_write_that_is_not_everywhere_has_the_primary_asked_fast_for_a_second() {
        let clock = Clock(Instant::now());
        assert_eq!(clock.primary(4998, None, Some(4999)), ms(8));
        assert_eq!(clock.primary(4998, None, Some(4001)), ms(8), "asked since, and still not everywhere");
        assert_eq!(clock.primary(4998, None, Some(4000)), ms(948), "too long ago");
        assert_eq!(clock.primary(4500, None, Some(4999)), Duration::ZERO, "the first after a rest");
    }

    #[test]
    fn a_reader_has_the_primary_asked_at_once_but_not_twice_in_a_millisecond() {
        let clock = Clock(Instant::now());
        assert_eq!(clock.primary(4990, Some(4995), None), Duration::ZERO);
        assert_eq!(clock.primary(5000, Some(5000), None), ms(950), "the sample serves this reader");
        let just_now = clock.at(5000) + Duration::from_micros(300);
        let wishes = Wishes { wanted: Some(just_now), unheld: None };
        assert_eq!(primary(just_now, Some(clock.at(5000)), wishes), Duration::from_micros(700));
        assert_eq!(clock.primary(4990, Some(5040), None), ms(40), "an instant to come is waited for");
        assert_eq!(clock.primary(4990, Some(9000), None), ms(940), "but not without looking");
    }

    #[test]
    fn a_replica_is_asked_when_the_primary_has_answered() {
        let clock = Clock(Instant::now());
        assert_eq!(clock.replica(4990, None, [Some(4999), Some(4998), Some(4000)]), Duration::ZERO);
        assert_eq!(clock.replica(5000, None, [Some(5001), Some(4999), None]), ms(1), "the gap");
        assert_eq!(clock.replica(4990, None, [Some(4990), Some(4989), None]), ms(990), "asked since");
        assert_eq!(clock.replica(4400, None, [None; 3]), ms(400), "no primary");
    }

    #[test]
    fn a_replica_that_somebody_waits_for_is_asked_until_it_is_there() {
        let clock = Clock(Instant::now());
        let lag = |newest, through| [Some(4950), Some(newest), through];
        assert_eq!(clock.replica(5000, Some(4900), lag(4940, Some(4899))), ms(1));
        assert_eq!(clock.replica(5000, Some(4900), lag(4940, None)), ms(1));
        assert_eq!(clock.replica(5000, Some(4900), lag(4940, Some(4900))), ms(1000), "it is there");
        assert_eq!(clock.replica(5000, Some(4999), lag(4940, Some(4940))), ms(1000), "the primary's turn");
        assert_eq!(clock.replica(5000, Some(4999), lag(4940, Some(4939))), ms(1));
    }
}
