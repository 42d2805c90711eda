//! A configuration in a few lines, for `weir check`.

use std::fmt;

use super::kinds::shown;
use super::{
    Auth, Config, Credential, Database, ListenTls, Metrics, Peer, Peers, PoolMode, RoleSetting, Server,
    Source,
};
use crate::net::tls::SslMode;
use crate::sql::{Target, Transactions};

/// Shows what a configuration comes down to. No secret is in it.
pub struct Summary<'a>(pub &'a Config);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(config) = self;
        for listener in &config.listeners {
            let fixed = fixed(listener.target, listener.transactions);
            let tls = match listener.tls {
                ListenTls::Off => "",
                ListenTls::Allow(_) => ", TLS for whoever wants it",
                ListenTls::Require(_) => ", TLS for all",
            };
            writeln!(f, "listens on  {}{tls}{fixed}", listener.address)?;
        }
        f.write_str(&found(config))?;
        config.servers.iter().try_for_each(|one| server(f, one))?;
        config.databases.iter().try_for_each(|one| database(f, one))?;
        if let Some(files) = &config.auth.hba {
            write!(f, "rules       {}", files.hba.display())?;
            match &files.ident {
                Some(ident) => writeln!(f, ", maps of {}", ident.display())?,
                None => writeln!(f)?,
            }
        }
        for user in &config.users {
            let proof = match user.credential {
                _ if config.auth.hba.is_some() => "as hba_file says",
                Credential::Trust => "no password asked",
                Credential::Certificate => "a client certificate",
                Credential::Password(_) | Credential::Verifier(_) => "scram-sha-256",
                Credential::Elsewhere => "password known elsewhere",
            };
            let (name, there) = (&user.name, &user.server_user);
            let fixed = fixed(user.target, user.transactions);
            writeln!(f, "user        {name}, {proof}, {there} on the servers{fixed}")?;
        }
        f.write_str(&others(&config.auth))?;
        let pool = &config.pool;
        writeln!(
            f,
            "pools       {} connections per server, database and user, {}; a client waits {} for one",
            pool.size,
            match pool.mode {
                PoolMode::Transaction => "lent by transaction",
                PoolMode::Session => "lent by session",
            },
            shown(pool.checkout_timeout)
        )?;
        let routing = &config.routing;
        let age = match routing.max_staleness {
            Some(age) => format!("at most {} old", shown(age)),
            None => "however old".to_owned(),
        };
        let wait = shown(routing.freshness_wait);
        let level = routing.consistency.as_str();
        writeln!(f, "reads       {level}, {age}; wait {wait} for a replica that is fresh enough")?;
        let begun = match routing.transactions {
            Transactions::Lazy => "lazy; while they only read they have no connection to the primary",
            Transactions::Primary => "on the primary, unless they say READ ONLY",
        };
        writeln!(f, "BEGIN       transactions are {begun}")?;
        f.write_str(&copies(&config.clients.peers))?;
        watched(f, config)?;
        write!(f, "workers     {}", config.workers)
    }
}

/// Where it can be looked at, and what it tells by itself.
fn watched(f: &mut fmt::Formatter<'_>, config: &Config) -> fmt::Result {
    match config.metrics {
        Some(Metrics { address, page: true }) => {
            writeln!(f, "metrics     http://{address}/metrics, the page at http://{address}/")?;
        }
        Some(Metrics { address, page: false }) => writeln!(f, "metrics     http://{address}/metrics")?,
        None => writeln!(f, "metrics     not served")?,
    }
    let Some(collector) = &config.traces.collector else { return Ok(()) };
    let (authority, sampled) = (&collector.authority, config.traces.sampled * 100.0);
    writeln!(f, "traces      {sampled} % of the requests, to {authority}")
}

fn database(f: &mut fmt::Formatter<'_>, database: &Database) -> fmt::Result {
    let (name, there) = (&database.name, &database.server_database);
    let fixed = fixed(database.target, database.transactions);
    writeln!(f, "database    {name} is {there} on the servers{fixed}")
}

