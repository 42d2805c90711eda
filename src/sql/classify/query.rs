//! The verdict over a query or a data-modifying statement: scanned by its tokens, then parsed, and both put together.

use super::outline::outline;
use super::reader::Reader;
use super::scan::{Scan, scan};
use super::tree;
use crate::sql::text::{Lexer, StandardConformingStrings, Token};
use crate::sql::verdict::{Effects, Kind, Name, Statement, Why};

/// Most operators in a query that is read. Servers refuse chains that are much longer.
const TERMS_MAX: usize = 40_000;

/// The words that begin a query or a data-modifying statement.
const QUERY_WORDS: [&str; 8] = ["select", "with", "values", "table", "insert", "update", "delete", "merge"];

/// Those of them that may begin one that only reads.
const READING_WORDS: [&str; 4] = ["select", "with", "values", "table"];

/// Whether the first word behind any opening parentheses begins a query.
pub(super) fn begins(tokens: &[Token<'_>]) -> bool {
    let first = tokens.iter().find(|t| !t.is_symbol("("));
    first.is_some_and(|t| QUERY_WORDS.iter().any(|w| t.is_word(w)))
}

/// Whether a text of which this is the beginning may be a query: its first word says nothing else.
pub(crate) fn may_read(beginning: &[u8]) -> bool {
    // Before the first word nothing depends on how strings are read.
    let mut lexer = Lexer::new(beginning, StandardConformingStrings::On);
    let mut tokens = std::iter::from_fn(|| lexer.token().ok().flatten());
    let first = tokens.find(|token| !token.is_symbol("("));
    first.is_some_and(|first| READING_WORDS.iter().any(|word| first.is_word(word)))
}

/// A query or a data-modifying statement.
pub(super) fn read(tokens: &[Token<'_>], reader: Reader<'_>) -> Statement {
    let scan = scan(tokens, reader);
    if scan.why == Some(Why::Unparsable) {
        return Statement::primary(Why::Unparsable);
    }
    // All limits look at the shape alone, never at literals: equal skeletons have equal verdicts.
    let modifies = scan.why == Some(Why::Write);
    let too_long = if modifies {
        scan.terms > tree::TERMS_MAX || tree::shape_len(tokens) > tree::SHAPE_MAX
    } else {
        scan.terms > TERMS_MAX
    };
    let (tree, otherwise) = match (too_long, modifies) {
        (true, _) => (None, Why::TooLong),
        (false, true) => (tree::parse(tokens, reader.known), Why::Unparsable),
        (false, false) => (outline(tokens, reader.known), Why::Unparsable),
    };
    match tree {
        Some(tree) => {
            let kind = stronger(scan.why, tree.why).map_or(Kind::Read, Kind::Primary);
            let (reads_listed, writes_listed) = (scan.reads_listed, scan.writes_listed);
            let statement = Statement { reads_listed, writes_listed, ..Statement::of(kind) };
            named(statement, scan, tree.reads, tree.functions)
        }
        // The tokens alone tell what a write is and does; of a read they do not tell enough.
        None => {
            let statement = match scan.why {
                Some(Why::LocalSetting) => Statement::primary(Why::SessionState),
                Some(why) => Statement { writes_listed: scan.writes_listed, ..Statement::primary(why) },
                None => Statement::primary(otherwise),
            };
            let (reads, calls) = (scan.tables.clone(), scan.calls.clone());
            named(statement, scan, reads, calls)
        }
    }
}

/// The tokens' reason, unless it is the weakest and the tree has another.
fn stronger(tokens: Option<Why>, tree: Option<Why>) -> Option<Why> {
    tokens.filter(|why| *why != Why::LocalSetting).or(tree).or(tokens)
}

/// The statement with the names of what it accesses and calls, and with what it leaves.
fn named(statement: Statement, scan: Scan, mut reads: Vec<Name>, mut functions: Vec<Name>) -> Statement {
    let bound = scan.bound_calls();
    let mut writes = scan.writes;
    for list in [&mut reads, &mut writes, &mut functions] {
        list.sort_unstable();
        list.dedup();
    }
    reads.retain(|name| writes.binary_search(name).is_err());
    Statement {
        functions: functions.into(),
        reads: reads.into(),
        writes: writes.into(),
        effects: Effects { bound, settings: scan.settings.into(), changes: scan.changes.into(), code: None },
        ..statement
    }
}
