//! The monitor: what is known of the servers, and what follows whenever that changes.
//!
//! What is known is published as an immutable snapshot, so readers never wait and never see half a change. Probing is
//! done elsewhere, one task for each server; whoever reports waits for nobody but another report.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::{Notify, watch};

use super::decision::{Facts, Finding};
use super::probe::Failure;
use super::roster::{Event, Moves, Roster};
use crate::cluster::defaults::Defaults;
use crate::cluster::topology::{ServerId, Topology};
use crate::config;

/// What is known about the servers, and the bells that make their probes go at once.
#[derive(Debug)]
pub(crate) struct Monitor {
    current: ArcSwap<Topology>,
    changes: watch::Sender<()>,
    state: Mutex<State>,
}

/// What conclusions are drawn from. They are published before the lock is given back, so that none overtakes another.
#[derive(Debug)]
struct State {
    roster: Roster,
    /// Of servers that are there.
    bells: HashMap<ServerId, Arc<Notify>>,
    /// Since when there has been no primary that can be written to; `None` while there is one.
    orphaned: Option<Instant>,
}

impl Monitor {
    /// Knows no server yet.
    pub(crate) fn new(now: Instant) -> Self {
        let state = State { roster: Roster::default(), bells: HashMap::new(), orphaned: Some(now) };
        Self { current: ArcSwap::default(), changes: watch::Sender::new(()), state: Mutex::new(state) }
    }

    /// From now on these are all the servers, in one snapshot: it is published when this returns.
    pub(crate) fn set(&self, servers: &[config::Server], now: Instant) -> Moves {
        let mut state = self.lock();
        let (moves, events) = state.roster.set(servers, now);
        moves.gone.iter().for_each(|id| drop(state.bells.remove(id)));
        moves.come.iter().for_each(|id| drop(state.bells.insert(*id, Arc::default())));
        self.conclude(&mut state, &events, now);
        moves
    }

    /// Takes in a server. Whether it answers, and what it is, is known once somebody reports it.
    #[cfg(test)]
    pub(crate) fn insert(&self, server: &config::Server, now: Instant) -> ServerId {
        let mut state = self.lock();
        let (id, events) = state.roster.insert(server, now);
        state.bells.insert(id, Arc::default());
        self.conclude(&mut state, &events, now);
        id
    }

    /// Forgets a server: the snapshot without it is published when this returns.
    #[cfg(test)]
    pub(crate) fn remove(&self, server: ServerId, now: Instant) {
        let mut state = self.lock();
        state.bells.remove(&server);
        let events = state.roster.remove(server);
        self.conclude(&mut state, &events, now);
    }

    /// Takes in what came of one probe, which took so long.
    pub(crate) fn report(&self, server: ServerId, outcome: Result<Facts, Failure>, took: Duration) {
        let now = Instant::now();
        let answered = outcome.is_ok();
        let mut state = self.lock();
        let events = state.roster.record(server, outcome, now);
        self.conclude(&mut state, &events, now);
        if let Some(server) = self.topology().server(server).filter(|_| answered) {
            server.load.probed(took);
        }
    }

    /// What a server gives to those who set nothing. It is published with the next report.
    pub(crate) fn gives(&self, server: ServerId, defaults: Defaults) {
        self.lock().roster.gives(server, defaults);
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
        if let Some(bell) = self.lock().bells.get(&server) {
            bell.notify_one();
        }
    }

    /// What [`Monitor::suspect`] rings.
    pub(crate) fn bell(&self, server: ServerId) -> Arc<Notify> {
        self.lock().bells.get(&server).cloned().unwrap_or_default()
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
    pub(crate) fn without_primary_since(&self) -> Option<Instant> {
        self.lock().orphaned
    }

    /// Publishes what the roster says now, if that is anything new, and tells the log what has happened.
    fn conclude(&self, state: &mut State, events: &[Event], now: Instant) {
        let topology = state.roster.topology();
        events.iter().for_each(|event| tell(event, &topology));
        state.orphaned = match topology.writable() {
            Some(_) => None,
            None => state.orphaned.or(Some(now)),
        };
        if !topology.equals(&self.topology()) {
            self.current.store(Arc::new(topology));
            self.changes.send_replace(());
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
