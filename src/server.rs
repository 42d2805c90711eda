//! The daemon: listeners, the accepting that never ends, the limit of clients, and the drain.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::admin::http::{self, Condition};
use crate::cluster::topology::{Health, Role, Server, ServerId};
use crate::cluster::{Cluster, Sample, SampleEvents};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::frontend::{Arrival, admit, refuse};
use crate::net::{Listener, Stream};
use crate::pool::{Events, Pools};
use crate::router::{Reason, Route};
use crate::session::{Cancel, Newcomer, Session, Shared};
use crate::sql::Target;
use crate::telemetry::metrics::{ConnectResult, Metrics, RequestLabels, raise_to};
use crate::users::Users;

/// How long a client that is closed because weir waits no longer may take to hear of it.
const FAREWELL: Duration = Duration::from_secs(1);

/// How often those who wait for a server that is down are told so.
const ALARM_ROUND: Duration = Duration::from_millis(500);

/// How a run can fail to begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A verifier in the configuration is none.
    #[error("user {0}: the verifier is not a SCRAM-SHA-256 verifier")]
    Verifier(Arc<str>),
}

/// What the accept loops share.
struct Door {
    shared: Arc<Shared>,
    users: Users,
    permits: Arc<Semaphore>,
}

/// Serves until `stop` is ready, then drains: what is new is refused, what runs may finish within the drain timeout, but
/// no longer than until `at_once` is ready.
///
/// # Errors
/// When it cannot begin.
pub async fn run(
    config: Config,
    stop: impl Future<Output = ()>,
    at_once: impl Future<Output = ()>,
) -> std::result::Result<(), StartError> {
    let running = start(Arc::new(config)).await?;
    stop.await;
    drain(&running.door, at_once).await;
    Ok(())
}

/// What runs until it is dropped.
struct Running {
    door: Arc<Door>,
    _beside: JoinSet<()>,
    _accepting: JoinSet<()>,
}

/// Puts the rooms together, and opens the door once the servers have been looked at.
async fn start(config: Arc<Config>) -> std::result::Result<Running, StartError> {
    let users = Users::new(&config.users).map_err(|invalid| StartError::Verifier(invalid.user))?;
    let listeners = bind(&config)?;
    let metrics = Arc::new(Metrics::new(RequestLabels {
        routes: &[Route::Primary.as_str(), Route::Replica.as_str()],
        reasons: &Reason::ALL.map(Reason::as_str),
    }));
    let samples = Arc::new(Samples { metrics: metrics.clone() });
    let cluster = Cluster::start_observed(&config, samples);
    let events = Arc::new(Wires { cluster: cluster.clone(), metrics: metrics.clone() });
    let pools = Pools::new(&config, events);
    let shared = Shared::new(config.clone(), pools.clone(), cluster.clone(), metrics.clone());
    watch_figures(&metrics, &shared);
    let mut beside = JoinSet::new();
    beside.spawn(pools.upkeep());
    beside.spawn(raise_alarms(shared.clone()));
    beside.spawn(retire_connections(shared.clone()));
    if let Some(address) = config.metrics {
        let listener =
            TcpListener::bind(address).await.map_err(|source| StartError::Listen { address, source })?;
        let condition = Arc::new(State { shared: shared.clone() });
        let metrics = metrics.clone();
        beside.spawn(async move {
            http::serve(listener, metrics, condition).await;
        });
    }
    cluster.first_look().await;
    let permits = Arc::new(Semaphore::new(config.clients.limit));
    let door = Arc::new(Door { shared, users, permits });
    let mut accepting = JoinSet::new();
    for (listener, target) in listeners {
        accepting.spawn(accept(door.clone(), listener, target));
    }
    tracing::info!(listeners = config.listeners.len(), servers = config.servers.len(), "weir is running");
    Ok(Running { door, _beside: beside, _accepting: accepting })
}

/// Lets running work come to its end, and closes what has none. Clients go on being accepted, to be told why they are
/// refused, and because cancel requests come that way.
async fn drain(door: &Door, at_once: impl Future<Output = ()>) {
    let shared = &door.shared;
    let clients = &shared.config.clients;
    tracing::info!(clients = shared.registry.len(), "draining");
    shared.begin_drain();
    let all = u32::try_from(clients.limit).unwrap_or(u32::MAX);
    // A client has its permit until it has heard why it is closed.
    let gone = door.permits.acquire_many(all);
    tokio::pin!(gone);
    let finished = tokio::select! {
        _ = &mut gone => true,
        () = tokio::time::sleep(clients.drain_timeout) => false,
        () = at_once => false,
    };
    if !finished {
        tracing::warn!(clients = shared.registry.len(), "drain ended: closing what is left");
        shared.end();
        // Whoever does not listen is closed with the process.
        let _ = timeout(FAREWELL, gone).await;
    }
}

