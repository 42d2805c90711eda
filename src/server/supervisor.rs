//! What whoever supervises the process is told of it, in systemd's words (sd_notify(3)): that it serves, reads its
//! configuration anew, ends, lives, and how things stand. Without `NOTIFY_SOCKET` nobody is told anything.
//!
//! It decides nothing. What cannot be told is not told again: a supervisor that does not listen must not hold weir up.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram as StdDatagram};
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::net::UnixDatagram;
use tokio::time::{MissedTickBehavior, interval};

use crate::cluster::topology::{Role, Topology};
use crate::session::Shared;

/// What the environment says of the supervisor.
#[derive(Debug, Default)]
pub struct Supervision {
    /// `NOTIFY_SOCKET`: a path, or a name in no directory behind `@`.
    pub socket: Option<OsString>,
    /// `WATCHDOG_USEC`.
    pub watchdog: Option<Duration>,
}

impl Supervision {
    /// As it stands in the environment of this process.
    pub fn of_environment() -> Self {
        // Not only where WATCHDOG_PID names this process: after a takeover it names the one before, and whoever is not meant
        // is not heard.
        let usec = std::env::var("WATCHDOG_USEC").ok().and_then(|text| text.parse::<u64>().ok());
        let watchdog = usec.filter(|usec| *usec > 0);
        Self { socket: std::env::var_os("NOTIFY_SOCKET"), watchdog: watchdog.map(Duration::from_micros) }
    }
}

/// The supervisor, if there is one.
#[derive(Debug, Default)]
pub(super) struct Supervisor {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// Must be called within a runtime.
    pub(super) fn new(supervision: &Supervision) -> Arc<Self> {
        let connected = supervision.socket.as_deref().map(connect).transpose();
        let socket = connected.map_err(
            |error| tracing::warn!(%error, "NOTIFY_SOCKET cannot be reached: systemd is told nothing"),
        );
        Arc::new(Self { socket: socket.unwrap_or_default(), watchdog: supervision.watchdog })
    }

    /// weir serves.
    pub(super) async fn is_ready(&self) {
        self.tell("READY=1\n").await;
    }

    /// The configuration is about to be read anew; `is_ready` follows.
    pub(super) async fn reloads(&self) {
        // Behind this instant READY=1 counts for this reload (Type=notify-reload).
        let now = clock_gettime(ClockId::Monotonic);
        let usec = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={usec}\n")).await;
    }

    /// Another process serves in this one's place, and says so itself from now on.
    pub(super) async fn is_succeeded_by(&self, pid: Option<i32>) {
        if let Some(pid) = pid {
            self.tell(&format!("MAINPID={pid}\n")).await;
        }
    }

    /// weir ends, which may take so long.
    pub(super) async fn stops(&self, within: Duration) {
        let usec = within.as_micros();
        self.tell(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={usec}\nSTATUS=draining\n")).await;
    }

    /// Says again and again that weir lives, as often as is asked for, for ever. What says so runs as sessions do, and behind
    /// those that are ready by then: where the runtime does not turn, nothing is said.
    pub(super) async fn feed_watchdog(self: Arc<Self>) {
        let Some(watchdog) = self.watchdog else { return };
        let mut due = interval(watchdog / 2);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            due.tick().await;
            // Through the queue that all threads share.
            let turned = tokio::spawn(tokio::task::yield_now()).await;
            if turned.is_ok() {
                self.tell("WATCHDOG=1\n").await;
            }
        }
    }

    /// Says how the servers stand, whenever that has changed, for ever.
    pub(super) async fn tell_status(self: Arc<Self>, shared: Arc<Shared>) {
        let (mut changes, mut before) = (shared.cluster.changes(), String::new());
        loop {
            let now = status(&shared.cluster.topology());
            if now != before {
                self.tell(&format!("STATUS={now}\n")).await;
                before = now;
            }
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    async fn tell(&self, words: &str) {
        let Some(socket) = &self.socket else { return };
        if let Err(error) = socket.send(words.as_bytes()).await {
            tracing::debug!(%error, "systemd was not told");
        }
    }
}

fn connect(name: &OsStr) -> io::Result<UnixDatagram> {
    let socket = StdDatagram::unbound()?;
    match name.as_bytes().strip_prefix(b"@") {
        Some(name) => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
        None => socket.connect(name)?,
    }
    socket.set_nonblocking(true)?;
    UnixDatagram::from_std(socket)
}

/// How the servers stand, in a line for people.
fn status(topology: &Topology) -> String {
    let replicas = topology.servers.iter().filter(|server| server.role == Role::Replica).count();
    let usable = topology.replicas().count();
    match topology.writable() {
        Some(primary) => format!("primary {}, {usable} of {replicas} replicas up", one_line(&primary.name)),
        None => format!("no primary, {usable} of {replicas} replicas up"),
    }
}

fn one_line(name: &str) -> String {
    name.replace(char::is_control, " ")
}
