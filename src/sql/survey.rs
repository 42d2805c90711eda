//! One pass over a query's tokens for everything that keeps it from a replica.
//!
//! This does not depend on a parser: what it looks for shows in the tokens whatever the grammar around them is, and
//! errs to the side of the primary. The parser's tree adds what needs structure (relations, functions).

use super::cursor::Cursor;
use super::functions::{self, Class, KnownFunctions};
use super::lexer::{StandardConformingStrings, Token, TokenKind};
use super::settings::{self, Assignment};
use super::text;
use super::verdict::{Name, Pin, Setting, Why};

/// What the tokens of a query show.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// Why it must run on the primary, if it must.
    pub(super) why: Option<Why>,
    /// State that it leaves.
    pub(super) pin: Option<Pin>,
    /// Settings that it changes.
    pub(super) settings: Vec<Setting>,
    /// Relations that it writes.
    pub(super) writes: Vec<Name>,
    /// Relations that `TABLE name` reads.
    pub(super) tables: Vec<Name>,
    /// Names in front of a parenthesis that are not known: every call of a user's function is among them.
    pub(super) calls: Vec<Name>,
    /// Operators and words that act as such: a bound on how deep a chain of them can be.
    pub(super) terms: usize,
}

/// Words that build chains of expressions or queries as operators do.
const CHAINING: [&str; 16] = [
    "and",
    "or",
    "not",
    "is",
    "isnull",
    "notnull",
    "in",
    "like",
    "ilike",
    "similar",
    "between",
    "collate",
    "at",
    "union",
    "intersect",
    "except",
];

/// Surveys the tokens of one query or data-modifying statement.
pub(super) fn survey(
    tokens: &[Token<'_>],
    strings: StandardConformingStrings,
    known: &KnownFunctions,
) -> Survey {
    let mut found = Surveyor { found: Survey::default(), tokens, strings, known };
    for at in 0..tokens.len() {
        found.token(at);
    }
    found.found
}

struct Surveyor<'t, 'a> {
    found: Survey,
    tokens: &'t [Token<'a>],
    strings: StandardConformingStrings,
    known: &'t KnownFunctions,
}

impl<'t, 'a> Surveyor<'t, 'a> {
    fn token(&mut self, at: usize) {
        let token = self.tokens[at];
        match token.kind {
            TokenKind::Operator => self.found.terms += 1,
            TokenKind::Punctuation if token.text == b"::" => self.found.terms += 1,
            TokenKind::Word => {
                self.keyword(at);
                self.name(at);
            }
            TokenKind::QuotedName | TokenKind::UnicodeName => self.name(at),
            _ => {}
        }
    }

    fn before(&self, at: usize) -> Option<&'t Token<'a>> {
        at.checked_sub(1).and_then(|b| self.tokens.get(b))
    }

    fn next_is(&self, at: usize, words: &[&str]) -> bool {
        self.tokens.get(at + 1).is_some_and(|t| words.iter().any(|w| t.is_word(w)))
    }

    fn previous_is(&self, at: usize, words: &[&str]) -> bool {
        self.before(at).is_some_and(|t| words.iter().any(|w| t.is_word(w)))
    }

    fn note(&mut self, why: Why) {
        let rank = |why: Why| match why {
            Why::Write => 0,
            Why::RowLock => 1,
            _ => 2,
        };
        if self.found.why.is_none_or(|old| rank(why) < rank(old)) {
            self.found.why = Some(why);
        }
    }

    /// Words of the grammar. A column of such a name is mistaken for it, and costs a trip to the primary.
    fn keyword(&mut self, at: usize) {
        let token = self.tokens[at];
        if self.before(at).is_some_and(|t| t.is_symbol(".")) {
            return;
        }
        if CHAINING.iter().any(|w| token.is_word(w)) {
            self.found.terms += 1;
        }
        let into_follows = self.next_is(at, &["into"]);
        if (token.is_word("insert") || token.is_word("merge")) && into_follows {
            self.write(at + 2);
        } else if token.is_word("into") && !self.previous_is(at, &["insert", "merge"]) {
            self.select_into(at);
        } else if token.is_word("delete") && self.next_is(at, &["from"]) {
            self.write(at + 2);
        } else if token.is_word("update") {
            self.update(at);
        } else if token.is_word("for") {
            self.row_lock(at);
        } else if token.is_word("table") {
            let mut cursor = Cursor::new(&self.tokens[at + 1..]);
            cursor.take_word("only");
            self.found.tables.extend(cursor.take_qualified());
        }
    }

