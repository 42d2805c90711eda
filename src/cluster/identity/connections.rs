//! Control connections for questions that clients wait for: a few to each server and database that is asked.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deadpool_postgres::{Connect, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config, Error};

use crate::cluster::control::{self, Login, Parameters, Purpose};
use crate::cluster::topology::{Server, ServerId};
use crate::config::Health;

/// To how many databases of servers connections are kept. Clients name databases.
const PLACES_MAX: usize = 16;

/// How many connections there may be to each.
const EACH_MAX: usize = 4;

/// Connections by server and database.
#[derive(Debug)]
pub(super) struct Connections {
    login: Login,
    health: Health,
    /// How long connecting may take, and a statement.
    limit: Duration,
    places: Mutex<HashMap<(ServerId, Arc<str>), Place>>,
}

#[derive(Debug)]
struct Place {
    pool: Pool,
    /// Which use of any was the last of this one.
    used: u64,
}

impl Connections {
    pub(super) fn new(login: Login, health: Health, limit: Duration) -> Self {
        Self { login, health, limit, places: Mutex::default() }
    }

    /// A connection on which nothing runs.
    pub(super) async fn get(&self, server: &Server, database: &Arc<str>) -> Result<Object, PoolError> {
        let pool = self.pool(server, database);
        // deadpool would warn of a connection that the server has closed.
        pool.retain(|client, _| !client.is_closed());
        pool.get().await
    }

    /// What is open to this server is not used any more: questions may stand unanswered on it.
    pub(super) fn forget(&self, server: ServerId) {
        self.lock().retain(|place, _| place.0 != server);
    }

    /// What is open to this database is not used any more.
    pub(super) fn vacate(&self, database: &str) {
        self.lock().retain(|place, _| *place.1 != *database);
    }

    /// Nothing that is open is used any more.
    pub(super) fn close(&self) {
        self.lock().clear();
    }

    fn pool(&self, server: &Server, database: &Arc<str>) -> Pool {
        let mut places = self.lock();
        let now = places.values().map(|place| place.used).max().unwrap_or(0) + 1;
        let key = (server.id, database.clone());
        if let Some(place) = places.get_mut(&key) {
            place.used = now;
            return place.pool.clone();
        }
        if places.len() >= PLACES_MAX
            && let Some(oldest) =
                places.iter().min_by_key(|(_, place)| place.used).map(|(key, _)| key.clone())
        {
            places.remove(&oldest);
        }
        let address = (&*server.address, &**database);
        // A statement of the operator's own finds its functions where its user does.
        let limit = format!("-c statement_timeout={}", self.limit.as_millis().max(1));
        let parameters =
            control::parameters(address, &self.login, self.limit, &self.health, Purpose::Identity)
                .with_options(&limit);
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let config = parameters.config().clone();
        let manager = Manager::from_connect(config, Dial(parameters), recycling);
        let pool = Pool::builder(manager).max_size(EACH_MAX).build();
        let pool = pool.expect("a pool without timeouts needs no runtime");
        places.insert(key, Place { pool: pool.clone(), used: now });
        pool
    }

    /// Nothing that can panic runs under this lock, so a poisoned one is still sound.
    fn lock(&self) -> MutexGuard<'_, HashMap<(ServerId, Arc<str>), Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone, Debug)]
struct Dial(Parameters);

impl Connect for Dial {
    fn connect(&self, _: &Config) -> Connecting<'_> {
        Box::pin(control::open(&self.0))
    }
}

type Connecting<'a> = Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), Error>> + Send + 'a>>;
