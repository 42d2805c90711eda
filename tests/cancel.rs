//! Cancel requests: they end what their session runs, wherever that is, and touch nobody else.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use harness::client::{Client, Key, Login, Message, front};
use harness::{Cluster, Options, Result, Stop, Weir, WeirSetup, wait_for};
use rustix::process::{Pid, Signal, kill_process};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A user who logs in without a password: a hundred logins should not be what a test spends its time with.
const QUICK: &str =
    "[[users]]\nname = \"quick\"\nauth = \"trust\"\nserver_user = \"app\"\nserver_password = \"app\"";

/// One connection to the primary, which goes from hand to hand.
fn narrow() -> Result<Weir> {
    let setup = WeirSetup::in_front_of(Cluster::shared(), [0]).append(QUICK);
    setup.set("pool", "size", "1").set("pool", "checkout_timeout", "\"60s\"").start(WEIR)
}

fn quick(weir: &Weir) -> Result<Client> {
    let mut client = Client::connect(&weir.address(), &Login::new("quick", "").database("app"))?;
    client.set_patience(PATIENCE);
    Ok(client)
}

fn first_error(heard: &[Message]) -> Option<String> {
    heard.iter().find_map(Message::error).map(|error| error.sqlstate().to_owned())
}

/// As lines. A temporary table has another OID each time, the error says after which row it came, and a statement's
/// RowDescription may or may not be out when the cancel comes.
fn transcript(heard: &[Message]) -> Vec<String> {
    heard.iter().filter(|message| message.tag != b'T').map(Message::to_string).collect()
}

/// Waits until a statement with this text runs on some server.
fn wait_running(what: &str) -> Result<()> {
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%{what}%' \
         AND pid <> pg_backend_pid()"
    );
    wait_for(&format!("{what} to run"), PATIENCE, || {
        let runs = |server| Cluster::shared().sql(server, &sql).is_ok_and(|answer| answer.value() == "1");
        Ok((0..3).any(runs).then_some(()))
    })
}

#[test]
fn a_cancel_ends_the_right_query_only() -> Result<()> {
    let weir = WeirSetup::in_front_of(Cluster::shared(), 0..3).start(WEIR)?;
    for (version, sql) in [
        ((3, 0), "SELECT 'cancel 1' FROM pg_sleep(60)"),
        ((3, 2), "SELECT 'cancel 2' FROM pg_sleep(60)"),
        ((3, 2), "/* weir: primary */ SELECT 'cancel 3' FROM pg_sleep(60)"),
    ] {
        let login = Login::new("app", "app").version(version.0, version.1);
        let (mut a, mut b) =
            (Client::connect(&weir.address(), &login)?, Client::connect(&weir.address(), &login)?);
        let expected = if version.1 == 0 { 4 } else { 32 };
        assert_eq!(a.key().unwrap().secret.len(), expected);
        a.send(&[front::query(sql)])?;
        wait_running(&sql[sql.find("cancel").unwrap()..][..8])?;
        b.send(&[front::query("SELECT 'untouched' FROM pg_sleep(0.3)")])?;
        // Wrong keys first: another secret, another process, a cut one, none.
        let key = a.key().unwrap().clone();
        for wrong in [
            Key { secret: vec![7; key.secret.len()], ..key.clone() },
            Key { pid: key.pid + 1000, ..key.clone() },
            Key { secret: key.secret[..3].to_vec(), ..key.clone() },
            Key { secret: Vec::new(), ..key.clone() },
        ] {
            let mut other = Client::open(&weir.address())?;
            other.send(&[front::cancel_request(&wrong)])?;
            assert!(other.is_closed_within(PATIENCE)?, "{wrong:?}");
        }
        assert!(a.read_within(Duration::from_millis(100))?.is_none(), "a wrong key cancelled");
        a.cancel()?;
        assert_eq!(first_error(&a.until_ready()?).as_deref(), Some("57014"));
        assert_eq!(first_error(&b.until_ready()?), None);
        a.query("SELECT 'the session lives on'")?;
        // Nothing runs now: nothing happens, and the next request is not hit.
        a.cancel()?;
        a.query("SELECT pg_sleep(0.05)")?;
    }
    Ok(())
}

