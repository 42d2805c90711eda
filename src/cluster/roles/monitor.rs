//! The monitor: one task per server that probes it, and one that draws the conclusions and publishes them.
//!
//! A server that hangs holds up nobody but its own probe. What is known is published as an immutable snapshot, so
//! readers never wait and never see half a change.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::decision::{self, Facts, Finding};
use super::probe::{Cause, Failure, Probe};
use super::roster::{Event, Roster};
use crate::cluster::control::Login;
use crate::cluster::topology::{ServerId, Topology};
use crate::config::{self, Config};

/// Time between probes while no primary can be written to: a promotion should not wait for a whole interval.
const HUNT_INTERVAL: Duration = Duration::from_millis(200);

/// How many intervals apart the probes of a server are that stays down.
const BACKOFF_MAX: u32 = 4;

/// Suspicions that come faster than this are one: each costs a new connection to the server.
const SUSPICION_GAP: Duration = Duration::from_millis(100);

/// What is known about the servers, and the bells that make their probes go at once.
#[derive(Debug)]
pub(crate) struct Monitor {
    current: ArcSwap<Topology>,
    changes: watch::Sender<()>,
    /// Since when there has been no primary that can be written to; `None` while there is one.
    orphaned: Mutex<Option<std::time::Instant>>,
    /// Indexed by [`ServerId`].
    suspicions: Box<[Notify]>,
}

/// One probe's outcome on its way to the task that draws the conclusions.
struct Report {
    server: ServerId,
    outcome: Result<Facts, Failure>,
    took: Duration,
}

impl Monitor {
    /// Knows what `topology` says, and watches nothing yet.
    pub(crate) fn new(topology: Topology) -> Self {
        Self {
            suspicions: topology.servers.iter().map(|_| Notify::new()).collect(),
            current: ArcSwap::from_pointee(topology),
            changes: watch::Sender::new(()),
            orphaned: Mutex::new(Some(std::time::Instant::now())),
        }
    }

    /// Starts the tasks on the current runtime; they run until they are aborted.
    pub(crate) fn start(config: &Config, login: &Login) -> (Arc<Self>, Vec<AbortHandle>) {
        let roster = Roster::new(&config.servers, std::time::Instant::now());
        let monitor = Arc::new(Self::new(roster.topology()));
        let (reports, inbox) = mpsc::channel(config.servers.len().max(1));
        let mut tasks = vec![tokio::spawn(conclude(monitor.clone(), roster, inbox)).abort_handle()];
        for (index, server) in config.servers.iter().enumerate() {
            let watch = Watch {
                server: decision::server_id(index),
                probe: Probe::new(server, &config.health, login),
                pace: Pace::new(&config.health),
                monitor: monitor.clone(),
                reports: reports.clone(),
            };
            tasks.push(tokio::spawn(watch.run()).abort_handle());
        }
        (monitor, tasks)
    }

    /// What is known now.
    pub(crate) fn topology(&self) -> Guard<Arc<Topology>> {
        self.current.load()
    }

    /// Marks each change from now on. The current state is to be looked at after this call, not before.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Has a server probed at once.
    pub(crate) fn suspect(&self, server: ServerId) {
        if let Some(bell) = self.suspicions.get(usize::from(server.0)) {
            bell.notify_one();
        }
    }

