//! Figures for Prometheus. One [`Metrics`] is made at start and passed on; there is no global registry.
//!
//! What every request touches is a handle that was resolved at start, or by its session once: an atomic add, no lookup.
//! What changes rarely is looked up by label. What exists elsewhere already (pools, servers, caches) is read when someone looks, by
//! hooks that [`Metrics::before_scrape`] takes.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use prometheus::{Encoder, Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, TextEncoder};

pub use super::background::Background;
pub use super::by_client::{ByClient, FiguresOf};
pub use super::by_server::{ByServer, ConnectResult};
use super::outcomes::{self, Errors, Transactions};
pub use super::outcomes::{Refused, TransactionRan};
use super::registry::Register;
pub use super::registry::{Row, observe};
pub use super::requests::{Access, RequestLabels, Requests, RequestsOf};
use super::sqlstates;
use crate::cluster::topology::Server;
use crate::sql::Consistency;

/// Time in a queue: nothing at all, or anything up to `checkout_timeout`.
const WAIT_SECONDS: &[f64] = &[
    0.00001, 0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    30.0,
];

/// Weir's own time: microseconds.
const ADDED_SECONDS: &[f64] = &[
    0.000_001, 0.000_002, 0.000_005, 0.000_01, 0.000_02, 0.000_05, 0.0001, 0.0002, 0.0005, 0.001, 0.002,
    0.005, 0.01, 0.1,
];

/// Everything that is counted. Many fields: each is one subject of the documented table, and whoever counts touches
/// one of them alone.
pub struct Metrics {
    register: Register,
    hooks: Mutex<Vec<Hook>>,
    /// Requests and their time, by server.
    pub requests: Requests,
    /// The same by whose they were.
    pub by_client: ByClient,
    transactions: Transactions,

    /// Waiting for a backend connection, without what was waited for freshness.
    pub checkout_wait_seconds: Histogram,
    /// What weir itself adds to a request, waiting for peers and pools not included.
    pub added_seconds: Histogram,
    /// Waiting for a replica to be fresh enough.
    pub freshness_wait_seconds: Histogram,
    reads: Reads,
    /// Bytes read and written.
    pub bytes: Bytes,

    /// Clients that are logged in.
    pub clients: IntGauge,
    /// Clients that there may be.
    pub clients_max: IntGauge,
    /// Connections accepted.
    pub client_connections: IntCounter,
    refused: IntCounterVec,
    /// Clients' TLS handshakes, by how they ended.
    pub tls_handshakes: TlsHandshakes,
    certificates: IntGaugeVec,
    /// Cancel requests, by what came of them.
    pub cancels: Cancels,
    /// Sessions that keep their connection.
    pub pinned_sessions: IntGauge,
    pins: Pins,
    /// Connections whose session ended in the middle of something, or left state, by what was done about it.
    pub resets: Resets,
    /// Clients and requests that took too long, by limit.
    pub timeouts: TimedOut,

    /// Statements parsed on a server, because the connection did not hold them.
    pub prepared_parsed: IntCounter,
    /// Statements that a connection held already.
    pub prepared_reused: IntCounter,
    /// Questions of weir's own what a prepared statement is where its client goes on with it.
    pub prepared_described: IntCounter,
    /// Verdicts found in the cache.
    pub verdict_cache_hits: IntCounter,
    /// Verdicts that had to be made.
    pub verdict_cache_misses: IntCounter,
    /// Verdicts in the cache.
    pub verdict_cache_entries: IntGauge,
    /// Shapes that were learned to need the primary.
    pub learned: IntCounter,
    /// Lines of the log that were lost.
    pub log_lines_lost: IntCounter,
    /// Spans of requests.
    pub spans: SpanCounts,
    /// Whether the configuration was taken when it was read last.
    pub reload_successful: IntGauge,

    /// What goes on beside the requests.
    pub background: Background,

    reruns: IntCounterVec,
    errors: Errors,
    /// What bears a server's name.
    pub servers: ByServer,
}

/// Brings figures that live elsewhere up to date before they are read.
type Hook = Box<dyn Fn(&Metrics) + Send + Sync>;

