//! What servers know of a user's password, asked for one name.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Object, PoolError};
use tokio::time::timeout;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use super::connections::Connections;
use crate::cluster::control::{Login, is_login_refused, words};
use crate::cluster::roles::Monitor;
use crate::cluster::topology::{Role, Server};
use crate::config::{AuthPlace, Health, Secret, Statement};

/// PostgreSQL's own passwords. One that is past `VALID UNTIL` is none. Roles without LOGIN are told as well: PostgreSQL asks
/// them for their password before it turns them away.
const PASSWORD: &str = "
    SELECT a.rolname,
           CASE WHEN a.rolvaliduntil OPERATOR(pg_catalog.<) pg_catalog.now() THEN NULL ELSE a.rolpassword END
      FROM pg_catalog.pg_authid AS a
     WHERE a.rolname OPERATOR(pg_catalog.=) $1";

/// The same for those who may read only the view.
const SHADOW: &str = "
    SELECT s.usename,
           CASE WHEN s.valuntil OPERATOR(pg_catalog.<) pg_catalog.now() THEN NULL ELSE s.passwd END
      FROM pg_catalog.pg_shadow AS s
     WHERE s.usename OPERATOR(pg_catalog.=) $1";

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// No server is up.
    #[error("no server can be reached")]
    Unreachable,
    /// A server does not answer, or not as it should.
    #[error("{server}: {problem}")]
    Failed {
        /// Which server.
        server: Arc<str>,
        /// Why.
        problem: String,
    },
}

/// Asks servers for users.
#[derive(Debug)]
pub(in crate::cluster) struct Lookup {
    monitor: Arc<Monitor>,
    connections: Connections,
    /// How long one server may take.
    limit: Duration,
}

/// Why one server gave no answer.
enum Failure {
    /// It cannot be reached, or not in time: another one may answer.
    Away(String),
    /// It does not do what it is asked.
    Unable(Error),
    /// What it gives is no answer.
    Senseless(&'static str),
    /// There is no such database: nobody is known there.
    NoDatabase,
}

impl Lookup {
    pub(in crate::cluster) fn new(monitor: Arc<Monitor>, login: Login, health: &Health) -> Self {
        let connections = Connections::new(login, health.clone(), health.timeout);
        Self { monitor, connections, limit: health.timeout }
    }

    /// The secret of a user, from the primary or, where that does not answer, from a replica; empty if it has
    /// none. `None` if there is no such user. Cancel safe.
    pub(in crate::cluster) async fn secret(
        &self,
        place: &AuthPlace,
        name: &str,
    ) -> Result<Option<Secret>, LookupError> {
        let mut last = LookupError::Unreachable;
        for server in self.servers() {
            let asked = timeout(self.limit, self.ask(&server, place, name)).await;
            let problem = match asked {
                Ok(Ok(secret)) => return Ok(secret),
                Ok(Err(Failure::NoDatabase)) => return Ok(None),
                Ok(Err(Failure::Unable(error))) => return Err(failed(&server, words(&error))),
                Ok(Err(Failure::Senseless(problem))) => return Err(failed(&server, problem.to_owned())),
                Ok(Err(Failure::Away(problem))) => problem,
                Err(_) => {
                    self.connections.forget(server.id);
                    "no answer in time".to_owned()
                }
            };
            self.monitor.suspect(server.id);
            last = failed(&server, problem);
        }
        Err(last)
    }

    /// Closes what is open.
    pub(in crate::cluster) fn close(&self) {
        self.connections.close();
    }

    /// Closes what is open to a database.
    pub(in crate::cluster) fn vacate(&self, database: &str) {
        self.connections.vacate(database);
    }

    /// Those that are up, the primary first.
    fn servers(&self) -> Vec<Server> {
        let topology = self.monitor.topology();
        let replicas =
            topology.servers.iter().filter(|server| server.role == Role::Replica && server.is_up());
        topology.writable().into_iter().chain(replicas).cloned().collect()
    }

    async fn ask(&self, server: &Server, place: &AuthPlace, name: &str) -> Result<Option<Secret>, Failure> {
        let connection = self.connect(server, place).await?;
        let kept = Object::metrics(&connection).recycled.is_some();
        match ask_over(connection, &place.statement, name).await {
            // The server may have closed what was idle for reasons of its own.
            Err(Failure::Away(_)) if kept => {
                let another = self.connect(server, place).await?;
                ask_over(another, &place.statement, name).await
            }
            answer => answer,
        }
    }

    async fn connect(&self, server: &Server, place: &AuthPlace) -> Result<Object, Failure> {
        self.connections.get(server, &place.database).await.map_err(|error| match error {
            PoolError::Backend(error) if error.code() == Some(&SqlState::INVALID_CATALOG_NAME) => {
                Failure::NoDatabase
            }
            PoolError::Backend(error) if is_refused(&error) => Failure::Unable(error),
            PoolError::Backend(error) => Failure::Away(words(&error)),
            error => Failure::Away(error.to_string()),
        })
    }
}

/// Whether another server would say the same.
fn is_refused(error: &Error) -> bool {
    error.code().is_some_and(is_login_refused)
}

fn failed(server: &Server, problem: String) -> LookupError {
    LookupError::Failed { server: server.name.clone(), problem }
}

async fn ask_over(connection: Object, statement: &Statement, name: &str) -> Result<Option<Secret>, Failure> {
    let answer = match statement {
        Statement::Own(sql) => ask_for(&connection, sql, name).await,
        Statement::Password => match ask_for(&connection, PASSWORD, name).await {
            Err(Failure::Unable(error)) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
                ask_for(&connection, SHADOW, name).await
            }
            answer => answer,
        },
    };
    if answer.is_err() {
        // It may be closed, or have prepared what is not the same any more.
        drop(Object::take(connection));
    }
    answer
}

async fn ask_for(connection: &Object, sql: &str, name: &str) -> Result<Option<Secret>, Failure> {
    let statement = connection.prepare_cached(sql).await.map_err(Failure::of)?;
    if statement.params().len() != 1 || statement.columns().len() < 2 {
        return Err(Failure::Senseless("the statement must take one parameter, and give name and secret"));
    }
    let rows = connection.query(&statement, &[&name]).await.map_err(Failure::of)?;
    let Some(row) = rows.first() else { return Ok(None) };
    let column = |index| row.try_get::<_, Option<&str>>(index).map_err(Failure::Unable);
    match (column(0)?, column(1)?) {
        // A function that finds nobody may give a row of nothing.
        (None, _) => Ok(None),
        (Some(found), _) if found != name => Err(Failure::Senseless("the statement gives another user")),
        (Some(_), secret) => Ok(Some(Secret::new(secret.unwrap_or_default()))),
    }
}

impl Failure {
    fn of(error: Error) -> Self {
        match error.as_db_error() {
            Some(told) if !told.code().code().starts_with("57P") => Failure::Unable(error),
            _ => Failure::Away(words(&error)),
        }
    }
}
