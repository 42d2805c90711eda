//! What PgBouncer does not know: where requests go and why, what costs most, what keeps connections, how fresh the servers
//! are, and what has happened.

use std::time::{Duration, Instant, SystemTime};

use crate::cluster::topology::Role;
use crate::console::advice::advice;
use crate::console::show::config::timestamp;
use crate::console::table::Type::{Big, Int, Real, Text};
use crate::console::table::{Column, Table, value};
use crate::discovery::Report;
use crate::session::{Activity, Shared, sampled_within};

/// Shapes that are shown.
const SHAPES_SHOWN: usize = 100;

/// How long news of the primary is waited for before it is told how far the others are.
const SAMPLE: Duration = Duration::from_millis(100);

pub(super) const ROUTES: &[Column] =
    &[("route", Text), ("reason", Text), ("access", Text), ("requests", Big), ("what_to_do", Text)];

pub(super) const TRANSACTIONS: &[Column] =
    &[("ran", Text), ("reason", Text), ("transactions", Big), ("what_to_do", Text)];

pub(super) const EVENTS: &[Column] = &[("time", Text), ("kind", Text), ("of", Text), ("event", Text)];

pub(super) const DISCOVERY: &[Column] = &[
    ("found_by", Text),
    ("server", Text),
    ("host", Text),
    ("addr", Text),
    ("port", Int),
    ("said", Text),
    ("trouble", Text),
];

pub(super) const PINS: &[Column] = &[
    ("id", Int),
    ("user", Text),
    ("database", Text),
    ("application_name", Text),
    ("addr", Text),
    ("server", Text),
    ("state", Text),
    ("reasons", Text),
    ("since", Text),
    ("seconds", Int),
    ("what_to_do", Text),
];

pub(super) const FRESHNESS: &[Column] = &[
    ("server", Text),
    ("host", Text),
    ("port", Int),
    ("role", Text),
    ("health", Text),
    ("staleness_ms", Big),
    ("lag_bytes", Big),
    ("replayed", Text),
    ("weight", Int),
    ("sv_active", Int),
    ("sv_idle", Int),
    ("sv_login", Int),
    ("cl_waiting", Int),
    ("max_connections", Int),
    ("trouble", Text),
];

pub(super) const SHAPES: &[Column] = &[
    ("calls", Big),
    ("total_ms", Real),
    ("mean_ms", Real),
    ("max_ms", Real),
    ("share", Real),
    ("route", Text),
    ("reason", Text),
    ("kind", Text),
    ("user", Text),
    ("database", Text),
    ("application_name", Text),
    ("shape", Text),
    ("what_to_do", Text),
];

/// Rows of a family of counters, added up by these labels, the greatest first.
fn counted<const N: usize>(shared: &Shared, family: &str, by: [&str; N]) -> Vec<([String; N], u64)> {
    let rows = shared.metrics.counters(family, by).into_iter();
    let mut rows: Vec<_> = rows.filter(|(_, count)| *count > 0).collect();
    rows.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    rows
}

pub(super) fn routes(table: &mut Table, shared: &Shared) {
    let by = ["route", "reason", "access"];
    for ([route, reason, access], count) in counted(shared, "weir_requests_total", by) {
        let what = if route == "primary" && access == "read" { advice(&reason) } else { "" };
        table.row([value(route), value(reason), value(access), value(count), value(what)]);
    }
}

pub(super) fn transactions(table: &mut Table, shared: &Shared) {
    for ([ran, reason], count) in counted(shared, "weir_transactions_total", ["ran", "reason"]) {
        let what = if matches!(ran.as_str(), "upgraded" | "primary") { advice(&reason) } else { "" };
        table.row([value(ran), value(reason), value(count), value(what)]);
    }
}

pub(super) fn events(table: &mut Table, shared: &Shared) {
    for event in shared.board.events() {
        table.row([value(timestamp(event.at)), value(event.kind), value(event.of), value(event.text)]);
    }
}

pub(super) fn discovery(table: &mut Table, report: &Report) {
    let by =
        report.source.as_ref().map_or_else(|| report.kind.to_owned(), |by| format!("{} {by}", report.kind));
    for member in &report.members {
        let paused = report.is_paused.then_some("the cluster is paused").filter(|_| member.remark.is_empty());
        table.row([
            value(&by),
            value(&member.name),
            value(&member.host),
            member.address.clone(),
            value(member.port),
            value(&member.said),
            value(paused.unwrap_or(&member.remark)),
        ]);
    }
    for trouble in &report.troubles {
        table.row([value(report.kind), None, None, None, None, None, value(trouble)]);
    }
}

