//! When pools come into being, by whose account, how large they get, and when they are gone again.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use harness::client::{Client, Login, front};
use harness::{Cluster, Failure, Options, Result, Weir, WeirSetup, wait_for};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// More than two rounds of the upkeep of pools.
const ROUNDS: Duration = Duration::from_millis(2500);

fn log_in(weir: &Weir, user: &str, database: &str) -> Result<Client> {
    Client::connect(&weir.address(), &Login::new(user, user).database(database))
}

/// The pools that lead to this database, as `/status` lists them.
fn pools(weir: &Weir, database: &str) -> Result<Vec<String>> {
    let status = weir.get("/status")?;
    let leads_there = |line: &&str| line.starts_with("pool ") && line.contains(&format!(" {database} "));
    Ok(status.lines().filter(leads_there).map(str::to_owned).collect())
}

/// How often the primary was asked for this database while a few rounds of upkeep went by.
fn attempts(cluster: &Cluster, database: &str) -> usize {
    let mark = cluster.mark();
    sleep(ROUNDS);
    let refused = format!("database \"{database}\" does not exist");
    cluster.entries(0, &mark).iter().filter(|entry| entry.contains(&refused)).count()
}

fn wait_forgotten(weir: &Weir, database: &str) -> Result<()> {
    wait_for("pools to be forgotten", PATIENCE, || Ok(pools(weir, database)?.is_empty().then_some(())))
}

#[test]
fn a_database_that_does_not_exist_is_asked_for_by_clients_only() -> Result<()> {
    let cluster = Cluster::with(Options::new(0))?;
    cluster.sql(0, "ALTER ROLE app CREATEDB")?;
    let weir = WeirSetup::in_front_of(&cluster, [0]).set("pool", "min_idle", "1").start(WEIR)?;
    let refused = log_in(&weir, "app", "nowhere").unwrap_err();
    assert_eq!(refused.sqlstate(), Some("3D000"), "{refused}");
    assert_eq!(attempts(&cluster, "nowhere"), 0);
    wait_forgotten(&weir, "nowhere")?;

    // One that existed, and was kept at hand, is no other once it is gone.
    let mut owner = weir.connect()?;
    owner.query("CREATE DATABASE shop")?;
    log_in(&weir, "app", "shop")?.query("SELECT 1")?;
    sleep(ROUNDS);
    assert_eq!(pools(&weir, "shop")?, ["pool primary shop app: 0 active, 1 idle, 0 waiting"]);
    owner.query("DROP DATABASE shop")?;
    wait_forgotten(&weir, "shop")?;
    assert_eq!(attempts(&cluster, "shop"), 0);
    drop(owner);
    assert_eq!(pools(&weir, "app")?, ["pool primary app app: 0 active, 1 idle, 0 waiting"]);
    Ok(())
}

#[test]
fn a_pool_without_connections_and_sessions_is_forgotten() -> Result<()> {
    let cluster = Cluster::shared();
    let weir = WeirSetup::in_front_of(cluster, [0]).set("pool", "idle_timeout", "\"1s\"").start(WEIR)?;
    let mut client = weir.connect()?;
    client.query("SELECT 1")?;
    assert_eq!(pools(&weir, "app")?.len(), 1);
    sleep(ROUNDS);
    assert_eq!(
        pools(&weir, "app")?,
        ["pool primary app app: 0 active, 0 idle, 0 waiting"],
        "it has a session"
    );
    client.query("SELECT 1")?;
    drop(client);
    wait_forgotten(&weir, "app")?;
    weir.connect()?.query("SELECT 1")?;
    Ok(())
}

/// A name travels with what its client asks, in front of a simple query too: the connection is of use to the next one.
#[test]
fn clients_of_different_names_share_a_connection() -> Result<()> {
    let cluster = Cluster::shared();
    let weir = WeirSetup::in_front_of(cluster, [0]).set("pool", "size", "1").start(WEIR)?;
    let named = |name| {
        let login = Login::new("app", "app").parameter("application_name", name);
        Client::connect(&weir.address(), &login)
    };
    let mut clients = [named("one")?, named("two")?];
    clients[0].query("SELECT 1")?;
    let before = connects(&weir, "ok")?;
    for _ in 0..3 {
        for (client, name) in clients.iter_mut().zip(["one", "two"]) {
            let seen =
                client.query("SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()")?;
            assert_eq!(seen.value(), name);
            let sql = "SELECT 1";
            client.ask(&[
                front::parse("", sql, &[]),
                front::bind("", "", &[]),
                front::execute("", 0),
                front::sync(),
            ])?;
            client.query(sql)?;
        }
    }
    assert_eq!(connects(&weir, "ok")? - before, 0.0);
    Ok(())
}

