//! SQL-level prepared statements: `PREPARE`, `EXECUTE`, `DEALLOCATE`. What a name stands for is not known here.

use super::code_reader;
use super::reader::Reader;
use crate::sql::text::Cursor;
use crate::sql::verdict::{Change, Effects, Kind, Statement, Why};

/// `PREPARE TRANSACTION ...` or `PREPARE name [(types)] AS ...`, with the cursor behind `PREPARE`. Whatever the query
/// leaves when it is executed is noted here: nothing tells of it later.
pub(super) fn prepare(mut cursor: Cursor<'_, '_>, reader: Reader<'_>) -> Statement {
    let mut ahead = cursor;
    if ahead.take_word("transaction") && ahead.take_string().is_some() {
        return Statement::primary(Why::TwoPhase);
    }
    let Some(name) = cursor.take_name() else { return Statement::primary(Why::Unparsable) };
    let code = code_reader::in_statement(cursor.rest(), reader);
    let effects = Effects::of(Some(Change::Prepare(name.clone())), Some(code));
    Statement { effects, ..Statement::of(Kind::Prepare(name)) }
}

/// `EXECUTE name [(arguments)]`, with the cursor behind `EXECUTE`.
pub(super) fn execute(mut cursor: Cursor<'_, '_>, reader: Reader<'_>) -> Statement {
    let Some(name) = cursor.take_name() else { return Statement::primary(Why::Unparsable) };
    Statement::of(Kind::Execute(name)).running(code_reader::in_statement(cursor.rest(), reader))
}

/// `DEALLOCATE [PREPARE] name | ALL`, with the cursor behind `DEALLOCATE`.
pub(super) fn deallocate(mut cursor: Cursor<'_, '_>) -> Statement {
    if cursor.rest().len() > 1 {
        cursor.take_word("prepare");
    }
    if cursor.rest().len() == 1 && cursor.take_word("all") {
        return Statement::of(Kind::Deallocate(None));
    }
    match cursor.take_name() {
        Some(name) if cursor.at_end() => Statement::of(Kind::Deallocate(Some(name))),
        _ => Statement::primary(Why::Unparsable),
    }
}
