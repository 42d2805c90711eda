//! The freshness clock against real servers, one test for each trap.
//!
//! `through` promises: the replica holds what was acknowledged before. So most tests here acknowledge something at a
//! known instant, and look at both the promise and what the replica really holds.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use harness::{Options, Result, Stop, WeirSetup};
use tokio::time::{sleep, timeout};
use weir::cluster::topology::{Role, Server};
use weir::cluster::{Cluster, Demand, Sample, SampleEvents};
use weir::config::{Config, load_with};
use weir::freshness::{Freshness, Lsn};

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(30);

const PAGE: u64 = 8192;
const SEGMENT: u64 = 16 << 20;

/// weir's view of some servers, and a count of the samples that it took.
struct Clock {
    servers: harness::Cluster,
    cluster: Arc<Cluster>,
    counts: Arc<Counts>,
}

/// Samples by server.
struct Counts {
    /// In the order of the configuration.
    names: Vec<String>,
    samples: [AtomicUsize; 4],
}

impl SampleEvents for Counts {
    fn sampled(&self, server: &Server, _: Sample, _: Duration) {
        let place = self.names.iter().position(|name| **name == *server.name).unwrap();
        self.samples[place].fetch_add(1, Ordering::SeqCst);
    }
}

impl Counts {
    fn get(&self) -> [usize; 4] {
        std::array::from_fn(|index| self.samples[index].load(Ordering::SeqCst))
    }

    /// How many samples of each server were taken while `time` passed.
    async fn during(&self, time: Duration) -> [usize; 4] {
        let before = self.get();
        sleep(time).await;
        let after = self.get();
        std::array::from_fn(|index| after[index] - before[index])
    }
}

impl Clock {
    /// Waits until all replicas have been found fresh.
    async fn start(options: Options) -> Result<Self> {
        // Nothing but the tests writes WAL.
        let quiet = options.quiet().setting("autovacuum", "off").setting("checkpoint_timeout", "1h");
        let servers = harness::Cluster::with(quiet)?;
        // As an operator would: the timelines of replicas are told to those who may read statistics.
        servers.sql(0, "GRANT pg_read_all_stats TO app; CREATE TABLE t (id int)")?;
        servers.wait_caught_up()?;
        let names = (0..servers.size()).map(|server| servers.name(server).to_owned()).collect();
        let counts = Arc::new(Counts { names, samples: Default::default() });
        let config = configuration(&servers);
        let cluster = Cluster::start_observed(&config, &config.servers, counts.clone());
        let clock = Self { servers, cluster, counts };
        for replica in 1..clock.servers.size() {
            clock.until("the first freshness", || clock.through(replica)).await;
        }
        Ok(clock)
    }

    fn freshness(&self, replica: usize) -> Arc<Freshness> {
        self.cluster.topology().servers[replica].freshness.clone()
    }

    fn through(&self, replica: usize) -> Option<Instant> {
        self.freshness(replica).through()
    }

    /// Writes a row on a server, past weir, and tells it: the instant at which the client knew.
    fn write(&self, server: usize) -> Result<Instant> {
        self.servers.sql(server, "INSERT INTO t VALUES (1)")?;
        let acknowledged = Instant::now();
        self.cluster.demand().wrote(acknowledged);
        Ok(acknowledged)
    }

    fn rows(&self, server: usize) -> Result<u64> {
        Ok(self.servers.sql(server, "SELECT count(*) FROM t")?.value().parse().unwrap())
    }

    async fn until<T>(&self, what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = attempt() {
                return found;
            }
            assert!(Instant::now() < end, "waited in vain for {what}: {:#?}", self.cluster.topology());
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits as a reader does until a replica is fresh through an instant.
    async fn read(&self, replica: usize, through: Instant) {
        let demand = self.cluster.demand();
        let freshness = self.freshness(replica);
        let waiting = async {
            let _wanted = demand.want(through);
            loop {
                let news = demand.news();
                if freshness.through() >= Some(through) {
                    return;
                }
                news.await;
            }
        };
        let in_vain = |_| panic!("a reader waited in vain: {:#?}", self.cluster.topology());
        timeout(PATIENCE, waiting).await.unwrap_or_else(in_vain);
    }

    /// For `time`, samples being wanted all the while: looks.
    async fn all_the_while(&self, time: Duration, mut look: impl FnMut()) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            let _wanted = self.cluster.demand().want(Instant::now());
            sleep(Duration::from_millis(5)).await;
            look();
        }
    }

    /// Where the primary inserts, as it says itself.
    fn inserted(&self) -> Result<u64> {
        let primary = self.servers.primary();
        let answer = self.servers.sql(primary, "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")?;
        Ok(answer.value().parse().unwrap())
    }

    fn data(&self, server: usize) -> PathBuf {
        self.servers.directory().join(self.servers.name(server)).join("data")
    }
}

