//! From what the user wrote to what the program runs on: every default, unit and limit stands here, in the order of
//! [`Config`].

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use config::Value;
use zeroize::Zeroizing;

use super::auth::{auth, check_databases, complete, own_statement};
use super::doubts::doubts;
use super::finding::{check_servers, discovery};
use super::host::{self, host};
use super::kinds::{
    self, DAY, HOUR, MINUTE, MS, PATIENCE, SECOND, count, duration, duration_or_off, list, regex, size, text,
    word,
};
use super::listeners::{listeners, taken};
use super::log_filter::log_filter;
use super::operators::operators;
use super::overrides::{MAX_STALENESS, consistency, max_staleness, pool_mode, target, timeout, transactions};
use super::section::{Report, Section};
use super::server_tls::server_tls;
use super::traces::traces;
use super::users::{Known, Surroundings, user};
use super::written::Written;
use super::{
    Auth, ChannelBinding, Clients, Config, Credential, Database, Discovery, Health, Listen, Listener, Log,
    LogFormat, Metrics, Mistakes, Peers, Pool, RoleSetting, Routing, Rule, Server, ServerProof, Source,
    Timeouts, User, peers, source, warnings,
};

/// Of a server of which nothing is said. So many connections are below PostgreSQL's own default of 100, so that people and
/// monitoring still get in.
const PORT: u16 = 5432;
const WEIGHT: u32 = 1;
const CONNECTIONS: usize = 90;

/// Loads and checks a configuration file, with the process's environment laid over it.
///
/// # Errors
/// All mistakes at once, each with the path of its key and its line or variable.
pub fn load(file: &Path) -> Result<Config, Mistakes> {
    load_whole(file).map(|loaded| loaded.config)
}

/// A configuration, and what was written of it.
#[derive(Debug)]
pub struct Loaded {
    /// What it means.
    pub config: Config,
    /// What was written, by which another one is compared with it.
    pub written: Written,
}

/// As [`load`], for who reads it again later.
///
/// # Errors
/// Likewise.
pub fn load_whole(file: &Path) -> Result<Loaded, Mistakes> {
    // A variable that is not UTF-8 cannot be one of ours, nor a password that PostgreSQL would take.
    let environment =
        std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
    load_whole_with(file, &environment.collect())
}

/// As [`load`], with the given variables in place of the process's environment.
///
/// # Errors
/// All mistakes at once.
pub fn load_with(file: &Path, environment: &HashMap<String, String>) -> Result<Config, Mistakes> {
    load_whole_with(file, environment).map(|loaded| loaded.config)
}

/// As [`load_whole`], with the given variables in place of the process's environment.
///
/// # Errors
/// All mistakes at once.
pub fn load_whole_with(file: &Path, environment: &HashMap<String, String>) -> Result<Loaded, Mistakes> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Mistakes::unreadable(file, format!("cannot be read: {error}")))?;
    // There may be passwords in it.
    let text = Zeroizing::new(text);
    let mut mistakes = Vec::new();
    let tree = source::layered(file, &text, environment, &mut mistakes)?;

    let report = Report::new(mistakes);
    let around = Surroundings { file, environment, warned: RefCell::default() };
    let mut config = Section::root(&report, tree, |root| whole(root, &around));
    // A section that may be absent is not asked for its keys then.
    let known = report.known().into_iter().chain(["metrics.address".to_owned(), "metrics.page".to_owned()]);
    source::unheeded(environment, known).for_each(|mistake| report.add(mistake));
    match report.into_parts() {
        (mistakes, written) if mistakes.is_empty() => {
            config.warnings.extend(around.warned.into_inner());
            config.warnings.extend(warnings::users(&config));
            config.warnings.extend(doubts(&config));
            Ok(Loaded { config, written })
        }
        (mistakes, _) => Err(Mistakes::new(file, mistakes)),
    }
}

