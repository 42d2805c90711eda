//! The catalogs of the databases that clients use, loaded from the primary and kept fresh in the background.
//!
//! A connection is opened for each load and closed after it: an idle one would keep `DROP DATABASE` and
//! `CREATE DATABASE ... TEMPLATE` from working (55006). Readers take a snapshot and never wait; until a database's
//! catalog is loaded nothing is known of its functions, and what calls them goes to the primary.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_postgres::NoTls;

use super::catalog::Catalog;
use super::control::{self, Login, Purpose, words};
use super::monitor::Monitor;
use super::reading::{self, Answers};
use crate::config::{Server, User};

/// Most databases whose catalogs are kept; functions of further ones stay unknown.
const DATABASES_MAX: usize = 1_000;

/// How long one load may take, connecting included.
const LOAD_LIMIT: Duration = Duration::from_secs(10);

/// How long changes are collected before they are read: a migration makes many in a row.
const SETTLE: Duration = Duration::from_millis(50);

/// Time between attempts to load after a failure.
const RETRY: Duration = Duration::from_secs(2);

/// How long a database that could not be logged in to is left alone. The next session that wants it afterwards
/// starts anew, with its own user.
const REFUSED_PAUSE: Duration = Duration::from_secs(30);

/// Least time between two loads for the sake of functions that are missing: a statement may go on calling one that
/// does not exist.
const MISSED_PAUSE: Duration = Duration::from_secs(1);

/// How long a writer may take from looking at a snapshot to marking what it wrote by it. Writes that were marked by the
/// snapshot before count as unknown until then: it may have said something else of the same name.
const MARKING: Duration = Duration::from_millis(50);

/// The catalogs of all databases in use.
#[derive(Debug)]
pub struct Catalogs {
    snapshots: ArcSwap<HashMap<Arc<str>, Arc<Catalog>>>,
    /// Set once any catalog has held an unlogged relation.
    unlogged: AtomicBool,
    wanted: Mutex<HashMap<Arc<str>, Wanted>>,
    monitor: Arc<Monitor>,
    servers: Box<[Server]>,
    interval: Duration,
}

/// A database whose catalog is kept.
#[derive(Debug)]
struct Wanted {
    /// Counts the changes seen; what was read before the last one is not published.
    generation: u64,
    /// When a session last missed something in it.
    missed: Option<Instant>,
    changed: Arc<Notify>,
    task: AbortHandle,
}

/// Why a catalog was not loaded.
#[derive(Debug)]
enum Failure {
    /// This user cannot log in to this database, or the database is gone.
    Refused(String),
    /// Anything else; it may pass.
    Failed(String),
}

impl Catalogs {
    pub(crate) fn new(monitor: Arc<Monitor>, servers: &[Server], interval: Duration) -> Self {
        Self {
            snapshots: ArcSwap::default(),
            unlogged: AtomicBool::new(false),
            wanted: Mutex::default(),
            monitor,
            servers: servers.into(),
            interval,
        }
    }

    /// The catalog of a database (its name on the servers); `None` until it is loaded.
    pub fn of(&self, database: &str) -> Option<Arc<Catalog>> {
        self.snapshots.load().get(database).cloned()
    }

    /// Whether any database has, or had, an unlogged relation: most clusters have none, and a read there need not
    /// look at its database's catalog for them.
    pub fn know_unlogged(&self) -> bool {
        self.unlogged.load(Ordering::Relaxed)
    }

    /// Has a database's catalog loaded and kept fresh from now on, logging in as `user` does. To be called when a
    /// session of that user begins on that database (its name on the servers); cheap when it is wanted already.
    pub fn want(self: &Arc<Self>, database: &str, user: &User) {
        let mut wanted = self.lock();
        if wanted.contains_key(database) || wanted.len() >= DATABASES_MAX {
            return;
        }
        let database: Arc<str> = database.into();
        let changed = Arc::new(Notify::new());
        let keep = self.clone().keep_fresh(database.clone(), Login::of(user), changed.clone());
        let task = tokio::spawn(keep).abort_handle();
        wanted.insert(database, Wanted { generation: 0, missed: None, changed, task });
    }

