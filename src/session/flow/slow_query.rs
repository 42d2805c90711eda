//! The slow-query line: what it needs is kept while requests are in flight, and made into words only when they took
//! too long.

use std::time::Duration;

use crate::router::Reason;
use crate::session::Session;
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

impl Session {
    /// All that was in flight has been answered after `took`; tells of it when that is longer than the limit.
    pub(crate) fn tell_if_slow(&self, took: Duration) {
        let limit = self.shared.config.log.slow_query;
        let (Some(limit), Some(leg)) = (limit, &self.leg) else { return };
        if took <= limit {
            return;
        }
        let topology = self.shared.cluster.topology();
        let server = topology.server(leg.lease.server());
        let line = SlowQuery {
            id: self.entry.key().pid(),
            user: &self.who.user.name,
            database: &self.who.database,
            server: server.map_or("", |server| &server.name),
            route: leg.route.as_str(),
            reason: self.trail.reason.map_or("", Reason::as_str),
            took,
            shape: &shape(&self.trail.text, self.trail.strings),
        };
        line.log();
    }
}
