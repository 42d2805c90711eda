//! Prepared statements by the names that clients give them, and the statements that all sessions share.
//!
//! Clients that prepare the same text with the same parameter types share one [`Statement`], so a backend connection
//! prepares it once for all of them.

use std::collections::HashMap;
use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;

use crate::backend::prepared::{Preparation, Stamp, StatementId};
use crate::backend::settings::Settings;
use crate::sql::Verdict;

/// How a server reads the constants in a text. It does so when it prepares a statement, by the settings of that moment,
/// so sessions share statements only where they read alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reading {
    /// By settings with this fingerprint.
    By(u64),
    /// By settings that are not known for sure; no two of these are alike.
    Private(u64),
}

impl Reading {
    /// Under these settings.
    pub(crate) fn under(settings: &Settings) -> Self {
        /// What constants are read by, or what tells where they begin and end.
        const READ_BY: [&str; 11] = [
            "array_nulls",
            "client_encoding",
            "datestyle",
            "intervalstyle",
            "lc_monetary",
            "lc_numeric",
            "standard_conforming_strings",
            "timezone",
            "timezone_abbreviations",
            "transform_null_equals",
            "xmloption",
        ];
        if settings.id() == 0 {
            return Self::By(0);
        }
        let mut hasher = DefaultHasher::new();
        let mut set = 0;
        for value in READ_BY.iter().filter_map(|name| Some((name, settings.get(name)?))) {
            value.hash(&mut hasher);
            set += 1;
        }
        Self::By(if set == 0 { 0 } else { hasher.finish() })
    }
}

/// A statement's text and parameter types, shared by all who prepare it.
#[derive(Debug)]
pub(crate) struct Statement {
    /// Its identity.
    pub id: StatementId,
    /// The text in the encoding of the client that came first.
    pub sql: Bytes,
    /// The raw parameter type section of Parse.
    pub types: Bytes,
    /// What is known of it from its text.
    pub verdict: Arc<Verdict>,
    /// How its constants are read.
    pub(crate) reading: Reading,
    /// Preparations older than this are stale.
    renewed: AtomicU64,
}

impl Statement {
    /// A client closed and parsed it again: it wants a new preparation, whatever its reason.
    pub(crate) fn renew(&self, stamp: Stamp) {
        self.renewed.fetch_max(stamp.0, Ordering::AcqRel);
    }
}

impl Statement {
    /// The epoch of a preparation made now, given the last DDL in the database.
    pub(crate) fn epoch(&self, ddl: Stamp) -> Stamp {
        ddl.max(Stamp(self.renewed.load(Ordering::Acquire)))
    }
}

/// One client's hold on a statement.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    /// The statement.
    pub(crate) statement: Arc<Statement>,
    /// The epoch in which the client parsed it, or to which its result was found to be the same.
    pub(crate) epoch: Stamp,
    /// What the client knows of its result.
    pub(crate) result: KnownResult,
    /// Under which name the session's connection holds it.
    pub(crate) naming: Naming,
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

/// What a client knows of a statement's result, and must be able to rely on: it decodes rows by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum KnownResult {
    /// It never asked.
    #[default]
    Nothing,
    /// It was told columns with this fingerprint.
    Columns(u64),
    /// It was told columns with this fingerprint, and they are others now: PostgreSQL refuses such a statement, until
    /// they are the old ones again, as after a rollback.
    Outdated(u64),
}

impl Handle {
    /// The preparation that the client's executions need.
    pub(crate) fn preparation(&self) -> Preparation {
        Preparation { id: self.statement.id, epoch: self.epoch }
    }
}

/// All statements that some client holds.
#[derive(Debug, Default)]
pub(crate) struct Statements {
    shared: Mutex<Shared>,
    hasher: RandomState,
    ids: AtomicU64,
    clock: AtomicU64,
}

#[derive(Debug, Default)]
struct Shared {
    /// By hash of text and types; statements with equal hashes stand beside each other.
    by_hash: HashMap<u64, Vec<Weak<Statement>>>,
    /// Size at which those that nobody holds are swept out.
    sweep_at: usize,
}

