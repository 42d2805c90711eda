//! The daemon: where the rooms are wired, from the start to the end of the drain. Serves no client itself.

mod accept;
mod control;
mod crowding;
mod descriptors;
mod directory;
mod drain;
mod endpoint;
mod events;
mod explain;
mod figures;
mod follow;
mod listeners;
mod live;
mod operator;
mod places;
mod refusals;
mod reload;
mod rules;
mod start_error;
mod tls;

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::cluster::Cluster;
use crate::cluster::topology::Topology;
use crate::config::{Config, Loaded};
use crate::console::Console;
use crate::pool::Pools;
use crate::router::{Reason, Route};
use crate::session::Shared;
use crate::telemetry::log::{LiveLog, LostLines};
use crate::telemetry::metrics::{Metrics, RequestLabels};
use crate::users::Users;
use accept::Door;
use control::listen_for_reloads;
pub use control::{AskError, reload_running};
use crowding::watch_crowding;
pub use descriptors::doubts_of_limit;
use descriptors::{raise_limit, room_for_clients};
use directory::Servers;
use drain::drain;
use endpoint::Endpoint;
use events::{Samples, Wires, heed_defaults, raise_alarms, retire_connections};
use figures::watch_figures;
use listeners::Listeners;
use live::{Live, Source};
use operator::{Operator, note_events, take_averages};
use places::Places;
pub use reload::{NotReloaded, Reload};
pub use start_error::StartError;
use tls::Acceptors;

/// What a run is told from outside.
#[derive(Debug)]
pub struct Signals<S, A> {
    /// To stop.
    pub stop: S,
    /// To stop at once.
    pub at_once: A,
    /// To read the configuration anew: a number that counts up.
    pub reload: watch::Receiver<u64>,
}

/// What a run begins with.
#[derive(Debug)]
pub struct Start {
    /// The configuration, as it was read.
    pub loaded: Loaded,
    /// The file that it was read from, and is read from again.
    pub file: PathBuf,
    /// What is told of the log.
    pub lost: LostLines,
    /// What is logged, and how.
    pub log: LiveLog,
}

/// Serves until it is told to stop, then drains: what is new is refused, what runs may finish within the drain timeout, but
/// no longer than until it is told to stop at once.
///
/// # Errors
/// When it cannot begin.
pub async fn run(
    begin: Start,
    signals: Signals<impl Future<Output = ()>, impl Future<Output = ()>>,
) -> std::result::Result<(), StartError> {
    let Start { loaded: Loaded { config, written }, file, lost, log } = begin;
    let (reload, askers) = Reload::new();
    let operator = Arc::new(Operator::new(reload.clone()));
    // Whoever finds that weir runs can have it read anew.
    let asking = control::bind(&file);
    let mut running = start(Arc::new(config), lost, operator.clone()).await?;
    let shared = running.shared.clone();
    running.live.log = log;
    if let Some(asking) = asking {
        running.beside.spawn(listen_for_reloads(asking, reload.clone()));
    }
    running.live.source = Source { file, written };
    running.beside.spawn(running.live.serve(askers));
    running.beside.spawn(heed_hangups(signals.reload, reload));
    tokio::select! {
        () = signals.stop => {}
        () = operator.ends(&shared) => {}
    }
    let at_once = async {
        tokio::select! {
            () = signals.at_once => {}
            () = operator.ends_at_once() => {}
        }
    };
    drain(&shared, at_once).await;
    Ok(())
}

/// What runs until it is dropped.
struct Running {
    shared: Arc<Shared>,
    live: Live,
    beside: JoinSet<()>,
}

/// Puts the rooms together, and opens the door once the servers have been looked at.
async fn start(
    config: Arc<Config>,
    lost: LostLines,
    operator: Arc<Operator>,
) -> std::result::Result<Running, StartError> {
    let rules::Read { rules, files } = rules::read(config.auth.hba.as_ref())?;
    let places = Places::new(room_for_clients(&config, raise_limit()));
    let acceptors = Acceptors::default();
    let ready = listeners::bind(&config.listeners, &acceptors)?;
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
    let mut endpoint = Endpoint::new(shared.clone());
    let bound = endpoint.ready(config.metrics).await?;
    endpoint.open(config.metrics, bound);
    cluster.first_look().await;
    heed_defaults(&shared, &cluster.topology(), &Topology::default());
    let current = rules::Current::default();
    rules::take(&current, rules);
    let users = ArcSwap::from_pointee(users);
    let console = Console { shared: shared.clone(), daemon: operator };
    let door = Arc::new(Door { shared: shared.clone(), users, rules: current, places, console });
    let mut listeners = Listeners::default();
    listeners.open(ready, &door).await;
    tracing::info!(listeners = config.listeners.len(), servers = config.servers.len(), "weir is running");
    let (source, log, following) = (Source::default(), LiveLog::default(), JoinSet::new());
    let mut live = Live { source, config, door, listeners, acceptors, endpoint, log, following };
    live.follow(files);
    Ok(Running { shared, live, beside })
}

/// Has the configuration read anew whenever the process is told to. What comes of it is in the log.
async fn heed_hangups(mut told: watch::Receiver<u64>, reload: Reload) {
    while told.changed().await.is_ok() {
        drop(reload.reload().await);
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
