//! Every key that PgBouncer documents, 1.18 to 1.25 and what has been added since, and what becomes of it. Pure.
//!
//! `tests/import` holds the list against PgBouncer's own documentation.

use super::ini::{Entry, Ini, pairs};

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its section.
    pub section: &'static str,
    /// Its name, in the section or in a connection string of it.
    pub name: &'static str,
    /// What it becomes here; nothing where it has no counterpart.
    pub becomes: Option<&'static str>,
    /// Why it has none, or what differs.
    pub remark: &'static str,
}

/// What became of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Where it was written: `pgbouncer.ini:12`.
    pub place: String,
    /// The key, with its section.
    pub key: String,
    /// What became of it, in words.
    pub fate: String,
}

const fn key(section: &'static str, name: &'static str, becomes: &'static str, remark: &'static str) -> Key {
    Key { section, name, becomes: Some(becomes), remark }
}

const fn none(section: &'static str, name: &'static str, remark: &'static str) -> Key {
    Key { section, name, becomes: None, remark }
}

const P: &str = "pgbouncer";
const D: &str = "databases";
const U: &str = "users";
const LOG: &str = "weir logs to standard error, which systemd and containers keep";
const DNS: &str = "names are looked up for each new connection, by the system's resolver";
const SHARED: &str = "weir limits connections by server (connections), by pool (size) and over all (total)";
const CLIENTS: &str = "weir limits clients over all ([listen] client_limit)";
const RESET: &str = "weir knows what a session has left, and resets that (docs/design.md)";
const CHECK: &str = "a connection that died is seen when it dies, and what it was to run runs again";
const CIPHERS: &str = "TLS 1.2 and 1.3 with rustls' ciphers, all of them with forward secrecy";
const BUFFERS: &str = "weir's buffers grow with need and are bounded (docs/performance.md)";
const KEEPALIVE: &str =
    "keepalive follows from [health]: weir gives up a silent server and a silent client by it";
const ONE_LIMIT: &str = "connections have one limit in weir: the size of the pool";
const HERE: &str = "it says of PgBouncer's process what the service's unit says of weir's";

