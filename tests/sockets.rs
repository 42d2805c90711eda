//! Where clients connect: Unix sockets, several addresses, both families, a port that two weirs share. With libpq as the
//! client where it has a say in the matter.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use harness::client::{Address, Client, Login, front};
use harness::{Cluster, Issued, Postgres, Result, Weir, WeirSetup, free_port, wait_for};
use rustix::process::{Pid, Signal, kill_process};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A user who logs in without a password: many logins should not be what a test spends its time with.
const QUICK: &str =
    "[[users]]\nname = \"quick\"\nauth = \"trust\"\nserver_user = \"app\"\nserver_password = \"app\"\n";

/// A directory for sockets, and a port that names them.
struct Place {
    directory: PathBuf,
    port: u16,
}

impl Place {
    fn new() -> Result<Self> {
        let port = free_port()?;
        let directory = std::env::temp_dir().join(format!("weir-sockets-{}-{port}", std::process::id()));
        fs::create_dir(&directory)?;
        Ok(Self { directory, port })
    }

    fn socket(&self) -> PathBuf {
        self.directory.join(format!(".s.PGSQL.{}", self.port))
    }

    fn lock(&self) -> PathBuf {
        self.directory.join(format!(".s.PGSQL.{}.lock", self.port))
    }

    fn address(&self) -> Address {
        Address::Unix(self.socket())
    }

