//! Finds what a statement depends on that lives on one connection: calls and system views by their names, prepared
//! statements by the command's grammar, the transaction by whatever asks for it. Whether it is there is not looked at.

use super::{process, transaction};
use crate::sql::text::{Cursor, StandardConformingStrings, Token};
use crate::sql::verdict::{Dependency, ProcessFunction};

/// What a statement depends on.
pub(super) fn dependency(tokens: &[Token<'_>], strings: StandardConformingStrings) -> Dependency {
    const CALLS: [(&str, Dependency); 4] = [
        ("currval", Dependency::Drawn),
        ("lastval", Dependency::Drawn),
        ("pg_listening_channels", Dependency::Channels),
        ("pg_terminate_backend", Dependency::Termination),
    ];
    let called = |at: usize| {
        let call = CALLS.iter().find(|(name, _)| tokens[at].is_word(name))?;
        let next = tokens.get(at + 1).is_some_and(|next| next.is_symbol("("));
        // `(x).currval` is a call as well.
        let applied = at.checked_sub(1).is_some_and(|before| tokens[before].is_symbol("."));
        (next || applied).then(|| call.1.clone())
    };
    let lists =
        |token: &Token<'_>| token.is_word("pg_prepared_statements") || token.is_word("pg_prepared_statement");
    for (at, token) in tokens.iter().enumerate() {
        if lists(token) {
            return Dependency::Statements;
        }
        if let Some(dependency) = called(at) {
            return dependency;
        }
    }
    if let Some(call) = process::call(tokens, strings)
        && call.function != ProcessFunction::Terminate
    {
        return Dependency::Process;
    }
    if let Some(name) = by_name(tokens) {
        return Dependency::Statement(name);
    }
    if transaction::shows(tokens) {
        return Dependency::Modes;
    }
    // The modes come first: they are the same on fewer servers.
    let asked = (0..tokens.len()).filter_map(|at| transaction::asks(tokens, at, strings));
    asked.reduce(|one, other| if one == Dependency::Modes { one } else { other }).unwrap_or_default()
}

/// The name behind `PREPARE`, `EXECUTE`, `EXPLAIN ... EXECUTE` or `CREATE TABLE ... AS EXECUTE`.
fn by_name(tokens: &[Token<'_>]) -> Option<Box<str>> {
    let mut cursor = Cursor::new(tokens);
    if cursor.take_any(&["prepare", "execute"]).is_some() {
        return cursor.take_name();
    }
    cursor.take_any(&["explain", "create"])?;
    let at = cursor.rest().iter().position(|token| token.is_word("execute"))?;
    Cursor::new(&cursor.rest()[at + 1..]).take_name()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{Classifier, StandardConformingStrings};

    #[test]
    fn what_lives_on_one_connection_is_depended_on() {
        let dependency = |sql: &str| {
            let verdict = Classifier::new(1).classify(sql.as_bytes(), StandardConformingStrings::On);
            verdict.statements[0].depends_on.clone()
        };
        let p = || Dependency::Statement("p".into());
        for sql in [
            "EXECUTE p (1)",
            "PREPARE P AS SELECT 1",
            "EXPLAIN (COSTS OFF) EXECUTE p",
            "EXPLAIN ANALYZE EXECUTE p(2)",
        ] {
            assert_eq!(dependency(sql), p(), "{sql}");
        }
        assert_eq!(dependency("CREATE TEMP TABLE t AS EXECUTE p (2)"), p());
        assert_eq!(
            dependency("SELECT count(*) FROM pg_catalog.pg_prepared_statements"),
            Dependency::Statements
        );
        assert_eq!(dependency("INSERT INTO t SELECT currval('s')"), Dependency::Drawn);
        assert_eq!(dependency("SELECT pg_catalog.lastval()"), Dependency::Drawn);
        assert_eq!(dependency("SELECT ('s'::regclass).currval"), Dependency::Drawn);
        assert_eq!(dependency("SELECT pg_terminate_backend(pg_backend_pid())"), Dependency::Termination);
        assert_eq!(dependency("SELECT pg_terminate_backend(1)"), Dependency::Termination);
        assert_eq!(dependency("SELECT pg_backend_pid() AS pid"), Dependency::Process);
        assert_eq!(dependency("SELECT pg_cancel_backend($1)"), Dependency::Process);
        for sql in ["SELECT nextval('s')", "SELECT currval FROM t", "SELECT 'execute p'", "DEALLOCATE p"] {
            assert_eq!(dependency(sql), Dependency::Nothing, "{sql}");
        }
    }
}