/// Bytes by peer and direction.
pub struct Bytes {
    /// Read from clients.
    pub from_client: IntCounter,
    /// Written to clients.
    pub to_client: IntCounter,
    /// Read from servers.
    pub from_server: IntCounter,
    /// Written to servers.
    pub to_server: IntCounter,
}

/// Clients' TLS handshakes by result.
pub struct TlsHandshakes {
    /// Both ends came together.
    pub ok: IntCounter,
    /// They did not, or one of them gave up.
    pub failed: IntCounter,
}

/// Spans of requests by result.
pub struct SpanCounts {
    /// The collector has taken them.
    pub sent: IntCounter,
    /// It has not, or there were too many of them.
    pub lost: IntCounter,
}

/// Cancel requests by result.
pub struct Cancels {
    /// Passed on to the server that ran the session's request.
    pub forwarded: IntCounter,
    /// Answered by another one on its way to the same session.
    pub joined: IntCounter,
    /// The session waited for a connection, and waits no more.
    pub waiting: IntCounter,
    /// The session ran nothing.
    pub idle: IntCounter,
    /// Passed on to the copy of weir that has given the key.
    pub passed_on: IntCounter,
    /// No session has this key.
    pub unknown: IntCounter,
}

/// Connections whose session ended in the middle of something, or left state.
pub struct Resets {
    /// A transaction was rolled back.
    pub rolled_back: IntCounter,
    /// DISCARD ALL removed what was left.
    pub discarded: IntCounter,
    /// The connection was closed.
    pub closed: IntCounter,
}

/// What took longer than it may.
pub struct TimedOut {
    /// A client that said nothing.
    pub idle_client: IntCounter,
    /// A transaction as a whole.
    pub transaction: IntCounter,
    /// A client that said nothing within a transaction.
    pub idle_in_transaction: IntCounter,
    /// A request on a server.
    pub query: IntCounter,
}

/// What came of a read's wish for a fresh replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadOutcome {
    /// A replica was known to be fresh enough.
    Fresh,
    /// One was found to be after a while.
    Waited,
    /// None was in time: it went to the primary.
    Stale,
    /// None could be used: it went to the primary.
    NoReplica,
}

/// Why a request ran again elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RerunCause<'a> {
    /// A server answered it with this SQLSTATE.
    Error(&'a str),
    /// The connection was lost.
    ConnectionLost,
    /// A server refused the settings in front of it.
    SettingsRefused,
}

/// A counter for each level and outcome.
struct Reads([[IntCounter; 4]; 4]);

impl Reads {
    fn new(r: &mut Register) -> Self {
        let help = "Reads that asked how fresh a replica is, by consistency level: a replica was fresh, one was waited for, the primary served it because all were stale, or because there was no replica.";
        let family = r.counters("reads_total", help, &["consistency", "outcome"]);
        let outcomes = |level| {
            ["fresh", "waited", "stale", "no_replica"]
                .map(|outcome| family.with_label_values(&[level, outcome]))
        };
        Self(["eventual", "session", "global", "strong"].map(outcomes))
    }
}

impl Bytes {
    fn new(r: &mut Register) -> Self {
        let help = "Bytes that sessions read and wrote after their login: from_client, to_client, from_server, to_server.";
        let family = r.counters("bytes_total", help, &["direction"]);
        let of = |direction| family.with_label_values(&[direction]);
        Self {
            from_client: of("from_client"),
            to_client: of("to_client"),
            from_server: of("from_server"),
            to_server: of("to_server"),
        }
    }
}

impl TlsHandshakes {
    fn new(r: &mut Register) -> Self {
        let help = "TLS handshakes of clients: ok, or failed (refused by one of the two, given up, or not done within login_timeout).";
        let family = r.counters("tls_handshakes_total", help, &["result"]);
        let of = |result| family.with_label_values(&[result]);
        Self { ok: of("ok"), failed: of("failed") }
    }
}

impl SpanCounts {
    fn new(r: &mut Register) -> Self {
        let help = "Spans of requests by what became of them: sent, or lost, because the collector did not take them or not as fast as they came.";
        let family = r.counters("spans_total", help, &["result"]);
        let of = |result| family.with_label_values(&[result]);
        Self { sent: of("sent"), lost: of("lost") }
    }
}

