//! The daemon: where the rooms are wired, from the start to the end of the drain. Serves no client itself.

mod accept;
mod crowding;
mod descriptors;
mod directory;
mod drain;
mod events;
mod explain;
mod figures;
mod follow;
mod operator;
mod refusals;
mod rules;
mod tls;

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::admin::http;
use crate::cluster::Cluster;
use crate::cluster::topology::Topology;
use crate::config::{self, Config, ListenAddress, TcpAddress, UnixAddress};
use crate::console::Console;
use crate::hba;
use crate::net::tls::AcceptorError;
use crate::net::{Interface, Listener, TcpPlace, UnixPlace};
use crate::pool::Pools;
use crate::router::{Reason, Route};
use crate::session::Shared;
use crate::telemetry::log::LostLines;
use crate::telemetry::metrics::{Metrics, RequestLabels};
use crate::users::{Userlist, Users, UsersError};
use accept::{Door, Entrance, accept};
use crowding::watch_crowding;
pub use descriptors::doubts_of_limit;
use descriptors::{raise_limit, room_for_clients};
use directory::Servers;
use drain::drain;
use events::{Samples, Wires, heed_defaults, raise_alarms, retire_connections};
use figures::{State, watch_figures};
use follow::follow;
use operator::{Operator, note_events, pass_on, take_averages};
use tls::Acceptors;