fn whole(root: &mut Section, around: &Surroundings) -> Config {
    let (listeners, mut clients) = listeners(root, around, clients);
    clients.peers = peers::peers(root, around, clients.peers.own);
    let metrics = root.section_if_present("metrics", |s| metrics(s, &listeners));
    let log = root.section("log", log);
    let (mut warnings, mut passwords) = (Vec::new(), 0);
    let traces = Arc::new(root.section("traces", traces));
    let discovery = root.section("discovery", |s| {
        passwords += usize::from(s.has("password"));
        discovery(s, around)
    });
    let (servers, template) = servers(root, around, &listeners, &discovery);
    let databases = databases(root);
    let timeouts = root.section("timeouts", timeouts);
    let mut auth = root.section("auth", |s| {
        passwords += usize::from(s.has("query_password"));
        auth(s, around, &mut warnings)
    });
    check_databases(root, &auth, &databases);
    auth.operators = operators(root, databases.iter().map(|database| &*database.name));
    let mut known = Known { names: HashSet::new(), elsewhere: auth.has_source(), timeouts };
    let users = root.list("users", |entry| {
        passwords += usize::from(entry.has("password") || entry.has("server_password"));
        user(entry, around, &mut known)
    });
    if users.is_empty() && !auth.has_source() {
        root.note("users", "at least one [[users]] entry is needed: nobody could log in");
    }
    warnings.extend(warnings::readable_passwords(around.file, passwords));
    let health = root.section("health", |s| health(s, &users, &auth));
    auth.query.iter_mut().for_each(|query| complete(query, &users));
    Config {
        listeners: listeners.into_iter().map(Arc::new).collect(),
        clients,
        metrics: metrics.flatten(),
        log,
        traces,
        servers,
        discovery,
        template,
        databases,
        pool: root.section("pool", pool),
        timeouts,
        routing: root.section("routing", routing),
        health,
        users,
        auth,
        workers: root.section("runtime", workers),
        warnings,
    }
}

/// What else `[listen]` says.
fn clients(s: &mut Section) -> Clients {
    Clients {
        limit: s.read("client_limit", count(1..=1_000_000)).unwrap_or(10_000),
        login_timeout: s.read("login_timeout", duration(PATIENCE)).unwrap_or(MINUTE),
        drain_timeout: s.read("drain_timeout", duration(Duration::ZERO..=DAY)).unwrap_or(30 * SECOND),
        peers: Peers { own: peers::id(s, "peer_id"), all: Vec::new() },
    }
}

fn metrics(s: &mut Section, listeners: &[Listener]) -> Option<Metrics> {
    let page = s.read("page", kinds::flag).unwrap_or(true);
    let address = s.require("address", kinds::address);
    if address.is_some_and(|address| taken(listeners, address)) {
        s.note("address", "clients are listened for at this address already");
    }
    Some(Metrics { address: address?, page })
}

fn log(s: &mut Section) -> Log {
    Log {
        filter: s.read("filter", log_filter).unwrap_or_else(|| "info".to_owned()),
        format: s
            .read("format", word(&[("text", LogFormat::Text), ("json", LogFormat::Json)]))
            .unwrap_or_default(),
        slow_query: s.read("slow_query", duration_or_off(MS..=DAY)).unwrap_or(Some(SECOND)),
    }
}

fn servers(
    root: &mut Section,
    around: &Surroundings,
    listeners: &[Listener],
    discovery: &Discovery,
) -> (Vec<Server>, Option<Server>) {
    let (mut names, mut addresses) = (HashSet::new(), HashSet::new());
    let mut template = None;
    let hostless = matches!(discovery.source, Source::Patroni(_));
    let mut servers = root.list("servers", |entry| {
        if hostless && !entry.has("host") {
            let common = self::template(entry, around);
            if template.replace(common.clone()).is_some() {
                entry.note_whole(
                    "another entry without a host says already what holds for servers that are found",
                );
            }
            return common;
        }
        let server = server(entry, around);
        if server.host.is_empty() {
            // What is wrong with it has been noted.
            return server;
        }
        if listeners.iter().any(|listener| host::is_at(listener, &server.host, server.port)) {
            let port = server.port;
            entry.note(
                "host",
                format!("weir itself listens at port {port} there: it would be its own server"),
            );
        }
        if !addresses.insert((host::plain(&server.host), server.port)) {
            entry.note("host", "another entry is the same server already");
        } else if !names.insert(server.name.clone()) {
            entry.note("name", format!("another server is called {:?} already", server.name));
        }
        server
    });
    let template = template.or_else(|| hostless.then(Server::usual));
    servers.retain(|server| !server.host.is_empty() || !hostless);
    check_servers(root, discovery, &servers);
    let fixed = |role| servers.iter().filter(|server| server.role == role).count();
    if servers.is_empty() && !hostless {
        root.note("servers", "at least one [[servers]] entry is needed");
    } else if fixed(RoleSetting::Primary) > 1 {
        root.note("servers", "only one can have role = \"primary\"");
    } else if fixed(RoleSetting::Replica) == servers.len() && !hostless {
        root.note("servers", "all have role = \"replica\", so no write could ever run");
    }
    (servers, template)
}

impl Server {
    /// One that is found, and of which nothing is said.
    fn usual() -> Self {
        Self {
            name: Arc::default(),
            host: Arc::default(),
            address: None,
            port: PORT,
            role: RoleSetting::Auto,
            weight: WEIGHT,
            connections: CONNECTIONS,
            tls: Arc::default(),
            channel_binding: ChannelBinding::default(),
        }
    }
}

