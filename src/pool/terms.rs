//! What a pool is made for, and what it does not decide itself.

use std::sync::Arc;
use std::time::Duration;

use crate::backend::Proof;
use crate::cluster::topology::{Server, ServerId};
use crate::config::Config;
use crate::net::Keepalive;

/// What a pool's connections lead to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PoolKey {
    /// Which server.
    pub server: ServerId,
    /// The database on the server.
    pub database: Arc<str>,
    /// The user towards the server.
    pub user: Arc<str>,
}

/// By what proof a pool logs in. Whoever has another has another pool: nobody gets a connection that somebody else's
/// password opened, and nobody fails by it. Nor who has proved the user's password of before and who has proved that of now.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Account {
    /// How weir proves to the server who it is.
    pub proof: Proof,
}

/// What a pool does not decide itself.
pub trait Events: Send + Sync {
    /// A server as it is known now; `None` once it has been removed.
    fn server(&self, server: ServerId) -> Option<Server>;
    /// A server could not be reached, or broke a connection: worth a probe.
    fn suspect(&self, server: ServerId);
    /// A connection attempt ended.
    fn connected(&self, server: ServerId, result: &Result<(), crate::error::Error>);
}

/// Limits and times that all pools share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) connect_timeout: Duration,
    pub(crate) checkout_timeout: Duration,
    pub(crate) queue: usize,
    pub(crate) min_idle: usize,
    pub(crate) idle_timeout: Duration,
    pub(crate) lifetime: Duration,
    pub(crate) statements: usize,
    pub(crate) keepalive: Keepalive,
}

impl Limits {
    /// What a configuration says.
    pub(super) fn of(config: &Config) -> Self {
        let pool = &config.pool;
        Self {
            connect_timeout: pool.connect_timeout,
            checkout_timeout: pool.checkout_timeout,
            queue: pool.queue_limit,
            min_idle: pool.min_idle,
            idle_timeout: pool.idle_timeout,
            lifetime: pool.lifetime,
            statements: pool.prepared_statements,
            keepalive: Keepalive::of(config.health.interval, config.health.patience()),
        }
    }
}
