//! Session-level advisory locks of which the text alone tells what they are on and how often they are taken.
//!
//! Only statements that call nothing else, once, and under no condition are read: `SELECT f(1), g(2)`. Of these it is
//! known that a lock is taken once at most and given back once at least, so that a bound on what is held can be kept
//! without a look at any answer.

use crate::sql::text::{self, Cursor, StandardConformingStrings, Token, TokenKind};
use crate::sql::verdict::{Change, LockKey, Strength};

/// What a select list of such calls does; `None` when the statement is anything else.
pub(super) fn read(tokens: &[Token<'_>], strings: StandardConformingStrings) -> Option<Box<[Change]>> {
    let mut cursor = Cursor::new(tokens);
    if !cursor.take_word("select") {
        return None;
    }
    let mut changes = Vec::new();
    loop {
        changes.push(call(&mut cursor, strings)?);
        // The name of a column, with which nothing else can be meant in front of a comma or the end.
        cursor.take_word("as");
        if !cursor.at_end() && !cursor.peek()?.is_symbol(",") {
            cursor.take_name()?;
        }
        if cursor.at_end() {
            return Some(changes.into());
        }
        if !cursor.take_symbol(",") {
            return None;
        }
    }
}

fn call(cursor: &mut Cursor<'_, '_>, strings: StandardConformingStrings) -> Option<Change> {
    let function = cursor.take_qualified()?;
    if function.schema.is_some_and(|schema| &*schema != "pg_catalog") {
        return None;
    }
    let arguments = cursor.take_parenthesised()?;
    let locks = |strength| Some(Change::Lock(key(strength, arguments, strings)));
    let unlocks = |strength| key(strength, arguments, strings).map(Change::Unlock);
    match &*function.name {
        "pg_advisory_unlock_all" if arguments.is_empty() => Some(Change::UnlockAll),
        "pg_advisory_lock" | "pg_try_advisory_lock" => locks(Strength::Exclusive),
        "pg_advisory_lock_shared" | "pg_try_advisory_lock_shared" => locks(Strength::Shared),
        "pg_advisory_unlock" => unlocks(Strength::Exclusive),
        "pg_advisory_unlock_shared" => unlocks(Strength::Shared),
        _ => None,
    }
}

/// The key that these arguments always give: integers, and hashes of strings.
fn key(strength: Strength, arguments: &[Token<'_>], strings: StandardConformingStrings) -> Option<LockKey> {
    const WORDS: [&str; 8] =
        ["hashtext", "hashtextextended", "bigint", "int", "integer", "int4", "int8", "pg_catalog"];
    const SYMBOLS: [&str; 6] = ["(", ")", ",", "-", "::", "."];
    let mut key = String::new();
    for token in arguments {
        match token.kind {
            TokenKind::Number if token.text.iter().all(u8::is_ascii_digit) => {
                key.push_str(std::str::from_utf8(token.text).ok()?);
            }
            TokenKind::String(_) => key.push_str(&text::quote_literal(&text::string_value(*token, strings)?)),
            TokenKind::Word => key.push_str(WORDS.iter().find(|word| token.is_word(word))?),
            TokenKind::Punctuation | TokenKind::Operator => {
                key.push_str(SYMBOLS.iter().find(|symbol| token.is_symbol(symbol))?);
            }
            _ => return None,
        }
        key.push(' ');
    }
    (!key.is_empty()).then(|| LockKey { strength, key: key.trim_end().into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::text::Lexer;

    fn changes(sql: &str) -> Option<Box<[Change]>> {
        let on = StandardConformingStrings::On;
        let tokens: Vec<_> = Lexer::new(sql.as_bytes(), on).collect::<Result<_, _>>().unwrap();
        read(&tokens, on)
    }

    fn key(strength: Strength, key: &str) -> LockKey {
        LockKey { strength, key: key.into() }
    }

    #[test]
    fn keys_are_known_from_literals() {
        use Strength::{Exclusive, Shared};
        for (sql, expected) in [
            ("SELECT pg_advisory_lock(1)", Change::Lock(Some(key(Exclusive, "1")))),
            (
                "select PG_CATALOG.pg_try_advisory_lock( 1,-2 ) AS ok",
                Change::Lock(Some(key(Exclusive, "1 , - 2"))),
            ),
            ("SELECT pg_advisory_lock_shared(1::bigint)", Change::Lock(Some(key(Shared, "1 :: bigint")))),
            ("SELECT pg_advisory_unlock(1) gone", Change::Unlock(key(Exclusive, "1"))),
            (
                "SELECT pg_advisory_lock(hashtext($$a$$))",
                Change::Lock(Some(key(Exclusive, "hashtext ( 'a' )"))),
            ),
            ("SELECT pg_advisory_lock($1)", Change::Lock(None)),
            ("SELECT pg_advisory_lock(id)", Change::Lock(None)),
            ("SELECT pg_advisory_unlock_all()", Change::UnlockAll),
        ] {
            assert_eq!(changes(sql).as_deref(), Some(&[expected][..]), "{sql}");
        }
        let both = changes("SELECT pg_advisory_lock(1), pg_advisory_unlock(2)").unwrap();
        assert_eq!(both.len(), 2);
    }

    #[test]
    fn what_may_run_more_or_less_often_than_once_is_not_read() {
        for sql in [
            "SELECT pg_advisory_unlock($1)",
            "SELECT pg_advisory_unlock(1) FROM t",
            "SELECT pg_advisory_unlock_all() WHERE false",
            "SELECT pg_advisory_unlock_all() LIMIT 0",
            "SELECT pg_advisory_unlock(1) IS NULL",
            "SELECT coalesce(true, pg_advisory_unlock(1))",
            "SELECT app.pg_advisory_unlock_all()",
            "SELECT 1, pg_advisory_unlock(1)",
            "SELECT pg_advisory_unlock(1) UNION SELECT true",
            "SELECT DISTINCT pg_advisory_unlock(1)",
            "VALUES (pg_advisory_unlock(1))",
        ] {
            assert_eq!(changes(sql), None, "{sql}");
        }
    }
}
