//! The configuration that the program runs on.
//!
//! [`load`] layers the file and the environment (`source`), reads them key by key (`section`, `kinds`), and fills in
//! every default (`check`). After it every value is possible: no `Option` means "default" here, and nothing
//! re-validates. There is no struct of what the user wrote between the two: one that serde fills would stop at the
//! first mistake, and all of them are to be reported at once.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::net::tls::ServerTls;
use crate::sql::{Consistency, MaxStaleness, Target, Transactions};

mod auth;
mod check;
mod discovery;
mod doubts;
mod files;
mod finding;
mod host;
mod kinds;
mod listener;
mod listeners;
mod log_filter;
mod mistake;
mod operators;
mod overrides;
mod peer;
mod peers;
mod quoted;
mod secret;
mod section;
mod server_tls;
mod settable;
mod source;
mod summary;
mod traces;
pub(crate) mod userlist;
mod users;
mod warnings;
mod written;

pub use check::{Loaded, load, load_whole, load_whole_with, load_with};
pub use discovery::{Discovery, Endpoint, Patroni, Source, names_service};
pub use files::Watched;
pub use listener::{Interface, ListenAddress, ListenTls, Listener, TcpAddress, UnixAddress};
pub use mistake::{Mistake, Mistakes, Place};
pub use operators::{CONSOLE, Operators};
pub use peer::{Peer, Peers};
pub use quoted::quoted;
pub use secret::Secret;
pub use settable::{NotSet, SETTABLE};
pub use summary::Summary;
pub use traces::{Collector, Traces};
pub use userlist::UserlistError;
pub use written::{Change, Changes, LIVE, RESTART, Written};

/// Everything the program runs on. Many fields: one for each section of the file, and few more.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients connect: those of `[listen]`, then those of `[[listeners]]`.
    pub listeners: Vec<Arc<Listener>>,
    /// What else `[listen]` says of clients, and `[[peers]]`.
    pub clients: Clients,
    /// `[metrics]`: where weir tells of itself; none when the section is absent.
    pub metrics: Option<Metrics>,
    /// `[log]`.
    pub log: Log,
    /// `[traces]`.
    pub traces: Arc<Traces>,
    /// `[[servers]]`, at least one unless others are found.
    pub servers: Vec<Server>,
    /// `[discovery]`: where others are found.
    pub discovery: Discovery,
    /// The `[[servers]]` entry without a host: what holds for all that are found and have no entry of their own.
    pub template: Option<Server>,
    /// `[[databases]]`. A database that is not listed is passed through under its own name.
    pub databases: Vec<Database>,
    /// `[[users]]`, at least one unless there are others.
    pub users: Vec<User>,
    /// `[auth]`: where there are others.
    pub auth: Auth,
    /// `[pool]`.
    pub pool: Pool,
    /// `[timeouts]`: what holds for users that have none of their own. [`User::timeouts`] is what counts.
    pub timeouts: Timeouts,
    /// `[routing]`.
    pub routing: Routing,
    /// `[health]`.
    pub health: Health,
    /// `[runtime] workers`: threads that carry the data.
    pub workers: usize,
    /// What is allowed but deserves a word at start. No secret is in it.
    pub warnings: Vec<String>,
}

/// Where weir tells of itself, and what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// Where /metrics, /healthz, /readyz and /status are served.
    pub address: SocketAddr,
    /// Whether the page is there too, and what it is drawn from.
    pub page: bool,
}

/// What holds for all clients.
#[derive(Clone, Debug)]
pub struct Clients {
    /// Most clients at once; the next one gets 53300.
    pub limit: usize,
    /// A client that has not logged in after this long is closed.
    pub login_timeout: Duration,
    /// How long a drain (SIGTERM) waits for running work.
    pub drain_timeout: Duration,
    /// `[[peers]]`: where else their cancel requests may belong.
    pub peers: Peers,
}

/// `[log]`.
#[derive(Clone, Debug)]
pub struct Log {
    /// A tracing filter: `info`, `weir=debug` ...
    pub filter: String,
    /// Text or JSON lines.
    pub format: LogFormat,
    /// Statements that take longer are logged (shape and time, never values); `None` when off.
    pub slow_query: Option<Duration>,
}

