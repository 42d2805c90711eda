//! `SHOW POOLS`, `DATABASES`, `USERS` and `LISTS`: how many of what, by database and user.
//!
//! PgBouncer has one server behind a pool. weir has several, whose connections are added up: a row more for each would be
//! the same pool twice to whoever collects them. `SHOW FRESHNESS` tells them apart.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::{CONSOLE, PoolMode};
use crate::console::table::Type::{Int, Text};
use crate::console::table::{Column, Table, value};
use crate::pool::Counts;
use crate::session::{Activity, Names, Shared};

pub(super) const POOLS: &[Column] = &[
    ("database", Text),
    ("user", Text),
    ("cl_active", Int),
    ("cl_waiting", Int),
    ("cl_active_cancel_req", Int),
    ("cl_waiting_cancel_req", Int),
    ("sv_active", Int),
    ("sv_active_cancel", Int),
    ("sv_being_canceled", Int),
    ("sv_idle", Int),
    ("sv_used", Int),
    ("sv_tested", Int),
    ("sv_login", Int),
    ("maxwait", Int),
    ("maxwait_us", Int),
    ("pool_mode", Text),
    ("load_balance_hosts", Text),
];

pub(super) const DATABASES: &[Column] = &[
    ("name", Text),
    ("host", Text),
    ("port", Int),
    ("database", Text),
    ("force_user", Text),
    ("pool_size", Int),
    ("min_pool_size", Int),
    ("reserve_pool", Int),
    ("reserve_pool_size", Int),
    ("server_lifetime", Int),
    ("pool_mode", Text),
    ("load_balance_hosts", Text),
    ("max_connections", Int),
    ("current_connections", Int),
    ("max_client_connections", Int),
    ("current_client_connections", Int),
    ("paused", Int),
    ("disabled", Int),
];

pub(super) const USERS: &[Column] = &[
    ("name", Text),
    ("pool_size", Text),
    ("reserve_pool_size", Text),
    ("pool_mode", Text),
    ("max_user_connections", Int),
    ("current_connections", Int),
    ("max_user_client_connections", Int),
    ("current_client_connections", Int),
];

/// In PgBouncer's words.
pub(super) fn word(mode: PoolMode) -> &'static str {
    match mode {
        PoolMode::Transaction => "transaction",
        PoolMode::Session => "session",
    }
}

/// What belongs to one database and user, on the servers.
#[derive(Default)]
struct Row {
    active: usize,
    waiting: usize,
    longest: Duration,
    servers: Counts,
}

fn rows(shared: &Shared) -> BTreeMap<(Arc<str>, Arc<str>), Row> {
    let mut rows: BTreeMap<(Arc<str>, Arc<str>), Row> = BTreeMap::new();
    let now = Instant::now();
    for entry in shared.registry.all() {
        let Some(visitor) = entry.visitor() else { continue };
        let row = rows.entry((visitor.names.server.clone(), entry.role().into())).or_default();
        match entry.doing() {
            Activity::Waiting(since) => {
                row.waiting += 1;
                row.longest = row.longest.max(now.saturating_duration_since(since));
            }
            Activity::Idle | Activity::On(..) => row.active += 1,
        }
    }
    for pool in shared.pools.all() {
        let (key, counts) = (pool.key(), pool.counts());
        let servers = &mut rows.entry((key.database.clone(), key.user.clone())).or_default().servers;
        servers.active += counts.active;
        servers.idle += counts.idle;
        servers.opening += counts.opening;
    }
    rows
}

pub(super) fn pools(table: &mut Table, shared: &Shared) {
    let config = &shared.policy().config;
    for ((database, user), row) in rows(shared) {
        let listed = config.databases.iter().find(|listed| listed.server_database == database);
        let named = config.users.iter().find(|named| named.server_user == user);
        let mode = listed.and_then(|listed| listed.pool_mode).or(named.and_then(|user| user.pool_mode));
        // Of the console's own there is no connection: each command stands for itself.
        let mode = match CONSOLE.contains(&&*database) {
            true => "statement",
            false => word(mode.unwrap_or(config.pool.mode)),
        };
        let Row { active, waiting, longest, servers } = row;
        let (seconds, micros) = (longest.as_secs(), longest.subsec_micros());
        let [zero, one_more] = [value(0), value(0)];
        table.row([
            value(database),
            value(user),
            value(active),
            value(waiting),
            zero,
            one_more,
            value(servers.active),
            value(0),
            value(0),
            value(servers.idle),
            value(0),
            value(0),
            value(servers.opening),
            value(seconds),
            value(micros),
            value(mode),
            None,
        ]);
    }
}