impl Cancels {
    fn new(r: &mut Register) -> Self {
        let help = "Cancel requests: forwarded to a server, joined to one on its way to the same session, for a session waiting for a connection, for an idle one, passed_on to the copy of weir that has given the key, or with an unknown key.";
        let family = r.counters("cancels_total", help, &["result"]);
        let of = |result| family.with_label_values(&[result]);
        Self {
            forwarded: of("forwarded"),
            joined: of("joined"),
            waiting: of("waiting"),
            idle: of("idle"),
            passed_on: of("passed_on"),
            unknown: of("unknown"),
        }
    }
}

/// Sessions that keep their connection, by the kind of state that it holds.
struct Pins {
    begun: IntCounterVec,
    now: IntGaugeVec,
}

impl Pins {
    fn new(r: &mut Register) -> Self {
        Self {
            begun: r.counters(
                "pins_total",
                "Times that a session came to have state of this kind on its connection.",
                &["reason"],
            ),
            now: r.gauges(
                "pins",
                "Sessions that have state of this kind on their connection; one may have several.",
                &["reason"],
            ),
        }
    }
}

impl Resets {
    fn new(r: &mut Register) -> Self {
        let help = "Connections whose session ended in the middle of something, or with state on them, by what was done about it: rolled_back, discarded (DISCARD ALL) or closed.";
        let family = r.counters("connection_resets_total", help, &["how"]);
        let of = |how| family.with_label_values(&[how]);
        Self { rolled_back: of("rolled_back"), discarded: of("discarded"), closed: of("closed") }
    }
}

impl TimedOut {
    fn new(r: &mut Register) -> Self {
        let help = "What took longer than [timeouts] allow, or than its client allows a transaction of which no server knows: idle_client, idle_in_transaction, transaction or query.";
        let family = r.counters("timeouts_total", help, &["limit"]);
        let of = |limit| family.with_label_values(&[limit]);
        Self {
            idle_client: of("idle_client"),
            idle_in_transaction: of("idle_in_transaction"),
            transaction: of("transaction"),
            query: of("query"),
        }
    }
}

fn clients_max(r: &mut Register) -> IntGauge {
    let help =
        "Clients that there may be at once: client_limit, or as many as there are file descriptors for.";
    r.gauge("clients_max", help)
}

fn certificates(r: &mut Register) -> IntGaugeVec {
    let help =
        "When the certificate that clients are shown expires, in seconds since the Unix epoch, by its file.";
    r.gauges("tls_certificate_expires_seconds", help, &["certificate"])
}

fn reload_successful(r: &mut Register) -> IntGauge {
    let help = "1 when the configuration was taken when it was last read, 0 when it was not and what held before holds on.";
    let taken = r.gauge("config_last_reload_successful", help);
    taken.set(1);
    taken
}

