//! What is possible and hardly meant, found by comparing parts of the configuration with each other. Refuses nothing.

use super::{
    Auth, Config, Credential, Interface, ListenAddress, RoleSetting, Rule, Secret, Source, TcpAddress,
};

/// PostgreSQL's port, and the one that is usual for poolers, weir among them.
const POSTGRESQL: u16 = 5432;
const POOLER: u16 = 6432;

/// All doubts, each as a warning.
pub(super) fn doubts(config: &Config) -> Vec<String> {
    [
        weights(config),
        finding(config),
        connections(config),
        ports(config),
        certificates(config),
        rules(config),
        probes(config),
    ]
    .concat()
}

fn weights(config: &Config) -> Vec<String> {
    let mut may_read = config.servers.iter().filter(|server| server.role != RoleSetting::Primary);
    let idle =
        config.servers.len() > 1 && !config.discovery.finds() && may_read.all(|server| server.weight == 0);
    let warning = "no replica takes reads: weight is 0 for every server that could be one";
    idle.then(|| warning.to_owned()).into_iter().collect()
}

/// What may be found otherwise than it was meant.
fn finding(config: &Config) -> Vec<String> {
    let fixed = |server: &&super::Server| server.role != RoleSetting::Auto && server.is_name();
    let alike = |server: &super::Server| {
        let name = &server.name;
        format!(
            "server {name:?} has a role, and its name is looked up: every address that it leads to would have it"
        )
    };
    let open = |endpoint: &super::Endpoint| {
        let place = endpoint.authority();
        format!(
            "the password for Patroni goes to {place} unencrypted: https keeps it from whoever is in between"
        )
    };
    let idle = config.template.as_ref().filter(|template| template.weight == 0);
    let idle = idle
        .map(|_| "no server that is found takes reads: the entry without a host has weight = 0".to_owned());
    match &config.discovery.source {
        Source::Static => Vec::new(),
        Source::Dns { .. } => config.servers.iter().filter(fixed).map(alike).collect(),
        Source::Patroni(patroni) => {
            let here = |host: &str| host == "localhost" || host.starts_with("127.") || host == "::1";
            let plain = |endpoint: &&super::Endpoint| endpoint.tls.is_none() && !here(&endpoint.host);
            let open = patroni.endpoints.iter().filter(plain).map(open);
            open.filter(|_| patroni.login.is_some()).chain(idle).collect()
        }
    }
}

/// Pools that never get what they may have.
fn connections(config: &Config) -> Vec<String> {
    let pool = &config.pool;
    let users = config.users.iter().map(|user| (format!("user {:?}", user.name), user.pool_size));
    let databases = config.databases.iter().map(|one| (format!("database {:?}", one.name), one.pool_size));
    let own: Vec<_> =
        users.chain(databases).filter_map(|(whose, size)| size.map(|size| (whose, size))).collect();
    let beyond = |(whose, size): &(String, usize)| {
        let total = pool.total;
        (total != 0 && *size > total).then(|| {
            format!("{whose} may have {size} connections in a pool, more than [pool] total = {total}")
        })
    };
    let usual = ("[pool] size".to_owned(), pool.size);
    let named = own.iter().map(|(whose, size)| (format!("{whose}, pool_size"), *size));
    let largest = named.chain([usual]).max_by_key(|(_, size)| *size).unwrap_or_default();
    let servers = config.servers.iter().chain(&config.template);
    let short = servers.filter(|server| server.connections < largest.1).map(|server| {
        let name = if server.name.is_empty() { "that is found" } else { &*server.name };
        let (connections, (whose, size)) = (server.connections, &largest);
        format!(
            "server {name:?} may have {connections} connections, fewer than one pool ({whose} = {size}): pools there never \
             grow to their size"
        )
    });
    short.chain(own.iter().filter_map(beyond)).collect()
}

/// Servers where a pooler is usual, while weir listens where a server is.
fn ports(config: &Config) -> Vec<String> {
    let port = |address: &ListenAddress| match address {
        ListenAddress::Tcp(TcpAddress { interface, .. }) => match interface {
            Interface::Address(address) | Interface::Ipv6(address) => Some(address.port()),
            Interface::All(port) => Some(*port),
        },
        ListenAddress::Unix(_) => None,
    };
    let Some(listener) = config.listeners.iter().find(|one| port(&one.address) == Some(POSTGRESQL)) else {
        return Vec::new();
    };
    let swapped = config.servers.iter().filter(|server| server.port == POOLER).map(|server| {
        let (name, host, here) = (&server.name, &server.host, &listener.address);
        format!(
            "server {name:?} has the port of a pooler, and weir listens at PostgreSQL's: are the ports of {here} and \
             {host}:{POOLER} swapped?"
        )
    });
    swapped.collect()
}

