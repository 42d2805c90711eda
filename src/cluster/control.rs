//! Control connections: the few that weir opens for itself, to ask servers about themselves.
//!
//! They are hardened alike: the search path is fixed whatever the role or the database says (names that weir's own
//! SQL uses must not be redirected by a user's schema), and so is the isolation of their transactions (a replica refuses
//! what is serializable); every statement has a timeout, and they say who they are.

use std::error::Error as _;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::NoTlsStream;
use tokio_postgres::{Client, Connection, NoTls, Socket};

use super::topology::Address;
use crate::config::{AuthQuery, Health, Secret, User};
use crate::net::Keepalive;

/// A server's user and password.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    user: Arc<str>,
    password: Option<Secret>,
}

impl Login {
    /// How weir logs in to servers for one of its configured users.
    pub(crate) fn of(user: &User) -> Self {
        Self { user: user.server_user.clone(), password: user.server_proof.password().cloned() }
    }

    /// How weir logs in to servers to ask them for users.
    pub(crate) fn to_ask(query: &AuthQuery) -> Self {
        Self { user: query.user.clone(), password: query.proof.password().cloned() }
    }

    /// A login without a password.
    pub(crate) fn trusted(user: Arc<str>) -> Self {
        Self { user, password: None }
    }
}

/// What a control connection is for, as servers list it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Probes and catalogs.
    Watching,
    /// The freshness clock.
    Sampling,
    /// Who may log in.
    Identity,
}

impl Purpose {
    fn application_name(self) -> &'static str {
        match self {
            Purpose::Watching => "weir",
            Purpose::Sampling => "weir sampler",
            Purpose::Identity => "weir login",
        }
    }
}

/// What a control connection to a server is opened with. `limit` bounds the connecting, and each statement. The
/// kernel gives up a server that says nothing, as on the data's way.
pub(crate) fn parameters(
    (address, database): (&Address, &str),
    login: &Login,
    limit: Duration,
    health: &Health,
    purpose: Purpose,
) -> tokio_postgres::Config {
    let keepalive = Keepalive::of(health.interval, health.patience());
    let mut config = tokio_postgres::Config::new();
    // A host that begins with '/' is taken as the directory of a Unix socket.
    config
        .host(&*address.host)
        .port(address.port)
        .dbname(database)
        .user(&*login.user)
        .application_name(purpose.application_name())
        .connect_timeout(limit)
        .keepalives_idle(keepalive.idle())
        .keepalives_interval(keepalive.pause())
        .keepalives_retries(keepalive.probes())
        .tcp_user_timeout(keepalive.limit())
        .options(format!(
            "-c search_path=pg_catalog -c default_transaction_isolation=read\\ committed -c statement_timeout={}",
            limit.as_millis().max(1)
        ));
    if let Some(password) = &login.password {
        config.password(password.expose());
    }
    config
}

/// Opens one connection, and has it driven by a task that ends when the connection does.
pub(crate) async fn open(
    config: &tokio_postgres::Config,
) -> Result<(Client, JoinHandle<()>), tokio_postgres::Error> {
    let (client, connection) = config.connect(NoTls).await?;
    Ok((client, tokio::spawn(drive(connection))))
}

/// Runs a connection until it ends. Awaiting the connection itself would log every notice.
async fn drive(mut connection: Connection<Socket, NoTlsStream>) {
    while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
        if let Err(error) = message {
            tracing::debug!(error = words(&error), "control connection ended");
            return;
        }
    }
}

/// An error in one line. tokio-postgres says only "db error" or "error connecting to server"; its sources say why.
pub(crate) fn words(error: &tokio_postgres::Error) -> String {
    if let Some(db) = error.as_db_error() {
        return format!("{} ({})", db.message(), db.code().code());
    }
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// Whether a server that is well refuses this user or this database: class 28 (authentication, pg_hba.conf), 3D000
/// no such database, 42501 no CONNECT privilege, 55000 a database that takes no connections.
pub(crate) fn is_login_refused(code: &SqlState) -> bool {
    let refusals = [
        SqlState::INVALID_CATALOG_NAME,
        SqlState::INSUFFICIENT_PRIVILEGE,
        SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
    ];
    refusals.contains(code) || code.code().starts_with("28")
}

/// Whether the server lives but does not answer such a question.
pub(crate) fn is_forbidden(error: &tokio_postgres::Error) -> bool {
    let refusals = [
        SqlState::INSUFFICIENT_PRIVILEGE,
        SqlState::UNDEFINED_FUNCTION,
        SqlState::UNDEFINED_TABLE,
        SqlState::UNDEFINED_COLUMN,
        SqlState::FEATURE_NOT_SUPPORTED,
    ];
    error.code().is_some_and(|code| refusals.contains(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// tokio-postgres sets the options; that it is asked to is looked at here.
    #[test]
    fn the_kernel_gives_up_a_server_that_says_nothing() {
        let health = Health {
            interval: Duration::from_secs(7),
            timeout: Duration::from_secs(4),
            lost_after: Duration::from_secs(2),
            database: "postgres".into(),
            user: "app".into(),
            catalog_interval: Duration::from_secs(30),
        };
        let address = Address { host: "127.0.0.1".into(), port: 5432 };
        let login = Login::trusted("app".into());
        let config = parameters((&address, "app"), &login, health.timeout, &health, Purpose::Sampling);
        assert!(config.get_keepalives());
        assert_eq!(config.get_keepalives_idle(), Duration::from_secs(7));
        assert_eq!(config.get_keepalives_interval(), Some(Duration::from_secs(3)));
        assert_eq!(config.get_keepalives_retries(), Some(2));
        assert_eq!(config.get_tcp_user_timeout(), Some(&Duration::from_secs(13)));
    }
}
