//! What stands between pgbench and the servers, each set up as its users set it up.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;
use harness::client::Address;
use harness::{Cluster, CpuTime, Daemon, Failure, Result, Weir, WeirSetup, free_port, tools, wait_for};

use crate::encryption::Encryption;
use crate::meter::Meter;

/// A way to the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// No proxy
    Direct,
    /// HAProxy in TCP mode, one thread: it reads nothing of what it carries
    Haproxy,
    /// PgBouncer in transaction mode
    Pgbouncer,
    /// weir with the primary only, as PgBouncer has it
    Weir,
    /// weir with primary and replicas
    WeirSplit,
    /// The same at consistency level eventual without a limit, where nothing is asked of a replica
    WeirEventual,
}

/// A running target.
pub(crate) struct Target {
    pub(crate) kind: Kind,
    pub(crate) port: u16,
    address: Address,
    /// What clients say of TLS: libpq's word.
    pub(crate) sslmode: &'static str,
    description: String,
    process: Process,
}

enum Process {
    None,
    Daemon(Daemon),
    Weir(Box<Weir>),
}

/// Port, description and process of a target.
type Started = (u16, String, Process);

/// What targets are started with.
pub(crate) struct Bench<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) weir: &'a Path,
    /// What each weir is told besides.
    pub(crate) settings: &'a [Setting],
    pub(crate) encryption: Option<&'a Encryption>,
    pub(crate) pool: usize,
    pub(crate) purpose: Purpose,
}

/// A key of weir's configuration.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    section: String,
    key: String,
    value: String,
}

impl Setting {
    /// Reads `routing.consistency="session"`; the value is TOML.
    pub(crate) fn read(words: &str) -> std::result::Result<Self, String> {
        let parts = words.split_once('=').and_then(|(name, value)| Some((name.split_once('.')?, value)));
        let ((section, key), value) = parts.ok_or_else(|| "SECTION.KEY=VALUE is expected".to_owned())?;
        Ok(Self { section: section.to_owned(), key: key.to_owned(), value: value.to_owned() })
    }
}

/// What is done with the targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// They race.
    Speed,
    /// What they do for a client is counted. weir does as little as may be besides, and has one thread for data, however
    /// many processors there are: with more the figures would be another machine's.
    Counting(Option<Meter>),
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Haproxy => "haproxy",
            Self::Pgbouncer => "pgbouncer",
            Self::Weir => "weir",
            Self::WeirSplit => "weir-split",
            Self::WeirEventual => "weir-eventual",
        }
    }
}

impl Target {
    pub(crate) fn name(&self) -> &'static str {
        self.kind.name()
    }

    pub(crate) fn description(&self) -> &str {
        &self.description
    }

    pub(crate) fn address(&self) -> Address {
        self.address.clone()
    }

    /// CPU time of the proxy so far; nothing for a direct connection.
    pub(crate) fn cpu(&self) -> CpuTime {
        match &self.process {
            Process::None => CpuTime::default(),
            Process::Daemon(daemon) => daemon.cpu(),
            Process::Weir(weir) => weir.cpu(),
        }
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        match &self.process {
            Process::None => None,
            Process::Daemon(daemon) => Some(daemon.pid()),
            Process::Weir(weir) => Some(weir.pid()),
        }
    }

    pub(crate) fn rss_kb(&self) -> u64 {
        match &self.process {
            Process::None => 0,
            Process::Daemon(daemon) => daemon.rss_kb(),
            Process::Weir(weir) => weir.rss_kb(),
        }
    }

    /// The database to use with this protocol of pgbench.
    ///
    /// PgBouncer carries prepared statements in transaction mode only since 1.21. An older one gets session mode
    /// for them, which is less work than what the others do: the comparison errs in PgBouncer's favour.
    pub(crate) fn database(&self, protocol: &str) -> &'static str {
        let old = self.kind == Kind::Pgbouncer && self.description.contains("session mode");
        if old && protocol == "prepared" { "app_session" } else { "app" }
    }
}

