//! A primary and its streaming replicas, from PostgreSQL's own binaries, in a directory of their own.
//!
//! Servers are numbered: 0 is the first primary, 1 and up are replicas. The numbers stay when roles change.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::client::{Address, Answer, Client, Login};
use crate::scratch::{Owner, run_dir};
use crate::watchdog::Watchdog;
use crate::{Failure, Postgres, Result, at_once, free_port};

mod access;

mod backup;

mod faults;

mod network;

use network::Network;

mod replication;

mod room;

mod server;

use server::Server;

pub use server::Stop;

mod template;

mod trace;

pub use trace::Mark;

/// How often a start is tried when a port was taken between choosing and using it.
const ATTEMPTS: usize = 5;

/// What kind of cluster to start.
#[derive(Clone, Debug)]
pub struct Options {
    replicas: usize,
    settings: Vec<(String, String)>,
    replica_settings: Vec<(String, String)>,
    cables: Cables,
}

/// How we reach the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cables {
    /// On 127.0.0.1.
    None,
    /// Each by a cable that can be cut.
    Each,
}

impl Options {
    /// A primary with this many replicas. Every statement is logged, so that [`Cluster::ran_on`] can answer.
    pub fn new(replicas: usize) -> Self {
        let logged = [("log_statement".to_owned(), "all".to_owned())];
        Self { replicas, settings: logged.to_vec(), replica_settings: Vec::new(), cables: Cables::None }
    }

    /// With a cable to each server, for [`Cluster::cut`]; only where [`crate::apart::is_apart`].
    pub fn cables(self) -> Self {
        Self { cables: Cables::Each, ..self }
    }

    /// Without logging statements: for measuring.
    pub fn quiet(self) -> Self {
        self.setting("log_statement", "none")
    }