/// All of them.
pub const KEYS: &[Key] = &[
    none(P, "logfile", LOG),
    none(P, "pidfile", HERE),
    key(P, "listen_addr", "[listen] address", "names but localhost must become addresses"),
    key(P, "listen_port", "[listen] address", ""),
    key(P, "unix_socket_dir", "[listen] unix_socket", ""),
    key(P, "unix_socket_mode", "[listen] unix_socket_mode", ""),
    key(P, "unix_socket_group", "[listen] unix_socket_group", ""),
    none(P, "user", HERE),
    key(P, "pool_mode", "[pool] mode", "statement becomes transaction"),
    key(P, "max_client_conn", "[listen] client_limit", ""),
    key(P, "default_pool_size", "[pool] size", "for each server"),
    key(P, "min_pool_size", "[pool] min_idle", "idle ones, not all"),
    none(P, "reserve_pool_size", ONE_LIMIT),
    none(P, "reserve_pool_timeout", ONE_LIMIT),
    none(P, "max_db_connections", SHARED),
    none(P, "max_db_client_connections", CLIENTS),
    none(P, "max_user_connections", SHARED),
    none(P, "max_user_client_connections", CLIENTS),
    none(
        P,
        "server_round_robin",
        "of several servers weir takes the one that is least busy; of connections, the one used last",
    ),
    none(P, "track_extra_parameters", "weir carries all settings"),
    none(P, "ignore_startup_parameters", "weir carries what a client asks for at its start"),
    key(P, "peer_id", "[listen] peer_id", "1 to 255"),
    none(P, "disable_pqexec", "weir reads each statement of a simple query"),
    none(P, "application_name_add_host", "SHOW CLIENTS and the log tell where a client comes from"),
    none(P, "conffile", HERE),
    none(P, "service_name", HERE),
    none(P, "job_name", HERE),
    none(P, "stats_period", "/metrics has counters; averages are made where they are looked at"),
    key(P, "max_prepared_statements", "[pool] prepared_statements", "they are never off"),
    none(P, "scram_iterations", "weir asks for as many as the secret has"),
    key(P, "auth_type", "[[users]] auth, [auth]", "pam, ldap and any have no counterpart"),
    key(P, "auth_hba_file", "[auth] hba_file", "read as PostgreSQL reads it"),
    key(P, "auth_ident_file", "[auth] ident_file", ""),
    key(P, "auth_file", "[auth] userlist", ""),
    key(P, "auth_user", "[auth] query_user", ""),
    key(P, "auth_query", "[auth] query", "PgBouncer's own becomes true"),
    key(P, "auth_dbname", "[auth] query_database", ""),
    none(P, "auth_ldap_options", "weir asks no LDAP server"),
    none(P, "syslog", LOG),
    none(P, "syslog_ident", LOG),
    none(P, "syslog_facility", LOG),
    none(P, "log_connections", "[log] filter = \"debug\" tells of logins; /metrics counts them"),
    none(P, "log_disconnections", "likewise"),
    none(P, "log_pooler_errors", "what weir refuses is counted by its SQLSTATE in /metrics"),
    none(P, "log_stats", "/metrics tells"),
    key(P, "verbose", "[log] filter", ""),
    key(P, "admin_users", "[console] users", ""),
    key(P, "stats_users", "[console] stats_users", ""),
    none(P, "server_reset_query", RESET),
    none(P, "server_reset_query_always", RESET),
    none(P, "server_check_delay", CHECK),
    none(P, "server_check_query", CHECK),
    none(P, "server_fast_close", "RECONNECT closes what is idle at once, and the rest when it comes free"),
    key(P, "server_lifetime", "[pool] lifetime", ""),
    key(P, "server_idle_timeout", "[pool] idle_timeout", ""),
    key(P, "server_connect_timeout", "[pool] connect_timeout", ""),
    none(P, "server_login_retry", "[health] probes find out when a server is back"),
    key(P, "client_login_timeout", "[listen] login_timeout", ""),
    none(P, "autodb_idle_timeout", "a pool without connections costs nothing"),
    none(P, "pool_idle_timeout", "a pool without connections costs nothing"),
    none(P, "dns_max_ttl", DNS),
    none(P, "dns_nxdomain_ttl", DNS),
    none(P, "dns_zone_check_period", DNS),
    none(P, "resolv_conf", DNS),
    none(P, "query_wait_notify", "weir sends clients nothing of its own; SHOW CLIENTS tells who waits"),
    none(P, "login_notify_message", "weir sends clients nothing of its own"),
    key(P, "client_tls_sslmode", "[listen] tls", ""),
    key(P, "client_tls_key_file", "[listen] tls_key", ""),
    key(P, "client_tls_cert_file", "[listen] tls_certificate", ""),
    key(P, "client_tls_ca_file", "[listen] tls_ca", ""),
    key(P, "client_tls_protocols", "[listen] tls_min_version", "1.2 is the oldest"),
    none(P, "client_tls_ciphers", CIPHERS),
    none(P, "client_tls13_ciphers", CIPHERS),
    none(P, "client_tls_ecdhcurve", CIPHERS),
    none(P, "client_tls_dheparams", CIPHERS),
    key(P, "server_tls_sslmode", "[[servers]] sslmode", ""),
    key(P, "server_tls_ca_file", "[[servers]] sslrootcert", ""),
    key(P, "server_tls_key_file", "[[servers]] sslkey", ""),
    key(P, "server_tls_cert_file", "[[servers]] sslcert", ""),
    key(P, "server_tls_protocols", "[[servers]] ssl_min_protocol_version", "1.2 is the oldest"),
    none(P, "server_tls_ciphers", CIPHERS),
    none(P, "server_tls13_ciphers", CIPHERS),
    key(P, "query_timeout", "[timeouts] query", "the session goes on"),
    key(P, "query_wait_timeout", "[pool] checkout_timeout", "the client gets an error, and stays"),
    none(P, "cancel_wait_timeout", "a cancel request waits for no pool"),
    key(P, "client_idle_timeout", "[timeouts] idle_client", ""),
    key(P, "idle_transaction_timeout", "[timeouts] idle_in_transaction", ""),
    none(
        P,
        "transaction_timeout",
        "PostgreSQL 17 has transaction_timeout itself; ALTER ROLE ... SET gives it to a user",
    ),
    none(P, "suspend_timeout", "SUSPEND waits for as long as it takes, and Ctrl-C ends the waiting"),
    none(P, "pkt_buf", BUFFERS),
    none(
        P,
        "max_packet_size",
        "a client's message may be as long as PostgreSQL takes; rows pass as they come",
    ),
    none(P, "listen_backlog", "the system's limit (net.core.somaxconn) holds"),
    none(P, "sbuf_loopcnt", BUFFERS),
    key(P, "so_reuseport", "[listen] reuse_port", ""),
    none(P, "tcp_defer_accept", "a client that says nothing is closed after [listen] login_timeout"),
    none(P, "tcp_socket_buffer", BUFFERS),
    none(P, "tcp_keepalive", KEEPALIVE),
    none(P, "tcp_keepcnt", KEEPALIVE),
    none(P, "tcp_keepidle", KEEPALIVE),
    none(P, "tcp_keepintvl", KEEPALIVE),
    none(P, "tcp_user_timeout", KEEPALIVE),
    key(D, "dbname", "[[databases]] server_database", ""),
    key(D, "host", "[[servers]] host", "of all databases together"),
    key(D, "port", "[[servers]] port", ""),
    key(D, "user", "[[users]] server_user", "where all databases have the same one"),
    key(D, "password", "[[users]] server_password_file", "likewise"),
    none(D, "auth_user", "weir asks as one user, [auth] query_user"),
    key(D, "auth_query", "[[databases]] auth_query", ""),
    none(D, "auth_dbname", "[auth] query_database holds for all"),
    key(D, "pool_size", "[[databases]] pool_size", ""),
    none(D, "min_pool_size", "[pool] min_idle holds for all"),
    none(D, "reserve_pool", ONE_LIMIT),
    none(D, "reserve_pool_size", ONE_LIMIT),
    none(D, "connect_query", "ALTER ROLE ... IN DATABASE ... SET gives a user settings from the start"),
    key(D, "pool_mode", "[[databases]] pool_mode", ""),
    none(D, "query_wait_timeout", "[pool] checkout_timeout holds for all"),
    none(D, "load_balance_hosts", "writes go to the primary, reads to the replica that is least busy"),
    none(
        D,
        "target_session_attrs",
        "weir finds out what each server is; [[databases]] target says what a database is for",
    ),
    none(D, "max_db_connections", SHARED),
    none(D, "max_db_client_connections", CLIENTS),
    none(D, "server_lifetime", "[pool] lifetime holds for all"),
    none(D, "client_encoding", "clients say it, or ALTER DATABASE ... SET"),
    none(D, "datestyle", "clients say it, or ALTER DATABASE ... SET"),
    none(D, "timezone", "clients say it, or ALTER DATABASE ... SET"),
    key(U, "pool_size", "[[users]] pool_size", ""),
    none(U, "reserve_pool_size", ONE_LIMIT),
    key(U, "pool_mode", "[[users]] pool_mode", ""),
    none(U, "max_user_connections", SHARED),
    none(U, "max_user_client_connections", CLIENTS),
    key(U, "query_timeout", "[[users]] query_timeout", ""),
    none(U, "query_wait_timeout", "[pool] checkout_timeout holds for all"),
    key(U, "idle_transaction_timeout", "[[users]] idle_in_transaction_timeout", ""),
    none(
        U,
        "transaction_timeout",
        "PostgreSQL 17 has transaction_timeout itself; ALTER ROLE ... SET gives it to a user",
    ),
    key(U, "client_idle_timeout", "[[users]] idle_client_timeout", ""),
    key("peers", "host", "[[peers]] host", ""),
    key("peers", "port", "[[peers]] port", ""),
    none("peers", "pool_size", "a cancel request is passed on by a connection of its own"),
];

/// What becomes of each key that was written.
pub(super) fn told(ini: &Ini) -> Vec<Told> {
    ini.entries.iter().flat_map(of_entry).collect()
}

fn of_entry(entry: &Entry) -> Vec<Told> {
    let told = |key: String, name: &str| {
        let known = KEYS.iter().find(|known| known.section == entry.section && known.name == name);
        Told { place: entry.place.clone(), key, fate: fate(known) }
    };
    match entry.section.as_str() {
        "databases" | "users" | "peers" => {
            let name = |key: &str| format!("[{}] {} {key}", entry.section, entry.key);
            pairs(&entry.value).iter().map(|(key, _)| told(name(key), key)).collect()
        }
        section => vec![told(format!("[{section}] {}", entry.key), &entry.key)],
    }
}

fn fate(known: Option<&Key>) -> String {
    match known {
        None => "no key of PgBouncer's that weir knows".to_owned(),
        Some(Key { becomes: None, remark, .. }) => format!("nothing here: {remark}"),
        Some(Key { becomes: Some(becomes), remark: "", .. }) => format!("becomes {becomes}"),
        Some(Key { becomes: Some(becomes), remark, .. }) => format!("becomes {becomes} ({remark})"),
    }
}