impl Bench<'_> {
    pub(crate) fn start(&self, kind: Kind) -> Result<Target> {
        let sslmode = if self.encryption.is_some() { "require" } else { "disable" };
        let (port, description, process) = match kind {
            Kind::Direct => {
                let description = "clients talk to the primary".to_owned();
                (self.cluster.port(0), description, Process::None)
            }
            Kind::Haproxy => self.haproxy()?,
            Kind::Pgbouncer => self.pgbouncer()?,
            Kind::Weir => self.weir(kind, 0..1)?,
            Kind::WeirSplit | Kind::WeirEventual => self.weir(kind, 0..self.cluster.size())?,
        };
        let address = self.encryption.map_or(Address::local(port), |encryption| encryption.address(port));
        Ok(Target { kind, port, address, sslmode, description, process })
    }

    fn weir(&self, kind: Kind, servers: std::ops::Range<usize>) -> Result<Started> {
        let setup = WeirSetup::in_front_of(self.cluster, servers).set("pool", "size", &self.pool.to_string());
        let setup = if kind == Kind::WeirEventual { setup.at_any_age() } else { setup };
        let setup = match self.purpose {
            Purpose::Speed => setup,
            Purpose::Counting(_) => setup
                .set("health", "interval", "\"1h\"")
                .set("health", "catalog_interval", "\"1d\"")
                .set("runtime", "workers", "1"),
        };
        let setup = self.encryption.map_or(setup.clone(), |encryption| encryption.weir(setup));
        let told = self.settings.iter();
        let setup = told.fold(setup, |setup, said| setup.set(&said.section, &said.key, &said.value));
        let weir = setup.start(self.prepared(self.weir)?)?;
        let description = format!("{} at {}", version(self.weir)?, self.weir.display());
        Ok((weir.port(), description, Process::Weir(Box::new(weir))))
    }

    /// The program to start for a program.
    fn prepared(&self, program: &Path) -> Result<PathBuf> {
        match self.purpose {
            Purpose::Counting(Some(meter)) => meter.prepare(program, self.cluster.directory()),
            Purpose::Counting(None) | Purpose::Speed => Ok(program.to_owned()),
        }
    }

    fn haproxy(&self) -> Result<Started> {
        let program = tools::ensure("haproxy")?;
        let (port, server) = (free_port()?, self.cluster.port(0));
        let config = format!(
            "global\n  nbthread 1\n  maxconn 4000\n\
             defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1h\n  timeout server 1h\n\
             listen postgres\n  bind 127.0.0.1:{port}\n  server primary 127.0.0.1:{server}\n"
        );
        let path = self.write(&format!("haproxy-{port}.cfg"), &config)?;
        let mut command = self.cluster.command(&self.prepared(&program)?);
        let daemon = self.daemon(command.arg("-db").arg("-f").arg(path), port)?;
        let description = format!("{}, TCP mode, one thread", version(&program)?);
        Ok((port, description, Process::Daemon(daemon)))
    }

    fn pgbouncer(&self) -> Result<Started> {
        let program = tools::ensure("pgbouncer")?;
        let (port, server, pool) = (free_port()?, self.cluster.port(0), self.pool);
        let words = version(&program)?;
        let (prepared, description) = if has_prepared_statements(&words) {
            ("max_prepared_statements = 200\n", format!("{words}, transaction mode"))
        } else {
            (
                "",
                format!(
                    "{words}, transaction mode; session mode for prepared statements, which it cannot carry"
                ),
            )
        };
        // The secret and not the password: PgBouncer then has no key derivation to do at a login, as weir has not.
        let secret = self.cluster.sql(0, "SELECT rolpassword FROM pg_authid WHERE rolname = 'app'")?;
        let users = self.write("userlist.txt", &format!("\"app\" \"{}\"\n", secret.value()))?;
        let encrypted = self.encryption.map(Encryption::pgbouncer).unwrap_or_default();
        let config = format!(
            "[databases]\n\
             app = host=127.0.0.1 port={server}\n\
             app_session = host=127.0.0.1 port={server} dbname=app pool_mode=session pool_size=64\n\
             [pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = scram-sha-256\nauth_file = {}\n\
             pool_mode = transaction\ndefault_pool_size = {pool}\nmax_client_conn = 4000\n\
             log_connections = 0\nlog_disconnections = 0\n{prepared}{encrypted}",
            users.display()
        );
        let path = self.write(&format!("pgbouncer-{port}.ini"), &config)?;
        let mut command = self.cluster.command(&self.prepared(&program)?);
        let daemon = self.daemon(command.arg(path), port)?;
        Ok((port, description, Process::Daemon(daemon)))
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.cluster.directory().join(name);
        fs::write(&path, text)?;
        Ok(path)
    }

    /// Starts a proxy and waits until it listens.
    fn daemon(&self, command: &mut Command, port: u16) -> Result<Daemon> {
        let mut daemon = Daemon::start(command, &self.cluster.directory().join(format!("proxy-{port}.log")))?;
        let listening = wait_for("the proxy to listen", std::time::Duration::from_secs(10), || {
            if daemon.exit_status().is_some() {
                return Ok(Some(Err(Failure::new("the proxy ended"))));
            }
            Ok(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok().then_some(Ok(())))
        });
        match listening {
            Ok(Ok(())) => Ok(daemon),
            _ => Err(Failure::new(format!("{:?} does not listen:\n{}", command.get_program(), daemon.log()))),
        }
    }
}

/// The first line of what a program says of its version.
fn version(program: &Path) -> Result<String> {
    let flag = if program.ends_with("haproxy") { "-v" } else { "--version" };
    let output = Command::new(program).arg(flag).output()?;
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = words.lines().next().unwrap_or_default();
    Ok(line.split(" - ").next().unwrap_or_default().to_owned())
}

/// Whether `PgBouncer 1.18.0` carries prepared statements in transaction mode.
fn has_prepared_statements(version: &str) -> bool {
    let mut numbers = version.split([' ', '.']).filter_map(|part| part.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(1), Some(21))
}
