//! The slow-query line: what it needs is kept while requests are in flight, and made into words only when they took
//! too long.

use std::time::Duration;

use crate::router::{Reason, Route};
use crate::sql::{SHAPE_MAX, StandardConformingStrings, shape};
use crate::telemetry::log::SlowQuery;

/// The beginning of the statement that a flight began with. The memory is used again for the next one.
#[derive(Debug, Default)]
pub(crate) struct SlowQueryTrail {
    text: Vec<u8>,
    reason: Option<Reason>,
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