/// While everybody waits for the one connection, its user can still be cancelled; so can one who waits.
/// libpq of PostgreSQL 18, under whatever psql there is: the first that asks for more than protocol 3.0, where it is told to.
#[test]
fn libpq_asks_for_the_newest_protocol_and_cancels_by_it() -> Result<()> {
    let postgres = Cluster::shared().postgres();
    let libraries = postgres.bin().with_file_name("lib");
    if postgres.major() < 18 || !libraries.join("libpq.so.5").exists() {
        println!("skipped: there is no libpq of PostgreSQL 18 beside the servers");
        return Ok(());
    }
    let weir = WeirSetup::in_front_of(Cluster::shared(), 0..3).start(WEIR)?;
    let target = format!(
        "host=127.0.0.1 port={} user=app password=app dbname=app min_protocol_version=3.2 max_protocol_version=latest",
        weir.port()
    );
    let psql = Command::new(postgres.program("psql")?)
        .args([
            "-X",
            "-A",
            "-t",
            "-c",
            "SELECT 'newest ' || 1",
            "-c",
            "SELECT 'newest 2' FROM pg_sleep(60)",
            &target,
        ])
        .env("LD_LIBRARY_PATH", libraries)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    wait_running("newest 2")?;
    let pid = i32::try_from(psql.id()).ok().and_then(Pid::from_raw).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let output = psql.wait_with_output()?;
    assert_eq!(String::from_utf8_lossy(&output.stdout), "newest 1\n");
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(words.contains("canceling statement due to user request"), "{words}");
    Ok(())
}

#[test]
fn cancels_get_through_a_full_pool() -> Result<()> {
    let weir = narrow()?;
    let mut clients: Vec<Client> = (0..3).map(|_| weir.connect()).collect::<Result<_>>()?;
    clients[0].send(&[front::query("SELECT 'holds the pool' FROM pg_sleep(60)")])?;
    wait_running("holds the pool")?;
    let mark = Cluster::shared().mark();
    clients[1].send(&[front::query("SELECT 'cancelled in the queue'")])?;
    clients[2].send(&[front::query("SELECT 'waits'")])?;
    wait_for("two to wait", PATIENCE, || {
        Ok((weir.metrics()?.sum("weir_pool_waiting", &[]) == 2.0).then_some(()))
    })?;
    clients[1].cancel()?;
    let begun = Instant::now();
    assert_eq!(first_error(&clients[1].until_ready()?).as_deref(), Some("57014"));
    assert!(begun.elapsed() < Duration::from_secs(5), "that was the checkout timeout");
    clients[0].cancel()?;
    assert_eq!(first_error(&clients[0].until_ready()?).as_deref(), Some("57014"));
    assert_eq!(first_error(&clients[2].until_ready()?), None);
    assert!(Cluster::shared().ran_on(&mark, "cancelled in the queue").is_empty());
    clients[1].query("SELECT 'lives on'")?;
    Ok(())
}