    /// Waits until `wanted` finds something in the topology. Cancel safe.
    pub(crate) async fn wait<T>(&self, wanted: impl Fn(&Topology) -> Option<T>) -> T {
        let mut changes = self.changes();
        loop {
            if let Some(found) = wanted(&self.topology()) {
                return found;
            }
            if changes.changed().await.is_err() {
                // The sender lives as long as `self`.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Since when there has been no primary that can be written to; `None` while there is one.
    pub(crate) fn without_primary_since(&self) -> Option<std::time::Instant> {
        *self.orphaned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, topology: Topology) {
        {
            let mut orphaned = self.orphaned.lock().unwrap_or_else(PoisonError::into_inner);
            *orphaned = match topology.writable() {
                Some(_) => None,
                None => orphaned.or_else(|| Some(std::time::Instant::now())),
            };
        }
        if !topology.equals(&self.topology()) {
            self.current.store(Arc::new(topology));
            self.changes.send_replace(());
        }
    }
}

/// Draws the conclusions of each report and publishes them.
async fn conclude(monitor: Arc<Monitor>, mut roster: Roster, mut inbox: mpsc::Receiver<Report>) {
    while let Some(report) = inbox.recv().await {
        let answered = report.outcome.is_ok();
        let events = roster.record(report.server, report.outcome, std::time::Instant::now());
        let topology = roster.topology();
        if let Some(server) = topology.server(report.server).filter(|_| answered) {
            server.load.probed(report.took);
        }
        for event in events {
            tell(&event, &topology);
        }
        monitor.publish(topology);
    }
}

/// The probing of one server.
struct Watch {
    server: ServerId,
    probe: Probe,
    pace: Pace,
    monitor: Arc<Monitor>,
    reports: mpsc::Sender<Report>,
}

impl Watch {
    async fn run(mut self) {
        let mut cause = Cause::Due;
        loop {
            let begun = Instant::now();
            let outcome = self.probe.run(cause).await;
            let took = begun.elapsed();
            self.pace.note(&outcome);
            let report = Report { server: self.server, outcome, took };
            if self.reports.send(report).await.is_err() {
                return;
            }
            if cause == Cause::Suspected {
                tokio::time::sleep(SUSPICION_GAP).await;
            }
            cause = self.pause(begun).await;
            if cause == Cause::Suspected {
                self.pace.reset();
            }
        }
    }

    /// Waits until the next probe is due, counted from when the last one began, or the server is suspected.
    async fn pause(&self, begun: Instant) -> Cause {
        let mut changes = self.monitor.changes();
        let jitter = rand::random_range(0.9..1.1);
        loop {
            let delay = self.pace.delay(&self.monitor.topology()).mul_f64(jitter);
            tokio::select! {
                () = tokio::time::sleep_until(begun + delay) => return Cause::Due,
                () = self.suspicion() => return Cause::Suspected,
                // The primary may be gone or back, so the delay is another one.
                changed = changes.changed() => if changed.is_err() { return Cause::Due },
            }
        }
    }

    async fn suspicion(&self) {
        match self.monitor.suspicions.get(usize::from(self.server.0)) {
            Some(bell) => bell.notified().await,
            None => std::future::pending().await,
        }
    }
}

/// How often a server is probed.
#[derive(Clone, Copy, Debug)]
struct Pace {
    interval: Duration,
    /// Probes in a row that brought no facts.
    failures: u32,
}

impl Pace {
    fn new(health: &config::Health) -> Self {
        Self { interval: health.interval, failures: 0 }
    }

    fn note(&mut self, outcome: &Result<Facts, Failure>) {
        self.failures = if outcome.is_ok() { 0 } else { self.failures.saturating_add(1) };
    }

    fn reset(&mut self) {
        self.failures = 0;
    }

    /// A server that answers is asked every interval, and more often while the primary is missed: it may be the
    /// next one. One that does not answer is asked ever less often, unless it is what everyone waits for.
    fn delay(&self, topology: &Topology) -> Duration {
        let hunting = topology.writable().is_none();
        match (self.failures, hunting) {
            (0, true) => self.interval.min(HUNT_INTERVAL),
            (0 | 1, false) | (_, true) => self.interval,
            (failures, false) => self.interval * 2u32.saturating_pow(failures - 1).min(BACKOFF_MAX),
        }
    }
}

fn tell(event: &Event, topology: &Topology) {
    let name = |id: ServerId| topology.server(id).map(|server| server.name.to_string()).unwrap_or_default();
    match event {
        Event::Up(id) => tracing::info!(server = name(*id), "server is up"),
        Event::Down(id, why) => tracing::warn!(server = name(*id), error = &**why, "server is down"),
        Event::Declined(id, why) => {
            tracing::warn!(
                server = name(*id),
                error = &**why,
                "server declined a probe and is taken to be well"
            );
        }
        Event::Role(id, role) => {
            let timeline = topology.server(*id).and_then(|server| server.timeline);
            tracing::info!(server = name(*id), ?role, timeline, "server has a new role");
        }
        Event::Finding(Finding::TwoPrimaries { winner, loser }) => tracing::error!(
            server = name(*loser),
            primary = name(*winner),
            "a second server claims to be the primary; it gets neither writes nor reads"
        ),
        Event::Finding(Finding::Undecided(id)) => tracing::error!(
            server = name(*id),
            "servers claim to be the primary on one timeline; none is believed, set role = \"primary\" for one"
        ),
        Event::Finding(Finding::Contradiction { server, state }) => {
            tracing::error!(server = name(*server), ?state, "server is not what its configured role says");
        }
        Event::Finding(Finding::Foreign(id)) => tracing::error!(
            server = name(*id),
            "replica of another cluster than the primary (system_identifier differs); it gets no reads"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::topology::{Health, Role, Server};

    fn topology(health: Health) -> Topology {
        let primary = Server {
            id: ServerId(0),
            name: "a".into(),
            weight: 1,
            role: Role::Primary,
            health,
            timeline: Some(1),
            version: Some(150_000),
            recovered: None,
            trouble: None,
            load: Arc::default(),
            freshness: Arc::new(crate::freshness::Freshness::new(std::time::Instant::now())),
        };
        Topology { servers: vec![primary] }
    }

    fn delays(health: Health) -> Vec<u128> {
        let pace = |failures| Pace { interval: Duration::from_secs(1), failures };
        let topology = topology(health);
        [0, 1, 2, 3, 4, 5, 40, u32::MAX].map(|failures| pace(failures).delay(&topology).as_millis()).to_vec()
    }

    #[test]
    fn a_server_that_stays_down_is_probed_less_and_less() {
        assert_eq!(delays(Health::Up), [1000, 1000, 2000, 4000, 4000, 4000, 4000, 4000]);
    }

    #[test]
    fn while_the_primary_is_missed_everyone_is_probed_often() {
        assert_eq!(delays(Health::Down), [200, 1000, 1000, 1000, 1000, 1000, 1000, 1000]);
    }
}
