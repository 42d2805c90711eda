//! Who a client is: what the configuration says of it, read anew when that changes, and what was settled when it came.

use std::sync::Arc;

use crate::cluster::catalogs::Interest;
use crate::config::{Config, Credential, Listener, PoolMode, User};
use crate::scram::PassKey;
use crate::session::conversation::routing_settings::{Configured, ConfiguredTargets, ConfiguredTransactions};

/// Who the client is, and what was settled when it came.
pub(crate) struct Who {
    pub user: Arc<User>,
    /// The key that it has proved, where the servers take it.
    pub key: Option<Arc<PassKey>>,
    /// The database as the client named it.
    pub database: Arc<str>,
    /// The database on the servers.
    pub server_database: Arc<str>,
    /// The listener by which the client came.
    listener: Arc<Listener>,
    /// Targets fixed by the configuration.
    pub targets: ConfiguredTargets,
    /// Where the configuration has transactions run.
    pub transactions: ConfiguredTransactions,
    /// What the configuration asks of the reads.
    pub levels: Configured,
    pub pool_size: usize,
    pub mode: PoolMode,
    /// Has the database's catalog kept fresh, once the session has entered it.
    pub catalog: Option<Interest>,
}

impl Who {
    /// A user who asks for this database by this listener. Of a user whom the configuration names no more holds what was
    /// said when it logged in.
    pub(crate) fn new(config: &Config, user: Arc<User>, database: &str, listener: Arc<Listener>) -> Self {
        let named = config.users.iter().find(|named| named.name == user.name);
        let user = match named {
            Some(named) => Arc::new(user.under(named)),
            None => unlisted(user, config),
        };
        let listed = config.databases.iter().find(|listed| &*listed.name == database);
        let name: Arc<str> = listed.map_or_else(|| database.into(), |listed| listed.name.clone());
        let size = user.pool_size.or(listed.and_then(|listed| listed.pool_size));
        let mode = listed.and_then(|listed| listed.pool_mode).or(user.pool_mode);
        Self {
            server_database: listed.map_or_else(|| name.clone(), |listed| listed.server_database.clone()),
            database: name,
            targets: ConfiguredTargets::new(&listener, listed, &user),
            transactions: ConfiguredTransactions::new(&config.routing, &listener, listed, &user),
            listener,
            levels: Configured::new(&config.routing, listed, &user),
            pool_size: size.unwrap_or(config.pool.size),
            mode: mode.unwrap_or(config.pool.mode),
            user,
            key: None,
            catalog: None,
        }
    }

    /// Reads anew what another configuration says of the same client. Where its connections lead, and how they are pooled,
    /// stays as it was when it came.
    pub(super) fn read(&mut self, config: &Config) {
        // Who came by a listener that is gone stays, as it was.
        let listener = config.listeners.iter().find(|listener| listener.address == self.listener.address);
        let listener = listener.unwrap_or(&self.listener).clone();
        let mut now = Self::new(config, self.user.clone(), &self.database, listener);
        if now.user.server_user != self.user.server_user {
            // What it has on the servers is another role's.
            let user = Arc::make_mut(&mut now.user);
            user.server_user = self.user.server_user.clone();
            user.server_proof = self.user.server_proof.clone();
        }
        let (server_database, mode, key) = (self.server_database.clone(), self.mode, self.key.take());
        *self = Self { server_database, mode, key, catalog: self.catalog.take(), ..now };
    }
}

/// A user whom the configuration does not name: what it says of all holds, unless it named the user once.
fn unlisted(user: Arc<User>, config: &Config) -> Arc<User> {
    let is_unlisted = matches!(user.credential, Credential::Elsewhere);
    if !is_unlisted || user.timeouts == config.timeouts {
        return user;
    }
    Arc::new(User { timeouts: config.timeouts, ..User::clone(&user) })
}
