//! What databases hold of which a statement's own words tell nothing. Most hold nothing of the kind: then statements are
//! what they say, and no catalog is looked at for more.
//!
//! One value for all databases, so that asking costs the same wherever it is asked. It says what must be looked for, never
//! what is there.

use std::sync::atomic::{AtomicU8, Ordering};

use super::Catalog;
use crate::sql::Beyond;

/// What some database holds, or has held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Matters(u8);

impl Matters {
    /// A relation that only the primary can be asked for: unlogged, a sequence, or one that shows the state of a server.
    const CONFINED: u8 = 1;
    /// A relation or the like that runs code which leaves something in the session.
    const TRACES: u8 = 2;
    /// An operator, a cast or a domain that shows the state of a server.
    const STATE_ANYWHERE: u8 = 4;
    /// Code that does more than compute and runs where no statement names it: behind an operator, by a built-in function's
    /// name, as an attribute.
    const UNNAMED: u8 = 8;
    /// Definitions that have changed and have not been read again.
    const UNREAD: u8 = 16;
    /// Code that has changed and has not been read again.
    const CHANGED: u8 = 32;

    fn of(catalog: &Catalog) -> Self {
        let confined = !catalog.unlogged.is_empty()
            || !catalog.sequences.is_empty()
            || catalog.beyond.concerns_relations();
        let held = [
            (Self::CONFINED, confined),
            (Self::TRACES, catalog.code.concerns_relations()),
            (Self::STATE_ANYWHERE, catalog.beyond.anywhere().has(Beyond::SERVER)),
            (Self::UNNAMED, catalog.code.concerns_all()),
            (Self::UNREAD, catalog.since.is_none()),
            (Self::CHANGED, catalog.code.changed),
        ];
        Self(held.into_iter().filter(|(_, holds)| *holds).fold(0, |all, (one, _)| all | one))
    }

    /// Whether any statement must be looked at, whatever it names.
    pub(crate) fn in_all(self) -> bool {
        self.0 & (Self::STATE_ANYWHERE | Self::UNNAMED | Self::CHANGED) != 0
    }

    /// Whether those must be that name relations.
    pub(crate) fn in_relations(self) -> bool {
        self.0 & (Self::CONFINED | Self::TRACES | Self::UNREAD) != 0
    }

    /// Whether those must be that call no functions, for what is left in the session.
    pub(crate) fn leaves_traces(self) -> bool {
        self.0 & Self::TRACES != 0
    }

    /// Whether code has changed: any statement may run by it.
    pub(crate) fn has_changed(self) -> bool {
        self.0 & Self::CHANGED != 0
    }
}

/// The same, as it grows with what is published.
#[derive(Debug, Default)]
pub(super) struct Published(AtomicU8);

impl Published {
    pub(super) fn get(&self) -> Matters {
        Matters(self.0.load(Ordering::Relaxed))
    }

    /// A catalog is about to be published.
    pub(super) fn add(&self, catalog: &Catalog) {
        self.0.fetch_or(Matters::of(catalog).0, Ordering::Relaxed);
    }

    /// All definitions have been read.
    pub(super) fn all_read(&self) {
        self.0.fetch_and(!Matters::UNREAD, Ordering::Relaxed);
    }

    /// All code has been read.
    pub(super) fn all_known(&self) {
        self.0.fetch_and(!Matters::CHANGED, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn what_was_published_once_goes_on_mattering_but_for_what_was_unread() {
        let published = Published::default();
        assert_eq!(published.get(), Matters::default());
        published.add(&Catalog::default());
        assert!(published.get().in_relations() && !published.get().in_all());
        published.all_read();
        assert_eq!(published.get(), Matters::default());
        let mut catalog = Catalog { since: Some(Instant::now()), ..Catalog::default() };
        published.add(&catalog);
        assert_eq!(published.get(), Matters::default(), "it holds nothing of the kind");
        catalog.add_unlogged("public", "scratch");
        published.add(&catalog);
        published.add(&Catalog { since: catalog.since, ..Catalog::default() });
        published.all_read();
        assert!(published.get().in_relations());
        published.add(&Catalog { code: catalog.code.after_change(), ..catalog });
        assert!(published.get().has_changed() && published.get().in_all());
        published.all_known();
        assert!(!published.get().has_changed() && published.get().in_relations());
    }
}
