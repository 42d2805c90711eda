//! What a statement depends on that lives on one connection and was left there by its session: SQL-level prepared
//! statements by name, and the values drawn from sequences.

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
    /// The end of a server process, its own perhaps (`pg_terminate_backend`).
    Termination,
}