/// What holds for servers whose host is found.
fn template(entry: &mut Section, around: &Surroundings) -> Server {
    for key in ["port", "name", "role"].into_iter().filter(|key| entry.has(key)) {
        entry.note(key, "is found, as the host is; this entry says what else holds for all that are found");
    }
    settings(entry, around, String::new())
}

fn server(entry: &mut Section, around: &Surroundings) -> Server {
    let host = entry.require("host", host).unwrap_or_default();
    settings(entry, around, host)
}

fn settings(entry: &mut Section, around: &Surroundings, host: String) -> Server {
    const ROLES: [(&str, RoleSetting); 3] =
        [("auto", RoleSetting::Auto), ("primary", RoleSetting::Primary), ("replica", RoleSetting::Replica)];
    let port =
        entry.read("port", count(1..=65_535)).and_then(|port| u16::try_from(port).ok()).unwrap_or(PORT);
    let weight = entry.read("weight", count(0..=1000)).and_then(|weight| u32::try_from(weight).ok());
    // Of a host that is found later nothing is known that a certificate could not be for.
    let checked = if host.is_empty() { "found" } else { &host };
    let (tls, binding) = server_tls(entry, checked, around);
    Server {
        address: None,
        name: entry.read("name", text).unwrap_or_else(|| format!("{host}:{port}")).into(),
        channel_binding: binding,
        tls,
        host: host.into(),
        port,
        role: entry.read("role", word(&ROLES)).unwrap_or_default(),
        weight: weight.unwrap_or(WEIGHT),
        connections: entry.read("connections", count(1..=100_000)).unwrap_or(CONNECTIONS),
    }
}

fn databases(root: &mut Section) -> Vec<Database> {
    let mut names = HashSet::new();
    root.list("databases", |entry| {
        let name = entry.require("name", text).unwrap_or_default();
        if !name.is_empty() && !names.insert(name.clone()) {
            entry.note("name", format!("another database is called {name:?} already"));
        }
        Database {
            server_database: entry.read("server_database", text).unwrap_or_else(|| name.clone()).into(),
            name: name.into(),
            target: entry.read("target", target).unwrap_or_default(),
            transactions: entry.read("transactions", transactions),
            consistency: entry.read("consistency", consistency),
            max_staleness: entry.read("max_staleness", max_staleness),
            pool_size: entry.read("pool_size", count(1..=10_000)),
            pool_mode: entry.read("pool_mode", pool_mode),
            auth_query: entry.read("auth_query", own_statement),
        }
    })
}

fn pool(s: &mut Section) -> Pool {
    let pool = Pool {
        mode: s.read("mode", pool_mode).unwrap_or_default(),
        size: s.read("size", count(1..=10_000)).unwrap_or(20),
        total: s.read("total", count(0..=1_000_000)).unwrap_or(0),
        min_idle: s.read("min_idle", count(0..=10_000)).unwrap_or(0),
        idle_timeout: s.read("idle_timeout", duration(SECOND..=30 * DAY)).unwrap_or(10 * MINUTE),
        lifetime: s.read("lifetime", duration(SECOND..=365 * DAY)).unwrap_or(HOUR),
        checkout_timeout: s.read("checkout_timeout", duration(PATIENCE)).unwrap_or(10 * SECOND),
        queue_limit: s.read("queue_limit", count(0..=1_000_000)).unwrap_or(10_000),
        connect_timeout: s.read("connect_timeout", duration(PATIENCE)).unwrap_or(5 * SECOND),
        prepared_statements: s.read("prepared_statements", count(1..=100_000)).unwrap_or(200),
        primary_wait: s.read("primary_wait", duration(Duration::ZERO..=DAY)).unwrap_or(10 * SECOND),
        listen: listen(s),
    };
    if pool.min_idle > pool.size {
        s.note("min_idle", format!("is {}, more than size, which is {}", pool.min_idle, pool.size));
    }
    if pool.total != 0 && pool.total < pool.size {
        s.note("total", format!("is {}, less than size, which is {}", pool.total, pool.size));
    }
    pool
}

fn listen(s: &mut Section) -> Listen {
    let queue = s.read("notification_queue", size(64 << 10..=1 << 30)).unwrap_or(8 << 20);
    let shared = Listen::Shared { queue };
    s.read("listen", word(&[("shared", shared), ("pinned", Listen::Pinned)])).unwrap_or(shared)
}

fn timeouts(s: &mut Section) -> Timeouts {
    Timeouts {
        idle_client: s.read("idle_client", timeout).flatten(),
        idle_in_transaction: s.read("idle_in_transaction", timeout).flatten(),
        query: s.read("query", timeout).flatten(),
    }
}

