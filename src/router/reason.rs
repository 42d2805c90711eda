//! The one word that says why a request went where it went: a label of the routing metric and of logs.

/// Why a request was routed as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// A plain read, to a replica.
    Read,
}
