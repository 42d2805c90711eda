//! What a statement asks of its session's past that lives on one connection: SQL-level prepared statements by name, and
//! the values drawn from sequences.

use super::cursor::Cursor;
use super::lexer::Token;

/// What is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Dependency {
    /// Nothing.
    #[default]
    Nothing,
    /// What the prepared statement of this name is, or whether there is one.
    Statement(Box<str>),
    /// Which prepared statements there are.
    Statements,
    /// Which value the session has drawn (`currval`, `lastval`).
    Drawn,
    /// The end of a server process, its own perhaps (`pg_terminate_backend`).
    Termination,
}

/// What a statement asks.
pub(super) fn dependency(tokens: &[Token<'_>]) -> Dependency {
    const CALLS: [(&str, Dependency); 3] = [
        ("currval", Dependency::Drawn),
        ("lastval", Dependency::Drawn),
        ("pg_terminate_backend", Dependency::Termination),
    ];
    let called = |token: &Token<'_>, next: Option<&Token<'_>>| {
        let call = CALLS.iter().find(|(name, _)| token.is_word(name))?;
        next.filter(|next| next.is_symbol("(")).map(|_| call.1.clone())
    };
    let lists =
        |token: &Token<'_>| token.is_word("pg_prepared_statements") || token.is_word("pg_prepared_statement");
    for (at, token) in tokens.iter().enumerate() {
        if lists(token) {
            return Dependency::Statements;
        }
        if let Some(dependency) = called(token, tokens.get(at + 1)) {
            return dependency;
        }
    }
    by_name(tokens).map_or(Dependency::Nothing, Dependency::Statement)
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
    use super::super::{Classifier, StandardConformingStrings};
    use super::*;

    #[test]
    fn what_lives_on_one_connection_is_asked_for() {
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
        assert_eq!(dependency("SELECT pg_terminate_backend(pg_backend_pid())"), Dependency::Termination);
        for sql in ["SELECT nextval('s')", "SELECT currval FROM t", "SELECT 'execute p'", "DEALLOCATE p"] {
            assert_eq!(dependency(sql), Dependency::Nothing, "{sql}");
        }
    }
}
