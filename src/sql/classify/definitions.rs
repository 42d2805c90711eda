//! Which definitions run no code of users, told from their grammar: a closed list. What is not surely plain brings code.

use super::functions::{Class, KnownFunctions};
use crate::sql::text::{self, Cursor, Token, TokenKind};
use crate::sql::verdict::{Brings, Name};

/// Words in front of a parenthesis that call nothing: of the grammar, and types of PostgreSQL's own.
const WORDS: &str = "key unique check default as identity range list hash in and or not any some all exists values with on \
    distinct set reset from to include using btree gin gist brin generated always null primary references of \
    varchar char character varying bpchar numeric decimal dec bit float time timestamp timestamptz interval";

/// Operators that are PostgreSQL's own where nobody has made others of the name.
const OPERATORS: [&str; 14] = ["=", "<>", "!=", "<", "<=", ">", ">=", "+", "-", "*", "/", "%", "||", "::"];

/// Types of objects that run nothing and of which nothing else is made.
const INERT: [&str; 8] =
    ["sequence", "index", "role", "user", "group", "database", "tablespace", "statistics"];

/// What a definition brings, of which these are all tokens.
pub(super) fn brings(tokens: &[Token<'_>], known: &KnownFunctions) -> Brings {
    let mut cursor = Cursor::new(tokens);
    match cursor.take_any(&["create", "alter", "drop", "grant", "revoke", "comment", "security", "reassign"])
    {
        Some("create") => create(cursor, known),
        Some("alter") => alter(cursor, known),
        Some("drop") => drop(cursor),
        Some(_) => Brings::Plain,
        None => Brings::Anything,
    }
}

fn create(mut cursor: Cursor<'_, '_>, known: &KnownFunctions) -> Brings {
    if cursor.take_words(&["or", "replace"]) || cursor.at_word("extension") {
        return Brings::Anything;
    }
    while cursor.take_any(&["unlogged", "global", "local", "temp", "temporary", "unique"]).is_some() {}
    let rest = cursor.rest();
    let has = |word: &str| rest.iter().any(|token| token.is_word(word));
    let plain = if cursor.take_word("schema") {
        !has("create")
    } else if cursor.take_word("table") {
        cursor.take_words(&["if", "not", "exists"]);
        cursor.take_qualified();
        !has("like") && !has("inherits") && !has("of") && calls_nothing(cursor.rest(), known)
    } else if cursor.take_word("index") {
        calls_nothing(behind_table(cursor), known)
    } else if cursor.take_word("type") {
        cursor.take_qualified();
        cursor.take_words(&["as", "enum"])
    } else {
        INERT.iter().any(|word| cursor.at_word(word))
    };
    if plain { Brings::Plain } else { Brings::Addition }
}

/// What stands behind `ON [ONLY] name`.
fn behind_table<'t, 'a>(mut cursor: Cursor<'t, 'a>) -> &'t [Token<'a>] {
    while !cursor.at_end() && !cursor.take_word("on") {
        cursor.take();
    }
    cursor.take_word("only");
    cursor.take_qualified();
    cursor.rest()
}

fn alter(mut cursor: Cursor<'_, '_>, known: &KnownFunctions) -> Brings {
    if INERT.iter().any(|word| cursor.at_word(word)) {
        return Brings::Plain;
    }
    if !cursor.take_word("table") {
        return Brings::Anything;
    }
    cursor.take_words(&["if", "exists"]);
    cursor.take_word("only");
    if cursor.take_qualified().is_none() {
        return Brings::Anything;
    }
    cursor.take_symbol("*");
    let actions = actions(cursor.rest());
    if !calls_nothing(cursor.rest(), known) || !actions.iter().all(|action| is_plain(action)) {
        return Brings::Anything;
    }
    let drops = cursor.rest().iter().any(|token| token.is_word("drop"));
    if drops { Brings::Removal } else { Brings::Plain }
}

/// What stands between commas outside all parentheses.
fn actions<'t, 'a>(tokens: &'t [Token<'a>]) -> Vec<&'t [Token<'a>]> {
    let mut depth = 0_usize;
    let parts = tokens.split(move |token| {
        if token.is_symbol("(") {
            depth += 1;
        } else if token.is_symbol(")") {
            depth = depth.saturating_sub(1);
        }
        depth == 0 && token.is_symbol(",")
    });
    parts.collect()
}

/// Whether an action of `ALTER TABLE` is about columns, constraints and storage. A table that is given another name, or made
/// part of another one, has its triggers where nobody looks for them.
fn is_plain(action: &[Token<'_>]) -> bool {
    let mut cursor = Cursor::new(action);
    match cursor.take_any(&["add", "drop", "alter", "owner", "reset", "validate", "cluster", "set", "rename"])
    {
        Some("rename") => !cursor.at_word("to"),
        Some("set") => !cursor.at_word("schema"),
        Some(_) => true,
        None => false,
    }
}

fn drop(cursor: Cursor<'_, '_>) -> Brings {
    // What held functions: one that was called and never read, as it was dropped before, may have left anything.
    let code = ["function", "procedure", "routine", "aggregate", "schema", "extension", "owned"];
    let inert = INERT.iter().any(|word| cursor.at_word(word));
    match () {
        () if code.iter().any(|word| cursor.at_word(word)) => Brings::Anything,
        () if inert => Brings::Plain,
        () => Brings::Removal,
    }
}

/// Whether nothing is called by these tokens but what PostgreSQL brings and what only computes. A parenthesis behind a name is
/// a call, but where the name is a word of the grammar, or a table's behind `REFERENCES`.
fn calls_nothing(tokens: &[Token<'_>], known: &KnownFunctions) -> bool {
    (0..tokens.len()).all(|at| {
        let token = &tokens[at];
        if token.kind == TokenKind::Operator {
            return OPERATORS.iter().any(|symbol| token.is_symbol(symbol));
        }
        let called = token.is_name() && tokens.get(at + 1).is_some_and(|next| next.is_symbol("("));
        !called || is_harmless(tokens, at, known)
    })
}

fn is_harmless(tokens: &[Token<'_>], at: usize, known: &KnownFunctions) -> bool {
    let Some(name) = text::name(tokens[at]) else { return false };
    let before = |n: usize| at.checked_sub(n).map(|at| &tokens[at]);
    let is = |n: usize, word: &str| before(n).is_some_and(|token| token.is_word(word));
    let qualified = before(1).is_some_and(|token| token.is_symbol("."));
    if is(1, "references") || (qualified && is(3, "references")) {
        return true;
    }
    if qualified {
        return false;
    }
    // A constraint's columns and those of a key have their names in front of the parenthesis' word only.
    let sequence = matches!(&*name, "nextval" | "now" | "gen_random_uuid");
    sequence
        || WORDS.split_whitespace().any(|word| tokens[at].is_word(word))
        || known.class(&Name { schema: None, name }) == Some(Class::ReadOnly)
}
