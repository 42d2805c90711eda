//! One PostgreSQL server: its files, its process, its first answer.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::Signal;

use crate::client::{Address, Client, Login};
use crate::daemon::send_signal;
use crate::{Failure, Result, wait_for, wait_until};

/// How long a server may take to start or stop, on a machine with better things to do.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// How to stop a server (manual, 19.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Sessions are ended, their transactions rolled back: SIGINT.
    Fast,
    /// As after a crash, but sessions are told: SIGQUIT.
    Immediate,
    /// As when the power fails, with nothing told to anybody: SIGKILL for the server and all its processes.
    Kill,
}

/// A server that may be running.
#[derive(Debug)]
pub(super) struct Server {
    name: String,
    host: String,
    port: u16,
    directory: PathBuf,
    /// Where its log stood when it was last started.
    begin: AtomicU64,
    child: Mutex<Option<Child>>,
}

impl Server {
    pub(super) fn new(cluster: &Path, index: usize, (host, port): (String, u16)) -> Self {
        let name = if index == 0 { "primary".to_owned() } else { format!("replica{index}") };
        Self {
            directory: cluster.join(&name),
            name,
            host,
            port,
            begin: AtomicU64::new(0),
            child: Mutex::new(None),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.directory.join("log")
    }

    /// The directory of its Unix socket: the cluster's.
    pub(super) fn sockets(&self) -> &Path {
        self.directory.parent().unwrap_or(&self.directory)
    }

    pub(super) fn admin(&self, database: &str) -> Result<Client> {
        let socket = self.sockets().join(format!(".s.PGSQL.{}", self.port));
        let login = Login::new("postgres", "").database(database).parameter("application_name", "harness");
        Client::connect(&Address::Unix(socket), &login)
    }

    /// Starts it by this command, and waits for nothing.
    pub(super) fn spawn(&self, mut command: Command) -> Result<()> {
        let log = OpenOptions::new().create(true).append(true).open(self.log())?;
        self.begin.store(log.metadata()?.len(), Ordering::SeqCst);
        command.arg("-D").arg(self.data()).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        *self.child() = Some(command.process_group(0).spawn()?);
        Ok(())
    }

    /// Waits until it answers; what it has logged since its start if it has ended instead.
    pub(super) fn wait_answers(&self) -> Result<()> {
        wait_for(&format!("{} to answer", self.name), PATIENCE, || {
            if self.pid().is_none() {
                return Ok(Some(Err(Failure::new(format!(
                    "{} did not start:\n{}",
                    self.name,
                    self.words(self.begin.load(Ordering::SeqCst), u64::MAX)
                )))));
            }
            self.admin("postgres").map(|_| Some(Ok(())))
        })?
    }

    /// Its processes whose title holds these words, `startup` for instance.
    pub(super) fn processes(&self, title: &str) -> Result<Vec<u32>> {
        let Some(pid) = self.pid() else { return Ok(Vec::new()) };
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
        let titled = |pid: &u32| {
            fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).contains(title))
        };
        Ok(children.split_whitespace().filter_map(|pid| pid.parse().ok()).filter(titled).collect())
    }

    /// Its process id; none when it does not run.
    pub(super) fn pid(&self) -> Option<u32> {
        let mut child = self.child();
        let running = child.as_mut()?;
        match running.try_wait() {
            Ok(None) => Some(running.id()),
            Ok(Some(_)) | Err(_) => None,
        }
    }

    pub(super) fn stop(&self, how: Stop) -> Result<()> {
        let Some(pid) = self.pid() else { return Ok(()) };
        if how == Stop::Kill {
            // It must start no process that is not counted.
            send_signal(pid, Signal::STOP)?;
        }
        let children = self.processes("").unwrap_or_default();
        match how {
            Stop::Fast => send_signal(pid, Signal::INT)?,
            Stop::Immediate => send_signal(pid, Signal::QUIT)?,
            Stop::Kill => self.signal_all(Signal::KILL)?,
        }
        if !wait_until(PATIENCE, || self.pid().is_none()) {
            return Err(Failure::new(format!("{} does not stop", self.name)));
        }
        // Those that were killed hold the server's memory until they have ended, and no other server may start there.
        let linger = || children.iter().any(|pid| has_memory(*pid));
        if !wait_until(PATIENCE, || !linger()) {
            return Err(Failure::new(format!("{}'s processes do not end", self.name)));
        }
        Ok(())
    }

    /// Sends a signal to the server and to all its processes; to the server first, so that it starts no others.
    pub(super) fn signal_all(&self, signal: Signal) -> Result<()> {
        let Some(pid) = self.pid() else { return Ok(()) };
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
        send_signal(pid, signal)?;
        for child in children.split_whitespace().filter_map(|pid| pid.parse().ok()) {
            // One that has ended by now is no failure.
            let _ = send_signal(child, signal);
        }
        Ok(())
    }

    /// Collects the exit status of a server that somebody else has stopped.
    pub(super) fn reap(&self) {
        if let Some(mut child) = self.child().take() {
            let _ = child.wait();
        }
    }

    /// What the log says from this byte on, and no more than so many bytes of it.
    pub(super) fn words(&self, begin: u64, length: u64) -> String {
        let mut bytes = Vec::new();
        if let Ok(mut log) = File::open(self.log())
            && log.seek(SeekFrom::Start(begin)).is_ok()
        {
            // A log that cannot be read is an empty one: it is for people and for tests that look for words in it.
            let _ = log.take(length).read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a process has not ended yet. Of one that has, nothing is left but its entry (proc(5)): state Z.
fn has_memory(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}
