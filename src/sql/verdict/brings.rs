//! What a definition may bring into a database that code runs by.

/// What a statement does to the code of a database, as far as its text tells; the more of it, the later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Brings {
    /// It defines nothing.
    #[default]
    Nothing,
    /// It defines what runs no code: a plain table, an index, a column.
    Plain,
    /// It takes something away, and brings nothing.
    Removal,
    /// A relation gets another name, and what was behind that: others' code may be behind a name that is known.
    Move,
    /// It brings something that was not there: what was there before still is.
    Addition,
    /// What was there may be something else afterwards.
    Anything,
}

impl Brings {
    /// Both.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        match (self, other) {
            (Brings::Removal | Brings::Move, Brings::Addition) => Brings::Anything,
            (Brings::Addition, Brings::Removal | Brings::Move) => Brings::Anything,
            _ => self.max(other),
        }
    }

    /// Whether what runs afterwards may run by it.
    pub fn is_code(self) -> bool {
        self >= Brings::Move
    }
}
