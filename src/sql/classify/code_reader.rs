//! What code may do when it runs, to its session and to data: the bodies of functions, procedures and blocks, and the parts
//! of utility statements that are evaluated. What it was declared to be is not believed.
//!
//! Code is not run in the mind here, it is searched for words: what could leave state is taken to do so. What it calls
//! is listed, for the catalog to follow. SQL that is put together while it runs is read where only names and literals
//! are put into a text that stands there (`EXECUTE format('... %I ... %L', ...)`); anything else may be anything.

use super::conduct;
use super::definitions;
use super::functions::KnownFunctions;
use super::mentions::mentions;
use super::reader::Reader;
use super::scan::scan;
use super::temporary;
use crate::sql::text::{self, Cursor, Lexer, StandardConformingStrings, Token, TokenKind};
use crate::sql::verdict::{Change, Code, Conduct, DataUse, Name, Scope, Traces};

/// Reads bodies of functions. Holds the table of functions that weir knows.
#[derive(Debug)]
pub(crate) struct CodeReader {
    known: KnownFunctions,
}

impl Default for CodeReader {
    fn default() -> Self {
        Self { known: KnownFunctions::load() }
    }
}

impl CodeReader {
    /// What a body in SQL or PL/pgSQL may do. It is read as strings are read by default.
    pub(crate) fn read(&self, body: &str) -> Code {
        in_body(body, Reader { strings: StandardConformingStrings::On, known: &self.known })
    }

    /// What PostgreSQL's own function of this name does, if weir knows it.
    pub(crate) fn built_in(&self, name: &str) -> Option<Conduct> {
        let name = Name { schema: None, name: name.into() };
        let class = self.known.class(&name)?;
        Some(conduct::of_call(&name.name, class))
    }

    /// PostgreSQL's own functions that do more than compute.
    pub(crate) fn acting(&self) -> Vec<&'static str> {
        self.known
            .names()
            .filter(|name| self.built_in(name).is_some_and(|conduct| !conduct.is_pure()))
            .collect()
    }
}

/// What a body may do.
pub(super) fn in_body(body: &str, reader: Reader<'_>) -> Code {
    Search::over(body, reader).finish()
}

/// What the expressions and queries in a statement's tokens may do.
pub(super) fn in_statement(tokens: &[Token<'_>], reader: Reader<'_>) -> Code {
    let mut search = Search::new(reader);
    search.calls(tokens);
    search.words(tokens);
    search.finish()
}

/// How deep texts within texts are followed.
const NESTING_MAX: usize = 3;

/// Most words that are remembered of one body.
const WORDS_MAX: usize = 5_000;

struct Search<'k> {
    reader: Reader<'k>,
    conduct: Conduct,
    calls: Vec<Name>,
    words: Vec<Box<str>>,
    mentions: Vec<Box<str>>,
    nesting: usize,
    /// Whether it names no relation, for want of a word behind which one can stand.
    names_none: bool,
}

impl<'k> Search<'k> {
    fn new(reader: Reader<'k>) -> Self {
        let conduct = Conduct::default();
        let (calls, words, mentions) = (Vec::new(), Vec::new(), Vec::new());
        Self { reader, conduct, calls, words, mentions, nesting: 0, names_none: false }
    }

    fn over(body: &str, reader: Reader<'k>) -> Self {
        let mut search = Self { names_none: true, ..Self::new(reader) };
        search.text(body);
        search.names_none &= search.conduct.data < DataUse::Writes;
        search
    }

    fn finish(mut self) -> Code {
        self.calls.sort_unstable();
        self.calls.dedup();
        for names in [&mut self.words, &mut self.mentions] {
            names.sort_unstable();
            names.dedup();
        }
        if self.words.len() > WORDS_MAX {
            return Code::unread();
        }
        if self.names_none {
            self.words.clear();
        }
        let Self { conduct, calls, words, mentions, .. } = self;
        Code { conduct, calls: calls.into(), words: words.into(), mentions: mentions.into() }
    }