/// Databases that are listed, and those that somebody has come into.
fn known(shared: &Shared) -> Vec<Names> {
    let config = &shared.policy().config;
    let listed = config.databases.iter();
    let listed = listed.map(|one| Names { client: one.name.clone(), server: one.server_database.clone() });
    let mut known: Vec<Names> = listed.collect();
    for (names, _) in shared.board.tallies.all() {
        if !known.iter().any(|other| other.client == names.client) {
            known.push(names);
        }
    }
    known
}

pub(super) fn databases(table: &mut Table, shared: &Shared) {
    let config = &shared.policy().config;
    let topology = shared.cluster.topology();
    let primary = topology.writable();
    let (pools, sessions) = (shared.pools.all(), shared.registry.all());
    for names in known(shared) {
        let listed = config.databases.iter().find(|listed| listed.name == names.client);
        let is_console = CONSOLE.contains(&&*names.client);
        let to_it = pools.iter().filter(|pool| pool.key().database == names.server);
        let open: usize = to_it.map(|pool| pool.counts()).map(|c| c.idle + c.active + c.opening).sum();
        let clients = sessions.iter().filter_map(|entry| entry.visitor());
        let clients = clients.filter(|visitor| visitor.names.client == names.client).count();
        let gate = &shared.board.gate;
        let size = listed.and_then(|listed| listed.pool_size).unwrap_or(config.pool.size);
        let mode = listed.and_then(|listed| listed.pool_mode).map(word);
        let address = primary.filter(|_| !is_console).map(|primary| &primary.address);
        table.row([
            value(&names.client),
            address.map(|address| address.host.to_string()),
            value(address.map_or(0, |address| address.port)),
            value(&names.server),
            is_console.then(|| CONSOLE[1].to_owned()),
            value(size),
            value(config.pool.min_idle),
            value(0),
            value(0),
            value(config.pool.lifetime.as_secs()),
            if is_console { value("statement") } else { mode.map(str::to_owned) },
            None,
            value(0),
            value(open),
            value(0),
            value(clients),
            value(u8::from(!is_console && gate.is_paused(&names))),
            value(u8::from(gate.is_disabled(&names))),
        ]);
    }
}

pub(super) fn users(table: &mut Table, shared: &Shared) {
    let config = &shared.policy().config;
    let mut names: Vec<Arc<str>> = config.users.iter().map(|user| user.name.clone()).collect();
    let sessions = shared.registry.all();
    for visitor in sessions.iter().filter_map(|entry| entry.visitor()) {
        if !names.contains(&visitor.user) {
            names.push(visitor.user.clone());
        }
    }
    let pools = shared.pools.all();
    for name in names {
        let listed = config.users.iter().find(|user| user.name == name);
        let role = listed.map_or(&name, |user| &user.server_user);
        let to_servers = pools.iter().filter(|pool| pool.key().user == *role);
        let open: usize = to_servers.map(|pool| pool.counts()).map(|c| c.idle + c.active + c.opening).sum();
        let clients = sessions.iter().filter_map(|entry| entry.visitor());
        table.row([
            value(&name),
            value(listed.and_then(|user| user.pool_size).map(|size| size.to_string()).unwrap_or_default()),
            value(""),
            listed.and_then(|user| user.pool_mode).map(|mode| word(mode).to_owned()),
            value(0),
            value(open),
            value(0),
            value(clients.filter(|visitor| visitor.user == name).count()),
        ]);
    }
}

pub(super) fn lists(table: &mut Table, shared: &Shared) {
    let config = &shared.policy().config;
    let (sessions, pools) = (shared.registry.all(), shared.pools.all());
    let clients = sessions.iter().filter(|entry| entry.visitor().is_some()).count();
    let open: usize = pools.iter().map(|pool| pool.counts()).map(|c| c.idle + c.active + c.opening).sum();
    let mut users: Vec<_> =
        sessions.iter().filter_map(|entry| entry.visitor()).map(|one| &one.user).collect();
    users.extend(config.users.iter().map(|user| &user.name));
    users.sort();
    users.dedup();
    for (name, items) in [
        ("databases", known(shared).len()),
        ("users", users.len()),
        ("peers", 0),
        ("pools", rows(shared).len()),
        ("peer_pools", 0),
        ("free_clients", config.clients.limit.saturating_sub(clients)),
        ("used_clients", clients),
        ("login_clients", sessions.len() - clients),
        ("free_servers", 0),
        ("used_servers", open),
        ("dns_names", 0),
        ("dns_zones", 0),
        ("dns_queries", 0),
        ("dns_pending", 0),
    ] {
        table.row([value(name), value(items)]);
    }
}
