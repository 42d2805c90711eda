//! What weir does at its limits: full pools, full queues, large values, many clients, clients that do not read.
//!
//! Memory is measured on the program as it was built for the tests. What takes long or means nothing without
//! optimisation is `#[ignore]`d: `cargo test --release --test limits -- --ignored`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use harness::client::{Client, Login, Message, Stream, front};
use harness::{Cluster, Failure, Result, Weir, WeirSetup, wait_for};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A value that is no multiple of any buffer's size.
const LARGE: usize = 300_000_007;

/// What weir may hold in memory while such a value passes.
const MEMORY_KB: u64 = 50 << 10;

/// In front of the primary alone: where a request goes is not the question here.
fn primary_only() -> WeirSetup {
    WeirSetup::in_front_of(Cluster::shared(), [0])
}

/// Waits until so many clients wait for a connection.
fn wait_waiting(weir: &Weir, count: f64) -> Result<()> {
    wait_for(&format!("{count} clients to wait"), PATIENCE, || {
        Ok((weir.metrics()?.sum("weir_pool_waiting", &[]) == count).then_some(()))
    })
}

#[test]
fn a_pool_of_one_serves_everybody_in_turn() -> Result<()> {
    let weir = primary_only().set("pool", "size", "1").start(WEIR)?;
    let (clients, rounds) = (20, 20);
    let times: Vec<Duration> = thread::scope(|scope| {
        let client = || -> Result<Duration> {
            let mut client = weir.connect()?;
            let begun = Instant::now();
            (0..rounds).try_for_each(|_| client.query("SELECT pg_sleep(0.001)").map(drop))?;
            Ok(begun.elapsed())
        };
        let running: Vec<_> = (0..clients).map(|_| scope.spawn(client)).collect();
        running.into_iter().map(|client| client.join().unwrap()).collect::<Result<_>>()
    })?;
    // First come, first served: nobody is done long before anybody else.
    let (first, last) = (times.iter().min().unwrap(), times.iter().max().unwrap());
    assert!(*last < *first * 3 + Duration::from_secs(1), "{times:?}");
    assert_eq!(weir.metrics()?.sum("weir_backend_connects_total", &[("result", "ok")]), 1.0);
    Ok(())
}

#[test]
fn who_waits_too_long_is_told_and_goes_on() -> Result<()> {
    let weir = primary_only()
        .set("pool", "size", "1")
        .set("pool", "checkout_timeout", "\"300ms\"")
        .set("pool", "queue_limit", "2")
        .start(WEIR)?;
    let mut others: Vec<Client> = (0..3).map(|_| weir.connect()).collect::<Result<_>>()?;
    let mut holder = weir.connect()?;
    holder.query("BEGIN; SELECT 1")?;

    let refused = others[0].query("SELECT 1").unwrap_err();
    assert_eq!(refused.sqlstate(), Some("57014"), "{refused}");
    // Extended: one error for the batch, then ReadyForQuery.
    let batch =
        [front::parse("", "SELECT 1", &[]), front::bind("", "", &[]), front::execute("", 0), front::sync()];
    let heard = others[0].ask(&batch)?;
    assert_eq!(heard.len(), 2, "{heard:?}");
    assert_eq!(heard[0].error().unwrap().sqlstate(), "57014");
    // Without a Sync the rest of the batch is thrown away when it comes.
    others[0].send(&[front::parse("", "SELECT 1", &[]), front::flush()])?;
    assert_eq!(others[0].read()?.error().unwrap().sqlstate(), "57014");
    let heard = others[0].ask(&[front::bind("", "", &[]), front::execute("", 0), front::sync()])?;
    assert_eq!(heard.len(), 1, "{heard:?}");

    // Two may wait; the third is told at once.
    let (last, waiting) = others.split_last_mut().unwrap();
    waiting.iter_mut().try_for_each(|client| client.send(&[front::query("SELECT 2")]))?;
    wait_waiting(&weir, 2.0)?;
    let full = last.query("SELECT 2").unwrap_err();
    assert_eq!(full.sqlstate(), Some("53300"), "{full}");
    holder.query("COMMIT")?;
    for client in waiting {
        // Served or timed out, depending on how fast this machine is; never lost.
        assert_eq!(client.until_ready()?.last().unwrap().status(), Some('I'));
    }
    others.iter_mut().try_for_each(|client| client.query("SELECT 3").map(drop))?;
    Ok(())
}

