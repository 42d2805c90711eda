//! Why something in the harness did not work, in words for the person who reads a failed test.

use std::process::ExitCode;
use std::{error, fmt, io};

use crate::client::ServerError;

/// Shorthand for results with [`Failure`].
pub type Result<T> = std::result::Result<T, Failure>;

/// What went wrong.
pub enum Failure {
    /// A socket, a file or a process.
    Io(io::Error),
    /// The server (or weir) answered with an ErrorResponse.
    Server(Box<ServerError>),
    /// Anything else, as one sentence.
    Other(String),
}

impl Failure {
    /// A failure that is one sentence.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self::Other(sentence.into())
    }

    /// The SQLSTATE, when a server said no.
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Server(error) => Some(error.sqlstate()),
            Self::Io(_) | Self::Other(_) => None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Server(error) => error.fmt(f),
            Self::Other(sentence) => f.write_str(sentence),
        }
    }
}

/// The same words: a test that returns a failure has it printed this way.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl error::Error for Failure {}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<ServerError> for Failure {
    fn from(error: ServerError) -> Self {
        Self::Server(Box::new(error))
    }
}

/// How a program ends that has measured something: well when it missed nothing. What it missed, or why it could not go on, is
/// told on standard error.
pub fn ending(program: &str, outcome: Result<Vec<String>>) -> ExitCode {
    match outcome {
        Ok(misses) if misses.is_empty() => ExitCode::SUCCESS,
        Ok(misses) => {
            misses.iter().for_each(|miss| eprintln!("missed: {miss}"));
            ExitCode::FAILURE
        }
        Err(failure) => {
            eprintln!("{program}: {failure}");
            ExitCode::FAILURE
        }
    }
}