/// Users whose proof no listener can check.
fn certificates(config: &Config) -> Vec<String> {
    let mut files = config.listeners.iter().filter_map(|listener| listener.tls.files());
    if config.auth.hba.is_some() || files.any(|files| files.roots.is_some()) {
        return Vec::new();
    }
    let users = config.users.iter().filter(|user| matches!(user.credential, Credential::Certificate));
    let warning = |user: &super::User| {
        let name = &user.name;
        format!(
            "nobody can log in as user {name:?}: it proves itself by a certificate, and no listener has tls_ca"
        )
    };
    users.map(warning).collect()
}

/// Rules that decide nothing.
fn rules(config: &Config) -> Vec<String> {
    let rules = &config.routing.rules;
    let warning = |(number, rule): (usize, &Rule)| {
        let key = format!("routing.rules[{number}]");
        let earlier = rules.get(..number).unwrap_or_default();
        if let Some(user) = &rule.user
            && is_nobody(config, user)
        {
            return Some(format!("{key} never holds: no [[users]] entry is called {user:?}"));
        }
        if let Some(before) = covered(earlier, rule) {
            let before = format!("routing.rules[{before}]");
            return Some(format!("{key} never decides: wherever it holds, {before} does, and comes first"));
        }
        let whose = rule.target.and(fixed(config, rule))?;
        Some(format!("{key} never decides on a target: {whose} has one of its own, which comes first"))
    };
    rules.iter().enumerate().filter_map(warning).collect()
}

fn is_nobody(config: &Config, name: &str) -> bool {
    !Auth::has_source(&config.auth) && !config.users.iter().any(|user| *user.name == *name)
}

/// The first of the earlier rules without which this one would decide something.
fn covered(earlier: &[Rule], rule: &Rule) -> Option<usize> {
    let by = |gives: fn(&Rule) -> bool| {
        earlier.iter().position(|before| gives(before) && holds_wherever(before, rule))
    };
    let target = by(|rule| rule.target.is_some());
    let transactions = by(|rule| rule.transactions.is_some());
    match (rule.target.is_some(), rule.transactions.is_some()) {
        (true, true) => Some(target?.min(transactions?)),
        (true, false) => target,
        (false, _) => transactions,
    }
}

/// Whether a rule holds wherever another one does: it asks for nothing that the other one does not.
fn holds_wherever(wide: &Rule, narrow: &Rule) -> bool {
    let same = |wide: &Option<String>, narrow: &Option<String>| wide.is_none() || wide == narrow;
    let unqualified = |table: &str| table.rsplit('.').next().map(str::to_owned);
    let table = same(&wide.table, &narrow.table)
        || narrow.table.as_deref().is_some_and(|table| wide.table == unqualified(table));
    let statement = match (&wide.statement, &narrow.statement) {
        (Some(wide), Some(narrow)) => wide.as_str() == narrow.as_str(),
        (wide, _) => wide.is_none(),
    };
    table
        && statement
        && same(&wide.user, &narrow.user)
        && same(&wide.database, &narrow.database)
        && same(&wide.application_name, &narrow.application_name)
}

/// Who has a target that is nearer than the rules, among those of whom a rule speaks.
fn fixed(config: &Config, rule: &Rule) -> Option<String> {
    use crate::sql::Target::Auto;
    let user = config.users.iter().find(|user| Some(&*user.name) == rule.user.as_deref());
    let database = config.databases.iter().find(|one| Some(&*one.name) == rule.database.as_deref());
    let user = user.filter(|user| user.target != Auto).map(|user| format!("user {:?}", user.name));
    let database = database.filter(|one| one.target != Auto).map(|one| format!("database {:?}", one.name));
    user.or(database)
}

/// Probes log in to a database of the servers', which clients may call by another name.
fn probes(config: &Config) -> Vec<String> {
    let name = &config.health.database;
    let known = config.databases.iter().find(|one| one.name == *name && one.server_database != *name);
    let warning = |one: &super::Database| {
        let there = &one.server_database;
        format!("[health] database = {name:?} is a name for clients; on the servers it is {there:?}")
    };
    known.map(warning).into_iter().collect()
}

/// A secret that is written as something else is. It is not quoted.
pub(super) fn secret(key: &str, variable: &str, secret: &Secret) -> Option<String> {
    let text = secret.expose();
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let filled_in = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    let hash = text.strip_prefix("md5").filter(|hash| hash.len() == 32);
    if text.starts_with("SCRAM-SHA-256$") {
        let taken = "looks like a SCRAM verifier, and is taken for the password itself";
        return Some(format!("{key} {taken}; verifier is the key for one"));
    }
    if hash.is_some_and(|hash| hash.bytes().all(|byte| byte.is_ascii_hexdigit())) {
        let taken = "looks like an MD5 hash, and is taken for the password itself";
        return Some(format!("{key} {taken}; [auth] userlist takes those"));
    }
    filled_in.is_some_and(is_name).then(|| {
        format!("{key} looks like a variable, which nothing fills in; {variable} is the key for one")
    })
}
