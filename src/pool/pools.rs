//! Which pools there are: made when a session asks for one, forgotten when nobody has any use for it. It opens no
//! connection.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use super::connections::{Pool, Setup};
use super::slots::Slots;
use super::terms::{Account, Events, Limits, PoolKey};
use crate::backend::defaults::Defaults;
use crate::backend::notifiers::Notifiers;
use crate::backend::{Proof, defaults};
use crate::cluster::topology::{Address, ServerId};
use crate::config::Config;
use crate::net::Keepalive;

/// All pools.
pub struct Pools {
    known: Mutex<Known>,
    limits: Arc<ArcSwap<Limits>>,
    total: Arc<Slots<Pool>>,
    pub(super) events: Arc<dyn Events>,
    notifiers: Arc<Notifiers>,
    given: Arc<defaults::Shared>,
}

/// The pools that there are, and what those of one server share.
#[derive(Default)]
struct Known {
    pools: HashMap<(PoolKey, Account), Arc<Pool>>,
    servers: HashMap<ServerId, Site>,
}

/// A server to which there are pools, or connections of pools that are gone.
struct Site {
    address: Arc<Address>,
    slots: Arc<Slots<Pool>>,
}

impl Pools {
    /// No pools yet; they appear as sessions ask for them, and go when nobody has any use for them.
    pub(crate) fn new(config: &Config, events: Arc<dyn Events>) -> Arc<Self> {
        Arc::new(Self {
            known: Mutex::default(),
            limits: Arc::new(ArcSwap::from_pointee(Limits::of(config))),
            total: Arc::new(Slots::new(config.pool.total)),
            events,
            notifiers: Arc::default(),
            given: Arc::default(),
        })
    }

    /// The pool that leads there by this account, made when there is none yet. `None` when there is no such server.
    pub(crate) fn get(&self, key: &PoolKey, account: &Account) -> Option<Arc<Pool>> {
        let name = (key.clone(), account.clone());
        let mut known = self.lock();
        if let Some(pool) = known.pools.get(&name) {
            return Some(pool.clone());
        }
        // Asked for under the lock: whoever removes a server after this finds the pool.
        let server = self.events.server(key.server)?;
        let site = known.servers.entry(key.server).or_insert_with(|| Site {
            address: server.address.clone(),
            slots: Arc::new(Slots::new(server.connections)),
        });
        let pool = Pool::new(Setup {
            key: key.clone(),
            address: site.address.clone(),
            account: account.clone(),
            limits: self.limits.clone(),
            slots: [site.slots.clone(), self.total.clone()],
            events: self.events.clone(),
            notifiers: self.notifiers.clone(),
            given: self.given.clone(),
        });
        site.slots.join(&pool);
        self.total.join(&pool);
        known.pools.insert(name, pool.clone());
        Some(pool)
    }

    /// Another configuration holds. Pools that are larger than it has them close idle connections now, and others as they
    /// come back; those by accounts that it had no more of close all of theirs so.
    pub(crate) fn heed(&self, config: &Config, before: &Config) {
        self.limits.store(Arc::new(Limits::of(config)));
        for pool in self.all() {
            pool.fit(size_of(config, pool.key()));
            if is_named(before, &pool) && !is_named(config, &pool) {
                pool.retire();
            }
        }
        self.total.fit(config.pool.total);
        self.all().iter().for_each(|pool| pool.grow());
    }

    /// A server may have so many connections from now on.
    pub(crate) fn allow(&self, server: ServerId, connections: usize) {
        let slots = self.lock().servers.get(&server).map(|site| site.slots.clone());
        if slots.is_some_and(|slots| slots.fit(connections)) {
            self.all().iter().filter(|pool| pool.key().server == server).for_each(|pool| pool.grow());
        }
    }

    /// Who may have sent a notification.
    pub(crate) fn notifiers(&self) -> &Arc<Notifiers> {
        &self.notifiers
    }

    /// What a session began with, as the connections have it that began with the same.
    pub(crate) fn share(&self, defaults: &Defaults) -> Defaults {
        self.given.share(defaults)
    }

    /// Every pool there is, for upkeep and for metrics.
    pub(crate) fn all(&self) -> Vec<Arc<Pool>> {
        self.lock().pools.values().cloned().collect()
    }

