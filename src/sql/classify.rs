//! From a text to its [`Verdict`]. Fails closed: what is not understood for sure goes to the primary.
//!
//! The first words decide which kind of statement it is. Utility statements are read by their grammar (`control`,
//! `settings`, `utility`); queries are surveyed by their tokens and then parsed (`survey`, `query`).

use super::cursor::Cursor;
use super::functions::KnownFunctions;
use super::lexer::{StandardConformingStrings, Token};
use super::query;
use super::split;
use super::survey::{Survey, survey};
use super::verdict::{Discard, Kind, Leaves, Name, Pin, SkeletonId, Statement, Verdict, Why};
use super::{control, hint, settings, utility};

/// What all rules look things up in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'k> {
    pub(super) strings: StandardConformingStrings,
    pub(super) known: &'k KnownFunctions,
    /// Whether queries are parsed, or only their tokens looked at because the text is long.
    pub(super) depth: Depth,
}

/// How far queries are looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// Tokens and syntax tree.
    Tree,
    /// Tokens only, in linear time.
    Tokens,
}

/// The verdict over a text.
pub(super) fn classify(sql: &[u8], skeleton: SkeletonId, reader: Reader<'_>) -> Verdict {
    match split::tokens(sql, reader.strings) {
        Ok(statements) => Verdict {
            skeleton,
            statements: statements.iter().map(|tokens| statement(tokens, reader)).collect(),
            hint: hint::hint(sql),
        },
        // The hint holds even so: it stands in front of what could not be read.
        Err(_) => Verdict { hint: hint::hint(sql), ..Verdict::opaque(skeleton, Why::Unparsable) },
    }
}

/// The words that begin a query or a data-modifying statement.
const QUERY_WORDS: [&str; 8] = ["select", "with", "values", "table", "insert", "update", "delete", "merge"];

