//! Which definitions run no code of users, told from their grammar: a closed list. What is not surely plain brings code.

use super::conduct::begins;
use super::functions::{Class, KnownFunctions};
use crate::sql::text::{self, Cursor, Token, TokenKind};
use crate::sql::verdict::{Brings, Name};

/// Words in front of a parenthesis that call nothing: of the grammar, and types of PostgreSQL's own.
const WORDS: &str = "key unique check default as identity range list hash in and or not any some all exists values with on \
    distinct set reset from to include using btree gin gist brin generated always null primary references of \
    varchar char character varying bpchar numeric decimal dec bit float time timestamp timestamptz interval";

/// Operators that are PostgreSQL's own where nobody has made others of the name.
const OPERATORS: [&str; 14] = ["=", "<>", "!=", "<", "<=", ">", ">=", "+", "-", "*", "/", "%", "||", "::"];

/// Kinds of objects that run no code of users, and of which nothing is made that does. `tests/window.rs` holds that each
/// kind that PostgreSQL has is either among them, or read below, or brings code.
const INERT: &[&str] = &[
    "collation",
    "database",
    "default privileges",
    "group",
    "large object",
    "publication",
    "role",
    "sequence",
    "server",
    "subscription",
    "tablespace",
    "user",
];

fn is_inert(cursor: Cursor<'_, '_>) -> bool {
    INERT.iter().any(|kind| {
        let mut cursor = cursor;
        kind.split(' ').all(|word| cursor.take_word(word))
    })
}

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

/// What a block brings: it is searched for the words by which one defines anything.
pub(super) fn brings_in_block(tokens: &[Token<'_>]) -> Brings {
    let defines = |token: &Token<'_>| {
        let text = token.text.to_ascii_lowercase();
        let has = |word: &[u8]| text.windows(word.len()).any(|part| part == word);
        has(b"create") || has(b"alter") || has(b"drop") || has(b"import") || !executes_data_only(&text)
    };
    let is_block = tokens.first().is_some_and(|token| token.is_word("do"));
    if is_block && tokens.iter().any(defines) { Brings::Anything } else { Brings::Nothing }
}

