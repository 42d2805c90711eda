//! What all databases of a cluster share, roles and their members, the databases themselves: it is changed through one
//! database and read through another, so that its marks of freshness belong to the cluster.
//!
//! A statement whose text, or whose code, changes such a catalog counts as a write to whatever is read in any database:
//! what a role may do decides there as well. One of which it cannot be told what it changes counts for those who read
//! such a catalog, and for nobody else: otherwise each procedure would slow down the readers of all databases.

use std::time::Instant;

use crate::cluster::catalog::Catalog;
use crate::freshness::{Doubt, Instants, Marks};
use crate::session::consistency::observed_reads::Touched;
use crate::session::consistency::pending_writes::PendingWrites;
use crate::sql::{Beyond, Listed, Statement};

/// Whether a statement's answer may depend on what all databases share by more than its right to run.
pub(crate) fn reads_shared(statement: &Statement, catalog: Option<&Catalog>) -> bool {
    if statement.beyond.has(Beyond::READS_SHARED) || statement.reads_listed == Listed::Partly {
        return true;
    }
    let Some(catalog) = catalog else { return true };
    let known = &catalog.beyond;
    let function = |name| catalog.function(name).is_none() || known.function(name).has(Beyond::READS_SHARED);
    known.anywhere().has(Beyond::READS_SHARED)
        || statement.functions.iter().any(function)
        || statement.reads.iter().any(|name| known.read(name).has(Beyond::READS_SHARED))
}

/// Enters what was written, or may have been, in the marks of the cluster.
pub(crate) fn mark(
    instants: &Instants,
    (pending, touched): (&PendingWrites, &Touched),
    catalog: Option<&Catalog>,
    at: Instant,
) {
    if pending.writes_shared(catalog) {
        instants.enter_anything(at);
    } else if *touched == Touched::Anything {
        instants.enter_something(at);
    }
}

/// What a read must hold of what all databases share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CommonFloor {
    pub(crate) written: Instant,
    pub(crate) doubt: Option<Doubt>,
}

impl CommonFloor {
    /// Of any read: what is known to have changed.
    pub(crate) fn certain(marks: &Marks) -> Self {
        Self { written: marks.last_write(&[]), doubt: doubt(marks, |instants| instants.last(&[])) }
    }

    /// Of one that reads such a catalog: whatever may have changed.
    pub(crate) fn possible(marks: &Marks) -> Self {
        Self { written: marks.latest_write(), doubt: doubt(marks, Instants::latest) }
    }
}

fn doubt(marks: &Marks, last: fn(&Instants) -> Option<Instant>) -> Option<Doubt> {
    last(&marks.unanswered).map(|at| Doubt { at, looked: last(&marks.looked) })
}

/// Both doubts.
pub(crate) fn join(one: Option<Doubt>, other: Option<Doubt>) -> Option<Doubt> {
    match (one, other) {
        (Some(one), Some(other)) => {
            Some(Doubt { at: one.at.max(other.at), looked: one.looked.max(other.looked) })
        }
        (one, other) => one.or(other),
    }
}
