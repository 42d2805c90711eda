//! Which prepared statements one backend connection holds, under weir's own names.
//!
//! A statement is prepared under a name that is never used again on any connection (`weir_<id>_<stamp>`), so a lost
//! `Close` can never turn into "already exists". Preparations from before and after a change of definitions (DDL, an
//! error that says a plan is stale) are told apart by their epoch, and may stand side by side: a client that knows the
//! old result needs the old one, so that the server itself can refuse it.

use std::io::Write;
use std::num::NonZeroUsize;

use lru::LruCache;

/// Identity of a shared statement: one per text and parameter types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct StatementId(pub u64);

/// A point in the order of all preparations and of all changes that make preparations stale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Stamp(pub u64);

/// A statement as definitions were at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Preparation {
    /// Which statement.
    pub(crate) id: StatementId,
    /// The last change of definitions before it was parsed.
    pub(crate) epoch: Stamp,
}

/// What a server says of a statement when it is asked, as numbers. Equal where PostgreSQL takes it for the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Of its parameters; unknown where a portal was asked about.
    pub(crate) parameters: Option<u64>,
    /// Of its columns, or that it has none.
    pub(crate) result: u64,
}

/// How what a server holds stands to what a client was told of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The server does not hold the preparation.
    Missing,
    /// It does, and nobody has asked it for all that the client was told.
    Unasked,
    /// It gives what the client was told, or the client was told nothing.
    Serves,
    /// It returns what the client was told, and takes other parameters.
    TakesOthers,
    /// It returns something else.
    Differs,
}

/// A statement's name on a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ServerName {
    bytes: [u8; 40],
    len: u8,
}

impl ServerName {
    /// The name of a statement prepared at a stamp.
    pub(crate) fn new(id: StatementId, stamp: Stamp) -> Self {
        let mut bytes = [0; 40];
        let mut rest = &mut bytes[..];
        // At most 5 + 16 + 1 + 16 bytes: it always fits.
        let _ = write!(rest, "weir_{:x}_{:x}", id.0, stamp.0);
        let left = rest.len();
        Self { bytes, len: u8::try_from(40 - left).unwrap_or(40) }
    }

    /// The statement that a name of this form stands for.
    pub(crate) fn statement(name: &[u8]) -> Option<StatementId> {
        let (id, stamp) = std::str::from_utf8(name).ok()?.strip_prefix("weir_")?.split_once('_')?;
        u64::from_str_radix(stamp, 16).ok()?;
        u64::from_str_radix(id, 16).ok().map(StatementId)
    }

    /// The name's bytes.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// What is known of a preparation that a server holds.
#[derive(Clone, Copy, Debug)]
struct Held {
    /// What it is called there: asked for at each execution, and written once.
    name: ServerName,
    /// What the server has said of it.
    shape: Option<Shape>,
}

impl Held {
    fn standing(&self, told: Option<Shape>) -> Standing {
        match (told, self.shape) {
            (None, _) => Standing::Serves,
            (Some(_), None) => Standing::Unasked,
            (Some(told), Some(held)) if told.result != held.result => Standing::Differs,
            (Some(told), Some(held)) => match (told.parameters, held.parameters) {
                (None, _) => Standing::Serves,
                (Some(_), None) => Standing::Unasked,
                (Some(told), Some(held)) if told == held => Standing::Serves,
                (Some(_), Some(_)) => Standing::TakesOthers,
            },
        }
    }
}

/// The prepared statements of one backend connection, least recently used first to go.
#[derive(Debug)]
pub(crate) struct Prepared {
    known: LruCache<Preparation, Held>,
    limit: NonZeroUsize,
    /// Names that the server still holds and nobody will use: closed in front of the next Parse.
    retired: Vec<ServerName>,
}

impl Prepared {
    /// Holds at most `limit` statements (at least one), but for those that must be held at once.
    pub(crate) fn new(limit: usize) -> Self {
        let limit = NonZeroUsize::new(limit).unwrap_or(NonZeroUsize::MIN);
        Self { known: LruCache::unbounded(), limit, retired: Vec::new() }
    }

    /// Another limit holds. What is beyond it goes as others come.
    pub(crate) fn hold_at_most(&mut self, limit: usize) {
        self.limit = NonZeroUsize::new(limit).unwrap_or(NonZeroUsize::MIN);
    }

    /// The name under which the server holds it.
    pub(crate) fn name(&mut self, preparation: Preparation) -> Option<ServerName> {
        self.known.get(&preparation).map(|held| held.name)
    }

    /// The name under which the server holds it, and how it stands to what a client was told.
    pub(crate) fn find(
        &mut self,
        preparation: Preparation,
        told: Option<Shape>,
    ) -> (Option<ServerName>, Standing) {
        let Some(held) = self.known.get(&preparation) else { return (None, Standing::Missing) };
        (Some(held.name), held.standing(told))
    }

    /// How it stands to what a client was told.
    pub(crate) fn standing(&self, preparation: Preparation, told: Option<Shape>) -> Standing {
        self.known.peek(&preparation).map_or(Standing::Missing, |held| held.standing(told))
    }

    /// The server has said what it is.
    pub(crate) fn described(&mut self, preparation: Preparation, shape: Shape) {
        if let Some(held) = self.known.peek_mut(&preparation) {
            let parameters = shape.parameters.or(held.shape.and_then(|before| before.parameters));
            held.shape = Some(Shape { parameters, ..shape });
        }
    }

    /// It is being prepared under this stamp; those that are evicted for it are retired.
    pub(crate) fn add(&mut self, preparation: Preparation, stamp: Stamp) -> ServerName {
        let name = self.add_beside(preparation, stamp);
        // Two at most, so that what was added beyond the limit a moment ago is not the first to go.
        for _ in 0..2 {
            if self.known.len() > self.limit.get()
                && let Some((_, held)) = self.known.pop_lru()
            {
                self.retired.push(held.name);
            }
        }
        name
    }