/// Log line format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines.
    Json,
}

/// `[[servers]]`: one PostgreSQL instance.
#[derive(Clone, Debug)]
pub struct Server {
    /// Unique; used in logs and metrics. Default `host:port`.
    pub name: Arc<str>,
    /// Host name or address, or the directory of a Unix socket when it begins with `/`.
    pub host: Arc<str>,
    /// Where that is, when it has been looked up already; its certificate is for the host all the same.
    pub address: Option<IpAddr>,
    /// Port.
    pub port: u16,
    /// Given, or found out.
    pub role: RoleSetting,
    /// Relative share of reads, 1 by default. 0 takes no reads.
    pub weight: u32,
    /// Most backend connections to this server over all pools.
    pub connections: usize,
    /// When what is said to it is encrypted, and how it is known: `sslmode` and its kin.
    pub tls: Arc<ServerTls>,
    /// Whether logins are bound to its certificate.
    pub channel_binding: ChannelBinding,
}

/// `role = "auto" | "primary" | "replica"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RoleSetting {
    /// Found out by asking the server, and followed through failovers.
    #[default]
    Auto,
    /// As the operator says; a probe that contradicts is logged.
    Primary,
    /// As the operator says; a probe that contradicts is logged.
    Replica,
}

/// `[[databases]]`: a name that clients may use, and what it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    /// What clients ask for.
    pub name: Arc<str>,
    /// The database on the servers; the same name by default.
    pub server_database: Arc<str>,
    /// Fixed target; `Auto` leaves it to the router.
    pub target: Target,
    /// Overrides `[routing] transactions`.
    pub transactions: Option<Transactions>,
    /// Overrides `[routing] consistency`.
    pub consistency: Option<Consistency>,
    /// Overrides `[routing] max_staleness`.
    pub max_staleness: Option<MaxStaleness>,
    /// Overrides `[pool] size`.
    pub pool_size: Option<usize>,
    /// Overrides `[pool] mode` and what a user says.
    pub pool_mode: Option<PoolMode>,
    /// Overrides `[auth] query`.
    pub auth_query: Option<Statement>,
}

/// `[[users]]`: who may log in, and as whom towards the servers.
#[derive(Clone, Debug)]
pub struct User {
    /// What clients log in as.
    pub name: Arc<str>,
    /// How clients prove it.
    pub credential: Credential,
    /// User towards the servers; the same name by default.
    pub server_user: Arc<str>,
    /// How weir proves to the servers that it is this user.
    pub server_proof: ServerProof,
    /// Fixed target; `Auto` leaves it to the router.
    pub target: Target,
    /// Overrides `[routing] transactions`.
    pub transactions: Option<Transactions>,
    /// Overrides `[routing] consistency`.
    pub consistency: Option<Consistency>,
    /// Overrides `[routing] max_staleness`.
    pub max_staleness: Option<MaxStaleness>,
    /// Overrides `[pool] size`.
    pub pool_size: Option<usize>,
    /// What becomes of a session that has state which cannot be moved.
    pub pinning: Pinning,
    /// Overrides `[pool] mode`.
    pub pool_mode: Option<PoolMode>,
    /// What holds for this user: its own timeouts, and those of `[timeouts]` where it has none.
    pub timeouts: Timeouts,
}

impl User {
    /// A user whom the configuration does not name, with what holds for all.
    pub fn unlisted(name: Arc<str>, timeouts: Timeouts) -> Self {
        Self {
            credential: Credential::Elsewhere,
            server_user: name.clone(),
            name,
            server_proof: ServerProof::None,
            target: Target::default(),
            transactions: None,
            consistency: None,
            max_staleness: None,
            pool_size: None,
            pinning: Pinning::default(),
            pool_mode: None,
            timeouts,
        }
    }

    /// The same, as another configuration says it. How it logs in to the servers is what was found out of it where the
    /// configuration says nothing of that.
    pub fn under(&self, named: &Self) -> Self {
        match (&named.credential, &named.server_proof) {
            (Credential::Elsewhere, ServerProof::None) => {
                Self { server_proof: self.server_proof.clone(), ..named.clone() }
            }
            _ => named.clone(),
        }
    }
}

