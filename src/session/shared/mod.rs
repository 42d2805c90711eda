//! What all sessions share.

pub(crate) mod registry;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::backend::Key;
use crate::cluster::Cluster;
use crate::cluster::topology::{Health, Server, ServerId};
use crate::config::Config;
use crate::error::Result;
use crate::freshness::Marks;
use crate::pool::Pools;
use crate::router::{FunctionLists, Learned};
use crate::session::consistency::pending_writes::PendingWrites;
use crate::session::flow::greeting::Greetings;
use crate::session::model::state::Database;
use crate::session::model::statements::Statements;
use crate::session::shared::registry::{Aim, Registry};
use crate::sql::Classifier;
use crate::telemetry::metrics::Metrics;

/// What all sessions share.
pub struct Shared {
    /// The configuration.
    pub config: Arc<Config>,
    /// Verdicts.
    pub classifier: Classifier,
    /// Backend connections.
    pub pools: Arc<Pools>,
    /// The servers.
    pub cluster: Arc<Cluster>,
    /// Figures.
    pub metrics: Arc<Metrics>,
    /// All sessions.
    pub registry: Registry,
    /// Functions that the configuration decides about.
    pub functions: FunctionLists,
    pub(crate) statements: Arc<Statements>,
    /// An atomic number rather than a `CancellationToken`: each session asks at each pause, and a token's lock would be
    /// one that all threads share.
    stage: AtomicU8,
    /// Sessions, what they leave behind, and cancel requests on their way.
    tasks: TaskTracker,
    pub(crate) greetings: Greetings,
    databases: Databases,
    /// Stands for the database of a session that no server has accepted yet.
    pub(crate) nowhere: Arc<Database>,
}

/// Stages of weir's life, one after the other: serving, ending what is between two requests, ending everything.
const RUNNING: u8 = 0;
const DRAINING: u8 = 1;
const ENDING: u8 = 2;

/// How long a cancel request of weir's own may take on its way to a server.
pub(crate) const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// Most databases without a session that are remembered, so that whoever connects for each request alone finds what was
/// learned before. An entry takes some 40 kB.
const DATABASES_KEPT: usize = 100;

/// What the sessions of each database on the servers share. Only databases that a server has accepted come here, and
/// those in use and a few more stay: neither names that clients make up nor databases that come and go fill the memory.
#[derive(Default)]
struct Databases {
    known: Mutex<HashMap<Arc<str>, Arc<Database>>>,
}