/// Users of weir that are one user to the servers, by different passwords and with different pools.
fn sharing_a_user(cluster: &Cluster) -> WeirSetup {
    let user = |name: &str, more: &str| {
        format!("[[users]]\nname = \"{name}\"\npassword = \"{name}\"\nserver_user = \"app\"\n{more}\n")
    };
    WeirSetup::in_front_of(cluster, [0])
        .set("pool", "checkout_timeout", "\"1s\"")
        .append(&user("wrong", "server_password = \"not it\""))
        .append(&user("narrow", "server_password = \"app\"\npool_size = 1"))
        .append(&user("wide", "server_password = \"app\"\npool_size = 3"))
}

#[test]
fn everybody_gets_the_connections_of_the_own_account() -> Result<()> {
    let weir = sharing_a_user(Cluster::shared()).start(WEIR)?;
    let is_refused = |outcome: Result<Client>| {
        let refused: Failure = outcome.unwrap_err();
        assert_eq!(refused.sqlstate(), Some("28P01"), "{refused}");
    };
    is_refused(log_in(&weir, "wrong", "app"));
    log_in(&weir, "wide", "app")?.query("SELECT 1")?;
    is_refused(log_in(&weir, "wrong", "app"));
    log_in(&weir, "wide", "app")?.query("SELECT 1")?;
    Ok(())
}

#[test]
fn a_pool_grows_to_the_size_of_those_who_wait() -> Result<()> {
    let weir = sharing_a_user(Cluster::shared()).start(WEIR)?;
    let begin = |user: &str| {
        let mut client = log_in(&weir, user, "app")?;
        client.query("BEGIN; SELECT 1")?;
        Ok(client)
    };
    let first: Client = begin("narrow")?;
    let refused: Failure = begin("narrow").unwrap_err();
    assert_eq!(refused.sqlstate(), Some("57014"), "{refused}");
    let more = (0..2).map(|_| begin("wide")).collect::<Result<Vec<_>>>()?;
    assert_eq!(begin("wide").unwrap_err().sqlstate(), Some("57014"));
    drop((first, more));
    Ok(())
}

/// A cluster of its own where `app_md5` may have so many connections to each server. weir watches as `app`.
fn with_limit(replicas: usize, connections: usize) -> Result<Cluster> {
    let cluster = Cluster::with(Options::new(replicas))?;
    cluster.sql(0, "CREATE TABLE room (n int); GRANT ALL ON room TO PUBLIC")?;
    cluster.sql(0, &format!("ALTER ROLE app_md5 CONNECTION LIMIT {connections}"))?;
    cluster.wait_caught_up()?;
    Ok(cluster)
}

/// Somebody who is not weir, on a connection of the limited user.
fn stranger(cluster: &Cluster, server: usize) -> Result<Client> {
    Client::connect(&cluster.address(server), &Login::new("app_md5", "app_md5").database("app"))
}

fn connects(weir: &Weir, result: &str) -> Result<f64> {
    Ok(weir.metrics()?.sum("weir_backend_connects_total", &[("result", result)]))
}

fn lines(weir: &Weir, words: &str) -> usize {
    weir.log().lines().filter(|line| line.contains(words)).count()
}

const NO_ROOM: &str = "the server has no room for another connection";

/// A server that has no room is full, not broken: who waits gets a connection as soon as there is room.
#[test]
fn a_server_without_room_is_waited_for() -> Result<()> {
    let cluster = with_limit(0, 1)?;
    let weir = WeirSetup::in_front_of(&cluster, [0]).start(WEIR)?;
    let outside = stranger(&cluster, 0)?;
    let begun = Instant::now();
    let hold = thread::spawn(move || -> Result<()> {
        sleep(Duration::from_secs(3));
        outside.close()
    });
    // One that gives up leaves its place.
    let mut gone = Client::open(&weir.address())?;
    gone.set_patience(Duration::from_millis(500));
    assert!(gone.log_in(&Login::new("app_md5", "app_md5").database("app")).is_err());
    let waiting = || -> Result<f64> { Ok(weir.metrics()?.sum("weir_pool_waiting", &[])) };
    assert_eq!(waiting()?, 1.0);
    drop(gone);
    wait_for("nobody to wait", Duration::from_secs(2), || Ok((waiting()? == 0.0).then_some(())))?;
    // The login is the first that needs a connection.
    let mut client = log_in(&weir, "app_md5", "app")?;
    let waited = begun.elapsed();
    assert!(waited > Duration::from_millis(2500) && waited < Duration::from_secs(6), "{waited:?}");
    client.query("INSERT INTO room VALUES (1)")?;
    hold.join().unwrap()?;
    assert!((1.0..=9.0).contains(&connects(&weir, "full")?), "{}", connects(&weir, "full")?);
    assert_eq!(lines(&weir, NO_ROOM), 1, "{}", weir.log());
    assert_eq!(weir.metrics()?.sum("weir_server_up", &[]), 1.0);
    Ok(())
}

