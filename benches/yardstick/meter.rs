//! What counts a running proxy's instructions and system calls: callgrind, perf and strace. It knows no load and no
//! proxy, and makes nothing per transaction.
//!
//! The counts are of all threads, and of whatever they do meanwhile: what a proxy does by itself is for the caller to
//! tell apart.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use clap::ValueEnum;
use harness::{Failure, Result, tools, wait_for};

/// How much of what: `instructions`, or system calls by name.
pub(crate) type Counts = BTreeMap<String, f64>;

/// How long strace may take to stop all threads once.
const PATIENCE: Duration = Duration::from_secs(10);

/// perf does not say when it has begun to count.
const PERF_STARTS: Duration = Duration::from_millis(500);

/// What the script holds that starts a program so that [`Meter::Callgrind`] can ask it. It counts from the start to the
/// end, as switching it on would have all code translated anew, and its own report at the end is not wanted. Threads
/// take turns fairly.
const UNDER_CALLGRIND: &str = "--tool=callgrind --callgrind-out-file=/dev/null --fair-sched=yes";

/// The caches that are simulated, the same whatever the machine has: size, ways, bytes of a line.
const CACHES: &str = "--cache-sim=yes --I1=32768,8,64 --D1=49152,12,64 --LL=2097152,16,64";

/// What counts instructions in user space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Meter {
    /// The processor's own counter, by perf
    Perf,
    /// valgrind's callgrind, where the processor shows no counter, as in most virtual machines
    Callgrind,
    /// callgrind with simulated caches: only those that the first one, of 32 kB, did not hold
    Misses,
}

impl Meter {
    /// perf where it can count, else callgrind, which may have to be installed.
    pub(crate) fn available() -> Self {
        let perf_counts = || {
            let mut perf = perf()?;
            let output = perf.arg("true").output()?;
            Ok::<_, Failure>(instructions_of_perf(&String::from_utf8_lossy(&output.stderr)).is_some())
        };
        if perf_counts().unwrap_or(false) { Self::Perf } else { Self::Callgrind }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Perf => "perf",
            Self::Callgrind => "callgrind",
            Self::Misses => "callgrind, those alone that a cache of 32 kB did not hold",
        }
    }

    /// Makes a program that is `program` in a form which can be measured.
    pub(crate) fn prepare(self, program: &Path, directory: &Path) -> Result<PathBuf> {
        let caches = match self {
            Self::Perf => return Ok(program.to_owned()),
            Self::Callgrind => "",
            Self::Misses => CACHES,
        };
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        let script = directory.join(format!("{name}-under-callgrind"));
        let valgrind = tools::ensure("valgrind")?;
        let (valgrind, program) = (valgrind.display(), program.display());
        fs::write(
            &script,
            format!("#!/bin/sh\nexec '{valgrind}' {UNDER_CALLGRIND} {caches} '{program}' \"$@\"\n"),
        )?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
        Ok(script)
    }

    /// What a process executes in user space during `work`.
    pub(crate) fn instructions<T>(self, pid: u32, work: impl FnOnce() -> Result<T>) -> Result<(Counts, T)> {
        let (count, done) = match self {
            Self::Callgrind | Self::Misses => {
                let event = if self == Self::Misses { "I1mr" } else { "Ir" };
                let before = ask_callgrind(pid, event)?;
                let done = work()?;
                (ask_callgrind(pid, event)? - before, done)
            }
            Self::Perf => {
                let perf = perf()?.args(["-p", &pid.to_string()]).stderr(Stdio::piped()).spawn()?;
                sleep(PERF_STARTS);
                let done = work();
                interrupt(&perf)?;
                let words = perf.wait_with_output()?.stderr;
                let words = String::from_utf8_lossy(&words);
                let count = instructions_of_perf(&words)
                    .ok_or_else(|| Failure::new(format!("perf counts no instructions:\n{words}")))?;
                (count, done?)
            }
        };
        Ok((Counts::from([("instructions".to_owned(), count)]), done))
    }
}

