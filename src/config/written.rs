//! What was written of a configuration, key by key, so that two of them can be compared; and which keys hold at once when
//! they change. No secret is in it, but a mark by which another one is told apart.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher as _};

use config::{Value, ValueKind};

use super::Secret;
use super::kinds::found;

/// Keys that a reload brings into force, by section. With [`RESTART`] these are all that there are.
pub const LIVE: &[(&str, &[&str])] = &[
    ("servers[]", &["host", "port", "name", "role", "weight", "connections", "sslmode", "sslnegotiation"]),
    ("servers[]", &["channel_binding", "sslrootcert", "sslcert", "sslkey"]),
    ("servers[]", SSL_MORE),
    ("discovery", &["kind", "keep", "timeout", "nameservers", "urls", "interval", "user", "password"]),
    ("discovery", &["password_file", "password_env", "sslmode", "sslrootcert", "sslcert", "sslkey"]),
    ("peers[]", SSL_MORE),
    ("users[]", &["name", "auth", "password", "password_file", "password_env", "verifier", "server_user"]),
    (
        "users[]",
        &["server_password", "server_password_file", "server_password_env", "target", "transactions"],
    ),
    ("users[]", &["pinning", "consistency", "max_staleness", "pool_size", "pool_mode", "query_timeout"]),
    ("users[]", &["idle_client_timeout", "idle_in_transaction_timeout"]),
    ("auth", &["userlist", "query", "query_user", "query_password", "query_password_file"]),
    ("auth", &["query_password_env", "query_database", "query_ttl", "query_negative_ttl", "hba_file"]),
    ("auth", &["ident_file"]),
    ("console", &["users", "stats_users"]),
    ("databases[]", &["name", "server_database", "target", "transactions", "consistency", "max_staleness"]),
    ("databases[]", &["pool_size", "pool_mode", "auth_query"]),
    ("listen", LISTENER),
    ("listen", &["client_limit", "login_timeout", "drain_timeout"]),
    ("listeners[]", LISTENER),
    ("peers[]", &["id", "host", "port", "sslmode", "sslnegotiation", "sslrootcert", "sslcert", "sslkey"]),
    ("listeners[]", &["target", "transactions"]),
    ("pool", &["mode", "size", "total", "min_idle", "idle_timeout", "lifetime", "checkout_timeout"]),
    (
        "pool",
        &[
            "queue_limit",
            "connect_timeout",
            "prepared_statements",
            "primary_wait",
            "listen",
            "notification_queue",
        ],
    ),
    ("timeouts", &["idle_client", "idle_in_transaction", "query"]),
    ("routing", &["transactions", "consistency", "max_staleness", "freshness_wait", "read_functions"]),
    ("routing", &["write_functions", "stateless_functions", "verdict_cache", "learned", "learned_ttl"]),
    ("routing", &["hold_back"]),
    ("routing.rules[]", &["user", "database", "application_name", "table", "statement", "target"]),
    ("routing.rules[]", &["transactions"]),
    ("health", &["interval", "timeout", "lost_after", "database", "user", "catalog_interval"]),
    ("metrics", &["address", "page"]),
    ("log", &["filter", "format", "slow_query"]),
    ("traces", &["endpoint", "sampled", "service_name"]),
];

const SSL_MORE: &[&str] =
    &["ssl_min_protocol_version", "sslcrl", "sslpassword", "sslpassword_env", "sslpassword_file"];

const LISTENER: &[&str] = &[
    "address",
    "reuse_port",
    "unix_socket",
    "unix_socket_mode",
    "unix_socket_group",
    "tls",
    "tls_certificate",
    "tls_key",
    "tls_ca",
    "tls_crl",
    "tls_min_version",
];

/// Keys that hold from the next start on, and why.
pub const RESTART: &[(&str, &str)] = &[
    ("runtime.workers", "the threads that carry the data are there from the start"),
    ("listen.peer_id", "process IDs and cancel keys that clients have been given bear it"),
];

/// Keys whose values are never shown.
const SECRETS: [&str; 5] = ["password", "server_password", "verifier", "query_password", "sslpassword"];

/// What was written, by the paths of its keys. Entries of lists are called by what tells them apart, where there is
/// something: `users[app].target`.
#[derive(Clone, Debug, Default)]
pub struct Written {
    values: BTreeMap<String, Shown>,
    /// The keys that exist, written or not, each entry of a list as `[]`.
    known: BTreeSet<String>,
}

/// One value, as it may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shown {
    text: String,
    /// Of what is not shown: the value itself, or what its file holds.
    mark: u64,
}

/// What differs between two configurations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// In the order of their keys.
    pub list: Vec<Change>,
}