/// A full pool is no reason to think that its server is ill.
#[test]
fn saturation_is_not_sickness() -> Result<()> {
    let cluster = Cluster::shared();
    let weir = WeirSetup::in_front_of(cluster, 0..3).at_any_age().set("pool", "size", "1").start(WEIR)?;
    let mut busy: Vec<Client> = (0..6).map(|_| weir.connect()).collect::<Result<_>>()?;
    let mark = cluster.mark();
    busy.iter_mut()
        .try_for_each(|client| client.send(&[front::query("SELECT 'saturated' FROM pg_sleep(0.3)")]))?;
    for client in &mut busy {
        let heard = client.until_ready()?;
        assert!(heard.iter().all(|message| message.error().is_none()), "{heard:?}");
    }
    let ran = cluster.ran_on(&mark, "saturated");
    assert!(ran.contains(&1) && ran.contains(&2), "both replicas are used: {ran:?}");
    assert!(!ran.contains(&0), "the queue of a replica is not left for the primary: {ran:?}");
    let metrics = weir.metrics()?;
    assert_eq!(metrics.sum("weir_server_up", &[]), 3.0);
    assert_eq!(metrics.sum("weir_errors_total", &[]), 0.0);
    Ok(())
}

/// A function may raise any code: only PostgreSQL's own are counted under their names, whoever raises them.
#[test]
fn made_up_error_codes_are_counted_as_one() -> Result<()> {
    let weir = primary_only().start(WEIR)?;
    let mut client = weir.connect()?;
    let mut raise = |code: &str| -> Result<()> {
        let raised = client.query(&format!("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{code}'; END $$"));
        assert_eq!(raised.unwrap_err().sqlstate(), Some(code));
        Ok(())
    };
    // Those that alerts ask about are there from the start, at 0.
    let at_first = weir.metrics()?.all("weir_errors_total").count();
    ["23505", "P0001", "XX002", "23505"].into_iter().try_for_each(&mut raise)?;
    (0..200).try_for_each(|n| raise(&format!("ZZ{n:03}")))?;
    let metrics = weir.metrics()?;
    let count = |code| metrics.sum("weir_errors_total", &[("sqlstate", code)]);
    assert_eq!(["23505", "P0001", "XX002", "other"].map(count), [2.0, 1.0, 1.0, 200.0]);
    assert_eq!(metrics.all("weir_errors_total").filter(|series| series.value > 0.0).count(), 4);
    assert_eq!(metrics.all("weir_errors_total").count(), at_first + 4);
    Ok(())
}

/// Two pools share what a server, or all of them, may take: the one that is idle gives way.
#[test]
fn limits_hold_over_all_pools() -> Result<()> {
    let cluster = Cluster::shared();
    let server = format!("[[servers]]\nhost = \"127.0.0.1\"\nport = {}\nconnections = 2", cluster.port(0));
    let on_server = WeirSetup::in_front_of(cluster, []).append(&server);
    let in_total = primary_only().set("pool", "size", "2").set("pool", "total", "2");
    for setup in [in_total, on_server] {
        let weir = setup.start(WEIR)?;
        let as_user = |user: &str| Client::connect(&weir.address(), &Login::new(user, user).database("app"));
        let mut clients = Vec::new();
        for n in 0..8 {
            clients.push(as_user(["app", "postgres"][n % 2])?);
        }
        let peak = AtomicBool::new(false);
        thread::scope(|scope| -> Result<()> {
            let running: Vec<_> = clients
                .iter_mut()
                .map(|client| {
                    scope.spawn(move || {
                        (0..20).try_for_each(|_| client.query("SELECT pg_sleep(0.002)").map(drop))
                    })
                })
                .collect();
            let watching = scope.spawn(|| -> Result<f64> {
                let mut most: f64 = 0.0;
                while !peak.load(Ordering::SeqCst) {
                    most = most.max(weir.metrics()?.sum("weir_backend_connections", &[]));
                }
                Ok(most)
            });
            let outcome = running.into_iter().try_for_each(|client| client.join().unwrap());
            peak.store(true, Ordering::SeqCst);
            let most = watching.join().unwrap()?;
            outcome?;
            assert!((1.0..=2.0).contains(&most), "{most} connections");
            Ok(())
        })?;
    }
    Ok(())
}