    /// weir with a listener here, in front of the primary alone.
    fn setup(&self, more: &str) -> WeirSetup {
        let (directory, port) = (self.directory.display(), self.port);
        WeirSetup::in_front_of(Cluster::shared(), [0]).append(QUICK).append(&format!(
            "[[listeners]]\naddress = \"127.0.0.1:{port}\"\nunix_socket = \"{directory}\"\n{more}"
        ))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What cannot be removed is in the directory for such things.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// What psql says to one statement.
fn psql(host: impl AsRef<Path>, port: u16, sql: &str) -> Result<String> {
    let mut command = Command::new(Postgres::locate()?.program("psql")?);
    command.args(["-X", "-A", "-t", "-U", "app", "-d", "app", "-c", sql, "-h"]).arg(host.as_ref());
    let output = command.args(["-p", &port.to_string()]).env("PGPASSWORD", "app").output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

fn quick(address: &Address) -> Result<Client> {
    Client::connect(address, &Login::new("quick", "").database("app"))
}

fn kill(weir: &Weir) {
    let pid = Pid::from_raw(i32::try_from(weir.pid()).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
}

#[test]
fn libpq_finds_weir_in_a_directory() -> Result<()> {
    let place = Place::new()?;
    let group = rustix::process::getgid().as_raw();
    let more = format!("unix_socket_mode = \"0770\"\nunix_socket_group = \"{group}\"\n");
    let mut weir = place.setup(&more).start(WEIR)?;
    assert_eq!(psql(&place.directory, place.port, "SELECT 'by socket'")?, "by socket");
    let found = fs::metadata(place.socket())?;
    assert_eq!((found.mode() & 0o777, found.gid()), (0o770, group));
    // The kernel tells who connects, and the log whose lines are whose.
    let uid = rustix::process::getuid().as_raw();
    let client = Client::connect(&place.address(), &Login::new("app", "app"))?;
    let line = format!("address=unix:pid={},uid={uid}", std::process::id());
    wait_for("the client's line in the log", PATIENCE, || Ok(weir.log().contains(&line).then_some(())))?;
    drop(client);
    weir.terminate()?;
    assert!(!place.socket().exists() && !place.lock().exists(), "{}", weir.log());
    Ok(())
}

/// By the socket the kernel says who comes, and the files say whom he may be.
#[test]
fn the_systems_user_is_proof_enough_where_the_files_say_so() -> Result<()> {
    let place = Place::new()?;
    let (hba, ident) = (place.directory.join("hba"), place.directory.join("ident"));
    fs::write(&hba, "local all app,app_md5 peer map=weir\nhost all all 127.0.0.1/32 scram-sha-256\n")?;
    let ourselves = rustix::process::getuid().as_raw();
    let passwd = fs::read_to_string("/etc/passwd")?;
    let name = passwd.lines().find(|line| line.split(':').nth(2) == Some(&*ourselves.to_string()));
    let name = name.and_then(|line| line.split(':').next()).unwrap();
    fs::write(&ident, format!("weir {name} app\n"))?;
    let setup = place.setup("").set("auth", "hba_file", &format!("{hba:?}"));
    let _weir = setup.set("auth", "ident_file", &format!("{ident:?}")).start(WEIR)?;
    // No password is asked for, and this one is wrong.
    let come = |user: &str| Client::connect(&place.address(), &Login::new(user, "wrong").database("app"));
    assert_eq!(come("app")?.query("SELECT current_user")?.value(), "app");
    let refused = come("app_md5").unwrap_err();
    assert_eq!(refused.sqlstate(), Some("28000"), "{refused}");
    assert!(refused.to_string().contains("Peer authentication failed for user \"app_md5\""), "{refused}");
    let refused = come("postgres").unwrap_err();
    let words = "no pg_hba.conf entry for host \"[local]\", user \"postgres\", database \"app\"";
    assert!(refused.to_string().contains(words), "{refused}");
    Ok(())
}

/// Nobody listens in to a Unix socket: where all others must have TLS, its clients have none, as at PostgreSQL.
#[test]
fn who_comes_by_the_socket_needs_no_tls() -> Result<()> {
    let place = Place::new()?;
    let (certificate_file, key_file) = Issued::by_itself(&["localhost"]).write(&place.directory, "weir")?;
    let more = format!("tls = \"require\"\ntls_certificate = {certificate_file:?}\ntls_key = {key_file:?}\n");
    let _weir = place.setup(&more).start(WEIR)?;
    assert_eq!(psql(&place.directory, place.port, "SELECT 'by socket'")?, "by socket");
    assert_eq!(psql("localhost", place.port, "SELECT 'by TCP'")?, "by TCP");
    let without = Client::connect(&Address::local(place.port), &Login::new("app", "app")).unwrap_err();
    assert_eq!(without.sqlstate(), Some("28000"), "{without}");
    Ok(())
}

#[test]
fn libpq_finds_weir_by_a_name_in_no_directory() -> Result<()> {
    let (port, name) = (free_port()?, format!("@weir-sockets-{}", std::process::id()));
    let more = format!("[[listeners]]\naddress = \"127.0.0.1:{port}\"\nunix_socket = \"{name}\"\n");
    let _weir = WeirSetup::in_front_of(Cluster::shared(), [0]).append(&more).start(WEIR)?;
    assert_eq!(psql(&name, port, "SELECT 'by name'")?, "by name");
    Ok(())
}

#[test]
fn a_cancel_request_comes_by_the_socket() -> Result<()> {
    let place = Place::new()?;
    let weir = place.setup("").start(WEIR)?;
    let mut client = Client::connect(&place.address(), &Login::new("app", "app"))?;
    client.send(&[front::query("SELECT pg_sleep(60), 'by socket'")])?;
    let runs = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%by socket%' \
                AND pid <> pg_backend_pid()";
    wait_for("the statement to run", PATIENCE, || {
        Ok((Cluster::shared().sql(0, runs)?.value() == "1").then_some(()))
    })?;
    client.cancel()?;
    let heard = client.until_ready()?;
    assert!(heard.iter().any(|message| message.error().is_some_and(|error| error.sqlstate() == "57014")));
    assert_eq!(weir.metrics()?.sum("weir_cancels_total", &[("result", "forwarded")]), 1.0);
    Ok(())
}

/// A large value, and a pipeline of which nothing is read before all of it is written: the socket's buffers are small.
#[test]
fn much_passes_by_the_socket() -> Result<()> {
    let place = Place::new()?;
    let _weir = place.setup("").start(WEIR)?;
    let mut client = quick(&place.address())?;
    let answer = client.query("SELECT repeat('x', 30000000)")?;
    assert_eq!(answer.value().len(), 30_000_000);
    let value = "y".repeat(3_000_000);
    assert_eq!(client.query(&format!("SELECT length('{value}')"))?.value(), "3000000");
    let requests: Vec<Vec<u8>> = (0..1000)
        .flat_map(|number| {
            [
                front::parse("", format!("SELECT {number}"), &[]),
                front::bind("", "", &[]),
                front::execute("", 0),
            ]
        })
        .chain([front::sync()])
        .collect();
    let heard = client.ask(&requests)?;
    assert_eq!(heard.iter().filter(|message| message.tag == b'D').count(), 1000);
    Ok(())
}

#[test]
fn a_living_weirs_socket_is_left_to_it_and_a_dead_ones_is_taken() -> Result<()> {
    let place = Place::new()?;
    let first = place.setup("reuse_port = true").start(WEIR)?;
    let mut second = place.setup("reuse_port = true").start_unready(WEIR)?;
    let ended = wait_for("the second weir to end", PATIENCE, || Ok(second.exit_status()))?;
    assert_eq!(ended.code(), Some(1));
    let words = format!("cannot listen on {}: another weir listens at it", place.socket().display());
    assert!(second.log().contains(&words), "{}", second.log());
    assert_eq!(psql(&place.directory, place.port, "SELECT 1")?, "1");
    kill(&first);
    wait_for("the first weir to end", PATIENCE, || {
        Ok(UnixStream::connect(place.socket()).is_err().then_some(()))
    })?;
    assert!(place.socket().exists() && place.lock().exists());
    drop(first);
    let third = place.setup("").start(WEIR)?;
    assert_eq!(psql(&place.directory, place.port, "SELECT 1")?, "1");
    assert_eq!(fs::read_to_string(place.lock())?.lines().next(), Some(&*third.pid().to_string()));
    Ok(())
}

/// PostgreSQL keeps away from weir's socket, and weir from PostgreSQL's.
#[test]
fn postgresql_and_weir_do_not_take_each_others_sockets() -> Result<()> {
    let cluster = Cluster::shared();
    let theirs = cluster.directory().to_owned();
    let (port, own) = (cluster.port(0), free_port()?);
    let socket = theirs.join(format!(".s.PGSQL.{port}"));
    assert!(socket.exists(), "{} is not there", socket.display());
    let setup = WeirSetup::in_front_of(cluster, [0]).append(&format!(
        "[[listeners]]\naddress = [\"[::1]:{port}\", \"127.0.0.1:{own}\"]\nunix_socket = \"{}\"\n",
        theirs.display()
    ));
    let mut weir = setup.start_unready(WEIR)?;
    let ended = wait_for("weir to end", PATIENCE, || Ok(weir.exit_status()))?;
    assert_eq!(ended.code(), Some(1));
    assert!(weir.log().contains("by its lock file it belongs to process"), "{}", weir.log());
    assert_eq!(psql(&theirs, port, "SELECT 1")?, "1");
    Ok(())
}

#[test]
fn who_finds_no_descriptor_is_told_so_by_the_socket() -> Result<()> {
    let place = Place::new()?;
    let script = place.directory.join("weir");
    fs::write(&script, format!("#!/bin/sh\nulimit -n 200; exec {WEIR} \"$@\"\n"))?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    let weir = place.setup("").set("listen", "client_limit", "1000").start(&script)?;
    let mut clients = Vec::new();
    let refused = loop {
        match quick(&place.address()) {
            Ok(client) => clients.push(client),
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused.sqlstate(), Some("53300"), "{refused}");
    assert!(clients.len() >= 60, "{}", clients.len());
    let silent: Vec<UnixStream> =
        (0..150).map(|_| UnixStream::connect(place.socket())).collect::<std::io::Result<_>>()?;
    let begun = Instant::now();
    let refused = quick(&place.address()).unwrap_err();
    assert_eq!(refused.sqlstate(), Some("53300"), "{refused}");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    drop((silent, clients));
    wait_for("a place to come free", PATIENCE, || Ok(quick(&place.address()).ok()))?;
    drop(weir);
    Ok(())
}

#[test]
fn one_listener_has_several_addresses() -> Result<()> {
    let (several, every) = (free_port()?, free_port()?);
    let more = format!(
        "[[listeners]]\naddress = [\"0.0.0.0:{several}\", \"[::]:{several}\"]\ntarget = \"primary\"\n\
         [[listeners]]\naddress = \"*:{every}\"\n"
    );
    let weir = WeirSetup::in_front_of(Cluster::shared(), [0]).append(&more).start(WEIR)?;
    for (host, port) in [("127.0.0.1", several), ("::1", several), ("127.0.0.1", every), ("::1", every)] {
        assert_eq!(
            psql(host, port, &format!("SELECT 'to {port} of {host}'"))?,
            format!("to {port} of {host}")
        );
    }
    // Who comes by IPv4 to a socket of both families is known by his IPv4 address.
    assert!(!weir.log().contains("::ffff:"), "{}", weir.log());
    Ok(())
}

/// As when a new weir takes the place of an old one: while both are there, each has clients.
#[test]
fn two_weirs_share_a_port() -> Result<()> {
    let port = free_port()?;
    let setup = || {
        WeirSetup::in_front_of(Cluster::shared(), [0])
            .append(QUICK)
            .append(&format!("[[listeners]]\naddress = \"127.0.0.1:{port}\"\nreuse_port = true\n"))
    };
    let (mut old, new) = (setup().start(WEIR)?, setup().start(WEIR)?);
    let came =
        |weir: &Weir| Ok::<_, harness::Failure>(weir.metrics()?.sum("weir_client_connections_total", &[]));
    let mut clients = Vec::new();
    while came(&old)? == 0.0 || came(&new)? == 0.0 {
        clients.push(quick(&Address::local(port))?);
        assert!(clients.len() < 200, "all came to one of them");
    }
    for client in &mut clients {
        client.query("SELECT 1")?;
    }
    drop(clients);
    old.terminate()?;
    let before = came(&new)?;
    for _ in 0..10 {
        quick(&Address::local(port))?.query("SELECT 1")?;
    }
    assert_eq!(came(&new)? - before, 10.0);
    Ok(())
}
