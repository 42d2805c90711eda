//! Rules from the configuration: who asks, what for, and where that goes, or the transaction that it begins.

use crate::config::Rule;
use crate::sql::{Name, Target, Transactions, Verdict};

use super::session_view::SessionView;

/// The target of the first rule that gives one and matches; `None` when none does.
pub(super) fn target(
    rules: &[Rule],
    verdict: &Verdict,
    sql: &[u8],
    session: &SessionView<'_>,
) -> Option<Target> {
    first(rules, |rule| rule.target, |rule| matches(rule, verdict, sql, session))
}

/// Where a transaction runs by the first rule that says it and matches the statement that begins the transaction; `None`
/// when none does.
pub fn transactions(
    rules: &[Rule],
    verdict: &Verdict,
    sql: &[u8],
    session: &SessionView<'_>,
) -> Option<Transactions> {
    first(rules, |rule| rule.transactions, |rule| matches(rule, verdict, sql, session))
}

/// What the first rule gives that gives any and matches: one that gives something else decides nothing of it.
fn first<T>(
    rules: &[Rule],
    given: impl Fn(&Rule) -> Option<T>,
    matches: impl Fn(&Rule) -> bool,
) -> Option<T> {
    rules.iter().find_map(|rule| given(rule).filter(|_| matches(rule)))
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

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::*;
    use crate::router::Transaction;
    use crate::sql::{Classifier, Modes, StandardConformingStrings};

    fn rule(target: Option<Target>, transactions: Option<Transactions>) -> Rule {
        Rule {
            user: Some("app".to_owned()),
            database: None,
            application_name: None,
            table: None,
            statement: None,
            target,
            transactions,
        }
    }

    /// What the rules say of a statement of this user.
    fn said(rules: &[Rule], user: &str, sql: &str) -> (Option<Target>, Option<Transactions>) {
        let session = SessionView {
            transaction: Transaction::None,
            pin: None,
            target: None,
            user,
            database: "shop",
            application_name: "web",
            defaults: Modes::default(),
        };
        let sql = sql.as_bytes();
        let verdict = Classifier::new(1).classify(sql, StandardConformingStrings::On);
        (target(rules, &verdict, sql, &session), transactions(rules, &verdict, sql, &session))
    }

    #[test]
    fn a_rule_decides_only_what_it_gives() {
        let (on_primary, lazy) = (Some(Transactions::Primary), Some(Transactions::Lazy));
        let (target, transactions) = (rule(Some(Target::Primary), None), rule(None, on_primary));
        let begins = |rules: &[Rule]| said(rules, "app", "BEGIN");
        assert_eq!(begins(&[]), (None, None));
        assert_eq!(begins(from_ref(&target)), (Some(Target::Primary), None));
        assert_eq!(begins(from_ref(&transactions)), (None, on_primary));
        assert_eq!(begins(&[transactions.clone(), target]), (Some(Target::Primary), on_primary));
        assert_eq!(begins(&[rule(Some(Target::Auto), lazy), transactions]), (Some(Target::Auto), lazy));
    }

    #[test]
    fn the_statement_that_begins_a_transaction_is_looked_at() {
        let (on_primary, lazy) = (Some(Transactions::Primary), Some(Transactions::Lazy));
        let urgent = regex::bytes::Regex::new("urgent").ok();
        let rules = [Rule { statement: urgent, ..rule(None, on_primary) }, rule(None, lazy)];
        assert_eq!(said(&rules, "app", "/* urgent */ BEGIN"), (None, on_primary));
        assert_eq!(said(&rules, "app", "BEGIN"), (None, lazy));
        assert_eq!(said(&rules, "other", "/* urgent */ BEGIN"), (None, None));
    }
}