#[test]
fn who_waits_too_long_for_room_hears_the_server_s_words() -> Result<()> {
    let cluster = with_limit(0, 1)?;
    let weir = WeirSetup::in_front_of(&cluster, [0]).set("pool", "checkout_timeout", "\"2s\"").start(WEIR)?;
    let mut client = log_in(&weir, "app_md5", "app")?;
    client.query("INSERT INTO room VALUES (1)")?;
    let mut other = log_in(&weir, "app_md5", "app")?;
    client.query("BEGIN; INSERT INTO room VALUES (2)")?;
    for sql in ["INSERT INTO room VALUES (3)", "SELECT * FROM room"] {
        let full: Failure = other.query(sql).unwrap_err();
        assert_eq!(full.sqlstate(), Some("53300"), "{full}");
        assert!(full.to_string().contains("too many connections for role \"app_md5\""), "{full}");
    }
    assert_eq!(weir.metrics()?.sum("weir_pools_without_room", &[("server", "primary")]), 1.0);
    // It was no more than waiting: the session is as good as ever.
    client.query("COMMIT")?;
    other.query("INSERT INTO room VALUES (4)")?;
    assert_eq!(other.query("SELECT count(*) FROM room")?.value(), "3");
    assert!(connects(&weir, "full")? < 12.0, "{}", connects(&weir, "full")?);
    assert_eq!(lines(&weir, NO_ROOM), 1);
    Ok(())
}

/// A pool that may have twenty connections and gets three serves everybody with those, and does not hammer.
#[test]
fn a_pool_learns_how_much_it_can_have() -> Result<()> {
    let cluster = with_limit(0, 3)?;
    let weir = WeirSetup::in_front_of(&cluster, [0]).start(WEIR)?;
    let mut clients: Vec<Client> = (0..20).map(|_| log_in(&weir, "app_md5", "app")).collect::<Result<_>>()?;
    thread::scope(|scope| -> Result<()> {
        let running: Vec<_> = clients
            .iter_mut()
            .map(|client| {
                scope.spawn(move || (0..20).try_for_each(|_| client.query("SELECT pg_sleep(0.03)").map(drop)))
            })
            .collect();
        running.into_iter().try_for_each(|client| client.join().unwrap())
    })?;
    // The work takes four seconds. At first twenty are asked for at once.
    assert!(connects(&weir, "full")? < 35.0, "{}", connects(&weir, "full")?);
    assert_eq!(connects(&weir, "ok")?, 3.0);
    assert_eq!(lines(&weir, NO_ROOM), 1);
    Ok(())
}

/// What lies idle in one pool is the place of another one that has nothing.
#[test]
fn an_idle_connection_makes_room_on_a_server_that_is_full() -> Result<()> {
    let options = Options::new(0)
        .setting("max_connections", "14")
        .setting("superuser_reserved_connections", "3")
        .setting("max_wal_senders", "2");
    let cluster = Cluster::with(options)?;
    let weir = WeirSetup::in_front_of(&cluster, [0]).start(WEIR)?;
    let mut clients: Vec<Client> = (0..20).map(|_| log_in(&weir, "app", "app")).collect::<Result<_>>()?;
    clients.iter_mut().try_for_each(|client| client.send(&[front::query("SELECT pg_sleep(0.3)")]))?;
    for client in &mut clients {
        let heard = client.until_ready()?;
        assert!(heard.iter().all(|message| message.error().is_none()), "{heard:?}");
    }
    assert!(connects(&weir, "full")? > 0.0, "the server was not full");
    let begun = Instant::now();
    log_in(&weir, "app_md5", "app")?.query("SELECT pg_sleep(0)")?;
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    clients[0].query("SELECT pg_sleep(0)")?;
    Ok(())
}

