//! The real weir in front of a cluster.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;
use std::{fs, io};

use crate::client::{Address, Client, Hello, Login, TlsAddress};
use crate::scratch::{self, Owner};
use crate::{Cluster, CpuTime, Daemon, Failure, Papers, Result, free_port, wait_for};

/// How long weir may take until /readyz says yes.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long it may take to see what has become of a server.
const SEEN_WITHIN: Duration = Duration::from_secs(30);

/// How often weir is started when its port was taken.
const ATTEMPTS: usize = 3;

/// A configuration to be: servers, users and the listening address are there already.
#[derive(Clone, Debug)]
pub struct WeirSetup {
    sections: Vec<(String, Vec<(String, String)>)>,
    tables: String,
    environment: Vec<(String, String)>,
    authority: Option<Vec<u8>>,
}

impl WeirSetup {
    /// In front of these servers of a cluster, by number.
    pub fn in_front_of(cluster: &Cluster, servers: impl IntoIterator<Item = usize>) -> Self {
        let mut tables = String::new();
        for server in servers {
            let (name, host, port) = (cluster.name(server), cluster.host(server), cluster.port(server));
            let _ = writeln!(tables, "[[servers]]\nname = \"{name}\"\nhost = \"{host}\"\nport = {port}\n");
        }
        for user in ["app", "postgres", "app_md5", "app_plain"] {
            let _ = writeln!(tables, "[[users]]\nname = \"{user}\"\npassword = \"{user}\"\n");
        }
        Self { sections: Vec::new(), tables, environment: Vec::new(), authority: None }
            .set("health", "database", "\"app\"")
    }

    /// Reads go to any replica, however old: for tests that ask something else.
    #[must_use]
    pub fn at_any_age(self) -> Self {
        self.set("routing", "consistency", "\"eventual\"").set("routing", "max_staleness", "\"off\"")
    }

    /// What becomes of a server is noticed quickly.
    #[must_use]
    pub fn probing_quickly(self) -> Self {
        self.set("health", "interval", "\"200ms\"").set("health", "timeout", "\"500ms\"")
    }

    /// Sets a key of a section to a TOML value: `set("pool", "size", "5")`. The last one wins.
    pub fn set(mut self, section: &str, key: &str, value: &str) -> Self {
        let index = match self.sections.iter().position(|(name, _)| name == section) {
            Some(index) => index,
            None => {
                self.sections.push((section.to_owned(), Vec::new()));
                self.sections.len() - 1
            }
        };
        let keys = &mut self.sections[index].1;
        keys.retain(|(name, _)| name != key);
        keys.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Adds keys to each server so far: `each_server("sslmode = \"require\"")`.
    #[must_use]
    pub fn each_server(mut self, keys: &str) -> Self {
        self.tables = self.tables.replace("[[servers]]\n", &format!("[[servers]]\n{keys}\n"));
        self
    }

    /// Nobody gets in without TLS, by this certificate; weir's own clients ([`Weir::connect`] ...) use it.
    #[must_use]
    pub fn encrypting_clients(self, papers: &Papers) -> Self {
        let encrypting = Self { authority: Some(papers.authority()), ..self };
        encrypting
            .set("listen", "tls", "\"require\"")
            .set("listen", "tls_certificate", &format!("{:?}", papers.certificate_file()))
            .set("listen", "tls_key", &format!("{:?}", papers.key_file()))
    }

    /// Each server so far is spoken to by TLS and nothing else, and must show that it is who it is.
    #[must_use]
    pub fn encrypting_servers(self, papers: &Papers) -> Self {
        self.each_server(&format!("sslmode = \"verify-full\"\nsslrootcert = {:?}", papers.root()))
    }

    /// Adds text at the end: `[[databases]]`, `[[routing.rules]]` ...
    pub fn append(mut self, tables: &str) -> Self {
        self.tables.push_str(tables);
        self.tables.push('\n');
        self
    }

    /// Sets an environment variable of the process.
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts the program (in tests `env!("CARGO_BIN_EXE_weir")`) and waits until it is ready.
    pub fn start(self, program: impl AsRef<Path>) -> Result<Weir> {
        let mut ready = Err(Failure::new("no attempt"));
        for _ in 0..ATTEMPTS {
            let mut weir = self.clone().start_unready(&program)?;
            ready = weir.wait_ready().map(|()| weir);
            // Somebody else took the port between choosing and using it.
            if !ready.as_ref().is_err_and(|failure| failure.to_string().contains("in use")) {
                break;
            }
        }
        ready
    }

    /// Starts the program, and waits for nothing.
    pub fn start_unready(self, program: impl AsRef<Path>) -> Result<Weir> {
        let (port, metrics_port) = (free_port()?, free_port()?);
        let setup = self.set("listen", "address", &format!("\"127.0.0.1:{port}\"")).set(
            "metrics",
            "address",
            &format!("\"127.0.0.1:{metrics_port}\""),
        );
        let directory = WeirDir(scratch::run_dir("w", Owner::ourselves())?);
        let config = directory.0.join("proxy.toml");
        fs::write(&config, setup.text())?;
        let mut command = Command::new(program.as_ref());
        command.arg("run").arg("--config").arg(&config).envs(setup.environment.iter().cloned());
        let daemon = Daemon::start(&mut command, &directory.0.join("log"))?;
        let authority = setup.authority;
        Ok(Weir { daemon, authority, port, metrics_port, config, _directory: directory })
    }

    /// The configuration as it will be written, but for the addresses.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (section, keys) in &self.sections {
            let _ = writeln!(text, "[{section}]");
            keys.iter().for_each(|(key, value)| _ = writeln!(text, "{key} = {value}"));
            text.push('\n');
        }
        text + &self.tables
    }
}