/// How servers are found, and what that makes of those that are listed.
fn found(config: &Config) -> String {
    let discovery = &config.discovery;
    let keep = shown(discovery.keep);
    match &discovery.source {
        Source::Static => String::new(),
        Source::Dns { nameservers } => {
            let asked = match &nameservers[..] {
                [] => "those of /etc/resolv.conf".to_owned(),
                some => some.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            };
            format!(
                "servers     found by DNS: each address of a name below is one, with what its entry says; looked up anew at its \
                 TTL; one that is not found any more stays {keep}\n            asked are {asked}\n"
            )
        }
        Source::Patroni(patroni) => {
            let places = patroni.endpoints.iter().map(|endpoint| {
                let scheme = if endpoint.tls.is_some() { "https" } else { "http" };
                format!("{scheme}://{}", endpoint.authority())
            });
            let places = places.collect::<Vec<_>>().join(", ");
            let every = shown(patroni.interval);
            let template = config.template.as_ref().map(|one| {
                let (weight, connections, mode) = (one.weight, one.connections, one.tls.terms().mode.as_str());
                format!(
                    "            those without an entry: weight {weight}, at most {connections} connections, TLS: {mode}\n"
                )
            });
            format!(
                "servers     the members of Patroni's cluster, asked every {every}; one that is no member any more stays \
                 {keep}\n            asked is {places}; those below are known until it answers\n{}",
                template.unwrap_or_default()
            )
        }
    }
}

fn server(f: &mut fmt::Formatter<'_>, server: &Server) -> fmt::Result {
    let role = match server.role {
        RoleSetting::Auto => "role found out by asking",
        RoleSetting::Primary => "primary",
        RoleSetting::Replica => "replica",
    };
    let (host, port, weight, connections) = (&server.host, server.port, server.weight, server.connections);
    write!(f, "server      {}", server.name)?;
    if *server.name != *format!("{host}:{port}") {
        write!(f, " at {host}:{port}")?;
    }
    write!(f, ", {role}, weight {weight}, at most {connections} connections")?;
    // A Unix socket is never encrypted.
    match server.tls.terms().mode {
        SslMode::Disable => writeln!(f, ", no TLS"),
        _ if host.starts_with('/') => writeln!(f, ", no TLS"),
        mode => writeln!(f, ", TLS: {}", mode.as_str()),
    }
}

/// Who may log in beside those that the configuration names.
fn others(auth: &Auth) -> String {
    let list = auth.userlist.iter().map(|list| format!("users       those of {}\n", list.display()));
    let asked = auth.query.iter().map(|query| {
        let (user, known, unknown) = (&query.user, shown(query.ttl), shown(query.negative_ttl));
        format!(
            "users       those of the servers, asked as {user}; known for {known}, unknown for {unknown}\n"
        )
    });
    list.chain(asked).collect()
}

/// The copies behind one balancer, and what that means for reads.
fn copies(peers: &Peers) -> String {
    if peers.all.is_empty() {
        return String::new();
    }
    let one = |peer: &Peer| {
        let whose = if Some(peer.id) == peers.own { " (this one)" } else { "" };
        format!("{} at {}:{}{whose}", peer.id, peer.host, peer.port)
    };
    let all = peers.all.iter().map(one).collect::<Vec<_>>().join(", ");
    format!(
        "copies      {all}\n            \"global\" holds within one copy: what was written through another may be read too early;\n\
         \u{20}           \"strong\" holds across all, and so does SHOW weir.lsn with SET weir.min_lsn\n"
    )
}

fn fixed(target: Target, transactions: Option<Transactions>) -> String {
    let target = match target {
        Target::Auto => "",
        Target::Primary => ", always the primary",
        Target::Replica => ", replicas where they can",
    };
    let transactions = match transactions {
        None => "",
        Some(Transactions::Lazy) => ", transactions are lazy",
        Some(Transactions::Primary) => ", transactions on the primary",
    };
    format!("{target}{transactions}")
}