    /// A database's catalog has changed: DDL was seen, and its transaction has ended. To be called before the
    /// client hears of it, so that whoever acts upon the change finds the old catalog gone.
    pub fn stale(&self, database: &str) {
        let mut wanted = self.lock();
        let Some(entry) = wanted.get_mut(database) else { return };
        entry.generation += 1;
        entry.changed.notify_one();
        if let Some(catalog) = self.of(database) {
            let changed = catalog.after_change();
            if changed != *catalog {
                self.replace(&Arc::from(database), Some(changed));
            }
        }
    }

    /// A statement calls a function that the catalog does not hold: somebody may have created it past weir. Loads the
    /// catalog again soon, at most once in [`MISSED_PAUSE`]; what is known stays known meanwhile.
    pub fn missed(&self, database: &str, now: Instant) {
        let mut wanted = self.lock();
        let Some(entry) = wanted.get_mut(database) else { return };
        if entry.missed.is_none_or(|last| now.saturating_duration_since(last) >= MISSED_PAUSE) {
            entry.missed = Some(now);
            entry.changed.notify_one();
        }
    }

    /// Ends all loading.
    pub(crate) fn close(&self) {
        for (_, entry) in self.lock().drain() {
            entry.task.abort();
        }
    }

    async fn keep_fresh(self: Arc<Self>, database: Arc<str>, login: Login, changed: Arc<Notify>) {
        loop {
            let Some(generation) = self.generation(&database) else { return };
            let wait = match self.load(&database, &login).await {
                Ok(catalog) => {
                    self.publish(&database, generation, catalog);
                    self.interval
                }
                Err(Failure::Failed(error)) => {
                    tracing::warn!(database = &*database, error, "catalog not loaded; will try again");
                    RETRY
                }
                Err(Failure::Refused(error)) => {
                    tracing::warn!(database = &*database, error, "catalog not loaded");
                    self.replace(&database, None);
                    tokio::time::sleep(REFUSED_PAUSE).await;
                    self.lock().remove(&database);
                    return;
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = changed.notified() => tokio::time::sleep(SETTLE).await,
            }
        }
    }

    /// Loads from the primary, once there is one.
    async fn load(&self, database: &str, login: &Login) -> Result<Catalog, Failure> {
        let primary = self.monitor.wait(|topology| topology.writable().map(|server| server.id)).await;
        let Some(server) = self.servers.get(usize::from(primary.0)) else {
            return Err(Failure::Failed("no such server".into()));
        };
        let parameters = control::parameters(server, database, login, LOAD_LIMIT, Purpose::Watching);
        let Ok(answers) = timeout(LOAD_LIMIT, connect_and_read(&parameters)).await else {
            return Err(Failure::Failed("no answer in time".into()));
        };
        let answers = answers?;
        let catalog = tokio::task::spawn_blocking(move || answers.catalog()).await;
        catalog.map_err(|error| Failure::Failed(error.to_string()))
    }

    /// Publishes what was read, unless the catalog has changed since the reading began.
    fn publish(&self, database: &Arc<str>, read_at: u64, mut catalog: Catalog) {
        // Comparing takes a while, so it is done in front of the lock: a change that comes between is seen behind it.
        let unchanged = self.of(database).filter(|old| old.has_relations_of(&catalog));
        let since = unchanged.and_then(|old| old.since);
        let wanted = self.lock();
        if wanted.get(database).is_some_and(|entry| entry.generation == read_at) {
            catalog.since = since.or_else(|| Some(Instant::now() + MARKING));
            self.replace(database, Some(catalog));
        }
    }

    fn generation(&self, database: &str) -> Option<u64> {
        self.lock().get(database).map(|entry| entry.generation)
    }

    fn replace(&self, database: &Arc<str>, catalog: Option<Catalog>) {
        if catalog.as_ref().is_some_and(|catalog| !catalog.unlogged.is_empty()) {
            self.unlogged.store(true, Ordering::Relaxed);
        }
        let catalog = catalog.map(Arc::new);
        self.snapshots.rcu(|old| {
            let mut all = HashMap::clone(old);
            match &catalog {
                Some(catalog) => all.insert(database.clone(), catalog.clone()),
                None => all.remove(database),
            };
            all
        });
    }

    /// Nothing that can panic runs under this lock, so a poisoned one is still sound.
    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Wanted>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads over a connection of its own, and closes it before it returns.
async fn connect_and_read(parameters: &tokio_postgres::Config) -> Result<Answers, Failure> {
    let (client, connection) = parameters.connect(NoTls).await?;
    let mut connection = pin!(connection);
    let answers = tokio::select! {
        answers = reading::read(&client) => answers?,
        ended = &mut connection => {
            ended?;
            return Err(Failure::Failed("the server closed the connection".into()));
        }
    };
    // With the client gone, the connection says Terminate and ends.
    drop(client);
    connection.await?;
    Ok(answers)
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.code() {
            Some(code) if control::is_login_refused(code) => Failure::Refused(words(&error)),
            _ => Failure::Failed(words(&error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::catalog::{Reach, Relation, Volatility};
    use crate::cluster::topology::Topology;
    use crate::sql::Name;

    /// Catalogs with one wanted database, and nobody who loads it.
    fn catalogs() -> (Catalogs, Arc<str>) {
        let catalogs = Catalogs::new(Arc::new(Monitor::new(Topology::default())), &[], RETRY);
        let database: Arc<str> = "app".into();
        let task = tokio::spawn(std::future::pending::<()>()).abort_handle();
        let wanted = Wanted { generation: 0, missed: None, changed: Arc::default(), task };
        catalogs.lock().insert(database.clone(), wanted);
        (catalogs, database)
    }

    fn catalog() -> Catalog {
        let mut catalog = Catalog::default();
        catalog.add_function("public", "total", Volatility::ReadOnly);
        catalog
    }

    fn total(catalogs: &Catalogs) -> Option<Volatility> {
        catalogs.of("app")?.function(&Name { schema: None, name: "total".into() })
    }

    #[tokio::test]
    async fn what_was_read_before_a_change_is_not_published() {
        let (catalogs, database) = catalogs();
        let before = catalogs.generation("app").unwrap();
        catalogs.stale("app");
        catalogs.publish(&database, before, catalog());
        assert_eq!(total(&catalogs), None);
        catalogs.publish(&database, before + 1, catalog());
        assert_eq!(total(&catalogs), Some(Volatility::ReadOnly));
        catalogs.stale("app");
        assert_eq!(total(&catalogs), None);
    }

    #[tokio::test]
    async fn writes_from_before_a_different_snapshot_count_as_unknown() {
        let (catalogs, database) = catalogs();
        let with = |read: Reach| {
            let mut catalog = catalog();
            let relation = Relation { written: Reach::Everything, read };
            catalog.add_relation("public", "t", &relation, Volatility::ReadOnly);
            catalog
        };
        let since = || catalogs.of("app").unwrap().since;
        let start = Instant::now();
        catalogs.publish(&database, 0, with(Reach::Everything));
        let first = since().unwrap();
        assert!(first >= start + MARKING && first <= Instant::now() + MARKING);
        catalogs.publish(&database, 0, with(Reach::Everything));
        assert_eq!(since(), Some(first), "nothing changed");
        catalogs.publish(&database, 0, with(Reach::These(Box::default())));
        let second = since().unwrap();
        assert!(second > first);
        catalogs.stale("app");
        assert_eq!(since(), None);
        catalogs.publish(&database, 1, with(Reach::These(Box::default())));
        assert!(since().unwrap() > second, "what was marked meanwhile was marked without a snapshot");
    }

    #[tokio::test]
    async fn a_database_that_nobody_wants_is_not_published() {
        let (catalogs, database) = catalogs();
        catalogs.close();
        catalogs.publish(&database, 0, catalog());
        catalogs.stale("app");
        assert!(catalogs.of("app").is_none());
    }
}
