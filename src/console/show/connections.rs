//! `SHOW CLIENTS`, `SHOW SERVERS` and what PgBouncer makes of them: who is connected, and what for.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::backend::Key;
use crate::console::show::config::timestamp;
use crate::console::table::Type::{Int, Text};
use crate::console::table::{Column, Table, Value, value};
use crate::net::{Encryption, Way};
use crate::pool::Member;
use crate::session::{Activity, Entry, Rest, Shared};

/// Of both, in PgBouncer's order.
pub(super) const SOCKET: &[Column] = &[
    ("type", Text),
    ("user", Text),
    ("database", Text),
    ("replication", Text),
    ("state", Text),
    ("addr", Text),
    ("port", Int),
    ("local_addr", Text),
    ("local_port", Int),
    ("connect_time", Text),
    ("request_time", Text),
    ("wait", Int),
    ("wait_us", Int),
    ("close_needed", Int),
    ("ptr", Text),
    ("link", Text),
    ("remote_pid", Int),
    ("tls", Text),
    ("application_name", Text),
    ("prepared_statements", Int),
    ("id", Int),
];

/// Behind them in `SHOW SOCKETS`.
pub(super) const BUFFERS: &[Column] = &[
    ("recv_pos", Int),
    ("pkt_pos", Int),
    ("pkt_remain", Int),
    ("send_pos", Int),
    ("send_remain", Int),
    ("pkt_avail", Int),
    ("send_avail", Int),
];

/// Stands for a connection to a server, so that its client's row can name it.
fn pointer(key: &Arc<Key>) -> String {
    format!("{:p}", Arc::as_ptr(key))
}

/// One row for each client.
pub(super) fn clients(table: &mut Table, shared: &Shared) {
    let now = Instant::now();
    shared.registry.all().iter().for_each(|entry| client(table, entry, now));
}

fn client(table: &mut Table, entry: &Entry, now: Instant) {
    let Some(visitor) = entry.visitor() else { return };
    let (state, link, waited) = match entry.doing() {
        Activity::Idle => ("idle", String::new(), Duration::ZERO),
        Activity::Waiting(since) => ("waiting", String::new(), now.saturating_duration_since(since)),
        Activity::On(key, _) => ("active", pointer(&key), Duration::ZERO),
    };
    let since = timestamp(visitor.since);
    let id = entry.key().pid();
    table.row([
        value("C"),
        value(&visitor.user),
        value(&visitor.names.client),
        value("none"),
        value(state),
        value(&visitor.from.address),
        value(visitor.from.port),
        value(&visitor.by.address),
        value(visitor.by.port),
        value(&since),
        value(since),
        value(waited.as_secs()),
        value(waited.subsec_micros()),
        value(u8::from(entry.is_terminated())),
        value(format!("{entry:p}")),
        value(link),
        // Its own, which pg_backend_pid() gives it and pg_stat_activity's clients do not have.
        value(id),
        value(&visitor.tls),
        value(visitor.application()),
        value(0),
        value(id),
    ]);
}

/// One row for each connection to a server.
pub(super) fn servers(table: &mut Table, shared: &Shared) {
    let topology = shared.cluster.topology();
    let sessions = shared.registry.all();
    let at_work = |key: &Arc<Key>| {
        sessions.iter().find_map(|entry| match entry.doing() {
            Activity::On(on, rest) if Arc::ptr_eq(&on, key) => Some((entry, rest)),
            _ => None,
        })
    };
    for pool in shared.pools.all() {
        let place = pool.key();
        let server = topology.server(place.server);
        let (host, port) = server.map_or(("", 0), |server| (&*server.address.host, server.address.port));
        for member in pool.members() {
            let whose = at_work(&member.key);
            let pid = member.key.cancel.as_ref().map_or(0, |cancel| cancel.pid());
            let of = whose.and_then(|(entry, _)| entry.visitor());
            let since = timestamp(member.opened);
            table.row([
                value("S"),
                value(&place.user),
                value(&place.database),
                value("none"),
                value(state(&member, whose.map(|(_, rest)| rest))),
                value(host),
                value(port),
                value(""),
                value(0),
                value(&since),
                value(last_used(&member, since)),
                value(0),
                value(0),
                value(u8::from(member.close_needed)),
                value(pointer(&member.key)),
                value(whose.map(|(entry, _)| format!("{:p}", Arc::as_ptr(entry))).unwrap_or_default()),
                value(pid),
                value(tls(&member.key, server.and_then(|server| server.address.tls.last()).as_ref())),
                value(of.map(|visitor| visitor.application().to_string()).unwrap_or_default()),
                value(0),
                value(pid),
            ]);
        }
    }
}

/// A connection that nobody has is idle, whatever its pool remembers.
fn state(member: &Member, rest: Option<Rest>) -> &'static str {
    match (member.idle_since, rest) {
        (Some(_), _) => "idle",
        (None, Some(Rest::Pinned)) => "pinned",
        (None, Some(Rest::InTransaction)) => "idle_in_transaction",
        (None, Some(Rest::Not) | None) => "active",
    }
}

fn last_used(member: &Member, otherwise: String) -> String {
    match member.idle_since {
        Some(since) => SystemTime::now().checked_sub(since.elapsed()).map_or(otherwise, timestamp),
        None => timestamp(SystemTime::now()),
    }
}

/// What a connection is encrypted by, as far as it is known of its server's last one.
fn tls(key: &Key, last: Option<&Encryption>) -> String {
    match (key.way, last) {
        (Way::Plain, _) | (_, None | Some(Encryption::None)) => String::new(),
        (_, Some(Encryption::Tls(tls))) => format!("{}/{}", tls.version, tls.cipher),
    }
}

/// The rows of clients and servers with states as `SHOW SOCKETS` names them, and with buffers, which are not looked at.
pub(super) fn as_sockets(table: &mut Table) {
    for row in &mut table.rows {
        let prefix = if row[0].as_deref() == Some("C") { "cl" } else { "sv" };
        row[4] = row[4].as_ref().map(|state| format!("{prefix}_{state}"));
        row.extend(std::iter::repeat_n::<Value>(value(0), BUFFERS.len()));
    }
}