fn routing(s: &mut Section) -> Routing {
    Routing {
        transactions: s.read("transactions", transactions).unwrap_or_default(),
        consistency: s.read("consistency", consistency).unwrap_or_default(),
        max_staleness: s.read("max_staleness", duration_or_off(MAX_STALENESS)).unwrap_or(Some(10 * SECOND)),
        freshness_wait: s.read("freshness_wait", duration(Duration::ZERO..=SECOND)).unwrap_or(10 * MS),
        read_functions: s.read("read_functions", names).unwrap_or_default(),
        write_functions: s.read("write_functions", names).unwrap_or_default(),
        stateless_functions: s.read("stateless_functions", names).unwrap_or_default(),
        verdict_cache: s.read("verdict_cache", count(1..=10_000_000)).unwrap_or(10_000),
        learned: s.read("learned", count(0..=1_000_000)).unwrap_or(1000),
        learned_ttl: s.read("learned_ttl", duration(SECOND..=30 * DAY)).unwrap_or(10 * MINUTE),
        hold_back: s.read("hold_back", size(0..=16 << 20)).unwrap_or(64 << 10),
        rules: s.list("rules", |entry| rule(entry)),
    }
}

fn rule(entry: &mut Section) -> Rule {
    const CONDITIONS: [&str; 5] = ["user", "database", "application_name", "table", "statement"];
    if !CONDITIONS.iter().any(|condition| entry.has(condition)) {
        entry.note_whole(format!("needs a condition: {}", CONDITIONS.join(", ")));
    }
    if !entry.has("target") && !entry.has("transactions") {
        entry.note("target", "is missing; a rule gives target, transactions, or both");
    }
    Rule {
        user: entry.read("user", text),
        database: entry.read("database", text),
        application_name: entry.read("application_name", text),
        table: entry.read("table", name),
        statement: entry.read("statement", regex),
        target: entry.read("target", target),
        transactions: entry.read("transactions", transactions),
    }
}

/// Servers are watched as one of the users that are listed, or as the one who asks for the others.
fn health(s: &mut Section, users: &[User], auth: &Auth) -> Health {
    let user = s.read("user", text);
    let asks = auth.query.as_ref().map(|query| &query.user);
    let is_known = |name: &str| users.iter().map(|user| &user.name).chain(asks).any(|known| **known == *name);
    if let Some(user) = user.as_ref().filter(|user| !is_known(user)) {
        s.note("user", format!("no [[users]] entry is called {user:?}"));
    }
    // What is known of a user elsewhere is not known to probes.
    let has_proof = |user: &&User| {
        !matches!(user.credential, Credential::Elsewhere) || user.server_proof != ServerProof::None
    };
    let first_user = users.iter().find(has_proof).map(|user| &user.name).or(asks);
    if user.is_none() && first_user.is_none() && auth.has_source() {
        s.note("user", "is missing; as whom are the servers watched?");
    }
    Health {
        interval: s.read("interval", duration(10 * MS..=HOUR)).unwrap_or(SECOND),
        timeout: s.read("timeout", duration(10 * MS..=HOUR)).unwrap_or(2 * SECOND),
        lost_after: s.read("lost_after", duration(Duration::ZERO..=HOUR)).unwrap_or(5 * SECOND),
        database: s.read("database", text).unwrap_or_else(|| "postgres".to_owned()).into(),
        user: user.map(Arc::from).or_else(|| first_user.cloned()).unwrap_or_default(),
        catalog_interval: s.read("catalog_interval", duration(SECOND..=DAY)).unwrap_or(30 * SECOND),
    }
}

/// Half the processors unless more is said: a second thread costs each transaction about a tenth more
/// (docs/performance.md).
fn workers(s: &mut Section) -> usize {
    match s.read("workers", count(0..=1024)).unwrap_or(0) {
        0 => std::thread::available_parallelism().map_or(1, |all| (all.get() / 2).max(1)),
        workers => workers,
    }
}

/// `name` or `schema.name`.
fn name(value: &Value) -> Result<String, String> {
    let name = text(value)?;
    let parts: Vec<&str> = name.split('.').collect();
    if parts.len() > 2 || parts.iter().any(|part| part.is_empty() || part.trim() != *part) {
        return Err(format!("expected name or schema.name, found {name:?}"));
    }
    Ok(name)
}

fn names(value: &Value) -> Result<Vec<String>, String> {
    let names = list(value)?;
    names.iter().try_for_each(|text| name(&Value::new(None, text.as_str())).map(drop))?;
    Ok(names)
}
