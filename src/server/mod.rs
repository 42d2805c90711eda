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
mod finding;
mod follow;
mod listeners;
mod live;
mod look;
mod operator;
mod places;
mod refusals;
mod reload;
mod rules;
mod spans;
mod start_error;
mod supervisor;
mod takeover;
mod tls;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::cluster::Cluster;
use crate::cluster::topology::Topology;
use crate::config::{Config, Loaded};
use crate::console::Console;
use crate::net::Given;
use crate::pool::Pools;
use crate::router::{Reason, Route};
use crate::session::{Shared, Spans};
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
use finding::Finding;
use listeners::Listeners;
use live::{Control, Live, Source};
use look::Minute;
use operator::{Operator, note_events, take_averages};
use places::Places;
pub use reload::{NotReloaded, Reload};
use spans::{end_spans, send_spans};
pub use start_error::StartError;
pub use supervisor::Supervision;
use supervisor::Supervisor;
pub use takeover::TakeoverError;
use takeover::{Taking, apply};
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
    /// Sockets that are listened at already.
    pub given: Given,
    /// Who supervises the process.
    pub supervision: Supervision,
    /// Whether it takes over from a weir that runs with the same file, where one does.
    pub takes_over: bool,
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
    let Start { loaded: Loaded { config, written }, file, lost, log, given, supervision, takes_over } = begin;
    let supervisor = Supervisor::new(&supervision);
    let (mut taking, given) = if takes_over { inherit(&file, given).await? } else { (None, given) };
    let (reload, askers) = Reload::new();
    let config = Arc::new(config);
    let finding = Finding::new(config.clone());
    let operator = Arc::new(Operator::new(reload.clone(), finding.clone()));
    // Whoever finds that weir runs can have it read anew.
    let inherited = taking.as_mut().and_then(|taking| taking.control.take());
    let asking = inherited.or_else(|| control::bind(&file));
    let mut running = start(config, lost, operator.clone(), finding, (given, taking.as_ref())).await?;
    let shared = running.shared.clone();
    running.live.log = log;
    running.live.supervisor = supervisor.clone();
    let (relieved, is_relieved) = oneshot::channel();
    running.live.relieved = Some(relieved);
    if let Some(taking) = taking {
        let listeners = shared.policy().config.listeners.iter().map(|one| one.address.to_string()).collect();
        taking.serves(running.live.door.clone(), listeners).await?;
    }
    if let Some(listener) = asking.map(Arc::new) {
        let listening = tokio::spawn(listen_for_reloads(listener.clone(), reload.clone()));
        running.live.control = Some(Control { listener, _listening: AbortOnDropHandle::new(listening) });
    }
    running.live.source = Source { file, written };
    running.beside.spawn(running.live.serve(askers));
    running.beside.spawn(heed_hangups(signals.reload, reload.clone()));
    running.beside.spawn(supervisor.clone().feed_watchdog());
    running.beside.spawn(supervisor.clone().tell_status(shared.clone()));
    // Without a primary as well: reads are served, and what needs one waits for it as it always does.
    supervisor.is_ready().await;
    let Signals { stop, at_once, .. } = signals;
    tokio::pin!(stop);
    let giving = tokio::select! {
        () = &mut stop => None,
        () = operator.ends(&shared) => None,
        Ok(giving) = is_relieved => Some(giving),
    };
    let at_once = async {
        tokio::select! {
            () = at_once => {}
            () = operator.ends_at_once() => {}
        }
    };
    match giving {
        Some(giving) => hand_over(&shared, giving, stop, at_once).await,
        None => {
            let drain_timeout = shared.policy().config.clients.drain_timeout;
            supervisor.stops(drain_timeout + drain::FAREWELL * 2 + spans::LAST).await;
            reload.leave_to_others().await;
            drain(&shared, at_once).await;
        }
    }
    end_spans(&shared).await;
    Ok(())
}

/// What the weir that runs lets go, if one runs.
async fn inherit(file: &Path, given: Given) -> std::result::Result<(Option<Taking>, Given), StartError> {
    match apply(file).await? {
        Some((taking, inherited)) => Ok((Some(taking), inherited)),
        None => {
            tracing::info!("no weir runs with this configuration: there is none to take over from");
            Ok((None, given))
        }
    }
}