/// Of weir in front of these servers, probing often and giving up soon.
fn configuration(servers: &harness::Cluster) -> Config {
    let setup = WeirSetup::in_front_of(servers, 0..servers.size())
        .set("health", "interval", "\"100ms\"")
        .set("health", "timeout", "\"1s\"");
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("freshness-{}.toml", servers.port(0)));
    std::fs::write(&file, setup.text()).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let config = load_with(&file, &HashMap::new());
    std::fs::remove_file(&file).unwrap();
    config.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn on_an_idle_primary_replicas_stay_fresh() -> Result<()> {
    let clock = Clock::start(Options::new(2)).await?;
    let end = Instant::now() + Duration::from_secs(3);
    while Instant::now() < end {
        sleep(Duration::from_millis(10)).await;
        for replica in [1, 2] {
            let staleness = clock.through(replica).map(|through| through.elapsed());
            assert!(staleness.is_some_and(|age| age < Duration::from_millis(1500)), "{staleness:?}");
            assert_eq!(clock.freshness(replica).behind(), Some(0));
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_has_it_known_in_milliseconds() -> Result<()> {
    let clock = Clock::start(Options::new(1)).await?;
    let mut times = Vec::new();
    for _ in 0..31 {
        sleep(Duration::from_millis(20)).await;
        let begun = Instant::now();
        clock.read(1, begun).await;
        times.push(begun.elapsed());
    }
    times.sort();
    let median = times[times.len() / 2];
    eprintln!("a reader waits {median:?} for two round trips");
    assert!(median < Duration::from_millis(20), "{times:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_page_header_a_replica_has_nothing_left_to_replay() -> Result<()> {
    let clock = Clock::start(Options::new(1)).await?;
    let message = |length| format!("SELECT pg_logical_emit_message(false, 'w', repeat('x', {length}))");
    let fill = || -> Result<()> {
        let left = PAGE - clock.inserted()? % PAGE;
        // What a record of a message takes besides the message: 55 bytes, when it is not a short one.
        let length = if (400..8000).contains(&left) { left - 55 } else { 1000 };
        clock.servers.sql(0, &message(length)).map(drop)
    };
    stands_behind_a_header(&clock, (24, PAGE), fill).await
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_segment_header_a_replica_has_nothing_left_to_replay() -> Result<()> {
    let clock = Clock::start(Options::new(1)).await?;
    let fill = || -> Result<()> {
        clock.servers.sql(0, "INSERT INTO t VALUES (1)")?;
        clock.servers.sql(0, "SELECT pg_switch_wal()").map(drop)
    };
    stands_behind_a_header(&clock, (40, SEGMENT), fill).await
}

/// The primary idles with its insert position behind a header of so many bytes, which begins so many, once it has been
/// filled up to there.
async fn stands_behind_a_header(
    clock: &Clock,
    (header, begins): (u64, u64),
    fill: impl Fn() -> Result<()>,
) -> Result<()> {
    for _ in 0..100 {
        fill()?;
        let inserted = clock.inserted()?;
        if inserted % begins != header {
            continue;
        }
        // Messages are flushed some time after they are written.
        clock.servers.wait_caught_up()?;
        for _ in 0..3 {
            clock.read(1, Instant::now()).await;
        }
        let (replayed, position) = (clock.freshness(1).replayed(), clock.cluster.demand().position());
        // Who was busy meanwhile, as a primary is now and then on its own account, stands elsewhere now.
        if clock.inserted()? == inserted {
            assert_eq!(replayed, Lsn(inserted - header), "the trap: it never gets to the position");
            assert_eq!(position.unwrap().0, Lsn(inserted - header));
            return Ok(());
        }
    }
    panic!("the premise: the primary idles behind a header");
}

/// It is acknowledged before it is flushed, and nothing that is not flushed reaches a replica.
#[tokio::test(flavor = "multi_thread")]
async fn an_asynchronous_commit_counts_from_its_acknowledgement() -> Result<()> {
    let options = Options::new(1).setting("synchronous_commit", "off").setting("wal_writer_delay", "1s");
    let clock = Clock::start(options).await?;
    let mut missing = 0;
    for expected in 1..=3 {
        let acknowledged = clock.write(0)?;
        missing += u32::from(clock.rows(1)? < expected);
        // Nobody writes any more, so that only the WAL writer brings it about.
        let fresh = async {
            while clock.through(1) < Some(acknowledged) {
                let rows = clock.rows(1)?;
                missing += u32::from(rows < expected);
                sleep(Duration::from_millis(5)).await;
            }
            Result::Ok(())
        };
        timeout(Duration::from_secs(10), fresh).await.unwrap()?;
        assert_eq!(clock.rows(1)?, expected, "fresh without the row");
    }
    assert!(missing > 0, "the premise: acknowledged, and not there");
    Ok(())
}

/// WAL that no commit flushes stays on the primary for seconds: of a transaction that idles, of a rollback.
#[tokio::test(flavor = "multi_thread")]
async fn wal_that_is_not_flushed_makes_no_replica_stale() -> Result<()> {
    let clock = Clock::start(Options::new(1).setting("wal_writer_delay", "10s")).await?;
    clock.write(0)?;
    let mut idler = clock.servers.admin(0)?;
    idler.query("BEGIN")?;
    idler.query("INSERT INTO t VALUES (2)")?;
    let unflushed = "SELECT pg_current_wal_insert_lsn() > pg_current_wal_flush_lsn()";
    assert_eq!(clock.servers.sql(0, unflushed)?.value(), "t", "the premise");
    let now = Instant::now();
    timeout(Duration::from_secs(5), clock.read(1, now)).await.unwrap();
    assert_eq!(clock.servers.sql(0, unflushed)?.value(), "t", "the premise, still");

    // What is committed beside it is not overlooked.
    clock.servers.pause_replay(1)?;
    let written = clock.write(0)?;
    clock
        .all_the_while(Duration::from_millis(500), || {
            assert!(clock.through(1).is_some_and(|through| through < written))
        })
        .await;
    clock.servers.resume_replay(1)?;
    clock.read(1, written).await;
    assert_eq!(clock.rows(1)?, 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_pauses_is_fresh_through_the_pause_and_no_further() -> Result<()> {
    let clock = Clock::start(Options::new(2)).await?;
    clock.servers.pause_replay(1)?;
    let written = clock.write(0)?;
    clock.read(2, written).await;
    clock
        .all_the_while(Duration::from_secs(2), || {
            assert!(clock.through(1).is_some_and(|through| through < written));
            assert!(clock.freshness(1).behind() > Some(0));
        })
        .await;
    assert_eq!((clock.rows(1)?, clock.rows(2)?), (0, 1));
    clock.servers.resume_replay(1)?;
    clock.read(1, written).await;
    assert_eq!(clock.rows(1)?, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_does_not_answer_grows_stale_and_is_forgotten() -> Result<()> {
    let clock = Clock::start(Options::new(1)).await?;
    clock.read(1, Instant::now()).await;
    clock.servers.freeze(1)?;
    // What it is known to have it has, for as long as nothing else is written.
    let written = clock.write(0)?;
    let stale = clock.all_the_while(Duration::from_millis(500), || {
        assert!(clock.through(1).is_none_or(|through| through < written));
    });
    stale.await;
    clock.until("the connection to be given up", || clock.through(1).is_none().then_some(())).await;
    clock.servers.thaw(1)?;
    clock.read(1, Instant::now()).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_replica_is_another_one() -> Result<()> {
    let clock = Clock::start(Options::new(1)).await?;
    for how in [Stop::Fast, Stop::Kill] {
        clock.servers.stop(1, how)?;
        let stopped = Instant::now();
        clock.until("the freshness to be forgotten", || clock.through(1).is_none().then_some(())).await;
        let freshness = clock.freshness(1);
        assert_eq!((freshness.sampled(), freshness.replayed(), freshness.behind()), (None, Lsn(0), None));
        clock.servers.restart(1)?;
        clock.read(1, Instant::now()).await;
        assert!(freshness.sampled() > Some(stopped));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_comes_back_with_less_is_fresh_through_less() -> Result<()> {
    let clock = Clock::start(Options::new(1)).await?;
    let (data, copy) = (clock.data(1), clock.data(1).with_file_name("older"));
    let run = |script: String| {
        let output = clock.servers.command(Path::new("/bin/sh")).args(["-c", &script]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    clock.servers.stop(1, Stop::Fast)?;
    run(format!("cp -a {data:?} {copy:?}"));
    clock.servers.restart(1)?;
    let written = clock.write(0)?;
    clock.read(1, written).await;

    clock.servers.stop(1, Stop::Kill)?;
    run(format!("rm -r {data:?} && mv {copy:?} {data:?}"));
    // It would catch up before anybody could look.
    run(format!("echo \"recovery_min_apply_delay = '1h'\" >>{data:?}/postgresql.auto.conf"));
    clock.servers.restart(1)?;
    clock.until("the replica to be sampled", || clock.freshness(1).sampled()).await;
    clock
        .all_the_while(Duration::from_secs(1), || {
            assert!(clock.through(1) < Some(written));
        })
        .await;
    assert_eq!(clock.rows(1)?, 0, "the premise");
    clock.servers.set(1, "recovery_min_apply_delay", "0")?;
    clock.read(1, written).await;
    assert_eq!(clock.rows(1)?, 1);
    Ok(())
}

/// Replicas 1 and 3 miss the end of the old timeline. 1 is promoted; 2 knows more WAL than the new primary has, all of
/// it of a history that is no more; 3 follows.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_promotion_only_those_are_fresh_who_follow() -> Result<()> {
    let clock = Clock::start(Options::new(3)).await?;
    let servers = &clock.servers;
    for replica in [1, 3] {
        servers.set(replica, "primary_conninfo", "''")?;
    }
    servers.sql(0, "INSERT INTO t SELECT generate_series(1, 100000)")?;
    let end = clock.inserted()?;
    clock
        .until("replica2 to have it all", || (clock.freshness(2).replayed() >= Lsn(end - 40)).then_some(()))
        .await;
    servers.stop(0, Stop::Immediate)?;
    servers.promote(1)?;
    clock
        .until("the promotion to be seen", || {
            clock.cluster.topology().primary().filter(|p| *p.name == *clock.servers.name(1)).map(|_| ())
        })
        .await;
    let promoted = Instant::now();
    clock
        .until("the new primary to be sampled", || {
            let _wanted = clock.cluster.demand().want(promoted);
            clock.cluster.demand().newest().filter(|newest| *newest > promoted)
        })
        .await;
    assert!(clock.inserted()? < end, "the premise: replica2 has more WAL than the primary");

    let written = clock.write(1)?;
    let mut looks = 0;
    let nobody = clock.all_the_while(Duration::from_secs(2), || {
        looks += 1;
        for replica in [1, 2, 3] {
            let freshness = clock.freshness(replica);
            assert_eq!((freshness.through(), freshness.replayed()), (None, Lsn(0)), "server {replica}");
        }
    });
    nobody.await;
    assert!(looks > 100);

    servers.follow(3)?;
    servers.sql(3, "ALTER SYSTEM RESET primary_conninfo")?;
    servers.sql(3, "SELECT pg_reload_conf()")?;
    clock.read(3, written).await;
    assert_eq!(clock.rows(3)?, 1);
    assert_eq!(clock.through(2), None);
    let topology = clock.cluster.topology();
    assert_eq!(topology.servers[2].role, Role::Replica, "and still a replica that is up");
    assert!(topology.servers[2].is_up());
    Ok(())
}

/// Who may not see what a replica receives sees its control file, which learns of a timeline at the next restartpoint.
#[tokio::test(flavor = "multi_thread")]
async fn without_privileges_a_follower_is_fresh_after_its_next_restartpoint() -> Result<()> {
    let clock = Clock::start(Options::new(2)).await?;
    let servers = &clock.servers;
    servers.sql(0, "REVOKE pg_read_all_stats FROM app")?;
    servers.wait_caught_up()?;
    servers.stop(0, Stop::Immediate)?;
    servers.promote(1)?;
    servers.follow(2)?;
    let written = clock.write(1)?;
    servers.sql(1, "CHECKPOINT")?;
    servers.wait_caught_up()?;
    servers.sql(2, "CHECKPOINT")?;
    clock.read(2, written).await;
    assert_eq!(clock.rows(2)?, 1);
    Ok(())
}

/// The server lives on, so its other connections do; but who knows that, once the one that asks is gone?
#[tokio::test(flavor = "multi_thread")]
async fn with_its_control_connection_a_replica_s_freshness_ends() -> Result<()> {
    let clock = Clock::start(Options::new(1)).await?;
    let before = Instant::now();
    let ended = clock.servers.sql(
        1,
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'weir sampler'",
    )?;
    assert_eq!(ended.value(), "1", "one connection");
    // The pause before the next connection is long enough to look.
    clock.until("the freshness to be forgotten", || clock.through(1).is_none().then_some(())).await;
    clock.read(1, Instant::now()).await;
    assert!(clock.freshness(1).sampled() > Some(before));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_covers_what_was_acknowledged_before_it_was_asked_for() -> Result<()> {
    let clock = Clock::start(Options::new(1)).await?;
    let demand = clock.cluster.demand();
    for _ in 0..20 {
        clock.servers.sql(0, "INSERT INTO t VALUES (1)")?;
        let (now, inserted) = (Instant::now(), clock.inserted()?);
        let waiting = position_after(demand, now);
        assert_eq!(timeout(PATIENCE, waiting).await.unwrap(), Lsn(inserted).as_replayed(PAGE, SEGMENT));
    }
    Ok(())
}

/// Where the primary is when it is asked at `instant` or later.
async fn position_after(demand: &Demand, instant: Instant) -> Lsn {
    let _wanted = demand.want(instant);
    loop {
        let news = demand.news();
        if let Some((position, _)) = demand.position().filter(|(_, asked)| *asked >= instant) {
            return position;
        }
        news.await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_are_sampled_as_often_as_somebody_cares() -> Result<()> {
    let clock = Clock::start(Options::new(2)).await?;
    let demand = clock.cluster.demand();
    let seconds = Duration::from_secs;

    // Nobody cares.
    sleep(seconds(1)).await;
    let idle = clock.counts.during(seconds(4)).await;
    eprintln!("samples in 4 s, idle: {idle:?}");
    assert!(idle[..3].iter().all(|count| (3..=8).contains(count)), "{idle:?}");

    // One write is noticed though the sampler has just begun to sleep for a second, and its way is followed.
    let newest = demand.newest();
    clock.until("the next sample", || (demand.newest() > newest).then_some(())).await;
    sleep(Duration::from_millis(100)).await;
    let write = clock.write(0)?;
    let begun = Instant::now();
    clock
        .until("the write to be everywhere", || (1..3).all(|r| clock.through(r) >= Some(write)).then_some(()))
        .await;
    assert!(begun.elapsed() < Duration::from_millis(300), "{:?}", begun.elapsed());

    // Somebody writes all the time.
    let writing = async {
        let end = Instant::now() + seconds(2);
        while Instant::now() < end {
            demand.wrote(Instant::now());
            sleep(Duration::from_micros(500)).await;
        }
    };
    let (writes, ()) = tokio::join!(clock.counts.during(seconds(2)), writing);
    eprintln!("samples in 2 s, with writes: {writes:?}");
    assert!(writes[..3].iter().all(|count| (40..=210).contains(count)), "{writes:?}");

    // A replica that is never there is not waited for for ever.
    clock.servers.pause_replay(2)?;
    clock.write(0)?;
    sleep(Duration::from_millis(1500)).await;
    let given_up = clock.counts.during(seconds(2)).await;
    assert!(given_up[..3].iter().all(|count| *count <= 4), "{given_up:?}");

    // Somebody reads all the time, and one replica cannot keep up. How often that is depends on the machine: at the pace
    // of idle servers it would take minutes.
    let before = clock.counts.get();
    let begun = Instant::now();
    let often = || clock.counts.get()[..3].iter().zip(before).all(|(now, before)| *now >= before + 100);
    let reading = async {
        while !often() && begun.elapsed() < PATIENCE {
            let _wanted = demand.want(Instant::now());
            tokio::task::yield_now().await;
        }
    };
    reading.await;
    let (seconds, after) = (begun.elapsed().as_secs_f64(), clock.counts.get());
    let reads: [usize; 3] = std::array::from_fn(|index| after[index] - before[index]);
    eprintln!("samples in {seconds:.2} s, wanted all the time: {reads:?}");
    assert!(often(), "{reads:?} in {seconds} s");
    assert!(reads.iter().all(|count| *count as f64 <= 1050.0 * seconds + 50.0), "{reads:?} in {seconds} s");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_primary_replicas_are_sampled_and_grow_no_fresher() -> Result<()> {
    let clock = Clock::start(Options::new(1)).await?;
    clock.servers.stop(0, Stop::Immediate)?;
    let stopped = Instant::now();
    clock
        .until("the primary to be seen down", || clock.cluster.topology().writable().is_none().then_some(()))
        .await;
    sleep(Duration::from_millis(200)).await;
    let counts = clock.counts.during(Duration::from_secs(3)).await;
    assert!(counts[1] >= 2, "{counts:?}");
    let newest = clock.cluster.demand().newest();
    assert!(newest.is_some_and(|newest| newest <= stopped));
    assert_eq!(clock.through(1), newest, "it holds all that there was");
    clock.servers.restart(0)?;
    clock.read(1, Instant::now()).await;
    Ok(())
}
