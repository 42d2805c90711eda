//! Utility statements that hold a query or name what they touch: `EXPLAIN`, `COPY`, `DECLARE`, `CREATE`, `TRUNCATE`.

use super::classify::{Reader, begins_query, pinning, primary, query_statement};
use super::cursor::Cursor;
use super::lexer::{Lexer, Token, TokenKind};
use super::text;
use super::verdict::{Kind, Name, Pin, Statement, Why};

/// Whether `EXPLAIN` runs the statement.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Analyze {
    Runs,
    PlansOnly,
}

/// `EXPLAIN ...`, with the cursor behind `EXPLAIN`.
pub(super) fn explain(mut cursor: Cursor<'_, '_>, reader: Reader<'_>) -> Statement {
    let analyze = match cursor.peek() {
        // `EXPLAIN (SELECT 1)` has parentheses that are no options.
        Some(t) if t.is_symbol("(") && !begins_query(cursor.rest()) => {
            let Some(options) = cursor.take_parenthesised() else { return primary(Why::Unparsable) };
            explain_options(options)
        }
        _ => {
            let runs = cursor.take_any(&["analyze", "analyse"]).is_some();
            cursor.take_word("verbose");
            if runs { Analyze::Runs } else { Analyze::PlansOnly }
        }
    };
    match analyze {
        Analyze::Runs if begins_query(cursor.rest()) => query_statement(cursor.rest(), reader),
        Analyze::Runs if cursor.take_word("create") => create(cursor),
        Analyze::PlansOnly if explainable(cursor) => Statement::of(Kind::Read),
        // `EXPLAIN EXECUTE` needs the session's own prepared statement.
        _ if cursor.at_word("execute") => primary(Why::SessionState),
        Analyze::Runs => match cursor.take_word("declare") {
            true => declare(cursor, reader),
            false => primary(Why::Unparsable),
        },
        Analyze::PlansOnly => primary(Why::Unparsable),
    }
}

/// What is planned but not run does nothing, even if it would write.
fn explainable(cursor: Cursor<'_, '_>) -> bool {
    begins_query(cursor.rest()) || ["declare", "create", "refresh"].iter().any(|w| cursor.at_word(w))
}

