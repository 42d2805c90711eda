//! Utility statements that hold a query or name what they access: `EXPLAIN`, `COPY`, `DECLARE`, `CREATE`, `TRUNCATE`.
//! What a name in them stands for is not looked up.

use super::definitions::{indexed, is_made_of_query};
use super::query;
use super::reader::Reader;
use super::scan::scan;
use super::{code_reader, functions, temporary};
use crate::sql::text::{self, Cursor, Token, TokenKind};
use crate::sql::verdict::{Change, Code, CursorUse, Effects, Kind, Listed, Name, Scope, Statement, Why};

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
        Some(t) if t.is_symbol("(") && !query::begins(cursor.rest()) => {
            let Some(options) = cursor.take_parenthesised() else {
                return Statement::primary(Why::Unparsable);
            };
            explain_options(options)
        }
        _ => {
            let runs = cursor.take_any(&["analyze", "analyse"]).is_some();
            cursor.take_word("verbose");
            if runs { Analyze::Runs } else { Analyze::PlansOnly }
        }
    };
    match analyze {
        Analyze::Runs if query::begins(cursor.rest()) => query::read(cursor.rest(), reader),
        Analyze::Runs if cursor.take_word("create") => create(cursor, reader),
        Analyze::PlansOnly if query::begins(cursor.rest()) => planned(cursor.rest(), reader),
        Analyze::PlansOnly if explainable(cursor) => {
            Statement { reads_listed: Listed::Partly, ..Statement::of(Kind::Read) }
        }
        // `EXPLAIN EXECUTE` needs the session's own prepared statement.
        _ if cursor.at_word("execute") => {
            Statement { writes_listed: Listed::Partly, ..Statement::primary(Why::SessionState) }
        }
        Analyze::Runs if cursor.take_word("declare") => not_opened(declare(cursor, reader)),
        _ => Statement::primary(Why::Unparsable),
    }
}

/// The query of a cursor that is run and measured: there is no cursor afterwards.
fn not_opened(declared: Statement) -> Statement {
    match declared.kind {
        Kind::Cursor(_) => Statement { kind: Kind::Primary(Why::SessionState), ..declared },
        _ => declared,
    }
}

