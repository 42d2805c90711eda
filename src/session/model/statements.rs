//! Prepared statements and portals by the names that a client gives them.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use foldhash::fast::RandomState;

use crate::backend::prepared::{Preparation, Shape, Stamp, Standing, StatementId};
use crate::session::model::statement::Statement;
use crate::sql::Verdict;

/// One client's hold on a statement.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    /// The statement.
    pub(crate) statement: Arc<Statement>,
    /// The epoch in which the client parsed it, or to which its result was found to be the same.
    pub(crate) epoch: Stamp,
    /// What the client was told of it, and must be able to rely on: it decodes rows by it.
    pub(crate) told: Option<Shape>,
    /// The types of its parameters as the client was told them, where it did not say all of them itself: it encodes
    /// values by these, so that whoever prepares the statement for it says them.
    pub(crate) types: Option<Bytes>,
    /// Under which name the session's connection holds it.
    pub(crate) naming: Naming,
    /// Where it stands among all that the client has parsed.
    pub(crate) order: u64,
    /// The number of the settings for whose executions the statement stands; none where they were not known.
    pub(crate) under: Option<u64>,
}

/// Whose name for a statement a server knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Naming {
    /// weir's, so that any connection can hold it for anybody.
    #[default]
    Weirs,
    /// The client's own, on the connection that the session keeps: SQL speaks of it by that name.
    Clients,
}

impl Handle {
    /// One by which its client has been told nothing yet.
    pub(crate) fn new(statement: Arc<Statement>, epoch: Stamp, order: u64) -> Self {
        Self { statement, epoch, told: None, types: None, naming: Naming::Weirs, order, under: None }
    }

    /// Whether any connection can hold it for anybody.
    pub(crate) fn is_weirs(&self) -> bool {
        self.naming == Naming::Weirs
    }

    /// The preparation that the client's executions need.
    pub(crate) fn preparation(&self) -> Preparation {
        Preparation { id: self.statement.id, epoch: self.epoch }
    }

    /// The types by which it is prepared for this client.
    pub(crate) fn types(&self) -> &Bytes {
        self.types.as_ref().unwrap_or(&self.statement.types)
    }

    /// The client is told this of it.
    pub(crate) fn tells(&mut self, shape: Shape) {
        let parameters = shape.parameters.or(self.told.and_then(|before| before.parameters));
        self.told = Some(Shape { parameters, ..shape });
    }
}

/// A client's unnamed statement: it follows the session when its next request runs elsewhere.
#[derive(Clone, Debug)]
pub(crate) struct Unnamed {
    /// Tells this Parse from every other.
    pub serial: u64,
    /// The text; none when it was too long to be kept.
    pub sql: Option<Bytes>,
    /// The raw parameter type section, by which it is prepared again.
    pub types: Bytes,
    /// What is known of it.
    pub verdict: Arc<Verdict>,
    /// What the client was told of it.
    pub told: Option<Shape>,
    /// Whether it still was that where it was prepared last.
    pub standing: Standing,
}

impl Unnamed {
    /// One of which its client has been told nothing yet.
    pub(crate) fn new(serial: u64, sql: Option<Bytes>, types: Bytes, verdict: Arc<Verdict>) -> Self {
        Self { serial, sql, types, verdict, told: None, standing: Standing::Serves }
    }
}

/// By a client's own names, which are looked up several times for each execution: who has them collide slows down itself.
type ByName<T> = HashMap<Box<[u8]>, T, RandomState>;

/// A client's statements and portals, by its own names.
#[derive(Debug, Default)]
pub(crate) struct Names {
    named: ByName<Handle>,
    /// How many statements the client has parsed.
    parsed: u64,
    /// Statements closed and not parsed again, and what they were called; a Parse of the same text asks for a new
    /// preparation.
    closed: Vec<(StatementId, Box<[u8]>)>,
    /// Names given or taken away by messages in flight: an error in front of them undoes that.
    moving: Vec<Box<[u8]>>,
    /// The unnamed statement.
    pub unnamed: Option<Unnamed>,
    /// Serials of unnamed statements that the server never got, with others sent behind them.
    skipped: Vec<u64>,
    /// Verdicts of bound portals, for as long as the transaction can last.
    portals: ByName<Arc<Verdict>>,
    /// What the unnamed portal executes.
    pub unnamed_portal: Option<Arc<Verdict>>,
}