/// `(ANALYZE [boolean], ...)`. A value that is not plainly false counts as true.
fn explain_options(options: &[Token<'_>]) -> Analyze {
    let runs = options.split(|t| t.is_symbol(",")).any(|option| match option {
        [name] => is_analyze(name),
        [name, value] => is_analyze(name) && !is_false(value),
        _ => option.iter().any(is_analyze),
    });
    if runs { Analyze::Runs } else { Analyze::PlansOnly }
}

fn is_analyze(token: &Token<'_>) -> bool {
    token.is_word("analyze")
        || token.is_word("analyse")
        || matches!(token.kind, TokenKind::QuotedName | TokenKind::UnicodeName)
}

fn is_false(token: &Token<'_>) -> bool {
    ["false", "off"].iter().any(|w| token.is_word(w))
        || [&b"0"[..], b"'false'", b"'off'", b"'0'"].contains(&token.text)
}

/// `DECLARE name ... CURSOR ... FOR query`, with the cursor behind `DECLARE`.
pub(super) fn declare(mut cursor: Cursor<'_, '_>, reader: Reader<'_>) -> Statement {
    if cursor.take_name().is_none() {
        return primary(Why::Unparsable);
    }
    while cursor.take_any(&["binary", "asensitive", "insensitive", "no", "scroll"]).is_some() {}
    if !cursor.take_word("cursor") {
        return primary(Why::Unparsable);
    }
    if cursor.take_words(&["with", "hold"]) {
        return pinning(Why::HoldCursor, Pin::HoldCursor);
    }
    cursor.take_words(&["without", "hold"]);
    if !cursor.take_word("for") || !begins_query(cursor.rest()) {
        return primary(Why::Unparsable);
    }
    let query = query_statement(cursor.rest(), reader);
    match query.kind {
        Kind::Read => Statement { kind: Kind::Cursor, ..query },
        _ => query,
    }
}

/// `COPY ...`, with the cursor behind `COPY`.
pub(super) fn copy(mut cursor: Cursor<'_, '_>, reader: Reader<'_>) -> Statement {
    cursor.take_word("binary");
    if let Some(query) = cursor.take_parenthesised() {
        if !begins_query(query) || !cursor.take_word("to") {
            return primary(Why::Unparsable);
        }
        return match destination(&mut cursor) {
            Some(Place::Client) => query_statement(query, reader),
            Some(Place::Server) => primary(Why::ServerFile),
            None => primary(Why::Unparsable),
        };
    }
    let Some(table) = cursor.take_qualified() else { return primary(Why::Unparsable) };
    cursor.take_parenthesised();
    match (cursor.take_any(&["from", "to"]), destination(&mut cursor)) {
        (Some("from"), Some(place)) => {
            let why = if place == Place::Client { Why::Write } else { Why::ServerFile };
            Statement { writes: Box::new([table]), ..primary(why) }
        }
        (Some(_), Some(Place::Client)) => copy_table(table),
        (Some(_), Some(Place::Server)) => primary(Why::ServerFile),
        _ => primary(Why::Unparsable),
    }
}

/// `COPY table TO STDOUT` reads the table as a query would.
fn copy_table(table: Name) -> Statement {
    let kind = super::functions::view(&table.name).map_or(Kind::Read, Kind::Primary);
    let temporary = table.schema.as_deref().and_then(super::functions::view);
    let kind = temporary.map_or(kind, Kind::Primary);
    Statement { reads: Box::new([table]), ..Statement::of(kind) }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Client,
    Server,
}

fn destination(cursor: &mut Cursor<'_, '_>) -> Option<Place> {
    if cursor.take_any(&["stdin", "stdout"]).is_some() {
        Some(Place::Client)
    } else if cursor.take_word("program") || cursor.take_string().is_some() {
        Some(Place::Server)
    } else {
        None
    }
}

/// `TRUNCATE [TABLE] [ONLY] name [*] [, ...]`, with the cursor behind `TRUNCATE`.
pub(super) fn truncate(mut cursor: Cursor<'_, '_>) -> Statement {
    cursor.take_word("table");
    let mut writes = Vec::new();
    loop {
        cursor.take_word("only");
        let Some(name) = cursor.take_qualified() else { break };
        writes.push(name);
        cursor.take_symbol("*");
        if !cursor.take_symbol(",") {
            break;
        }
    }
    Statement { writes: writes.into(), ..primary(Why::Write) }
}

/// `CREATE ...`, with the cursor behind `CREATE`.
pub(super) fn create(mut cursor: Cursor<'_, '_>) -> Statement {
    cursor.take_words(&["or", "replace"]);
    cursor.take_any(&["local", "global"]);
    let temporary = cursor.take_any(&["temporary", "temp"]).is_some() || in_temporary_schema(cursor.rest());
    if temporary { pinning(Why::Temporary, Pin::Temporary) } else { primary(Why::Ddl) }
}

/// `DO ...`, with the cursor behind `DO`. Its body can be read, and pins when it may leave state behind.
pub(super) fn anonymous_block(mut cursor: Cursor<'_, '_>, reader: Reader<'_>) -> Statement {
    if cursor.take_word("language") {
        cursor.take();
    }
    let body = cursor.take_string().and_then(|t| text::string_value(t, reader.strings));
    let lexed = body
        .as_deref()
        .and_then(|b| Lexer::new(b.as_bytes(), reader.strings).collect::<Result<Vec<_>, _>>().ok());
    match lexed {
        Some(tokens) if !leaves_state(&tokens, reader) => primary(Why::Procedure),
        _ => pinning(Why::Procedure, Pin::Unknown),
    }
}

/// Whether a procedural body sets something, makes temporary objects, calls what pins, or runs SQL that is made up
/// while it runs.
fn leaves_state(tokens: &[Token<'_>], reader: Reader<'_>) -> bool {
    const STARTS: [&str; 5] = ["begin", "then", "else", "loop", "declare"];
    let at_start = |at: usize| {
        at == 0 || tokens[at - 1].is_symbol(";") || STARTS.iter().any(|w| tokens[at - 1].is_word(w))
    };
    let is_any = |t: &Token<'_>, words: &[&str]| words.iter().any(|w| t.is_word(w));
    let statement =
        |at: usize, t: &Token<'_>| at_start(at) && is_any(t, &["set", "listen", "load", "prepare"]);
    tokens.iter().enumerate().any(|(at, t)| {
        statement(at, t) || is_any(t, &["temp", "temporary", "execute", "set_config", "pg_temp"])
    }) || super::survey::survey(tokens, reader.strings, reader.known).pin.is_some()
}

/// Whether a name in it is qualified with the session's temporary schema.
fn in_temporary_schema(tokens: &[Token<'_>]) -> bool {
    tokens.windows(2).any(|pair| {
        let schema = text::name(pair[0]).is_some_and(|n| n.starts_with("pg_temp"));
        schema && pair[1].is_symbol(".")
    })
}
