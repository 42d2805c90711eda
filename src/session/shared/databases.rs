//! What the sessions of one database share, by database.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::backend::prepared::Stamp;
use crate::freshness::Marks;
use crate::router::Learned;
use crate::session::shared::writers::Writers;

/// Most databases without a session that are remembered, so that whoever connects for each request alone finds what was
/// learned before. An entry takes some 40 kB.
const DATABASES_KEPT: usize = 100;

/// What all sessions of one database share.
pub(crate) struct Database {
    ddl: AtomicU64,
    /// Shapes that a replica refused.
    pub learned: Learned,
    /// When its relations were last written.
    pub marks: Marks,
    /// When the catalogs that all databases share were.
    pub common: Arc<Marks>,
    /// Which of its transactions mostly write.
    pub writers: Writers,
    /// Whether its sessions ask for values that they have drawn from sequences.
    pub asks_drawn: AtomicBool,
    /// Whether a transaction was prepared that brought code: any may be that which is committed by its name.
    pub prepares_code: AtomicBool,
}

impl Database {
    /// Nothing has changed since `epoch`, but what all databases share as it says.
    pub(crate) fn new(learned: Learned, epoch: Instant, common: Arc<Marks>) -> Self {
        Self {
            ddl: AtomicU64::new(0),
            learned,
            marks: Marks::new(epoch),
            common,
            writers: Writers::default(),
            asks_drawn: AtomicBool::new(false),
            prepares_code: AtomicBool::new(false),
        }
    }

    /// Preparations older than this may be stale.
    pub(crate) fn ddl(&self) -> Stamp {
        Stamp(self.ddl.load(Ordering::Acquire))
    }

    /// A definition changed, or a plan turned out to be stale.
    pub(crate) fn changed(&self, stamp: Stamp) {
        self.ddl.fetch_max(stamp.0, Ordering::AcqRel);
    }
}

/// What the sessions of each database on the servers share. Only databases that a server has accepted come here, and
/// those in use and a few more stay: neither names that clients make up nor databases that come and go fill the memory.
#[derive(Default)]
pub(super) struct Databases {
    known: Mutex<HashMap<Arc<str>, Arc<Database>>>,
}

impl Databases {
    /// The entry of a database, if it has one.
    pub(super) fn get(&self, name: &str) -> Option<Arc<Database>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// The entry of a database. One that had been forgotten begins anew: to it everything was written and changed just
    /// now, which is later than whatever its sessions have done.
    pub(super) fn enter(&self, name: &Arc<str>, new: impl FnOnce() -> Database) -> Arc<Database> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(database) = known.get(name) {
            return database.clone();
        }
        if known.len() >= DATABASES_KEPT {
            // Nobody but this map can hand out an entry, so what nobody else has stays unused meanwhile.
            known.retain(|_, database| Arc::strong_count(database) > 1);
        }
        let database = Arc::new(new());
        known.insert(name.clone(), database.clone());
        database
    }
}

impl Databases {
    /// All that are known.
    pub(super) fn all(&self) -> Vec<Arc<Database>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Other terms hold for what replicas teach.
    pub(super) fn learn(&self, capacity: usize, ttl: Duration) {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.values().for_each(|database| database.learned.limit(capacity, ttl));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(databases: &Databases, name: &str, epoch: Instant) -> Arc<Database> {
        let common = Arc::new(Marks::new(epoch));
        databases
            .enter(&name.into(), || Database::new(Learned::new(1, Duration::from_secs(1)), epoch, common))
    }

    #[test]
    fn the_sessions_of_a_database_share_one_entry() {
        let databases = Databases::default();
        let now = Instant::now();
        let entry = enter(&databases, "a", now);
        assert!(Arc::ptr_eq(&entry, &enter(&databases, "a", now)));
        assert!(!Arc::ptr_eq(&entry, &enter(&databases, "b", now)));
    }

    #[test]
    fn databases_without_sessions_are_forgotten_when_they_are_many() {
        let databases = Databases::default();
        let now = Instant::now();
        let used = enter(&databases, "used", now);
        used.marks.acknowledged.enter_anything(now + Duration::from_secs(1));
        for n in 0..10 * DATABASES_KEPT {
            enter(&databases, &n.to_string(), now);
            assert!(databases.known.lock().unwrap().len() <= DATABASES_KEPT);
        }
        assert!(Arc::ptr_eq(&used, &enter(&databases, "used", now)), "a session has it");
        // What is not known any more counts as written when it comes back.
        let later = now + Duration::from_secs(2);
        assert_eq!(enter(&databases, "0", later).marks.latest_write(), later);
    }
}
