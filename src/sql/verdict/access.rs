//! Which relations a statement may have changed, and which its answer may depend on.
//!
//! Names are as the statement wrote them: what triggers, rules, foreign keys and views add to them is the catalog's to
//! say. Functions that weir does not know are in [`Statement::functions`](super::Statement::functions).

use super::kind::{Kind, Why};
use super::name::Name;

/// How many of the relations that a statement accesses are on a list. Functions that weir does not know are not considered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Listed {
    /// All of them.
    #[default]
    Wholly,
    /// There may be more, of any name.
    Partly,
}

/// The relations that a statement accesses in one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access<'a> {
    /// No relation.
    Nothing,
    /// These, and what the catalog says they reach. May be empty.
    Relations(&'a [Name]),
    /// Any relation: its text does not tell.
    Everything,
}

impl Kind {
    /// Whether a statement of this kind that lists no relation writes none.
    pub(super) fn writes_listed(&self) -> Listed {
        match self {
            // What the name stands for was said in another statement.
            Kind::Execute(_) => Listed::Partly,
            Kind::Primary(why) => why_writes(*why),
            _ => Listed::Wholly,
        }
    }

    /// Whether a statement of this kind that lists no relation reads none.
    pub(super) fn reads_listed(&self) -> Listed {
        match self {
            // The statements that it stands for are not known: those of the transaction, of the cursor, of the name.
            Kind::Begin(_) | Kind::Cursor(_) | Kind::Execute(_) | Kind::Primary(_) => Listed::Partly,
            _ => Listed::Wholly,
        }
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
