//! A program in the background that does not outlive us, with its log and what it costs.

use std::fs::{self, File};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::watchdog::Watchdog;
use crate::{Failure, Result, wait_until};

/// How long a daemon may take to end after SIGTERM before it is killed.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running program. Dropping it sends SIGTERM, and SIGKILL when that does not help.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    log: PathBuf,
    watchdog: Watchdog,
}

/// CPU time of a process, all threads together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CpuTime {
    /// Seconds in the program itself.
    pub user: f64,
    /// Seconds in the kernel on its behalf.
    pub system: f64,
}

impl CpuTime {
    /// User and system time together, in seconds.
    pub fn total(self) -> f64 {
        self.user + self.system
    }

    /// What was spent since an earlier reading.
    pub fn since(self, earlier: Self) -> Self {
        Self { user: self.user - earlier.user, system: self.system - earlier.system }
    }
}

impl Daemon {
    /// Starts `command` with its output in the file `log`.
    pub fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let output = File::create(log)?;
        let child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .map_err(|error| Failure::new(format!("cannot start {:?}: {error}", command.get_program())))?;
        let watchdog = Watchdog::of_process(child.id())?;
        Ok(Self { child, log: log.to_owned(), watchdog })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has printed so far.
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// How it ended; none while it runs.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        send_signal(self.child.id(), signal)
    }

    /// Sends SIGTERM and waits for the end.
    pub fn terminate(&mut self) -> Result<ExitStatus> {
        if self.exit_status().is_none() {
            self.signal(Signal::TERM)?;
            if !wait_until(PATIENCE, || self.child.try_wait().is_ok_and(|status| status.is_some())) {
                self.child.kill()?;
            }
        }
        let status = self.child.wait()?;
        self.watchdog.dismiss();
        Ok(status)
    }

    /// Resident memory in KiB, 0 when it cannot be read.
    pub fn rss_kb(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|value| value.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    }

    /// CPU time since it started, 10 ms fine.
    pub fn cpu(&self) -> CpuTime {
        cpu_of(self.pid()).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let status = self.terminate();
        // A daemon that had to be killed, or that died by itself, is worth a line in the test's output.
        if let Ok(status) = status
            && let Some(signal) = status.signal()
            && signal != Signal::TERM.as_raw()
        {
            eprintln!("process ended by signal {signal}; its log:\n{}", self.log());
        }
    }
}

/// Sends a signal to a process: one that we started, or one that a server that we started has started.
pub fn send_signal(pid: u32, signal: Signal) -> Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| Failure::new("not a process id"))?;
    kill_process(pid, signal).map_err(|errno| Failure::Io(errno.into()))
}

/// Reads fields 14 and 15 of /proc/PID/stat (proc(5)); they count ticks, a hundred a second on Linux.
fn cpu_of(pid: u32) -> Option<CpuTime> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses, and may hold spaces and parentheses itself.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut seconds = || Some(fields.next()?.parse::<f64>().ok()? / 100.0);
    Some(CpuTime { user: seconds()?, system: seconds()? })
}