fn bind(config: &Config) -> std::result::Result<Vec<(Listener, Target)>, StartError> {
    let bind = |listener: &crate::config::Listener| {
        let address = listener.address;
        Listener::bind(address)
            .map(|bound| (bound, listener.target))
            .map_err(|source| StartError::Listen { address, source })
    };
    config.listeners.iter().map(bind).collect()
}

async fn accept(door: Arc<Door>, listener: Listener, target: Target) {
    loop {
        let (stream, peer) = listener.accept().await;
        let door = door.clone();
        let permit = match door.shared.is_draining() {
            true => Err(Error::Closing),
            false => door.permits.clone().try_acquire_owned().map_err(|_| Error::TooManyClients),
        };
        tokio::spawn(async move {
            match permit {
                Ok(permit) => serve(door, stream, peer, target, permit).await,
                // A cancel request must get through all the same.
                Err(why) => Box::pin(turn_away(&door, stream, &why)).await,
            }
        });
    }
}

/// One connection from its first byte to its last.
async fn serve(
    door: Arc<Door>,
    stream: Stream,
    peer: std::net::SocketAddr,
    listener: Target,
    permit: OwnedSemaphorePermit,
) {
    let metrics = &door.shared.metrics;
    metrics.client_connections.inc();
    // The states of login and farewell are large and short-lived: in boxes of their own they do not weigh on the
    // client's whole life.
    let Some(mut session) = Box::pin(log_in(&door, stream, peer, listener)).await else { return };
    metrics.clients.inc();
    let outcome = session.run().await;
    metrics.clients.dec();
    session.leave();
    if let Err(error) = outcome {
        Box::pin(farewell(session, &error)).await;
    }
    drop(permit);
}

async fn farewell(session: Session, error: &Error) {
    if matches!(error, Error::Lost(_)) {
        return;
    }
    tracing::info!(%error, "client closed");
    if let Some(stream) = session.into_stream().await {
        refuse(stream, error).await;
    }
}

async fn log_in(
    door: &Door,
    stream: Stream,
    peer: std::net::SocketAddr,
    listener: Target,
) -> Option<Session> {
    let deadline = Instant::now() + door.shared.config.clients.login_timeout;
    let admission = match admit(stream, &door.users, deadline).await {
        Ok(Arrival::Client(admission)) => *admission,
        Ok(Arrival::Cancel(key, stream)) => {
            // It needs no client's place while it is on its way.
            let shared = door.shared.clone();
            tokio::spawn(async move {
                cancel(&shared, &key).await;
                drop(stream);
            });
            return None;
        }
        Err(error) => {
            if !matches!(error, Error::Lost(_)) {
                door.shared.metrics.logins_failed.inc();
                tracing::info!(%peer, %error, "login failed");
            }
            return None;
        }
    };
    let (user, database) = (admission.user.name.clone(), admission.greeting.database.clone());
    match Session::begin(door.shared.clone(), Newcomer { admission, listener, deadline }).await {
        Ok(session) => {
            tracing::info!(%peer, %user, database, "client connected");
            Some(session)
        }
        Err((stream, error)) => {
            door.shared.metrics.logins_failed.inc();
            tracing::info!(%peer, %user, database, %error, "login failed");
            refuse(stream, &error).await;
            None
        }
    }
}

/// A connection that cannot be served: told why, unless it is a cancel request.
async fn turn_away(door: &Door, stream: Stream, why: &Error) {
    let deadline = Instant::now() + Duration::from_secs(5);
    match admit(stream, &door.users, deadline).await {
        Ok(Arrival::Client(admission)) => refuse(admission.stream, why).await,
        Ok(Arrival::Cancel(key, stream)) => {
            cancel(&door.shared, &key).await;
            drop(stream);
        }
        Err(_) => {}
    }
}

/// Passes a cancel request on to the connection that runs the session's request now. Returns when it has been
/// delivered there: then its client may be told so, by the end of its connection.
async fn cancel(shared: &Shared, key: &crate::wire::startup::CancelKey) {
    let cancels = &shared.metrics.cancels;
    match shared.registry.cancel(key) {
        Cancel::Aimed(aim) => cancels.forwarded.inc_by(shared.deliver(aim).await),
        Cancel::Joined(entry) => {
            cancels.joined.inc();
            entry.settled().await;
        }
        Cancel::Waited => cancels.waiting.inc(),
        Cancel::Idle => cancels.idle.inc(),
        Cancel::Unknown => cancels.unknown.inc(),
    }
}

/// What pools tell the rest of the house.
struct Wires {
    cluster: Arc<Cluster>,
    metrics: Arc<Metrics>,
}

impl Events for Wires {
    fn server(&self, server: ServerId) -> Option<Server> {
        self.cluster.topology().server(server).cloned()
    }

