//! The outline of a query, from its tokens alone: which relations stand where PostgreSQL's grammar takes one, and which
//! functions are called. For what sqlparser does not know, or what is too long for it.
//!
//! It follows the levels of parentheses, and of each no more than its clauses; in expressions it looks for calls and
//! subqueries. One pass, and no deeper than [`NESTING_MAX`]. It reads all that PostgreSQL 14 to 18 parse, and may read more:
//! what PostgreSQL does not parse fails on any server. Where a word may be a name or may not, it is one: too much may
//! be named, never too little (`tests/grammar` compares it with PostgreSQL's own parser).

use super::functions::{self, Class, KnownFunctions};
use super::keywords::{Keyword, keyword};
use super::tree::{Tree, is_literal};
use crate::sql::text::{self, Token, TokenKind};
use crate::sql::verdict::Name;

/// Most levels of parentheses and brackets in one another.
const NESTING_MAX: usize = 250;

/// Most common table expressions that can be seen from one place. Each name is looked for among them.
const COMMON_MAX: usize = 256;

/// Where on a level of parentheses the walk stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In an expression, a list of them, or a clause that is nothing else.
    Expression,
    /// The same, in `GROUP BY`.
    Grouping,
    /// The same, in `TREAT(...)`.
    Treated,
    /// A relation is next, behind `FROM`, `JOIN`, `TABLE` or a comma.
    Relation,
    /// Behind a relation: its alias, its sample, the next join.
    Behind,
    /// Behind `ON`.
    Condition,
    /// The name of a common table expression is next; its columns, or `AS`; its body; or what stands behind that.
    Common,
    CommonColumns,
    CommonBody,
    BehindCommon,
    /// Names, and types of columns.
    Names,
}

impl Place {
    /// Whether what stands there is computed.
    fn evaluates(self) -> bool {
        matches!(self, Place::Expression | Place::Grouping | Place::Treated | Place::Condition)
    }
}

/// What the last token was, for the meaning of the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    /// Something behind which an operand follows.
    Opens,
    /// A word, of which it is not known whether it ends an operand or belongs to the grammar.
    Word,
    /// The end of an operand: no call follows.
    Closes,
    /// `AS`: a label, a type or a list of columns is next.
    As,
    /// `IS`, or `IS NOT`; and that with `DISTINCT` behind it.
    Is,
    IsDistinct,
}

struct Level {
    place: Place,
    /// How many common table expressions could be seen from in front of it.
    common: usize,
    /// The common table expression whose body it is.
    body_of: Option<Box<str>>,
    closes: &'static str,
    /// Whether a query's `SELECT` has come: then `FROM` begins a clause.
    selects: bool,
    /// What its end is for what follows.
    then: Last,
    /// How many relations had been named when its WITH RECURSIVE came, whose expressions see each other.
    recursive: Option<usize>,
}

struct Outline<'t, 'a, 'k> {
    tokens: &'t [Token<'a>],
    known: &'k KnownFunctions,
    levels: Vec<Level>,
    /// Common table expressions that can be seen.
    common: Vec<Box<str>>,
    /// The one whose name has come.
    name: Option<Box<str>>,
    last: Last,
    tree: Tree,
}

