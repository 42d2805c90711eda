//! The state on a session's connection that a rollback takes back.
//!
//! Pure: values. What does something to them is in `pins`, and where they are kept in `undoable`.

use std::collections::BTreeSet;

use crate::sql::Pin;

/// Kinds of state, as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reasons(u16);

impl Reasons {
    pub(super) fn with(self, pin: Pin) -> Self {
        Self(self.0 | 1 << pin as u16)
    }

    /// Whether this kind is among them.
    pub(crate) fn has(self, pin: Pin) -> bool {
        self.0 & 1 << pin as u16 != 0
    }

    /// The first of those that are there, in the order of the enum.
    pub(crate) fn first(self) -> Option<Pin> {
        Pin::ALL.get(self.0.trailing_zeros() as usize).copied()
    }

    /// Those that are there.
    pub(crate) fn iter(self) -> impl Iterator<Item = Pin> {
        Pin::ALL.into_iter().filter(move |pin| self.has(*pin))
    }

    /// Those that are not among `others`.
    pub(crate) fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Whether there is none.
    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// What a transaction that rolls back takes back. It is kept with the transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Revocable {
    pub(super) temporary: Temporary,
    pub(super) channels: BTreeSet<Box<str>>,
    /// Cursors `WITH HOLD`.
    pub(super) cursors: BTreeSet<Box<str>>,
    /// Settings of which the values are not known.
    pub(super) settings: BTreeSet<Box<str>>,
    /// Settings of which not even the names are.
    pub(super) any_setting: Known,
}

/// Temporary objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Temporary {
    /// Relations by name.
    pub(super) named: BTreeSet<Box<str>>,
    /// Whether there may be others.
    pub(super) others: Known,
}

/// Whether something is there that nothing more is known of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Known {
    #[default]
    Absent,
    Maybe,
}

impl Revocable {
    /// The kinds of state that this is.
    pub(super) fn reasons(&self, mut reasons: Reasons) -> Reasons {
        for (pin, there) in [
            (Pin::Temporary, !self.temporary.named.is_empty() || self.temporary.others == Known::Maybe),
            (Pin::Listen, !self.channels.is_empty()),
            (Pin::HoldCursor, !self.cursors.is_empty()),
            (Pin::DynamicSetting, !self.settings.is_empty() || self.any_setting == Known::Maybe),
        ] {
            if there {
                reasons = reasons.with(pin);
            }
        }
        reasons
    }
}