/// Has clients go along to another weir as they come to rest, for as long as a drain may take, and drains what is left.
async fn hand_over(
    shared: &Shared,
    giving: JoinHandle<()>,
    stop: impl Future<Output = ()>,
    at_once: impl Future<Output = ()>,
) {
    // Where none is understood there none has to be waited for.
    if shared.kin.relief().is_some_and(|relief| !relief.listeners.is_empty()) {
        tokio::select! {
            () = shared.finished() => {}
            () = sleep(shared.policy().config.clients.drain_timeout) => {}
            () = stop => {}
        }
    }
    drain(shared, at_once).await;
    shared.kin.is_relieved_by(None);
    // The other is told that nobody is left.
    let _ = timeout(drain::FAREWELL, giving).await;
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
    finding: Arc<Finding>,
    (mut given, taking): (Given, Option<&Taking>),
) -> std::result::Result<Running, StartError> {
    let rules::Read { rules, files } = rules::read(config.auth.hba.as_ref())?;
    let places = Places::new(room_for_clients(&config, raise_limit()));
    let acceptors = Acceptors::default();
    let ready = listeners::bind(&config.listeners, &acceptors, &mut given)?;
    let metrics = Arc::new(Metrics::new(RequestLabels {
        routes: &[Route::Primary.as_str(), Route::Replica.as_str(), "weir"],
        reasons: &Reason::ALL.map(Reason::as_str),
    }));
    let samples = Arc::new(Samples { metrics: metrics.clone() });
    let (servers, looking) = finding.first_look().await;
    let cluster = Cluster::start_observed(&config, &servers, samples);
    let users = Users::of(&config, Arc::new(Servers(cluster.clone())))?;
    let events = Arc::new(Wires { cluster: cluster.clone(), metrics: metrics.clone() });
    let pools = Pools::new(&config, events);
    let spans_lost = metrics.spans.lost.clone();
    let (spans, outgoing) = Spans::new(move || spans_lost.inc());
    let shared = Shared::new(config.clone(), pools.clone(), cluster.clone(), metrics.clone(), spans);
    taking.into_iter().for_each(|taking| taking.prepare(&shared));
    watch_figures(&metrics, &shared, lost);
    acceptors.watch_figures(&metrics);
    places.watch_figures(&metrics);
    finding.watch_figures(&metrics);
    let mut beside = JoinSet::new();
    beside.spawn(pools.upkeep());
    beside.spawn(raise_alarms(shared.clone()));
    beside.spawn(retire_connections(shared.clone()));
    beside.spawn(watch_crowding(shared.clone()));
    beside.spawn(note_events(shared.clone()));
    beside.spawn(take_averages(shared.clone()));
    beside.spawn(finding.clone().run(looking, shared.clone()));
    let minute = Arc::new(Minute::new(Instant::now()));
    beside.spawn(send_spans(shared.clone(), outgoing));
    beside.spawn(look::take_samples(shared.clone(), minute.clone()));
    let mut endpoint = Endpoint::new(shared.clone(), finding.clone(), minute);
    let bound = endpoint.ready_with(config.metrics, &mut given).await?;
    tell_unused(&given);
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
    tracing::info!(listeners = config.listeners.len(), servers = servers.len(), "weir is running");
    let (source, log, following) = (Source::default(), LiveLog::default(), JoinSet::new());
    let (supervisor, control, relieved) = (Arc::default(), None, None);
    let mut live = Live {
        source,
        config,
        finding,
        door,
        listeners,
        acceptors,
        endpoint,
        log,
        following,
        supervisor,
        control,
        relieved,
    };
    live.follow(files);
    Ok(Running { shared, live, beside })
}

/// What was handed over and nobody listens at.
fn tell_unused(given: &Given) {
    for address in given.addresses() {
        tracing::warn!(
            address,
            "a socket was handed over that the configuration does not name: it is not used"
        );
    }
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
