use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::timeout;

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

/// A write between the look and the sleep must end the sleep: the sampler sleeps only when it saw no new write, and
/// would sleep for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_write_is_slept_through() {
    const WRITES: u64 = 20_000;
    let epoch = Instant::now();
    let demand = Arc::new(Demand::new(epoch));
    let at = move |n| epoch + Duration::from_nanos(n);
    let (seen, mut sees) = watch::channel(0);
    let sampler = tokio::spawn(sleep_between_writes(demand.clone(), at(WRITES), seen));
    for n in 1..=WRITES {
        demand.wrote(at(n));
        // Each write meets the sampler at another point of its round.
        (0..n % 64).for_each(|_| std::hint::spin_loop());
        if n % 3 == 0 {
            let heard = sees.wait_for(|seen| *seen >= n);
            assert!(timeout(PATIENCE, heard).await.is_ok(), "write {n} was slept through");
        }
    }
    sampler.await.unwrap();
}

/// As the primary's sampler does when it has nothing else to do, until the last write.
async fn sleep_between_writes(demand: Arc<Demand>, end: Instant, seen: watch::Sender<u64>) {
    let mut last = None;
    while last != Some(end) {
        let bell = demand.primary_sleeps(pace::SLOW, 2);
        if demand.written() == last {
            timeout(PATIENCE, bell).await.expect("a write was slept through");
        }
        last = demand.written();
        seen.send_replace(last.map_or(0, |last| demand.epoch.number(last) - 1));
    }
}

/// The same for readers and what the samplers learn: either side may come first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_news_is_missed_by_who_waits() {
    const ROUNDS: u64 = 10_000;
    let epoch = Instant::now();
    let demand = Arc::new(Demand::new(epoch));
    let at = move |n| epoch + Duration::from_nanos(n);
    let (next, mut rounds) = watch::channel(0);
    let reader = tokio::spawn({
        let demand = demand.clone();
        async move {
            for n in 1..=ROUNDS {
                next.send_replace(n);
                wait_as_a_reader(&demand, at(n)).await;
            }
        }
    });
    for n in 1..=ROUNDS {
        assert!(rounds.wait_for(|round| *round >= n).await.is_ok());
        (0..n % 128).for_each(|_| std::hint::spin_loop());
        demand.sampled(at(n), at(n), Lsn(n));
    }
    reader.await.unwrap();
    assert_eq!(demand.position(), Some((Lsn(ROUNDS), at(ROUNDS))));
}

async fn wait_as_a_reader(demand: &Demand, through: Instant) {
    let _wanted = demand.want(through);
    loop {
        let news = demand.news();
        if demand.newest() >= Some(through) {
            return;
        }
        timeout(PATIENCE, news).await.expect("news were missed");
    }
}

#[tokio::test]
async fn who_is_not_needed_is_left_asleep() {
    let epoch = Instant::now();
    let demand = Demand::new(epoch);
    let rung = async |bell| timeout(Duration::from_millis(1), bell).await.is_ok();
    let bell = demand.primary_sleeps(pace::FAST, 2);
    demand.wrote(epoch);
    assert!(!rung(bell).await, "it will look soon enough");
    let bell = demand.primary_sleeps(pace::SLOW, 0);
    demand.wrote(epoch);
    assert!(!rung(bell).await, "no replica could lack it");
    let bell = demand.primary_sleeps(pace::SLOW, 2);
    demand.wrote(epoch);
    assert!(rung(bell).await);

    let (primary, replica) = (demand.primary_sleeps(pace::FAST, 2), demand.replica_sleeps(pace::SLOW));
    drop(demand.want(epoch));
    assert!(rung(primary).await && rung(replica).await);
    let (primary, replica) = (demand.primary_sleeps(pace::GAP, 2), demand.replica_sleeps(pace::GAP));
    drop(demand.want(epoch));
    assert!(!rung(primary).await && !rung(replica).await);
    let (primary, replica) = (demand.primary_sleeps(pace::SLOW, 2), demand.replica_sleeps(pace::SLOW));
    demand.sampled(epoch, epoch, Lsn(1));
    assert!(!rung(primary).await && rung(replica).await);
}

/// All replicas' samplers share one sign: who says that he sleeps while another is being woken must not be passed over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_replica_sleeps_through_an_answer_of_the_primary() {
    const ANSWERS: u64 = 10_000;
    let epoch = Instant::now();
    let demand = Arc::new(Demand::new(epoch));
    let at = move |n| epoch + Duration::from_nanos(n);
    let sleepers = [0; 3].map(|_| tokio::spawn(sleep_between_answers(demand.clone(), at(ANSWERS))));
    for n in 1..=ANSWERS {
        demand.sampled(at(n), at(n), Lsn(n));
        (0..n % 512).for_each(|_| std::hint::spin_loop());
    }
    for sleeper in sleepers {
        sleeper.await.unwrap();
    }
}

async fn sleep_between_answers(demand: Arc<Demand>, end: Instant) {
    let mut last = None;
    while last != Some(end) {
        let bell = demand.replica_sleeps(pace::SLOW);
        if demand.answered() == last {
            timeout(PATIENCE, bell).await.expect("an answer was slept through");
        }
        last = demand.answered();
    }
}

#[test]
fn a_reader_wants_as_long_as_it_waits() {
    let epoch = Instant::now();
    let demand = Demand::new(epoch);
    let at = |ms| epoch + Duration::from_millis(ms);
    assert_eq!(demand.wanted(), None);
    let first = demand.want(at(7));
    let second = demand.want(at(3));
    assert_eq!(demand.wanted(), Some(at(7)));
    drop(first);
    assert!(demand.wanted().is_some());
    drop(second);
    assert_eq!(demand.wanted(), None);
}

#[test]
fn a_sample_is_known_until_it_is_of_another_primary() {
    let epoch = Instant::now();
    let demand = Demand::new(epoch);
    assert_eq!((demand.newest(), demand.position()), (None, None));
    let (asked, answered) = (epoch + Duration::from_millis(1), epoch + Duration::from_millis(2));
    demand.sampled(asked, answered, Lsn(9));
    assert_eq!((demand.newest(), demand.answered()), (Some(asked), Some(answered)));
    assert_eq!(demand.position(), Some((Lsn(9), asked)));
    demand.forget();
    assert_eq!((demand.newest(), demand.answered(), demand.position()), (None, None, None));
}

#[test]
fn an_insert_position_is_taken_for_where_replay_stands_by_the_primarys_own_sizes() {
    let demand = Demand::new(Instant::now());
    let replayed = |lsn| demand.as_replayed(Lsn(lsn)).0;
    assert_eq!(replayed(0x300_2018), 0x300_2018, "no primary has told its sizes");
    demand.sized(8 << 10, 16 << 20);
    assert_eq!([replayed(0x300_2018), replayed(0x300_0028)], [0x300_2000, 0x300_0000]);
    assert_eq!(replayed(0x300_2050), 0x300_2050);
    // Larger segments: this one begins in the middle of one. Larger pages likewise.
    demand.sized(8 << 10, 64 << 20);
    assert_eq!([replayed(0x300_0028), replayed(0x400_0028)], [0x300_0028, 0x400_0000]);
    demand.sized(32 << 10, 64 << 20);
    assert_eq!([replayed(0x300_2018), replayed(0x300_8018)], [0x300_2018, 0x300_8000]);
}
