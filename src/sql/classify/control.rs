//! Transaction control: `BEGIN`, `COMMIT`, `ROLLBACK`, savepoints, and their modes. Whether there is a transaction is not
//! known here.

use crate::sql::text::Cursor;
use crate::sql::verdict::{AccessMode, Chain, Deferrable, Isolation, Kind, Modes, Statement, Why};

fn unparsable() -> Statement {
    Statement::primary(Why::Unparsable)
}

/// Transaction modes up to the end, with optional commas between them; the last of a kind counts.
pub(super) fn modes(mut cursor: Cursor<'_, '_>) -> Option<Modes> {
    let mut modes = Modes::default();
    while !cursor.at_end() {
        if cursor.take_words(&["isolation", "level"]) {
            modes.isolation = Some(isolation(&mut cursor)?);
        } else if cursor.take_words(&["read", "only"]) {
            modes.access = Some(AccessMode::ReadOnly);
        } else if cursor.take_words(&["read", "write"]) {
            modes.access = Some(AccessMode::ReadWrite);
        } else if cursor.take_word("deferrable") {
            modes.deferrable = Some(Deferrable::Deferrable);
        } else if cursor.take_words(&["not", "deferrable"]) {
            modes.deferrable = Some(Deferrable::NotDeferrable);
        } else {
            return None;
        }
        cursor.take_symbol(",");
    }
    Some(modes)
}

fn isolation(cursor: &mut Cursor<'_, '_>) -> Option<Isolation> {
    if cursor.take_word("serializable") {
        Some(Isolation::Serializable)
    } else if cursor.take_words(&["repeatable", "read"]) {
        Some(Isolation::RepeatableRead)
    } else if cursor.take_words(&["read", "committed"]) {
        Some(Isolation::ReadCommitted)
    } else if cursor.take_words(&["read", "uncommitted"]) {
        Some(Isolation::ReadUncommitted)
    } else {
        None
    }
}

/// `BEGIN [WORK | TRANSACTION] [modes]`, with the cursor behind `BEGIN`.
pub(super) fn begin(mut cursor: Cursor<'_, '_>) -> Statement {
    cursor.take_any(&["work", "transaction"]);
    modes(cursor).map_or_else(unparsable, |m| Statement::of(Kind::Begin(m)).tagged("BEGIN"))
}

/// `START TRANSACTION [modes]`, with the cursor behind `START`.
pub(super) fn start(mut cursor: Cursor<'_, '_>) -> Statement {
    if !cursor.take_word("transaction") {
        return unparsable();
    }
    modes(cursor).map_or_else(unparsable, |m| Statement::of(Kind::Begin(m)).tagged("START TRANSACTION"))
}

/// `COMMIT`, `END` and `COMMIT PREPARED`, with the cursor behind the first word.
pub(super) fn commit(mut cursor: Cursor<'_, '_>) -> Statement {
    if cursor.take_word("prepared") {
        return Statement::primary(Why::TwoPhase);
    }
    cursor.take_any(&["work", "transaction"]);
    chain(cursor).map_or_else(unparsable, |chain| Statement::of(Kind::Commit { chain }).tagged("COMMIT"))
}

/// `ROLLBACK`, `ABORT`, `ROLLBACK TO` and `ROLLBACK PREPARED`, with the cursor behind the first word.
pub(super) fn rollback(mut cursor: Cursor<'_, '_>) -> Statement {
    if cursor.take_word("prepared") {
        return Statement::primary(Why::TwoPhase);
    }
    cursor.take_any(&["work", "transaction"]);
    if cursor.take_word("to") {
        return savepoint(cursor, Kind::RollbackTo, "ROLLBACK");
    }
    chain(cursor).map_or_else(unparsable, |chain| Statement::of(Kind::Rollback { chain }).tagged("ROLLBACK"))
}

fn chain(mut cursor: Cursor<'_, '_>) -> Option<Chain> {
    let chain = if cursor.take_words(&["and", "chain"]) {
        Chain::Chain
    } else {
        cursor.take_words(&["and", "no", "chain"]);
        Chain::NoChain
    };
    cursor.at_end().then_some(chain)
}

/// `[SAVEPOINT] name`: what follows `SAVEPOINT`, `RELEASE` and `ROLLBACK TO`. `tag` completes it.
pub(super) fn savepoint(
    mut cursor: Cursor<'_, '_>,
    kind: fn(Box<str>) -> Kind,
    tag: &'static str,
) -> Statement {
    if cursor.rest().len() > 1 {
        cursor.take_word("savepoint");
    }
    let bare = cursor.peek().is_some_and(|token| RESERVED.iter().any(|word| token.is_word(word)));
    let long = cursor.peek().is_some_and(|token| token.text.len() > NAME_MAX);
    match cursor.take_name() {
        // The server says that it cuts the name.
        Some(name) if cursor.at_end() && long => Statement::of(kind(name)),
        Some(name) if cursor.at_end() && !bare => Statement::of(kind(name)).tagged(tag),
        _ => unparsable(),
    }
}

/// The longest name that PostgreSQL does not cut, with a notice (NAMEDATALEN, less its terminator).
const NAME_MAX: usize = 63;

/// Words that are no names unless they are quoted: those that `pg_get_keywords()` calls reserved, whether or not a function
/// or type can have the name. Of all versions from 14 to 18.
const RESERVED: [&str; 101] = [
    "all",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "authorization",
    "binary",
    "both",
    "case",
    "cast",
    "check",
    "collate",
    "collation",
    "column",
    "concurrently",
    "constraint",
    "create",
    "cross",
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "default",
    "deferrable",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "false",
    "fetch",
    "for",
    "foreign",
    "freeze",
    "from",
    "full",
    "grant",
    "group",
    "having",
    "ilike",
    "in",
    "initially",
    "inner",
    "intersect",
    "into",
    "is",
    "isnull",
    "join",
    "lateral",
    "leading",
    "left",
    "like",
    "limit",
    "localtime",
    "localtimestamp",
    "natural",
    "not",
    "notnull",
    "null",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "outer",
    "overlaps",
    "placing",
    "primary",
    "references",
    "returning",
    "right",
    "select",
    "session_user",
    "similar",
    "some",
    "symmetric",
    "system_user",
    "table",
    "tablesample",
    "then",
    "to",
    "trailing",
    "true",
    "union",
    "unique",
    "user",
    "using",
    "variadic",
    "verbose",
    "when",
    "where",
    "window",
    "with",
];