    /// The address of a server to which there are connections, for cancel requests.
    pub(crate) fn address(&self, server: ServerId) -> Option<Arc<Address>> {
        self.lock().servers.get(&server).map(|site| site.address.clone())
    }

    /// When a server is given up that says nothing, for cancel requests.
    pub(crate) fn keepalive(&self) -> Keepalive {
        self.limits.load().keepalive
    }

    /// Forgets the pools that hold nothing and that nobody holds: a new one would be no different. So there are never
    /// many more than sessions and connections, whatever names clients make up.
    pub(super) fn forget(&self) {
        let mut known = self.lock();
        known.pools.retain(|_, pool| Arc::strong_count(pool) > 1 || !pool.is_empty());
        known.servers.retain(|_, site| Arc::strong_count(&site.slots) > 1);
    }

    /// Servers that are not among those that are there now are gone for good, also one that was there for a moment only.
    pub(crate) fn remove_others(&self, is_there: impl Fn(ServerId) -> bool) {
        let known: Vec<_> = self.lock().servers.keys().copied().collect();
        known.into_iter().filter(|server| !is_there(*server)).for_each(|server| self.remove(server));
    }

    /// A server is gone for good: those who wait for a connection to it are told so, idle connections are closed, and
    /// those that sessions have when they come back.
    pub(crate) fn remove(&self, server: ServerId) {
        let gone: Vec<_> = self.lock().pools.extract_if(|(key, _), _| key.server == server).collect();
        gone.into_iter().for_each(|(_, pool)| pool.close());
    }

    /// A server is down: those who wait for a connection to it are told so instead of waiting their time out.
    pub(crate) fn server_down(&self, server: ServerId) {
        for pool in self.all().into_iter().filter(|pool| pool.key().server == server) {
            pool.turn_away();
        }
    }

    /// Nobody may be connected to a database for a moment: its idle connections are closed.
    pub(crate) fn vacate(&self, database: &str) {
        for pool in self.all().into_iter().filter(|pool| *pool.key().database == *database) {
            pool.close_where(|_, _| true);
        }
    }

    /// Connections to these databases are closed: idle ones now, and those that sessions have when they come back.
    pub(crate) fn reconnect(&self, concerns: impl Fn(&PoolKey) -> bool) {
        self.all().into_iter().filter(|pool| concerns(pool.key())).for_each(|pool| pool.retire());
    }

    /// A server is not what it was: its idle connections are closed, and those that sessions have when they come back.
    pub(crate) fn retire(&self, server: ServerId) {
        for pool in self.all().into_iter().filter(|pool| pool.key().server == server) {
            pool.retire();
        }
    }

    /// Those whom this concerns begin with something else on a server than they did: its idle connections for them are
    /// closed, and those that sessions have when they come back.
    pub(crate) fn retire_those(&self, server: ServerId, concerns: impl Fn(&PoolKey) -> bool) {
        let outdated = |pool: &Arc<Pool>| pool.key().server == server && concerns(pool.key());
        self.all().into_iter().filter(outdated).for_each(|pool| pool.retire());
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The most connections that anybody may have of a pool who comes to it by this configuration.
fn size_of(config: &Config, key: &PoolKey) -> usize {
    let users = config.users.iter().filter(|user| user.server_user == key.user);
    let users: Vec<_> = users.map(|user| user.pool_size).collect();
    let databases = config.databases.iter().filter(|database| database.server_database == key.database);
    let databases: Vec<_> = databases.map(|database| database.pool_size).collect();
    // Those that are not listed have no size of their own.
    let or_none = |sizes: Vec<Option<usize>>| if sizes.is_empty() { vec![None] } else { sizes };
    let (users, databases) = (or_none(users), or_none(databases));
    let sizes = users.iter().flat_map(|user| databases.iter().map(|database| user.or(*database)));
    sizes.map(|size| size.unwrap_or(config.pool.size)).max().unwrap_or(config.pool.size)
}

/// Whether a configuration has a user whose connections are those of this pool.
fn is_named(config: &Config, pool: &Pool) -> bool {
    let proof = &pool.account().proof;
    config
        .users
        .iter()
        .any(|user| user.server_user == pool.key().user && Proof::new(&user.server_proof, None) == *proof)
}

#[cfg(test)]
#[path = "pools_tests.rs"]
pub(super) mod tests;
