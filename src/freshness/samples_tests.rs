use proptest::prelude::*;

use super::*;
use crate::freshness::Lsn;

fn at(epoch: Instant, ms: u64) -> Instant {
    epoch + Duration::from_millis(ms)
}

/// Samples<Lsn> given as milliseconds and positions.
fn samples(epoch: Instant, all: &[(u64, u64)]) -> Samples<Lsn> {
    let mut samples = Samples::<Lsn>::default();
    all.iter().for_each(|(ms, position)| samples.push(at(epoch, *ms), Lsn(*position)));
    samples
}

#[test]
fn a_replica_holds_what_was_there_at_the_last_sample_it_has_reached() {
    let epoch = Instant::now();
    let samples = samples(epoch, &[(1, 100), (2, 200), (3, 300)]);
    let through = |replayed| samples.through(Lsn(replayed));
    assert_eq!(through(99), None);
    assert_eq!(through(100), Some(at(epoch, 1)));
    assert_eq!(through(199), Some(at(epoch, 1)));
    assert_eq!(through(200), Some(at(epoch, 2)));
    assert_eq!(through(u64::MAX), Some(at(epoch, 3)));
    assert_eq!(samples.position(), Some(Lsn(300)));
}

#[test]
fn nothing_is_known_without_samples() {
    let mut samples = samples(Instant::now(), &[(1, 100)]);
    samples.clear();
    assert_eq!((samples.through(Lsn(u64::MAX)), samples.position()), (None, None));
}

#[test]
fn an_idle_primary_has_one_sample_that_moves_on() {
    let epoch = Instant::now();
    let samples = samples(epoch, &[(1, 100), (2, 200), (3, 200), (4, 200)]);
    assert_eq!(samples.kept.len(), 2);
    assert_eq!(samples.through(Lsn(200)), Some(at(epoch, 4)));
    assert_eq!(samples.through(Lsn(199)), Some(at(epoch, 1)));
}

#[test]
fn positions_that_a_crash_took_back_are_dropped() {
    let epoch = Instant::now();
    let samples = samples(epoch, &[(1, 100), (2, 200), (3, 300), (4, 150)]);
    assert_eq!(samples.through(Lsn(150)), Some(at(epoch, 4)));
    assert_eq!(samples.through(Lsn(149)), Some(at(epoch, 1)));
    assert_eq!(samples.position(), Some(Lsn(150)));
}

#[test]
fn a_sample_that_is_not_younger_than_the_last_changes_nothing() {
    let epoch = Instant::now();
    let samples = samples(epoch, &[(5, 100), (5, 50), (4, 20), (5, 200)]);
    assert_eq!(samples.through(Lsn(99)), None);
    assert_eq!(samples.through(Lsn(200)), Some(at(epoch, 5)));
    assert_eq!(samples.position(), Some(Lsn(100)));
}

#[test]
fn samples_stay_bounded_however_old_they_become() {
    let epoch = Instant::now();
    let mut samples = Samples::<Lsn>::default();
    let mut ms = 1;
    // Each older than all after it together: none is dense for its age.
    for n in 0..100 * LENGTH_MAX as u64 {
        samples.push(at(epoch, ms), Lsn(n));
        assert!(samples.kept.len() <= LENGTH_MAX);
        ms += 1 + ms / 1000;
        if ms > 1 << 40 {
            break;
        }
    }
    assert_eq!(samples.kept[0].position, Lsn(0));
}

#[test]
fn a_day_of_samples_stays_bounded_and_as_precise_as_its_age_asks() {
    let epoch = Instant::now();
    let mut samples = Samples::<Lsn>::default();
    let (pace, count) = (10, 8_640_000);
    for n in 1..=count {
        samples.push(at(epoch, n * pace), Lsn(n));
        assert!(samples.kept.len() <= LENGTH_MAX);
    }
    let short_of = |behind: u64| {
        let through = samples.through(Lsn(count - behind)).unwrap();
        at(epoch, (count - behind) * pace).duration_since(through)
    };
    assert!((0..100).all(|behind| short_of(behind).is_zero()), "the newest are all there");
    for behind in (0..count).step_by(997) {
        let age = Duration::from_millis(behind * pace);
        assert!(short_of(behind) <= age / 60, "{:?} short at {age:?}", short_of(behind));
    }
    assert_eq!(samples.through(Lsn(1)), Some(at(epoch, pace)), "the oldest is there");
}

/// All samples ever taken, and the definition word for word.
fn naive(all: &[(Instant, Lsn)], replayed: Lsn) -> Option<Instant> {
    all.iter().filter(|(_, position)| *position <= replayed).map(|(asked, _)| *asked).max()
}

proptest! {
    #[test]
    fn few_samples_say_what_all_samples_say(
        steps in prop::collection::vec((1u64..5, -20i64..60), 1..LENGTH_MAX),
        looks in prop::collection::vec(0u64..40_000, 20),
    ) {
        let (samples, all, top) = taken(&steps);
        for replayed in looks.into_iter().map(|look| Lsn(look % (top + 10))) {
            prop_assert_eq!(samples.through(replayed), naive(&all, replayed));
        }
    }

    #[test]
    fn many_samples_never_say_more_than_all_samples(
        steps in prop::collection::vec((1u64..5, -3i64..20), LENGTH_MAX..4 * LENGTH_MAX),
        looks in prop::collection::vec(0u64..100_000, 20),
    ) {
        let (samples, all, top) = taken(&steps);
        for replayed in looks.into_iter().map(|look| Lsn(look % (top + 10))) {
            prop_assert!(samples.through(replayed) <= naive(&all, replayed));
        }
        let last = all.last().unwrap();
        prop_assert_eq!(samples.through(last.1.max(Lsn(top))), Some(last.0), "the newest is always known");
    }
}

/// Samples<Lsn> after these steps in time and position, kept in both ways, and the highest position.
fn taken(steps: &[(u64, i64)]) -> (Samples<Lsn>, Vec<(Instant, Lsn)>, u64) {
    let (mut samples, mut all) = (Samples::<Lsn>::default(), Vec::new());
    let (mut asked, mut position, mut top) = (Instant::now(), 1000u64, 1000);
    for (ms, step) in steps {
        asked += Duration::from_millis(*ms);
        position = position.saturating_add_signed(*step);
        top = top.max(position);
        samples.push(asked, Lsn(position));
        all.push((asked, Lsn(position)));
    }
    (samples, all, top)
}
