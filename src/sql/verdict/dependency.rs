//! What a statement depends on that lives on one connection: SQL-level prepared statements by name and values drawn from
//! sequences, which its session left there, and the transaction itself. Of several things the first of this list is told.

use super::process::ProcessFunction;

/// What it depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Dependency {
    /// Nothing.
    #[default]
    Nothing,
    /// What the prepared statement of this name is, or whether there is one.
    Statement(Box<str>),
    /// Which prepared statements there are.
    Statements,
    /// Which value the session has drawn (`currval`, `lastval`).
    Drawn,
    /// To which channels the session listens.
    Channels,
    /// The end of a server process, its own perhaps (`pg_terminate_backend`).
    Termination,
    /// Which server process is its own, or the one of a number that it cancels: it asks for nothing else.
    Process,
    /// A client, by the process ID that weir gave to it, which is signalled when this completes. Of no text: what a number
    /// stands for, the session finds out.
    Client(i32, ProcessFunction),
    /// How the transaction was begun that it runs in. It may depend on that, rather: which settings are asked for, a text does
    /// not always tell.
    Modes,
    /// The transaction that it runs in: when it began, what it has seen and has open.
    Transaction,
}