/// What code brings that defines something in its own words. The tables that it makes are not counted: partitions are made
/// all the time, and what runs behind one mostly runs behind its parent, too.
pub(super) fn brings_in_code(tokens: &[Token<'_>], known: &KnownFunctions) -> Brings {
    let defines = |at: &usize| {
        let word = ["create", "alter", "drop", "import"].iter().any(|word| tokens[*at].is_word(word));
        // A name that a query gives to a column is followed by FROM.
        let named = tokens.get(at + 1).is_some_and(|next| next.is_name() && !next.is_word("from"));
        word && named && begins(tokens, *at)
    };
    let definition = |at: usize| {
        let len = tokens[at..].iter().take_while(|token| !token.is_symbol(";")).count();
        &tokens[at..at + len]
    };
    let found = (0..tokens.len()).filter(defines).map(definition);
    found.filter(|one| !makes_table(one)).map(|one| brings(one, known)).fold(Brings::Nothing, Brings::join)
}

fn makes_table(tokens: &[Token<'_>]) -> bool {
    let mut cursor = Cursor::new(tokens);
    if !cursor.take_word("create") {
        return false;
    }
    while cursor.take_any(&["unlogged", "global", "local", "temp", "temporary"]).is_some() {}
    cursor.at_word("table")
}

/// Whether all that a block executes as text is a literal, or a `format` of one with nothing but names and values in it, that
/// begins as what defines nothing.
fn executes_data_only(block: &[u8]) -> bool {
    const EXECUTE: &[u8] = b"execute";
    let found = block.windows(EXECUTE.len()).enumerate().filter(|(_, part)| *part == EXECUTE);
    found.into_iter().all(|(at, _)| is_data_only(block.get(at + EXECUTE.len()..).unwrap_or_default()))
}

fn is_data_only(executed: &[u8]) -> bool {
    const VERBS: [&[u8]; 6] = [b"select ", b"insert ", b"update ", b"delete ", b"merge ", b"values "];
    let executed = executed.trim_ascii_start();
    let format = executed.strip_prefix(b"format").map(<[u8]>::trim_ascii_start);
    let (open, ends): (_, &[u8]) = match format.and_then(|rest| rest.strip_prefix(b"(")) {
        Some(arguments) => (arguments.trim_ascii_start(), b",)"),
        None => (executed, b";"),
    };
    let Some(text) = open.strip_prefix(b"'") else { return false };
    let Some(length) = text.iter().position(|byte| *byte == b'\'') else { return false };
    let (literal, rest) = text.split_at(length);
    let whole = rest.get(1..).unwrap_or_default().trim_ascii_start().first();
    let holds =
        literal.split(|byte| *byte == b'%').skip(1).all(|after| matches!(after.first(), Some(b'i' | b'l')));
    VERBS.iter().any(|verb| literal.starts_with(verb)) && holds && whole.is_some_and(|end| ends.contains(end))
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
        // What a query fills runs nothing later on. What is made of another table has its defaults and triggers.
        is_made_of_query(cursor.rest())
            || !has("like")
                && !has("inherits")
                && !cursor.at_word("of")
                && !cursor.at_word("partition")
                && calls_nothing(cursor.rest(), known)
    } else if cursor.take_word("index") {
        calls_nothing(indexed(cursor), known)
    } else if cursor.take_word("type") {
        cursor.take_qualified();
        cursor.take_words(&["as", "enum"])
    } else if cursor.take_word("statistics") {
        calls_nothing(cursor.rest(), known)
    } else {
        is_inert(cursor)
    };
    if plain { Brings::Plain } else { Brings::Addition }
}

fn alter(mut cursor: Cursor<'_, '_>, known: &KnownFunctions) -> Brings {
    let rest = cursor.rest();
    let has = |word: &str| rest.iter().any(|token| token.is_word(word));
    if is_inert(cursor) || cursor.at_word("statistics") {
        return Brings::Plain;
    }
    if cursor.at_word("index") {
        // A table can be given another name in these words, too.
        return if has("rename") || has("attach") { Brings::Move } else { Brings::Plain };
    }
    if cursor.take_word("type") {
        cursor.take_qualified();
        return if cursor.take_words(&["add", "value"]) { Brings::Plain } else { Brings::Anything };
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
    if actions.len() == 1 && moves(actions[0]) {
        return Brings::Move;
    }
    if !calls_nothing(cursor.rest(), known) || !actions.iter().all(|action| is_plain(action)) {
        return Brings::Anything;
    }
    // Whoever deletes there runs the triggers here.
    if has("references") && has("on") {
        return Brings::Addition;
    }
    if has("drop") { Brings::Removal } else { Brings::Plain }
}

/// What stands behind `ON [ONLY] name [USING method]`: the columns and expressions of an index.
pub(super) fn indexed<'t, 'a>(mut cursor: Cursor<'t, 'a>) -> &'t [Token<'a>] {
    let all = cursor.rest();
    while !cursor.at_end() && !cursor.at_word("on") {
        cursor.take();
    }
    cursor.take_word("on");
    cursor.take_word("only");
    if cursor.take_qualified().is_none() {
        return all;
    }
    if cursor.take_word("using") {
        cursor.take_name();
    }
    cursor.rest()
}

/// Whether `AS` stands outside all parentheses.
pub(super) fn is_made_of_query(tokens: &[Token<'_>]) -> bool {
    let mut depth = 0_usize;
    tokens.iter().any(|token| {
        if token.is_symbol("(") {
            depth += 1;
        } else if token.is_symbol(")") {
            depth = depth.saturating_sub(1);
        }
        depth == 0 && token.is_word("as")
    })
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

/// Whether an action of `ALTER TABLE` gives it another name or schema.
fn moves(action: &[Token<'_>]) -> bool {
    let mut cursor = Cursor::new(action);
    cursor.take_words(&["rename", "to"]) || cursor.take_words(&["set", "schema"])
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
    match () {
        () if code.iter().any(|word| cursor.at_word(word)) => Brings::Anything,
        () if is_inert(cursor) || cursor.at_word("index") || cursor.at_word("statistics") => Brings::Plain,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_block_executes_is_data_only_where_that_is_all_it_can_be() {
        for plain in [
            "begin update t set a = 1; end",
            "begin execute format('update %i set id = %l', n, 4); end",
            "begin execute 'select 1'; execute 'delete from t' ; end",
        ] {
            assert!(executes_data_only(plain.as_bytes()), "{plain}");
        }
        for other in [
            "begin execute n; end",
            "begin execute 'select 1; ' || n; end",
            "begin execute format('select 1; %s', n); end",
            "begin execute format('%i', n); end",
            "begin execute format('update t set a = 1' || n); end",
            "begin execute 'select '' || n; end",
            "begin execute 'select 1' using 1; end",
            "begin execute 'grant x to y'; end",
        ] {
            assert!(!executes_data_only(other.as_bytes()), "{other}");
        }
    }
}