impl Metrics {
    /// All figures, at zero.
    pub fn new(labels: RequestLabels) -> Self {
        let mut r = Register::default();
        let build = r.gauges("build_info", "Always 1; the version is in the label.", &["version"]);
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        // In the order of the documented table.
        Self {
            requests: Requests::new(&mut r, labels),
            by_client: ByClient::new(&mut r, labels.routes),
            transactions: Transactions::new(&mut r, labels.reasons),
            checkout_wait_seconds: r.histogram(
                "checkout_wait_seconds",
                "Time that requests wait for a backend connection: for one to come free, to be opened, or for a primary to be there; not for a replica to be fresh.",
                WAIT_SECONDS,
            ),
            added_seconds: r.histogram(
                "added_seconds",
                "Weir's own time per request, from its being there as a whole to its being ready for the server, without waiting for a pool.",
                ADDED_SECONDS,
            ),
            reads: Reads::new(&mut r),
            freshness_wait_seconds: r.histogram(
                "freshness_wait_seconds",
                "Time that reads wait for a replica to be fresh enough, whether one is in the end or not.",
                WAIT_SECONDS,
            ),
            reruns: r.counters("reruns_total", "Requests that failed on a replica and ran again elsewhere.", &["cause"]),
            learned: r.counter("learned_total", "Shapes of statements that failed on a replica and avoid it since."),
            errors: Errors::new(&mut r),
            bytes: Bytes::new(&mut r),
            clients: r.gauge("clients", "Clients that are logged in."),
            clients_max: clients_max(&mut r),
            client_connections: r.counter("client_connections_total", "Connections accepted from clients."),
            refused: outcomes::refused(&mut r),
            tls_handshakes: TlsHandshakes::new(&mut r),
            certificates: certificates(&mut r),
            cancels: Cancels::new(&mut r),
            pinned_sessions: r.gauge("pinned_sessions", "Sessions that keep their connection to the primary."),
            pins: Pins::new(&mut r),
            resets: Resets::new(&mut r),
            timeouts: TimedOut::new(&mut r),
            verdict_cache_hits: r.counter("verdict_cache_hits_total", "Statements whose shape was in the cache."),
            verdict_cache_misses: r.counter("verdict_cache_misses_total", "Statements whose shape had to be parsed."),
            verdict_cache_entries: r.gauge("verdict_cache_entries", "Shapes of statements in the cache."),
            prepared_parsed: r.counter(
                "prepared_statements_parsed_total",
                "Prepared statements sent to a server because the connection did not hold them.",
            ),
            prepared_reused: r.counter(
                "prepared_statements_reused_total",
                "Uses of a prepared statement that the connection held already.",
            ),
            prepared_described: r.counter(
                "prepared_statements_described_total",
                "Questions of weir's whether a prepared statement still is what its client was told.",
            ),
            log_lines_lost: r.counter(
                "log_lines_lost_total",
                "Lines of the log that were lost, because whoever reads it did not keep up or it could not be written.",
            ),
            spans: SpanCounts::new(&mut r),
            reload_successful: reload_successful(&mut r),
            background: Background::new(&mut r),
            servers: ByServer::new(&mut r),
            register: {
                #[cfg(target_os = "linux")]
                r.process();
                r
            },
            hooks: Mutex::default(),
        }
    }

    /// Counts a request that weir answers itself. The arguments are indices into the lists given to [`Metrics::new`].
    pub fn answered(&self, route: usize, reason: usize) {
        self.requests.own().request(route, reason, Access::None);
    }

    /// Counts a transaction that is over, by how it ran and, where that was on the primary, why: an index into the list of
    /// reasons given to [`Metrics::new`].
    pub fn transaction(&self, ran: TransactionRan, reason: Option<usize>) {
        self.transactions.add(ran, reason);
    }

    /// Counts a client that was not let in.
    pub fn refused(&self, cause: Refused) {
        self.refused.with_label_values(&[cause.label()]).inc();
    }

    /// Has figures end whose server is none of these: it has been removed.
    pub fn keep(&self, servers: &[Server]) {
        self.requests.keep(servers);
        self.servers.keep(servers);
    }

