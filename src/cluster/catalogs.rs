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
use tokio_postgres::{Client, NoTls};

use super::catalog::{Catalog, Volatility};
use super::control::{self, Login, Purpose, words};
use super::monitor::Monitor;
use crate::config::{Server, User};

/// Functions by schema and name. One of PostgreSQL's own with a name like `pg_...` never counts as read-only here:
/// those that are known to be harmless are known without the catalog.
const FUNCTIONS: &str = "
    SELECT n.nspname::pg_catalog.text, p.proname::pg_catalog.text,
           pg_catalog.bool_and(p.provolatile <> 'v'
               AND (p.oid >= 16384 OR NOT pg_catalog.starts_with(p.proname::pg_catalog.text, 'pg_')))
      FROM pg_catalog.pg_proc AS p
      JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
     WHERE p.prokind <> 'p'
     GROUP BY n.nspname, p.proname
     LIMIT 100000";

/// Unlogged tables, partitioned tables, materialised views and sequences; system catalogs are always logged.
const UNLOGGED: &str = "
    SELECT n.nspname::pg_catalog.text, c.relname::pg_catalog.text
      FROM pg_catalog.pg_class AS c
      JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
     WHERE c.relpersistence = 'u' AND c.relkind IN ('r', 'p', 'm', 'S') AND c.oid >= 16384
     LIMIT 100000";

/// Most rows of either query: the bound on what one database's catalog may cost. Where functions exceed it, none
/// is known, because a name of which some functions are missing would say nothing.
const ROWS_MAX: usize = 100_000;

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
        if let Some(catalog) = self.of(database).filter(|catalog| !catalog.functions.is_empty()) {
            self.replace(&Arc::from(database), Some(catalog.after_change()));
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
        match timeout(LOAD_LIMIT, connect_and_read(&parameters)).await {
            Ok(result) => result,
            Err(_) => Err(Failure::Failed("no answer in time".into())),
        }
    }

    /// Publishes what was read, unless the catalog has changed since the reading began.
    fn publish(&self, database: &Arc<str>, read_at: u64, catalog: Catalog) {
        let wanted = self.lock();
        if wanted.get(database).is_some_and(|entry| entry.generation == read_at) {
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
async fn connect_and_read(parameters: &tokio_postgres::Config) -> Result<Catalog, Failure> {
    let (client, connection) = parameters.connect(NoTls).await?;
    let mut connection = pin!(connection);
    let catalog = tokio::select! {
        catalog = read(&client) => catalog?,
        ended = &mut connection => {
            ended?;
            return Err(Failure::Failed("the server closed the connection".into()));
        }
    };
    // With the client gone, the connection says Terminate and ends.
    drop(client);
    connection.await?;
    Ok(catalog)
}

async fn read(client: &Client) -> Result<Catalog, tokio_postgres::Error> {
    let mut catalog = Catalog::default();
    let functions = client.query_typed(FUNCTIONS, &[]).await?;
    if functions.len() < ROWS_MAX {
        for row in &functions {
            let volatility = if row.try_get(2)? { Volatility::ReadOnly } else { Volatility::Volatile };
            catalog.add_function(row.try_get(0)?, row.try_get(1)?, volatility);
        }
    }
    for row in &client.query_typed(UNLOGGED, &[]).await? {
        catalog.add_unlogged(row.try_get(0)?, row.try_get(1)?);
    }
    Ok(catalog)
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
    async fn a_database_that_nobody_wants_is_not_published() {
        let (catalogs, database) = catalogs();
        catalogs.close();
        catalogs.publish(&database, 0, catalog());
        catalogs.stale("app");
        assert!(catalogs.of("app").is_none());
    }
}
