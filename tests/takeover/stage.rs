//! One weir that runs, and others that take over from it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use harness::client::{Client, Message, front};
use harness::{Cluster, Daemon, Result, Weir, wait_for};

pub(crate) const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// How long anything that is waited for may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

static NUMBER: AtomicUsize = AtomicUsize::new(0);

/// A weir that takes over.
pub(crate) struct Successor {
    daemon: Daemon,
    log: PathBuf,
}

impl Drop for Successor {
    fn drop(&mut self) {
        drop(self.daemon.terminate());
        drop(fs::remove_file(&self.log));
    }
}

impl Successor {
    /// Begins to take over from the one that runs with this configuration.
    pub(crate) fn begin(config: &Path) -> Result<Self> {
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        let log = std::env::temp_dir().join(format!("weir-takeover-{}-{number}.log", std::process::id()));
        let mut command = Command::new(WEIR);
        command.args(["run", "--takeover", "--config"]).arg(config);
        Ok(Self { daemon: Daemon::start(&mut command, &log)?, log })
    }

    /// The same, and waits until it serves in the place of the other.
    pub(crate) fn of(weir: &Weir) -> Result<Self> {
        let mut successor = Self::begin(weir.config())?;
        wait_for("the sockets to be handed over", PATIENCE, || {
            assert!(successor.daemon.exit_status().is_none(), "{}\n{}", successor.log(), weir.log());
            // It says so when it has been let in, whatever the other still has.
            Ok((says(&successor.log(), "weir is running") && !listens(weir)).then_some(()))
        })?;
        Ok(successor)
    }

    pub(crate) fn log(&self) -> String {
        self.daemon.log()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    /// How it ends.
    pub(crate) fn ends(&mut self) -> Result<ExitStatus> {
        wait_for("it to end", PATIENCE, || Ok(self.daemon.exit_status()))
    }
}

pub(crate) fn says(log: &str, what: &str) -> bool {
    log.lines().any(|line| line.contains(what))
}

/// Whether a weir still listens for clients, as /proc tells: a socket at its port in the state LISTEN, among its descriptors.
fn listens(weir: &Weir) -> bool {
    let port = format!(":{:04X}", weir.port());
    let table = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let inodes = table.lines().filter_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let is_it = fields.get(1)?.ends_with(&port) && *fields.get(3)? == "0A";
        is_it.then(|| format!("socket:[{}]", fields[9]))
    });
    let inodes: Vec<_> = inodes.collect();
    let Ok(descriptors) = fs::read_dir(format!("/proc/{}/fd", weir.pid())) else { return false };
    descriptors.flatten().any(|one| {
        fs::read_link(one.path()).is_ok_and(|to| inodes.iter().any(|inode| to.to_string_lossy() == **inode))
    })
}

/// Waits until the one that was relieved has ended, and well.
pub(crate) fn wait_end(weir: &mut Weir) -> Result<()> {
    let status = wait_for("the weir before to end", PATIENCE, || Ok(weir.exit_status()));
    let status = status.unwrap_or_else(|failure| panic!("{failure}\n{}", weir.log()));
    assert!(status.success(), "{status}\n{}", weir.log());
    Ok(())
}

/// A client that has a setting and a statement of its own.
pub(crate) fn furnish(client: &mut Client, number: usize) -> Result<()> {
    client.query(&format!("SET timezone = 'Etc/GMT-{}'", number % 12 + 1))?;
    client.query(&format!("SET application_name = 'client {number}'"))?;
    let text = format!("SELECT $1::int + {number}");
    let heard =
        client.ask(&[front::parse("own", text, &[]), front::describe_statement("own"), front::sync()])?;
    assert!(heard.iter().all(|message| message.error().is_none()), "{heard:?}");
    Ok(())
}

/// It has all that it had.
pub(crate) fn is_furnished(client: &mut Client, number: usize) -> Result<()> {
    let heard =
        client.ask(&[front::bind("", "own", &[Some(b"1000000")]), front::execute("", 0), front::sync()])?;
    assert_eq!(value(&heard), (1_000_000 + number).to_string(), "{heard:?}");
    let timezone = format!("Etc/GMT-{}", number % 12 + 1);
    assert_eq!(client.query("SHOW timezone")?.value(), timezone);
    assert_eq!(client.query("SHOW application_name")?.value(), format!("client {number}"));
    let pid = client.key().unwrap().pid;
    assert_eq!(client.query("SELECT pg_backend_pid()")?.value(), pid.to_string());
    Ok(())
}

/// The first value of an answer.
pub(crate) fn value(heard: &[Message]) -> String {
    let row = heard.iter().find(|message| message.tag == b'D');
    row.map(|row| String::from_utf8_lossy(&row.body[6..]).into_owned()).unwrap_or_default()
}

/// pgbench's arguments for the weir at this port.
pub(crate) fn pgbench(cluster: &Cluster, port: u16, arguments: &[&str]) -> Command {
    let mut command = Command::new(cluster.postgres().program("pgbench").unwrap());
    command.args(["-h", "127.0.0.1", "-p", &port.to_string(), "-U", "app"]).args(arguments).arg("app");
    command.env("PGPASSWORD", "app");
    command
}