    fn write(&mut self, target: usize) {
        self.note(Why::Write);
        let mut cursor = Cursor::new(self.tokens.get(target..).unwrap_or_default());
        cursor.take_word("only");
        if let Some(name) = cursor.take_qualified() {
            if &*name.name == "pg_settings" {
                // A rule on this view turns UPDATE into set_config.
                self.found.pin = Some(Pin::DynamicSetting);
            }
            self.found.writes.push(name);
        }
    }

    /// `UPDATE` as a statement, not the word in `FOR UPDATE`, `DO UPDATE SET`, `THEN UPDATE SET`.
    fn update(&mut self, at: usize) {
        let clause = self.previous_is(at, &["for", "key", "do", "then", "on"]);
        let target = self.tokens.get(at + 1).is_some_and(|t| t.is_name() && !t.is_word("set"));
        if !clause && target {
            self.write(at + 1);
        }
    }

    fn select_into(&mut self, at: usize) {
        self.note(Why::Write);
        let mut cursor = Cursor::new(&self.tokens[at + 1..]);
        cursor.take_any(&["local", "global"]);
        if cursor.take_any(&["temporary", "temp"]).is_some() {
            self.found.pin = Some(Pin::Temporary);
        }
        cursor.take_word("unlogged");
        cursor.take_word("table");
        self.found.writes.extend(cursor.take_qualified());
    }

    fn row_lock(&mut self, at: usize) {
        let mut cursor = Cursor::new(&self.tokens[at + 1..]);
        if cursor.take_words(&["no", "key", "update"])
            || cursor.take_words(&["key", "share"])
            || cursor.take_any(&["update", "share"]).is_some()
        {
            self.note(Why::RowLock);
        }
    }

    /// Names of functions, views and columns that only the primary answers rightly.
    fn name(&mut self, at: usize) {
        let called = self.tokens.get(at + 1).is_some_and(|t| t.is_symbol("("));
        let Some(name) = text::name(self.tokens[at]) else { return self.note(Why::Unparsable) };
        if called {
            let schema = self.schema(at);
            return self.call(at, Name { schema, name });
        }
        if functions::sequence_column(&name) {
            self.note(Why::Sequence);
        }
        if let Some(why) = functions::view(&name) {
            self.note(why);
        }
    }

    /// The name in front of a dot in front of this one.
    fn schema(&self, at: usize) -> Option<Box<str>> {
        let dot = self.before(at)?;
        if dot.is_symbol(".") { text::name(*self.before(at - 1)?) } else { None }
    }

    fn call(&mut self, at: usize, name: Name) {
        if self.before(at).is_some_and(|t| t.is_symbol("::")) {
            return;
        }
        match self.known.class(&name) {
            Some(Class::ReadOnly) => {}
            Some(Class::Primary(why, pin)) => {
                self.note(why);
                self.found.pin = self.found.pin.or(pin);
            }
            Some(Class::ByArgument) => self.by_argument(at, &name.name),
            // `INSERT INTO t (...)`, `AS t (...)` and `INTO` name no function.
            None if self.previous_is(at, &["as", "into", "with", "recursive"]) => {}
            None => self.found.calls.push(name),
        }
    }

    fn by_argument(&mut self, at: usize, function: &str) {
        let arguments = Cursor::new(&self.tokens[at + 1..]).take_parenthesised().unwrap_or_default();
        if function == "current_setting" {
            let name = arguments.first().and_then(|t| text::string_value(*t, self.strings));
            if !name.is_some_and(|n| functions::alike_everywhere(&n.to_ascii_lowercase())) {
                self.note(Why::ServerState);
            }
            return;
        }
        let unconditional = !self.tokens.iter().any(conditional);
        match settings::set_config(arguments, self.strings) {
            Assignment::Known(setting) if unconditional => self.found.settings.push(setting),
            Assignment::Local => self.note(Why::SessionState),
            Assignment::Known(_) | Assignment::Unknown => {
                self.note(Why::SessionState);
                self.found.pin = Some(Pin::DynamicSetting);
            }
        }
    }
}

/// Words after which a call in the select list may run never, or more than once.
fn conditional(token: &Token<'_>) -> bool {
    const WORDS: [&str; 9] = ["from", "where", "case", "coalesce", "and", "or", "limit", "union", "having"];
    WORDS.iter().any(|w| token.is_word(w))
}