/// What is cancelled: its name, what comes before it, what is sent, and what comes after.
type Scene = (&'static str, Vec<&'static str>, Vec<Vec<u8>>, Vec<&'static str>);

fn scenes() -> Vec<Scene> {
    let sleep = |name: &str| format!("SELECT '{name}' FROM pg_sleep(60)");
    let batch = |sql: &str| {
        vec![front::parse("", sql, &[]), front::bind("", "", &[]), front::execute("", 0), front::sync()]
    };
    vec![
        ("s_simple", vec![], vec![front::query(sleep("s_simple"))], vec!["SELECT 1"]),
        ("s_batch", vec![], batch(&sleep("s_batch")), vec!["SELECT 1"]),
        (
            "s_block",
            vec!["BEGIN"],
            vec![front::query(sleep("s_block"))],
            vec!["SELECT 1", "ROLLBACK", "SELECT 1"],
        ),
        (
            "s_string_block",
            vec!["BEGIN; SELECT 1"],
            vec![front::query(sleep("s_string_block"))],
            vec!["SELECT 1", "ROLLBACK", "SELECT 1"],
        ),
        (
            "s_saved",
            vec!["BEGIN", "SAVEPOINT a"],
            batch(&sleep("s_saved")),
            vec!["ROLLBACK TO a", "SELECT 'still open'", "COMMIT"],
        ),
        (
            "s_reading",
            vec!["BEGIN READ ONLY"],
            vec![front::query(sleep("s_reading"))],
            vec!["ROLLBACK", "SELECT 1"],
        ),
        (
            "s_snapshot",
            vec!["BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"],
            vec![front::query(sleep("s_snapshot"))],
            vec!["SELECT 1", "ROLLBACK", "SELECT 1"],
        ),
        (
            "s_local",
            vec!["BEGIN", "SAVEPOINT a", "SET LOCAL TimeZone = 'Asia/Tokyo'"],
            batch(&sleep("s_local")),
            vec!["SELECT 1", "ROLLBACK TO a", "SHOW TimeZone", "COMMIT", "SELECT 1"],
        ),
        (
            "s_pinned",
            vec!["CREATE TEMP TABLE kept AS SELECT 'kept' AS word"],
            vec![front::query(sleep("s_pinned"))],
            vec!["SELECT word FROM kept"],
        ),
        (
            "s_string",
            vec![],
            vec![front::query(format!("SELECT 'first'; {}; SELECT 'last'", sleep("s_string")))],
            vec!["SELECT 1"],
        ),
        (
            "s_copy",
            vec![],
            vec![front::query("COPY (SELECT 's_copy' FROM pg_sleep(60)) TO STDOUT")],
            vec!["SELECT 1"],
        ),
        (
            "s_settings",
            vec!["SET TimeZone = 'Asia/Tokyo'"],
            vec![front::query(sleep("s_settings"))],
            vec!["SHOW TimeZone"],
        ),
    ]
}

/// In a transaction, with state on the connection, in every protocol: the statement ends and the session goes on.
#[test]
fn a_cancel_leaves_the_session_as_the_server_would() -> Result<()> {
    let cluster = Cluster::shared();
    let weir = WeirSetup::in_front_of(cluster, 0..3).start(WEIR)?;
    for (name, before, frames, after) in scenes() {
        let scene = |client: &mut Client| -> Result<Vec<Message>> {
            for sql in &before {
                client.query(sql)?;
            }
            client.send(&frames)?;
            wait_running(name)?;
            client.cancel()?;
            let mut heard = client.until_ready()?;
            for sql in &after {
                heard.extend(client.ask(&[front::query(sql)])?);
            }
            Ok(heard)
        };
        let expected = scene(&mut cluster.connect(0)?)?;
        assert!(expected.iter().any(|m| m.error().is_some_and(|e| e.sqlstate() == "57014")), "{expected:?}");
        let heard = scene(&mut weir.connect()?)?;
        assert_eq!(transcript(&heard), transcript(&expected), "{name}");
    }
    Ok(())
}

/// The statement that is hit fails, and the transaction with it. Nothing else does.
#[test]
fn a_transaction_that_has_only_read_is_hit_where_it_reads() -> Result<()> {
    let cluster = Cluster::shared();
    cluster.sql(0, "CREATE TABLE promised (i int); GRANT ALL ON promised TO app")?;
    cluster.wait_caught_up()?;
    let weir = lazy(cluster).start(WEIR)?;
    let mut client = weir.connect()?;
    // Nothing runs anywhere.
    for sql in
        ["BEGIN", "SELECT 1", "SAVEPOINT a", "SELECT 2", "RELEASE a", "INSERT INTO promised VALUES (1)"]
    {
        client.query(sql)?;
        client.cancel()?;
    }
    assert_eq!(client.query("COMMIT")?.tag, "COMMIT");
    assert_eq!(client.query("/* weir: primary */ SELECT count(*) FROM promised")?.value(), "1");
    // A read runs alone.
    for begin in ["BEGIN", "BEGIN READ ONLY"] {
        client.query(begin)?;
        client.query("SAVEPOINT a")?;
        let mark = cluster.mark();
        client.send(&[front::query("SELECT 'promised read' FROM pg_sleep(60)")])?;
        wait_running("promised read")?;
        client.cancel()?;
        let heard = client.until_ready()?;
        assert_eq!(first_error(&heard).as_deref(), Some("57014"), "{begin}");
        assert_eq!(heard.last().unwrap().status(), Some('E'), "{begin}");
        assert!(matches!(*cluster.ran_on(&mark, "promised read"), [1 | 2]), "{begin}");
        assert_eq!(client.query("SELECT 1").unwrap_err().sqlstate(), Some("25P02"), "{begin}");
        client.query("ROLLBACK TO a")?;
        client.query("SELECT pg_sleep(0.05)")?;
        assert_eq!(client.query("COMMIT")?.tag, "COMMIT", "{begin}");
    }
    Ok(())
}

fn lazy(cluster: &Cluster) -> WeirSetup {
    let setup = WeirSetup::in_front_of(cluster, 0..cluster.size()).at_any_age();
    setup.set("routing", "transactions", "\"lazy\"")
}

/// Its write waits for a connection, and is never sent.
fn cancel_waiting(weir: &Weir, client: &mut Client, write: &str) -> Result<()> {
    client.send(&[front::query(write)])?;
    let waiting =
        || -> Result<f64> { Ok(weir.metrics()?.sum("weir_cancels_total", &[("result", "waiting")])) };
    let before = waiting()?;
    // One that comes before it waits hits nothing.
    wait_for("the write to be cancelled", PATIENCE, || {
        client.cancel()?;
        Ok((waiting()? > before).then_some(()))
    })?;
    let heard = client.until_ready()?;
    assert_eq!(first_error(&heard).as_deref(), Some("57014"));
    assert_eq!(heard.last().unwrap().status(), Some('E'));
    Ok(())
}

/// The transaction that waits to go to the primary fails by a cancel, though no server knows of it.
#[test]
fn a_cancel_ends_the_wait_for_the_primary() -> Result<()> {
    let cluster = Cluster::with(Options::new(1))?;
    cluster.sql(0, "CREATE TABLE waited (i int); GRANT ALL ON waited TO app")?;
    cluster.wait_caught_up()?;
    let weir = lazy(&cluster)
        .set("pool", "size", "1")
        .set("pool", "checkout_timeout", "\"60s\"")
        .set("pool", "primary_wait", "\"60s\"")
        .set("health", "interval", "\"200ms\"")
        .start(WEIR)?;
    let (mut holder, mut client) = (weir.connect()?, weir.connect()?);
    client.set_patience(PATIENCE);
    holder.query("BEGIN")?;
    holder.query("INSERT INTO waited VALUES (0)")?;
    let mark = cluster.mark();
    for begin in ["BEGIN", "BEGIN; SAVEPOINT a", "BEGIN; SET LOCAL work_mem = '1MB'; SAVEPOINT a"] {
        begin.split("; ").try_for_each(|sql| client.query(sql).map(drop))?;
        client.query("SELECT 'before the wait'")?;
        cancel_waiting(&weir, &mut client, "INSERT INTO waited VALUES (1)")?;
        assert_eq!(client.query("SELECT 1").unwrap_err().sqlstate(), Some("25P02"));
        if begin.ends_with('a') {
            client.query("ROLLBACK TO a")?;
            assert_eq!(client.query("SELECT 'after the wait'")?.value(), "after the wait");
            assert_eq!(client.query("COMMIT")?.tag, "COMMIT");
        } else {
            assert_eq!(client.query("COMMIT")?.tag, "ROLLBACK");
        }
    }
    assert!(cluster.ran_on(&mark, "VALUES (1)").is_empty());
    holder.query("COMMIT")?;
    for sql in ["BEGIN", "SELECT 1", "INSERT INTO waited VALUES (2)", "COMMIT"] {
        client.query(sql)?;
    }
    // And while the primary is away.
    cluster.stop(0, Stop::Immediate)?;
    client.query("BEGIN")?;
    assert_eq!(client.query("SELECT count(*) >= 0 FROM waited")?.value(), "t");
    cancel_waiting(&weir, &mut client, "INSERT INTO waited VALUES (3)")?;
    assert_eq!(client.query("ROLLBACK")?.tag, "ROLLBACK");
    assert_eq!(client.query("SELECT 'reads go on'")?.value(), "reads go on");
    cluster.restart(0)?;
    assert_eq!(cluster.sql(0, "SELECT string_agg(i::text, ' ' ORDER BY i) FROM waited")?.value(), "0 2");
    Ok(())
}

/// A server that waits for copied rows hears of a cancel with the next one.
#[test]
fn a_cancel_ends_a_copy_in() -> Result<()> {
    let cluster = Cluster::shared();
    let weir = narrow()?;
    let scene = |client: &mut Client| -> Result<Vec<Message>> {
        client.query("CREATE TEMP TABLE copied (id int)")?;
        client.send(&[front::query("COPY copied FROM STDIN")])?;
        assert_eq!(client.read()?.name(), "CopyInResponse");
        client.cancel()?;
        client.send(&[front::copy_data("1\n"), front::copy_done()])?;
        let mut heard = client.until_ready()?;
        heard.extend(client.ask(&[front::query("SELECT count(*) FROM copied")])?);
        Ok(heard)
    };
    let expected = scene(&mut cluster.connect(0)?)?;
    assert_eq!(transcript(&scene(&mut weir.connect()?)?), transcript(&expected));
    Ok(())
}

/// Of requests that were sent ahead, the one that runs is hit, and the others run.
#[test]
fn a_cancel_hits_one_request_of_a_pipeline() -> Result<()> {
    let weir = WeirSetup::in_front_of(Cluster::shared(), 0..3).start(WEIR)?;
    let mut client = weir.connect()?;
    let batch = |sql: &str| {
        [front::parse("", sql, &[]), front::bind("", "", &[]), front::execute("", 0), front::sync()].concat()
    };
    client.send(&[
        batch("/* weir: primary */ SELECT 'one'"),
        batch("/* weir: primary */ SELECT 'pipelined' FROM pg_sleep(60)"),
        batch("/* weir: primary */ SELECT 'three'"),
    ])?;
    wait_running("pipelined")?;
    client.cancel()?;
    let codes: Vec<_> =
        (0..3).map(|_| client.until_ready().map(|heard| first_error(&heard))).collect::<Result<_>>()?;
    assert_eq!(codes, [None, Some("57014".to_owned()), None]);
    Ok(())
}

/// One that comes too late, when the connection has gone back: nobody is hit, neither who asked nor who has it now.
#[test]
fn a_late_cancel_hits_nobody() -> Result<()> {
    let weir = narrow()?;
    let (mut late, mut next) = (quick(&weir)?, quick(&weir)?);
    for _ in 0..100 {
        late.query("SELECT 1")?;
        next.send(&[front::query("SELECT pg_sleep(0.002)")])?;
        late.cancel()?;
        assert_eq!(first_error(&next.until_ready()?), None);
        late.query("SELECT 'not hit'")?;
    }
    let idle = weir.metrics()?.sum("weir_cancels_total", &[("result", "idle")]);
    assert_eq!(idle, 100.0);
    Ok(())
}

/// Stopped until this is dropped.
struct Stopped(Pid);

impl Stopped {
    /// Who accepts connections to a server, and nobody else there.
    fn postmaster(cluster: &Cluster, server: usize) -> Result<Self> {
        let directory = cluster.sql(server, "SHOW data_directory")?.value().to_owned();
        let file = fs::read_to_string(format!("{directory}/postmaster.pid"))?;
        let pid = Pid::from_raw(file.lines().next().unwrap().parse().unwrap()).unwrap();
        kill_process(pid, Signal::STOP).unwrap();
        Ok(Self(pid))
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        kill_process(self.0, Signal::CONT).unwrap();
    }
}

/// One that a server takes and does not heed in time may hit the connection long after weir has given it up.
#[test]
fn a_cancel_that_goes_astray_hits_nobody() -> Result<()> {
    let cluster = Cluster::with(Options::new(0))?;
    let setup = WeirSetup::in_front_of(&cluster, [0]).append(QUICK);
    let weir = setup.set("pool", "size", "1").set("pool", "checkout_timeout", "\"60s\"").start(WEIR)?;
    let (mut one, mut next) = (quick(&weir)?, quick(&weir)?);
    one.send(&[front::query("SELECT 1; SELECT pg_sleep(8)")])?;
    let runs = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    wait_for("it to run", PATIENCE, || Ok((cluster.sql(0, runs)?.value() == "1").then_some(())))?;
    let stopped = Stopped::postmaster(&cluster, 0)?;
    one.cancel()?;
    next.send(&[front::query("SELECT pg_sleep(2)")])?;
    assert_eq!(first_error(&one.until_ready()?), None, "nobody has heard of the cancel");
    thread::sleep(Duration::from_millis(500));
    drop(stopped);
    assert_eq!(first_error(&next.until_ready()?), None);
    Ok(())
}

/// Who cancels the own request at every possible moment: while it waits, begins, runs, ends, and after that.
fn race(weir: &Weir, seed: u64) -> Result<()> {
    let mut client = quick(weir)?;
    for round in 0..8 {
        client.send(&[front::query("SELECT pg_sleep(0.003)")])?;
        thread::sleep(Duration::from_micros((seed * 7 + round * 13) % 40 * 250));
        client.cancel()?;
        let code = first_error(&client.until_ready()?);
        assert!(matches!(code.as_deref(), None | Some("57014")), "{code:?}");
        // The cancel request has been delivered: what comes now is not hit.
        client.query("SELECT 'after the cancel'")?;
    }
    Ok(())
}

/// Who cancels the own request when it runs for certain.
fn hit(weir: &Weir) -> Result<()> {
    // More than a server keeps to itself.
    const BEGINS: &str = "SELECT repeat('x', 20000); SELECT pg_sleep(60)";
    let mut client = quick(weir)?;
    for _ in 0..4 {
        client.send(&[front::query(BEGINS)])?;
        assert_eq!(client.read()?.name(), "RowDescription");
        client.cancel()?;
        assert_eq!(first_error(&client.until_ready()?).as_deref(), Some("57014"));
        client.query("SELECT 'after the cancel'")?;
    }
    Ok(())
}

/// A hundred clients on one connection, eighty of which cancel their own requests all the time.
#[test]
fn a_hundred_clients_that_cancel_on_one_connection() -> Result<()> {
    let weir = &narrow()?;
    let bystander = || -> Result<()> {
        let mut client = quick(weir)?;
        (0..20).try_for_each(|_| client.query("SELECT pg_sleep(0.002)").map(drop))
    };
    thread::scope(|scope| -> Result<()> {
        let mut clients: Vec<_> = (0..60).map(|seed| scope.spawn(move || race(weir, seed))).collect();
        clients.extend((0..20).map(|_| scope.spawn(|| hit(weir))));
        clients.extend((0..20).map(|_| scope.spawn(bystander)));
        clients.into_iter().try_for_each(|client| client.join().unwrap())
    })?;
    let metrics = weir.metrics()?;
    let results = |result| metrics.sum("weir_cancels_total", &[("result", result)]);
    assert!(results("forwarded") >= 80.0, "{}", results("forwarded"));
    assert!(results("waiting") > 0.0, "none ended a wait");
    Ok(())
}

/// Between weir and the primary: counts the cancel requests that come along and holds them back until told.
struct Middleman {
    port: u16,
    /// Cancel requests that wait here.
    held: Arc<AtomicUsize>,
    seen: Arc<AtomicUsize>,
    gate: Arc<(Mutex<Gate>, Condvar)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Gate {
    Shut,
    Open,
}

impl Middleman {
    fn between(server: u16) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let (held, seen) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let gate = Arc::new((Mutex::new(Gate::Shut), Condvar::new()));
        let (count, all, waits) = (held.clone(), seen.clone(), gate.clone());
        thread::spawn(move || {
            for client in listener.incoming().map_while(std::io::Result::ok) {
                let (count, all, waits) = (count.clone(), all.clone(), waits.clone());
                thread::spawn(move || pass(client, server, &count, &all, &waits));
            }
        });
        Ok(Self { port, held, seen, gate })
    }

    fn open(&self) {
        *self.gate.0.lock().unwrap() = Gate::Open;
        self.gate.1.notify_all();
    }
}

fn pass(
    mut client: TcpStream,
    server: u16,
    held: &AtomicUsize,
    seen: &AtomicUsize,
    gate: &(Mutex<Gate>, Condvar),
) -> std::io::Result<()> {
    /// The code of a CancelRequest, where a StartupMessage has its version.
    const CANCEL: [u8; 4] = 80_877_102u32.to_be_bytes();
    let mut head = [0; 8];
    client.read_exact(&mut head)?;
    if head[4..] == CANCEL {
        seen.fetch_add(1, Ordering::SeqCst);
        held.fetch_add(1, Ordering::SeqCst);
        let shut = gate.1.wait_while(gate.0.lock().unwrap(), |gate| *gate == Gate::Shut);
        drop(shut);
        held.fetch_sub(1, Ordering::SeqCst);
    }
    let mut server = TcpStream::connect(("127.0.0.1", server))?;
    server.write_all(&head)?;
    let (mut from, mut to) = (server.try_clone()?, client.try_clone()?);
    thread::spawn(move || {
        // It ends when one of the two closes.
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
    std::io::copy(&mut client, &mut server)?;
    server.shutdown(Shutdown::Both)
}

/// Two hundred cancel requests at once for one session are one connection to the server, and one more behind it.
#[test]
fn a_flood_of_cancels_does_not_reach_the_server() -> Result<()> {
    const FLOOD: usize = 200;
    let middleman = Middleman::between(Cluster::shared().port(0))?;
    let server = format!("[[servers]]\nhost = \"127.0.0.1\"\nport = {}", middleman.port);
    let weir = WeirSetup::in_front_of(Cluster::shared(), [])
        .append(&server)
        .set("listen", "client_limit", "10")
        .start(WEIR)?;
    let mut client = weir.connect()?;
    client.send(&[front::query("SELECT 'flooded' FROM pg_sleep(60)")])?;
    wait_running("flooded")?;
    let key = client.key().unwrap().clone();
    let mut flood = Vec::new();
    for _ in 0..FLOOD {
        let mut other = Client::open(&weir.address())?;
        other.send(&[front::cancel_request(&key)])?;
        flood.push(other);
    }
    wait_for("all to have arrived", PATIENCE, || {
        let joined = weir.metrics()?.sum("weir_cancels_total", &[("result", "joined")]);
        Ok((joined == (FLOOD - 1) as f64).then_some(()))
    })?;
    assert_eq!(middleman.held.load(Ordering::SeqCst), 1);
    // They take nobody's place while they wait.
    weir.connect()?.query("SELECT 1")?;
    middleman.open();
    assert_eq!(first_error(&client.until_ready()?).as_deref(), Some("57014"));
    for mut other in flood {
        assert!(other.is_closed_within(PATIENCE)?);
    }
    assert!(middleman.seen.load(Ordering::SeqCst) <= 2);
    client.query("SELECT 'the session lives on'")?;
    Ok(())
}