    /// Sets when certificates expire that clients are shown, in seconds since the Unix epoch, by their files. Of others
    /// nothing is told any more.
    pub fn set_certificates<'a>(&self, all: impl Iterator<Item = (&'a str, i64)>) {
        self.certificates.reset();
        all.for_each(|(file, expires)| self.certificates.with_label_values(&[file]).set(expires));
    }

    /// A session has come to keep its connection for this reason.
    pub fn pinned(&self, reason: &str) {
        self.pins.begun.with_label_values(&[reason]).inc();
        self.pins.now.with_label_values(&[reason]).inc();
    }

    /// A session does not keep its connection for this reason any more.
    pub fn unpinned(&self, reason: &str) {
        self.pins.now.with_label_values(&[reason]).dec();
    }

    /// Counts a read that asked for a replica of some freshness.
    pub fn read(&self, level: Consistency, outcome: ReadOutcome) {
        self.reads.0[level as usize][outcome as usize].inc();
    }

    /// Counts a request that ran again elsewhere, because of this SQLSTATE or for another reason.
    pub fn rerun(&self, cause: RerunCause<'_>) {
        let label = match cause {
            RerunCause::Error(sqlstate) => sqlstates::label(sqlstate),
            RerunCause::ConnectionLost => "connection_lost",
            RerunCause::SettingsRefused => "settings_refused",
        };
        self.reruns.with_label_values(&[label]).inc();
    }

    /// Counts an error that weir sent to a client.
    pub fn error(&self, sqlstate: &str) {
        self.errors.add(sqlstate);
    }

    /// Has `hook` called before each scrape, to bring figures that live elsewhere up to date. It must not block.
    pub fn before_scrape(&self, hook: impl Fn(&Metrics) + Send + Sync + 'static) {
        self.hooks.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(hook));
    }

    /// All figures in Prometheus' text format, up to date.
    pub fn render(&self) -> String {
        self.hooks.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(|hook| hook(self));
        let mut text = Vec::new();
        let encoded = TextEncoder::new().encode(&self.register.gather(), &mut text);
        if let Err(error) = encoded {
            tracing::error!("metrics cannot be encoded: {error}");
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    /// The counters of a family, added up by the values of these labels.
    pub(crate) fn counters<const N: usize>(&self, family: &str, by: [&str; N]) -> BTreeMap<[String; N], u64> {
        let families = self.register.gather();
        let mut sums = BTreeMap::new();
        for metric in families.iter().filter(|one| one.name() == family).flat_map(|one| one.get_metric()) {
            let value = |name: &str| {
                let label = metric.get_label().iter().find(|label| label.name() == name);
                label.map_or_else(String::new, |label| label.value().to_owned())
            };
            *sums.entry(by.map(value)).or_default() += metric.get_counter().get_value() as u64;
        }
        sums
    }

    /// The content type of [`Metrics::render`].
    pub fn content_type(&self) -> &'static str {
        prometheus::TEXT_FORMAT
    }

    /// What there is: the documented table is made of this.
    pub fn table(&self) -> &[Row] {
        self.register.rows()
    }
}

/// Brings a counter up to a total that is counted elsewhere. Totals only grow; a smaller one changes nothing.
pub fn raise_to(counter: &IntCounter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}