/// Whether a query's rows come from nothing but what is read: the words that begin one.
fn is_query(tokens: &[Token<'_>]) -> bool {
    let first = tokens.iter().find(|token| !token.is_symbol("("));
    first.is_some_and(|first| ["select", "with", "values", "table"].iter().any(|word| first.is_word(word)))
}

/// Reads one query that modifies nothing; `None` when no server could parse it, or its nesting is too deep.
pub(super) fn outline(tokens: &[Token<'_>], known: &KnownFunctions) -> Option<Tree> {
    if !is_query(tokens) {
        return None;
    }
    let mut outline = Outline {
        tokens,
        known,
        levels: Vec::new(),
        common: Vec::new(),
        name: None,
        last: Last::Opens,
        tree: Tree::default(),
    };
    outline.open(Place::Expression, "");
    let mut at = 0;
    while at < tokens.len() {
        at = outline.token(at)?;
    }
    (outline.levels.len() == 1 && outline.is_whole()).then_some(outline.tree)
}

impl Outline<'_, '_, '_> {
    fn open(&mut self, place: Place, closes: &'static str) {
        self.last = Last::Opens;
        self.levels.push(Level {
            place,
            common: self.common.len(),
            body_of: None,
            closes,
            then: Last::Closes,
            selects: false,
            recursive: None,
        });
    }

    /// Whether nothing is missing where a level ends.
    fn is_whole(&self) -> bool {
        use Place::{Common, CommonBody, CommonColumns, Relation};
        !matches!(self.place(), Relation | Common | CommonColumns | CommonBody)
    }

    fn close(&mut self, symbol: &Token<'_>) -> Option<()> {
        if !self.is_whole() {
            return None;
        }
        let closes = |level: &Level| symbol.is_symbol(level.closes) || symbol.is_word(level.closes);
        let level = self.levels.pop().filter(closes)?;
        self.common.truncate(level.common);
        let parent = self.levels.last_mut()?;
        if let Some(name) = level.body_of {
            parent.place = Place::BehindCommon;
            self.common.push(name);
        }
        self.last = level.then;
        Some(())
    }

    fn place(&self) -> Place {
        self.levels.last().map_or(Place::Expression, |level| level.place)
    }

    fn goes(&mut self, to: Place) {
        self.levels.iter_mut().last().into_iter().for_each(|level| level.place = to);
    }

    fn symbol_at(&self, at: usize, symbol: &str) -> bool {
        self.tokens.get(at).is_some_and(|token| token.is_symbol(symbol))
    }

    fn word_at(&self, at: usize, words: &[&str]) -> bool {
        self.tokens.get(at).is_some_and(|token| words.iter().any(|word| token.is_word(word)))
    }

    /// Reads the token there, and those that belong to it. Says where the next one is.
    fn token(&mut self, at: usize) -> Option<usize> {
        let evaluates = self.place().evaluates();
        match self.tokens[at].kind {
            TokenKind::Other => return None,
            // No two stand side by side.
            TokenKind::String(_) | TokenKind::Number | TokenKind::Parameter
                if at > 0 && is_literal(&self.tokens[at - 1]) =>
            {
                return None;
            }
            TokenKind::String(_) | TokenKind::Number | TokenKind::Parameter => self.last = Last::Closes,
            // `t *`: with all that inherits from it.
            TokenKind::Operator if !evaluates && !self.symbol_at(at, "*") => return None,
            TokenKind::Operator => self.last = Last::Opens,
            TokenKind::Punctuation => return self.punctuation(at),
            TokenKind::Word | TokenKind::QuotedName | TokenKind::UnicodeName => return self.word(at),
        }
        Some(at + 1)
    }

    fn punctuation(&mut self, at: usize) -> Option<usize> {
        let (token, place) = (&self.tokens[at], self.place());
        match token.text {
            b"(" if self.levels.len() > NESTING_MAX => return None,
            b"(" => self.parenthesis(place),
            b"[" if self.levels.len() > NESTING_MAX => return None,
            b"[" => self.open(if place == Place::Names { place } else { Place::Expression }, "]"),
            b")" | b"]" => self.close(token)?,
            b"::" if self.tokens.get(at + 1).is_some_and(Token::is_name) => return self.written_type(at + 1),
            b"." if self.tokens.get(at + 1).is_some_and(Token::is_name) => {
                self.last = Last::Closes;
                return Some(at + 2);
            }
            b"," => {
                self.last = Last::Opens;
                let another = self.tokens.get(at + 1).is_some_and(Token::is_name)
                    && (self.word_at(at + 2, &["as"]) || self.symbol_at(at + 2, "("));
                match place {
                    Place::Behind | Place::Condition => self.goes(Place::Relation),
                    // Lists of columns stand behind SEARCH and CYCLE.
                    Place::BehindCommon if another => self.goes(Place::Common),
                    _ => {}
                }
            }
            _ => self.last = Last::Opens,
        }
        Some(at + 1)
    }

    /// A parenthesis that opens behind no name.
    fn parenthesis(&mut self, place: Place) {
        match place {
            Place::Relation => {
                self.goes(Place::Behind);
                self.open(Place::Relation, ")");
            }
            Place::Behind | Place::CommonColumns | Place::Names => self.open(Place::Names, ")"),
            Place::CommonBody => {
                let name = self.name.take();
                self.open(Place::Expression, ")");
                self.levels.iter_mut().last().into_iter().for_each(|level| level.body_of = name.clone());
            }
            Place::Common | Place::BehindCommon => {
                self.goes(Place::Expression);
                self.open(Place::Expression, ")");
            }
            Place::Expression | Place::Grouping | Place::Treated | Place::Condition => {
                self.open(Place::Expression, ")")
            }
        }
    }

    /// The name that begins there, of which the last two parts are kept, and where it ends.
    fn qualified(&self, at: usize) -> Option<(Name, usize)> {
        let part = |at: usize| self.tokens.get(at).filter(|token| token.is_name());
        let mut name = Name { schema: None, name: text::name(self.tokens[at])? };
        let mut end = at + 1;
        while let Some(token) = part(end + 1).filter(|_| self.symbol_at(end, ".")) {
            name = Name { schema: Some(name.name), name: text::name(*token)? };
            end += 2;
        }
        Some((name, end))
    }

    /// A type, or a label that looks like one: no function is called by it, nor by what stands in its parentheses.
    fn written_type(&mut self, at: usize) -> Option<usize> {
        let (_, end) = self.qualified(at)?;
        self.last = Last::Closes;
        if !self.symbol_at(end, "(") {
            return Some(end);
        }
        self.open(Place::Names, ")");
        Some(end + 1)
    }

    fn word(&mut self, at: usize) -> Option<usize> {
        let (place, last) = (self.place(), std::mem::replace(&mut self.last, Last::Word));
        let labels = last == Last::As && place != Place::CommonBody;
        if labels {
            if place == Place::Treated && keyword(&self.tokens[at]) != Keyword::Type {
                // `TREAT(x AS t)` calls PostgreSQL's own function of that name, whatever it is.
                let (Name { name, .. }, _) = self.qualified(at)?;
                self.call(Name { schema: Some("pg_catalog".into()), name });
            }
            return self.written_type(at);
        }
        if self.tokens[at].kind == TokenKind::Word
            && let Some(next) = self.clause(at, place, last).or_else(|| self.keyword(at, last))
        {
            return Some(next);
        }
        match place {
            Place::Names | Place::CommonColumns | Place::CommonBody | Place::BehindCommon => Some(at + 1),
            Place::Relation => self.relation(at),
            Place::Common => self.common(at),
            Place::Behind => self.behind(at),
            Place::Expression | Place::Grouping | Place::Treated | Place::Condition => self.name(at, last),
        }
    }

    /// Words that begin a clause.
    fn clause(&mut self, at: usize, place: Place, last: Last) -> Option<usize> {
        let to = self.clause_of(at, place, last)?;
        let level = self.levels.last_mut()?;
        level.place = to;
        level.selects |= self.tokens[at].is_word("select");
        self.last = Last::Opens;
        Some(at + 1)
    }

    fn clause_of(&self, at: usize, place: Place, last: Last) -> Option<Place> {
        use Place::{
            Behind, BehindCommon, Common, CommonBody, CommonColumns, Condition, Expression, Grouping,
            Relation,
        };
        let listing = matches!(place, Relation | Behind | Condition);
        let begins = last == Last::Opens || place == BehindCommon;
        let selects = self.levels.last().is_some_and(|level| level.selects);
        let parenthesis = self.symbol_at(at + 1, "(");
        let to = match &*self.tokens[at].text.to_ascii_lowercase() {
            b"select" => Expression,
            b"with" if at == 0 || self.symbol_at(at - 1, "(") => Common,
            b"from" if selects && last != Last::IsDistinct => Relation,
            b"table" if begins => Relation,
            b"values" if begins && parenthesis => Expression,
            b"join" if listing => Relation,
            b"on" if place == Behind => Condition,
            b"group" if self.word_at(at + 1, &["by"]) => Grouping,
            b"order" if self.word_at(at + 1, &["by"]) => Expression,
            b"for" if parenthesis && at > 0 && self.word_at(at - 1, &["collation"]) => place,
            b"as" if place == CommonColumns => CommonBody,
            _ if keyword(&self.tokens[at]) == Keyword::Clause => Expression,
            _ => return None,
        };
        Some(to)
    }

    /// Other words of the grammar that are no names.
    fn keyword(&mut self, at: usize, last: Last) -> Option<usize> {
        let is = |words: &[&str]| self.word_at(at, words);
        let precedes = |words: &[&str]| at > 0 && self.word_at(at - 1, words);
        let mut next = at + 1;
        self.last = if is(&["as"]) {
            Last::As
        } else if is(&["is"]) || is(&["not"]) && last == Last::Is {
            Last::Is
        } else if is(&["distinct"]) && last == Last::Is {
            Last::IsDistinct
        } else if is(&["on"]) && precedes(&["distinct"]) && self.symbol_at(next, "(") {
            self.open(Place::Expression, ")");
            self.levels.iter_mut().last().into_iter().for_each(|level| level.then = Last::Opens);
            next += 1;
            Last::Opens
        } else if is(&["name"]) && self.opens(at, &["xmlelement", "xmlpi"]) {
            // A label, whatever it is.
            next += 1;
            Last::Closes
        } else if is(&["case"]) && self.is_label(at, last) {
            Last::Closes
        } else if is(&["case"]) && self.levels.len() <= NESTING_MAX {
            self.open(Place::Expression, "end");
            Last::Opens
        } else if is(&["end"]) && self.levels.last().is_some_and(|level| level.closes == "end") {
            self.close(&self.tokens[at])?;
            Last::Closes
        } else if is(&["end"]) {
            Last::Closes
        } else if is(&["by"]) && precedes(&["group", "order", "partition"]) {
            Last::Opens
        } else if let Some(behind) = self.operator(at) {
            next = behind;
            Last::Opens
        } else if keyword(&self.tokens[at]) == Keyword::Reserved {
            Last::Opens
        } else if keyword(&self.tokens[at]) == Keyword::Value {
            if self.place() == Place::Relation {
                self.goes(Place::Behind);
            }
            Last::Closes
        } else {
            return None;
        };
        Some(next)
    }

    /// Whether a word that begins an expression is a label without AS.
    fn is_label(&self, at: usize, last: Last) -> bool {
        let over = at + 1 == self.tokens.len() || self.symbol_at(at + 1, ",") || self.symbol_at(at + 1, ")");
        last == Last::Closes
            || over
            || self.tokens.get(at + 1).is_some_and(|next| keyword(next) == Keyword::Clause)
            || self.word_at(at + 1, &["from", "group", "order"])
    }

    /// Behind `OPERATOR(schema.+)`.
    fn operator(&self, at: usize) -> Option<usize> {
        let evaluates = self.place().evaluates();
        if !evaluates || !self.word_at(at, &["operator"]) || !self.symbol_at(at + 1, "(") {
            return None;
        }
        let inside = self.tokens.get(at + 2..)?;
        let name = inside.iter().take_while(|token| token.is_name() || token.is_symbol(".")).count();
        let operator = inside.get(name).is_some_and(|token| token.kind == TokenKind::Operator);
        (operator && self.symbol_at(at + name + 3, ")")).then_some(at + name + 4)
    }

    /// What stands in the place of a relation.
    fn relation(&mut self, at: usize) -> Option<usize> {
        if self.word_at(at, &["rows"]) && self.word_at(at + 1, &["from"]) && self.symbol_at(at + 2, "(") {
            self.goes(Place::Behind);
            self.open(Place::Relation, ")");
            return Some(at + 3);
        }
        let (name, end) = self.qualified(at)?;
        self.goes(Place::Behind);
        self.last = Last::Closes;
        if self.symbol_at(end, "(") {
            if name.schema.is_some() || keyword(&self.tokens[at]) != Keyword::Type {
                self.call(name);
            }
            self.open(Place::Expression, ")");
            return Some(end + 1);
        }
        if name.schema.is_some() || !self.common.contains(&name.name) {
            let view =
                name.schema.as_deref().and_then(functions::view).or_else(|| functions::view(&name.name));
            self.tree.why = self.tree.why.or(view);
            self.tree.reads.push(name);
        }
        Some(end)
    }

    fn common(&mut self, at: usize) -> Option<usize> {
        let named = self.word_at(at + 1, &["as"]) || self.symbol_at(at + 1, "(");
        let level = self.levels.last_mut()?;
        if self.tokens[at].is_word("recursive") && !named {
            level.recursive = Some(self.tree.reads.len());
            return Some(at + 1);
        }
        let name = text::name(self.tokens[at]).filter(|_| self.common.len() < COMMON_MAX)?;
        if let Some(before) = level.recursive {
            // Those in front of it have seen it, too.
            let mut nth = 0;
            self.tree.reads.retain(|read| {
                nth += 1;
                nth <= before || read.schema.is_some() || read.name != name
            });
            self.common.push(name.clone());
        }
        level.place = Place::CommonColumns;
        self.name = Some(name);
        Some(at + 1)
    }

    /// Aliases with their columns, words of joins, samples.
    fn behind(&mut self, at: usize) -> Option<usize> {
        self.last = Last::Closes;
        if self.word_at(at, &["tablesample"]) && self.tokens.get(at + 1).is_some_and(Token::is_name) {
            let (method, end) = self.qualified(at + 1)?;
            if method.schema.is_some() || !matches!(&*method.name, "bernoulli" | "system") {
                self.call(method);
            }
            self.open(Place::Expression, ")");
            return self.symbol_at(end, "(").then_some(end + 1);
        }
        if !self.symbol_at(at + 1, "(") {
            return Some(at + 1);
        }
        let seeded = self.word_at(at, &["repeatable"]);
        self.open(if seeded { Place::Expression } else { Place::Names }, ")");
        Some(at + 2)
    }

    /// A name in an expression: a column or, in front of a parenthesis, a function.
    fn name(&mut self, at: usize, last: Last) -> Option<usize> {
        let (name, end) = self.qualified(at)?;
        let alone = end == at + 1 && self.tokens[at].kind == TokenKind::Word;
        if !self.symbol_at(end, "(") {
            self.last = if alone { Last::Word } else { Last::Closes };
            return Some(end);
        }
        let grouping = alone && self.is_grouping(at, last);
        if last != Last::Closes && !grouping && !(alone && self.is_grammar(at)) {
            self.call(name);
        }
        // Sets can be in sets.
        let sets = grouping && self.word_at(at, &["sets"]);
        let treats = alone && self.word_at(at, &["treat"]);
        self.open(
            if sets {
                Place::Grouping
            } else if treats {
                Place::Treated
            } else {
                Place::Expression
            },
            ")",
        );
        Some(end + 1)
    }

    fn is_grouping(&self, at: usize, last: Last) -> bool {
        let sets = self.word_at(at, &["sets"]) && at > 0 && self.word_at(at - 1, &["grouping"]);
        let rolls = self.word_at(at, &["rollup", "cube"]) && last == Last::Opens;
        self.place() == Place::Grouping && (sets || rolls)
    }

    /// Whether a word in front of a parenthesis is no function.
    fn is_grammar(&self, at: usize) -> bool {
        let behind = |words: &[&str]| at > 0 && self.word_at(at - 1, words);
        keyword(&self.tokens[at]) == Keyword::Type
            || self.word_at(at, &["first", "next"]) && behind(&["fetch"])
            || self.word_at(at, &["zone"]) && behind(&["time"])
            || self.word_at(at, &["ref"]) && behind(&["by"]) && at > 1 && self.word_at(at - 2, &["passing"])
            || self.word_at(at, &["document", "content"]) && self.opens(at, &["xmlparse", "xmlserialize"])
            || self.word_at(at, &["second"]) && behind(&["to", "interval"])
            || self.word_at(at, &["varying"]) && behind(&["bit", "char", "character", "nchar"])
    }

    /// Whether a token is the first in the parentheses of one of these.
    fn opens(&self, at: usize, functions: &[&str]) -> bool {
        at > 1 && self.symbol_at(at - 1, "(") && self.word_at(at - 2, functions)
    }

    fn call(&mut self, name: Name) {
        match self.known.class(&name) {
            Some(Class::ReadOnly | Class::ByArgument) => {}
            Some(Class::Primary(why, _)) => self.tree.why = self.tree.why.or(Some(why)),
            None => self.tree.functions.push(name),
        }
    }
}