/// A running weir. Dropping it sends SIGTERM and waits for the end.
#[derive(Debug)]
pub struct Weir {
    daemon: Daemon,
    authority: Option<Vec<u8>>,
    port: u16,
    metrics_port: u16,
    config: PathBuf,
    // Removed last: the daemon writes its log there.
    _directory: WeirDir,
}

/// weir's directory, which holds its configuration and its log.
#[derive(Debug)]
struct WeirDir(PathBuf);

impl Drop for WeirDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Weir {
    /// Starts weir with its defaults in front of all servers of a cluster.
    pub fn start(program: impl AsRef<Path>, cluster: &Cluster) -> Result<Self> {
        WeirSetup::in_front_of(cluster, 0..cluster.size()).start(program)
    }

    /// Waits until /readyz answers 200; weir's log when that does not happen.
    pub fn wait_ready(&mut self) -> Result<()> {
        let ready = wait_for("weir to be ready", PATIENCE, || {
            if let Some(status) = self.daemon.exit_status() {
                return Ok(Some(Err(Failure::new(format!("weir ended with {status}")))));
            }
            Ok(self.get("/readyz")?.starts_with("HTTP/1.1 200").then_some(Ok(())))
        });
        ready
            .and_then(|ended| ended)
            .map_err(|failure| Failure::new(format!("{failure}; its log:\n{}", self.log())))
    }

    /// Where clients connect.
    pub fn address(&self) -> Address {
        match &self.authority {
            Some(authority) => Address::Tls(TlsAddress {
                port: self.port,
                authority: authority.clone(),
                hello: Hello::Asked,
            }),
            None => Address::local(self.port),
        }
    }

    /// The port where clients connect.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The port of /metrics, /healthz and /readyz.
    pub fn metrics_port(&self) -> u16 {
        self.metrics_port
    }

    /// A raw client, logged in as `app` to the database `app`.
    pub fn connect(&self) -> Result<Client> {
        Client::connect(&self.address(), &Login::new("app", "app"))
    }

    /// The path of its configuration.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.daemon.log()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    /// Resident memory in KiB.
    pub fn rss_kb(&self) -> u64 {
        self.daemon.rss_kb()
    }

