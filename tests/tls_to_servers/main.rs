//! TLS towards real servers: what each sslmode lets pass is what psql lets pass; nothing that weir says to a server goes
//! around it; and whoever stands in between is not believed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod beside;
mod configuration;
mod middle;
mod modes;
mod whole;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) const WEIR: &str = env!("CARGO_BIN_EXE_weir");

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A directory for the files of one test.
pub(crate) fn directory(test: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tls_to_servers").join(test);
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

/// A file that nobody else may read.
pub(crate) fn file(test: &str, name: &str, text: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = directory(test).join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}
