//! Which relations a statement may have changed, and which its answer may depend on.
//!
//! Names are as the statement wrote them: what triggers, rules, foreign keys and views add to them is the catalog's to
//! say. Functions that weir does not know are in [`Statement::functions`].

use super::verdict::{Kind, Listed, Name, Statement, Why};

/// What a statement touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access<'a> {
    /// No relation.
    Nothing,
    /// These, and what the catalog says they reach. May be empty.
    Relations(&'a [Name]),
    /// Any relation: its text does not tell.
    Everything,
}

impl Statement {
    /// What it may have changed when it ran on the primary, not counting what [`functions`](Self::functions) did: of
    /// those that are volatile or unknown, everything must be supposed.
    ///
    /// Sequences do not count: they must be read on the primary in any case. Nor do locks, notifications and
    /// what belongs to a session.
    pub fn writes_what(&self) -> Access<'_> {
        match (self.writes_listed, &*self.writes) {
            (Listed::Partly, _) => Access::Everything,
            (Listed::Wholly, []) => Access::Nothing,
            (Listed::Wholly, names) => Access::Relations(names),
        }
    }

    /// What its answer may depend on. Everything, if it calls a function that weir does not know: even one that is
    /// declared STABLE may read any relation.
    pub fn reads_what(&self) -> Access<'_> {
        // What is both written and read is listed as written alone.
        let told = self.reads_listed == Listed::Wholly && self.functions.is_empty() && self.writes.is_empty();
        if told { Access::Relations(&self.reads) } else { Access::Everything }
    }
}

/// Whether a statement of this kind that lists no relation writes none.
pub(super) fn writes_listed(kind: &Kind) -> Listed {
    match kind {
        // What the name stands for was said in another statement.
        Kind::Execute(_) => Listed::Partly,
        Kind::Primary(why) => why_writes(*why),
        _ => Listed::Wholly,
    }
}

/// Whether a statement of this kind that lists no relation reads none.
pub(super) fn reads_listed(kind: &Kind) -> Listed {
    match kind {
        // The statements that it stands for are not known: those of the transaction, of the cursor, of the name.
        Kind::Begin(_) | Kind::Cursor | Kind::Execute(_) | Kind::Primary(_) => Listed::Partly,
        _ => Listed::Wholly,
    }
}

fn why_writes(why: Why) -> Listed {
    match why {
        Why::RowLock
        | Why::TableLock
        | Why::Sequence
        | Why::AdvisoryLock
        | Why::ServerState
        | Why::SessionState
        | Why::Notification
        | Why::HoldCursor => Listed::Wholly,
        Why::Write
        | Why::Ddl
        | Why::VolatileFunction
        | Why::Procedure
        | Why::Maintenance
        | Why::Temporary
        | Why::TwoPhase
        | Why::ServerFile
        | Why::Unparsable
        | Why::TooLong => Listed::Partly,
    }
}

#[cfg(test)]
#[path = "access_tests.rs"]
mod tests;