/// One key that differs, or one entry of a list that came or went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key's path, or the entry's.
    pub key: String,
    /// What became of it, in words. No secret.
    pub what: String,
    /// Why it does not hold yet, if it does not.
    pub restart: Option<&'static str>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.what)?;
        self.restart.map_or(Ok(()), |why| write!(f, "; holds after a restart: {why}"))
    }
}

impl Written {
    /// A key was asked for, and this was there.
    pub(super) fn enter(&mut self, path: &str, key: &str, value: Option<&Value>) {
        self.known.insert(format!("{}{key}", pattern(path)));
        if let Some(value) = value {
            let text = shown(value);
            let shown = match SECRETS.contains(&key) {
                true => Shown { mark: mark(&text), text: String::new() },
                false => Shown { text, mark: 0 },
            };
            self.values.insert(format!("{path}{key}"), shown);
        }
    }

    /// What is behind a value: a file's secret.
    pub(super) fn leads_to(&mut self, path: &str, key: &str, secret: &Secret) {
        if let Some(shown) = self.values.get_mut(&format!("{path}{key}")) {
            shown.mark = mark(secret.expose());
        }
    }

    /// All has been read: entries get the names by which another configuration's are found.
    pub(super) fn named(self) -> Self {
        let Self { values, known } = self;
        let value = |path: &str| values.get(path).map(|shown| shown.text.trim_matches('"'));
        let name = |path: &str| {
            let Some((list, rest)) = path.split_once('[') else { return path.to_owned() };
            let Some((index, key)) = rest.split_once(']') else { return path.to_owned() };
            let own = |key: &str| value(&format!("{list}[{index}].{key}"));
            let name = match list {
                "servers" => own("host").map(|host| format!("{host}:{}", own("port").unwrap_or("5432"))),
                "users" | "databases" => own("name").map(str::to_owned),
                "peers" => own("id").map(str::to_owned),
                _ => None,
            };
            name.map_or_else(|| path.to_owned(), |name| format!("{list}[{name}]{key}"))
        };
        let values = values.iter().map(|(path, shown)| (name(path), shown.clone())).collect();
        Self { values, known }
    }

    /// The keys that exist, each entry of a list as `[]`.
    pub fn known(&self) -> &BTreeSet<String> {
        &self.known
    }

    /// What differs in a later configuration.
    pub fn changes_to(&self, now: &Self) -> Changes {
        let keys: BTreeSet<&String> = self.values.keys().chain(now.values.keys()).collect();
        let mut list: Vec<Change> = Vec::new();
        for key in keys {
            let (before, after) = (self.values.get(key), now.values.get(key));
            if before == after {
                continue;
            }
            let change = match entry(key) {
                Some(entry) if !self.has(entry) => whole(entry, "added"),
                Some(entry) if !now.has(entry) => whole(entry, "removed"),
                _ => one(key, before, after),
            };
            if list.last() != Some(&change) {
                list.push(change);
            }
        }
        Changes { list }
    }

    fn has(&self, entry: &str) -> bool {
        let from = self.values.range(entry.to_owned()..).next();
        from.is_some_and(|(key, _)| key.starts_with(entry))
    }
}

fn whole(entry: &str, what: &str) -> Change {
    Change { key: entry.to_owned(), what: what.to_owned(), restart: None }
}

fn one(key: &str, before: Option<&Shown>, after: Option<&Shown>) -> Change {
    let is_secret = SECRETS.contains(&key.rsplit('.').next().unwrap_or(key));
    let what = match (before, after) {
        _ if is_secret => "changed".to_owned(),
        (Some(before), Some(after)) if before.text == after.text => "what it leads to has changed".to_owned(),
        (Some(before), Some(after)) => format!("{}, was {}", after.text, before.text),
        (None, Some(after)) => format!("{}, was not set", after.text),
        (Some(before), None) => format!("not set any more, was {}", before.text),
        (None, None) => String::new(),
    };
    let pattern = pattern(key);
    let restart = RESTART.iter().find(|(restart, _)| *restart == pattern).map(|(_, why)| *why);
    Change { key: key.to_owned(), what, restart }
}

/// The part of a path that is an entry of a list: `users[app]`. Names may hold anything, dots and brackets as well.
fn entry(path: &str) -> Option<&str> {
    path.rfind("].").filter(|_| path.contains('[')).map(|end| &path[..=end])
}

/// A path with `[]` in the place of each entry.
fn pattern(path: &str) -> String {
    match (path.find('['), path.rfind(']')) {
        (Some(open), Some(close)) if open < close => format!("{}{}", &path[..=open], &path[close..]),
        _ => path.to_owned(),
    }
}

/// As the file would have it.
fn shown(value: &Value) -> String {
    match &value.kind {
        ValueKind::Array(items) => {
            let items: Vec<_> = items.iter().map(shown).collect();
            format!("[{}]", items.join(", "))
        }
        _ => found(value),
    }
}

fn mark(secret: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    secret.hash(&mut hasher);
    hasher.finish()
}
