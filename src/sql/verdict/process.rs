//! Statements that do nothing but call one of PostgreSQL's functions about server processes, as their text tells.

/// What is asked about a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessFunction {
    /// `pg_backend_pid()`: which one serves the client.
    Own,
    /// `pg_cancel_backend(pid)`: what it runs is to be cancelled.
    Cancel,
    /// `pg_terminate_backend(pid [, timeout])`: it is to end.
    Terminate,
}

/// A number, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// A value.
    Value(i64),
    /// The parameter of this number, counted from 0.
    Parameter(usize),
}

/// One such statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessCall {
    /// What it asks.
    pub function: ProcessFunction,
    /// About which process; none where that is its own.
    pub process: Option<Number>,
    /// How long the end is waited for.
    pub timeout: Option<Number>,
    /// The name of its column, as it may stand behind `AS`.
    pub column: Box<[u8]>,
}
