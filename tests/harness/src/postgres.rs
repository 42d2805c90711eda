//! PostgreSQL's own programs, wherever they are installed.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Failure, Result, tools};

/// Major versions that the tests run on.
const SUPPORTED: std::ops::RangeInclusive<u32> = 14..=18;

/// One installation of PostgreSQL.
#[derive(Clone, Debug)]
pub struct Postgres {
    bin: PathBuf,
    major: u32,
}

impl Postgres {
    /// Finds the newest PostgreSQL from 14 to 18; `PG_BIN` (a directory with `initdb` and `postgres`) overrides.
    /// Where there is none, installs Debian's package if we are root, and otherwise says what to install.
    pub fn locate() -> Result<Self> {
        if let Some(bin) = env::var_os("PG_BIN") {
            let bin = PathBuf::from(bin);
            let found = Self::at(&bin);
            return found
                .ok_or_else(|| Failure::new(format!("PG_BIN={} holds no PostgreSQL", bin.display())));
        }
        if let Some(found) = Self::newest() {
            return Ok(found);
        }
        tools::install("postgresql").map_err(|failure| match failure {
            Failure::Other(words) if words.contains("is missing") => Failure::new(
                "PostgreSQL 14 to 18 is missing: install its server (Debian: apt-get install postgresql), \
                 or set PG_BIN to the directory that holds initdb and postgres",
            ),
            other => other,
        })?;
        Self::newest().ok_or_else(|| Failure::new("this system's package postgresql is not version 14 to 18"))
    }

    /// The directory of the programs.
    pub fn bin(&self) -> &Path {
        &self.bin
    }

    /// The major version: 15.
    pub fn major(&self) -> u32 {
        self.major
    }

    /// The path of one of its programs: `pgbench`, `psql` ...
    pub fn program(&self, name: &str) -> Result<PathBuf> {
        let path = self.bin.join(name);
        if path.is_file() {
            return Ok(path);
        }
        // Fedora and some others keep the clients elsewhere.
        tools::find(name).ok_or_else(|| Failure::new(format!("{} holds no {name}", self.bin.display())))
    }

    /// The path of a program that is of no use in another version than the servers': none if the installation has it not.
    pub fn own_program(&self, name: &str) -> Option<PathBuf> {
        Some(self.bin.join(name)).filter(|path| path.is_file())
    }

    fn newest() -> Option<Self> {
        let supported = candidates().into_iter().filter_map(|bin| Self::at(&bin));
        supported.filter(|found| SUPPORTED.contains(&found.major)).max_by_key(|found| found.major)
    }

    fn at(bin: &Path) -> Option<Self> {
        // A directory in PATH may hold links to some of the programs; the real directory holds all of them.
        let initdb = fs::canonicalize(bin.join("initdb")).ok()?;
        let bin = initdb.parent()?;
        let output = Command::new(bin.join("postgres")).arg("--version").output().ok()?;
        let major = major_version(&String::from_utf8_lossy(&output.stdout))?;
        Some(Self { bin: bin.to_owned(), major })
    }
}

/// The major version in what `postgres --version` prints: `postgres (PostgreSQL) 15.20 (Debian ...)`, `... 19devel`.
fn major_version(words: &str) -> Option<u32> {
    let number = words.split_once("(PostgreSQL) ")?.1;
    let digits = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
    number[..digits].parse().ok()
}

/// Directories in which PostgreSQL's server programs may be.
fn candidates() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    let children = |parent: &str| -> Vec<PathBuf> {
        fs::read_dir(parent)
            .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default()
    };
    // Debian; the PostgreSQL project's RPMs; Homebrew on both kinds of Mac; built from source; Postgres.app.
    found.extend(children("/usr/lib/postgresql"));
    found.extend(children("/usr").into_iter().filter(|path| path.to_string_lossy().contains("pgsql-")));
    for brew in ["/opt/homebrew/opt", "/usr/local/opt"] {
        found.extend(children(brew).into_iter().filter(|path| path.to_string_lossy().contains("postgresql")));
    }
    found.extend(["/usr/local/pgsql", "/opt/homebrew", "/usr/local"].map(PathBuf::from));
    found.extend(children("/Applications/Postgres.app/Contents/Versions"));
    let mut found: Vec<PathBuf> = found.into_iter().map(|prefix| prefix.join("bin")).collect();
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output() {
        found.push(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    }
    found.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
    found
}

#[cfg(test)]
mod tests {
    use super::major_version;

    #[test]
    fn versions_are_read_as_every_packager_prints_them() {
        assert_eq!(major_version("postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)\n"), Some(15));
        assert_eq!(major_version("postgres (PostgreSQL) 18.1\n"), Some(18));
        assert_eq!(major_version("postgres (PostgreSQL) 19devel\n"), Some(19));
        assert_eq!(major_version("something else 15.1"), None);
    }
}
