//! Which prepared statements one backend connection holds, under weir's own names.
//!
//! A statement is prepared under a name that is never used again on any connection (`weir_<id>_<stamp>`), so a lost
//! `Close` can never turn into "already exists". A statement prepared before a change that it may depend on (DDL, an
//! error that says its plan is stale) is not used any more: the caller says how new it must be.

use std::io::Write;
use std::num::NonZeroUsize;

use lru::LruCache;

/// Identity of a shared statement: one per text and parameter types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StatementId(pub u64);

/// A point in the order of all preparations and of all changes that make preparations stale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stamp(pub u64);

/// A statement's name on a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerName {
    bytes: [u8; 40],
    len: u8,
}

impl ServerName {
    /// The name of a statement prepared at a stamp.
    pub fn new(id: StatementId, stamp: Stamp) -> Self {
        let mut bytes = [0; 40];
        let mut rest = &mut bytes[..];
        // At most 5 + 16 + 1 + 16 bytes: it always fits.
        let _ = write!(rest, "weir_{:x}_{:x}", id.0, stamp.0);
        let left = rest.len();
        Self { bytes, len: u8::try_from(40 - left).unwrap_or(40) }
    }

    /// The name's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// The prepared statements of one backend connection, least recently used first to go.
#[derive(Debug)]
pub struct Prepared {
    known: LruCache<StatementId, Stamp>,
    /// Names that the server still holds and nobody will use: closed in front of the next Parse.
    retired: Vec<ServerName>,
}

impl Prepared {
    /// Holds at most `limit` statements (at least one).
    pub fn new(limit: usize) -> Self {
        let limit = NonZeroUsize::new(limit).unwrap_or(NonZeroUsize::MIN);
        Self { known: LruCache::new(limit), retired: Vec::new() }
    }

    /// The name under which the server holds the statement, if it was prepared at `not_before` or later.
    pub fn name(&mut self, id: StatementId, not_before: Stamp) -> Option<ServerName> {
        let stamp = *self.known.get(&id)?;
        (stamp >= not_before).then(|| ServerName::new(id, stamp))
    }

    /// The statement is being prepared under this stamp; an older preparation and an evicted one are retired.
    pub fn add(&mut self, id: StatementId, stamp: Stamp) -> ServerName {
        if let Some((old_id, old_stamp)) = self.known.push(id, stamp) {
            self.retired.push(ServerName::new(old_id, old_stamp));
        }
        ServerName::new(id, stamp)
    }

    /// The preparation failed, or the server skipped it.
    pub fn forget(&mut self, id: StatementId, stamp: Stamp) {
        if self.known.peek(&id) == Some(&stamp) {
            self.known.pop(&id);
        }
    }

    /// The next name to close on the server.
    pub fn next_retired(&mut self) -> Option<ServerName> {
        self.retired.pop()
    }

    /// A `Close` for this name was skipped by the server: it must be sent again.
    pub fn retire(&mut self, name: ServerName) {
        self.retired.push(name);
    }

    /// The server dropped all its prepared statements (DISCARD ALL, DEALLOCATE ALL).
    pub fn clear(&mut self) {
        self.known.clear();
        self.retired.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut prepared = Prepared::new(2);
        let (a, b, c) = (StatementId(1), StatementId(2), StatementId(3));
        prepared.add(a, Stamp(1));
        prepared.add(b, Stamp(2));
        assert!(prepared.name(a, Stamp(0)).is_some());
        prepared.add(c, Stamp(3));
        assert_eq!(prepared.name(b, Stamp(0)), None);
        assert_eq!(prepared.next_retired(), Some(ServerName::new(b, Stamp(2))));
        assert_eq!(prepared.next_retired(), None);
    }

    #[test]
    fn a_stale_statement_is_not_used_and_its_name_never_again() {
        let mut prepared = Prepared::new(2);
        let a = StatementId(0xabc);
        let first = prepared.add(a, Stamp(1));
        assert_eq!(first.as_bytes(), b"weir_abc_1");
        assert_eq!(prepared.name(a, Stamp(2)), None);
        let second = prepared.add(a, Stamp(3));
        assert_ne!(first, second);
        assert_eq!(prepared.next_retired(), Some(first));
        prepared.forget(a, Stamp(1));
        assert_eq!(prepared.name(a, Stamp(2)), Some(second), "an older failure changes nothing");
    }
}
