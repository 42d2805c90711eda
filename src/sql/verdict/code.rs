//! Code that a statement runs or holds, and what may be left by it. It is read elsewhere.

use super::name::Name;

/// What may be left in a session, the worst last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Traces {
    /// Nothing.
    #[default]
    None,
    /// Something that `DISCARD ALL` removes: settings, locks, temporary objects, `LISTEN`, prepared statements, cursors.
    Discardable,
    /// Anything.
    Lasting,
}

/// What a body of code may do to its session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Code {
    /// What it may leave by its own words.
    pub traces: Traces,
    /// Functions and procedures that it may call and weir does not know. Words of the grammar may be among them.
    pub calls: Box<[Name]>,
    /// All words in it, any of which may be a relation's name.
    pub words: Box<[Box<str>]>,
}

impl Code {
    /// Code that nobody can read.
    pub(in crate::sql) fn unread() -> Self {
        Self { traces: Traces::Lasting, ..Self::default() }
    }

    /// Code that calls these functions and does nothing else.
    pub(in crate::sql) fn calling(calls: &[Name]) -> Self {
        Self { calls: calls.into(), ..Self::default() }
    }

    /// Whether there is nothing that the catalog could add.
    pub(crate) fn is_plain(&self) -> bool {
        self.calls.is_empty() && self.words.is_empty()
    }
}
