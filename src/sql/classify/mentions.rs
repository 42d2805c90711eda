//! Names that may run a user's function although no unknown function is called by them. Whether there is such a function
//! is the catalog's to say: most databases have none, and there nobody looks at this list.
//!
//! Two ways lead there. A call of a built-in function means a user's where the arguments fit that better, or where the
//! search path has it first. And `x.f` is `f(x)` where `x` has no column `f`, be `x` a row of a table, one in parentheses,
//! a parameter, or a value: functions of one argument answer to it, PostgreSQL's own as well. Operators, and types that a
//! value is made one of, are what users have made of them too.

use super::functions::{Class, KnownFunctions};
use super::reserved::is_reserved;
use crate::sql::text::{self, Token, TokenKind};
use crate::sql::verdict::Name;

/// Most names that are listed of one statement. One with more mentions the empty name, which stands for all.
const MENTIONS_MAX: usize = 1_000;

/// Operators that words of the grammar mean as well.
const COMPARISONS: [&str; 7] = ["=", "<>", "!=", "<", "<=", ">", ">="];

/// The names in a statement, or in a body of code.
pub(super) fn mentions(tokens: &[Token<'_>], known: &KnownFunctions) -> Box<[Box<str>]> {
    let mut names: Vec<Box<str>> = Vec::new();
    for at in 0..tokens.len() {
        names.extend(mentioned(tokens, at, known));
        if names.len() > 2 * MENTIONS_MAX {
            // Most are the same.
            names.sort_unstable();
            names.dedup();
        }
        if names.len() > MENTIONS_MAX {
            return Box::new(["".into()]);
        }
    }
    names.sort_unstable();
    names.dedup();
    names.into()
}

fn mentioned(tokens: &[Token<'_>], at: usize, known: &KnownFunctions) -> Option<Box<str>> {
    let token = tokens[at];
    if token.kind == TokenKind::Operator {
        // A user's comparison is behind more than its symbol: it counts for all statements.
        if COMPARISONS.iter().any(|symbol| token.is_symbol(symbol)) {
            return None;
        }
        return std::str::from_utf8(token.text).ok().map(Into::into);
    }
    if !token.is_name() {
        return None;
    }
    let called = tokens.get(at + 1).is_some_and(|next| next.is_symbol("("));
    match (called, is_part(tokens, at)) {
        // With a schema it is PostgreSQL's own, or listed as an unknown function.
        (true, true) => None,
        (false, true) => Some(named(token)),
        (false, false) => is_type(tokens, at).then(|| named(token)),
        (true, false) if is_reserved(&token) => None,
        (true, false) => {
            text::name(token).filter(|name| known.class(&Name { schema: None, name: name.clone() }).is_some())
        }
    }
}

/// What a name says; the empty name, which stands for all, where that is not sure: in an encoding that is not read here, or
/// in escapes that what follows may read otherwise (`UESCAPE`).
fn named(token: Token<'_>) -> Box<str> {
    let escaped = token.kind == TokenKind::UnicodeName;
    text::name(token).filter(|_| !escaped).unwrap_or_default()
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

/// Whether a name may be a type's: it is cast to, given to a literal, or stands behind another word, as in `AS t`.
fn is_type(tokens: &[Token<'_>], at: usize) -> bool {
    let literal = tokens.get(at + 1).is_some_and(|next| matches!(next.kind, TokenKind::String(_)));
    let behind = at.checked_sub(1).is_some_and(|before| {
        let before = &tokens[before];
        let word = before.is_name() && !is_reserved(before);
        word || before.is_symbol("::") || before.is_word("as") || before.is_word("returning")
    });
    (literal || behind) && !is_reserved(&tokens[at])
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
            ("SELECT count(*), log('x') FROM t WHERE a IN (1) AND b = 2", "* count log"),
            ("SELECT pg_catalog.log(2), public.log('x'), mine(1)", ""),
            ("SELECT t.f, (t).g, (row(1)::c).h, $1.i, a[1].\"J\" FROM s.t", "J c f g h i row t"),
            ("INSERT INTO t (a) VALUES (upper(b))", "upper values"),
            ("COPY (SELECT lower(a)) TO STDOUT", "lower"),
            ("PREPARE p AS SELECT t.f FROM t", "f"),
            ("SELECT 'log(x)', a.1 -- t.f", ""),
            ("SELECT a::d1, CAST(b AS s.d2), d3 '1' FROM t x", "cast d1 d2 d3 s x"),
            ("SELECT a <<! b, c OPERATOR(s.@@@) d", "<<! @@@"),
        ] {
            let mentions = statement(sql).mentions;
            let listed = |name: &str| mentions.iter().any(|mention| **mention == *name);
            assert!(expected.split_whitespace().all(listed), "{sql}: {mentions:?}");
            assert!(!["x'", "mine", "a", "t.f"].into_iter().any(listed), "{sql}: {mentions:?}");
        }
    }

    #[test]
    fn a_name_that_cannot_be_read_may_be_any() {
        let texts: [&[u8]; 4] = [
            b"SELECT t.\xe9 FROM t",
            b"SELECT 1::\"\xe9\"",
            b"SELECT t.U&\"d!0061ta\" UESCAPE '!' FROM t",
            b"SELECT t.U&\"d\\0061ta\" FROM t",
        ];
        for sql in texts {
            let verdict = Classifier::new(1).classify(sql, StandardConformingStrings::On);
            let statement = &verdict.statements[0];
            let all = statement.mentions.iter().any(|name| name.is_empty());
            assert!(all || statement.kind == Kind::Primary(Why::Unparsable), "{statement:?}");
        }
        for sql in [&b"SELECT \xe9(1)"[..], b"SELECT a FROM \xe9"] {
            let verdict = Classifier::new(1).classify(sql, StandardConformingStrings::On);
            let statement = &verdict.statements[0];
            assert!(matches!(statement.kind, Kind::Primary(_)), "{statement:?}");
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
