//! From what was found to the servers that weir has: each with what the configuration says of it. Pure.

use std::collections::HashSet;

use super::found::Found;
use super::roll::Roll;
use crate::config::{Config, Server, Source};
use crate::net::ServerTls;

/// The servers that there are, by the configuration and what was found.
pub(crate) fn servers(config: &Config, roll: &Roll) -> Vec<Server> {
    let found: Vec<&Found> = roll.list().iter().map(|listed| &listed.found).collect();
    let servers = match &config.discovery.source {
        Source::Static => return config.servers.clone(),
        Source::Dns { .. } => config.servers.iter().flat_map(|entry| by_name(entry, &found)).collect(),
        // Until Patroni has said anything the entries are all that is known.
        Source::Patroni(_) if found.is_empty() => return config.servers.clone(),
        Source::Patroni(_) => found.iter().filter_map(|found| member(config, found)).collect(),
    };
    without_twins(servers)
}

/// What a name leads to. An entry whose name leads nowhere yet stands for itself: so it is tried, and what is wrong is seen.
fn by_name(entry: &Server, found: &[&Found]) -> Vec<Server> {
    let is_of = |found: &&&Found| {
        let entries = found.entry.as_ref();
        entries.is_some_and(|(host, port)| (&**host, *port) == (&*entry.host, entry.port))
    };
    let own: Vec<Server> = found.iter().filter(is_of).map(|found| as_said(entry, found)).collect();
    if own.is_empty() { vec![entry.clone()] } else { own }
}

/// A member of Patroni's. An entry of the same address or name says what else holds for it, else the one without a host does.
fn member(config: &Config, found: &Found) -> Option<Server> {
    let at = |entry: &&Server| entry.host.eq_ignore_ascii_case(&found.host) && entry.port == found.port;
    let own = config.servers.iter().find(at);
    let own = own.or_else(|| config.servers.iter().find(|entry| *entry.name == *found.name));
    let entry = own.or(config.template.as_ref())?;
    Some(as_said(entry, found))
}

fn as_said(entry: &Server, found: &Found) -> Server {
    Server {
        name: found.name.as_str().into(),
        host: found.host.as_str().into(),
        address: found.address,
        port: found.port,
        weight: if found.quiet.is_some() { 0 } else { entry.weight },
        // How it was encrypted last is known of each.
        tls: ServerTls::new(entry.tls.terms().clone()),
        ..entry.clone()
    }
}

/// Two names may lead to one server, and two servers may be called the same.
fn without_twins(servers: Vec<Server>) -> Vec<Server> {
    let (mut places, mut names) = (HashSet::new(), HashSet::new());
    let is_new = |server: &Server| {
        let place = server.address.map_or_else(|| server.host.to_ascii_lowercase(), |at| at.to_string());
        places.insert((place, server.port))
    };
    let mut servers: Vec<Server> = servers.into_iter().filter(is_new).collect();
    for server in &mut servers {
        let (name, mut number) = (server.name.clone(), 2);
        while !names.insert(server.name.clone()) {
            server.name = format!("{name}#{number}").into();
            number += 1;
        }
    }
    servers
}
