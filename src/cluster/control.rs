//! Control connections: the few that weir opens for itself, to ask servers about themselves.
//!
//! They are hardened alike: the search path is fixed whatever the role or the database says (names that weir's own
//! SQL uses must not be redirected by a user's schema), and so is the isolation of their transactions (a replica refuses
//! what is serializable); every statement has a timeout, and they say who they are.

use std::error::Error as _;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::io::{AsyncRead, AsyncWrite, Empty, ReadBuf, empty};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_postgres::config::{self, SslMode, SslNegotiation};
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::{ChannelBinding as Bound, TlsConnect, TlsStream};
use tokio_postgres::{Client, Error};

use super::topology::Address;
use crate::config::{AuthQuery, ChannelBinding, Health, Secret, User};
use crate::net::tls::in_one_line;
use crate::net::{Dialled, Encryption, Keepalive, Way};

/// As whom the servers are watched, and how often: what holds now. Whoever watches looks again before each connection.
#[derive(Debug)]
pub(crate) struct Terms {
    pub(crate) health: Health,
    pub(crate) login: Login,
}

/// The terms of now, which may be others at any moment.
pub(crate) type CurrentTerms = Arc<ArcSwap<Terms>>;

/// A server's user and password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Login {
    user: Arc<str>,
    password: Option<Secret>,
}

impl Login {
    /// As this user, by this password.
    pub(crate) fn new(user: Arc<str>, password: Option<Secret>) -> Self {
        Self { user, password }
    }

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
    /// What there is, asked once.
    Survey,
}

impl Purpose {
    fn application_name(self) -> &'static str {
        match self {
            Purpose::Watching => "weir",
            Purpose::Sampling => "weir sampler",
            Purpose::Identity => "weir login",
            Purpose::Survey => "weir init",
        }
    }
}

/// What a control connection to a server is opened with.
#[derive(Clone, Debug)]
pub(crate) struct Parameters {
    config: tokio_postgres::Config,
    address: Address,
    keepalive: Keepalive,
    limit: Duration,
}

/// Those of one. `limit` bounds the connecting, and each statement. The kernel gives up a server that says nothing, as on the
/// data's way.
pub(crate) fn parameters(
    (address, database): (&Address, &str),
    login: &Login,
    limit: Duration,
    health: &Health,
    purpose: Purpose,
) -> Parameters {
    let mut config = tokio_postgres::Config::new();
    config
        .dbname(database)
        .user(&*login.user)
        .application_name(purpose.application_name())
        .channel_binding(match address.channel_binding {
            ChannelBinding::Disable => config::ChannelBinding::Disable,
            ChannelBinding::Prefer => config::ChannelBinding::Prefer,
            ChannelBinding::Require => config::ChannelBinding::Require,
        })
        // What it begins TLS with is a connection of ours that is there already: see Dialling.
        .ssl_mode(SslMode::Require)
        .ssl_negotiation(SslNegotiation::Direct)
        .options(format!(
            "-c search_path=pg_catalog -c default_transaction_isolation=read\\ committed -c statement_timeout={}",
            limit.as_millis().max(1)
        ));
    if let Some(password) = &login.password {
        config.password(password.expose());
    }
    let keepalive = Keepalive::of(health.interval, health.patience());
    Parameters { config, address: address.clone(), keepalive, limit }
}

impl Parameters {
    /// With these command-line options for the server's process instead of ours.
    pub(crate) fn with_options(mut self, options: &str) -> Self {
        self.config.options(options);
        self
    }

    /// As the driver knows them.
    pub(crate) fn config(&self) -> &tokio_postgres::Config {
        &self.config
    }
}

/// A control connection, to be driven.
pub(crate) type Connection = tokio_postgres::Connection<Empty, ControlStream>;

/// Opens one connection, and has it driven by a task that ends when the connection does.
pub(crate) async fn open(parameters: &Parameters) -> Result<(Client, JoinHandle<()>), Error> {
    let (client, connection) = connect(parameters).await?;
    Ok((client, tokio::spawn(drive(connection))))
}

/// Opens one connection, by the ways that the server's `sslmode` has.
pub(crate) async fn connect(parameters: &Parameters) -> Result<(Client, Connection), Error> {
    let target = parameters.address.target();
    let (way, met) = (target.first(), OnceLock::new());
    let log_in = |way, met| parameters.config.connect_raw(empty(), Dialling { parameters, way, met });
    let refused = match log_in(way, &met).await {
        Err(error) if error.code().is_some_and(|code| code.code().starts_with("28")) => error,
        outcome => return outcome,
    };
    let Some(way) = met.get().and_then(|encryption| target.second(way, encryption)) else {
        return Err(refused);
    };
    // That pg_hba.conf has no line for one way says less than what the other way came to.
    let unlisted = refused.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION);
    let outcome = log_in(way, &OnceLock::new()).await;
    outcome.map_err(|error| if unlisted && error.code().is_some() { error } else { refused })
}

