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
        return savepoint(cursor, Kind::RollbackTo).tagged("ROLLBACK");
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

/// `[SAVEPOINT] name`: what follows `SAVEPOINT`, `RELEASE` and `ROLLBACK TO`.
pub(super) fn savepoint(mut cursor: Cursor<'_, '_>, kind: fn(Box<str>) -> Kind) -> Statement {
    if cursor.rest().len() > 1 {
        cursor.take_word("savepoint");
    }
    match cursor.take_name() {
        Some(name) if cursor.at_end() => Statement::of(kind(name)),
        _ => unparsable(),
    }
}