/// A connection that lies idle in one pool does not keep another one from its only place.
#[test]
fn an_idle_connection_makes_room_for_a_pool_that_starves() -> Result<()> {
    let weir = primary_only()
        .set("pool", "size", "1")
        .set("pool", "total", "1")
        .set("pool", "checkout_timeout", "\"1min\"")
        .start(WEIR)?;
    let as_user = |user: &str| Client::connect(&weir.address(), &Login::new(user, user).database("app"));
    let begun = Instant::now();
    let (mut one, mut other) = (as_user("app")?, as_user("postgres")?);
    for _ in 0..3 {
        one.query("SELECT 1")?;
        other.query("SELECT 1")?;
    }
    // Long before the wait for a place, or the life of an idle connection, would have ended.
    assert!(begun.elapsed() < PATIENCE / 2, "{:?}", begun.elapsed());
    Ok(())
}

#[test]
fn one_client_too_many_is_told_so() -> Result<()> {
    let weir = primary_only().set("listen", "client_limit", "2").start(WEIR)?;
    let first = weir.connect()?;
    let mut second = weir.connect()?;
    assert_eq!(weir.connect().unwrap_err().sqlstate(), Some("53300"));
    second.query("SELECT 1")?;
    // A cancel request needs no place.
    second.send(&[front::query("SELECT pg_sleep(60)")])?;
    assert!(second.read_within(Duration::from_millis(100))?.is_none());
    second.cancel()?;
    let heard = second.until_ready()?;
    assert_eq!(heard.iter().find_map(Message::error).unwrap().sqlstate(), "57014");
    first.close()?;
    wait_for("the place that came free", PATIENCE, || weir.connect().map(Some))?;
    Ok(())
}

#[test]
fn who_does_not_log_in_is_closed() -> Result<()> {
    let weir = primary_only().set("listen", "login_timeout", "\"300ms\"").start(WEIR)?;
    let mut silent = Client::open(&weir.address())?;
    assert!(silent.is_closed_within(PATIENCE)?);
    let mut slow = Client::open(&weir.address())?;
    slow.send(&[Login::new("app", "app").startup()])?;
    assert_eq!(slow.read()?.name(), "Authentication");
    assert!(slow.is_closed_within(PATIENCE)?);
    // What is timed is the login, not the session.
    let mut client = weir.connect()?;
    thread::sleep(Duration::from_millis(500));
    client.query("SELECT 1")?;
    Ok(())
}

/// Reads messages up to ReadyForQuery and keeps none: the number of bytes of rows or copy data, and whether
/// there was an error.
fn count_rows(stream: &mut Stream, mut pace: impl FnMut()) -> Result<usize> {
    let mut rows = 0;
    let mut chunk = vec![0; 1 << 20];
    loop {
        let mut head = [0; 5];
        stream.read_exact(&mut head)?;
        let mut left = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize - 4;
        if matches!(head[0], b'D' | b'd') {
            rows += left;
        }
        if head[0] == b'E' {
            let mut body = vec![0; left];
            stream.read_exact(&mut body)?;
            return Err(Failure::new(String::from_utf8_lossy(&body)));
        }
        while left > 0 {
            let n = left.min(chunk.len());
            stream.read_exact(&mut chunk[..n])?;
            left -= n;
            pace();
        }
        if head[0] == b'Z' {
            return Ok(rows);
        }
    }
}

