//! A copy of a running server's data, which begins as a replica of it.
//!
//! By pg_basebackup; where the servers' installation lacks it, as the manual makes one by hand ("Making a Base Backup Using
//! the Low Level API"): pg_basebackup of an older version refuses the server.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::{Cluster, Server};
use crate::{Failure, Result};

/// Directories whose contents a base backup leaves out. The WAL comes by streaming.
const EMPTY: [&str; 9] = [
    "pg_dynshmem",
    "pg_notify",
    "pg_replslot",
    "pg_serial",
    "pg_snapshots",
    "pg_stat_tmp",
    "pg_subtrans",
    "pg_wal",
    "pgsql_tmp",
];

/// Files that belong to the running server alone.
const ITS_OWN: [&str; 4] = ["backup_label", "pg_internal.init", "postmaster.opts", "postmaster.pid"];

impl Cluster {
    /// Makes a base backup of a running server in the directory `to`, which is not there yet.
    pub(super) fn back_up(&self, source: &Server, to: &Path) -> Result<()> {
        match self.postgres.own_program("pg_basebackup") {
            Some(program) => self.receive_backup(&program, source, to),
            None => self.copy_running(source, to),
        }
    }

    fn receive_backup(&self, program: &Path, source: &Server, to: &Path) -> Result<()> {
        let mut backup = self.owner.command(program);
        backup.args(["--username=postgres", "--checkpoint=fast", "--wal-method=stream", "--no-sync"]);
        backup.arg(format!("--port={}", source.port())).arg("--host").arg(source.sockets());
        let output = backup.arg("--pgdata").arg(to).output()?;
        if !output.status.success() {
            return Err(Failure::new(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        Ok(())
    }

    fn copy_running(&self, source: &Server, to: &Path) -> Result<()> {
        // The backup ends with the connection that began it.
        let mut admin = source.admin("postgres")?;
        let (begin, end) = match self.postgres.major() {
            ..15 => ("pg_start_backup('harness', true, false)", "pg_stop_backup(false, false)"),
            15.. => ("pg_backup_start('harness', true)", "pg_backup_stop(false)"),
        };
        admin.query(&format!("SELECT {begin}"))?;
        self.copy_living(&source.data(), to)?;
        let label = admin.query(&format!("SELECT labelfile FROM {end}"))?;
        fs::write(to.join("backup_label"), label.value())?;
        self.owner.own(&to.join("backup_label"))
    }

    /// Copies a directory in which files come and go.
    fn copy_living(&self, from: &Path, to: &Path) -> Result<()> {
        self.owner.create_dir(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            let (name, target) = (entry.file_name(), to.join(entry.file_name()));
            let is_one_of = |names: &[&str]| names.iter().any(|it| name == *it);
            if entry.file_type()?.is_dir() {
                match is_one_of(&EMPTY) {
                    true => self.owner.create_dir(&target)?,
                    false => self.copy_living(&entry.path(), &target)?,
                }
            } else if !is_one_of(&ITS_OWN) {
                match fs::copy(entry.path(), &target) {
                    Ok(_) => self.owner.own(&target)?,
                    // It was dropped since; replay drops it as well.
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }
}