fn perf() -> Result<Command> {
    // Debian's package has another name, and where there is no counter it is of no use.
    let program = tools::find("perf").ok_or_else(|| {
        Failure::new("perf is missing: install it (Debian: apt-get install linux-perf), or use callgrind")
    })?;
    let mut command = Command::new(program);
    command.args(["stat", "-x", ";", "-e", "instructions:u"]).stdout(Stdio::null());
    Ok(command)
}

/// Reads `1234;;instructions:u;...`; without a counter it says `<not supported>` there.
fn instructions_of_perf(words: &str) -> Option<f64> {
    let line = words.lines().find(|line| line.contains("instructions"))?;
    line.split(';').next()?.parse().ok()
}

/// What callgrind has counted so far of an event.
fn ask_callgrind(pid: u32, event: &str) -> Result<f64> {
    let vgdb = tools::find("vgdb").ok_or_else(|| Failure::new("valgrind is there without its vgdb"))?;
    // As the process's own user: of another one's process, even root waits for an answer for ever.
    let owner = fs::metadata(format!("/proc/{pid}"))?;
    let mut vgdb = Command::new(vgdb);
    vgdb.args([&format!("--pid={pid}"), "status", "internal"]).uid(owner.uid()).gid(owner.gid());
    let output = vgdb.output()?;
    let words = String::from_utf8_lossy(&output.stdout);
    counted_by_callgrind(&words, event).ok_or_else(|| {
        let complaint = String::from_utf8_lossy(&output.stderr);
        Failure::new(format!("callgrind does not answer:\n{complaint}{words}"))
    })
}

/// Adds up the threads' lines, `events-1: 1234 56`, of which `events: Ir I1mr` tells the order. What `events-1-0` and the
/// like say is of functions at work.
fn counted_by_callgrind(words: &str, event: &str) -> Option<f64> {
    let names = words.lines().find_map(|line| line.strip_prefix("events:"))?;
    let at = names.split_whitespace().position(|name| name == event)?;
    let thread = |line: &str| {
        let (number, counts) = line.strip_prefix("events-")?.split_once(':')?;
        number.parse::<u32>().ok()?;
        counts.split_whitespace().nth(at)?.parse::<f64>().ok()
    };
    let mut threads = words.lines().filter_map(thread).peekable();
    threads.peek()?;
    Some(threads.sum())
}

/// The system calls of a process during `work`.
pub(crate) fn system_calls<T>(
    pid: u32,
    directory: &Path,
    work: impl FnOnce() -> Result<T>,
) -> Result<(Counts, T)> {
    let file = directory.join("strace");
    let mut strace = Command::new(tools::ensure("strace")?);
    strace.args(["-f", "-c", "-U", "name,calls", "-p", &pid.to_string(), "-o"]).arg(&file);
    let mut strace = strace.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    wait_for("strace to attach", PATIENCE, || Ok(is_traced(pid)?.then_some(())))?;
    let done = work();
    // It lets go of the proxy and writes its summary.
    interrupt(&strace)?;
    strace.wait()?;
    let calls = fs::read_to_string(&file)?;
    Ok((calls.lines().filter_map(calls_of_strace).collect(), done?))
}

/// Whether all threads of a process are being traced.
fn is_traced(pid: u32) -> Result<bool> {
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let status = fs::read_to_string(thread?.path().join("status"))?;
        if status.lines().any(|line| line.strip_prefix("TracerPid:").is_some_and(|pid| pid.trim() == "0")) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Reads a line of strace's summary, `epoll_wait 1234`; not its head, and not the sum.
fn calls_of_strace(line: &str) -> Option<(String, f64)> {
    let (name, calls) = line.trim().split_once(char::is_whitespace)?;
    let calls = calls.trim().parse().ok()?;
    (name != "total").then(|| (name.to_owned(), calls))
}

/// Sends SIGINT, upon which a program that counts says what it has counted.
fn interrupt(program: &Child) -> Result<()> {
    Command::new("sh").arg("-c").arg(format!("kill -INT {}", program.id())).status()?;
    Ok(())
}
