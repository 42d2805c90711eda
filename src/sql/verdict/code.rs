//! Code that a statement runs or holds, and what may be left by it. It is read elsewhere.

use super::brings::Brings;
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

/// What may be done with rows of relations, the most last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum DataUse {
    /// Nothing.
    #[default]
    None,
    /// They are read.
    Reads,
    /// They are changed.
    Writes,
}

/// What happens when code runs, whatever it was declared to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conduct {
    /// What it may leave in its session.
    pub traces: Traces,
    /// What it may do with data.
    pub data: DataUse,
    /// Whether only the primary does it rightly: it locks, moves a sequence, notifies, or tells of the server.
    pub confined: bool,
    /// What it may bring into its database that other code runs by, as far as its words tell.
    pub brings: Brings,
}

impl Conduct {
    /// Both happen.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        Self {
            traces: self.traces.max(other.traces),
            data: self.data.max(other.data),
            confined: self.confined || other.confined,
            brings: self.brings.join(other.brings),
        }
    }

    /// Whether nobody but who called it could tell that it ran.
    pub fn is_pure(self) -> bool {
        self == Self::default()
    }
}

/// What a body of code may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Code {
    /// What it may do by its own words; it reads no relations but those that it names.
    pub conduct: Conduct,
    /// Functions and procedures that it may call and weir does not know. Words of the grammar may be among them.
    pub calls: Box<[Name]>,
    /// All words in it, any of which may be a relation's name; none where it has no place for one.
    pub words: Box<[Box<str>]>,
    /// Names in it that a user's function may answer to although it is not called by them: see
    /// [`Statement::mentions`](super::Statement::mentions).
    pub mentions: Box<[Box<str>]>,
}

impl Code {
    /// Code that nobody can read.
    pub(crate) fn unread() -> Self {
        // That it defines anything is not supposed: whoever runs such code all the time would have nothing read elsewhere.
        let brings = Brings::Nothing;
        let conduct = Conduct { traces: Traces::Lasting, data: DataUse::Writes, confined: true, brings };
        Self { conduct, ..Self::default() }
    }

    /// Code that makes values of types that it does not name.
    pub(in crate::sql) fn of_any_type() -> Self {
        Self { mentions: Box::new(["".into()]), ..Self::default() }
    }

    /// Code that calls these functions and does nothing else.
    pub(in crate::sql) fn calling(calls: &[Name]) -> Self {
        Self { calls: calls.into(), ..Self::default() }
    }

    /// Whether there is nothing that the catalog could add.
    pub(crate) fn is_plain(&self) -> bool {
        self.calls.is_empty() && self.words.is_empty() && self.mentions.is_empty()
    }
}