/// Reads do not wait for a replica that has no room when others can serve them; and logins do not for the primary.
#[test]
fn nobody_waits_for_a_full_server_who_can_go_elsewhere() -> Result<()> {
    let cluster = with_limit(1, 1)?;
    let weir = WeirSetup::in_front_of(&cluster, 0..2).at_any_age().start(WEIR)?;
    let on_primary = stranger(&cluster, 0)?;
    let begun = Instant::now();
    let mut client = log_in(&weir, "app_md5", "app")?;
    assert_eq!(client.parameters()["in_hot_standby"], "off", "the session can write");
    client.query("SELECT * FROM room")?;
    log_in(&weir, "app_md5", "app")?.query("SELECT * FROM room")?;
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    on_primary.close()?;
    client.query("INSERT INTO room VALUES (1)")?;

    let on_replica = wait_for("the replica's only place", PATIENCE, || {
        // weir's connection there is idle, and closed by the server like this.
        cluster.sql(1, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app_md5'")?;
        Ok(stranger(&cluster, 1).ok())
    })?;
    let begun = Instant::now();
    for _ in 0..20 {
        client.query("SELECT * FROM room")?;
    }
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    on_replica.close()
}

const CROWDED: &str = "half of the pool or more is kept by sessions that run nothing";

#[test]
fn a_pool_half_full_of_sessions_that_do_nothing_is_told_of() -> Result<()> {
    let cluster = Cluster::shared();
    let weir = WeirSetup::in_front_of(cluster, [0])
        .set("pool", "size", "4")
        .set("pool", "listen", "\"pinned\"")
        .start(WEIR)?;
    let held = |why: &str| -> Result<f64> {
        Ok(weir.metrics()?.sum("weir_backend_connections_held", &[("server", "primary"), ("why", why)]))
    };
    let mut first = weir.connect()?;
    first.query("BEGIN; SELECT pg_advisory_xact_lock(4711)")?;
    sleep(ROUNDS);
    assert_eq!([held("idle_in_transaction")?, held("pinned")?], [1.0, 0.0]);
    assert_eq!(lines(&weir, CROWDED), 0, "a quarter: {}", weir.log());

    let mut second = weir.connect()?;
    second.query("LISTEN somebody")?;
    wait_for("the log", PATIENCE, || Ok((lines(&weir, CROWDED) > 0).then_some(())))?;
    assert_eq!([held("idle_in_transaction")?, held("pinned")?], [1.0, 1.0]);
    sleep(ROUNDS);
    let log = weir.log();
    let line = log.lines().find(|line| line.contains(CROWDED)).unwrap();
    for words in [
        "size=4",
        "idle_in_transaction=1",
        "pinned=1",
        "user=\"app\"",
        "database=\"app\"",
        "server=\"primary\"",
    ] {
        assert!(line.contains(words), "{words}: {line}");
    }
    assert_eq!(lines(&weir, CROWDED), 1, "once a minute");
    first.query("COMMIT")?;
    second.query("UNLISTEN *")?;
    wait_for("nobody to be told of", PATIENCE, || {
        Ok((held("idle_in_transaction")? + held("pinned")? == 0.0).then_some(()))
    })
}

/// When the kernel will next ask the peer of each of a process's connections to this port whether it is there, in
/// hundredths of a second; `None` where it will not (proc(5), /proc/net/tcp).
fn asked_next(pid: u32, port: u16) -> Result<Vec<Option<u64>>> {
    let mut sockets = Vec::new();
    for descriptor in fs::read_dir(format!("/proc/{pid}/fd"))? {
        // One that has been closed meanwhile is none of them.
        sockets.extend(fs::read_link(descriptor?.path()).map(|link| link.to_string_lossy().into_owned()));
    }
    let table = fs::read_to_string("/proc/net/tcp")?;
    let rows = table.lines().skip(1).map(|row| row.split_whitespace().collect::<Vec<_>>());
    let ours = rows.filter(|row| {
        row[2].ends_with(&format!(":{port:04X}")) && sockets.contains(&format!("socket:[{}]", row[9]))
    });
    let next = |row: Vec<&str>| {
        let (timer, when) = row[5].split_once(':')?;
        u64::from_str_radix(when, 16).ok().filter(|_| timer == "02")
    };
    Ok(ours.map(next).collect())
}

/// Those of weir's own (probes, samples) as well as those of its clients.
#[test]
fn each_connection_to_a_server_is_asked_whether_it_is_there() -> Result<()> {
    let cluster = Cluster::shared();
    let weir = WeirSetup::in_front_of(cluster, [0])
        .set("health", "interval", "\"5s\"")
        .set("health", "timeout", "\"4s\"")
        .start(WEIR)?;
    weir.connect()?.query("SELECT 1")?;
    wait_for("keepalive timers", PATIENCE, || {
        let all = asked_next(weir.pid(), cluster.port(0))?;
        // Not one that waits to be acknowledged at this moment.
        Ok((all.len() >= 3 && all.iter().all(|next| next.is_some_and(|next| next <= 500))).then_some(()))
    })
}
