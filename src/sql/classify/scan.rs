//! One pass over a query's tokens for everything that keeps it from a replica.
//!
//! This does not depend on a parser: what it looks for shows in the tokens whatever the grammar around them is, and
//! errs to the side of the primary. The parser's tree adds what needs structure (relations, functions).

use super::bound::bound_call;
use super::functions::{self, Class};
use super::mentions::applied;
use super::reader::Reader;
use super::reserved::is_reserved;
use super::set_config::{Assignment, set_config};
use super::{parameters, temporary};
use crate::sql::text::{self, Cursor, Token, TokenKind};
use crate::sql::verdict::{Argument, BoundCall, Change, Listed, Name, Pin, Scope, Setting, Why};

/// What the tokens of a query show.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Why it must run on the primary, if it must.
    pub(super) why: Option<Why>,
    /// State that it leaves.
    pub(super) changes: Vec<Change>,
    /// Settings that it changes.
    pub(super) settings: Vec<Setting>,
    /// Its calls of `set_config`; `None` for one of which no value that is bound would tell what it does.
    set_configs: Vec<Option<BoundCall>>,
    /// Relations that it writes.
    pub(super) writes: Vec<Name>,
    /// Whether those are all, functions that are not known aside.
    pub(super) writes_listed: Listed,
    /// Whether the known functions that it calls read no relation but those that it names.
    pub(super) reads_listed: Listed,
    /// Relations that `TABLE name` reads, common table expressions among them.
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

/// Scans the tokens of one query or data-modifying statement.
pub(super) fn scan(tokens: &[Token<'_>], reader: Reader<'_>) -> Scan {
    let mut scanner = Scanner { found: Scan::default(), tokens, reader };
    for at in 0..tokens.len() {
        scanner.token(at);
    }
    let mut found = scanner.found;
    // A statement that modifies and shows no target has it in a form that is not known here.
    let first = tokens.iter().find(|t| !t.is_symbol("("));
    let modifies =
        first.is_some_and(|t| ["insert", "update", "delete", "merge"].iter().any(|w| t.is_word(w)));
    if modifies && found.writes.is_empty() {
        found.why = Some(Why::Write);
        found.writes_listed = Listed::Partly;
    }
    found
}

impl Scan {
    /// All calls of `set_config`, where values that are bound tell what they do.
    pub(super) fn bound_calls(&self) -> Box<[BoundCall]> {
        let bound = |call: &BoundCall| {
            let arguments = [&call.name, &call.value, &call.local];
            arguments.iter().any(|argument| matches!(argument, Argument::Parameter(_)))
        };
        match self.set_configs.iter().flatten().any(bound) {
            true => self.set_configs.iter().cloned().collect::<Option<_>>().unwrap_or_default(),
            false => Box::default(),
        }
    }
}

struct Scanner<'t, 'a> {
    found: Scan,
    tokens: &'t [Token<'a>],
    reader: Reader<'t>,
}

