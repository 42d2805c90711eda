//! The end of what we started, however we end ourselves.
//!
//! A destructor does not run when a process is killed, nor for a `static`. So every cluster and every daemon has
//! a small shell beside it that waits on a pipe. The kernel closes the pipe when our process ends, for whatever
//! reason, and the shell cleans up. `Drop` uses the same way: there is one teardown, and every test exercises it.

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use crate::Result;

/// Stops a cluster's servers and removes its directory. `$1` is the directory.
///
/// SIGQUIT is PostgreSQL's immediate shutdown: the data will not be used again. SIGCONT follows for servers that
/// a test stopped with SIGSTOP. `kill` is the shell's own, since a bare Debian has no procps.
pub(crate) const REMOVE_CLUSTER: &str = r#"
each() {
    for file in "$1"/*/data/postmaster.pid; do
        [ -f "$file" ] || continue
        read -r pid < "$file" || continue
        kill -0 "$pid" 2>/dev/null && "$2" "$pid"
    done
}
quit() { kill -QUIT "$1" 2>/dev/null; kill -CONT "$1" $(cat "/proc/$1/task/$1/children" 2>/dev/null) 2>/dev/null; }
kill_hard() { kill -KILL "$1" $(cat "/proc/$1/task/$1/children" 2>/dev/null) 2>/dev/null; }
alive() { left=1; }
each "$1" quit
tries=0
while left=; each "$1" alive; [ -n "$left" ] && [ $tries -lt 60 ]; do tries=$((tries + 1)); sleep 0.05; done
each "$1" kill_hard
for small in "$1"/*/small; do [ -d "$small" ] && umount "$small" 2>/dev/null; done
rm -rf "$1"
"#;

/// Terminates one process. `$1` is its id. The word `done` on the pipe means: it has ended already.
const END_PROCESS: &str = r#"
read -r word
[ "$word" = done ] && exit 0
kill -TERM "$1" 2>/dev/null || exit 0
tries=0
while kill -0 "$1" 2>/dev/null && [ $tries -lt 60 ]; do tries=$((tries + 1)); sleep 0.05; done
kill -KILL "$1" 2>/dev/null
"#;

/// A shell that cleans up when our end of its pipe is closed.
#[derive(Debug)]
pub(crate) struct Watchdog {
    shell: Child,
}

impl Watchdog {
    /// Guards a cluster's directory.
    pub(crate) fn of_cluster(directory: impl AsRef<OsStr>) -> Result<Self> {
        Self::start(&format!("cat >/dev/null\n{REMOVE_CLUSTER}"), directory.as_ref())
    }

    /// Guards one process.
    pub(crate) fn of_process(pid: u32) -> Result<Self> {
        Self::start(END_PROCESS, pid.to_string().as_ref())
    }

    fn start(script: &str, argument: &OsStr) -> Result<Self> {
        let shell = Command::new("sh")
            .arg("-c")
            .arg(format!("trap '' INT TERM HUP\n{script}"))
            .arg("weir-watchdog")
            .arg(argument)
            // A process group of its own: Ctrl-C in a terminal reaches everybody in ours.
            .process_group(0)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self { shell })
    }

    /// The guarded process has ended: nothing to clean up, and its id may soon be somebody else's.
    pub(crate) fn dismiss(&mut self) {
        if let Some(pipe) = &mut self.shell.stdin {
            let _ = pipe.write_all(b"done\n");
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}