    fn leaves(&mut self, traces: Traces) {
        self.conduct.traces = self.conduct.traces.max(traces);
    }

    fn text(&mut self, text: &str) {
        let lex = |strings| Lexer::new(text.as_bytes(), strings).collect::<Result<Vec<_>, _>>();
        match lex(self.reader.strings) {
            Ok(tokens) => self.tokens(&tokens),
            Err(_) => self.does_anything(),
        }
        // It is read by the rule of whoever calls it, or by one that it has set for itself. What that cannot read does not
        // run.
        let other = match self.reader.strings {
            StandardConformingStrings::On => StandardConformingStrings::Off,
            StandardConformingStrings::Off => StandardConformingStrings::On,
        };
        if text.contains('\\')
            && let Ok(tokens) = lex(other)
        {
            let reader = self.reader;
            self.reader = Reader { strings: other, ..reader };
            self.tokens(&tokens);
            self.reader = reader;
        }
    }

    fn tokens(&mut self, tokens: &[Token<'_>]) {
        for (at, token) in tokens.iter().enumerate() {
            match token.kind {
                TokenKind::Word => self.word(tokens, at),
                // A name that is written so is not read here.
                TokenKind::UnicodeName => self.does_anything(),
                // A search path, most likely.
                TokenKind::String(_) if contains(token.text, b"pg_temp") => self.leaves(Traces::Discardable),
                _ => {}
            }
        }
        self.calls(tokens);
        self.words(tokens);
    }

    /// Words that leave state, or begin a statement that does.
    fn word(&mut self, tokens: &[Token<'_>], at: usize) {
        let next = tokens.get(at + 1);
        let next_is = |words: &[&str]| next.is_some_and(|next| words.iter().any(|word| next.is_word(word)));
        let lower = tokens[at].text.to_ascii_lowercase();
        let traces = match &*lower {
            b"temp" | b"temporary" | b"rename" => Traces::Discardable,
            b"hold" if at > 0 && tokens[at - 1].is_word("with") => Traces::Discardable,
            b"set" if next_is(&["local", "constraints", "transaction"]) => Traces::None,
            b"set" if is_statement(tokens, at) => Traces::Discardable,
            b"reset" | b"listen" | b"prepare" if begins(tokens, at) => Traces::Discardable,
            b"load" if begins(tokens, at) => Traces::Lasting,
            b"do" if next.is_some_and(|next| matches!(next.kind, TokenKind::String(_))) => {
                return self.dynamic(&tokens[at + 1..at + 2]);
            }
            b"execute" if !next_is(&["function", "procedure", "on"]) => {
                return self.dynamic(&tokens[at + 1..]);
            }
            name if temporary::is_temporary(&String::from_utf8_lossy(name)) => Traces::Discardable,
            _ => Traces::None,
        };
        self.leaves(traces);
    }

    /// SQL that is put together while it runs, and whatever follows it.
    fn dynamic(&mut self, expression: &[Token<'_>]) {
        let text = text_of(expression, self.reader.strings).filter(|_| self.nesting < NESTING_MAX);
        match text {
            Some(text) => {
                self.nesting += 1;
                self.text(&text);
                self.nesting -= 1;
            }
            None => {
                self.does_anything();
                self.defines(expression);
            }
        }
    }

    /// What is defined by the texts of which SQL is put together, as far as they tell.
    fn defines(&mut self, expression: &[Token<'_>]) {
        let operands = expression.iter().take_while(|token| !token.is_symbol(";"));
        for literal in operands.filter(|token| matches!(token.kind, TokenKind::String(_))) {
            let Some(text) = text::string_value(*literal, self.reader.strings) else { continue };
            let tokens: Result<Vec<_>, _> = Lexer::new(text.as_bytes(), self.reader.strings).collect();
            let brings = definitions::brings_in_code(&tokens.unwrap_or_default(), self.reader.known);
            self.conduct.brings = self.conduct.brings.join(brings);
        }
    }

    fn does_anything(&mut self) {
        self.conduct = self.conduct.join(Code::unread().conduct);
    }

    /// Functions that are called, known and unknown.
    fn calls(&mut self, tokens: &[Token<'_>]) {
        let scan = scan(tokens, self.reader);
        let creates =
            scan.changes.contains(&Change::Creates) || tokens.iter().any(|token| token.is_word("create"));
        for change in &scan.changes {
            self.leaves(match change {
                // Of what a body creates, only what says so is temporary: search paths are looked at above.
                Change::Creates | Change::LocalSetting(_) => Traces::None,
                Change::Searches if !creates => Traces::None,
                Change::Unknown => Traces::Lasting,
                _ => Traces::Discardable,
            });
        }
        if scan.settings.iter().any(|setting| setting.scope == Scope::Session) {
            self.leaves(Traces::Discardable);
        }
        if scan.calls.iter().any(|name| &*name.name == "?") {
            // Which function is called is put in as a name.
            self.does_anything();
        }
        self.calls.extend(scan.calls);
    }

    fn words(&mut self, tokens: &[Token<'_>]) {
        self.conduct = self.conduct.join(conduct::of_words(tokens, self.reader.known));
        let brings = definitions::brings_in_code(tokens, self.reader.known);
        self.conduct.brings = self.conduct.brings.join(brings);
        self.names_none &= !tokens.iter().any(|token| token.is_word("from") || token.is_word("table"));
        self.mentions.extend(mentions(tokens, self.reader.known));
        let names = tokens.iter().filter(|token| token.is_name());
        self.words.extend(names.filter_map(|token| text::name(*token)));
    }
}

/// Whether a statement can begin at a token of PL/pgSQL.
fn begins(tokens: &[Token<'_>], at: usize) -> bool {
    const STARTS: [&str; 8] = ["begin", "then", "else", "loop", "declare", "atomic", "as", "do"];
    at == 0
        || tokens[at - 1].is_symbol(";")
        || tokens[at - 1].is_symbol(">>")
        || STARTS.iter().any(|word| tokens[at - 1].is_word(word))
}

/// Whether a SET is a statement: it stands where one can begin, or nothing in front of it has a clause of that name.
fn is_statement(tokens: &[Token<'_>], at: usize) -> bool {
    let before = tokens[..at].iter().rev().take_while(|token| !token.is_symbol(";"));
    let mut clauses = before.filter(|token| ["update", "alter", "create"].iter().any(|w| token.is_word(w)));
    let directly = at > 0 && tokens[at - 1].is_word("update");
    !directly && (begins(tokens, at) || clauses.next().is_none())
}

/// The text that an expression behind EXECUTE gives, with a name for each name and a literal for each literal that is
/// put in; `None` when it cannot be told.
fn text_of(expression: &[Token<'_>], strings: StandardConformingStrings) -> Option<String> {
    let ends = |token: &&Token<'_>| {
        token.is_symbol(";") || ["into", "using", "loop"].iter().any(|word| token.is_word(word))
    };
    let len = expression.iter().take_while(|token| !ends(token)).count();
    let mut rest = &expression[..len];
    let mut text = String::new();
    loop {
        let (part, tail) = part(rest, strings)?;
        text.push_str(&part);
        match tail {
            [] => return Some(text),
            [operator, tail @ ..] if operator.is_symbol("||") => rest = tail,
            _ => return None,
        }
    }
}

/// One operand of a concatenation.
fn part<'t, 'a>(
    tokens: &'t [Token<'a>],
    strings: StandardConformingStrings,
) -> Option<(String, &'t [Token<'a>])> {
    let (first, rest) = tokens.split_first()?;
    if let TokenKind::String(_) = first.kind {
        return Some((text::string_value(*first, strings)?, rest));
    }
    let mut cursor = Cursor::new(rest);
    let arguments = cursor.take_parenthesised()?;
    let text = match &*first.text.to_ascii_lowercase() {
        // Of a template that is itself put together, the first part is not the whole.
        b"format" if arguments.get(1).is_none_or(|token| token.is_symbol(",")) => {
            filled(&text::string_value(*arguments.first()?, strings)?)?
        }
        b"quote_ident" => A_NAME.to_owned(),
        b"quote_literal" | b"quote_nullable" => A_LITERAL.to_owned(),
        _ => return None,
    };
    Some((text, cursor.rest()))
}

/// What stands for a name that is put in.
const A_NAME: &str = "\"?\"";

/// What stands for a literal that is put in.
const A_LITERAL: &str = "''";

/// A template of `format()` with names and literals put in; `None` when any text may be put in (`%s`).
fn filled(template: &str) -> Option<String> {
    let mut text = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(at) = rest.find('%') {
        text.push_str(&rest[..at]);
        // `%1$I`: which argument it is does not matter.
        let spec = rest[at + 1..].trim_start_matches(|c: char| c.is_ascii_digit() || c == '$' || c == '-');
        let mut chars = spec.chars();
        match chars.next()? {
            'I' => text.push_str(A_NAME),
            'L' => text.push_str(A_LITERAL),
            '%' => text.push('%'),
            _ => return None,
        }
        rest = chars.as_str();
    }
    text.push_str(rest);
    Some(text)
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::verdict::Brings;

    fn traces(body: &str) -> Traces {
        CodeReader::default().read(body).conduct.traces
    }

    #[test]
    fn bodies_that_leave_nothing() {
        for body in [
            "SELECT 1",
            "BEGIN UPDATE t SET a = 1 WHERE b; RETURN NEW; END",
            "BEGIN INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET a = 2; END",
            "BEGIN IF x THEN UPDATE t SET a = 1; ELSE DELETE FROM t; END IF; END",
            "BEGIN MERGE INTO t USING u ON true WHEN MATCHED THEN UPDATE SET a = 1; END",
            "BEGIN SET LOCAL work_mem = '1MB'; SET CONSTRAINTS ALL DEFERRED; END",
            "BEGIN PERFORM set_config('app.tenant', x::text, true); PERFORM set_config('a.b', 'c', true) FROM t; END",
            "BEGIN PERFORM pg_advisory_xact_lock(1); END",
            "BEGIN PERFORM pg_notify('channel', x); END",
            "BEGIN EXECUTE format('INSERT INTO %I.%I (a) VALUES (%L)', s, t, v) USING x; END",
            "BEGIN EXECUTE 'UPDATE ' || quote_ident(t) || ' SET a = ' || quote_literal(v); END",
            "BEGIN FOR r IN EXECUTE 'SELECT * FROM t' LOOP x := r.a; END LOOP; END",
            "DECLARE x int; BEGIN SELECT a.reset, load INTO x FROM a; END",
            "BEGIN RAISE NOTICE 'SET ROLE; set_config(a)'; END -- SET ROLE x",
        ] {
            assert_eq!(traces(body), Traces::None, "{body}");
        }
    }

    #[test]
    fn bodies_that_leave_what_can_be_discarded() {
        for body in [
            "SELECT set_config('app.tenant', $1, false)",
            "BEGIN PERFORM set_config('app.tenant', 'x', is_local); END",
            "BEGIN SET work_mem = '1MB'; END",
            "<<outer>> BEGIN IF EXISTS (SELECT 1 FROM t FOR UPDATE) THEN SET ROLE x; END IF; END",
            "BEGIN UPDATE t SET a = 1; SET SESSION AUTHORIZATION x; END",
            "BEGIN RESET ROLE; END",
            "BEGIN LISTEN c; END",
            "BEGIN CREATE TEMP TABLE t (a int); END",
            "BEGIN CREATE TABLE pg_temp.t (a int); END",
            "BEGIN PERFORM set_config('search_path', 'pg_temp', true); CREATE TABLE t (); END",
            "SELECT * INTO TEMP t FROM u",
            "SELECT pg_advisory_lock(1)",
            "BEGIN IF pg_catalog.pg_try_advisory_lock(k) THEN NULL; END IF; END",
            "UPDATE pg_settings SET setting = 'x'",
            "BEGIN EXECUTE format('SET search_path = %I', s); END",
            "BEGIN EXECUTE 'CREATE TEMP TABLE x AS SELECT ' || quote_literal(a); END",
            "BEGIN ALTER TABLE t RENAME TO u; END",
            "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
        ] {
            assert_eq!(traces(body), Traces::Discardable, "{body}");
        }
    }

    #[test]
    fn bodies_that_may_leave_anything() {
        for body in [
            "BEGIN EXECUTE x; END",
            "BEGIN EXECUTE 'SELECT ' || x; END",
            "BEGIN EXECUTE format('%s', x); END",
            "BEGIN EXECUTE format('SELECT ' || x, y); END",
            "BEGIN EXECUTE format(x); END",
            "BEGIN FOR r IN EXECUTE x LOOP NULL; END LOOP; END",
            "BEGIN LOAD 'x'; END",
            "SELECT dblink_connect('x')",
            "SELECT setseed(0.5)",
            "BEGIN 'unterminated",
            "BEGIN EXECUTE 'DO $$ BEGIN EXECUTE ''x'' || y; END $$'; END",
        ] {
            let body_traces = traces(body);
            assert_eq!(body_traces, Traces::Lasting, "{body}");
        }
    }

    #[test]
    fn what_a_body_defines_stands_in_it() {
        let brings = |body: &str| CodeReader::default().read(body).conduct.brings;
        for (body, expected) in [
            ("BEGIN RETURN 1; END", Brings::Nothing),
            ("SELECT a AS create FROM t", Brings::Nothing),
            ("BEGIN EXECUTE x; END", Brings::Nothing),
            ("BEGIN CREATE TEMP TABLE t (a int DEFAULT f()); DROP TABLE t; END", Brings::Removal),
            ("BEGIN EXECUTE format('CREATE TABLE %I PARTITION OF t DEFAULT', x); END", Brings::Nothing),
            ("BEGIN EXECUTE 'CREATE INDEX ON ' || quote_ident(x) || ' (a)'; END", Brings::Plain),
            ("BEGIN CREATE VIEW v AS SELECT 1; END", Brings::Addition),
            ("BEGIN IF x THEN CREATE CAST (a AS b) WITH FUNCTION f(a); END IF; END", Brings::Addition),
            ("BEGIN EXECUTE format('CREATE TRIGGER %s', x); END", Brings::Addition),
            ("BEGIN EXECUTE 'CREATE TRIGGER ' || x || ' ON t'; END", Brings::Addition),
            ("BEGIN ALTER TABLE t RENAME TO u; END", Brings::Move),
            (
                "BEGIN CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; END",
                Brings::Anything,
            ),
        ] {
            assert_eq!(brings(body), expected, "{body}");
        }
    }

    #[test]
    fn what_is_called_is_listed() {
        let code = CodeReader::default()
            .read("BEGIN PERFORM app.f(lower(x)); SELECT g(1) FROM \"T\"; CALL p(); END");
        let calls: Vec<&str> = code.calls.iter().map(|name| &*name.name).collect();
        assert_eq!(calls, ["g", "p", "f"]);
        assert!(code.words.contains(&"T".into()) && code.words.contains(&"app".into()));
        let dynamic = CodeReader::default().read("BEGIN EXECUTE format('SELECT %I(1), h(%L)', f, a); END");
        let calls: Vec<&str> = dynamic.calls.iter().map(|name| &*name.name).collect();
        assert_eq!(calls, ["?", "h"]);
    }
}
