//! How the strings of a text are read while something is under way that may change it.
//!
//! A server reads a text when it comes to it, by what holds then: a query string as a whole, the texts of a batch one by
//! one. Only a backslash tells one way from the other, so a text without one is read as ever. What has one, and stands
//! behind what may change the way, is not read at all: it may be anything. Pure. It never waits: who reads a request
//! does, where that helps.

use crate::session::model::statements::Names;
use crate::session::relay::message::{Message, MessageKind};
use crate::sql::{Change, Discard, Kind, Statement, Why};

/// By what a server cuts strings out of a text.
const READ_BY: [&str; 2] = ["standard_conforming_strings", "backslash_quote"];

/// What is not answered yet, as far as it concerns how strings are read.
pub(crate) trait InFlight {
    /// Whether anything is.
    fn is_any(&self) -> bool;
    /// Whether any of it may change how strings are read.
    fn may_change_strings(&self) -> bool;
    /// Whether the end of the transaction, or a return to a savepoint of it, may.
    fn ends_change_strings(&self) -> bool;
}

/// Nothing is.
pub(crate) struct Settled;

impl InFlight for Settled {
    fn is_any(&self) -> bool {
        false
    }

    fn may_change_strings(&self) -> bool {
        false
    }

    fn ends_change_strings(&self) -> bool {
        false
    }
}

/// Whether nobody knows yet how the server will read the text that this message brings, behind these of its request.
pub(super) fn is_unsettled(
    (message, bytes): (&Message, &[u8]),
    before: &[Message],
    names: &Names,
    in_flight: &dyn InFlight,
) -> bool {
    if before.is_empty() && !in_flight.is_any() {
        return false;
    }
    let (MessageKind::Query { sql } | MessageKind::Parse { sql, .. }) = message.kind else { return false };
    let statement = |statement: &Statement| {
        may_change_strings(statement) || (returns(&statement.kind) && in_flight.ends_change_strings())
    };
    let changes = |message: &Message| {
        // A portal may have been bound before.
        let bound = match message.kind {
            MessageKind::Execute { portal, .. } => names.portal(portal.of(bytes)),
            _ => None,
        };
        message.verdict.iter().chain(bound).any(|verdict| verdict.statements.iter().any(statement))
    };
    sql.of(bytes).contains(&b'\\') && (before.iter().any(changes) || in_flight.may_change_strings())
}

/// Whether it takes back what was set.
fn returns(kind: &Kind) -> bool {
    matches!(kind, Kind::Commit { .. } | Kind::Rollback { .. } | Kind::RollbackTo(_))
}

/// Whether a statement may change how strings are read in what is run behind it. Whatever runs code of users may.
pub(crate) fn may_change_strings(statement: &Statement) -> bool {
    let Statement { kind, functions, effects, .. } = statement;
    let concerns = |name: Option<&str>| name.is_none_or(|name| READ_BY.contains(&name));
    let by_kind = match kind {
        Kind::Reset(name) => concerns(name.as_deref()),
        Kind::Discard(Discard::All) | Kind::Execute(_) | Kind::Primary(Why::Procedure) => true,
        _ => false,
    };
    let by_change = |change: &Change| match change {
        Change::DynamicSetting(name) | Change::LocalSetting(name) => concerns(name.as_deref()),
        Change::Code(_) | Change::LongStatement | Change::Unknown | Change::Load => true,
        _ => false,
    };
    by_kind
        || !functions.is_empty()
        || effects.code.is_some()
        || effects.settings.iter().any(|setting| concerns(Some(&setting.name)))
        || effects.changes.iter().any(by_change)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{Classifier, StandardConformingStrings};

    #[test]
    fn what_may_change_how_strings_are_read() {
        let may = |sql: &str| {
            let verdict = Classifier::new(1).classify(sql.as_bytes(), StandardConformingStrings::On);
            verdict.statements.iter().any(may_change_strings)
        };
        for sql in [
            "SET standard_conforming_strings = off",
            "SET LOCAL Standard_Conforming_Strings TO off",
            "SET backslash_quote = on",
            "SET standard_conforming_strings = DEFAULT",
            "RESET standard_conforming_strings",
            "RESET ALL",
            "DISCARD ALL",
            "SELECT set_config('standard_conforming_strings', 'off', false)",
            "SELECT set_config('standard_conforming_strings', $1, true)",
            "SELECT set_config($1, 'off', false)",
            "UPDATE pg_settings SET setting = 'off' WHERE name = 'standard_conforming_strings'",
            "SELECT f()",
            "INSERT INTO t SELECT f()",
            "EXECUTE s",
            "CALL p()",
            "DO $$ BEGIN SET standard_conforming_strings = off; END $$",
            "SELECT '",
        ] {
            assert!(may(sql), "{sql}");
        }
        for sql in [
            "SELECT 1",
            "SELECT lower('a') FROM t",
            "INSERT INTO t VALUES (1)",
            "SET TimeZone = 'UTC'",
            "RESET work_mem",
            "SELECT set_config('app.tenant', '7', false)",
            "BEGIN",
            "LISTEN c",
            "DISCARD PLANS",
        ] {
            assert!(!may(sql), "{sql}");
        }
    }
}
