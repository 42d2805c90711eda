//! `weir import`: writes what a pgbouncer.ini says as a configuration.

use std::path::PathBuf;

use clap::Args;
use weir::import::{Imported, import};

use super::{Output, say};

const MORE: &str = "What was written and has no counterpart stands at the end of the configuration, with the reason. No server is asked.

Examples:
  weir import /etc/pgbouncer/pgbouncer.ini                         Look at it
  weir import /etc/pgbouncer/pgbouncer.ini --output proxy.toml     Write it, and beside it the passwords that it needs";

#[derive(Args)]
#[command(after_help = MORE)]
pub(crate) struct Import {
    /// PgBouncer's configuration
    #[arg(value_name = "pgbouncer.ini")]
    file: PathBuf,
    #[command(flatten)]
    output: Output,
    /// Say what becomes of every key, on standard error
    #[arg(long, short)]
    verbose: bool,
}

impl Import {
    /// Runs it.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let imported = import(&self.file)?;
        if self.verbose {
            imported.told.iter().for_each(|told| eprintln!("{}: {}: {}", told.place, told.key, told.fate));
        }
        let Some(file) = self.output.file() else { return say(&imported.text) };
        let secrets = imported.secrets.iter().map(|(name, secret)| (file.with_file_name(name), secret));
        let secrets: Vec<_> = secrets.collect();
        self.output
            .see_that_free(std::iter::once(file).chain(secrets.iter().map(|(path, _)| path.as_path())))?;
        for (path, secret) in &secrets {
            self.output.put(path, &format!("{}\n", secret.expose()), 0o600)?;
            eprintln!("wrote {}, which holds a password", path.display());
        }
        self.output.put(file, &imported.text, 0o644)?;
        self.tell(&imported);
        eprintln!("wrote {}: look at it, then: weir check --config {}", file.display(), file.display());
        Ok(())
    }

    fn tell(&self, imported: &Imported) {
        imported.remarks.iter().for_each(|words| eprintln!("note: {words}"));
        for told in imported.told.iter().filter(|told| !self.verbose && !told.fate.starts_with("becomes")) {
            eprintln!("{}: {}: {}", told.place, told.key, told.fate);
        }
    }
}
