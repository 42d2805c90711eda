//! A weir whose configuration is written anew.

use std::fs;
use std::process::{Command, Output};

use harness::client::{Address, Client, Login};
use harness::{Cluster, Options, Result, Weir, WeirSetup};

/// Real servers with weir in front.
pub(crate) struct Stage {
    pub(crate) cluster: Cluster,
    pub(crate) weir: Weir,
}

impl Stage {
    /// With so many replicas, of which weir knows the first `known` servers.
    pub(crate) fn new(replicas: usize, known: usize) -> Self {
        Self::with(Options::new(replicas), known)
    }

    pub(crate) fn with(options: Options, known: usize) -> Self {
        let cluster = Cluster::with(options).unwrap();
        cluster.sql(0, "CREATE TABLE t (id int); ALTER TABLE t OWNER TO app").unwrap();
        cluster.wait_caught_up().unwrap();
        let weir = WeirSetup::in_front_of(&cluster, 0..known)
            .at_any_age()
            .set("health", "interval", "\"100ms\"")
            .start(env!("CARGO_BIN_EXE_weir"))
            .unwrap();
        Self { cluster, weir }
    }

    /// The configuration as it is written now.
    pub(crate) fn text(&self) -> String {
        fs::read_to_string(self.weir.config()).unwrap()
    }

    /// Writes another one, whole, and says what `weir reload` made of it.
    pub(crate) fn reload(&self, text: &str) -> Output {
        let new = self.weir.config().with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(&new, self.weir.config()).unwrap();
        let weir = env!("CARGO_BIN_EXE_weir");
        Command::new(weir).arg("reload").arg("--config").arg(self.weir.config()).output().unwrap()
    }

    /// The same where it is right. What changed, a line each.
    pub(crate) fn take(&self, text: &str) -> String {
        let output = self.reload(text);
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let wrong = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{told}{wrong}\n{}", self.weir.log());
        told
    }

    /// With one key another.
    pub(crate) fn set(&self, section: &str, key: &str, value: &str) -> String {
        self.take(&with(&self.text(), section, key, value))
    }

    /// A `[[servers]]` entry for a server of the cluster.
    pub(crate) fn server(&self, index: usize, keys: &str) -> String {
        let (name, host, port) =
            (self.cluster.name(index), self.cluster.host(index), self.cluster.port(index));
        format!("[[servers]]\nname = \"{name}\"\nhost = \"{host}\"\nport = {port}\n{keys}\n")
    }

    pub(crate) fn log_in(&self, user: &str, password: &str, database: &str) -> Result<Client> {
        Client::connect(&self.weir.address(), &Login::new(user, password).database(database))
    }

    pub(crate) fn at(port: u16) -> Result<Client> {
        Client::connect(&Address::local(port), &Login::new("app", "app"))
    }

    /// How many connections a server has of weir's clients.
    pub(crate) fn connections(&self, server: usize) -> usize {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND application_name = ''";
        self.cluster.sql(server, sql).unwrap().value().parse().unwrap()
    }
}

/// A configuration with one key of a `[section]` another. Those of `[[lists]]` are written by hand.
pub(crate) fn with(text: &str, section: &str, key: &str, value: &str) -> String {
    let header = format!("[{section}]");
    let line = format!("{key} = {value}");
    let (mut lines, mut inside, mut found) = (Vec::new(), false, false);
    for old in text.lines() {
        if old.starts_with('[') {
            inside = old == header;
        }
        if inside && old.split(" = ").next() == Some(key) {
            continue;
        }
        lines.push(old);
        if old == header {
            lines.push(&line);
            found = true;
        }
    }
    if !found {
        lines.splice(0..0, [header.as_str(), &line, ""]);
    }
    lines.join("\n") + "\n"
}

/// A configuration without the entry of a list that holds this line.
pub(crate) fn without(text: &str, line: &str) -> String {
    let starts: Vec<_> = text.match_indices("[[").map(|(at, _)| at).collect();
    let at = text.find(line).unwrap();
    let from = starts.iter().rev().find(|start| **start < at).copied().unwrap();
    let to = starts.into_iter().find(|start| *start > at).unwrap_or(text.len());
    format!("{}{}", &text[..from], &text[to..])
}