impl Statements {
    /// The shared statement with this text and these types, its constants read this way.
    pub(crate) fn intern(
        &self,
        sql: &[u8],
        types: &[u8],
        verdict: &Arc<Verdict>,
        reading: Reading,
    ) -> Arc<Statement> {
        let hash = self.hasher.hash_one((sql, types, reading));
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = shared.by_hash.entry(hash).or_default();
        slot.retain(|weak| weak.strong_count() > 0);
        let same = |s: &Arc<Statement>| {
            s.sql == sql && s.types == types && s.reading == reading && Arc::ptr_eq(&s.verdict, verdict)
        };
        if let Some(found) = slot.iter().filter_map(Weak::upgrade).find(same) {
            return found;
        }
        let statement = Arc::new(Statement {
            id: StatementId(self.ids.fetch_add(1, Ordering::Relaxed) + 1),
            sql: Bytes::copy_from_slice(sql),
            types: Bytes::copy_from_slice(types),
            verdict: verdict.clone(),
            reading,
            renewed: AtomicU64::new(0),
        });
        slot.push(Arc::downgrade(&statement));
        shared.sweep();
        statement
    }

    /// The next point in the order of preparations and changes.
    pub(crate) fn stamp(&self) -> Stamp {
        Stamp(self.clock.fetch_add(1, Ordering::AcqRel) + 1)
    }
}

impl Shared {
    /// Keeps the map in proportion to what is held: sweeps when it has doubled since the last time.
    fn sweep(&mut self) {
        if self.by_hash.len() < self.sweep_at.max(1024) {
            return;
        }
        self.by_hash.retain(|_, slot| slot.iter().any(|weak| weak.strong_count() > 0));
        self.sweep_at = self.by_hash.len() * 2;
    }
}

/// A client's unnamed statement: it follows the session when its next request runs elsewhere.
#[derive(Clone, Debug)]
pub(crate) struct Unnamed {
    /// Tells this Parse from every other.
    pub serial: u64,
    /// The text; none when it was too long to be kept.
    pub sql: Option<Bytes>,
    /// The raw parameter type section.
    pub types: Bytes,
    /// What is known of it.
    pub verdict: Arc<Verdict>,
}

/// That settings are not known for sure.
#[derive(Clone, Copy, Debug)]
struct Unsure;

/// A client's statements and portals, by its own names.
#[derive(Debug, Default)]
pub(crate) struct Names {
    named: HashMap<Box<[u8]>, Handle>,
    /// Statements closed and not parsed again; a Parse of the same text asks for a new preparation.
    closed: Vec<StatementId>,
    /// Names given or taken away by messages in flight: an error in front of them undoes that.
    moving: Vec<Box<[u8]>>,
    /// The unnamed statement.
    pub unnamed: Option<Unnamed>,
    /// Serials of unnamed statements that the server never got, with others sent behind them.
    skipped: Vec<u64>,
    /// Verdicts of bound portals, for as long as the transaction can last.
    portals: HashMap<Box<[u8]>, Arc<Verdict>>,
    unnamed_portal: Option<Arc<Verdict>>,
    /// A setting was changed in this transaction, for it alone or not yet for certain: what is prepared now is shared
    /// with nobody.
    unsure: Option<Unsure>,
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

    /// Gives a statement a name. The caller has made sure that the name is free.
    pub(crate) fn insert(&mut self, name: &[u8], handle: Handle) {
        self.moves(name);
        self.named.insert(significant(name).into(), handle);
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
        let handle = self.named.remove(significant(name))?;
        self.moves(name);
        if self.closed.len() >= CLOSED {
            self.closed.remove(0);
        }
        self.closed.push(handle.statement.id);
        Some(handle)
    }

    /// All names.
    pub(crate) fn given(&self) -> impl Iterator<Item = &[u8]> {
        self.named.keys().map(|name| &**name)
    }

