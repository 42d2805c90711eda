//! What all sessions share.

pub(crate) mod databases;
pub(crate) mod greetings;
pub(crate) mod registry;
pub(crate) mod statements;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::backend::Key;
use crate::cluster::Cluster;
use crate::config::Config;
use crate::error::Result;
use crate::pool::Pools;
use crate::router::{FunctionLists, Learned};
use crate::session::shared::databases::{Database, Databases};
use crate::session::shared::greetings::Greetings;
use crate::session::shared::registry::{Aim, Registry};
use crate::session::shared::statements::Statements;
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
    /// Wakes every session when the drain begins.
    pub(crate) drain: Notify,
    stage: AtomicU8,
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
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

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
            drain: Notify::new(),
            stage: AtomicU8::new(RUNNING),
            greetings: Greetings::default(),
            databases: Databases::default(),
            nowhere: Arc::new(Database::new(Learned::new(0, Duration::ZERO), Instant::now())),
            config,
        })
    }

    /// From now on sessions end as soon as they are between two requests.
    pub fn begin_drain(&self) {
        self.stage.fetch_max(DRAINING, Ordering::AcqRel);
        self.drain.notify_waiters();
    }

    /// From now on sessions end wherever they are.
    pub fn end(&self) {
        self.stage.fetch_max(ENDING, Ordering::AcqRel);
        self.registry.wake();
    }

    /// Asks a server to cancel what runs on a connection.
    ///
    /// # Errors
    /// When the request did not arrive.
    pub(crate) async fn cancel_on(&self, key: &Key) -> Result<()> {
        let (Some(address), Some(cancel)) = (self.pools.address(key.server), &key.cancel) else {
            return Ok(());
        };
        let deadline = tokio::time::Instant::now() + CANCEL_TIMEOUT;
        crate::backend::cancel(&address.host, address.port, cancel, deadline).await
    }

    /// Delivers a cancel request where it is aimed at, and what was asked for meanwhile behind it. Returns how many
    /// arrived.
    pub async fn deliver(&self, aim: Aim) -> u64 {
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