/// Adds to a counter; without touching it when there is nothing to add.
pub fn count(counter: &IntCounter, n: usize) {
    if n > 0 {
        counter.inc_by(u64::try_from(n).unwrap_or(u64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::{Duration, Instant};

    use super::*;
    use crate::cluster::topology::{Health, Role, ServerId};
    use crate::freshness::{Freshness, Lsn};

    fn metrics() -> Metrics {
        Metrics::new(RequestLabels { routes: &["primary", "replica"], reasons: &["write", "read", "hint"] })
    }

    #[test]
    fn a_request_is_counted_under_its_own_labels_only() {
        let metrics = metrics();
        let (a, b) = (metrics.requests.of(ServerId(1), "a"), metrics.requests.of(ServerId(2), "b"));
        a.request(1, 1, Access::Read);
        metrics.requests.of(ServerId(1), "a").request(1, 1, Access::Read);
        b.request(0, 2, Access::Write);
        metrics.requests.own().request(0, 0, Access::None);
        let text = metrics.render();
        let lines: Vec<_> = text.lines().filter(|line| line.starts_with("weir_requests_total{")).collect();
        let expected = [
            r#"weir_requests_total{access="none",reason="write",route="primary",server=""} 1"#,
            r#"weir_requests_total{access="read",reason="read",route="replica",server="a"} 2"#,
            r#"weir_requests_total{access="write",reason="hint",route="primary",server="b"} 1"#,
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn hooks_bring_figures_up_to_date_at_each_scrape() {
        let metrics = metrics();
        let total = Arc::new(AtomicU64::new(3));
        let counted = total.clone();
        metrics.before_scrape(move |m| {
            raise_to(&m.verdict_cache_hits, counted.load(Ordering::Relaxed));
        });
        assert!(metrics.render().contains("\nweir_verdict_cache_hits_total 3\n"));
        total.store(8, Ordering::Relaxed);
        assert!(metrics.render().contains("\nweir_verdict_cache_hits_total 8\n"));
        total.store(2, Ordering::Relaxed);
        assert!(metrics.render().contains("\nweir_verdict_cache_hits_total 8\n"), "a counter never falls");
    }

    fn replica(epoch: Instant) -> Server {
        Server { name: "a".into(), freshness: Arc::new(Freshness::new(epoch)), ..Server::example(0) }
    }

    #[test]
    fn a_server_has_one_role_at_a_time() {
        let metrics = metrics();
        let mut server = replica(Instant::now());
        metrics.servers.set_state(&server);
        server.role = Role::Primary;
        server.health = Health::Down;
        metrics.servers.set_state(&server);
        let text = metrics.render();
        assert!(text.contains(r#"weir_server_role{role="primary",server="a"} 1"#), "{text}");
        assert!(text.contains(r#"weir_server_role{role="replica",server="a"} 0"#), "{text}");
        assert!(text.contains(r#"weir_server_up{server="a"} 0"#), "{text}");
    }

    #[test]
    fn the_figures_of_a_server_end_with_it() {
        let metrics = metrics();
        let epoch = Instant::now();
        let server = |id, name: &str| Server { id: ServerId(id), name: name.into(), ..replica(epoch) };
        let (a, b) = (server(1, "a"), server(2, "b"));
        for server in [&a, &b] {
            server.freshness.publish(epoch, Lsn(5), 77, Some(epoch));
            metrics.servers.set_state(server);
            metrics.servers.set_freshness(server, epoch);
            metrics.servers.set_pool(&server.name, 1, 2, 3);
            metrics.servers.sampled(&server.name, "counted", Some(Duration::from_millis(1)));
            metrics.servers.connected(&server.name, ConnectResult::Ok);
            metrics.requests.of(server.id, &server.name).request(1, 1, Access::Read);
            metrics.requests.of(server.id, &server.name).took(1, Duration::from_millis(1));
        }
        metrics.requests.own().request(0, 0, Access::None);
        let of = |name: &str| metrics.render().matches(&format!("server=\"{name}\"")).count();
        let all = of("b");
        assert_eq!(of("a"), all);
        metrics.keep(std::slice::from_ref(&b));
        assert_eq!((of("a"), of("b")), (0, all));
        metrics.keep(&[]);
        assert_eq!((of("b"), of("")), (0, 1), "what weir answers itself is no server's");
    }

    #[test]
    fn staleness_is_shown_while_it_is_known() {
        let metrics = metrics();
        let epoch = Instant::now();
        let mut server = replica(epoch);
        let shown = |server: &Server| {
            metrics.servers.set_freshness(server, epoch + Duration::from_millis(2500));
            let text = metrics.render();
            let lines = text.lines().filter(|line| line.starts_with("weir_replica_"));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(shown(&server), [""; 0]);
        server.freshness.publish(epoch, Lsn(5), 77, Some(epoch));
        let known =
            [r#"weir_replica_lag_bytes{server="a"} 77"#, r#"weir_replica_staleness_seconds{server="a"} 2.5"#];
        assert_eq!(shown(&server), known);
        server.role = Role::Primary;
        assert_eq!(shown(&server), [""; 0], "a primary is never behind");
        server.role = Role::Replica;
        assert_eq!(shown(&server), known);
        server.freshness.forget();
        assert_eq!(shown(&server), [""; 0]);
    }

    #[test]
    fn only_answers_have_a_time() {
        let metrics = metrics();
        metrics.servers.sampled("a", "counted", Some(Duration::from_micros(300)));
        metrics.servers.sampled("a", "timed_out", None);
        let text = metrics.render();
        assert!(text.contains(r#"weir_samples_total{result="counted",server="a"} 1"#), "{text}");
        assert!(text.contains(r#"weir_samples_total{result="timed_out",server="a"} 1"#), "{text}");
        assert!(text.contains(r#"weir_sample_seconds_bucket{server="a",le="0.0005"} 1"#), "{text}");
        assert!(text.contains(r#"weir_sample_seconds_count{server="a"} 1"#), "{text}");
    }

    #[test]
    fn a_made_up_sqlstate_makes_no_label() {
        let metrics = metrics();
        metrics.error("28P01");
        metrics.error("\"} forged");
        metrics.error("ZX123");
        metrics.rerun(RerunCause::Error("ZX123"));
        let text = metrics.render();
        assert!(text.contains(r#"weir_errors_total{sqlstate="28P01"} 1"#), "{text}");
        assert!(text.contains(r#"weir_errors_total{sqlstate="other"} 2"#), "{text}");
        assert!(text.contains(r#"weir_reruns_total{cause="other"} 1"#), "{text}");
    }
}