/// Watches how much memory weir takes while something goes on.
fn peak_memory(weir: &Weir, scene: impl FnOnce() -> Result<()>) -> Result<u64> {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let mut most = 0;
            while !over.load(Ordering::SeqCst) {
                most = most.max(weir.rss_kb());
                thread::sleep(Duration::from_millis(2));
            }
            most
        });
        let outcome = scene();
        over.store(true, Ordering::SeqCst);
        let most = watching.join().unwrap();
        outcome.map(|()| most)
    })
}

#[test]
fn large_values_pass_in_little_memory() -> Result<()> {
    let weir = WeirSetup::in_front_of(Cluster::shared(), 0..3).at_any_age().start(WEIR)?;
    let mut stream = weir.connect()?.stream().try_clone()?;
    let most = peak_memory(&weir, || {
        // From a replica, and from the primary to a reader that takes its time.
        stream.write_all(&front::query(format!("SELECT repeat('x', {LARGE})")))?;
        assert_eq!(count_rows(&mut stream, || ())?, LARGE + 2 + 4);
        stream.write_all(&front::query(format!("/* weir: primary */ SELECT repeat('x', {LARGE})")))?;
        let mut pauses = 0..;
        let pace = || {
            if pauses.next().unwrap() % 30 == 0 {
                thread::sleep(Duration::from_millis(20));
            }
        };
        assert_eq!(count_rows(&mut stream, pace)?, LARGE + 2 + 4);

        // As a parameter: Parse, Bind with one long value, Execute, Sync.
        let sql = front::parse("", "SELECT length($1)", &[25]);
        let head = [&[0, 0, 0, 0, 0, 1][..], &u32::try_from(LARGE).unwrap().to_be_bytes()].concat();
        stream.write_all(&sql)?;
        send_long(&mut stream, b'B', &head, &[0, 0])?;
        stream.write_all(&[front::execute("", 0), front::sync()].concat())?;
        assert_eq!(count_rows(&mut stream, || ())?, 2 + 4 + LARGE.to_string().len());

        // As one row of a copy, in one message and back in one.
        stream.write_all(&front::query("CREATE TEMP TABLE large (value text)"))?;
        count_rows(&mut stream, || ())?;
        stream.write_all(&front::query("COPY large FROM STDIN"))?;
        send_long(&mut stream, b'd', &[], b"\n")?;
        stream.write_all(&front::copy_done())?;
        count_rows(&mut stream, || ())?;
        stream.write_all(&front::query("COPY large TO STDOUT"))?;
        assert_eq!(count_rows(&mut stream, || ())?, LARGE + 1);
        // The connection still knows where a message begins.
        stream.write_all(&front::query("SELECT 'small'"))?;
        assert_eq!(count_rows(&mut stream, || ())?, 2 + 4 + 5);
        Ok(())
    })?;
    assert!(most < MEMORY_KB, "{most} KiB");
    Ok(())
}

/// Errors and notices may quote what is wrong at any length, from either kind of server, and the stream goes on.
#[test]
fn long_errors_and_notices_pass() -> Result<()> {
    let cluster = Cluster::shared();
    let weir = WeirSetup::in_front_of(cluster, 0..3).at_any_age().start(WEIR)?;
    let (mut through, mut direct) = (weir.connect()?, cluster.connect(0)?);
    for length in [30_000, 70_000, 300_000, 5_000_000] {
        let value = vec![b'x'; length];
        let batch = vec![
            front::parse("", "SELECT $1::int", &[25]),
            front::bind("", "", &[Some(&value)]),
            front::execute("", 0),
            front::sync(),
        ];
        let notice = format!("DO $$ BEGIN RAISE NOTICE '%', repeat('n', {length}); END $$");
        for frames in [
            vec![front::query(format!("SELECT repeat('x', {length})::int"))],
            vec![front::query(format!("/* weir: primary */ SELECT repeat('x', {length})::int"))],
            vec![front::query(notice)],
            batch,
            // The end of the batch comes after a message that is too long to be kept with it.
            vec![front::query("SELECT 'in step'")],
        ] {
            let heard = through.ask(&frames)?;
            let expected = direct.ask(&frames)?;
            assert_eq!(heard.len(), expected.len(), "{length}");
            assert!(heard == expected, "{length}: the messages differ");
        }
    }
    Ok(())
}