impl Databases {
    /// The entry of a database. One that had been forgotten begins anew: to it everything was written and changed just
    /// now, which is later than whatever its sessions have done.
    fn enter(&self, name: &Arc<str>, new: impl FnOnce() -> Database) -> Arc<Database> {
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

impl Shared {
    /// For a configuration, its pools and its servers.
    pub fn new(
        config: Arc<Config>,
        pools: Arc<Pools>,
        cluster: Arc<Cluster>,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        let routing = &config.routing;
        Arc::new(Self {
            classifier: Classifier::new(routing.verdict_cache),
            functions: FunctionLists::new(&routing.read_functions, &routing.write_functions)
                .stateless(&routing.stateless_functions),
            pools,
            cluster,
            metrics,
            registry: Registry::default(),
            statements: Arc::default(),
            stage: AtomicU8::new(RUNNING),
            tasks: TaskTracker::new(),
            greetings: Greetings::default(),
            databases: Databases::default(),
            nowhere: Arc::new(Database::new(Learned::new(0, Duration::ZERO), Instant::now())),
            config,
        })
    }

    /// From now on sessions end as soon as they are between two requests.
    pub fn begin_drain(&self) {
        self.stage.fetch_max(DRAINING, Ordering::AcqRel);
        self.registry.wake();
    }

    /// From now on sessions end wherever they are.
    pub fn end(&self) {
        self.stage.fetch_max(ENDING, Ordering::AcqRel);
        self.registry.wake();
    }

    /// Runs a task that must come to its end before weir does. What it logs is its client's, as what is logged here is.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(self.tasks.spawn(task.in_current_span()));
    }

    /// Ready when nothing is under way any more: no session, nothing that one has left behind, no cancel request.
    pub async fn finished(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// What is under way.
    pub fn under_way(&self) -> usize {
        self.tasks.len()
    }

    /// Ready when a server is found to be down: what it still owes will not come.
    pub(crate) async fn goes_down(&self, server: ServerId) {
        let mut changes = self.cluster.changes();
        let is_down = |server: &Server| server.health == Health::Down;
        while !self.cluster.topology().server(server).is_some_and(is_down) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Asks a server to cancel what runs on a connection.
    ///
    /// # Errors
    /// When the request did not arrive.
    pub(crate) async fn cancel_on(&self, key: &Key) -> Result<()> {
        let (Some((host, port)), Some(cancel)) = (self.pools.address(key.server), &key.cancel) else {
            return Ok(());
        };
        crate::backend::cancel(&host, port, cancel, tokio::time::Instant::now() + CANCEL_TIMEOUT).await
    }

    /// Delivers a cancel request where it is aimed at, and what was asked for meanwhile behind it. Returns how many
    /// arrived.
    pub async fn deliver(&self, aim: Aim) -> u64 {
        let span = aim.span();
        self.deliver_all(aim).instrument(span).await
    }

    async fn deliver_all(&self, aim: Aim) -> u64 {
        let (mut next, mut arrived) = (Some(aim), 0);
        while let Some(aim) = next {
            match self.cancel_on(&aim.key).await {
                Ok(()) => arrived += 1,
                Err(error) => tracing::warn!(%error, "cancel request not delivered"),
            }
            next = aim.delivered();
        }
        arrived
    }

    /// Enters what may have been written in a database (its name on the servers), acknowledged at `at`, and has the
    /// samplers see to it that replicas are soon known to hold it. Returns the instant of it, which may be later.
    pub(crate) fn mark(
        &self,
        marks: &Marks,
        database: &str,
        pending_writes: &PendingWrites,
        at: Instant,
    ) -> Instant {
        let catalog = self.cluster.catalogs().of(database);
        let at =
            if pending_writes.is_untransacted() { self.cluster.demand().wrote_untransacted(at) } else { at };
        pending_writes.mark(marks, catalog.as_deref(), &self.functions, at);
        self.cluster.demand().wrote(at);
        at
    }

    /// Whether sessions end as soon as they can.
    pub fn is_draining(&self) -> bool {
        self.stage.load(Ordering::Acquire) >= DRAINING
    }

    /// Whether sessions end at once.
    pub(crate) fn is_ending(&self) -> bool {
        self.stage.load(Ordering::Acquire) == ENDING
    }

    /// What the sessions of one database on the servers share. To be asked for once a server has accepted a session on
    /// it.
    pub(crate) fn database(&self, name: &Arc<str>) -> Arc<Database> {
        let routing = &self.config.routing;
        self.databases.enter(name, || {
            let learned = Learned::new(routing.learned, routing.learned_ttl);
            let database = Database::new(learned, Instant::now());
            // Connections may hold statements of the time before it was forgotten.
            database.changed(self.statements.stamp());
            database
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(databases: &Databases, name: &str, epoch: Instant) -> Arc<Database> {
        databases.enter(&name.into(), || Database::new(Learned::new(1, Duration::from_secs(1)), epoch))
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
        used.marks.wrote_anything(now + Duration::from_secs(1));
        for n in 0..10 * DATABASES_KEPT {
            enter(&databases, &n.to_string(), now);
            assert!(databases.known.lock().unwrap().len() <= DATABASES_KEPT);
        }
        assert!(Arc::ptr_eq(&used, &enter(&databases, "used", now)), "a session has it");
        // What is not known any more counts as written when it comes back.
        let later = now + Duration::from_secs(2);
        assert_eq!(enter(&databases, "0", later).marks.latest(), later);
    }
}