/// As PgBouncer has them.
pub(super) fn dns_hosts(table: &mut Table, report: &Report) {
    for host in &report.hosts {
        table.row([value(&host.name), value(host.ttl.as_secs()), value(host.leads_to.join(","))]);
    }
}

pub(super) fn pins(table: &mut Table, shared: &Shared) {
    let topology = shared.cluster.topology();
    let now = SystemTime::now();
    for entry in shared.registry.all() {
        let Some((visitor, (pins, since))) = entry.visitor().and_then(|v| Some((v, v.pins()?))) else {
            continue;
        };
        let (server, state) = match entry.doing() {
            Activity::On(key, rest) => {
                let name = topology.server(key.server).map(|server| server.name.to_string());
                (name.unwrap_or_default(), rest.as_str())
            }
            Activity::Waiting(_) => (String::new(), "waiting"),
            Activity::Idle => (String::new(), "idle"),
        };
        let reasons: Vec<&str> = pins.iter().map(|pin| pin.as_str()).collect();
        let held = now.duration_since(since).unwrap_or_default().as_secs();
        table.row([
            value(entry.key().pid()),
            value(&visitor.user),
            value(&visitor.names.client),
            value(visitor.application()),
            value(&visitor.from.address),
            value(server),
            value(state),
            value(reasons.join(", ")),
            value(timestamp(since)),
            value(held),
            value(reasons.first().map_or("", |reason| advice(reason))),
        ]);
    }
}

pub(super) async fn freshness(table: &mut Table, shared: &Shared) {
    let demand = shared.cluster.demand();
    let position = sampled_within(demand, SAMPLE).await.ok();
    let position = position.or(demand.position().map(|(position, _)| position));
    let (topology, now) = (shared.cluster.topology(), Instant::now());
    let pools = shared.pools.all();
    for server in &topology.servers {
        let [mut active, mut idle, mut opening, mut waiting] = [0; 4];
        for counts in pools.iter().filter(|pool| pool.key().server == server.id).map(|pool| pool.counts()) {
            active += counts.active;
            idle += counts.idle;
            opening += counts.opening;
            waiting += counts.waiting;
        }
        let (staleness, lag, replayed) = match server.role {
            Role::Primary => (position.map(|_| 0), position.map(|_| 0), position),
            Role::Replica | Role::Unknown => {
                let age = |through| now.saturating_duration_since(through).as_millis();
                let replayed = server.freshness.sampled().map(|_| server.freshness.replayed());
                (server.freshness.through().map(age), server.freshness.behind(), replayed)
            }
        };
        table.row([
            value(&server.name),
            value(&server.address.host),
            value(server.address.port),
            value(server.role.as_str()),
            value(server.health.as_str()),
            staleness.map(|staleness| staleness.to_string()),
            lag.map(|lag| lag.to_string()),
            replayed.map(|replayed| replayed.to_string()),
            value(server.weight),
            value(active),
            value(idle),
            value(opening),
            value(waiting),
            value(server.connections),
            server.trouble.as_ref().map(|trouble| trouble.to_string()),
        ]);
    }
}

pub(super) fn shapes(table: &mut Table, shared: &Shared) {
    let all = shared.board.shapes.all();
    let sum: f64 = all.iter().map(|shape| shape.total.as_secs_f64()).sum();
    for shape in all.iter().take(SHAPES_SHOWN) {
        let millis = |time: Duration| value(format!("{:.3}", time.as_secs_f64() * 1000.0));
        let total = shape.total.as_secs_f64();
        let kept = shape.reads && shape.route.as_str() == "primary";
        table.row([
            value(shape.calls),
            millis(shape.total),
            value(format!("{:.3}", total * 1000.0 / shape.calls.max(1) as f64)),
            millis(shape.longest),
            value(format!("{:.4}", if sum > 0.0 { total / sum } else { 0.0 })),
            value(shape.route.as_str()),
            value(shape.reason.as_str()),
            value(if shape.reads { "read" } else { "other" }),
            value(&shape.user),
            value(&shape.names.client),
            value(&shape.application),
            value(&shape.text),
            value(if kept { advice(shape.reason.as_str()) } else { "" }),
        ]);
    }
}