/// A prepared statement's batch whose answer is held back, and which grows beyond what can be kept.
#[test]
fn a_batch_may_grow_beyond_what_is_held_back() -> Result<()> {
    let weir = WeirSetup::in_front_of(Cluster::shared(), 0..3).at_any_age().start(WEIR)?;
    let mut client = weir.connect()?;
    client.ask(&[front::parse("length", "SELECT length($1)", &[25]), front::sync()])?;
    client.ask(&[front::parse("now", "/* weir: primary */ SELECT length($1)", &[25]), front::sync()])?;
    for statement in ["length", "now"] {
        for length in [1_000, 100_000, 1_000_000] {
            let small = [front::bind("", statement, &[Some(b"abc")]), front::execute("", 0)].concat();
            let large =
                [front::bind("", statement, &[Some(&vec![b'x'; length])]), front::execute("", 0)].concat();
            let heard = client.ask(&[small.clone(), large, small, front::sync()])?;
            let rows: Vec<_> = heard.iter().flat_map(Message::text_row).flatten().collect();
            assert_eq!(rows, ["3", &length.to_string(), "3"], "{statement} {length}");
        }
    }
    Ok(())
}

/// Writes one message with a long run of `x` in it.
fn send_long(stream: &mut Stream, tag: u8, before: &[u8], after: &[u8]) -> Result<()> {
    let length = u32::try_from(4 + before.len() + LARGE + after.len()).unwrap();
    stream.write_all(&[&[tag][..], &length.to_be_bytes(), before].concat())?;
    let chunk = vec![b'x'; 1 << 20];
    let mut left = LARGE;
    while left > 0 {
        let n = left.min(chunk.len());
        stream.write_all(&chunk[..n])?;
        left -= n;
    }
    Ok(stream.write_all(after)?)
}

/// So many small messages: batches of Bind, Execute and Close under one Sync.
struct Flood {
    batches: usize,
    per_batch: usize,
}

impl Flood {
    const PORTAL: &str = "p";

    fn batch(&self) -> Vec<u8> {
        let one = [
            front::bind(Self::PORTAL, "one", &[]),
            front::execute(Self::PORTAL, 0),
            front::close_portal(Self::PORTAL),
        ]
        .concat();
        let mut batch = one.repeat(self.per_batch);
        batch.extend(front::sync());
        batch
    }

    fn write(&self, stream: &mut Stream) -> Result<()> {
        let batch = self.batch();
        (0..self.batches).try_for_each(|_| Ok(stream.write_all(&batch)?))
    }

    /// Counts the answers: one row each, and a ReadyForQuery for each batch.
    fn read(&self, client: &mut Stream) -> Result<()> {
        for _ in 0..self.batches {
            assert_eq!(count_rows(client, || ())?, self.per_batch * (2 + 4 + 1));
        }
        Ok(())
    }

    fn prepare(client: &mut Client) -> Result<()> {
        client.ask(&[front::parse("one", "SELECT 1", &[]), front::sync()]).map(drop)
    }
}

#[test]
fn a_million_messages_from_a_client_that_reads_meanwhile() -> Result<()> {
    let weir = primary_only().start(WEIR)?;
    let mut client = weir.connect()?;
    Flood::prepare(&mut client)?;
    let flood = Flood { batches: 3_000, per_batch: 111 };
    let most = peak_memory(&weir, || {
        let (mut writing, mut reading) = (client.stream().try_clone()?, client.stream().try_clone()?);
        thread::scope(|scope| {
            let writer = scope.spawn(|| flood.write(&mut writing));
            flood.read(&mut reading)?;
            writer.join().unwrap()
        })
    })?;
    assert!(most < MEMORY_KB, "{most} KiB");
    client.query("SELECT 'in step'")?;
    Ok(())
}