/// Classifies one statement.
fn statement(tokens: &[Token<'_>], reader: Reader<'_>) -> Statement {
    let mut cursor = Cursor::new(tokens);
    if begins_query(tokens) {
        return query_statement(tokens, reader);
    }
    let Some(first) = cursor.take() else { return primary(Why::Unparsable) };
    match &*first.text.to_ascii_lowercase() {
        _ if !first.is_name() || first.text[0] == b'"' => primary(Why::Unparsable),
        b"begin" => control::begin(cursor),
        b"start" => control::start(cursor),
        b"commit" | b"end" => control::commit(cursor),
        b"rollback" | b"abort" => control::rollback(cursor),
        b"savepoint" => control::savepoint(cursor, Kind::Savepoint),
        b"release" => control::savepoint(cursor, Kind::Release),
        b"set" => settings::set(cursor, reader.strings),
        b"reset" => settings::reset(cursor),
        b"show" => settings::show(cursor),
        b"discard" => discard(cursor),
        b"prepare" => prepare(cursor),
        b"execute" => {
            cursor.take_name().map_or(primary(Why::Unparsable), |n| Statement::of(Kind::Execute(n)))
        }
        b"deallocate" => deallocate(cursor),
        b"declare" => utility::declare(cursor, reader),
        b"fetch" | b"move" | b"close" => Statement::of(Kind::Cursor),
        b"explain" => utility::explain(cursor, reader),
        b"copy" => utility::copy(cursor, reader),
        b"truncate" => utility::truncate(cursor),
        _ => plain(first, cursor),
    }
}

/// Statements of which only the kind matters.
fn plain(first: &Token<'_>, mut cursor: Cursor<'_, '_>) -> Statement {
    match &*first.text.to_ascii_lowercase() {
        b"listen" => pinning(Why::Notification, Pin::Listen),
        b"unlisten" | b"notify" => primary(Why::Notification),
        b"load" => pinning(Why::SessionState, Pin::Load),
        b"lock" => primary(Why::TableLock),
        b"call" | b"do" => primary(Why::Procedure),
        b"checkpoint" | b"vacuum" | b"analyze" | b"analyse" | b"cluster" | b"reindex" | b"refresh"
        | b"repack" => primary(Why::Maintenance),
        b"alter" if cursor.take_word("system") => primary(Why::Maintenance),
        b"create" => utility::create(cursor),
        b"alter" | b"drop" | b"grant" | b"revoke" | b"comment" | b"security" | b"reassign" | b"import" => {
            primary(Why::Ddl)
        }
        _ => primary(Why::Unparsable),
    }
}

pub(super) fn primary(why: Why) -> Statement {
    Statement::of(Kind::Primary(why))
}

pub(super) fn pinning(why: Why, pin: Pin) -> Statement {
    Statement { leaves: Leaves { pin: Some(pin), ..Leaves::default() }, ..primary(why) }
}

/// Whether the first word behind any opening parentheses begins a query.
pub(super) fn begins_query(tokens: &[Token<'_>]) -> bool {
    let first = tokens.iter().find(|t| !t.is_symbol("("));
    first.is_some_and(|t| QUERY_WORDS.iter().any(|w| t.is_word(w)))
}

/// A query or a data-modifying statement.
pub(super) fn query_statement(tokens: &[Token<'_>], reader: Reader<'_>) -> Statement {
    let survey = survey(tokens, reader.strings, reader.known);
    if survey.why == Some(Why::Unparsable) {
        return primary(Why::Unparsable);
    }
    let tree = match reader.depth {
        Depth::Tree if survey.terms <= query::TERMS_MAX => query::parse(tokens, reader.known),
        Depth::Tree | Depth::Tokens => None,
    };
    match tree {
        Some(tree) => {
            let kind = survey.why.or(tree.why).map_or(Kind::Read, Kind::Primary);
            known_query(kind, survey, tree.reads, tree.functions)
        }
        // The tokens alone tell what a write is; of a read they do not tell enough.
        None => {
            let why = survey.why.unwrap_or(match reader.depth {
                Depth::Tree => Why::Unparsable,
                Depth::Tokens => Why::TooLong,
            });
            let calls = survey.calls.clone();
            known_query(Kind::Primary(why), survey, Vec::new(), calls)
        }
    }
}

fn known_query(kind: Kind, survey: Survey, mut reads: Vec<Name>, mut functions: Vec<Name>) -> Statement {
    reads.extend(survey.tables);
    for list in [&mut reads, &mut functions] {
        list.sort_unstable();
        list.dedup();
    }
    reads.retain(|name| !survey.writes.contains(name));
    Statement {
        kind,
        functions: functions.into(),
        reads: reads.into(),
        writes: survey.writes.into(),
        leaves: Leaves { settings: survey.settings.into(), pin: survey.pin },
    }
}

/// `DISCARD ...`, with the cursor behind `DISCARD`.
fn discard(mut cursor: Cursor<'_, '_>) -> Statement {
    let what = match cursor.take_any(&["all", "plans", "sequences", "temp", "temporary"]) {
        Some("all") => Discard::All,
        Some("plans") => Discard::Plans,
        Some("sequences") => Discard::Sequences,
        Some(_) => Discard::Temp,
        None => return primary(Why::Unparsable),
    };
    Statement::of(Kind::Discard(what))
}

/// `PREPARE TRANSACTION ...` or `PREPARE name [(types)] AS ...`, with the cursor behind `PREPARE`.
fn prepare(mut cursor: Cursor<'_, '_>) -> Statement {
    let mut ahead = cursor;
    if ahead.take_word("transaction") && ahead.take_string().is_some() {
        return primary(Why::TwoPhase);
    }
    match cursor.take_name() {
        Some(name) => {
            let leaves = Leaves { pin: Some(Pin::SqlPrepare), ..Leaves::default() };
            Statement { leaves, ..Statement::of(Kind::Prepare(name)) }
        }
        None => primary(Why::Unparsable),
    }
}

/// `DEALLOCATE [PREPARE] name | ALL`, with the cursor behind `DEALLOCATE`.
fn deallocate(mut cursor: Cursor<'_, '_>) -> Statement {
    if cursor.rest().len() > 1 {
        cursor.take_word("prepare");
    }
    if cursor.rest().len() == 1 && cursor.take_word("all") {
        return Statement::of(Kind::Deallocate(None));
    }
    match cursor.take_name() {
        Some(name) if cursor.at_end() => Statement::of(Kind::Deallocate(Some(name))),
        _ => primary(Why::Unparsable),
    }
}
