//! What must be remembered about a message until its reply is done or dropped.

use std::sync::Arc;

use crate::backend::ledger::Batch;
use crate::backend::prepared::{Preparation, ServerName, Stamp};
use crate::session::model::positions::Difference;
use crate::session::model::statements::{Handle, Naming, Unnamed};
use crate::sql::{Kind, Pin, Statement, Verdict};

/// What is remembered with an entry of the ledger. It is moved in and out for each message: what is large and rare is on
/// the heap.
#[derive(Clone, Debug, Default)]
pub(crate) enum PendingReply {
    /// Nothing to remember.
    #[default]
    None,
    /// A query or an execution that changes the session when it completes.
    Runs(Arc<Verdict>),
    /// A statement that controls the transaction, and weir answers.
    Kept(Arc<Verdict>),
    /// What weir put in front of a request to have a server stand where the client stands in its transaction.
    Begins,
    /// One that also frees names of statements, which are taken back should it fail, or is followed by others.
    Frees(Box<Freed>),
    /// The client's Parse of a named statement; sent to the server under this stamp, or answered by weir.
    Parsed(Box<PendingParse>),
    /// The client's Parse of the unnamed statement, by its serial, and the one before.
    ParsedUnnamed(u64, Option<Box<Unnamed>>),
    /// The client's Bind of this portal, and what the portal of that name executes if this one fails.
    Bound(Box<[u8]>, Option<Arc<Verdict>>),
    /// The client's Close of a named statement, which named this.
    Closed(Box<(Box<[u8]>, Handle)>),
    /// A Parse that weir put in: in a batch of its own, or in the client's.
    Prepares(Preparation, Stamp, Batch),
    /// A Parse or Close of the unnamed statement that weir put in.
    RestoresUnnamed,
    /// A Describe of the client's statement, or of a portal bound to it: what it says, the client will rely on.
    Describes(Box<Described>),
    /// A Describe that weir put in, to see whether the client's statement still is what the client was told.
    Verifies(Box<Described>),
    /// The same, in front of the request that executes it: that runs again if it is not.
    Compares(Box<Described>),
    /// A Bind or Describe of a name that only weir gives: it must fail, in the client's words.
    Foreign(Box<[u8]>),
    /// A Bind that must fail because the statement's result has changed.
    Outdated,
    /// A Close of a name that no longer serves.
    Retires(Box<ServerName>),
    /// A change of settings that weir put in.
    Applies,
    /// The Parse of one.
    Applying,
    /// A Parse that weir put in under the client's own name of a statement: in a batch of its own, or in the client's.
    Publishes(Box<[u8]>, Batch),
    /// What weir put in to make a transaction that has failed.
    Fails,
    /// The Sync by which weir ended the client's batch on a connection.
    EndsBatch,
    /// A query or a Parse that must fail because the user's policy refuses the statement, which would pin by this.
    Refused(Pin),
    /// A Parse that must fail because the name is taken: the client's name stands in for the server's.
    Duplicate(Box<(Box<[u8]>, ServerName)>),
}

impl PendingReply {
    /// Whether a statement frees the name of one that was prepared by protocol, and none that SQL knows.
    pub(crate) fn frees(&self, statement: &Statement) -> bool {
        let (PendingReply::Frees(freed), Kind::Deallocate(Some(name))) = (self, &statement.kind) else {
            return false;
        };
        let by_protocol = |handle: &Handle| handle.naming == Naming::Weirs;
        freed.names.iter().any(|(freed, handle)| **freed == *name.as_bytes() && by_protocol(handle))
    }

    /// Whether it is of a Parse that weir put in a batch of its own: should that fail, the client's request has not.
    pub(crate) fn has_own_batch(&self) -> bool {
        matches!(self, Self::Publishes(_, Batch::Closed) | Self::Prepares(_, _, Batch::Closed))
    }

    /// Whether it is of a query or an execution that commits or rolls back: what stands behind it does not belong to the
    /// transaction any more.
    pub(crate) fn ends(&self) -> bool {
        self.runs(|kind| matches!(kind, Kind::Commit { .. } | Kind::Rollback { .. }))
    }

    fn runs(&self, what: impl Fn(&Kind) -> bool) -> bool {
        let mut statements = self.verdict().into_iter().flat_map(|verdict| &verdict.statements);
        statements.any(|statement| what(&statement.kind))
    }

    /// Whether it is of a query or an execution that begins a transaction and leaves it open.
    pub(crate) fn begins(&self) -> bool {
        let statements = self.verdict().into_iter().flat_map(|verdict| &verdict.statements);
        statements.fold(false, |open, statement| match statement.kind {
            Kind::Begin(_) => true,
            Kind::Commit { .. } | Kind::Rollback { .. } => open && statement.kind.chains(),
            _ => open,
        })
    }

    /// Where the server was given another text than the client's.
    pub(crate) fn differences(&self) -> &[Difference] {
        match self {
            PendingReply::Frees(freed) => &freed.differences,
            _ => &[],
        }
    }

    /// What runs.
    pub(crate) fn verdict(&self) -> Option<&Arc<Verdict>> {
        match self {
            PendingReply::Runs(verdict) => Some(verdict),
            PendingReply::Frees(freed) => Some(&freed.verdict),
            _ => None,
        }
    }

    /// Which statement of the client's has completed when the server says so for the `nth` time, counted from 0, and
    /// how many follow that restore what it has reset; none when it was one of those.
    pub(crate) fn completes(&self, nth: usize) -> Option<(usize, usize)> {
        let PendingReply::Frees(freed) = self else { return Some((nth, 0)) };
        let mut before = 0;
        for (at, restores) in freed.restores.iter().enumerate() {
            if nth == before {
                return Some((at, *restores));
            }
            before += 1 + restores;
            if nth < before {
                return None;
            }
        }
        Some((nth - before + freed.restores.len(), 0))
    }
}

/// The statement that is described.
#[derive(Clone, Debug)]
pub(crate) enum Described {
    /// The client's statement of this name, in this preparation.
    Named(Box<[u8]>, Preparation),
    /// The unnamed statement with this serial.
    Unnamed(u64),
}

/// A query or an execution with DEALLOCATE, DISCARD or RESET in it, or one of which the server was given another text.
#[derive(Clone, Debug)]
pub(crate) struct Freed {
    /// What runs.
    pub verdict: Arc<Verdict>,
    /// The names, and what they named.
    pub names: Vec<(Box<[u8]>, Handle)>,
    /// Under which names the server held them: to be closed, should it fail.
    pub held: Vec<ServerName>,
    /// How many statements of weir's follow each of the client's, to restore what it resets.
    pub restores: Box<[usize]>,
    /// Where the server was given another text.
    pub differences: Box<[Difference]>,
}

/// A client's Parse of a named statement.
#[derive(Clone, Debug)]
pub(crate) struct PendingParse {
    /// The client's name for it.
    pub name: Box<[u8]>,
    /// What the server was asked to prepare; `None` when it had it already.
    pub sent: Option<(Preparation, Stamp)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_moved_for_each_message_is_small() {
        assert!(size_of::<PendingReply>() <= 32);
    }
}
