//! Rules from the configuration: who asks, what for, and where that goes.

use crate::config::Rule;
use crate::sql::{Name, Target, Verdict};

use super::session_view::SessionView;

/// The target of the first rule that matches; `None` when none does.
pub(super) fn target(
    rules: &[Rule],
    verdict: &Verdict,
    sql: &[u8],
    session: &SessionView<'_>,
) -> Option<Target> {
    rules.iter().find(|rule| matches(rule, verdict, sql, session)).map(|rule| rule.target)
}

/// Whether all conditions that a rule gives hold. The regular expression, the dearest, comes last.
fn matches(rule: &Rule, verdict: &Verdict, sql: &[u8], session: &SessionView<'_>) -> bool {
    let is = |wanted: &Option<String>, actual: &str| wanted.as_deref().is_none_or(|w| w == actual);
    is(&rule.user, session.user)
        && is(&rule.database, session.database)
        && is(&rule.application_name, session.application_name)
        && rule.table.as_deref().is_none_or(|table| names(verdict, table))
        && rule.statement.as_ref().is_none_or(|regex| regex.is_match(sql))
}

/// Whether a verdict names a relation, given as `schema.name` or as `name` in any schema.
fn names(verdict: &Verdict, table: &str) -> bool {
    let is_table = |name: &Name| match table.split_once('.') {
        // An unqualified name in the statement may be this table, depending on search_path.
        Some((schema, table)) => *name.name == *table && name.schema.as_deref().is_none_or(|s| s == schema),
        None => *name.name == *table,
    };
    verdict.statements.iter().any(|s| s.reads.iter().chain(&s.writes).any(is_table))
}