/// What is planned but not run does nothing, even if it would write. The planner looks at what it would access.
fn planned(tokens: &[Token<'_>], reader: Reader<'_>) -> Statement {
    let query = query::read(tokens, reader);
    let reads = query.reads.into_iter().chain(query.writes).collect();
    let effects = match &*query.functions {
        [] => Effects::default(),
        // To estimate, the planner may run what is declared IMMUTABLE or STABLE.
        calls => Effects { code: Some(Box::new(Code::calling(calls))), ..Effects::default() },
    };
    Statement { reads, reads_listed: query.reads_listed, effects, ..Statement::of(Kind::Read) }
}

/// Statements other than queries that can be planned without being run.
fn explainable(cursor: Cursor<'_, '_>) -> bool {
    ["declare", "create", "refresh"].iter().any(|w| cursor.at_word(w))
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
    let Some(name) = cursor.take_name() else { return Statement::primary(Why::Unparsable) };
    while cursor.take_any(&["binary", "asensitive", "insensitive", "no", "scroll"]).is_some() {}
    if !cursor.take_word("cursor") {
        return Statement::primary(Why::Unparsable);
    }
    let hold = cursor.take_words(&["with", "hold"]);
    cursor.take_words(&["without", "hold"]);
    if !cursor.take_word("for") || !query::begins(cursor.rest()) {
        return Statement::primary(Why::Unparsable);
    }
    let query = fetched(query::read(cursor.rest(), reader));
    match query.kind {
        // The query runs as rows are fetched, or at the end of the transaction; the whole is noted here.
        _ if hold => {
            let changes = query.effects.changes.into_iter().chain([Change::HoldCursor(name)]).collect();
            let effects = Effects { changes, bound: Box::default(), ..query.effects };
            Statement { kind: Kind::Primary(Why::HoldCursor), effects, ..query }
        }
        Kind::Read => Statement { kind: Kind::Cursor(CursorUse::Declare(name)), ..query },
        _ => query,
    }
}

/// A query of which nobody knows how much will run, nor when.
fn fetched(query: Statement) -> Statement {
    let settings = query.effects.settings.iter().flat_map(|setting| {
        let name = Some(setting.name.clone());
        let searches = setting.scope == Scope::Local && &*setting.name == "search_path";
        let change = match setting.scope {
            Scope::Session => Change::DynamicSetting(name),
            Scope::Local => Change::LocalSetting(name),
        };
        searches.then_some(Change::Searches).into_iter().chain([change])
    });
    let changes = query.effects.changes.iter().cloned().chain(settings).collect();
    let effects = Effects { changes, settings: Box::default(), bound: Box::default(), ..query.effects };
    Statement { effects, ..query }
}

/// `COPY ...`, with the cursor behind `COPY`.
pub(super) fn copy(mut cursor: Cursor<'_, '_>, reader: Reader<'_>) -> Statement {
    cursor.take_word("binary");
    if let Some(query) = cursor.take_parenthesised() {
        if !query::begins(query) || !cursor.take_word("to") {
            return Statement::primary(Why::Unparsable);
        }
        return match destination(&mut cursor) {
            CopyEnd::Client => query::read(query, reader),
            CopyEnd::Server => Statement::primary(Why::ServerFile),
            CopyEnd::Unknown => Statement::primary(Why::Unparsable),
        };
    }
    let Some(table) = cursor.take_qualified() else { return Statement::primary(Why::Unparsable) };
    cursor.take_parenthesised();
    match (cursor.take_any(&["from", "to"]), destination(&mut cursor)) {
        (Some("from"), CopyEnd::Client) => copy_from(Why::Write, table, cursor.rest(), reader),
        (Some("from"), CopyEnd::Server) => copy_from(Why::ServerFile, table, cursor.rest(), reader),
        (Some(_), CopyEnd::Client) => copy_table(table),
        (Some(_), CopyEnd::Server) => Statement::primary(Why::ServerFile),
        (None, _) | (_, CopyEnd::Unknown) => Statement::primary(Why::Unparsable),
    }
}

/// `COPY table FROM ... [WITH (options)] [WHERE condition]`: writes the table, and the condition may call functions.
fn copy_from(why: Why, table: Name, rest: &[Token<'_>], reader: Reader<'_>) -> Statement {
    let condition = rest.iter().position(|t| t.is_word("where")).map_or(&[][..], |at| &rest[at..]);
    let scan = scan(condition, reader);
    // A program of the server may do anything, in this database too.
    let writes_listed = if why == Why::Write { scan.writes_listed } else { Listed::Partly };
    Statement {
        functions: scan.calls.into(),
        writes: Box::new([table]),
        writes_listed,
        effects: Effects {
            settings: scan.settings.into(),
            changes: scan.changes.into(),
            ..Effects::default()
        },
        ..Statement::primary(why)
    }
}

/// `COPY table TO STDOUT` reads the table as a query would.
fn copy_table(table: Name) -> Statement {
    let kind = functions::view(&table.name).map_or(Kind::Read, Kind::Primary);
    let temporary = table.schema.as_deref().and_then(functions::view);
    let kind = temporary.map_or(kind, Kind::Primary);
    Statement { reads: Box::new([table]), reads_listed: Listed::Wholly, ..Statement::of(kind) }
}

/// Where the rows of a `COPY` come from, or go to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum CopyEnd {
    Client,
    /// A file or a program.
    Server,
    Unknown,
}

fn destination(cursor: &mut Cursor<'_, '_>) -> CopyEnd {
    if cursor.take_any(&["stdin", "stdout"]).is_some() {
        CopyEnd::Client
    } else if cursor.take_word("program") || cursor.take_string().is_some() {
        CopyEnd::Server
    } else {
        CopyEnd::Unknown
    }
}

/// `TRUNCATE [TABLE] [ONLY] name [*] [, ...] [RESTART IDENTITY | ...] [CASCADE | ...]`, with the cursor behind
/// `TRUNCATE`.
pub(super) fn truncate(mut cursor: Cursor<'_, '_>) -> Statement {
    cursor.take_word("table");
    let mut writes = Vec::new();
    let mut writes_listed = Listed::Wholly;
    loop {
        let parenthesised = cursor.take_word("only") && cursor.take_symbol("(");
        let Some(name) = cursor.take_qualified() else {
            writes_listed = Listed::Partly;
            break;
        };
        writes.push(name);
        cursor.take_symbol(if parenthesised { ")" } else { "*" });
        if !cursor.take_symbol(",") {
            break;
        }
    }
    let _ = cursor.take_words(&["restart", "identity"]) || cursor.take_words(&["continue", "identity"]);
    cursor.take_word("restrict");
    // CASCADE takes along what only the catalog knows.
    if !cursor.at_end() {
        writes_listed = Listed::Partly;
    }
    Statement { writes: writes.into(), writes_listed, ..Statement::primary(Why::Write) }
}

/// `CREATE ...`, with the cursor behind `CREATE`.
pub(super) fn create(cursor: Cursor<'_, '_>, reader: Reader<'_>) -> Statement {
    let change = temporary::create(cursor);
    let temporary = matches!(change, Some(Change::Temporary(_) | Change::TemporaryForNow));
    let why = if temporary { Why::Temporary } else { Why::Ddl };
    // Functions in what a table is made of, and in the expressions of an index, run now; those in the defaults of a
    // table that is empty do not.
    let tables = ["table", "temp", "temporary", "local", "global", "unlogged", "materialized"];
    let fills = tables.iter().any(|word| cursor.at_word(word)) && is_made_of_query(cursor.rest());
    let index = cursor.at_word("index") || cursor.at_word("unique");
    // So do those in the bounds of a partition, and what checks a type in which an aggregate begins.
    let bounds = cursor.rest().iter().any(|token| token.is_word("partition"));
    let begins = cursor.rest().iter().any(|token| token.is_word("aggregate"));
    let runs = if index { indexed(cursor) } else { cursor.rest() };
    let code = match () {
        () if fills || index || bounds => Some(code_reader::in_statement(runs, reader)),
        () if begins => Some(Code::of_any_type()),
        () => None,
    };
    Statement { effects: Effects::of(change, code), ..Statement::primary(why) }
}

/// `ALTER ...`, with the cursor behind `ALTER`.
pub(super) fn alter(cursor: Cursor<'_, '_>, reader: Reader<'_>) -> Statement {
    if cursor.at_word("system") {
        return Statement::primary(Why::Maintenance);
    }
    let renames = cursor.rest().iter().any(|t| t.is_word("rename")).then_some(Change::Renames);
    // What is added to a domain is looked for in what is there.
    let holds = ["table", "foreign", "domain", "type"].iter().any(|word| cursor.at_word(word));
    let code = holds.then(|| code_reader::in_statement(cursor.rest(), reader));
    Statement { effects: Effects::of(renames, code), ..Statement::primary(Why::Ddl) }
}

/// `CALL procedure(...)`, with the cursor behind `CALL`.
pub(super) fn call(cursor: Cursor<'_, '_>, reader: Reader<'_>) -> Statement {
    // Of one that nobody knows, nobody knows what it leaves.
    let functions = { cursor }.take_qualified().into_iter().collect();
    let code = code_reader::in_statement(cursor.rest(), reader);
    Statement { functions, ..Statement::primary(Why::Procedure).running(code) }
}

/// `DO ...`, with the cursor behind `DO`. Its body can be read where it is in PL/pgSQL.
pub(super) fn anonymous_block(mut cursor: Cursor<'_, '_>, reader: Reader<'_>) -> Statement {
    let mut language = None;
    if cursor.take_word("language") {
        language = cursor.take_name();
    }
    let body = cursor.take_string().and_then(|t| text::string_value(t, reader.strings));
    if cursor.take_word("language") {
        language = cursor.take_name();
    }
    let readable = language.is_none_or(|language| &*language == "plpgsql");
    let code =
        body.filter(|_| readable).map_or_else(Code::unread, |body| code_reader::in_body(&body, reader));
    Statement::primary(Why::Procedure).running(code)
}
