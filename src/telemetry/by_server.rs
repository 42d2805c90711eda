//! The figures that bear a server's name: its pools' connections, what it is, and how far it is. None of them is on the
//! way of a request, so they are looked up by label. They end when their server is removed.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use prometheus::core::{Collector, MetricVec, MetricVecBuilder};
use prometheus::{GaugeVec, HistogramVec, IntCounterVec, IntGaugeVec};

use super::registry::Register;
use crate::cluster::topology::{Health, Role, Server};

/// A round trip to a server that only looks up a number.
const SAMPLE_SECONDS: &[f64] =
    &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// What is known by server.
pub struct ByServer {
    connects: IntCounterVec,
    connections: IntGaugeVec,
    connections_max: IntGaugeVec,
    waiting: IntGaugeVec,
    full: IntGaugeVec,
    held: IntGaugeVec,
    up: IntGaugeVec,
    role: IntGaugeVec,
    encryption: IntGaugeVec,
    staleness: GaugeVec,
    lag: IntGaugeVec,
    samples: IntCounterVec,
    seconds: HistogramVec,
}

/// What came of an attempt to connect to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectResult {
    /// Logged in.
    Ok,
    /// The server had no room for another connection.
    Full,
    /// The server refused the login.
    Refused,
    /// No connection, or it broke.
    Failed,
    /// Not within `connect_timeout`.
    TimedOut,
}

impl ConnectResult {
    const ALL: [Self; 5] = [Self::Ok, Self::Full, Self::Refused, Self::Failed, Self::TimedOut];

    fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Full => "full",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
        }
    }
}

impl ByServer {
    pub(super) fn new(r: &mut Register) -> Self {
        Self {
            connects: r.counters(
                "backend_connects_total",
                "Attempts to connect to a server and log in: ok, full (the server had no room: 53300), refused, failed or timed_out.",
                &["server", "result"],
            ),
            connections: r.gauges(
                "backend_connections",
                "Connections to servers: active (lent to a session) or idle.",
                &["server", "state"],
            ),
            connections_max: r.gauges(
                "backend_connections_max",
                "Connections that weir may open to a server, over all pools (connections in [[servers]]).",
                &["server"],
            ),
            waiting: r.gauges("pool_waiting", "Clients that wait for a backend connection.", &["server"]),
            full: r.gauges(
                "pools_without_room",
                "Pools that the server has refused another connection within the last ten seconds, because it is full (53300).",
                &["server"],
            ),
            held: r.gauges(
                "backend_connections_held",
                "Active connections on which nothing has run for a second or longer, by why their sessions keep them: idle_in_transaction or pinned.",
                &["server", "why"],
            ),
            up: r.gauges("server_up", "1 when the last probe of the server succeeded, else 0.", &["server"]),
            role: r.gauges(
                "server_role",
                "1 for the role that the server has: primary, replica or unknown; 0 for the others.",
                &["server", "role"],
            ),
            encryption: r.gauges(
                "server_encryption",
                "1 for the TLS version and cipher of the last connection to the server; version is none where it is not encrypted.",
                &["server", "version", "cipher"],
            ),
            staleness: r.real_gauges(
                "replica_staleness_seconds",
                "How long ago the instant is before which everything acknowledged is known to be on the replica; absent when nothing is known.",
                &["server"],
            ),
            lag: r.gauges(
                "replica_lag_bytes",
                "WAL that the primary had at its last sample and the replica had not replayed at its own; absent when nothing is known.",
                &["server"],
            ),
            samples: r.counters(
                "samples_total",
                "Times that a server was asked how far it is: counted, ignored (in another role, or with another history than the primary), timed_out, failed or unconnected.",
                &["server", "result"],
            ),
            seconds: r.histograms(
                "sample_seconds",
                "From asking a server how far it is to its answer.",
                &["server"],
                SAMPLE_SECONDS,
            ),
        }
    }

    /// Counts an attempt to connect to a server.
    pub fn connected(&self, server: &str, result: ConnectResult) {
        self.connects.with_label_values(&[server, result.label()]).inc();
    }

    /// Sets how many connections to a server are lent out, how many wait idle, and how many clients wait for one.
    pub fn set_pool(&self, server: &str, active: usize, idle: usize, waiting: usize) {
        set(&self.connections, &[server, "active"], active);
        set(&self.connections, &[server, "idle"], idle);
        set(&self.waiting, &[server], waiting);
    }

    /// Sets how many of a server's pools it has refused another connection lately.
    pub fn set_full(&self, server: &str, pools: usize) {
        set(&self.full, &[server], pools);
    }

