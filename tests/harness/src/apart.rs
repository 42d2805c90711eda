//! Running a test again in namespaces of its own, where it may cut cables and mount file systems.
//!
//! Only root may. Networks and mounts that are made there end with the process, and nobody else sees them.

use std::env;
use std::process::{Command, ExitStatus, Stdio};

use crate::{Failure, Result, tools};

/// Set in a process that is apart.
const APART: &str = "WEIR_HARNESS_APART";

/// What prepares the namespaces, and then becomes the program: `$0` and its arguments. What `ip netns` keeps in
/// /run/netns is hidden from everybody else.
const PREPARE: &str = "\
set -e
ip link set lo up
mkdir -p /run/netns
mount -t tmpfs none /run/netns
exec \"$0\" \"$@\"
";

/// Whether this process is apart.
pub fn is_apart() -> bool {
    env::var_os(APART).is_some()
}

/// Why this process cannot be run apart; nothing if it can.
pub fn obstacle() -> Option<String> {
    if !rustix::process::getuid().is_root() {
        return Some("network namespaces and mounts need root".to_owned());
    }
    if let Some(missing) =
        ["unshare", "nsenter", "ip", "mount"].iter().find(|tool| tools::find(tool).is_none())
    {
        return Some(format!("the program {missing} is missing"));
    }
    let tried = unshare("true").stdout(Stdio::null()).stderr(Stdio::piped()).output();
    match tried {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Some(error.to_string()),
    }
}

/// Runs this process's program again, apart, with these arguments; how that ended.
pub fn run_again(arguments: &[&str]) -> Result<ExitStatus> {
    let program = env::current_exe()?;
    let program = program.to_str().ok_or_else(|| Failure::new("our own path is no text"))?;
    Ok(unshare(program).args(arguments).env(APART, "1").status()?)
}

fn unshare(program: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--", "sh", "-c", PREPARE, program]);
    command
}