    fn suspect(&self, server: ServerId) {
        self.cluster.suspect(server);
    }

    fn connected(&self, server: ServerId, result: &Result<()>) {
        let Some(server) = self.server(server) else { return };
        let outcome = match result {
            Ok(()) => ConnectResult::Ok,
            Err(Error::Refused { .. } | Error::ServerAuthentication(_)) => ConnectResult::Refused,
            Err(_) => ConnectResult::Failed,
        };
        if let Err(error) = result {
            tracing::warn!(server = &*server.name, %error, "cannot connect");
        }
        self.metrics.servers.connected(&server.name, outcome);
    }
}

/// What the samplers tell the rest of the house.
struct Samples {
    metrics: Arc<Metrics>,
}

impl SampleEvents for Samples {
    fn sampled(&self, server: &Server, sample: Sample, took: Duration) {
        self.metrics.servers.sampled(
            &server.name,
            sample.as_str(),
            Some(took).filter(|_| sample.is_answer()),
        );
    }
}

/// Tells whoever waits for a server that it is down. Again and again while it is, for a session that looked at the
/// topology a moment earlier may have begun to wait since.
async fn raise_alarms(shared: Arc<Shared>) {
    let mut changes = shared.cluster.changes();
    loop {
        let topology = arc_swap::Guard::into_inner(shared.cluster.topology());
        let mut round = None;
        for server in topology.servers.iter().filter(|server| server.health == Health::Down) {
            shared.pools.server_down(server.id);
            shared.registry.alarm(server.id);
            round = Some(ALARM_ROUND);
        }
        let ended = match round {
            Some(round) => timeout(round, changes.changed()).await.is_ok_and(|changed| changed.is_err()),
            None => changes.changed().await.is_err(),
        };
        if ended {
            return;
        }
    }
}

/// Has connections closed that were opened to a server in another role, or before it went down: a write that finds
/// an old primary's connection idle would be sent to it. Pools of a server that is gone are closed with it.
async fn retire_connections(shared: Arc<Shared>) {
    let mut changes = shared.cluster.changes();
    let mut before = arc_swap::Guard::into_inner(shared.cluster.topology());
    while changes.changed().await.is_ok() {
        let now = arc_swap::Guard::into_inner(shared.cluster.topology());
        now.changed_since(&before).for_each(|server| shared.pools.retire(server));
        now.removed_since(&before).for_each(|server| shared.pools.remove(server));
        before = now;
    }
}

/// Figures that are read when somebody asks for them.
fn watch_figures(metrics: &Metrics, shared: &Arc<Shared>) {
    let shared = Arc::downgrade(shared);
    metrics.before_scrape(move |metrics| {
        let Some(shared) = shared.upgrade() else { return };
        let counts = shared.classifier.counts();
        raise_to(&metrics.verdict_cache_hits, counts.hits);
        raise_to(&metrics.verdict_cache_misses, counts.misses);
        metrics.verdict_cache_entries.set(i64::try_from(counts.entries).unwrap_or(i64::MAX));
        let topology = arc_swap::Guard::into_inner(shared.cluster.topology());
        let pools = shared.pools.all();
        let now = std::time::Instant::now();
        metrics.servers.keep(&topology.servers);
        for server in &topology.servers {
            metrics.servers.set_state(server);
            metrics.servers.set_freshness(server, now);
            let (mut active, mut idle, mut waiting) = (0, 0, 0);
            for pool in pools.iter().filter(|pool| pool.key().server == server.id) {
                let counts = pool.counts();
                active += counts.active;
                idle += counts.idle;
                waiting += counts.waiting;
            }
            metrics.servers.set_pool(&server.name, active, idle, waiting);
        }
    });
}

/// What the HTTP endpoints ask.
struct State {
    shared: Arc<Shared>,
}

impl Condition for State {
    fn ready(&self) -> std::result::Result<(), String> {
        self.shared.cluster.ready()
    }

    fn status(&self) -> String {
        let topology = arc_swap::Guard::into_inner(self.shared.cluster.topology());
        let pinned = self.shared.metrics.pinned_sessions.get();
        let mut out = format!("clients {}, {pinned} pinned\n", self.shared.registry.len());
        for server in &topology.servers {
            let role = match server.role {
                Role::Primary => "primary",
                Role::Replica => "replica",
                Role::Unknown => "unknown",
            };
            let health = if server.is_up() { "up" } else { "down" };
            out += &format!("server {} {role} {health}\n", server.name);
        }
        for pool in self.shared.pools.all() {
            let (key, counts) = (pool.key(), pool.counts());
            let server = topology.server(key.server).map_or("?", |server| &server.name);
            out += &format!(
                "pool {server} {} {}: {} active, {} idle, {} waiting\n",
                key.database, key.user, counts.active, counts.idle, counts.waiting
            );
        }
        out
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
