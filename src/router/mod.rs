//! Where a request goes, and the one word that says why. Pure: no I/O and no clock of its own.

mod reason;

pub use reason::Reason;

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// The primary.
    Primary,
    /// Some replica; the balancer picks which.
    Replica,
}
