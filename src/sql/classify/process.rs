//! Reads statements that do nothing but ask about a server process or signal one. A verdict serves all values, so that the
//! text is read again for those, where somebody needs them.

use crate::sql::text::{Cursor, StandardConformingStrings, Token, TokenKind, string_value, tokens};
use crate::sql::verdict::{Number, ProcessCall, ProcessFunction};

/// Words that no name of a column is without `AS`, among those that may stand behind the call.
const RESERVED: [&str; 20] = [
    "and",
    "as",
    "except",
    "fetch",
    "for",
    "from",
    "group",
    "having",
    "in",
    "intersect",
    "into",
    "is",
    "limit",
    "not",
    "offset",
    "or",
    "order",
    "union",
    "where",
    "window",
];

/// What a text does, if it is one such statement and nothing else.
pub(crate) fn process_call(sql: &[u8], strings: StandardConformingStrings) -> Option<ProcessCall> {
    match &*tokens(sql, strings).ok()? {
        [statement] => call(statement, strings),
        _ => None,
    }
}

/// What a statement does, if it is such a one.
pub(super) fn call(tokens: &[Token<'_>], strings: StandardConformingStrings) -> Option<ProcessCall> {
    let mut cursor = Cursor::new(tokens);
    if !cursor.take_word("select") {
        return None;
    }
    let name = cursor.take_qualified()?;
    if name.schema.as_deref().is_some_and(|schema| schema != "pg_catalog") {
        return None;
    }
    let (function, most) = match &*name.name {
        "pg_backend_pid" => (ProcessFunction::Own, 0),
        "pg_cancel_backend" => (ProcessFunction::Cancel, 1),
        "pg_terminate_backend" => (ProcessFunction::Terminate, 2),
        _ => return None,
    };
    let inside = cursor.take_parenthesised()?;
    let arguments = match inside {
        [] => Vec::new(),
        _ => {
            let each = inside.split(|token| token.is_symbol(","));
            each.map(|one| argument(one, strings)).collect::<Option<Vec<_>>>()?
        }
    };
    if arguments.len() > most || arguments.is_empty() != (most == 0) {
        return None;
    }
    let column = column(&mut cursor, &name.name)?;
    Some(ProcessCall {
        function,
        process: arguments.first().copied(),
        timeout: arguments.get(1).copied(),
        column,
    })
}

/// The name of the column, with which the statement ends.
fn column(cursor: &mut Cursor<'_, '_>, function: &str) -> Option<Box<[u8]>> {
    let said = cursor.take_word("as");
    let name = cursor.take();
    if !cursor.at_end() {
        return None;
    }
    match name {
        None => (!said).then(|| function.as_bytes().into()),
        Some(name) if !name.is_name() => None,
        Some(name) if !said && RESERVED.iter().any(|word| name.is_word(word)) => None,
        Some(name) => Some(name.text.into()),
    }
}

/// A number, in quotes or without, or a parameter; cast to an integer, or not.
fn argument(tokens: &[Token<'_>], strings: StandardConformingStrings) -> Option<Number> {
    let mut cursor = Cursor::new(tokens);
    if cursor.take_word("cast") {
        let [one, word, kind] = cursor.take_parenthesised().filter(|_| cursor.at_end())? else { return None };
        return number(one, strings).filter(|_| word.is_word("as") && is_integer(kind));
    }
    match tokens {
        [one] => number(one, strings),
        [one, cast, kind] if cast.is_symbol("::") && is_integer(kind) => number(one, strings),
        _ => None,
    }
}

fn number(token: &Token<'_>, strings: StandardConformingStrings) -> Option<Number> {
    let text = std::str::from_utf8(token.text).ok()?;
    match token.kind {
        TokenKind::Number => text.parse().ok().map(Number::Value),
        TokenKind::String(_) => string_value(*token, strings)?.trim().parse().ok().map(Number::Value),
        TokenKind::Parameter => {
            let number: usize = text.strip_prefix('$')?.parse().ok()?;
            number.checked_sub(1).map(Number::Parameter)
        }
        _ => None,
    }
}

fn is_integer(token: &Token<'_>) -> bool {
    ["int", "int4", "integer"].iter().any(|word| token.is_word(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(sql: &str) -> Option<ProcessCall> {
        process_call(sql.as_bytes(), StandardConformingStrings::On)
    }

    #[test]
    fn what_asks_about_a_process_and_nothing_else_is_read() {
        let own = |column: &str| {
            let column = column.as_bytes().into();
            Some(ProcessCall { function: ProcessFunction::Own, process: None, timeout: None, column })
        };
        for sql in [
            "select pg_backend_pid()",
            "SELECT pg_catalog.PG_BACKEND_PID ( ) ;",
            "/* x */ SELECT \"pg_backend_pid\"() -- y",
        ] {
            assert_eq!(read(sql), own("pg_backend_pid"), "{sql}");
        }
        assert_eq!(read("SELECT pg_backend_pid() AS pid"), own("pid"));
        assert_eq!(read("SELECT pg_backend_pid() \"Pid\""), own("\"Pid\""));
        assert_eq!(read("SELECT pg_backend_pid() as limit"), own("limit"));
        for sql in [
            "SELECT pg_backend_pid(), 1",
            "SELECT pg_backend_pid() + 0",
            "SELECT pg_backend_pid()::text",
            "SELECT pg_backend_pid() FROM t",
            "SELECT pg_backend_pid() LIMIT",
            "SELECT pg_backend_pid(1)",
            "SELECT public.pg_backend_pid()",
            "SELECT 1; SELECT pg_backend_pid()",
            "SELECT pg_backend_pid() as",
            "SELECT pg_backend_pid() as a b",
            "SELECT 'pg_backend_pid()'",
            "",
        ] {
            assert_eq!(read(sql), None, "{sql}");
        }
    }

    #[test]
    fn what_signals_a_process_names_it_by_a_number_or_a_parameter() {
        let named = |sql: &str| {
            let call = read(sql)?;
            Some((call.function, call.process?, call.timeout))
        };
        let (one, first) = (Number::Value(1), Number::Parameter(0));
        for (sql, expected) in [
            ("SELECT pg_cancel_backend(1)", (ProcessFunction::Cancel, one, None)),
            ("SELECT pg_cancel_backend('1')", (ProcessFunction::Cancel, one, None)),
            ("SELECT pg_cancel_backend($1)", (ProcessFunction::Cancel, first, None)),
            ("SELECT pg_terminate_backend($1::int)", (ProcessFunction::Terminate, first, None)),
            ("SELECT pg_terminate_backend(CAST($1 AS integer))", (ProcessFunction::Terminate, first, None)),
            (
                "SELECT pg_catalog.pg_terminate_backend(1, 500) ok",
                (ProcessFunction::Terminate, one, Some(Number::Value(500))),
            ),
            (
                "SELECT pg_terminate_backend($1, $2)",
                (ProcessFunction::Terminate, first, Some(Number::Parameter(1))),
            ),
        ] {
            assert_eq!(named(sql), Some(expected), "{sql}");
        }
        for sql in [
            "SELECT pg_cancel_backend()",
            "SELECT pg_cancel_backend(1, 2)",
            "SELECT pg_cancel_backend(-1)",
            "SELECT pg_cancel_backend(pid) FROM pg_stat_activity",
            "SELECT pg_terminate_backend(pg_backend_pid())",
            "SELECT pg_terminate_backend(1 + 1)",
            "SELECT pg_terminate_backend(1, 2, 3)",
            "SELECT pg_terminate_backend($0)",
        ] {
            assert_eq!(named(sql), None, "{sql}");
        }
    }
}