    /// With this setting on every server, as in postgresql.conf; the last one of a name wins.
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With this setting on the replicas only: `recovery_min_apply_delay`, for instance.
    pub fn replica_setting(mut self, name: &str, value: &str) -> Self {
        self.replica_settings.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A running cluster. Dropping it stops the servers and removes their directory; the same happens when the
/// process ends without dropping it.
///
/// Roles, each with its name as password: `postgres` (superuser), `app` (owner of the database `app`, SCRAM) and,
/// members of it, `app_md5`, `app_plain` and `app_trust` for the other ways to log in over TCP.
#[derive(Debug)]
pub struct Cluster {
    directory: PathBuf,
    postgres: Postgres,
    owner: Owner,
    options: Options,
    servers: Vec<Server>,
    primary: AtomicUsize,
    network: Option<Network>,
    watchdog: Option<Watchdog>,
}

impl Cluster {
    /// Starts a primary with two replicas.
    pub fn start() -> Result<Self> {
        Self::with(Options::new(2))
    }

    /// Starts the cluster that the options describe, and waits until every server answers.
    pub fn with(options: Options) -> Result<Self> {
        let postgres = Postgres::locate()?;
        let mut last = Failure::new("no attempt");
        for _ in 0..ATTEMPTS {
            match Self::attempt(&postgres, &options) {
                Err(Failure::Other(words)) if words.contains("could not bind") => {
                    last = Failure::Other(words)
                }
                other => return other,
            }
        }
        Err(last)
    }

    /// The one cluster (a primary and two replicas) that the tests of this process share.
    ///
    /// # Panics
    ///
    /// When it cannot be started: no test that needs it can run.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| Self::start().unwrap_or_else(|failure| panic!("no cluster: {failure}")))
    }

    fn attempt(postgres: &Postgres, options: &Options) -> Result<Self> {
        let owner = Owner::find()?;
        let template = template::prepared(postgres, owner)?;
        let directory = run_dir("c", owner)?;
        let mut cluster = Self {
            watchdog: Some(Watchdog::of_cluster(&directory)?),
            directory,
            postgres: postgres.clone(),
            owner,
            options: options.clone(),
            servers: Vec::new(),
            primary: AtomicUsize::new(0),
            network: None,
        };
        for index in 0..=options.replicas {
            let host = match options.cables {
                Cables::None => "127.0.0.1".to_owned(),
                Cables::Each => Network::host(index),
            };
            cluster.servers.push(Server::new(&cluster.directory, index, (host, free_port()?)));
        }
        if options.cables == Cables::Each {
            cluster.network = Some(Network::lay(cluster.servers.len())?);
        }
        // The template was shut down cleanly, so a copy of it is as good a base backup as pg_basebackup's, and all
        // servers can start at once: a replica asks for the primary until it is there.
        cluster.on_each(|server| {
            owner.create_dir(server.directory())?;
            owner.copy_tree(&template, &server.data())?;
            cluster.write_config(server, 0)?;
            cluster.start_server(server)
        })?;
        Ok(cluster)
    }

    fn start_server(&self, server: &Server) -> Result<()> {
        self.spawn_server(server)?;
        server.wait_answers()
    }

    fn spawn_server(&self, server: &Server) -> Result<()> {
        let program = self.postgres.program("postgres")?;
        server.spawn(match &self.network {
            Some(network) => network.command(self.owner, &program)?,
            None => self.owner.command(&program),
        })
    }

    /// Runs something for every server, all at once; the first failure.
    fn on_each(&self, task: impl Fn(&Server) -> Result<()> + Sync) -> Result<()> {
        at_once(&self.servers, task)
    }

    /// How many servers there are, stopped ones included.
    pub fn size(&self) -> usize {
        self.servers.len()
    }

    /// The number of the server that is the primary, as far as the harness made it so.
    pub fn primary(&self) -> usize {
        self.primary.load(Ordering::SeqCst)
    }

    /// The cluster's directory, which also holds the servers' Unix sockets.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The installation that the servers run from.
    pub fn postgres(&self) -> &Postgres {
        &self.postgres
    }

    /// `primary`, `replica1`, `replica2` ...: the names at the start.
    pub fn name(&self, server: usize) -> &str {
        self.servers[server].name()
    }

    /// The address on which a server listens: 127.0.0.1 unless it has a cable.
    pub fn host(&self, server: usize) -> &str {
        self.servers[server].host()
    }

    /// A server's port.
    pub fn port(&self, server: usize) -> u16 {
        self.servers[server].port()
    }

    /// A server's TCP address.
    pub fn address(&self, server: usize) -> Address {
        Address::Tcp(self.host(server).to_owned(), self.port(server))
    }

    /// A command that runs as the user who runs the servers, with a bare environment. That user may write to
    /// [`Cluster::directory`]. PgBouncer, like PostgreSQL, refuses to run as root.
    pub fn command(&self, program: &Path) -> Command {
        self.owner.command(program)
    }

    /// A raw client over TCP, logged in as `app` to the database `app`.
    pub fn connect(&self, server: usize) -> Result<Client> {
        Client::connect(&self.address(server), &Login::new("app", "app"))
    }

    /// A superuser's connection to the database `app` over the Unix socket. What it runs is not counted by
    /// [`Cluster::ran_on`].
    pub fn admin(&self, server: usize) -> Result<Client> {
        self.servers[server].admin("app")
    }

    /// Runs a statement on one server, on a superuser's connection of its own.
    pub fn sql(&self, server: usize, sql: &str) -> Result<Answer> {
        self.admin(server)?.query(sql)
    }

    /// Changes a setting of a running server, and waits until new connections have it.
    pub fn set(&self, server: usize, name: &str, value: &str) -> Result<()> {
        let mut admin = self.admin(server)?;
        let before = admin.query("SELECT pg_conf_load_time()")?;
        admin.query(&format!("ALTER SYSTEM SET {name} = {value}"))?;
        admin.query("SELECT pg_reload_conf()")?;
        crate::wait_for("the new settings", server::PATIENCE, || {
            let now = self.sql(server, "SELECT pg_conf_load_time()")?;
            Ok((now.value() != before.value()).then_some(()))
        })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.watchdog.take());
        self.servers.iter().for_each(Server::reap);
    }
}
