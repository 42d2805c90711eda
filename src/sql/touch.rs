//! What a statement touches, as far as its text tells.

use super::verdict::{Kind, Name, Statement, Why};

/// What a statement touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch<'a> {
    /// Nothing.
    Nothing,
    /// These relations.
    Relations(&'a [Name]),
    /// Anything.
    Everything,
}

impl Statement {
    /// What it may have changed.
    pub fn writes_what(&self) -> Touch<'_> {
        match &self.kind {
            Kind::Primary(Why::Write) if !self.writes.is_empty() => Touch::Relations(&self.writes),
            Kind::Primary(
                Why::RowLock | Why::TableLock | Why::Sequence | Why::AdvisoryLock | Why::ServerState,
            ) => Touch::Nothing,
            Kind::Primary(_) | Kind::Execute(_) => Touch::Everything,
            _ => Touch::Nothing,
        }
    }

    /// What its answer may depend on.
    pub fn reads_what(&self) -> Touch<'_> {
        match &self.kind {
            Kind::Read => Touch::Relations(&self.reads),
            Kind::Show(_) => Touch::Nothing,
            _ => Touch::Everything,
        }
    }
}
