//! A place in a statement's tokens, for reading utility statements by their grammar. It knows no command: whoever moves
//! it does.

use super::lexer::{Token, TokenKind};
use super::value;
use crate::sql::verdict::Name;

/// A place in a list of tokens. Every `take_*` moves on only if it found what it looks for.
#[derive(Clone, Copy, Debug)]
pub(in crate::sql) struct Cursor<'t, 'a> {
    rest: &'t [Token<'a>],
}

impl<'t, 'a> Cursor<'t, 'a> {
    pub(in crate::sql) fn new(tokens: &'t [Token<'a>]) -> Self {
        Self { rest: tokens }
    }

    /// What has not been taken yet.
    pub(in crate::sql) fn rest(&self) -> &'t [Token<'a>] {
        self.rest
    }

    pub(in crate::sql) fn at_end(&self) -> bool {
        self.rest.is_empty()
    }

    pub(in crate::sql) fn peek(&self) -> Option<&'t Token<'a>> {
        self.rest.first()
    }

    /// Whether the next token is this unquoted word.
    pub(in crate::sql) fn at_word(&self, lower: &str) -> bool {
        self.peek().is_some_and(|t| t.is_word(lower))
    }

    pub(in crate::sql) fn take(&mut self) -> Option<&'t Token<'a>> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    fn take_if(&mut self, wanted: impl FnOnce(&Token<'_>) -> bool) -> Option<&'t Token<'a>> {
        if wanted(self.peek()?) { self.take() } else { None }
    }

    pub(in crate::sql) fn take_word(&mut self, lower: &str) -> bool {
        self.take_if(|t| t.is_word(lower)).is_some()
    }

    /// Takes the words in this order, all or none.
    pub(in crate::sql) fn take_words(&mut self, lower: &[&str]) -> bool {
        let mut ahead = *self;
        let all = lower.iter().all(|w| ahead.take_word(w));
        if all {
            *self = ahead;
        }
        all
    }

    /// Takes one of the words and says which.
    pub(in crate::sql) fn take_any<'w>(&mut self, lower: &[&'w str]) -> Option<&'w str> {
        lower.iter().copied().find(|w| self.take_word(w))
    }

    pub(in crate::sql) fn take_symbol(&mut self, symbol: &str) -> bool {
        self.take_if(|t| t.is_symbol(symbol)).is_some()
    }

    pub(in crate::sql) fn take_string(&mut self) -> Option<Token<'a>> {
        self.take_if(|t| matches!(t.kind, TokenKind::String(_))).copied()
    }

    /// Takes one name, keywords included.
    pub(in crate::sql) fn take_name(&mut self) -> Option<Box<str>> {
        self.take_if(|t| t.is_name()).and_then(|t| value::name(*t))
    }

    /// Takes `name`, `schema.name` or `database.schema.name`, of which the last two parts are kept.
    pub(in crate::sql) fn take_qualified(&mut self) -> Option<Name> {
        let mut name = Name { schema: None, name: self.take_name()? };
        while self.take_symbol(".") {
            name = Name { schema: Some(name.name), name: self.take_name()? };
        }
        Some(name)
    }

    /// Takes what stands between the parenthesis that comes next and its partner, and both of them.
    pub(in crate::sql) fn take_parenthesised(&mut self) -> Option<&'t [Token<'a>]> {
        if !self.peek()?.is_symbol("(") {
            return None;
        }
        let mut depth = 0usize;
        for (at, token) in self.rest.iter().enumerate() {
            if token.is_symbol("(") {
                depth += 1;
            } else if token.is_symbol(")") {
                depth -= 1;
                if depth == 0 {
                    let inside = &self.rest[1..at];
                    self.rest = &self.rest[at + 1..];
                    return Some(inside);
                }
            }
        }
        None
    }
}