/// `[[users]] pinning`: what becomes of a session with state that lives on its connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pinning {
    /// It keeps the connection until the state is known to be gone.
    #[default]
    Pin,
    /// It keeps the connection until it ends.
    PrimaryOnly,
    /// The statement that would leave such state is refused.
    Reject,
}

/// `[timeouts]`: how long a client may do what keeps a place occupied; `None` sets no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// Saying nothing outside a transaction. The client is closed.
    pub idle_client: Option<Duration>,
    /// Saying nothing within a transaction. The client is closed, and the transaction rolled back.
    pub idle_in_transaction: Option<Duration>,
    /// The running of one request on a server. It is cancelled.
    pub query: Option<Duration>,
}

/// The files that say who may come from where. What is in them is read when weir starts, and whenever they change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HbaFiles {
    /// `hba_file`: in the form of PostgreSQL's `pg_hba.conf`.
    pub hba: PathBuf,
    /// `ident_file`: in the form of `pg_ident.conf`.
    pub ident: Option<PathBuf>,
}

/// `[auth]`.
#[derive(Clone, Debug, Default)]
pub struct Auth {
    /// A list of users in PgBouncer's form.
    pub userlist: Option<PathBuf>,
    /// Users that the servers are asked for.
    pub query: Option<AuthQuery>,
    /// Who may come from where, and how they prove who they are; without it, each user says it for itself.
    pub hba: Option<HbaFiles>,
    /// `[console]`: who may see and turn what there is; `None` when the section is absent, and with it the console.
    pub operators: Option<Operators>,
}

/// How the servers are asked for users that nobody has listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthQuery {
    /// What is asked, where a database says nothing else.
    pub statement: Statement,
    /// As whom.
    pub user: Arc<str>,
    /// How weir proves to be that user.
    pub proof: ServerProof,
    /// In which database, by its name on the servers; `None` leaves it to [`AuthQuery::place`].
    pub database: Option<Arc<str>>,
    /// How long an answer counts before the servers are asked anew.
    pub ttl: Duration,
    /// The same of an answer that there is no such user.
    pub negative_ttl: Duration,
}

/// What the servers are asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Statement {
    /// For the password that PostgreSQL itself would check.
    Password,
    /// What the configuration says: a statement with one parameter, the name, that gives name and secret.
    Own(Arc<str>),
}

/// What is asked, and where. Two clients who ask at the same place get the same answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AuthPlace {
    /// What is asked.
    pub statement: Statement,
    /// The database, by its name on the servers.
    pub database: Arc<str>,
}

/// How weir proves to a server who it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ServerProof {
    /// Not at all: the server trusts weir.
    None,
    /// By a password.
    Password(Secret),
    /// By the MD5 hash of a password, 32 hexadecimal digits: enough for servers that ask for MD5.
    Md5(Secret),
    /// By the key that the client's own login has proved: the servers have the same verifier as weir.
    PassThrough,
}

impl ServerProof {
    /// The password, where it is one.
    pub fn password(&self) -> Option<&Secret> {
        match self {
            ServerProof::None | ServerProof::Md5(_) | ServerProof::PassThrough => None,
            ServerProof::Password(password) => Some(password),
        }
    }
}

/// `[[servers]] channel_binding`: whether logins to a server are bound to its certificate, in libpq's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChannelBinding {
    /// They are not.
    Disable,
    /// Where the server offers it.
    #[default]
    Prefer,
    /// Else there is none.
    Require,
}

/// How a client proves who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// No proof asked. Only where the configuration says `auth = "trust"`.
    Trust,
    /// A certificate in the user's name, over TLS.
    Certificate,
    /// SCRAM-SHA-256 against this plain password (made into a verifier once, at start).
    Password(Secret),
    /// SCRAM-SHA-256 against a `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey` verifier.
    Verifier(Secret),
    /// By what the userlist or the servers say, which is not known here.
    Elsewhere,
}