/// How a run can fail to begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address, or the socket's path.
        address: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The files that say who may come from where are wrong.
    #[error(transparent)]
    Rules(#[from] hba::Mistakes),
    /// Certificates, or the key, that clients are to be shown are wrong.
    #[error(transparent)]
    Tls(#[from] AcceptorError),
    /// Nobody could log in.
    #[error(transparent)]
    Users(#[from] UsersError),
}

/// What a run is told from outside.
#[derive(Debug)]
pub struct Signals<S, A> {
    /// To stop.
    pub stop: S,
    /// To stop at once.
    pub at_once: A,
    /// To read anew what can be: a number that counts up.
    pub reload: watch::Receiver<u64>,
}

/// Serves until it is told to stop, then drains: what is new is refused, what runs may finish within the drain timeout, but
/// no longer than until it is told to stop at once. `lost` is what is told of the log.
///
/// # Errors
/// When it cannot begin.
pub async fn run(
    config: Config,
    lost: LostLines,
    signals: Signals<impl Future<Output = ()>, impl Future<Output = ()>>,
) -> std::result::Result<(), StartError> {
    let (tell, reload) = watch::channel(0);
    let operator = Arc::new(Operator::new(tell));
    let mut running = start(Arc::new(config), lost, operator.clone()).await?;
    running.beside.spawn(pass_on(signals.reload, operator.clone()));
    if let Some(rules::Files { paths, watched }) = running.rule_files.take() {
        let rules = running.rules.clone();
        let read = move || rules::reload(&rules, &paths);
        running.beside.spawn(follow(watched, reload.clone(), read));
    }
    if let Some(list) = running.userlist.take() {
        let watched = list.watched().clone();
        let read = move || directory::reload(&list);
        running.beside.spawn(follow(watched, reload.clone(), read));
    }
    let (acceptors, watched) = (running.acceptors.clone(), running.acceptors.watched());
    running.beside.spawn(follow(watched, reload, move || acceptors.reload()));
    tokio::select! {
        () = signals.stop => {}
        () = operator.ends(&running.shared) => {}
    }
    let at_once = async {
        tokio::select! {
            () = signals.at_once => {}
            () = operator.ends_at_once() => {}
        }
    };
    drain(&running.shared, at_once).await;
    Ok(())
}

/// What runs until it is dropped.
struct Running {
    shared: Arc<Shared>,
    rules: rules::Current,
    rule_files: Option<rules::Files>,
    acceptors: Acceptors,
    userlist: Option<Arc<Userlist>>,
    beside: JoinSet<()>,
    _accepting: JoinSet<()>,
}

/// Puts the rooms together, and opens the door once the servers have been looked at.
async fn start(
    config: Arc<Config>,
    lost: LostLines,
    operator: Arc<Operator>,
) -> std::result::Result<Running, StartError> {
    let (rules, rule_files) = rules::load(config.auth.hba.as_ref())?;
    let room = room_for_clients(&config, raise_limit());
    let mut acceptors = Acceptors::default();
    let listeners = bind(&config, &mut acceptors)?;
    let metrics = Arc::new(Metrics::new(RequestLabels {
        routes: &[Route::Primary.as_str(), Route::Replica.as_str(), "weir"],
        reasons: &Reason::ALL.map(Reason::as_str),
    }));
    let samples = Arc::new(Samples { metrics: metrics.clone() });
    let cluster = Cluster::start_observed(&config, samples);
    let users = Users::of(&config, Arc::new(Servers(cluster.clone())))?;
    let events = Arc::new(Wires { cluster: cluster.clone(), metrics: metrics.clone() });
    let pools = Pools::new(&config, events);
    let shared = Shared::new(config.clone(), pools.clone(), cluster.clone(), metrics.clone());
    watch_figures(&metrics, &shared, lost);
    acceptors.watch_figures(&metrics);
    let mut beside = JoinSet::new();
    beside.spawn(pools.upkeep());
    beside.spawn(raise_alarms(shared.clone()));
    beside.spawn(retire_connections(shared.clone()));
    beside.spawn(watch_crowding(shared.clone()));
    beside.spawn(note_events(shared.clone()));
    beside.spawn(take_averages(shared.clone()));
    if let Some(address) = config.metrics {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| StartError::Listen { address: address.to_string(), source })?;
        let condition = Arc::new(State { shared: shared.clone() });
        let metrics = metrics.clone();
        beside.spawn(async move {
            http::serve(listener, metrics, condition).await;
        });
    }
    cluster.first_look().await;
    heed_defaults(&shared, &cluster.topology(), &Topology::default());
    let permits = Arc::new(Semaphore::new(room));
    let userlist = users.userlist().cloned();
    let console = Console { shared: shared.clone(), daemon: operator };
    let door = Arc::new(Door { shared: shared.clone(), users, rules: rules.clone(), permits, console });
    let mut accepting = JoinSet::new();
    for (listener, entrance) in listeners {
        accepting.spawn(accept(door.clone(), listener, entrance));
    }
    tracing::info!(listeners = config.listeners.len(), servers = config.servers.len(), "weir is running");
    Ok(Running { shared, rules, rule_files, acceptors, userlist, beside, _accepting: accepting })
}

fn bind(
    config: &Config,
    acceptors: &mut Acceptors,
) -> std::result::Result<Vec<(Listener, Arc<Entrance>)>, StartError> {
    let bind = |listener: &config::Listener| {
        let bound = match &listener.address {
            ListenAddress::Tcp(tcp) => bind_tcp(tcp),
            ListenAddress::Unix(UnixAddress { path, mode, group }) => {
                Listener::unix(UnixPlace { path, mode: *mode, group: group.as_deref() })
            }
        };
        let bound =
            bound.map_err(|source| StartError::Listen { address: listener.address.to_string(), source })?;
        let encrypting = acceptors.of(&listener.tls)?;
        Ok((bound, Arc::new(Entrance { configured: Arc::new(listener.clone()), encrypting })))
    };
    config.listeners.iter().map(bind).collect()
}

fn bind_tcp(tcp: &TcpAddress) -> std::io::Result<Listener> {
    let interface = match tcp.interface {
        config::Interface::Address(address) => Interface::Address(address),
        config::Interface::Ipv6(address) => Interface::Ipv6(address),
        config::Interface::All(port) => Interface::All(port),
    };
    Listener::tcp(TcpPlace { interface, reuse_port: tcp.reuse_port })
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
