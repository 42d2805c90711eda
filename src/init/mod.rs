//! `weir init`: a first proxy.toml, from what a running cluster says of itself.
//!
//! Where to ask is read as libpq would (`target`, `environment`), `cluster::survey` asks, and `written` puts into words what it
//! found. Nothing here opens a socket or writes a file: the command line does, with what it is given.

mod environment;
mod passfile;
mod target;
mod written;

pub use environment::Environment;
pub use passfile::Passfile;
pub use target::{Target, TargetError};
pub use written::{Draft, Password, written};
