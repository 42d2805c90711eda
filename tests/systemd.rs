//! What systemd and weir say to each other: sockets that are handed over, and the words of `Type=notify`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use harness::client::{Address, Client, Login};
use harness::{Cluster, Result, WeirSetup};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A directory that goes with this.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("weir-systemd-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// A socket as systemd listens at, and what has been said to it.
struct Supervisor {
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl Supervisor {
    fn at(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, heard: Vec::new() }
    }

    /// The next message in which this is a line.
    fn hears(&mut self, line: impl Fn(&str) -> bool) -> String {
        loop {
            let mut message = [0; 4096];
            let told = self.socket.recv(&mut message);
            let length = told.unwrap_or_else(|error| panic!("{error}; heard so far: {:?}", self.heard));
            let message = String::from_utf8(message[..length].to_vec()).unwrap();
            self.heard.push(message.clone());
            if message.lines().any(&line) {
                return message;
            }
        }
    }
}

fn number(message: &str, name: &str) -> u64 {
    let value = message.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    value.unwrap_or_else(|| panic!("no {name} in {message:?}")).parse().unwrap()
}

#[test]
fn systemd_is_told_what_weir_does() -> Result<()> {
    let directory = Directory::new("notify");
    let path = directory.file("notify");
    let mut systemd = Supervisor::at(&path);
    let setup = WeirSetup::in_front_of(Cluster::shared(), [0])
        .set("listen", "drain_timeout", "\"100s\"")
        .environment("NOTIFY_SOCKET", path.to_str().unwrap())
        .environment("WATCHDOG_USEC", "200000");
    let mut weir = setup.start(WEIR)?;
    systemd.hears(|line| line == "READY=1");
    systemd.hears(|line| line.starts_with("STATUS=primary "));
    systemd.hears(|line| line == "WATCHDOG=1");
    systemd.hears(|line| line == "WATCHDOG=1");

    let reload = Command::new(WEIR).arg("reload").arg("--config").arg(weir.config()).output()?;
    assert!(reload.status.success(), "{reload:?}");
    let began = systemd.hears(|line| line == "RELOADING=1");
    assert!(number(&began, "MONOTONIC_USEC") > 0);
    systemd.hears(|line| line == "READY=1");

    weir.ask_to_stop()?;
    let ends = systemd.hears(|line| line == "STOPPING=1");
    assert!(number(&ends, "EXTEND_TIMEOUT_USEC") >= 100_000_000);
    assert!(weir.terminate()?.success());
    Ok(())
}

#[test]
fn a_supervisor_that_is_not_there_stops_nobody() -> Result<()> {
    let setup = WeirSetup::in_front_of(Cluster::shared(), [0]);
    let weir = setup.environment("NOTIFY_SOCKET", "/nowhere/at/all").start(WEIR)?;
    weir.connect()?.query("SELECT 1")?;
    Ok(())
}

/// A program that is stopped with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn weir_serves_at_the_sockets_that_it_is_given() -> Result<()> {
    let directory = Directory::new("sockets");
    let tcp = TcpListener::bind("127.0.0.1:0")?;
    let port = tcp.local_addr()?.port();
    let (config, path) = (directory.file("proxy.toml"), directory.file(&format!(".s.PGSQL.{port}")));
    let unix = UnixListener::bind(&path)?;
    let setup = WeirSetup::in_front_of(Cluster::shared(), [0])
        .set("listen", "address", &format!("\"127.0.0.1:{port}\""))
        .set("listen", "unix_socket", &format!("{:?}", directory.0));
    fs::write(&config, setup.text())?;
    // Whoever comes before weir does waits. It knows that its turn has come when it is answered.
    let early = std::thread::spawn(move || Client::connect(&Address::local(port), &Login::new("app", "app")));
    let start = "exec 3<&0 4<&1 0</dev/null 1>/dev/null
        LISTEN_FDS=2 LISTEN_PID=$$ exec \"$0\" run --config \"$1\"";
    let mut command = Command::new("sh");
    command.args(["-c", start, WEIR]).arg(&config).stderr(Stdio::null());
    command.stdin(Stdio::from(OwnedFd::from(tcp))).stdout(Stdio::from(OwnedFd::from(unix)));
    let _weir = Running(command.spawn()?);
    drop(command);
    early.join().unwrap()?.query("SELECT 1")?;
    let address = Address::Unix(path);
    Client::connect(&address, &Login::new("app", "app"))?.query("SELECT 1")?;
    Ok(())
}

/// Both units are what systemd takes, where it is there to say so.
#[test]
fn the_units_are_right() {
    let directory = Directory::new("units");
    let mut units = Vec::new();
    for name in ["weir.service", "weir.socket"] {
        let unit = fs::read_to_string(format!("{}/deploy/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let path = directory.file(name);
        // The program need not be installed here.
        fs::write(&path, unit.replace("/usr/local/bin/weir", WEIR)).unwrap();
        units.push(path);
    }
    let verified = Command::new("systemd-analyze").args(["verify", "--man=no"]).args(&units).output();
    let Ok(verified) = verified else {
        return eprintln!("not looked at: there is no systemd-analyze here");
    };
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    let ours: Vec<_> = said.lines().filter(|line| line.contains("weir.s")).collect();
    assert!(ours.is_empty(), "{said}");
}