    /// The same, beyond the limit if need be: all that a request needs must be held at once.
    pub(crate) fn add_beside(&mut self, preparation: Preparation, stamp: Stamp) -> ServerName {
        let name = ServerName::new(preparation.id, stamp);
        if let Some((_, held)) = self.known.push(preparation, Held { name, shape: None }) {
            self.retired.push(held.name);
        }
        name
    }

    /// The preparation failed, or the server skipped it.
    pub(crate) fn forget(&mut self, preparation: Preparation, stamp: Stamp) {
        let name = ServerName::new(preparation.id, stamp);
        if self.known.peek(&preparation).is_some_and(|held| held.name == name) {
            self.known.pop(&preparation);
        }
    }

    /// The server is told to drop it: gives the name under which it held it.
    pub(crate) fn gone(&mut self, preparation: Preparation) -> Option<ServerName> {
        self.known.pop(&preparation).map(|held| held.name)
    }

    /// The next name to close on the server.
    pub(crate) fn next_retired(&mut self) -> Option<ServerName> {
        self.retired.pop()
    }

    /// A `Close` for this name was skipped by the server: it must be sent again.
    pub(crate) fn retire(&mut self, name: ServerName) {
        self.retired.push(name);
    }

    /// Takes all names that the server holds out of use: they are to be closed.
    pub(crate) fn take_all(&mut self) -> Vec<ServerName> {
        let mut all = std::mem::take(&mut self.retired);
        while let Some((_, held)) = self.known.pop_lru() {
            all.push(held.name);
        }
        all
    }

    /// The server dropped all its prepared statements (DISCARD ALL, DEALLOCATE ALL).
    pub(crate) fn clear(&mut self) {
        self.known.clear();
        self.retired.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_statement() {
        let name = ServerName::new(StatementId(0x17f), Stamp(0x203));
        assert_eq!(ServerName::statement(name.as_bytes()), Some(StatementId(0x17f)));
        assert_eq!(ServerName::statement(b"weir_none"), None);
        assert_eq!(ServerName::statement(b"weir_17f_x"), None);
    }

    fn preparation(id: u64, epoch: u64) -> Preparation {
        Preparation { id: StatementId(id), epoch: Stamp(epoch) }
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut prepared = Prepared::new(2);
        let (a, b, c) = (preparation(1, 0), preparation(2, 0), preparation(3, 0));
        prepared.add(a, Stamp(1));
        prepared.add(b, Stamp(2));
        assert!(prepared.name(a).is_some());
        prepared.add(c, Stamp(3));
        assert_eq!(prepared.name(b), None);
        assert_eq!(prepared.next_retired(), Some(ServerName::new(b.id, Stamp(2))));
        assert_eq!(prepared.next_retired(), None);
    }

    #[test]
    fn epochs_stand_side_by_side_and_no_name_comes_twice() {
        let mut prepared = Prepared::new(4);
        let (old, new) = (preparation(0xabc, 0), preparation(0xabc, 7));
        let first = prepared.add(old, Stamp(1));
        assert_eq!(first.as_bytes(), b"weir_abc_1");
        assert_eq!(prepared.name(new), None);
        let second = prepared.add(new, Stamp(8));
        assert_ne!(first, second);
        assert_eq!((prepared.name(old), prepared.name(new)), (Some(first), Some(second)));
        prepared.forget(new, Stamp(1));
        assert_eq!(prepared.name(new), Some(second), "an older failure changes nothing");
        prepared.forget(new, Stamp(8));
        assert_eq!(prepared.name(new), None);
    }

    #[test]
    fn what_must_be_held_at_once_goes_beyond_the_limit() {
        let mut prepared = Prepared::new(2);
        let all: Vec<_> = (0..4).map(|id| preparation(id, 0)).collect();
        for one in &all {
            prepared.add_beside(*one, Stamp(1));
        }
        assert!(all.iter().all(|one| prepared.standing(*one, None) == Standing::Serves));
        prepared.add(preparation(9, 0), Stamp(2));
        let held: Vec<_> = all.iter().map(|one| prepared.standing(*one, None) == Standing::Serves).collect();
        assert_eq!(held, [false, false, true, true]);
        prepared.add(preparation(10, 0), Stamp(3));
        assert_eq!(prepared.standing(all[3], None), Standing::Missing, "it shrinks again");
    }

    #[test]
    fn what_a_client_was_told_is_compared_with_what_the_server_has_said() {
        let mut prepared = Prepared::new(2);
        let (one, shape) = (preparation(1, 0), |parameters, result| Shape { parameters, result });
        let told = Some(shape(Some(1), 1));
        assert_eq!(prepared.standing(one, told), Standing::Missing);
        prepared.add(one, Stamp(1));
        assert_eq!(prepared.standing(one, None), Standing::Serves);
        assert_eq!(prepared.standing(one, told), Standing::Unasked);
        prepared.described(one, shape(None, 1));
        assert_eq!(prepared.standing(one, told), Standing::Unasked, "of parameters a portal says nothing");
        assert_eq!(prepared.standing(one, Some(shape(None, 1))), Standing::Serves);
        prepared.described(one, shape(Some(1), 1));
        assert_eq!(prepared.standing(one, told), Standing::Serves);
        assert_eq!(prepared.standing(one, Some(shape(Some(2), 1))), Standing::TakesOthers);
        assert_eq!(prepared.standing(one, Some(shape(Some(1), 2))), Standing::Differs);
        prepared.described(one, shape(None, 1));
        assert_eq!(prepared.standing(one, told), Standing::Serves, "what was said before is not forgotten");
    }
}
