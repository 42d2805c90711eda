//! Whom the databases are on: `[[servers]]` of all hosts that `[databases]` names, and `[[databases]]` of what else it says.

use std::path::Path;

use super::draft::{Draft, Keys};
use super::ini::{Entry, Ini, pairs};
use super::pools;
use super::values::beside;

/// What one entry of `[databases]` says.
pub(super) struct Database {
    pub(super) name: String,
    pairs: Vec<(String, String)>,
}

impl Database {
    pub(super) fn of(entry: &Entry) -> Self {
        Self { name: entry.key.clone(), pairs: pairs(&entry.value) }
    }

    pub(super) fn value(&self, key: &str) -> Option<&str> {
        self.pairs.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// What it is called on the servers.
    pub(super) fn server_name(&self) -> &str {
        self.value("dbname").unwrap_or(&self.name)
    }
}

/// Writes the servers; those of each database, in the order of the databases.
pub(super) fn write(draft: &mut Draft, ini: &Ini, file: &Path) -> Vec<Vec<(String, u16)>> {
    draft.blank();
    draft.comment("The hosts of all databases. weir takes them for one cluster: a primary and its streaming replicas. It finds");
    draft
        .comment("out which is which. Add the replicas that PgBouncer did not know; `weir init` finds them.");
    let (mut all, mut by_database): (Vec<(String, u16)>, _) = (Vec::new(), Vec::new());
    for entry in ini.databases() {
        let hosts = hosts(draft, ini, &Database::of(entry));
        for host in &hosts {
            if !all.contains(host) {
                all.push(host.clone());
            }
        }
        by_database.push(hosts);
    }
    for (host, port) in &all {
        let mut keys = Keys::default();
        keys.text("host", host);
        keys.put("port", port);
        if !host.starts_with('/') {
            tls(ini, file, &mut keys);
        }
        draft.table("[[servers]]", keys);
    }
    if all.len() > 1 {
        draft.remark(
            "the databases are on several hosts: those that are no servers of one cluster need a weir each. Take the \
             others' [[servers]] and [[databases]] out, or reads would find another cluster's data",
        );
    }
    by_database
}

fn hosts(draft: &mut Draft, ini: &Ini, database: &Database) -> Vec<(String, u16)> {
    let port = database.value("port").and_then(|text| text.parse().ok()).unwrap_or(5432);
    let hosts = database.value("host").unwrap_or_default();
    let hosts: Vec<&str> = hosts.split(',').map(str::trim).filter(|host| !host.is_empty()).collect();
    if hosts.is_empty() {
        // PgBouncer looks for servers' sockets where its own are.
        let directory = ini.setting("unix_socket_dir").filter(|path| path.starts_with('/')).unwrap_or("/tmp");
        return vec![(directory.to_owned(), port)];
    }
    if hosts.iter().any(|host| host.starts_with('@')) {
        draft.remark(
            "a server's socket has an abstract name (@...): give the address of that server, or a directory",
        );
    }
    hosts.iter().filter(|host| !host.starts_with('@')).map(|host| ((*host).to_owned(), port)).collect()
}

fn tls(ini: &Ini, file: &Path, keys: &mut Keys) {
    let mode = ini.setting("server_tls_sslmode").unwrap_or("prefer");
    keys.text("sslmode", mode);
    if mode == "disable" {
        return;
    }
    let mut path = |from: &str, to: &str| {
        if let Some(path) = ini.setting(from).filter(|path| !path.is_empty()) {
            keys.text(to, &beside(file, path).to_string_lossy());
        }
    };
    // PgBouncer looks at it in these modes alone; weir, as libpq, in "require" as well.
    if mode.starts_with("verify") {
        path("server_tls_ca_file", "sslrootcert");
    }
    path("server_tls_cert_file", "sslcert");
    path("server_tls_key_file", "sslkey");
    let protocols = ini.setting("server_tls_protocols").unwrap_or_default().to_ascii_lowercase();
    if protocols.contains("1.3") && !["1.0", "1.1", "1.2"].iter().any(|old| protocols.contains(old)) {
        keys.text("ssl_min_protocol_version", "TLSv1.3");
    }
}

/// Databases that have more to them than their name.
pub(super) fn databases(draft: &mut Draft, ini: &Ini, hosts: &[Vec<(String, u16)>]) {
    let all: Vec<Database> = ini.databases().map(Database::of).collect();
    let first = hosts.first();
    for (database, own) in all.iter().zip(hosts).filter(|(database, _)| database.name != "*") {
        let mut keys = Keys::default();
        if database.server_name() != database.name {
            keys.text("server_database", database.server_name());
        }
        if let Some(size) = database.value("pool_size").and_then(|text| text.parse::<u32>().ok()) {
            keys.put("pool_size", size);
        }
        if let Some(mode) = database.value("pool_mode") {
            keys.text("pool_mode", pools::mode(draft, mode));
        }
        if let Some(query) = database.value("auth_query") {
            keys.text("auth_query", query);
        }
        let elsewhere = Some(own) != first;
        if keys.is_empty() && !elsewhere {
            continue;
        }
        let mut named = Keys::default();
        named.text("name", &database.name);
        let note =
            "\"auto\"   # it was on other hosts than the first database: \"replica\" if those were replicas";
        if elsewhere {
            keys.put("target", note);
        }
        draft.table("[[databases]]", named.with(keys));
    }
    if !all.iter().any(|database| database.name == "*") {
        draft.remark(
            "[databases] has no \"*\": PgBouncer refuses other databases than those, weir passes on whatever the servers have; \
             a line for each in [auth] hba_file keeps it as it was",
        );
    }
    for database in all.iter().filter(|database| database.value("auth_user").is_some()) {
        draft.remark(format!(
            "database {:?} has an auth_user of its own; weir asks as one user, [auth] query_user",
            database.name
        ));
    }
}
