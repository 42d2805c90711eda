//! Commands that end by themselves: what writes a first configuration, asks a running weir, or tells of the command line.
//!
//! Each file is one command, or two that are alike: its arguments, and what it does with them by the library's public face.

use std::fs::{OpenOptions, Permissions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;

pub(crate) mod health;
pub(crate) mod import;
pub(crate) mod init;
pub(crate) mod pages;

/// Where a command writes, and whether over what is there.
#[derive(Args)]
struct Output {
    /// Where the configuration is written, and beside it the passwords, for nobody else to read; without it, to standard
    /// output, and the passwords nowhere
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace files that are there
    #[arg(long, requires = "output")]
    force: bool,
}

impl Output {
    fn file(&self) -> Option<&Path> {
        self.output.as_deref()
    }

    /// Fails before anything is done where something would be written over.
    fn see_that_free<'a>(&self, mut files: impl Iterator<Item = &'a Path>) -> anyhow::Result<()> {
        match files.find(|file| !self.force && file.exists()) {
            Some(file) => anyhow::bail!("{} is there already; --force replaces it", file.display()),
            None => Ok(()),
        }
    }

    /// Writes a file that is not there, or that may be replaced.
    fn put(&self, file: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).mode(mode).create(self.force).truncate(self.force).create_new(!self.force);
        let write = || {
            let mut opened = options.open(file)?;
            if mode & 0o077 == 0 {
                // One that was there keeps its permissions otherwise.
                opened.set_permissions(Permissions::from_mode(mode))?;
            }
            opened.write_all(text.as_bytes())
        };
        write().with_context(|| format!("{} cannot be written", file.display()))
    }
}

/// Writes an answer. Whoever goes away before its end, as `head` does, has seen what he wanted.
pub(crate) fn say(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}
