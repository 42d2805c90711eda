//! `weir completions` and `weir man`: what a shell and `man` know of the command line, made from the command line itself.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Command};
use clap_complete::Shell;

use super::say;

#[derive(Args)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    /// Prints them.
    pub(crate) fn run(&self, mut command: Command) -> anyhow::Result<()> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut command, "weir", &mut text);
        say(&String::from_utf8(text)?)
    }
}

#[derive(Args)]
pub(crate) struct Man {
    /// A directory, which is made if need be: weir.1, weir-run.1 and so on are written there
    directory: PathBuf,
}

impl Man {
    /// Writes them.
    pub(crate) fn run(&self, command: Command) -> anyhow::Result<()> {
        std::fs::create_dir_all(&self.directory)
            .and_then(|()| clap_mangen::generate_to(command, &self.directory))
            .with_context(|| format!("{} cannot be written to", self.directory.display()))
    }
}
