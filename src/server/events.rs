//! What the rooms tell each other without knowing each other: troubles with servers, and changes of their roles.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::cluster::topology::{Health, Server, ServerId, Topology};
use crate::cluster::{Cluster, Sample, SampleEvents};
use crate::error::{Error, Result};
use crate::net::tls::in_one_line;
use crate::pool::Events;
use crate::session::Shared;
use crate::telemetry::metrics::{ConnectResult, Metrics};

/// How often those who wait for a server that is down are told so.
const ALARM_ROUND: Duration = Duration::from_millis(500);

/// What pools tell the rest of the house.
pub(super) struct Wires {
    pub(super) cluster: Arc<Cluster>,
    pub(super) metrics: Arc<Metrics>,
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
            Err(error) if error.is_full() => ConnectResult::Full,
            Err(Error::Refused { .. } | Error::ServerAuthentication(_) | Error::PassThrough { .. }) => {
                ConnectResult::Refused
            }
            Err(_) => ConnectResult::Failed,
        };
        // Of one that is full its pool tells, once in a while.
        if let Err(error) = result
            && outcome != ConnectResult::Full
        {
            let error = in_one_line(error);
            tracing::warn!(server = &*server.name, error, "cannot connect");
        }
        self.metrics.servers.connected(&server.name, outcome);
    }
}

/// What the samplers tell the rest of the house.
pub(super) struct Samples {
    pub(super) metrics: Arc<Metrics>,
}

impl SampleEvents for Samples {
    fn sampled(&self, server: &Server, sample: Sample, took: Duration) {
        let took = Some(took).filter(|_| sample.is_answer());
        self.metrics.servers.sampled(&server.name, sample.as_str(), took);
    }
}

/// Tells whoever has a connection to a server that it is down, is there again, or has another role. Again and again while
/// it is down: who waits for it looks each time for how long it has.
pub(super) async fn raise_alarms(shared: Arc<Shared>) {
    let mut changes = shared.cluster.changes();
    let mut before = arc_swap::Guard::into_inner(shared.cluster.topology());
    loop {
        let topology = arc_swap::Guard::into_inner(shared.cluster.topology());
        let mut round = None;
        for server in topology.servers.iter().filter(|server| server.health == Health::Down) {
            shared.pools.server_down(server.id);
            shared.registry.alarm(server.id);
            round = Some(ALARM_ROUND);
        }
        let news = topology.changed_since(&before).chain(topology.recovered_since(&before));
        // Who fenced one that was silent lets what runs there come to its end.
        news.chain(topology.removed_since(&before)).for_each(|server| shared.registry.alarm(server));
        before = topology;
        let ended = match round {
            Some(round) => timeout(round, changes.changed()).await.is_ok_and(|changed| changed.is_err()),
            None => changes.changed().await.is_err(),
        };
        if ended {
            return;
        }
    }
}

/// Has sessions go by what the primary's configuration gives them, and connections closed that began with something else
/// than they would now. What clients were told at login is found out anew.
pub(super) fn heed_defaults(shared: &Shared, now: &Topology, before: &Topology) {
    if let Some(conf) = now.primary().and_then(Server::conf) {
        shared.heed(conf);
    }
    for (server, old, new) in now.regiven_since(before) {
        shared.greetings.forget();
        if old.conf.looks_like(&new.conf) {
            shared.pools.retire_those(server, |key| new.differ_for(old, &key.database, &key.user));
        } else {
            shared.pools.retire(server);
        }
    }
}

/// Pools of servers that are gone are closed, and those of others have as many connections as these may have.
pub(super) fn fit_pools(shared: &Shared, now: &Topology) {
    now.servers.iter().for_each(|server| shared.pools.allow(server.id, server.connections));
    shared.pools.remove_others(|server| now.server(server).is_some());
}

/// Has connections closed that were opened to a server in another role, or before it went down: a write that finds
/// an old primary's connection idle would be sent to it. Pools of a server that is gone are closed with it.
pub(super) async fn retire_connections(shared: Arc<Shared>) {
    let mut changes = shared.cluster.changes();
    let mut before = arc_swap::Guard::into_inner(shared.cluster.topology());
    while changes.changed().await.is_ok() {
        let now = arc_swap::Guard::into_inner(shared.cluster.topology());
        now.changed_since(&before).for_each(|server| shared.pools.retire(server));
        fit_pools(&shared, &now);
        heed_defaults(&shared, &now, &before);
        before = now;
    }
}
