//! What all sessions share: the policy, the registry, statements, databases, and the tasks that a drain waits for.
//!
//! It never knows what one session does with it.

pub(crate) mod board;
pub(crate) mod copies;
pub(crate) mod databases;
pub(crate) mod gate;
pub(crate) mod greetings;
pub(crate) mod kin;
pub(crate) mod peers;
pub(crate) mod policy;
pub(crate) mod processes;
pub(crate) mod registry;
pub(crate) mod shapes;
pub(crate) mod spans;
pub(crate) mod statements;
pub(crate) mod subscriptions;
pub(crate) mod visitors;
pub(crate) mod writers;

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::backend::Key;
use crate::cluster::Cluster;
use crate::cluster::defaults::Conf;
use crate::cluster::topology::{Health, Server, ServerId};
use crate::config::{Config, Listener};
use crate::error::{Error, Result};
use crate::freshness::Marks;
use crate::pool::Pools;
use crate::router::Learned;
use crate::session::shared::board::Board;
use crate::session::shared::databases::{Database, Databases};
use crate::session::shared::greetings::Greetings;
use crate::session::shared::kin::Kin;
use crate::session::shared::peers::Peers;
use crate::session::shared::policy::Policy;
use crate::session::shared::registry::{Aim, CANCEL_TIMEOUT, Registry};
use crate::session::shared::spans::Spans;
use crate::session::shared::statements::Statements;
use crate::session::shared::subscriptions::Subscriptions;
use crate::sql::{Classifier, ProcessFunction};
use crate::telemetry::metrics::Metrics;
use crate::wire::startup::CancelKey;

/// What all sessions share. Many fields: each is shared by all and is its own affair.
pub(crate) struct Shared {
    /// What the configuration says now.
    policy: ArcSwap<Policy>,
    /// Verdicts.
    pub classifier: Classifier,
    /// Backend connections.
    pub pools: Arc<Pools>,
    /// The servers.
    pub cluster: Arc<Cluster>,
    /// Figures.
    pub metrics: Arc<Metrics>,
    /// All sessions.
    pub registry: Arc<Registry>,
    pub(crate) statements: Arc<Statements>,
    /// An atomic number rather than a `CancellationToken`: each session asks at each pause, and a token's lock would be
    /// one that all threads share.
    stage: AtomicU8,
    /// Sessions, what they leave behind, and cancel requests on their way.
    tasks: TaskTracker,
    pub(crate) greetings: Greetings,
    /// What operators see and turn.
    pub board: Board,
    /// The connections that listen for sessions.
    pub(crate) subscriptions: Subscriptions,
    databases: Databases,
    /// When the catalogs that all databases share were last written.
    common: Arc<Marks>,
    peers: Peers,
    /// The weirs before and behind this one.
    pub(crate) kin: Kin,
    /// Stands for the database of a session that no server has accepted yet.
    pub(crate) nowhere: Arc<Database>,
}

/// Stages of weir's life, one after the other: serving, serving those who are there, handing these over, ending what is
/// between two requests, ending everything.
const RUNNING: u8 = 0;
const CLOSED: u8 = 1;
const HANDING: u8 = 2;
const DRAINING: u8 = 3;
const ENDING: u8 = 4;

impl Shared {
    /// For a configuration, its pools and its servers.
    pub(crate) fn new(
        config: Arc<Config>,
        pools: Arc<Pools>,
        cluster: Arc<Cluster>,
        metrics: Arc<Metrics>,
        spans: Spans,
    ) -> Arc<Self> {
        let routing = &config.routing;
        let common = Arc::new(Marks::new(Instant::now()));
        let nowhere = Database::new(Learned::new(0, Duration::ZERO), Instant::now(), common.clone());
        Arc::new(Self {
            classifier: Classifier::new(routing.verdict_cache),
            pools,
            cluster,
            metrics,
            registry: Arc::new(Registry::of_copy(config.clients.peers.own)),
            statements: Arc::default(),
            stage: AtomicU8::new(RUNNING),
            tasks: TaskTracker::new(),
            greetings: Greetings::default(),
            board: Board::new(spans),
            subscriptions: Subscriptions::default(),
            databases: Databases::default(),
            common,
            peers: Peers::default(),
            kin: Kin::default(),
            nowhere: Arc::new(nowhere),
            policy: ArcSwap::from_pointee(Policy::new(config)),
        })
    }