/// `[pool]`.
#[derive(Clone, Debug)]
pub struct Pool {
    /// Transaction pooling, or a backend connection for the client's life.
    pub mode: PoolMode,
    /// Connections per server, database and user.
    pub size: usize,
    /// Connections over all servers and pools; 0 means no such limit.
    pub total: usize,
    /// Idle connections that are kept open per pool once it was used.
    pub min_idle: usize,
    /// An idle connection is closed after this long.
    pub idle_timeout: Duration,
    /// A connection is closed when it is this old and idle; jittered by a tenth.
    pub lifetime: Duration,
    /// How long a client waits for a connection.
    pub checkout_timeout: Duration,
    /// Most clients that wait per pool; the next one is refused at once.
    pub queue_limit: usize,
    /// How long connecting and logging in to a server may take.
    pub connect_timeout: Duration,
    /// Prepared statements kept per backend connection.
    pub prepared_statements: usize,
    /// How long a write waits for a primary when none is known.
    pub primary_wait: Duration,
    /// By which connections clients listen.
    pub listen: Listen,
}

/// `[pool] listen` and `notification_queue`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// By one for all of the same database and user. For each client so many bytes of what was notified may wait.
    Shared {
        /// How many.
        queue: usize,
    },
    /// By their own.
    Pinned,
}

/// `[pool] mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PoolMode {
    /// A backend connection per transaction.
    #[default]
    Transaction,
    /// A connection to the primary for the client's life, and one to a replica for its reads.
    Session,
}

/// `[routing]`.
#[derive(Clone, Debug)]
pub struct Routing {
    /// Where transactions run of which nothing nearer says it.
    pub transactions: Transactions,
    /// How fresh a replica must be.
    pub consistency: Consistency,
    /// The oldest that a replica may be for any read; `None` when that is off.
    pub max_staleness: Option<Duration>,
    /// How long a read waits for a replica to be fresh enough before it goes to the primary.
    pub freshness_wait: Duration,
    /// Functions that may run on a replica whatever the catalog says; `schema.name` or `name`, lower case.
    pub read_functions: Vec<String>,
    /// Functions that must run on the primary whatever the catalog says.
    pub write_functions: Vec<String>,
    /// Functions that leave nothing in the session that calls them, whatever their bodies look like.
    pub stateless_functions: Vec<String>,
    /// Shapes of statements whose verdict is kept.
    pub verdict_cache: usize,
    /// Shapes learned at run time to need the primary that are kept, per database.
    pub learned: usize,
    /// How long a learned shape is kept.
    pub learned_ttl: Duration,
    /// How much of a replica's answer is held back so that the request can still be run again, in bytes.
    pub hold_back: usize,
    /// `[[routing.rules]]`, first match wins.
    pub rules: Vec<Rule>,
}

/// One `[[routing.rules]]` entry: all given conditions must hold. It gives a target, transactions, or both.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The user that logged in.
    pub user: Option<String>,
    /// The database as the client named it.
    pub database: Option<String>,
    /// The session's application_name.
    pub application_name: Option<String>,
    /// A relation that the statement names, `schema.name` or `name`.
    pub table: Option<String>,
    /// A regular expression over the statement's text.
    pub statement: Option<regex::bytes::Regex>,
    /// Where it goes; `None` leaves that to other rules.
    pub target: Option<Target>,
    /// Where the transaction runs that it begins; `None` leaves that to other rules.
    pub transactions: Option<Transactions>,
}

/// `[health]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Time between probes of a server.
    pub interval: Duration,
    /// A probe that takes longer has failed.
    pub timeout: Duration,
    /// What runs on a server whose probes fail for so long is given up, where it cannot be run elsewhere.
    pub lost_after: Duration,
    /// Database for probes.
    pub database: Arc<str>,
    /// User for probes (one of `[[users]]`; the first by default).
    pub user: Arc<str>,
    /// Time between refreshes of the catalog (function volatility).
    pub catalog_interval: Duration,
}

impl Health {
    /// How long a server may say nothing, once it was asked, before its connections are given up by whoever cannot ask
    /// the probes.
    pub fn patience(&self) -> Duration {
        self.timeout + self.lost_after
    }
}

/// Where `weir` looks for its configuration when `--config` is not given.
pub fn default_path() -> PathBuf {
    PathBuf::from("proxy.toml")
}
