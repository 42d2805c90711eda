//! What a session leaves on a connection, and the cheapest thing that is sure to remove it.

use crate::backend::settings::Settings;
use crate::backend::{Backend, exec};
use crate::error::{Error, Result};
use crate::session::state::State;

/// What is left on a connection, from the least to the most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Leftover {
    /// Settings and prepared statements, of which the connection's own bookkeeping tells: whoever gets it next sends
    /// the difference.
    #[default]
    Known,
    /// What DISCARD ALL removes: temporary tables, LISTEN, locks, cursors, statements, sequences, any setting.
    State,
    /// What nothing removes: a library that was loaded, or nobody knows what.
    Lasting,
}

impl Leftover {
    /// What the session is known to leave on its connection to the primary.
    pub(crate) fn of(state: &State) -> Self {
        match (state.pins().is_empty(), state.pins.outlast_discard()) {
            (_, true) => Leftover::Lasting,
            (false, false) => Leftover::State,
            (true, false) => Leftover::Known,
        }
    }
}

/// What it took to make a connection fit for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reset {
    /// Nothing.
    Nothing,
    /// ROLLBACK.
    RolledBack,
    /// DISCARD ALL, behind a ROLLBACK where there was a transaction.
    Discarded,
}

/// Whether a transaction is open, or a batch, which is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Neither.
    Idle,
    /// One of them.
    Open,
}

/// Makes a connection that has answered everything fit for others.
///
/// # Errors
/// When it is not: it must be closed.
pub(crate) async fn reset(backend: &mut Backend, standing: Standing, leftover: Leftover) -> Result<Reset> {
    if leftover == Leftover::Lasting {
        return Err(Error::ServerLost);
    }
    let mut reset = Reset::Nothing;
    if standing == Standing::Open {
        // As a simple query it ends an open batch as well, which a Sync would commit.
        exec(backend, "ROLLBACK").await?;
        reset = Reset::RolledBack;
    }
    if leftover == Leftover::State {
        // Refused in a transaction, so that its success tells that there is none.
        exec(backend, "DISCARD ALL").await?;
        backend.prepared.clear();
        backend.unnamed = None;
        backend.settings = Settings::default();
        backend.past.drawn_by = None;
        reset = Reset::Discarded;
    }
    fit(backend, reset)
}

/// Nothing may be left that the next client would take for its own.
pub(super) fn fit(backend: &Backend, reset: Reset) -> Result<Reset> {
    if backend.read_buffer.is_empty() && backend.is_flushed() { Ok(reset) } else { Err(Error::ServerLost) }
}