/// Such a client waits for itself, with PostgreSQL as with weir. Others do not wait for it.
/// A server process that waits for a lock reads nothing, and its kernel takes no more once its buffer is full. That is
/// not what a dead server looks like, however long it lasts.
#[test]
fn a_server_that_reads_nothing_for_a_while_is_not_given_up() -> Result<()> {
    let cluster = Cluster::shared();
    cluster.sql(0, "CREATE TABLE locked_for_long (n int); INSERT INTO locked_for_long VALUES (1)")?;
    cluster.sql(0, "GRANT ALL ON locked_for_long TO app")?;
    // Given up after four seconds, if it were dead.
    let weir = primary_only().set("health", "lost_after", "\"1s\"").start(WEIR)?;
    let mut holder = cluster.admin(0)?;
    holder.query("BEGIN; UPDATE locked_for_long SET n = 2")?;
    let long = front::query(format!("SELECT length('{}')", "x".repeat(200_000)));
    let mut client = weir.connect()?;
    let sent = thread::spawn(move || -> Result<Client> {
        client.send(&[front::query("UPDATE locked_for_long SET n = n + 1")])?;
        (0..100).try_for_each(|_| client.send(std::slice::from_ref(&long)))?;
        Ok(client)
    });
    thread::sleep(Duration::from_secs(7));
    assert!(!sent.is_finished(), "20 MB are more than all buffers on the way take");
    holder.query("COMMIT")?;
    let mut client = sent.join().unwrap()?;
    for _ in 0..101 {
        let heard = client.until_ready()?;
        assert!(heard.iter().all(|message| message.error().is_none()), "{heard:?}");
    }
    assert_eq!(client.query("SELECT n FROM locked_for_long")?.value(), "3");
    Ok(())
}

#[test]
fn a_client_that_does_not_read_stops_only_itself() -> Result<()> {
    let weir = primary_only().start(WEIR)?;
    let mut client = weir.connect()?;
    Flood::prepare(&mut client)?;
    let flood = Flood { batches: 1_000, per_batch: 111 };
    let most = peak_memory(&weir, || {
        let (mut writing, mut reading) = (client.stream().try_clone()?, client.stream().try_clone()?);
        thread::scope(|scope| {
            let writer = scope.spawn(|| flood.write(&mut writing));
            // It is stuck when the server gets nothing more from it.
            let mut before = String::new();
            wait_for("the client to be stuck", PATIENCE, || {
                thread::sleep(Duration::from_millis(300));
                let now =
                    weir.metrics()?.sum("weir_bytes_total", &[("direction", "from_client")]).to_string();
                let same = now == before;
                before = now;
                Ok(same.then_some(()))
            })?;
            let mut other = weir.connect()?;
            (0..50).try_for_each(|_| other.query("SELECT 1").map(drop))?;
            flood.read(&mut reading)?;
            writer.join().unwrap()
        })
    })?;
    assert!(most < MEMORY_KB, "{most} KiB");
    client.query("SELECT 'in step'")?;
    Ok(())
}

/// As many as the descriptors allow, ten thousand at most: this process holds one for each, and weir another.
#[test]
fn ten_thousand_idle_clients() -> Result<()> {
    // Their passwords would take longer than everything else.
    let user =
        "[[users]]\nname = \"idle\"\nauth = \"trust\"\nserver_user = \"app\"\nserver_password = \"app\"";
    let weir = primary_only().append(user).set("listen", "client_limit", "10000").start(WEIR)?;
    let connect_one = || Client::connect(&weir.address(), &Login::new("idle", "").database("app"));
    let connect = |count: usize| -> Result<Vec<Client>> {
        thread::scope(|scope| {
            let login = || (0..count / 4).map(|_| connect_one()).collect::<Result<Vec<_>>>();
            let logins: Vec<_> = (0..4).map(|_| scope.spawn(login)).collect();
            let clients: Result<Vec<_>> = logins.into_iter().map(|login| login.join().unwrap()).collect();
            Ok(clients?.into_iter().flatten().collect())
        })
    };
    let mut clients = connect(100)?;
    clients.iter_mut().try_for_each(|client| client.query("SELECT 1").map(drop))?;
    let before = weir.rss_kb();
    let mut thousand = connect(1000)?;
    println!("1,000 silent clients cost {} KiB", weir.rss_kb().saturating_sub(before));
    thousand.iter_mut().try_for_each(|client| client.query("SELECT 1").map(drop))?;
    let each = weir.rss_kb().saturating_sub(before);
    println!("1,000 idle clients cost {each} KiB");
    assert!(each <= 6 << 10, "1,000 idle clients cost {each} KiB");
    clients.extend(thousand);
    clients.extend(connect(10_000 - clients.len())?);
    assert_eq!(weir.metrics()?.sum("weir_clients", &[]), 10_000.0);
    println!("10,000 idle clients: {} KiB", weir.rss_kb());
    for client in clients.iter_mut().step_by(1000) {
        client.query("SELECT 1")?;
    }
    Ok(())
}

