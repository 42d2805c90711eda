//! What tokens of code do with data, and whether only the primary does it rightly: by words that change data, and by
//! PostgreSQL's own functions and views. Relations that are read are told by their names, to the catalog; what is left in the
//! session is found elsewhere.
//!
//! A body in PL/pgSQL is no list of statements that could be classified one by one: words are looked for, as in
//! [`code_reader`](super::code_reader), and what may be a change is one.

use super::functions::{self, Class, KnownFunctions};
use super::mentions::applied;
use crate::sql::text::{self, Token, TokenKind};
use crate::sql::verdict::{Conduct, DataUse, Name, Traces, Why};

/// What calling a function that is known does.
pub(super) fn of_call(name: &str, class: Class) -> Conduct {
    let data = if functions::writes_unnamed(name, class) {
        DataUse::Writes
    } else if class == Class::ReadOnly && functions::reads_unnamed(name, class) {
        DataUse::Reads
    } else {
        DataUse::None
    };
    let confined = matches!(class, Class::Primary(..));
    // It changes none; which one it asks for, and whether servers differ in that, is told by its argument.
    let traces = if name == "current_setting" { Traces::None } else { class.traces() };
    Conduct { traces, data, confined, ..Conduct::default() }
}

/// What the words of code do. Of calls, their traces are not told: those hang on the arguments.
pub(super) fn of_words(tokens: &[Token<'_>], known: &KnownFunctions) -> Conduct {
    (0..tokens.len()).fold(Conduct::default(), |all, at| all.join(of_word(tokens, at, known)))
}

fn of_word(tokens: &[Token<'_>], at: usize, known: &KnownFunctions) -> Conduct {
    let token = tokens[at];
    let data = |data| Conduct { data, ..Conduct::default() };
    if !token.is_name() {
        return Conduct::default();
    }
    if changes(tokens, at) {
        return data(DataUse::Writes);
    }
    let confined = Conduct { confined: true, ..Conduct::default() };
    if speaks_to_server(tokens, at) {
        return confined;
    }
    match text::name(token) {
        Some(name) if functions::view(&name).is_some_and(|why| why != Why::Temporary) => confined,
        Some(name) => called(tokens, at, known, name)
            .map_or_else(Conduct::default, |conduct| Conduct { traces: Traces::None, ..conduct }),
        None => confined,
    }
}

/// What is done by calling a name, if it is called.
fn called(tokens: &[Token<'_>], at: usize, known: &KnownFunctions, name: Box<str>) -> Option<Conduct> {
    if let Some((name, class)) = applied(tokens, at, known) {
        return Some(of_call(&name.name, class));
    }
    let is_call = tokens.get(at + 1).is_some_and(|next| next.is_symbol("("));
    let qualified = at >= 2 && tokens[at - 1].is_symbol(".");
    let schema = if qualified { text::name(tokens[at - 2]) } else { None };
    let name = Name { schema, name };
    known.class(&name).filter(|_| is_call).map(|class| of_call(&name.name, class))
}

/// Whether a word changes data, or begins what does.
fn changes(tokens: &[Token<'_>], at: usize) -> bool {
    /// Words that begin statements of other kinds than queries.
    const STATEMENTS: [&str; 19] = [
        "truncate", "repack", "create", "drop", "alter", "copy", "grant", "revoke", "refresh", "reindex",
        "cluster", "vacuum", "analyze", "call", "comment", "lock", "import", "security", "reassign",
    ];
    let token = tokens[at];
    let behind = |words: &[&str]| at > 0 && words.iter().any(|word| tokens[at - 1].is_word(word));
    let next_is =
        |words: &[&str]| tokens.get(at + 1).is_some_and(|next| words.iter().any(|word| next.is_word(word)));
    // A name that a query gives to a column is followed by FROM.
    let named = tokens.get(at + 1).is_some_and(|next| next.is_name()) && !next_is(&["from"]);
    if token.is_word("insert") || token.is_word("merge") {
        return next_is(&["into"]);
    }
    if token.is_word("delete") {
        return next_is(&["from"]);
    }
    if token.is_word("update") {
        return named && !behind(&["on"]);
    }
    if token.is_word("for") {
        return next_is(&["update", "share", "no", "key"]);
    }
    if token.is_word("into") && !behind(&["insert", "merge"]) {
        // In PL/pgSQL it names variables; a function in SQL begins with its first query.
        return ["select", "with"].iter().any(|word| tokens[0].is_word(word));
    }
    let file = token.is_word("copy") && tokens.get(at + 1).is_some_and(|next| next.is_symbol("("));
    (named || file) && STATEMENTS.iter().any(|word| token.is_word(word)) && begins(tokens, at)
}

/// Whether a word begins a statement that changes no data and that a replica refuses, or does to itself.
fn speaks_to_server(tokens: &[Token<'_>], at: usize) -> bool {
    const STATEMENTS: [&str; 8] =
        ["notify", "listen", "unlisten", "checkpoint", "discard", "deallocate", "prepare", "load"];
    let ends = || tokens.get(at + 1).is_none_or(|next| next.is_symbol(";"));
    let is_operand = tokens.get(at + 1).is_some_and(|next| {
        let value = next.is_name() || matches!(next.kind, TokenKind::String(_)) || next.is_symbol("*");
        value && !next.is_word("from")
    });
    let spoken = STATEMENTS.iter().any(|word| tokens[at].is_word(word));
    spoken && begins(tokens, at) && (is_operand || ends() && tokens[at].is_word("checkpoint"))
}

/// Whether a statement can begin at a token.
pub(super) fn begins(tokens: &[Token<'_>], at: usize) -> bool {
    const STARTS: [&str; 7] = ["begin", "then", "else", "loop", "atomic", "as", "do"];
    at == 0
        || tokens[at - 1].is_symbol(";")
        || tokens[at - 1].is_symbol(">>")
        || STARTS.iter().any(|word| tokens[at - 1].is_word(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::CodeReader;

    fn conduct(body: &str) -> (DataUse, bool) {
        let conduct = CodeReader::default().read(body).conduct;
        (conduct.data, conduct.confined)
    }

    #[test]
    fn what_is_done_with_data_is_what_the_words_say() {
        use DataUse::{None, Reads, Writes};
        for (body, data) in [
            ("SELECT $1 + 1", None),
            ("DECLARE x int; BEGIN x := lower(a); RETURN x; END", None),
            ("BEGIN RAISE NOTICE 'DELETE FROM t'; RETURN 1; END", None),
            ("BEGIN SELECT a INTO x FROM t; RETURN x; END", None),
            ("SELECT table_to_xml('t', true, true, '')", Reads),
            ("SELECT a INTO x FROM t", Writes),
            ("BEGIN EXECUTE 'SELECT a FROM t' INTO x; END", None),
            ("BEGIN EXECUTE format('DELETE FROM %I', t); END", Writes),
            ("BEGIN EXECUTE t; END", Writes),
            ("INSERT INTO t VALUES (1) RETURNING 1", Writes),
            ("WITH w AS (UPDATE t SET a = 1 RETURNING a) SELECT a FROM w", Writes),
            ("BEGIN IF x THEN TRUNCATE t; END IF; END", Writes),
            ("BEGIN PERFORM 1 FROM t FOR UPDATE; END", Writes),
            ("BEGIN CREATE TABLE n (a int); END", Writes),
            ("SELECT lo_create(1)", Writes),
            ("BEGIN CALL p(1); END", Writes),
            ("BEGIN COPY (SELECT a FROM t) TO '/tmp/x'; END", Writes),
            ("SELECT a AS comment FROM t", None),
        ] {
            assert_eq!(conduct(body).0, data, "{body}");
        }
    }

    #[test]
    fn what_only_the_primary_answers_is_found_in_code() {
        for (body, confined) in [
            ("SELECT a FROM t WHERE lower(b) = current_setting('app.x')", false),
            ("SELECT pg_is_in_recovery()", true),
            ("BEGIN PERFORM pg_advisory_xact_lock(1); END", true),
            ("BEGIN RETURN k.pg_advisory_lock; END", true),
            ("SELECT count(*) FROM pg_stat_activity", true),
            ("SELECT nextval('s')", true),
            ("BEGIN PERFORM pg_notify('a', 'b'); END", true),
            ("BEGIN NOTIFY a; END", true),
            ("BEGIN IF x THEN NOTIFY a, 'b'; END IF; END", true),
            ("BEGIN EXECUTE 'NOTIFY a'; END", true),
            ("BEGIN EXECUTE format('DEALLOCATE %I', x); CHECKPOINT; END", true),
            ("SELECT notify, a AS notify FROM t", false),
        ] {
            assert_eq!(conduct(body).1, confined, "{body}");
        }
    }
}