    /// How many file descriptors it has open.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).map_or(0, Iterator::count)
    }

    /// CPU time since its start.
    pub fn cpu(&self) -> CpuTime {
        self.daemon.cpu()
    }

    /// How it ended; none while it runs.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.daemon.exit_status()
    }

    /// Sends SIGTERM and waits for the end.
    pub fn terminate(&mut self) -> Result<ExitStatus> {
        self.daemon.terminate()
    }

    /// Sends SIGTERM and does not wait: for tests of draining.
    pub fn ask_to_stop(&self) -> Result<()> {
        self.daemon.signal(rustix::process::Signal::TERM)
    }

    /// The whole answer to `GET path`, head and body.
    pub fn get(&self, path: &str) -> Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.metrics_port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: weir\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Err(error) if error.kind() != io::ErrorKind::ConnectionReset => Err(error.into()),
            _ => Ok(String::from_utf8_lossy(&answer).into_owned()),
        }
    }

    /// Waits until it says of a server that its last probe succeeded (1), or did not (0).
    pub fn wait_up(&self, server: &str, up: f64) -> Result<()> {
        wait_for(&format!("{server} to be seen up={up}"), SEEN_WITHIN, || {
            Ok((self.metrics()?.sum("weir_server_up", &[("server", server)]) == up).then_some(()))
        })
    }

    /// What /metrics says now.
    pub fn metrics(&self) -> Result<Metrics> {
        let answer = self.get("/metrics")?;
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body);
        Ok(Metrics::parse(body.ok_or_else(|| Failure::new("/metrics gives no body"))?))
    }
}

/// One time series of [`Metrics`].
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The metric's name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

/// What /metrics said at one moment.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Vec<Series>);

impl Metrics {
    /// Reads Prometheus' text format. Label values with escapes in them are kept as they are.
    fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Self(lines.filter_map(series).collect())
    }

    /// How many time series there are.
    pub fn lines(&self) -> usize {
        self.0.len()
    }

    /// All series of all metrics.
    pub fn every(&self) -> impl Iterator<Item = &Series> {
        self.0.iter()
    }

    /// All series of a metric.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Series> {
        self.0.iter().filter(move |series| series.name == name)
    }

    /// The sums of a metric by the values of these labels, as PromQL's `sum by` gives them.
    pub fn sums_by<const N: usize>(&self, name: &str, labels: [&str; N]) -> BTreeMap<[String; N], f64> {
        let mut sums = BTreeMap::new();
        for series in self.all(name) {
            let values = labels.map(|label| series.labels.get(label).cloned().unwrap_or_default());
            *sums.entry(values).or_default() += series.value;
        }
        sums
    }

    /// The sum of a metric over all series that carry these labels.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let carries = |series: &&Series| {
            labels.iter().all(|(label, value)| series.labels.get(*label).is_some_and(|found| found == value))
        };
        self.all(name).filter(carries).map(|series| series.value).sum()
    }
}

/// Reads `name{label="value",...} 1.5`.
fn series(line: &str) -> Option<Series> {
    let (head, value) = line.rsplit_once(' ')?;
    let (name, labels) = match head.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}')?),
        None => (head, ""),
    };
    let pairs = labels.split("\",").filter_map(|pair| pair.split_once("=\""));
    let labels =
        pairs.map(|(label, value)| (label.to_owned(), value.trim_end_matches('"').to_owned())).collect();
    Some(Series { name: name.to_owned(), labels, value: value.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::Metrics;

    #[test]
    fn metrics_are_summed_by_label() {
        let metrics = Metrics::parse(
            "# TYPE weir_requests_total counter\n\
             weir_requests_total{route=\"replica\",reason=\"read\"} 3\n\
             weir_requests_total{route=\"primary\",reason=\"write\"} 2\n\
             weir_requests_total{route=\"primary\",reason=\"a, b\"} 0.5\n\
             weir_clients 7\n",
        );
        assert_eq!(metrics.sum("weir_requests_total", &[]), 5.5);
        assert_eq!(metrics.sum("weir_requests_total", &[("route", "primary")]), 2.5);
        assert_eq!(metrics.sum("weir_requests_total", &[("reason", "a, b")]), 0.5);
        assert_eq!(metrics.sum("weir_clients", &[]), 7.0);
        assert_eq!(metrics.sum("weir_nothing", &[]), 0.0);
        let by_route = metrics.sums_by("weir_requests_total", ["route"]);
        assert_eq!(by_route.into_values().collect::<Vec<_>>(), [2.5, 3.0]);
    }
}
