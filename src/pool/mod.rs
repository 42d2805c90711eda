//! Pools of backend connections: one per server, database and user.
//!
//! Own code rather than a pool library's, because a checkout here chooses: an idle connection that carries the
//! session's settings before one that does not, an idle one before a new one even when the new one was asked for
//! first; and because limits hold across pools (per server, in total). A pool knows no SQL and no session.

mod connections;

mod lease;

mod queue;
mod slots;

mod upkeep;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use connections::{Counts, Pool};
pub use lease::Lease;
use slots::Slots;

use crate::backend::notifiers::Notifiers;
use crate::cluster::topology::ServerId;
use crate::config::{Config, Secret};

/// Names a pool.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PoolKey {
    /// Which server.
    pub server: ServerId,
    /// The database on the server.
    pub database: Arc<str>,
    /// The user towards the server.
    pub user: Arc<str>,
}

/// As whom a pool logs in; the database and the user are the key's.
#[derive(Clone, Debug)]
pub struct Account {
    /// The password towards the server; none when it trusts weir.
    pub password: Option<Secret>,
}

/// What a pool does not decide itself.
pub trait Events: Send + Sync {
    /// A server could not be reached, or broke a connection: worth a probe.
    fn suspect(&self, server: ServerId);
    /// A connection attempt ended.
    fn connected(&self, server: ServerId, result: &Result<(), crate::error::Error>);
}

/// Limits and times that all pools share.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) connect_timeout: Duration,
    pub(crate) checkout_timeout: Duration,
    pub(crate) queue: usize,
    pub(crate) min_idle: usize,
    pub(crate) idle_timeout: Duration,
    pub(crate) lifetime: Duration,
    pub(crate) statements: usize,
}

/// All pools.
pub struct Pools {
    pools: Mutex<HashMap<PoolKey, Arc<Pool>>>,
    limits: Arc<Limits>,
    addresses: Vec<(Arc<str>, u16)>,
    servers: Vec<Arc<Slots>>,
    total: Arc<Slots>,
    events: Arc<dyn Events>,
    notifiers: Arc<Notifiers>,
}

impl Pools {
    /// No pools yet; they appear as sessions ask for them.
    pub fn new(config: &Config, events: Arc<dyn Events>) -> Arc<Self> {
        let pool = &config.pool;
        Arc::new(Self {
            pools: Mutex::default(),
            limits: Arc::new(Limits {
                connect_timeout: pool.connect_timeout,
                checkout_timeout: pool.checkout_timeout,
                queue: pool.queue_limit,
                min_idle: pool.min_idle,
                idle_timeout: pool.idle_timeout,
                lifetime: pool.lifetime,
                statements: pool.prepared_statements,
            }),
            addresses: config.servers.iter().map(|s| (s.host.clone(), s.port)).collect(),
            servers: config.servers.iter().map(|s| Arc::new(Slots::new(s.connections))).collect(),
            total: Arc::new(Slots::new(pool.total)),
            events,
            notifiers: Arc::default(),
        })
    }

    /// The pool of this name, made when it is not there yet with room for `size` connections.
    /// `None` when there is no such server.
    pub fn get(&self, key: &PoolKey, account: &Account, size: usize) -> Option<Arc<Pool>> {
        let index = usize::from(key.server.0);
        let (host, port) = self.addresses.get(index)?;
        let server_slots = self.servers.get(index)?;
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pools.get(key) {
            return Some(pool.clone());
        }
        let pool = Pool::new(connections::Setup {
            key: key.clone(),
            host: host.clone(),
            port: *port,
            account: account.clone(),
            size: size.max(1),
            limits: self.limits.clone(),
            slots: [server_slots.clone(), self.total.clone()],
            events: self.events.clone(),
            notifiers: self.notifiers.clone(),
        });
        server_slots.join(&pool);
        self.total.join(&pool);
        pools.insert(key.clone(), pool.clone());
        Some(pool)
    }

    /// Who may have sent a notification.
    pub(crate) fn notifiers(&self) -> &Arc<Notifiers> {
        &self.notifiers
    }

    /// Every pool there is, for upkeep and for metrics.
    pub fn all(&self) -> Vec<Arc<Pool>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// The address of a server, for cancel requests.
    pub fn address(&self, server: ServerId) -> Option<(Arc<str>, u16)> {
        self.addresses.get(usize::from(server.0)).cloned()
    }

    /// A server is down: those who wait for a connection to it are told so instead of waiting their time out.
    pub fn server_down(&self, server: ServerId) {
        for pool in self.all().into_iter().filter(|pool| pool.key().server == server) {
            pool.turn_away();
        }
    }

    /// Nobody may be connected to a database for a moment: its idle connections are closed.
    pub fn vacate(&self, database: &str) {
        for pool in self.all().into_iter().filter(|pool| *pool.key().database == *database) {
            pool.close_where(|_, _| true);
        }
    }

    /// A server is not what it was: its idle connections are closed, and those that sessions have when they come back.
    pub fn retire(&self, server: ServerId) {
        for pool in self.all().into_iter().filter(|pool| pool.key().server == server) {
            pool.retire();
        }
    }
}
