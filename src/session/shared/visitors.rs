//! Whose session it is and what it does, for operators: who came from where, and what its database has been asked.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::session::model::revocable::Reasons;
use crate::session::shared::gate::Names;

/// Where somebody is, as PgBouncer tells it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    /// An address, or `unix`.
    pub address: Box<str>,
    /// The port, or that of the listener.
    pub port: u16,
}

/// Who came.
#[derive(Debug)]
pub(crate) struct Visitor {
    /// As whom it logged in.
    pub user: Arc<str>,
    /// Which database it wanted.
    pub names: Names,
    /// From where.
    pub from: Place,
    /// By which listener.
    pub by: Place,
    /// Version and cipher; empty without TLS.
    pub tls: Box<str>,
    /// When.
    pub since: SystemTime,
    /// What all who wanted that database have asked.
    pub tally: Arc<Tally>,
    changing: Mutex<Changing>,
    /// Stands for user, database and application.
    identity: AtomicU64,
}

/// What may be otherwise later.
#[derive(Debug, Default)]
struct Changing {
    application: Arc<str>,
    pins: Reasons,
    pinned_since: Option<SystemTime>,
}

impl Visitor {
    /// Somebody who came just now.
    pub(crate) fn new(user: Arc<str>, names: Names, places: (Place, Place), tally: Arc<Tally>) -> Self {
        let (from, by) = places;
        Self {
            user,
            names,
            from,
            by,
            tls: Box::default(),
            since: SystemTime::now(),
            tally,
            changing: Mutex::default(),
            identity: AtomicU64::new(0),
        }
    }

    /// The application as it calls itself now.
    pub(crate) fn application(&self) -> Arc<str> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner).application.clone()
    }

    /// It calls itself so from now on.
    pub(crate) fn calls_itself(&self, name: &str) {
        let mut hasher = DefaultHasher::new();
        (&self.user, &self.names.client, name).hash(&mut hasher);
        self.identity.store(hasher.finish(), Ordering::Relaxed);
        let mut changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if *changing.application != *name {
            changing.application = name.into();
        }
    }

    /// A number for user, database and application together.
    pub(crate) fn identity(&self) -> u64 {
        self.identity.load(Ordering::Relaxed)
    }

    /// It keeps its connection for these reasons from now on.
    pub(crate) fn keeps(&self, pins: Reasons) {
        let mut changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        changing.pins = pins;
        let since = changing.pinned_since.unwrap_or_else(SystemTime::now);
        changing.pinned_since = (!pins.is_empty()).then_some(since);
    }

    /// Why it keeps its connection, and since when, if it does.
    pub(crate) fn pins(&self) -> Option<(Reasons, SystemTime)> {
        let changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        Some((changing.pins, changing.pinned_since?))
    }
}

/// The figures of a moment.
type Then = (Instant, [u64; 8]);

/// A database's tally, with its names.
type Known = (Names, Arc<Tally>);

/// What the clients of one database have asked. Everything only grows; times are in microseconds.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Connections lent.
    pub assignments: AtomicU64,
    /// Transactions that are over.
    pub transactions: AtomicU64,
    /// Requests.
    pub queries: AtomicU64,
    /// Bytes of requests.
    pub received: AtomicU64,
    /// Bytes of answers.
    pub sent: AtomicU64,
    /// For how long connections were lent.
    pub transaction_time: AtomicU64,
    /// For how long servers worked.
    pub query_time: AtomicU64,
    /// For how long clients waited for a connection.
    pub wait_time: AtomicU64,
    /// The figures of two moments before.
    before: Mutex<[Option<Then>; 2]>,
}

impl Tally {
    /// The figures of one moment, in the order of the fields.
    pub(crate) fn figures(&self) -> [u64; 8] {
        let all = [
            &self.assignments,
            &self.transactions,
            &self.queries,
            &self.received,
            &self.sent,
            &self.transaction_time,
            &self.query_time,
            &self.wait_time,
        ];
        all.map(|one| one.load(Ordering::Relaxed))
    }

    /// By how much they have grown since the moment before the last one, and in how many microseconds.
    pub(crate) fn of_late(&self) -> ([u64; 8], u64) {
        let figures = self.figures();
        let [older, newer] = *self.before.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((since, then)) = older.or(newer) else { return ([0; 8], 0) };
        let micros = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
        (std::array::from_fn(|nth| figures[nth].saturating_sub(then[nth])), micros)
    }

    /// A moment passes.
    pub(crate) fn ticks(&self, now: Instant) {
        let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        *before = [before[1], Some((now, self.figures()))];
    }
}

/// Adds to a figure.
pub(crate) fn add(figure: &AtomicU64, more: u64) {
    figure.fetch_add(more, Ordering::Relaxed);
}

/// Adds a time to a figure.
pub(crate) fn add_time(figure: &AtomicU64, more: Duration) {
    add(figure, u64::try_from(more.as_micros()).unwrap_or(u64::MAX));
}

/// Most databases without a client whose figures are kept: clients make up names.
const KEPT: usize = 1000;

/// The tallies of all databases, by the clients' names.
#[derive(Default)]
pub(crate) struct Tallies(Mutex<HashMap<Arc<str>, Known>>);

impl Tallies {
    /// The tally of a database into which somebody has come.
    pub(crate) fn of(&self, names: &Names) -> Arc<Tally> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KEPT {
            known.retain(|_, (_, tally)| Arc::strong_count(tally) > 1);
        }
        let new = || {
            let tally = Tally::default();
            tally.ticks(Instant::now());
            (names.clone(), Arc::new(tally))
        };
        known.entry(names.client.clone()).or_insert_with(new).1.clone()
    }

    /// A moment passes for all of them.
    pub(crate) fn tick(&self, now: Instant) {
        self.all().iter().for_each(|(_, tally)| tally.ticks(now));
    }

    /// All of them, in the order of the names.
    pub(crate) fn all(&self) -> Vec<(Names, Arc<Tally>)> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = known.values().cloned().collect();
        all.sort_by(|a, b| a.0.client.cmp(&b.0.client));
        all
    }
}