impl<'t, 'a> Scanner<'t, 'a> {
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
            Why::LocalSetting => 3,
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
            if cursor.take_word("only") {
                cursor.take_symbol("(");
            }
            self.found.tables.extend(cursor.take_qualified());
        }
    }

    fn write(&mut self, target: usize) {
        let mut cursor = Cursor::new(self.tokens.get(target..).unwrap_or_default());
        if cursor.take_word("only") {
            cursor.take_symbol("(");
        }
        self.target(cursor);
    }

    /// Takes down the name of a relation that is written.
    fn target(&mut self, mut cursor: Cursor<'_, '_>) {
        self.note(Why::Write);
        let Some(name) = cursor.take_qualified() else {
            self.found.writes_listed = Listed::Partly;
            return;
        };
        if &*name.name == "pg_settings" {
            // A rule on this view turns UPDATE into set_config.
            self.leave(Change::DynamicSetting(None));
        }
        self.found.writes.push(name);
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
        let mut cursor = Cursor::new(&self.tokens[at + 1..]);
        let namespace = temporary::namespace(&mut cursor);
        cursor.take_word("unlogged");
        cursor.take_word("table");
        if let Some(change) = temporary::created(namespace, cursor) {
            self.leave(change);
        }
        self.target(cursor);
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
        // How such a name is read stands behind it.
        let escapes = self.tokens[at].kind == TokenKind::UnicodeName && self.next_is(at, &["uescape"]);
        let Some(name) = text::name(self.tokens[at]).filter(|_| !escapes) else {
            return self.note(Why::Unparsable);
        };
        if self.is_treated(at) {
            // `TREAT(x AS t)` calls PostgreSQL's own function of that name, whatever it is.
            return self.call(at, Name { schema: Some("pg_catalog".into()), name });
        }
        if called {
            let schema = self.schema(at);
            return self.call(at, Name { schema, name });
        }
        if let Some((name, class)) = applied(self.tokens, at, self.reader.known) {
            return self.known_call(at, &name, class);
        }
        if functions::sequence_column(&name) {
            self.note(Why::Sequence);
        }
        if let Some(why) = functions::view(&name) {
            self.note(why);
        }
    }

    /// Whether a name stands where `TREAT` takes a type. `CAST(x AS t)` and `(SELECT x AS t)` look alike, and PostgreSQL has
    /// no type that is called as what only the primary may do.
    fn is_treated(&self, at: usize) -> bool {
        let ends = self.tokens.get(at + 1).is_some_and(|next| next.is_symbol(")") || next.is_symbol("["));
        ends && self.previous_is(self.beginning(at), &["as"])
    }

    /// The name in front of a dot in front of this one.
    fn schema(&self, at: usize) -> Option<Box<str>> {
        let dot = self.before(at)?;
        if dot.is_symbol(".") { text::name(*self.before(at - 1)?) } else { None }
    }

    /// Where the qualified name begins whose last part stands here.
    fn beginning(&self, at: usize) -> usize {
        let qualified =
            |at: usize| at >= 2 && self.tokens[at - 1].is_symbol(".") && self.tokens[at - 2].is_name();
        let mut at = at;
        while qualified(at) {
            at -= 2;
        }
        at
    }

    fn call(&mut self, at: usize, name: Name) {
        let beginning = self.beginning(at);
        if self.before(beginning).is_some_and(|t| t.is_symbol("::")) {
            return;
        }
        match self.reader.known.class(&name) {
            Some(class) => self.known_call(at, &name, class),
            // `INSERT INTO t (...)`, `AS t (...)` and `INTO` name no function.
            None if self.previous_is(beginning, &["as", "into", "with", "recursive", "references"]) => {}
            None if self.is_grammar(at) => {}
            None => self.found.calls.push(name),
        }
    }

    /// A function that is known is called, by its name or as an attribute.
    fn known_call(&mut self, at: usize, name: &Name, class: Class) {
        if functions::reads_unnamed(&name.name, class) {
            self.found.reads_listed = Listed::Partly;
        }
        if functions::writes_unnamed(&name.name, class) {
            self.found.writes_listed = Listed::Partly;
        }
        match class {
            Class::ReadOnly => {}
            Class::Primary(why, pin) => {
                self.note(why);
                match pin {
                    Some(Pin::AdvisoryLock) => self.leave(Change::Lock(None)),
                    Some(_) => self.leave(Change::Unknown),
                    None => {}
                }
            }
            Class::ByArgument => self.by_argument(at, &name.name),
        }
    }

    /// Whether a word in front of a parenthesis is no name: it is reserved, or stands where no call can.
    fn is_grammar(&self, at: usize) -> bool {
        let token = self.tokens[at];
        let behind = |words| self.previous_is(at, words);
        let closes = self.before(at).is_some_and(|t| t.is_symbol(")"));
        is_reserved(&token)
            || token.is_word("by") && behind(&["group", "order", "partition"])
            || ["over", "filter", "within", "include"].iter().any(|w| token.is_word(w)) && closes
            || token.is_word("key") && behind(&["primary", "foreign"])
            || token.is_word("conflict") && behind(&["on"]) && self.arguments_then(at, "do")
            || token.is_word("set") && (behind(&["update"]) || self.arguments_then(at, "="))
            || token.is_word("insert") && behind(&["then"]) && self.arguments_then(at, "values")
    }

    /// Whether this word or symbol follows the parenthesis that is opened behind a token. A long one is not followed
    /// to its end: that would take quadratic time where many are nested.
    fn arguments_then(&self, at: usize, next: &str) -> bool {
        let near = self.tokens.len().min(at + 200);
        let mut cursor = Cursor::new(&self.tokens[at + 1..near]);
        cursor.take_parenthesised().is_some() && (cursor.at_word(next) || cursor.take_symbol(next))
    }

    fn by_argument(&mut self, at: usize, function: &str) {
        let arguments = Cursor::new(&self.tokens[at + 1..]).take_parenthesised().unwrap_or_default();
        if function == "current_setting" {
            let name = arguments.first().and_then(|t| text::string_value(*t, self.reader.strings));
            if !name.is_some_and(|n| parameters::alike_everywhere(&n.to_ascii_lowercase())) {
                self.note(Why::ServerState);
            }
            return;
        }
        let unconditional = runs_once(self.tokens);
        let call = bound_call(arguments, self.reader.strings).filter(|_| unconditional);
        self.found.set_configs.push(call);
        match set_config(arguments, self.reader.strings) {
            Assignment::Known(setting) if unconditional => self.found.settings.push(setting),
            Assignment::Known(Setting { name, scope: Scope::Local, .. }) => self.local(Some(name)),
            Assignment::Local(name) => self.local(name),
            Assignment::Known(Setting { name, .. }) | Assignment::Named(name) => self.dynamic(Some(name)),
            Assignment::Unknown => self.dynamic(None),
        }
    }

    fn local(&mut self, setting: Option<Box<str>>) {
        // The mode of a transaction, or the state of random(), is more than a setting.
        let plain = setting.as_deref().is_none_or(parameters::is_repeatable);
        self.note(if plain { Why::LocalSetting } else { Why::SessionState });
        if setting.as_deref().is_none_or(|name| name == "search_path") {
            self.leave(Change::Searches);
        }
        self.leave(Change::LocalSetting(setting));
    }

    fn dynamic(&mut self, setting: Option<Box<str>>) {
        self.note(Why::SessionState);
        self.leave(Change::DynamicSetting(setting));
    }

    fn leave(&mut self, change: Change) {
        if !self.found.changes.contains(&change) {
            self.found.changes.push(change);
        }
    }
}

/// Whether what stands in the select list runs once, whatever the data.
fn runs_once(tokens: &[Token<'_>]) -> bool {
    let Some((first, rest)) = tokens.split_first() else { return false };
    first.is_word("select") && !rest.iter().any(conditional)
}

/// Words behind or in front of which a call may run never, or more than once.
fn conditional(token: &Token<'_>) -> bool {
    const WORDS: [&str; 15] = [
        "from",
        "where",
        "case",
        "coalesce",
        "and",
        "or",
        "limit",
        "offset",
        "fetch",
        "union",
        "intersect",
        "except",
        "having",
        "select",
        "values",
    ];
    WORDS.iter().any(|w| token.is_word(w))
}
