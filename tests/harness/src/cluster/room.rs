//! A primary whose disk is full: its WAL on a small file system of its own.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use super::Cluster;
use crate::{Failure, Result, apart};

impl Cluster {
    /// Moves a stopped server's WAL to a file system of this size, in megabytes. Only where [`apart::is_apart`].
    pub fn confine_wal(&self, server: usize, megabytes: u32) -> Result<()> {
        if !apart::is_apart() {
            return Err(Failure::new("mounting needs a process that is apart: harness::apart"));
        }
        let (small, wal) = self.small(server);
        self.owner.create_dir(&small)?;
        let (uid, gid) = self.owner.ids();
        let options = format!("size={megabytes}m,uid={uid},gid={gid},mode=700");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "none"]).arg(&small).output()?;
        if !mounted.status.success() {
            return Err(Failure::new(String::from_utf8_lossy(&mounted.stderr).into_owned()));
        }
        self.owner.copy_tree(&wal, &small.join("wal"))?;
        fs::remove_dir_all(&wal)?;
        Ok(symlink(small.join("wal"), &wal)?)
    }

    /// Leaves no room on that file system.
    pub fn fill_up(&self, server: usize) -> Result<()> {
        let ballast = self.small(server).0.join("ballast");
        // It ends when nothing is left, and that is what it is for.
        let mut fill = Command::new("dd");
        fill.args(["if=/dev/zero", "bs=64k"]).arg(format!("of={}", ballast.display()));
        fill.output()?;
        Ok(())
    }

    /// Makes room again.
    pub fn make_room(&self, server: usize) -> Result<()> {
        Ok(fs::remove_file(self.small(server).0.join("ballast"))?)
    }

    /// Moves a stopped server's WAL back.
    pub fn free_wal(&self, server: usize) -> Result<()> {
        let (small, wal) = self.small(server);
        fs::remove_file(&wal)?;
        self.owner.copy_tree(&small.join("wal"), &wal)?;
        let unmounted = Command::new("umount").arg(&small).output()?;
        if !unmounted.status.success() {
            return Err(Failure::new(String::from_utf8_lossy(&unmounted.stderr).into_owned()));
        }
        Ok(fs::remove_dir(&small)?)
    }

    fn small(&self, server: usize) -> (PathBuf, PathBuf) {
        let server = &self.servers[server];
        (server.directory().join("small"), server.data().join("pg_wal"))
    }
}