    /// Sets how many connections to a server sessions keep while nothing runs on them.
    pub fn set_held(&self, server: &str, idle_in_transaction: usize, pinned: usize) {
        set(&self.held, &[server, "idle_in_transaction"], idle_in_transaction);
        set(&self.held, &[server, "pinned"], pinned);
    }

    /// Has figures end whose server is none of these: it has been removed.
    pub(super) fn keep(&self, servers: &[Server]) {
        let Self {
            connects, connections, connections_max, waiting, full, held, up, role, encryption, ..
        } = self;
        let Self { staleness, lag, samples, seconds, .. } = self;
        let stays = |name: &str| servers.iter().any(|server| &*server.name == name);
        [connects, samples].iter().for_each(|family| keep(family, "server", stays));
        [connections, connections_max, waiting, full, held, up, role, encryption, lag]
            .iter()
            .for_each(|family| keep(family, "server", stays));
        keep(staleness, "server", stays);
        keep(seconds, "server", stays);
    }

    /// Sets what a server is, whether it answers, and how many connections it takes. What came of attempts to connect is
    /// counted from zero: a counter that appears with its first failure has not grown by it.
    pub fn set_state(&self, server: &Server) {
        let name: &str = &server.name;
        ConnectResult::ALL.iter().for_each(|one| drop(self.connects.with_label_values(&[name, one.label()])));
        set(&self.connections_max, &[name], server.connections);
        set(&self.up, &[name], usize::from(server.health == Health::Up));
        let roles = [(Role::Primary, "primary"), (Role::Replica, "replica"), (Role::Unknown, "unknown")];
        for (role, label) in roles {
            set(&self.role, &[name, label], usize::from(server.role == role));
        }
    }

    /// Sets how the last connection to a server is encrypted. What the one before was is not told any more.
    pub fn set_encryption(&self, server: &str, version: &str, cipher: &str) {
        let labels = [server, version, cipher];
        for metric in self.encryption.collect().iter().flat_map(|family| family.get_metric()) {
            let told: HashMap<_, _> =
                metric.get_label().iter().map(|label| (label.name(), label.value())).collect();
            let of = |name: &str| told.get(name).copied().unwrap_or_default();
            if of("server") == server && (of("version"), of("cipher")) != (version, cipher) {
                // That somebody else was first is no error.
                drop(self.encryption.remove(&told));
            }
        }
        set(&self.encryption, &labels, 1);
    }

    /// Counts an attempt to ask a server how far it is; `result` is one of few words, `took` the time to the answer if
    /// there was one.
    pub fn sampled(&self, server: &str, result: &'static str, took: Option<Duration>) {
        self.samples.with_label_values(&[server, result]).inc();
        if let Some(took) = took {
            self.seconds.with_label_values(&[server]).observe(took.as_secs_f64());
        }
    }

    /// Sets how far a server is behind at `now`, if it is a replica of which that is known.
    pub fn set_freshness(&self, server: &Server, now: Instant) {
        let labels: &[&str] = &[&server.name];
        let freshness = Some(&server.freshness).filter(|_| server.role == Role::Replica);
        match freshness.and_then(|freshness| freshness.through()) {
            Some(through) => {
                let staleness = now.saturating_duration_since(through).as_secs_f64();
                self.staleness.with_label_values(labels).set(staleness);
            }
            // An old figure would be taken for a new one. That there was none is no error.
            None => drop(self.staleness.remove_label_values(labels)),
        }
        match freshness.and_then(|freshness| freshness.behind()) {
            Some(behind) => {
                let behind = i64::try_from(behind).unwrap_or(i64::MAX);
                self.lag.with_label_values(labels).set(behind);
            }
            None => drop(self.lag.remove_label_values(labels)),
        }
    }
}

/// Removes from a family what bears a name that does not stay. Its own labels say whom it tells of, so that what was counted
/// while a server was on its way out goes as well, a scrape later.
pub(super) fn keep<T: MetricVecBuilder>(family: &MetricVec<T>, label: &str, stays: impl Fn(&str) -> bool) {
    for metric in family.collect().iter().flat_map(|family| family.get_metric()) {
        let labels: HashMap<_, _> =
            metric.get_label().iter().map(|label| (label.name(), label.value())).collect();
        if labels.get(label).is_some_and(|name| !stays(name)) {
            // That somebody else was first is no error.
            drop(family.remove(&labels));
        }
    }
}

fn set(family: &IntGaugeVec, labels: &[&str], value: usize) {
    family.with_label_values(labels).set(i64::try_from(value).unwrap_or(i64::MAX));
}
