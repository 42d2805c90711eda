//! Programs that are not PostgreSQL's, and the packages that hold them.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Failure, Result, scratch};

/// Finds a program (`haproxy`, `pgbouncer`, `strace` ...) and installs the Debian package of the same name when
/// it is missing and we may; otherwise says in one sentence what to install.
pub fn ensure(program: &str) -> Result<PathBuf> {
    if let Some(found) = find(program) {
        return Ok(found);
    }
    install(program)?;
    find(program).ok_or_else(|| Failure::new(format!("the package {program} holds no program {program}")))
}

/// Looks for a program in PATH and where Debian keeps daemons.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin", "/usr/local/bin"].map(PathBuf::from))
        .map(|directory| directory.join(program))
        .find(|candidate| candidate.is_file())
}

/// Installs a Debian package as root, without questions and without starting anything.
pub(crate) fn install(package: &str) -> Result<()> {
    let advice =
        || Failure::new(format!("{package} is missing: install it (Debian: apt-get install {package})"));
    if !rustix::process::getuid().is_root() || find("apt-get").is_none() {
        return Err(advice());
    }
    // Several test processes may find out at once; dpkg lets one in and fails the others.
    let lock = File::create(scratch::base()?.join("install.lock"))?;
    lock.lock()?;
    eprintln!("installing {package} with apt-get");
    let _daemons = Daemons::keep_stopped()?;
    apt_get(&["update"])?;
    apt_get(&["install", "--yes", "--no-install-recommends", package])
}

fn apt_get(arguments: &[&str]) -> Result<()> {
    let output = Command::new("apt-get")
        .args(["-q", "-o", "Dpkg::Options::=--force-confold", "-o", "DPkg::Lock::Timeout=300"])
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(Failure::new(format!("apt-get {} failed:\n{words}", arguments.join(" "))))
}

/// While this lives, a package that is being installed starts no daemon of its own.
///
/// Debian asks `policy-rc.d` before it starts a service (101 means no), and `createcluster.conf` before it makes
/// a PostgreSQL cluster. A policy that is already there is the operator's, and stays.
struct Daemons {
    policy: Option<&'static Path>,
}

impl Daemons {
    fn keep_stopped() -> Result<Self> {
        let policy = Path::new("/usr/sbin/policy-rc.d");
        let cluster = Path::new("/etc/postgresql-common/createcluster.conf");
        if !cluster.exists() {
            fs::create_dir_all("/etc/postgresql-common")?;
            fs::write(cluster, "create_main_cluster = false\n")?;
        }
        if policy.exists() {
            return Ok(Self { policy: None });
        }
        fs::write(policy, "#!/bin/sh\nexit 101\n")?;
        fs::set_permissions(policy, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        Ok(Self { policy: Some(policy) })
    }
}

impl Drop for Daemons {
    fn drop(&mut self) {
        if let Some(policy) = self.policy {
            let _ = fs::remove_file(policy);
        }
    }
}
