//! The servers, and the pools of connections to them.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use super::words::{in_millis, plain};
use crate::admin::snapshot::{Event, Load, Pool, Server};
use crate::cluster::topology::{self, Role, Topology};
use crate::net::Encryption;
use crate::pool;
use crate::server::crowding::Held;
use crate::session::Holder;

pub(super) fn servers(
    topology: &Topology,
    pools: &[Arc<pool::Pool>],
    events: &[Event],
    now: Instant,
) -> Vec<Server> {
    let of = |server: &topology::Server| {
        let is_replica = server.role == Role::Replica;
        let freshness = Some(&server.freshness).filter(|_| is_replica);
        let age = |through| in_millis(now.saturating_duration_since(through));
        let happened = events.iter().find(|event| event.kind == "server" && *event.of == *server.name);
        let encryption = server.address.tls.last().map(|encryption| match encryption {
            Encryption::Tls(tls) => format!("{} {}", tls.version, tls.cipher),
            Encryption::None => "not encrypted".to_owned(),
        });
        Server {
            name: server.name.to_string(),
            address: match server.address.host.starts_with('/') {
                true => server.address.host.to_string(),
                false => format!("{}:{}", server.address.host, server.address.port),
            },
            role: server.role.as_str().to_owned(),
            health: server.health.as_str().to_owned(),
            staleness_ms: freshness.and_then(|freshness| freshness.through()).map(age),
            lag_bytes: freshness.and_then(|freshness| freshness.behind()),
            weight: server.weight,
            load: load(server, pools),
            encryption,
            trouble: server.trouble.as_deref().map(plain),
            happened: happened.cloned(),
        }
    };
    topology.servers.iter().map(of).collect()
}

fn load(server: &topology::Server, pools: &[Arc<pool::Pool>]) -> Load {
    let mut load = Load { most: server.connections, ..Load::default() };
    for counts in pools.iter().filter(|pool| pool.key().server == server.id).map(|pool| pool.counts()) {
        load.active += counts.active;
        load.idle += counts.idle;
        load.opening += counts.opening;
        load.waiting += counts.waiting;
    }
    load
}

pub(super) fn pools(topology: &Topology, pools: &[Arc<pool::Pool>], holders: &[Holder]) -> Vec<Pool> {
    let by_key: HashMap<_, _> = holders.iter().map(|holder| (Arc::as_ptr(&holder.key), holder)).collect();
    let of = |pool: &Arc<pool::Pool>| {
        let (key, counts) = (pool.key(), pool.counts());
        let members = pool.members();
        let held = Held::by(members.iter().filter_map(|one| by_key.get(&Arc::as_ptr(&one.key)).copied()));
        Pool {
            server: topology.server(key.server).map(|server| server.name.to_string()).unwrap_or_default(),
            database: plain(&key.database),
            user: plain(&key.user),
            active: counts.active,
            idle: counts.idle,
            opening: counts.opening,
            waiting: counts.waiting,
            size: counts.size,
            pinned: held.pinned,
            idle_in_transaction: held.idle_in_transaction,
        }
    };
    let mut all: Vec<Pool> = pools.iter().map(of).collect();
    all.sort_by(|a, b| {
        let name = |pool: &Pool| (pool.server.clone(), pool.database.clone(), pool.user.clone());
        (Reverse(a.waiting), name(a)).cmp(&(Reverse(b.waiting), name(b)))
    });
    all
}