    /// What the configuration says at this moment. Whoever serves a request keeps what it found here to its end.
    pub(crate) fn policy(&self) -> Guard<Arc<Policy>> {
        self.policy.load()
    }

    /// The listener at this address, as it is configured; the first where there is none any more.
    pub(crate) fn listener_of(&self, address: &str) -> Option<Arc<Listener>> {
        let listeners = &self.policy().config.listeners;
        let there = listeners.iter().find(|listener| listener.address.to_string() == address);
        there.or(listeners.first()).cloned()
    }

    /// Has all servers probed at once: they may give something else to those who set nothing.
    pub(crate) fn look_at_servers(&self) {
        self.cluster.topology().servers.iter().for_each(|server| self.cluster.suspect(server.id));
    }

    /// The same, when a configuration that was written has probably been read.
    pub(crate) fn look_for_reload(self: &Arc<Self>) {
        const LOOKS: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(300)];
        let shared = self.clone();
        drop(tokio::spawn(async move {
            for pause in LOOKS {
                tokio::time::sleep(pause).await;
                shared.look_at_servers();
            }
        }));
    }

    /// The next request of each session goes by what the primary's configuration says now.
    pub(crate) fn heed(&self, conf: &Arc<Conf>) {
        let is_known = |policy: &Policy| policy.conf.as_ref().is_some_and(|known| Arc::ptr_eq(known, conf));
        if !is_known(&self.policy()) {
            // Another configuration may come at the same time.
            self.policy.rcu(|policy| policy.under(conf.clone()));
        }
    }

    /// The next request of each session goes by this configuration: all of it, or none of it.
    pub(crate) fn obey(&self, config: &Arc<Config>) {
        let routing = &config.routing;
        self.classifier.remember(routing.verdict_cache);
        self.databases.learn(routing.learned, routing.learned_ttl);
        self.policy.rcu(|policy| {
            let obeyed = Policy::new(config.clone()).beside_another(policy.beside_another);
            match policy.conf.clone() {
                Some(conf) => obeyed.under(conf),
                None => obeyed,
            }
        });
    }

    /// The next request of each session is served by this policy.
    #[cfg(test)]
    pub(crate) fn adopt(&self, policy: Policy) {
        self.policy.store(Arc::new(policy));
    }

    /// From now on nobody comes in.
    pub(crate) fn close(&self) {
        self.stage.fetch_max(CLOSED, Ordering::AcqRel);
    }

    /// Whether nobody comes in any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.stage.load(Ordering::Acquire) >= CLOSED
    }

    /// From now on sessions go along to another weir as soon as they can: see [`Kin`].
    pub(crate) fn begin_handover(&self) {
        self.stage.fetch_max(HANDING, Ordering::AcqRel);
        self.registry.wake();
    }

    /// Another weir serves clients as well, from now on: what it acknowledges is not known here.
    pub(crate) fn is_beside_another(&self) {
        self.policy.rcu(|policy| policy.beside_another(Some(Instant::now())));
    }

    /// It serves nobody any more. Whatever it has acknowledged counts as written now.
    pub(crate) fn is_alone_again(&self) {
        let now = Instant::now();
        for database in self.databases.all() {
            database.marks.acknowledged.enter_anything(now);
        }
        self.common.acknowledged.enter_anything(now);
        self.cluster.demand().wrote(now);
        self.policy.rcu(|policy| policy.beside_another(None));
    }

    /// From now on sessions end as soon as they are between two requests.
    pub(crate) fn begin_drain(&self) {
        self.stage.fetch_max(DRAINING, Ordering::AcqRel);
        self.registry.wake();
    }

    /// From now on sessions end wherever they are.
    pub(crate) fn end(&self) {
        self.stage.fetch_max(ENDING, Ordering::AcqRel);
        self.registry.wake();
    }

    /// Runs a task that must come to its end before weir does. What it logs is its client's, as what is logged here is.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(self.tasks.spawn(task.in_current_span()));
    }

    /// Ready when nothing is under way any more: no session, nothing that one has left behind, no cancel request.
    pub(crate) async fn finished(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// What is under way.
    pub(crate) fn under_way(&self) -> usize {
        self.tasks.len()
    }

    /// Ready when a server is found to be down: what it still owes will not come.
    pub(crate) async fn goes_down(&self, server: ServerId) {
        let mut changes = self.cluster.changes();
        let is_down = |server: &Server| server.health == Health::Down;
        while !self.cluster.topology().server(server).is_some_and(is_down) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Asks a server to cancel what runs on a connection.
    ///
    /// # Errors
    /// When the request did not arrive.
    pub(crate) async fn cancel_on(&self, key: &Key) -> Result<()> {
        let (Some(address), Some(cancel)) = (self.pools.address(key.server), &key.cancel) else {
            return Ok(());
        };
        let deadline = tokio::time::Instant::now() + CANCEL_TIMEOUT;
        let keepalive = self.pools.keepalive();
        crate::backend::cancel(&address.target(), key.way, cancel, &keepalive, deadline).await
    }

    /// Passes a cancel request whose key is none of this copy's on to the copy that has given it. False when it has not arrived
    /// there.
    pub(crate) async fn pass_on(&self, key: &CancelKey) -> bool {
        if self.kin.cancels(key).await {
            return true;
        }
        let peers = self.policy().config.clients.peers.clone();
        self.peers.pass_on(key, &peers, &self.pools).await
    }

    /// Delivers a cancel request where it is aimed at, and what was asked for meanwhile behind it. Returns how many
    /// arrived.
    pub(crate) async fn deliver(&self, aim: Aim) -> u64 {
        let span = aim.span();
        self.deliver_all(aim).instrument(span).await
    }

    /// Signals a client by the process ID that it was given, as a server would its process. Who ends ends with what it runs.
    pub(crate) fn signal(self: &Arc<Self>, client: i32, signal: ProcessFunction) {
        let Some(entry) = self.registry.client(client) else { return };
        if signal == ProcessFunction::Terminate {
            entry.terminate();
        }
        if let Some(aim) = entry.aim() {
            let shared = self.clone();
            self.spawn(async move {
                shared.deliver(aim).await;
            });
        }
    }

    async fn deliver_all(&self, aim: Aim) -> u64 {
        let (mut next, mut arrived) = (Some(aim), 0);
        while let Some(aim) = next {
            match self.cancel_on(&aim.key).await {
                Ok(()) => arrived += 1,
                Err(error) => {
                    if may_arrive(&error) {
                        aim.strays();
                    }
                    let topology = self.cluster.topology();
                    let server = topology.server(aim.key.server).map(|server| &*server.name);
                    tracing::warn!(server, %error, "cancel request not delivered");
                }
            }
            next = aim.delivered();
        }
        arrived
    }

    /// Whether sessions go along or end, some of them at least: asked at each pause of each.
    pub(crate) fn is_leaving(&self) -> bool {
        self.stage.load(Ordering::Acquire) >= HANDING
    }

    /// Whether sessions go along to another weir as soon as they can.
    pub(crate) fn is_handing_over(&self) -> bool {
        self.stage.load(Ordering::Acquire) == HANDING
    }

    /// Whether sessions end as soon as they can.
    pub(crate) fn is_draining(&self) -> bool {
        self.stage.load(Ordering::Acquire) >= DRAINING
    }

    /// Whether sessions end at once.
    pub(crate) fn is_ending(&self) -> bool {
        self.stage.load(Ordering::Acquire) == ENDING
    }

    /// What they share, if any has been there.
    pub(crate) fn known_database(&self, name: &str) -> Option<Arc<Database>> {
        self.databases.get(name)
    }

    /// What the sessions of one database on the servers share. To be asked for once a server has accepted a session on
    /// it.
    pub(crate) fn database(&self, name: &Arc<str>) -> Arc<Database> {
        let policy = self.policy();
        let routing = &policy.config.routing;
        self.databases.enter(name, || {
            let learned = Learned::new(routing.learned, routing.learned_ttl);
            let database = Database::new(learned, Instant::now(), self.common.clone());
            // Connections may hold statements of the time before it was forgotten.
            database.changed(self.statements.stamp());
            database
        })
    }
}

/// Whether a cancel request that failed so may still be heeded: a server that was too slow has it.
fn may_arrive(error: &Error) -> bool {
    !matches!(error, Error::Unreachable(error) | Error::Insecure(error) if error.kind() != ErrorKind::TimedOut)
}
