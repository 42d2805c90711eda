//! The probing of one server: again and again, as often as matters, and at once when it is suspected.
//!
//! A server that hangs holds up nobody but its own probe.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::decision::Facts;
use super::monitor::Monitor;
use super::probe::{Cause, Failure, Probe};
use crate::cluster::control::{CurrentTerms, Terms};
use crate::cluster::topology::{Server, ServerId, Topology};
use crate::config;

/// Time between probes while no primary can be written to: a promotion should not wait for a whole interval.
const HUNT_INTERVAL: Duration = Duration::from_millis(200);

/// How many intervals apart the probes of a server are that stays down.
const BACKOFF_MAX: u32 = 4;

/// Suspicions that come faster than this are one: each costs a new connection to the server.
const SUSPICION_GAP: Duration = Duration::from_millis(100);

/// What probes one server.
#[derive(Debug)]
pub(crate) struct Watch {
    server: ServerId,
    probe: Probe,
    pace: Pace,
    terms: CurrentTerms,
    /// Those by which it probes now.
    by: Arc<Terms>,
    monitor: Arc<Monitor>,
    /// Rung when the server is suspected.
    bell: Arc<Notify>,
}

impl Watch {
    /// Of a server that the monitor knows.
    pub(crate) fn new(server: &Server, terms: CurrentTerms, monitor: Arc<Monitor>) -> Self {
        let (bell, by) = (monitor.bell(server.id), terms.load_full());
        let probe = Probe::new(server, &by.health, &by.login);
        Self { server: server.id, probe, pace: Pace::new(&by.health), terms, by, monitor, bell }
    }

    /// Probes by other terms from now on, if there are others. What the server gives to those who set nothing is asked
    /// anew then, and is told if it differs.
    fn heed_terms(&mut self) {
        let now = self.terms.load_full();
        if Arc::ptr_eq(&now, &self.by) {
            return;
        }
        if let Some(server) = self.monitor.topology().server(self.server) {
            self.probe = Probe::new(server, &now.health, &now.login);
            self.pace = Pace::new(&now.health);
        }
        self.by = now;
    }

    /// Probes until it is aborted.
    pub(crate) async fn run(mut self) {
        let mut cause = Cause::Due;
        loop {
            self.heed_terms();
            let begun = Instant::now();
            let outcome = self.probe.run(cause).await;
            let took = begun.elapsed();
            self.pace.note(&outcome);
            if let Some(defaults) = self.probe.take_news() {
                self.monitor.gives(self.server, defaults);
            }
            self.monitor.report(self.server, outcome, took);
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
                () = self.bell.notified() => return Cause::Suspected,
                // The primary may be gone or back, so the delay is another one.
                changed = changes.changed() => if changed.is_err() { return Cause::Due },
            }
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
    /// next one. One that does not answer is asked ever less often, but at first in quick succession where the primary is
    /// missed: a restart takes less than an interval.
    fn delay(&self, topology: &Topology) -> Duration {
        let hunting = topology.writable().is_none();
        match (self.failures, hunting) {
            (0, true) => self.interval.min(HUNT_INTERVAL),
            (failures, true) => {
                self.interval.min(HUNT_INTERVAL / 4 * 2u32.saturating_pow(failures - 1).min(1 << 16))
            }
            (0 | 1, false) => self.interval,
            (failures, false) => self.interval * 2u32.saturating_pow(failures - 1).min(BACKOFF_MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::topology::{Health, Role};

    fn topology(health: Health) -> Topology {
        let primary = Server { role: Role::Primary, health, ..Server::example(0) };
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
        assert_eq!(delays(Health::Down), [200, 50, 100, 200, 400, 800, 1000, 1000]);
    }
}
