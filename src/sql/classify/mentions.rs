//! Names that may run a user's function although no unknown function is called by them. Whether there is such a function
//! is the catalog's to say: most databases have none, and there nobody looks at this list.
//!
//! Two ways lead there. A call of a built-in function means a user's where the arguments fit that better, or where the
//! search path has it first. And `x.f` is `f(x)` where `x` has no column `f`, be `x` a row of a table, one in parentheses,
//! a parameter, or a value: functions of one argument answer to it, PostgreSQL's own as well.

use super::functions::{Class, KnownFunctions};
use super::reserved::is_reserved;
use crate::sql::text::{self, Token};
use crate::sql::verdict::Name;

/// Most names that are listed of one statement; of one with more, no list is needed to be slow.
const MENTIONS_MAX: usize = 1_000;

/// The names in a statement, or in a body of code.
pub(super) fn mentions(tokens: &[Token<'_>], known: &KnownFunctions) -> Box<[Box<str>]> {
    let mut names: Vec<Box<str>> =
        (0..tokens.len()).filter_map(|at| mentioned(tokens, at, known)).take(MENTIONS_MAX).collect();
    names.sort_unstable();
    names.dedup();
    names.into()
}

fn mentioned(tokens: &[Token<'_>], at: usize, known: &KnownFunctions) -> Option<Box<str>> {
    let token = tokens[at];
    if !token.is_name() {
        return None;
    }
    let called = tokens.get(at + 1).is_some_and(|next| next.is_symbol("("));
    match (called, is_part(tokens, at)) {
        // With a schema it is PostgreSQL's own, or listed as an unknown function.
        (true, true) | (false, false) => None,
        (false, true) => text::name(token),
        (true, false) if is_reserved(&token) => None,
        (true, false) => {
            text::name(token).filter(|name| known.class(&Name { schema: None, name: name.clone() }).is_some())
        }
    }
}

/// What a name behind a dot calls, if it is one of PostgreSQL's own that does more than compute: `(5).pg_advisory_lock`.
/// A column of such a name is mistaken for it, and costs a trip to the primary.
pub(super) fn applied(tokens: &[Token<'_>], at: usize, known: &KnownFunctions) -> Option<(Name, Class)> {
    let called = tokens.get(at + 1).is_some_and(|next| next.is_symbol("("));
    if called || !is_part(tokens, at) {
        return None;
    }
    let name = Name { schema: None, name: text::name(tokens[at])? };
    let class = known.class(&name).filter(|class| *class != Class::ReadOnly)?;
    Some((name, class))
}

fn is_part(tokens: &[Token<'_>], at: usize) -> bool {
    at.checked_sub(1).is_some_and(|before| tokens[before].is_symbol("."))
}

#[cfg(test)]
mod tests {
    use crate::sql::{Classifier, Kind, StandardConformingStrings, Statement, Traces, Why};

    fn statement(sql: &str) -> Statement {
        Classifier::new(1).classify(sql.as_bytes(), StandardConformingStrings::On).statements[0].clone()
    }

    #[test]
    fn what_a_function_of_a_user_may_answer_to_is_listed() {
        for (sql, expected) in [
            ("SELECT count(*), log('x') FROM t WHERE a IN (1) AND b = 2", "count log"),
            ("SELECT pg_catalog.log(2), public.log('x'), mine(1)", ""),
            ("SELECT t.f, (t).g, (row(1)::c).h, $1.i, a[1].\"J\" FROM s.t", "J f g h i row t"),
            ("INSERT INTO t (a) VALUES (upper(b))", "upper values"),
            ("COPY (SELECT lower(a)) TO STDOUT", "lower"),
            ("PREPARE p AS SELECT t.f FROM t", "f"),
            ("SELECT 'log(x)', a.1 -- t.f", ""),
        ] {
            assert_eq!(statement(sql).mentions.join(" "), expected, "{sql}");
        }
    }

    #[test]
    fn a_function_that_is_called_as_an_attribute_is_called() {
        for (sql, why) in [
            ("SELECT (5::bigint).pg_advisory_lock", Why::AdvisoryLock),
            ("SELECT $1.pg_advisory_lock", Why::AdvisoryLock),
            ("SELECT n.pg_try_advisory_xact_lock FROM generate_series(1::bigint, 2) n", Why::AdvisoryLock),
            ("SELECT ('s'::regclass).nextval", Why::Sequence),
            ("SELECT ('x'::text).current_setting", Why::ServerState),
            ("SELECT (0.5::float8).\"setseed\"", Why::SessionState),
        ] {
            let statement = statement(sql);
            assert_eq!(statement.kind, Kind::Primary(why), "{sql}");
            let leaves = !matches!(why, Why::Sequence | Why::ServerState) && !sql.contains("xact");
            assert_eq!(statement.effects.traces() > Traces::None, leaves, "{sql}");
        }
        for sql in ["SELECT t.a, (t).b, t.lower FROM s.t", "SELECT (now()).date_part"] {
            assert_eq!(statement(sql).kind, Kind::Read, "{sql}");
        }
    }
}
