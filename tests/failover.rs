//! Servers that die, freeze, come back and change their roles, while clients go on.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use harness::client::{Client, Login, Message, front};
use harness::{Cluster, Options, Result, Stop, Weir, WeirSetup, wait_for};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// In front of all servers, with probes that notice quickly.
fn quick(cluster: &Cluster) -> WeirSetup {
    WeirSetup::in_front_of(cluster, 0..cluster.size()).probing_quickly()
}

/// Clients that read all the time, each read with another number to tell lost and repeated answers. Half of them read in
/// transactions.
struct Readers {
    stop: AtomicBool,
    reads: AtomicU64,
    slowest_us: AtomicU64,
}

impl Readers {
    /// Reads with 8 clients, half of them with prepared statements, while `scene` plays. Their first error, if any.
    fn during(weir: &Weir, scene: impl FnOnce(&Readers) -> Result<()>) -> Result<Readers> {
        let readers =
            Readers { stop: AtomicBool::new(false), reads: AtomicU64::new(0), slowest_us: AtomicU64::new(0) };
        thread::scope(|scope| {
            let clients: Vec<_> = (0..8)
                .map(|n| {
                    scope.spawn({
                        let readers = &readers;
                        move || readers.read(weir, n)
                    })
                })
                .collect();
            let played = readers.wait_for(20).and_then(|()| scene(&readers));
            readers.stop.store(true, Ordering::SeqCst);
            clients.into_iter().try_for_each(|client| client.join().unwrap())?;
            played
        })?;
        Ok(readers)
    }

