//! Directories: where clusters live, who owns them, and what crashed runs have left behind.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, id};

use crate::watchdog::REMOVE_CLUSTER;
use crate::{Failure, Result};

/// Who runs the servers: PostgreSQL refuses to run as root.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    uid: u32,
    gid: u32,
    lowered: Lowered,
}

/// Whether the servers run as somebody else than we do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lowered {
    Yes,
    No,
}

impl Owner {
    /// Ourselves, or `postgres` (else `nobody`) when we are root.
    pub(crate) fn find() -> Result<Self> {
        let ourselves = Self::ourselves();
        if ourselves.uid != 0 {
            return Ok(ourselves);
        }
        let users = fs::read_to_string("/etc/passwd")?;
        let ids = |name: &str| {
            let mut fields =
                users.lines().map(|line| line.split(':')).find(|line| line.clone().next() == Some(name))?;
            Some((fields.nth(2)?.parse().ok()?, fields.next()?.parse().ok()?))
        };
        let (uid, gid) = ids("postgres")
            .or_else(|| ids("nobody"))
            .ok_or_else(|| Failure::new("no user `postgres` or `nobody` to run the servers as"))?;
        Ok(Self { uid, gid, lowered: Lowered::Yes })
    }

    /// Ourselves, for what is no server.
    pub(crate) fn ourselves() -> Self {
        let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        Self { uid, gid, lowered: Lowered::No }
    }

    /// User and group.
    pub(crate) fn ids(self) -> (u32, u32) {
        (self.uid, self.gid)
    }

    /// A command that runs as this user, with none of the caller's locale or PG* variables.
    pub(crate) fn command(self, program: &Path) -> Command {
        use std::os::unix::process::CommandExt;
        let mut command = Command::new(program);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("LC_ALL", "C");
        command.env("TZ", "UTC").current_dir("/");
        if self.lowered == Lowered::Yes {
            command.uid(self.uid).gid(self.gid);
        }
        command
    }

    /// Makes a directory that only this user (and root) may enter.
    pub(crate) fn create_dir(self, path: &Path) -> Result<()> {
        fs::DirBuilder::new().mode(0o700).create(path)?;
        self.own(path)
    }

    /// Gives a file or directory to this user.
    pub(crate) fn own(self, path: &Path) -> Result<()> {
        if self.lowered == Lowered::Yes {
            chown(path, Some(self.uid), Some(self.gid))?;
        }
        Ok(())
    }

    /// Copies a directory tree and gives the copy to this user.
    pub(crate) fn copy_tree(self, from: &Path, to: &Path) -> Result<()> {
        self.create_dir(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            let target = to.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                self.copy_tree(&entry.path(), &target)?;
            } else {
                fs::copy(entry.path(), &target)?;
                self.own(&target)?;
            }
        }
        Ok(())
    }
}

/// The directory of all harness files of this user, `/tmp/weir-0` for root: short, since Unix socket paths end
/// at 107 bytes, and outside `target/`, which the servers' user may not be able to reach.
pub(crate) fn base() -> Result<PathBuf> {
    let uid = rustix::process::getuid().as_raw();
    let base = std::env::temp_dir().join(format!("weir-{uid}"));
    if let Err(error) = fs::DirBuilder::new().mode(0o755).create(&base)
        && error.kind() != std::io::ErrorKind::AlreadyExists
    {
        return Err(error.into());
    }
    // The name can be guessed, so somebody else could have made it first and put what they like into it.
    let found = fs::symlink_metadata(&base)?;
    if !found.is_dir() || found.uid() != uid {
        return Err(Failure::new(format!("{} belongs to somebody else; set TMPDIR", base.display())));
    }
    Ok(base)
}

/// A new directory `kind-PID-RANDOM` under [`base`], after removing those whose process has ended.
pub(crate) fn run_dir(kind: &str, owner: Owner) -> Result<PathBuf> {
    let base = base()?;
    sweep(&base);
    let random = RandomState::new().hash_one(kind) & 0xff_ffff;
    let path = base.join(format!("{kind}-{}-{random:06x}", id()));
    owner.create_dir(&path)?;
    Ok(path)
}

/// Removes directories, and stops servers in them, whose process has ended without its watchdog (which happens
/// when both are killed at once).
fn sweep(base: &Path) {
    let Ok(entries) = fs::read_dir(base) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut parts = name.split('-').skip(1);
        let Some(Ok(pid)) = parts.next().map(str::parse::<u32>) else { continue };
        if Path::new("/proc/self").exists() && !Path::new(&format!("/proc/{pid}")).exists() {
            let _ = Command::new("sh").arg("-c").arg(REMOVE_CLUSTER).arg("weir-sweep").arg(&path).status();
        }
    }
}
