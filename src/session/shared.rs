//! What all sessions share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use super::names::Statements;
use super::registry::Registry;
use super::state::Database;
use super::welcome::Welcomes;
use crate::cluster::Cluster;
use crate::config::Config;
use crate::pool::Pools;
use crate::router::{FunctionLists, Learned};
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
    pub(super) statements: Arc<Statements>,
    /// Wakes every session when the drain begins.
    pub(super) drain: Notify,
    draining: AtomicBool,
    pub(super) welcomes: Welcomes,
    databases: Mutex<HashMap<Arc<str>, Arc<Database>>>,
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
            functions: FunctionLists::new(&routing.read_functions, &routing.write_functions),
            pools,
            cluster,
            metrics,
            registry: Registry::default(),
            statements: Arc::default(),
            drain: Notify::new(),
            draining: AtomicBool::new(false),
            welcomes: Welcomes::default(),
            databases: Mutex::default(),
            config,
        })
    }

    /// From now on sessions end as soon as they are between two requests.
    pub fn begin_drain(&self) {
        self.draining.store(true, Ordering::Release);
        self.drain.notify_waiters();
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// What the sessions of one database on the servers share.
    pub(super) fn database(&self, name: &Arc<str>) -> Arc<Database> {
        let mut databases = self.databases.lock().unwrap_or_else(PoisonError::into_inner);
        let routing = &self.config.routing;
        let new =
            || Arc::new(Database::new(Learned::new(routing.learned, routing.learned_ttl), Instant::now()));
        databases.entry(name.clone()).or_insert_with(new).clone()
    }
}