    fn read(&self, weir: &Weir, n: u64) -> Result<()> {
        let mut client = weir.connect()?;
        if n % 2 == 1 {
            client.ask(&[front::parse("s", "SELECT $1::int8", &[]), front::sync()])?;
        }
        for i in 0.. {
            let number = (n << 32 | i).to_string();
            let begun = Instant::now();
            let in_transaction = n & 2 != 0;
            if in_transaction && i % 5 == 0 {
                client.query("BEGIN")?;
            }
            let heard = if n % 2 == 1 {
                let bound = front::bind("", "s", &[Some(number.as_bytes())]);
                client.ask(&[bound, front::execute("", 0), front::sync()])?
            } else {
                client.ask(&[front::query(format!("SELECT {number}::int8"))])?
            };
            let took = u64::try_from(begun.elapsed().as_micros()).unwrap();
            if let Some(error) = heard.iter().find_map(Message::error) {
                self.stop.store(true, Ordering::SeqCst);
                return Err(error.into());
            }
            let rows: Vec<_> = heard.iter().filter(|m| m.tag == b'D').flat_map(Message::text_row).collect();
            assert_eq!(rows, [Some(number)], "{heard:?}");
            assert_eq!(heard.last().unwrap().status(), Some(if in_transaction { 'T' } else { 'I' }));
            if in_transaction && i % 5 == 4 {
                assert_eq!(client.query("COMMIT")?.tag, "COMMIT");
            }
            self.reads.fetch_add(1, Ordering::SeqCst);
            self.slowest_us.fetch_max(took, Ordering::SeqCst);
            if self.stop.load(Ordering::SeqCst) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Waits until so many reads more have been answered, or a reader has failed.
    fn wait_for(&self, more: u64) -> Result<()> {
        let goal = self.reads.load(Ordering::SeqCst) + more;
        wait_for("reads to be answered", PATIENCE, || {
            let there = self.reads.load(Ordering::SeqCst) >= goal || self.stop.load(Ordering::SeqCst);
            Ok(there.then_some(()))
        })
    }

    fn slowest(&self) -> Duration {
        Duration::from_micros(self.slowest_us.load(Ordering::SeqCst))
    }
}

/// Reads until a server has answered one.
fn wait_read_on(weir: &Weir, cluster: &Cluster, server: usize) -> Result<()> {
    let mark = cluster.mark();
    wait_for(&format!("a read on {}", cluster.name(server)), PATIENCE, || {
        weir.connect()?.query("SELECT 'where is it'")?;
        Ok(cluster.ran_on(&mark, "where is it").contains(&server).then_some(()))
    })
}

#[test]
fn dying_replicas_cost_no_client_an_error() -> Result<()> {
    let cluster = Cluster::start()?;
    let weir = quick(&cluster).start(WEIR)?;
    Readers::during(&weir, |readers| {
        cluster.stop(1, Stop::Immediate)?;
        readers.wait_for(500)?;
        cluster.restart(1)?;
        wait_read_on(&weir, &cluster, 1)?;
        cluster.stop(2, Stop::Kill)?;
        readers.wait_for(500)?;
        cluster.stop(1, Stop::Fast)?;
        readers.wait_for(500)?;
        weir.wait_up("replica1", 0.0)?;
        let mark = cluster.mark();
        readers.wait_for(20)?;
        assert!(cluster.ran_on(&mark, "::int8").iter().all(|server| *server == 0));
        cluster.restart(1)?;
        cluster.restart(2)?;
        wait_read_on(&weir, &cluster, 1)?;
        wait_read_on(&weir, &cluster, 2)
    })?;
    let metrics = weir.metrics()?;
    assert_eq!(metrics.sum("weir_errors_total", &[]), 0.0, "{metrics:?}");
    assert!(
        metrics.sum("weir_reruns_total", &[("cause", "connection_lost")])
            + metrics.sum("weir_reruns_total", &[("cause", "57P01")])
            + metrics.sum("weir_reruns_total", &[("cause", "57P02")])
            > 0.0,
        "no read was under way"
    );
    Ok(())
}

/// Nobody hears of a frozen server from the kernel: its connections stay open and take what is written to them.
#[test]
fn reads_go_on_when_a_replica_freezes() -> Result<()> {
    let cluster = Cluster::start()?;
    let weir = quick(&cluster).start(WEIR)?;
    let readers = Readers::during(&weir, |readers| {
        cluster.freeze(1)?;
        weir.wait_up("replica1", 0.0)?;
        readers.wait_for(500)?;
        // A session that never used it before comes by without waiting.
        let begun = Instant::now();
        for _ in 0..10 {
            weir.connect()?.query("SELECT 1")?;
        }
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        cluster.thaw(1)?;
        wait_read_on(&weir, &cluster, 1)
    });
    // A frozen process cannot even be stopped.
    cluster.thaw(1)?;
    let readers = readers?;
    // An interval, a timeout, and what a loaded machine adds; the kernel would take a quarter of an hour.
    assert!(readers.slowest() < Duration::from_secs(4), "a read took {:?}", readers.slowest());
    Ok(())
}

#[test]
fn weir_starts_without_a_replica_and_without_the_primary() -> Result<()> {
    let cluster = Cluster::with(Options::new(1))?;
    cluster.stop(1, Stop::Fast)?;
    let weir = quick(&cluster).start(WEIR)?;
    let mark = cluster.mark();
    weir.connect()?.query("SELECT 'without a replica'")?;
    assert_eq!(cluster.ran_on(&mark, "without a replica"), [0]);
    cluster.restart(1)?;
    wait_read_on(&weir, &cluster, 1)?;
    drop(weir);

    cluster.stop(0, Stop::Fast)?;
    let weir = quick(&cluster).set("pool", "primary_wait", "\"300ms\"").start_unready(WEIR)?;
    let mut client = wait_for("weir to read from the replica", PATIENCE, || weir.connect().map(Some))?;
    client.query("SELECT 'without a primary'")?;
    let refused = client.query("CREATE TABLE without_a_primary (id int)").unwrap_err();
    assert_eq!(refused.sqlstate(), Some("08006"), "{refused}");
    client.query("SELECT 'the session lives on'")?;
    assert!(weir.get("/readyz")?.starts_with("HTTP/1.1 503"));
    cluster.restart(0)?;
    wait_for("the primary", PATIENCE, || client.query("CREATE TABLE with_a_primary (id int)").map(Some))?;
    Ok(())
}

#[test]
fn writes_wait_for_the_new_primary_and_reads_do_not() -> Result<()> {
    let cluster = Cluster::start()?;
    // The probes' user may see which timeline a replica receives: then it is read from as soon as it follows.
    cluster.sql(0, "CREATE TABLE kept (id int); GRANT ALL ON kept TO app; GRANT pg_read_all_stats TO app")?;
    cluster.wait_caught_up()?;
    let weir = quick(&cluster).set("pool", "primary_wait", "\"1s\"").start(WEIR)?;
    let mut client = weir.connect()?;
    client.query("INSERT INTO kept VALUES (1)")?;
    wait_for("the write to be seen on a replica", PATIENCE, || {
        let mark = cluster.mark();
        client.query("SELECT count(*) FROM kept")?;
        Ok(matches!(*cluster.ran_on(&mark, "count(*) FROM kept"), [1 | 2]).then_some(()))
    })?;
    // Its processes are gone when this returns, so that no request can still be sent to one.
    cluster.stop(0, Stop::Immediate)?;

    let begun = Instant::now();
    let refused = client.query("INSERT INTO kept VALUES (2)").unwrap_err();
    assert_eq!(refused.sqlstate(), Some("08006"), "{refused}");
    assert!(begun.elapsed() > Duration::from_millis(900), "it did not wait: {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    client.query("SELECT count(*) FROM kept")?;
    weir.connect()?.query("SELECT 'a new client reads'")?;
    drop(weir);

    // With time enough nobody hears of it.
    cluster.restart(0)?;
    let weir = quick(&cluster).start(WEIR)?;
    let mut writers: Vec<Client> = (0..4).map(|_| weir.connect()).collect::<Result<_>>()?;
    writers.iter_mut().try_for_each(|writer| writer.query("INSERT INTO kept VALUES (3)").map(drop))?;
    cluster.wait_caught_up()?;
    cluster.stop(0, Stop::Immediate)?;
    thread::scope(|scope| {
        let waiting: Vec<_> = writers
            .iter_mut()
            .map(|writer| scope.spawn(move || writer.query("INSERT INTO kept VALUES (4)").map(drop)))
            .collect();
        let mark = cluster.mark();
        cluster.promote(1)?;
        cluster.follow(2)?;
        waiting.into_iter().try_for_each(|writer| writer.join().unwrap())?;
        assert_eq!(cluster.ran_on(&mark, "VALUES (4)"), [1; 4]);
        cluster.wait_caught_up()
    })?;
    wait_read_on(&weir, &cluster, 2)?;
    cluster.rejoin(0)?;
    wait_read_on(&weir, &cluster, 0)?;
    let mark = cluster.mark();
    client = weir.connect()?;
    client.query("INSERT INTO kept VALUES (5)")?;
    assert_eq!(cluster.ran_on(&mark, "VALUES (5)"), [1]);
    Ok(())
}

/// Connections that a server closed while they were idle are not given to anybody.
#[test]
fn idle_sessions_do_not_notice_a_restart() -> Result<()> {
    let cluster = Cluster::start()?;
    cluster.sql(0, "CREATE TABLE restarts (id int); GRANT ALL ON restarts TO app")?;
    cluster.wait_caught_up()?;
    let weir = quick(&cluster).start(WEIR)?;
    let mut clients: Vec<Client> = (0..4).map(|_| weir.connect()).collect::<Result<_>>()?;
    for how in [Stop::Fast, Stop::Kill] {
        for client in &mut clients {
            client.query("SELECT count(*) FROM restarts")?;
            client.query("INSERT INTO restarts VALUES (1)")?;
        }
        for server in 0..3 {
            cluster.stop(server, how)?;
        }
        for server in 0..3 {
            cluster.restart(server)?;
        }
        for client in &mut clients {
            client.query("SELECT count(*) FROM restarts")?;
            client.query("INSERT INTO restarts VALUES (1)")?;
        }
    }
    assert_eq!(clients[0].query("/* weir: primary */ SELECT count(*) FROM restarts")?.value(), "16");
    Ok(())
}

/// What was opened to a server before it went away is not used after it: it may come back in another role.
#[test]
fn connections_from_before_an_outage_are_closed() -> Result<()> {
    let cluster = Cluster::with(Options::new(1))?;
    let weir = quick(&cluster).at_any_age().start(WEIR)?;
    let connections = |state| -> Result<f64> {
        Ok(weir.metrics()?.sum("weir_backend_connections", &[("server", "replica1"), ("state", state)]))
    };
    let (mut holder, mut other) = (weir.connect()?, weir.connect()?);
    holder.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
    holder.query("SELECT 'before the outage'")?;
    other.query("SELECT 'before the outage as well'")?;
    assert_eq!([connections("active")?, connections("idle")?], [1.0, 1.0]);

    cluster.freeze(1)?;
    let idle = wait_for("the idle connection to be closed", PATIENCE, || {
        Ok((connections("idle")? == 0.0).then_some(()))
    });
    // A frozen process cannot even be stopped.
    cluster.thaw(1)?;
    idle?;
    weir.wait_up("replica1", 1.0)?;
    assert_eq!(connections("active")?, 1.0, "a transaction goes on");
    holder.query("SELECT 'after the outage'")?;
    holder.query("COMMIT")?;
    assert_eq!([connections("active")?, connections("idle")?], [0.0, 0.0]);
    holder.query("SELECT 'on a new one'")?;
    assert_eq!(connections("idle")?, 1.0);
    Ok(())
}

/// Where a statement without an error leaves the transaction.
fn status(client: &mut Client, sql: &str) -> Result<Option<char>> {
    let heard = client.ask(&[front::query(sql)])?;
    assert!(heard.iter().all(|message| message.error().is_none()), "{sql}: {heard:?}");
    Ok(heard.last().unwrap().status())
}

/// What was set and what is open on the replica is there again when the write has failed.
fn keeps_what_is_open(client: &mut Client, write: &str) -> Result<()> {
    for sql in [
        "BEGIN",
        "SET LOCAL TimeZone = 'Asia/Tokyo'",
        "DECLARE c CURSOR FOR SELECT generate_series(1, 9)",
        "FETCH c",
        "SAVEPOINT a",
    ] {
        assert_eq!(status(client, sql)?, Some('T'), "{sql}");
    }
    assert_eq!(client.query(write).unwrap_err().sqlstate(), Some("08006"));
    assert_eq!(client.query("FETCH c").unwrap_err().sqlstate(), Some("25P02"));
    assert_eq!(status(client, "ROLLBACK TO a")?, Some('T'));
    let noon = client.query("SELECT timestamptz '2020-01-01 12:00+00'")?;
    assert_eq!(noon.value(), "2020-01-01 21:00:00+09");
    assert_eq!(client.query("FETCH c")?.value(), "2");
    assert_eq!(status(client, "COMMIT")?, Some('I'));
    Ok(())
}

/// What can be read is read, what must be written waits, and fails as it would on a server.
#[test]
fn a_transaction_that_has_only_read_outlives_the_primary() -> Result<()> {
    let cluster = Cluster::with(Options::new(1))?;
    cluster.sql(0, "CREATE TABLE outlived (id int); GRANT ALL ON outlived TO app")?;
    cluster.wait_caught_up()?;
    let start = |wait: &str| {
        quick(&cluster)
            .at_any_age()
            .set("pool", "primary_wait", wait)
            .set("routing", "transactions", "\"lazy\"")
            .start(WEIR)
    };
    let (weir, patient) = (start("\"1s\"")?, start("\"60s\"")?);
    let (mut client, mut waiting) = (weir.connect()?, patient.connect()?);
    waiting.set_patience(2 * PATIENCE);
    let write = "INSERT INTO outlived VALUES (1)";
    for client in [&mut client, &mut waiting] {
        assert_eq!(status(client, "BEGIN")?, Some('T'));
        assert_eq!(status(client, "SELECT count(*) FROM outlived")?, Some('T'));
        assert_eq!(status(client, "SAVEPOINT a")?, Some('T'));
    }
    cluster.stop(0, Stop::Immediate)?;
    for sql in ["SELECT count(*) FROM outlived", "SAVEPOINT b", "SELECT 1", "RELEASE b", "SELECT 2"] {
        assert_eq!(status(&mut client, sql)?, Some('T'), "{sql}");
        assert_eq!(status(&mut waiting, sql)?, Some('T'), "{sql}");
    }
    let begun = Instant::now();
    let heard = client.ask(&[front::query(write)])?;
    assert_eq!(heard[0].error().unwrap().sqlstate(), "08006", "{heard:?}");
    assert_eq!(heard.last().unwrap().status(), Some('E'));
    assert!(begun.elapsed() > Duration::from_millis(900), "it did not wait: {:?}", begun.elapsed());
    assert_eq!(client.query("SELECT 1").unwrap_err().sqlstate(), Some("25P02"));
    // A savepoint from before is still good.
    assert_eq!(status(&mut client, "ROLLBACK TO a")?, Some('T'));
    assert_eq!(status(&mut client, "SELECT count(*) FROM outlived")?, Some('T'));
    assert_eq!(status(&mut client, "COMMIT")?, Some('I'));
    for end in ["ROLLBACK", "COMMIT"] {
        assert_eq!(status(&mut client, "BEGIN")?, Some('T'));
        assert_eq!(client.query(write).unwrap_err().sqlstate(), Some("08006"));
        let ended = client.query(end)?;
        assert_eq!(ended.tag, "ROLLBACK", "{end} needs no server");
    }
    assert_eq!(status(&mut client, "SELECT 'outside'")?, Some('I'));
    keeps_what_is_open(&mut client, write)?;
    // With time enough nobody hears of it.
    thread::scope(|scope| {
        let written = scope.spawn(|| -> Result<String> {
            waiting.query(write)?;
            Ok(waiting.query("COMMIT")?.tag)
        });
        cluster.restart(0)?;
        assert_eq!(written.join().unwrap()?, "COMMIT");
        Ok::<_, harness::Failure>(())
    })?;
    assert_eq!(cluster.sql(0, "SELECT count(*) FROM outlived")?.value(), "1");
    Ok(())
}

/// Has the primary need seconds for its next start, in which it refuses everybody (57P03).
fn makes_start_slow(cluster: &Cluster) -> Result<()> {
    // Three or four things are asked of the archive before a server that recovers from one is the primary again.
    cluster.sql(0, "ALTER SYSTEM SET restore_command = 'sleep 1; false'")?;
    cluster.sql(0, "ALTER SYSTEM SET hot_standby = off")?;
    let signal = cluster.directory().join("primary/data/recovery.signal");
    assert!(cluster.command(Path::new("touch")).arg(signal).status()?.success());
    cluster.stop(0, Stop::Fast)
}

/// A server that is coming up is waited for as one that is away: by what is to be written, and by who logs in.
#[test]
fn a_primary_that_is_starting_is_waited_for() -> Result<()> {
    let cluster = Cluster::with(Options::new(0))?;
    cluster.sql(0, "CREATE TABLE patience (id int); GRANT ALL ON patience TO app")?;
    let weir = WeirSetup::in_front_of(&cluster, [0]).start(WEIR)?;
    let hasty = WeirSetup::in_front_of(&cluster, [0]).set("pool", "primary_wait", "\"500ms\"").start(WEIR)?;
    let (mut client, mut hurried) = (weir.connect()?, hasty.connect()?);
    [&mut client, &mut hurried].into_iter().try_for_each(|c| c.query("SELECT pg_sleep(0)").map(drop))?;
    makes_start_slow(&cluster)?;
    let (mark, begun) = (cluster.mark(), Instant::now());
    thread::scope(|scope| -> Result<()> {
        let starting = scope.spawn(|| cluster.restart(0));
        let login = scope.spawn(|| weir.connect());
        let refused = hurried.query("INSERT INTO patience VALUES (1)").unwrap_err();
        assert!(matches!(refused.sqlstate(), Some("08006" | "57P03")), "{refused}");
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        client.query("INSERT INTO patience VALUES (2)")?;
        assert!(begun.elapsed() > Duration::from_secs(2), "it was never away: {:?}", begun.elapsed());
        login.join().unwrap()?.query("INSERT INTO patience VALUES (3)")?;
        starting.join().unwrap()
    })?;
    let kept = cluster.sql(0, "SELECT string_agg(id::text, ' ' ORDER BY id) FROM patience")?;
    assert_eq!(kept.value(), "2 3");
    // By the log of the server (starting up, or not accepting connections): weir's has what was heard first of one that is away.
    let entries = cluster.entries(0, &mark);
    assert!(entries.iter().any(|entry| entry.contains("FATAL:  the database system is ")), "{entries:?}");
    Ok(())
}

/// As long as a replica can say what a client is told of its session, clients log in.
#[test]
fn replicas_answer_logins_without_a_primary() -> Result<()> {
    let cluster = Cluster::with(Options::new(1))?;
    let weir = quick(&cluster).at_any_age().start(WEIR)?;
    let logs_in = |n: i32, most: Duration| -> Result<()> {
        let begun = Instant::now();
        // Nobody has come with this name before.
        let login = Login::new("app", "app").parameter("application_name", &format!("newcomer {n}"));
        Client::connect(&weir.address(), &login)?.query("SELECT 'a newcomer reads'")?;
        assert!(begun.elapsed() < most, "{n}: {:?}", begun.elapsed());
        Ok(())
    };
    logs_in(0, PATIENCE)?;
    cluster.freeze(0)?;
    let frozen = logs_in(1, Duration::from_secs(6)).and_then(|()| logs_in(2, Duration::from_secs(6)));
    cluster.thaw(0)?;
    frozen?;
    weir.wait_up("primary", 1.0)?;
    makes_start_slow(&cluster)?;
    logs_in(3, Duration::from_secs(3))?;
    thread::scope(|scope| -> Result<()> {
        let starting = scope.spawn(|| cluster.restart(0));
        thread::sleep(Duration::from_millis(500));
        logs_in(4, Duration::from_secs(3))?;
        starting.join().unwrap()
    })
}

/// Who waits for a connection to a primary does not get one to what it is when another is the primary.
#[test]
fn who_waits_in_a_full_pool_follows_the_primary() -> Result<()> {
    let cluster = Cluster::with(Options::new(1))?;
    cluster.sql(0, "CREATE TABLE followed (id int); GRANT ALL ON followed TO app")?;
    cluster.wait_caught_up()?;
    let weir = quick(&cluster).at_any_age().set("pool", "size", "1").start(WEIR)?;
    let (mut holder, mut writer) = (weir.connect()?, weir.connect()?);
    holder.query("BEGIN")?;
    holder.query("INSERT INTO followed VALUES (1)")?;
    writer.send(&[front::query("INSERT INTO followed VALUES (2)")])?;
    assert!(writer.read_within(Duration::from_millis(300))?.is_none());
    let (mark, begun) = (cluster.mark(), Instant::now());
    cluster.promote(1)?;
    let heard = writer.until_ready()?;
    assert!(heard.iter().all(|message| message.error().is_none()), "{heard:?}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(cluster.ran_on(&mark, "VALUES (2)"), [1]);
    Ok(())
}
