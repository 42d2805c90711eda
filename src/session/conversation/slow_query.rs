//! The slow-query line: what it needs is kept while requests are in flight, and made into words only when they took
//! too long.

use std::time::Duration;

use crate::router::{Reason, Route};
use crate::sql::{Kind, SHAPE_MAX, SkeletonId, StandardConformingStrings, Verdict, Why, shape};
use crate::telemetry::log::SlowQuery;

/// The beginning of the statement that a flight began with. The memory is used again for the next one.
#[derive(Debug, Default)]
pub(crate) struct SlowQueryTrail {
    text: Vec<u8>,
    pub(super) reason: Option<Reason>,
    /// Its skeleton, where it is known.
    pub(super) skeleton: Option<SkeletonId>,
    /// Whether it only reads, by its text.
    pub(super) reads: bool,
    /// How many flights there were before.
    pub(super) nth: u32,
    strings: StandardConformingStrings,
}

impl SlowQueryTrail {
    /// A flight begins with this statement, which went where it goes for this reason.
    pub(crate) fn begin(&mut self, sql: &[u8], reason: Reason, strings: StandardConformingStrings) {
        self.text.clear();
        // One byte more than is shown, so that the shape can tell that there is more.
        self.text.extend_from_slice(&sql[..sql.len().min(SHAPE_MAX + 1)]);
        (self.reason, self.strings) = (Some(reason), strings);
    }

    /// This is what is known of it.
    pub(crate) fn is_like(&mut self, verdict: Option<&Verdict>) {
        self.skeleton = verdict.map(|verdict| verdict.skeleton);
        self.reads = verdict.is_some_and(|verdict| verdict.statements.iter().all(|one| asks(&one.kind)));
    }

    /// The statement without its literals.
    pub(super) fn shape(&self) -> String {
        shape(&self.text, self.strings)
    }
}

/// Whether a statement is a question by its form, whatever keeps it on the primary.
fn asks(kind: &Kind) -> bool {
    let asks = |why: &Why| {
        matches!(
            why,
            Why::AdvisoryLock
                | Why::RowLock
                | Why::Sequence
                | Why::ServerFile
                | Why::ServerState
                | Why::SessionState
                | Why::VolatileFunction
        )
    };
    match kind {
        Kind::Read | Kind::Show(_) => true,
        Kind::Primary(why) => asks(why),
        _ => false,
    }
}

/// Whose request took too long, and where.
pub(crate) struct Slow<'a> {
    pub id: i32,
    pub user: &'a str,
    pub database: &'a str,
    pub server: &'a str,
    pub route: Route,
    pub took: Duration,
}

impl SlowQueryTrail {
    /// All that was in flight has been answered, later than it should.
    pub(crate) fn tell(&self, slow: &Slow<'_>) {
        let line = SlowQuery {
            id: slow.id,
            user: slow.user,
            database: slow.database,
            server: slow.server,
            route: slow.route.as_str(),
            reason: self.reason.map_or("", Reason::as_str),
            took: slow.took,
            shape: &shape(&self.text, self.strings),
        };
        line.log();
    }
}