/// Most names in flight that are told apart; with more, all of them are.
const MOVING: usize = 64;

/// What tells a name from others: the server keys statements and portals by as many bytes, and names that begin alike
/// are one name to it.
fn significant(name: &[u8]) -> &[u8] {
    /// NAMEDATALEN, less its terminator.
    const LENGTH: usize = 63;
    &name[..name.len().min(LENGTH)]
}

/// Most closed statements remembered per client.
const CLOSED: usize = 256;

impl Names {
    /// The statement of this name.
    pub(crate) fn get(&self, name: &[u8]) -> Option<&Handle> {
        self.named.get(significant(name))
    }

    /// The statement of this name, to be changed.
    pub(crate) fn get_mut(&mut self, name: &[u8]) -> Option<&mut Handle> {
        self.named.get_mut(significant(name))
    }

    /// All that have names, in the order in which these were given.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&[u8], &Handle)> {
        let mut all: Vec<_> = self.named.iter().map(|(name, handle)| (&**name, handle)).collect();
        all.sort_unstable_by_key(|(_, handle)| handle.order);
        all.into_iter()
    }

    /// All that have names, to be changed.
    pub(crate) fn all_mut(&mut self) -> impl Iterator<Item = &mut Handle> {
        self.named.values_mut()
    }

    /// Gives a statement a name. The caller has made sure that the name is free.
    pub(crate) fn insert(&mut self, name: &[u8], handle: Handle) {
        self.moves(name);
        self.named.insert(significant(name).into(), handle);
    }

    /// Where a statement that is parsed now stands among all.
    pub(crate) fn next_order(&mut self) -> u64 {
        self.parsed += 1;
        self.parsed
    }

    fn moves(&mut self, name: &[u8]) {
        if self.moving.len() < MOVING {
            self.moving.push(significant(name).into());
        }
    }

    /// All messages have been answered.
    pub(crate) fn settle(&mut self) {
        self.moving.clear();
        self.skipped.clear();
    }

    /// The server did not get the unnamed statement with this serial: `before` is what it has instead.
    pub(crate) fn skipped(&mut self, serial: u64, before: Option<Unnamed>) {
        match &self.unnamed {
            Some(unnamed) if unnamed.serial == serial => {
                self.unnamed = before.filter(|before| !self.skipped.contains(&before.serial));
            }
            Some(_) => self.skipped.push(serial),
            None => {}
        }
    }

    /// Whether it is not yet known what this name stands for.
    pub(crate) fn is_moving(&self, name: &[u8]) -> bool {
        self.moving.len() == MOVING || self.moving.iter().any(|moving| **moving == *significant(name))
    }

    /// Whether there are such names.
    pub(crate) fn are_moving(&self) -> bool {
        !self.moving.is_empty()
    }

    /// Takes a name away without remembering that it was closed.
    pub(crate) fn remove(&mut self, name: &[u8]) -> Option<Handle> {
        self.named.remove(significant(name))
    }

    /// The client closed the statement.
    pub(crate) fn close(&mut self, name: &[u8]) -> Option<Handle> {
        let (given, handle) = self.named.remove_entry(significant(name))?;
        self.moves(name);
        if self.closed.len() >= CLOSED {
            self.closed.remove(0);
        }
        self.closed.push((handle.statement.id, given));
        Some(handle)
    }

    /// All names, in the order in which they were given.
    pub(crate) fn given(&self) -> Vec<Box<[u8]>> {
        let mut all: Vec<_> = self.named.iter().collect();
        all.sort_unstable_by_key(|(_, handle)| handle.order);
        all.into_iter().map(|(name, _)| name.clone()).collect()
    }

    /// Whether this client closed the statement before; asked once.
    pub(crate) fn reopened(&mut self, id: StatementId) -> bool {
        match self.closed.iter().position(|(closed, _)| *closed == id) {
            Some(at) => {
                self.closed.swap_remove(at);
                true
            }
            None => false,
        }
    }

    /// The client closed all statements.
    pub(crate) fn close_all(&mut self) -> Vec<(Box<[u8]>, Handle)> {
        let all: Vec<_> = self.named.drain().collect();
        all.iter().for_each(|(name, _)| self.moves(name));
        self.closed.extend(all.iter().map(|(name, handle)| (handle.statement.id, name.clone())));
        let excess = self.closed.len().saturating_sub(CLOSED);
        self.closed.drain(..excess);
        all
    }

    /// A name that was to be freed still names what it did, unless it has been given anew.
    pub(crate) fn take_back(&mut self, name: Box<[u8]>, handle: Handle) {
        self.named.entry(significant(&name).into()).or_insert(handle);
    }

    /// A name that the client gives to this statement, or gave it until a moment ago.
    pub(crate) fn name_of(&self, id: StatementId) -> Option<&[u8]> {
        let named = self.named.iter().find(|(_, handle)| handle.statement.id == id).map(|(name, _)| &**name);
        let closed = || self.closed.iter().rev().find(|(closed, _)| *closed == id).map(|(_, name)| &**name);
        named.or_else(closed)
    }

    /// A portal is being bound to a statement with this verdict, or one of which nothing is known. Gives back that of
    /// the portal that had the name: where the Bind fails, it may be there still.
    pub(crate) fn bind(&mut self, portal: &[u8], verdict: Option<Arc<Verdict>>) -> Option<Arc<Verdict>> {
        if portal.is_empty() {
            return std::mem::replace(&mut self.unnamed_portal, verdict);
        }
        let portal = significant(portal);
        match verdict {
            Some(verdict) => self.portals.insert(portal.into(), verdict),
            None => self.portals.remove(portal),
        }
    }

    /// The verdict of a portal's statement.
    pub(crate) fn portal(&self, portal: &[u8]) -> Option<&Arc<Verdict>> {
        if portal.is_empty() { self.unnamed_portal.as_ref() } else { self.portals.get(significant(portal)) }
    }

    /// The transaction is over, and its portals with it.
    pub(crate) fn end_transaction(&mut self) {
        self.unnamed_portal = None;
        if !self.portals.is_empty() {
            self.portals.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::model::statement::{ReadBy, Reading};
    use crate::session::shared::statements::Statements;
    use crate::sql::{SkeletonId, Why};

    #[test]
    fn a_statement_closed_and_parsed_again_is_new() {
        let statements = Statements::default();
        let verdict = Arc::new(Verdict::opaque(SkeletonId(1), Why::Unparsable));
        let statement = statements.intern(b"select 1", b"\0\0", &verdict, Reading::By(ReadBy::default()));
        let mut names = Names::default();
        names.insert(b"s", Handle::new(statement.clone(), Stamp(0), 0));
        assert!(!names.reopened(statement.id));
        assert!(names.close(b"s").is_some());
        assert!(names.reopened(statement.id));
        assert!(!names.reopened(statement.id));
    }

    #[test]
    fn names_that_begin_alike_are_one() {
        let statements = Statements::default();
        let verdict = Arc::new(Verdict::opaque(SkeletonId(1), Why::Unparsable));
        let statement = statements.intern(b"select 1", b"\0\0", &verdict, Reading::By(ReadBy::default()));
        let mut names = Names::default();
        names.insert(&[b'n'; 70], Handle::new(statement, Stamp(0), 0));
        assert!(names.get(&[b'n'; 63]).is_some());
        assert!(names.get(&[b'n'; 62]).is_none());
        assert!(names.close(&[b'n'; 64]).is_some());
        assert!(names.get(&[b'n'; 70]).is_none());
        names.bind(&[b'p'; 64], Some(verdict));
        assert!(names.portal(&[b'p'; 65]).is_some());
    }
}