    /// Whether this client closed the statement before; asked once.
    pub(crate) fn reopened(&mut self, id: StatementId) -> bool {
        match self.closed.iter().position(|closed| *closed == id) {
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
        self.closed.extend(all.iter().map(|(_, handle)| handle.statement.id));
        let excess = self.closed.len().saturating_sub(CLOSED);
        self.closed.drain(..excess);
        all
    }

    /// A name that was to be freed still names what it did, unless it has been given anew.
    pub(crate) fn take_back(&mut self, name: Box<[u8]>, handle: Handle) {
        self.named.entry(significant(&name).into()).or_insert(handle);
    }

    /// A name that the client gave to this statement.
    pub(crate) fn name_of(&self, id: StatementId) -> Option<&[u8]> {
        self.named.iter().find(|(_, handle)| handle.statement.id == id).map(|(name, _)| &**name)
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

    /// A setting is changed by what is sent now.
    pub(crate) fn unsure(&mut self) {
        self.unsure = Some(Unsure);
    }

    /// How the server will read what is prepared now, in a session with these settings. `stamp` tells it from others.
    pub(crate) fn reading(&self, settings: &Settings, stamp: impl FnOnce() -> Stamp) -> Reading {
        match self.unsure {
            Some(Unsure) => Reading::Private(stamp().0),
            None => Reading::under(settings),
        }
    }

    /// The transaction is over, and its portals with it.
    pub(crate) fn end_transaction(&mut self) {
        self.unsure = None;
        self.unnamed_portal = None;
        if !self.portals.is_empty() {
            self.portals.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::settings::Value;
    use crate::sql::{SkeletonId, Why};

    #[test]
    fn equal_text_is_shared_and_let_go() {
        let statements = Statements::default();
        let verdict = Arc::new(Verdict::opaque(SkeletonId(1), Why::Unparsable));
        let a = statements.intern(b"select 1", b"\0\0", &verdict, Reading::By(0));
        let b = statements.intern(b"select 1", b"\0\0", &verdict, Reading::By(0));
        let c = statements.intern(b"select 1", b"\0\x01\0\0\0\x17", &verdict, Reading::By(0));
        assert!(Arc::ptr_eq(&a, &b));
        assert_ne!(a.id, c.id);
        let id = a.id;
        drop((a, b));
        assert_ne!(
            statements.intern(b"select 1", b"\0\0", &verdict, Reading::By(0)).id,
            id,
            "nobody held it"
        );
    }

    #[test]
    fn a_statement_closed_and_parsed_again_is_new() {
        let statements = Statements::default();
        let verdict = Arc::new(Verdict::opaque(SkeletonId(1), Why::Unparsable));
        let statement = statements.intern(b"select 1", b"\0\0", &verdict, Reading::By(0));
        let mut names = Names::default();
        names.insert(
            b"s",
            Handle {
                statement: statement.clone(),
                epoch: Stamp(0),
                result: KnownResult::Nothing,
                naming: Naming::Weirs,
            },
        );
        assert!(!names.reopened(statement.id));
        assert!(names.close(b"s").is_some());
        assert!(names.reopened(statement.id));
        assert!(!names.reopened(statement.id));
    }

    #[test]
    fn texts_are_shared_where_their_constants_are_read_alike() {
        let settings = |values: &[(&str, &str)]| {
            let value = |(name, value): &(&str, &str)| ((*name).into(), Value::Raw((*value).into()));
            Reading::under(&Settings::new(values.iter().map(value).collect()))
        };
        let none = settings(&[]);
        assert_eq!(settings(&[("application_name", "a"), ("work_mem", "5MB")]), none);
        let german = settings(&[("datestyle", "german")]);
        assert_ne!(german, none);
        assert_eq!(settings(&[("application_name", "b"), ("datestyle", "german")]), german);
        assert_ne!(settings(&[("datestyle", "iso")]), german);
        assert_ne!(settings(&[("timezone", "german")]), german);

        let statements = Statements::default();
        let verdict = Arc::new(Verdict::opaque(SkeletonId(1), Why::Unparsable));
        let statement = |reading| statements.intern(b"select '1.2.2003'::date", b"\0\0", &verdict, reading);
        let (one, other) = (statement(none), statement(german));
        assert_ne!(one.id, other.id);
        assert!(Arc::ptr_eq(&one, &statement(none)));
        let private = (statement(Reading::Private(1)), statement(Reading::Private(2)));
        assert_ne!(private.0.id, private.1.id);
    }

    #[test]
    fn names_that_begin_alike_are_one() {
        let statements = Statements::default();
        let verdict = Arc::new(Verdict::opaque(SkeletonId(1), Why::Unparsable));
        let statement = statements.intern(b"select 1", b"\0\0", &verdict, Reading::By(0));
        let mut names = Names::default();
        names.insert(
            &[b'n'; 70],
            Handle { statement, epoch: Stamp(0), result: KnownResult::Nothing, naming: Naming::Weirs },
        );
        assert!(names.get(&[b'n'; 63]).is_some());
        assert!(names.get(&[b'n'; 62]).is_none());
        assert!(names.close(&[b'n'; 64]).is_some());
        assert!(names.get(&[b'n'; 70]).is_none());
        names.bind(&[b'p'; 64], Some(verdict));
        assert!(names.portal(&[b'p'; 65]).is_some());
    }

    #[test]
    fn ddl_and_renewal_begin_an_epoch() {
        let statements = Statements::default();
        let verdict = Arc::new(Verdict::opaque(SkeletonId(1), Why::Unparsable));
        let statement = statements.intern(b"s", b"\0\0", &verdict, Reading::By(0));
        assert_eq!(statement.epoch(Stamp(3)), Stamp(3));
        statement.renew(Stamp(9));
        assert_eq!(statement.epoch(Stamp(7)), Stamp(9));
        assert_eq!(statement.epoch(Stamp(12)), Stamp(12));
    }
}
