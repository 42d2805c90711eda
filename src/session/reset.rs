//! What a session leaves on a connection, and the cheapest thing that is sure to remove it.

use super::State;
use super::welcome::tell;
use crate::backend::Backend;
use crate::backend::settings::Settings;
use crate::error::{Error, Result};

/// What is left on a connection, from the least to the most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Residue {
    /// Settings and prepared statements, of which the connection's own bookkeeping tells: whoever gets it next sends
    /// the difference.
    #[default]
    Known,
    /// What DISCARD ALL removes: temporary tables, LISTEN, locks, cursors, statements, sequences, any setting.
    State,
    /// What nothing removes: a library that was loaded, or nobody knows what.
    Lasting,
}

impl Residue {
    /// What the session is known to leave on its connection to the primary.
    pub(super) fn of(state: &State) -> Self {
        match (state.pins.is_empty(), state.pins.outlast_discard()) {
            (true, _) => Residue::Known,
            (false, false) => Residue::State,
            (false, true) => Residue::Lasting,
        }
    }
}

/// What it took to make a connection fit for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reset {
    /// Nothing.
    Nothing,
    /// ROLLBACK.
    RolledBack,
    /// DISCARD ALL, behind a ROLLBACK where there was a transaction.
    Discarded,
}

/// Whether a transaction is open, or a batch, which is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Neither.
    Idle,
    /// One of them.
    Open,
}

/// Makes a connection that has answered everything fit for others.
///
/// # Errors
/// When it is not: it must be closed.
pub(super) async fn reset(backend: &mut Backend, standing: Standing, residue: Residue) -> Result<Reset> {
    if residue == Residue::Lasting {
        return Err(Error::ServerLost);
    }
    let mut reset = Reset::Nothing;
    if standing == Standing::Open {
        // As a simple query it ends an open batch as well, which a Sync would commit.
        tell(backend, "ROLLBACK").await?;
        reset = Reset::RolledBack;
    }
    if residue == Residue::State {
        // Refused in a transaction, so that its success tells that there is none.
        tell(backend, "DISCARD ALL").await?;
        backend.prepared.clear();
        backend.unnamed = None;
        backend.settings = Settings::default();
        reset = Reset::Discarded;
    }
    fit(backend, reset)
}

/// Nothing may be left that the next client would take for its own.
fn fit(backend: &Backend, reset: Reset) -> Result<Reset> {
    if backend.inbox.is_empty() && backend.outbox.is_empty() { Ok(reset) } else { Err(Error::ServerLost) }
}
