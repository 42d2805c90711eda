//! How a pool stands: with its server, and in figures for metrics and operators.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use crate::backend::Key;
use crate::error::Error;

/// How a pool stands with its server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Standing {
    /// No connection has been opened yet.
    #[default]
    Untried,
    /// The server lets this account into this database.
    Accepted,
    /// It did not when it was last asked: nobody asks again but for a client.
    Refused,
    /// The server is gone, and so is the pool.
    Closed,
}

/// How a pool stands, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Idle connections.
    pub idle: usize,
    /// Checked-out connections.
    pub active: usize,
    /// Connections being opened.
    pub opening: usize,
    /// Clients that wait for one.
    pub waiting: usize,
    /// How many it may have, as far as it was told.
    pub size: usize,
}

/// One connection of a pool, for operators.
pub struct Member {
    /// Which.
    pub key: Arc<Key>,
    /// When it was opened.
    pub opened: SystemTime,
    /// Since when nobody has it, if nobody has.
    pub idle_since: Option<Instant>,
    /// Whether it is closed when it comes back.
    pub close_needed: bool,
}

/// A server that is well does not let this account in, or not into this database: class 28 (authentication, pg_hba.conf),
/// no such database, no CONNECT privilege, a database that takes no connections.
pub(super) fn is_unwelcome(error: &Error) -> bool {
    let Error::Refused { sqlstate, .. } = error else {
        return matches!(error, Error::ServerAuthentication(_) | Error::PassThrough { .. });
    };
    sqlstate.starts_with("28") || matches!(&**sqlstate, "3D000" | "42501" | "55000")
}
