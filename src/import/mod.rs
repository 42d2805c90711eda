//! `weir import`: a proxy.toml that does what a pgbouncer.ini did, as far as that can be.
//!
//! The file is read as PgBouncer reads it (`ini`), each key is looked up in a table that holds all that PgBouncer documents
//! (`keys`), and the rest of the modules write what becomes of them. Nothing here asks a server or writes a file: the command
//! line does that. What has no counterpart is said, and never left out in silence.

mod access;
mod clients;
mod draft;
mod ini;
mod keys;
mod pools;
mod servers;
mod values;

use std::path::{Path, PathBuf};

pub use draft::Imported;
pub use ini::{Ini, IniError};
pub use keys::{KEYS, Key, Told};

use crate::config::UserlistError;
use draft::Draft;

/// Why nothing can be made of it.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It is no such file.
    #[error(transparent)]
    Ini(#[from] IniError),
    /// The list of users that it names.
    #[error("auth_file: {0}")]
    Userlist(#[from] UserlistError),
    /// It has no databases, so nobody could be served.
    #[error("{} has no [databases]: is it PgBouncer's?", .0.display())]
    NoDatabases(PathBuf),
}

/// Reads a pgbouncer.ini, what it includes, and its list of users.
///
/// # Errors
/// When one of them cannot be read.
pub fn import(file: &Path) -> Result<Imported, ImportError> {
    let ini = Ini::read(file)?;
    if ini.databases().next().is_none() {
        return Err(ImportError::NoDatabases(file.to_owned()));
    }
    let list = ini.setting("auth_file").filter(|path| !path.is_empty());
    let list = list.map(|path| values::beside(file, path));
    let known = match &list {
        Some(path) => access::Known::read(path)?,
        None => access::Known::default(),
    };
    let mut draft = Draft::new(file);
    clients::write(&mut draft, &ini, file);
    let servers = servers::write(&mut draft, &ini, file);
    access::write(&mut draft, &ini, &access::Sources { file, list: list.as_deref(), known: &known });
    servers::databases(&mut draft, &ini, &servers);
    pools::write(&mut draft, &ini);
    let told = keys::told(&ini);
    Ok(draft.finish(told))
}