/// A client can ask for any database: what it may not have leaves nothing behind.
#[test]
fn names_of_databases_that_do_not_exist_cost_no_memory() -> Result<()> {
    let weir = primary_only().start(WEIR)?;
    let refused = |name: String| {
        let refused = Client::connect(&weir.address(), &Login::new("app", "app").database(&name)).err();
        assert_eq!(refused.as_ref().and_then(Failure::sqlstate), Some("3D000"), "{name}: {refused:?}");
    };
    // What is there once, and what the allocator keeps.
    (0..200).for_each(|n| refused(format!("warm_{n}")));
    let before = weir.rss_kb();
    (0..500).for_each(|n| refused(format!("no_such_{n}")));
    let each = weir.rss_kb().saturating_sub(before);
    assert!(each <= 4 << 10, "500 names cost {each} KiB");
    Ok(())
}

/// The client goes on sending rows for a while before it hears of the error.
#[test]
fn a_copy_that_fails_early_is_told_once() -> Result<()> {
    let weir = primary_only().start(WEIR)?;
    let mut client = weir.connect()?;
    client.query("CREATE TEMP TABLE narrow (id int)")?;
    client.send(&[front::query("COPY narrow FROM STDIN")])?;
    assert_eq!(client.read()?.name(), "CopyInResponse");
    let rows: Vec<_> = (0..2000).map(|_| front::copy_data("not a number\n".repeat(100))).collect();
    client.send(&rows)?;
    client.send(&[front::copy_done()])?;
    let heard = client.until_ready()?;
    let errors: Vec<_> =
        heard.iter().filter_map(Message::error).map(|error| error.sqlstate().to_owned()).collect();
    assert_eq!((errors.as_slice(), heard.len()), (&["22P02".to_owned()][..], 2));
    assert_eq!(client.query("SELECT count(*) FROM narrow")?.value(), "0");
    Ok(())
}

/// Bulk inserts are long, and leave nothing. What else is long keeps its connection, as nobody has read it.
#[test]
fn a_long_insert_does_not_keep_the_connection() -> Result<()> {
    let weir = primary_only().set("pool", "size", "1").start(WEIR)?;
    let (mut client, mut other) = (weir.connect()?, weir.connect()?);
    client.query("CREATE TABLE bulk (a text)")?;
    let rows = vec![format!("('{}')", "it''s (a) row; ".repeat(20)); 3000].join(", ");
    let insert = format!("INSERT INTO bulk (a) VALUES {rows}");
    for sql in [insert.clone(), format!("{insert};"), format!("{insert} RETURNING a")] {
        client.query(&sql)?;
        other.query("SELECT 1")?;
    }
    assert_eq!(other.query("SELECT count(*) FROM bulk")?.value(), "9000");
    assert_eq!(weir.metrics()?.sum("weir_pins_total", &[]), 0.0);
    client.query(&format!("{insert}; SET app.tenant = 'x'"))?;
    assert_eq!(weir.metrics()?.sum("weir_pins", &[("reason", "long_statement")]), 1.0);
    client.query("DISCARD ALL")?;
    assert_eq!(
        other
            .query(
                "SELECT current_setting('app.tenant', true) IS NULL OR current_setting('app.tenant') = ''"
            )?
            .value(),
        "t"
    );
    client.query("DROP TABLE bulk")?;
    Ok(())
}