/// Connects for the driver, in the place of TLS of its own: what it is to know of the encryption is how to bind a login to it.
/// So a control connection is made as any other.
struct Dialling<'a> {
    parameters: &'a Parameters,
    way: Way,
    /// How it is encrypted, once that is known.
    met: &'a OnceLock<Encryption>,
}

impl<'a> TlsConnect<Empty> for Dialling<'a> {
    type Stream = ControlStream;
    type Error = Unconnected;
    type Future = Pin<Box<dyn Future<Output = Result<ControlStream, Unconnected>> + Send + 'a>>;

    fn connect(self, _: Empty) -> Self::Future {
        Box::pin(async move {
            let Parameters { address, keepalive, limit, .. } = self.parameters;
            let dialled = address.target().connect(self.way, keepalive, Instant::now() + *limit).await;
            let dialled = dialled.map_err(Unconnected)?;
            // Nobody else has set it.
            let _ = self.met.set(dialled.encryption.clone());
            Ok(ControlStream(dialled))
        })
    }
}

/// There is no connection.
#[derive(Debug, thiserror::Error)]
#[error("error connecting to server")]
struct Unconnected(#[source] io::Error);

/// What carries a control connection.
#[derive(Debug)]
pub(crate) struct ControlStream(Dialled);

impl TlsStream for ControlStream {
    fn channel_binding(&self) -> Bound {
        match &self.0.encryption {
            Encryption::Tls(tls) => tls.end_point.clone(),
            Encryption::None => None,
        }
        .map_or_else(Bound::none, Bound::tls_server_end_point)
    }
}

impl AsyncRead for ControlStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for ControlStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.stream).poll_shutdown(cx)
    }
}

/// Runs a connection until it ends. Awaiting the connection itself would log every notice.
async fn drive(mut connection: Connection) {
    while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
        if let Err(error) = message {
            tracing::debug!(error = words(&error), "control connection ended");
            return;
        }
    }
}

/// An error in one line. tokio-postgres says only "db error" or the like; its sources say why.
pub(crate) fn words(error: &Error) -> String {
    if let Some(db) = error.as_db_error() {
        return format!("{} ({})", db.message(), db.code().code());
    }
    // Said of TLS by the driver, which knows no better.
    match error.source().and_then(|source| source.downcast_ref::<Unconnected>()) {
        Some(unconnected) => in_one_line(unconnected),
        None => in_one_line(error),
    }
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
pub(crate) fn is_forbidden(error: &Error) -> bool {
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
    use socket2::SockRef;
    use tokio::net::TcpListener;

    use super::*;
    use crate::net::tls::{ServerTls, SslMode, Terms};
    use crate::net::{Socket, Stream};

    #[tokio::test]
    async fn the_kernel_gives_up_a_server_that_says_nothing() {
        let health = Health {
            interval: Duration::from_secs(7),
            timeout: Duration::from_secs(4),
            lost_after: Duration::from_secs(2),
            database: "postgres".into(),
            user: "app".into(),
            catalog_interval: Duration::from_secs(30),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tls = ServerTls::new(Terms { mode: SslMode::Disable, ..Terms::default() });
        let port = listener.local_addr().unwrap().port();
        let address = Address { host: "127.0.0.1".into(), port, tls, ..Address::default() };
        let login = Login::trusted("app".into());
        let parameters = parameters((&address, "app"), &login, health.timeout, &health, Purpose::Sampling);
        let met = OnceLock::new();
        let dialling = Dialling { parameters: &parameters, way: Way::Plain, met: &met };
        let ControlStream(dialled) = dialling.connect(empty()).await.unwrap();
        let Stream::Plain(Socket::Tcp(socket)) = &dialled.stream else { panic!("not TCP") };
        let options = SockRef::from(socket);
        assert!(options.keepalive().unwrap());
        assert_eq!(options.tcp_keepalive_time().unwrap(), Duration::from_secs(7));
        assert_eq!(options.tcp_keepalive_interval().unwrap(), Duration::from_secs(3));
        assert_eq!(options.tcp_keepalive_retries().unwrap(), 2);
        assert_eq!(options.tcp_user_timeout().unwrap(), Some(Duration::from_secs(13)));
    }

    #[tokio::test]
    async fn that_nobody_listens_is_told_as_such() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address {
            host: "127.0.0.1".into(),
            port: listener.local_addr().unwrap().port(),
            ..Address::default()
        };
        drop(listener);
        let health = Health {
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(4),
            lost_after: Duration::from_secs(2),
            database: "postgres".into(),
            user: "app".into(),
            catalog_interval: Duration::from_secs(30),
        };
        let login = Login::trusted("app".into());
        let place = (&address, "app");
        let error = open(&parameters(place, &login, health.timeout, &health, Purpose::Watching)).await;
        let words = words(&error.err().unwrap());
        assert!(words.starts_with("error connecting to server: Connection refused"), "{words}");
    }
}
