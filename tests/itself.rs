//! What happens to weir itself from outside: signals, a log that nobody reads, descriptors that run out, HTTP clients that
//! say half a word. None of it ends weir, stops its clients, or has it say what is not so.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use harness::client::{Client, Login, front};
use harness::{Cluster, Options, Result, Stop, Weir, WeirSetup, free_port, wait_for};
use rustix::process::{Pid, Signal, kill_process};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A user who logs in without a password: many logins should not be what a test spends its time with.
const QUICK: &str =
    "[[users]]\nname = \"quick\"\nauth = \"trust\"\nserver_user = \"app\"\nserver_password = \"app\"";

fn primary_only() -> WeirSetup {
    WeirSetup::in_front_of(Cluster::shared(), [0]).append(QUICK)
}

fn quick(weir: &Weir) -> Result<Client> {
    Client::connect(&weir.address(), &Login::new("quick", "").database("app"))
}

fn signal(weir: &Weir, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(weir.pid()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// weir begun by a few words of shell, in which `WEIR` stands for it and its arguments.
struct Script {
    directory: PathBuf,
}

impl Script {
    fn new(words: &str) -> Self {
        let name = format!("weir-itself-{}-{}", std::process::id(), free_port().unwrap());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir(&directory).unwrap();
        let script = Self { directory };
        let words = words.replace("WEIR", &format!("{WEIR} \"$@\"")).replace("HERE", &script.here());
        fs::write(script.path(), format!("#!/bin/sh\n{words}\n")).unwrap();
        fs::set_permissions(script.path(), fs::Permissions::from_mode(0o755)).unwrap();
        script
    }

    fn here(&self) -> String {
        self.directory.display().to_string()
    }

    fn path(&self) -> PathBuf {
        self.directory.join("weir")
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        // What cannot be removed is in the directory for such things.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

#[test]
fn signals_that_mean_nothing_to_weir_do_not_end_it() -> Result<()> {
    let mut weir = primary_only().set("log", "filter", "\"debug\"").start(WEIR)?;
    let mut client = weir.connect()?;
    for other in [Signal::HUP, Signal::USR1, Signal::USR2, Signal::PIPE, Signal::HUP] {
        signal(&weir, other);
        thread::sleep(Duration::from_millis(100));
        assert!(weir.exit_status().is_none(), "{other:?}");
        client.query("SELECT 1")?;
    }
    let log = weir.log();
    let lines = |words: &str| log.lines().filter(|line| line.contains(words)).count();
    assert_eq!(lines("SIGHUP: the configuration"), 2, "{log}");
    assert_eq!((lines("SIGUSR1"), lines("SIGUSR2")), (1, 1), "{log}");
    assert!(weir.terminate()?.success());
    Ok(())
}

/// Both of weir's outputs are a pipe that is full, as those of a container are whose collector hangs.
#[test]
fn a_log_that_nobody_reads_stops_nobody() -> Result<()> {
    let script = Script::new("exec WEIR >HERE/pipe 2>&1");
    let pipe = script.directory.join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status()?.success());
    // Opened for both, so that neither end waits for the other.
    let mut reader = OpenOptions::new().read(true).write(true).open(&pipe)?;
    let setup = primary_only().set("log", "filter", "\"trace\"").set("listen", "drain_timeout", "\"1s\"");
    let mut weir = setup.start(script.path())?;
    let mut client = quick(&weir)?;
    client.set_patience(PATIENCE);
    // A pipe holds 64 kB, and each login is a line at least.
    wait_for("lines to be lost", 4 * PATIENCE, || {
        for _ in 0..50 {
            quick(&weir)?.close()?;
        }
        Ok((weir.metrics()?.sum("weir_log_lines_lost_total", &[]) > 0.0).then_some(()))
    })?;
    client.query("SELECT 1")?;
    // Who reads again reads whole lines.
    let mut some = vec![0; 100_000];
    reader.read_exact(&mut some)?;
    assert!(String::from_utf8_lossy(&some).contains("weir is running"));
    let begun = Instant::now();
    let status = weir.terminate()?;
    assert!(status.success(), "{status}");
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    Ok(())
}

/// What is logged last is in the log.
#[test]
fn the_last_lines_are_in_the_log() -> Result<()> {
    let mut weir = primary_only().set("listen", "drain_timeout", "\"100ms\"").start(WEIR)?;
    let mut client = weir.connect()?;
    client.query("BEGIN; SELECT 1")?;
    assert!(weir.terminate()?.success());
    assert!(weir.log().contains("weir ends"), "{}", weir.log());
    assert_eq!(weir.log().lines().filter(|line| line.contains("drain ended")).count(), 1);
    Ok(())
}

#[test]
fn half_requests_do_not_keep_others_from_asking() -> Result<()> {
    let weir = primary_only().start(WEIR)?;
    let half = || -> Result<TcpStream> {
        let mut stream = TcpStream::connect(("127.0.0.1", weir.metrics_port()))?;
        stream.write_all(b"GET /heal")?;
        Ok(stream)
    };
    let _silent: Vec<TcpStream> = (0..100).map(|_| half()).collect::<Result<_>>()?;
    let begun = Instant::now();
    assert!(weir.get("/healthz")?.starts_with("HTTP/1.1 200"));
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    Ok(())
}

/// A soft limit of descriptors is raised to the hard one.
#[test]
fn weir_takes_the_descriptors_that_it_may_have() -> Result<()> {
    let script = Script::new("ulimit -Sn 64; exec WEIR");
    let weir = primary_only().start(script.path())?;
    let limits = fs::read_to_string(format!("/proc/{}/limits", weir.pid()))?;
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let [soft, hard] = [3, 4].map(|n| line.split_whitespace().nth(n).unwrap());
    assert_eq!(soft, hard);
    Ok(())
}

#[test]
fn who_finds_no_descriptor_is_told_so() -> Result<()> {
    let script = Script::new("ulimit -n 128; exec WEIR");
    let weir = primary_only().set("listen", "client_limit", "1000").start(script.path())?;
    assert!(weir.log().contains("client_limit"), "{}", weir.log());
    let mut clients = Vec::new();
    let refused = loop {
        match quick(&weir) {
            Ok(client) => clients.push(client),
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused.sqlstate(), Some("53300"), "{refused}");
    assert!(clients.len() >= 60, "{}", clients.len());
    // There is a connection to a server for them, which the first keeps.
    clients[0].query("BEGIN; SELECT now()")?;
    // Those that say nothing take what is left, and still nobody waits for an answer.
    let address = ("127.0.0.1", weir.port());
    let silent: Vec<TcpStream> =
        (0..100).map(|_| TcpStream::connect(address)).collect::<std::io::Result<_>>()?;
    let begun = Instant::now();
    let refused = quick(&weir).unwrap_err();
    assert_eq!(refused.sqlstate(), Some("53300"), "{refused}");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    // Another may not be had now. That says nothing of the server.
    let _ = clients[1].query("SELECT 1");
    clients[0].query("SELECT 1")?;
    drop((silent, clients));
    wait_for("a place to come free", PATIENCE, || Ok(quick(&weir).ok()))?;
    assert!(!weir.log().contains("server is down"), "{}", weir.log());
    Ok(())
}

/// What weir has computed so far.
fn computed(weir: &Weir) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", weir.pid()))?;
    // Behind the name, which may hold anything: hundredths of a second in the user's and the system's name.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
    Ok(Duration::from_millis(ticks.map(std::result::Result::unwrap).sum::<u64>() * 10))
}

/// Clients that say nothing have all descriptors, those of the reserve included, and another knocks.
#[test]
fn without_a_descriptor_weir_waits_for_one_at_rest() -> Result<()> {
    let script = Script::new("ulimit -n 128; exec WEIR");
    let weir = primary_only().set("listen", "client_limit", "1000").start(script.path())?;
    let address = ("127.0.0.1", weir.port());
    let silent: Vec<TcpStream> =
        (0..200).map(|_| TcpStream::connect(address)).collect::<std::io::Result<_>>()?;
    wait_for("descriptors to run out", PATIENCE, || {
        Ok((fs::read_dir(format!("/proc/{}/fd", weir.pid()))?.count() >= 128).then_some(()))
    })?;
    let before = computed(&weir)?;
    thread::sleep(Duration::from_secs(1));
    let spent = computed(&weir)?.saturating_sub(before);
    assert!(spent < Duration::from_millis(300), "{spent:?} in a second");
    drop(silent);
    wait_for("a place to come free", PATIENCE, || Ok(quick(&weir).ok()))?;
    Ok(())
}

fn status_of(weir: &Weir, path: &str) -> Result<String> {
    let answer = weir.get(path)?;
    Ok(answer.split_whitespace().nth(1).unwrap_or_default().to_owned())
}

fn wait_status(weir: &Weir, path: &str, expected: &str) -> Result<()> {
    wait_for(&format!("{path} to be {expected}"), PATIENCE, || {
        Ok((status_of(weir, path)? == expected).then_some(()))
    })
}

#[test]
fn readiness_tells_reading_from_writing_and_knows_of_the_drain() -> Result<()> {
    let cluster = Cluster::with(Options::new(1))?;
    let mut weir = WeirSetup::in_front_of(&cluster, 0..2).at_any_age().start(WEIR)?;
    for (path, expected) in [
        ("/readyz", "200"),
        ("/readyz?mode=write", "200"),
        ("/readyz?mode=read", "200"),
        ("/readyz?mode=both", "400"),
        ("/readyz?mode", "400"),
        ("/readyz?node=read", "400"),
    ] {
        wait_status(&weir, path, expected)?;
    }
    wait_for("the replica's lag to be known", PATIENCE, || {
        let status = weir.get("/status")?;
        let line =
            status.lines().find(|line| line.starts_with("server replica1 replica up")).map(str::to_owned);
        Ok(line.filter(|line| line.contains("bytes") && line.contains("ms")))
    })?;
    assert!(weir.get("/status")?.contains("state running\n"), "{}", weir.get("/status")?);

    let mut client = weir.connect()?;
    client.query("BEGIN READ ONLY")?;
    client.query("SELECT now()")?;
    cluster.stop(0, Stop::Immediate)?;
    wait_status(&weir, "/readyz", "503")?;
    wait_status(&weir, "/readyz?mode=write", "503")?;
    wait_status(&weir, "/readyz?mode=read", "200")?;
    let status = weir.get("/status")?;
    let line = status.lines().find(|line| line.starts_with("server primary primary down")).expect(&status);
    assert!(line.contains(": "), "{status}");

    weir.ask_to_stop()?;
    wait_status(&weir, "/readyz?mode=read", "503")?;
    assert!(weir.get("/readyz?mode=read")?.ends_with("draining\n"));
    assert!(weir.get("/status")?.contains("state draining\n"), "{}", weir.get("/status")?);
    assert!(weir.get("/healthz")?.starts_with("HTTP/1.1 200"));
    client.query("COMMIT")?;
    wait_for("weir to end", PATIENCE, || Ok(weir.exit_status()))?;
    Ok(())
}

/// Processes of a server that run a statement with these words.
fn running(cluster: &Cluster, words: &str) -> Result<String> {
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%{words}%' \
         AND pid <> pg_backend_pid()"
    );
    Ok(cluster.sql(0, &sql)?.value().to_owned())
}

/// How a client goes: it closes its socket, or takes its leave first.
#[derive(Clone, Copy, Debug)]
enum Farewell {
    None,
    Terminate,
}

/// Sixteen clients that send this, and are gone once the servers run it.
fn abandon(weir: &Weir, words: &str, before: &[&str], sent: &[Vec<u8>], farewell: Farewell) -> Result<()> {
    let cluster = Cluster::shared();
    let mut clients: Vec<Client> = (0..16).map(|_| quick(weir)).collect::<Result<_>>()?;
    for client in &mut clients {
        before.iter().try_for_each(|sql| client.query(sql).map(drop))?;
        client.send(sent)?;
    }
    wait_for("all to run", PATIENCE, || Ok((running(cluster, words)? == "16").then_some(())))?;
    if let Farewell::Terminate = farewell {
        clients.iter_mut().try_for_each(|client| client.send(&[front::terminate()]))?;
    }
    Ok(())
}

/// Whatever became of their connections: what they have asked for runs no longer, and nobody else is hit by that.
#[test]
fn what_nobody_waits_for_is_cancelled() -> Result<()> {
    let cluster = Cluster::shared();
    cluster.sql(
        0,
        "SET ROLE app; CREATE TABLE forsaken (by text); \
         CREATE FUNCTION sleeps() RETURNS void LANGUAGE sql AS 'SELECT pg_sleep(20)'",
    )?;
    let weir = primary_only().set("pool", "size", "16").start(WEIR)?;
    let batch = |sql: &str| {
        [front::parse("", sql, &[]), front::bind("", "", &[]), front::execute("", 0), front::sync()].concat()
    };
    let slow = |name: &str| format!("SELECT 'gone {name}', pg_sleep(20)");
    for (name, before, sent) in [
        ("alone", vec![], vec![front::query(slow("alone"))]),
        ("batch", vec![], vec![batch(&slow("batch"))]),
        ("block", vec!["BEGIN; SELECT now()"], vec![front::query(slow("block"))]),
        ("writes", vec!["BEGIN", "INSERT INTO forsaken VALUES ('writes')"], vec![batch(&slow("writes"))]),
        ("several", vec![], vec![front::query(slow("several")), front::query(slow("several"))]),
        ("calls", vec!["BEGIN"], vec![front::query("SELECT 'gone calls', sleeps() FROM (SELECT 1) one")]),
    ] {
        for farewell in [Farewell::None, Farewell::Terminate] {
            let words = format!("gone {name}");
            abandon(&weir, &words, &before, &sent, farewell)?;
            let begun = Instant::now();
            wait_for("none to run", PATIENCE, || Ok((running(cluster, &words)? == "0").then_some(())))?;
            assert!(begun.elapsed() < Duration::from_secs(2), "{name} {farewell:?}: {:?}", begun.elapsed());
            // The connections are there for others.
            let mut next: Vec<Client> = (0..16).map(|_| quick(&weir)).collect::<Result<_>>()?;
            next.iter_mut().try_for_each(|client| client.query("SELECT pg_sleep(0.02)").map(drop))?;
        }
    }
    assert_eq!(weir.metrics()?.sum("weir_connection_resets_total", &[("how", "closed")]), 0.0);
    assert_eq!(cluster.sql(0, "SELECT count(*) FROM forsaken")?.value(), "0");
    Ok(())
}

/// What may write, or tells others something, is run to its end, as PostgreSQL runs it.
#[test]
fn what_may_be_committed_is_not_cancelled() -> Result<()> {
    let cluster = Cluster::shared();
    cluster.sql(
        0,
        "SET ROLE app; CREATE TABLE committed (by text); CREATE SEQUENCE drawn; \
         CREATE FUNCTION notes(by text) RETURNS void LANGUAGE sql \
         AS 'SELECT pg_sleep(1); INSERT INTO committed VALUES (by)'",
    )?;
    let weir = primary_only().set("pool", "size", "16").start(WEIR)?;
    let rows = |by: &str| cluster.sql(0, &format!("SELECT count(*) FROM committed WHERE by = '{by}'"));
    for (name, before, sql) in [
        ("insert", vec![], "INSERT INTO committed SELECT 'kept insert' FROM pg_sleep(1)"),
        ("function", vec![], "SELECT notes('kept function')"),
        (
            "commit",
            vec!["BEGIN", "INSERT INTO committed VALUES ('kept commit')"],
            "SELECT pg_sleep(1) /* kept commit */; COMMIT",
        ),
        (
            "rollback",
            vec!["BEGIN; SELECT now()"],
            "ROLLBACK; INSERT INTO committed SELECT 'kept rollback' FROM pg_sleep(1)",
        ),
        ("sequence", vec![], "SELECT nextval('drawn') FROM pg_sleep(1) /* kept sequence */"),
    ] {
        for (turn, farewell) in [Farewell::None, Farewell::Terminate].into_iter().enumerate() {
            let words = format!("kept {name}");
            abandon(&weir, &words, &before, &[front::query(sql)], farewell)?;
            wait_for("none to run", PATIENCE, || Ok((running(cluster, &words)? == "0").then_some(())))?;
            let expected = (16 * (turn + 1)).to_string();
            if name == "sequence" {
                assert_eq!(cluster.sql(0, "SELECT last_value FROM drawn")?.value(), expected, "{farewell:?}");
            } else {
                assert_eq!(rows(&words)?.value(), expected, "{name} {farewell:?}");
            }
        }
    }
    Ok(())
}
