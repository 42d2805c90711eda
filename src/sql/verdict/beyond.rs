//! What a statement, a function or a relation has to do with beyond the data of its own database.

/// A set of such things.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Beyond(u8);

impl Beyond {
    /// Nothing.
    pub const NOTHING: Self = Self(0);
    /// The state of the server that runs it, or of the session: another server would answer something else.
    pub const SERVER: Self = Self(1);
    /// It reads catalogs that all databases of a cluster share, or may.
    pub const READS_SHARED: Self = Self(2);
    /// It changes such catalogs: roles and their members, databases, tablespaces.
    pub const WRITES_SHARED: Self = Self(4);

    /// Both.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of a part is in it.
    pub fn has(self, part: Self) -> bool {
        self.0 & part.0 == part.0
    }

    /// What of it is in a part.
    #[must_use]
    pub(crate) fn only(self, part: Self) -> Self {
        Self(self.0 & part.0)
    }

    /// This, if so.
    #[must_use]
    pub(crate) fn when(self, so: impl FnOnce() -> bool) -> Self {
        if so() { self } else { Self::NOTHING }
    }
}

impl FromIterator<Beyond> for Beyond {
    fn from_iter<I: IntoIterator<Item = Beyond>>(parts: I) -> Self {
        parts.into_iter().fold(Self::NOTHING, Self::with)
    }
}
