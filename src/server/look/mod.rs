//! What operators see at one moment, put together from what the rooms tell: for the page, `weir top` and `/status.json`.
//!
//! It asks no server, takes no lock for longer than a copy, and reckons nothing that is reckoned elsewhere: figures are those of
//! `/metrics`, shapes, pins and events those of the console.

mod clients;
mod minute;
mod reads;
mod servers;
mod well;
mod words;

use std::time::{Duration, Instant, SystemTime};

use crate::admin::snapshot::{Event, Snapshot, Traffic, Weir};
use crate::session::{Shared, Whole};

pub(super) use minute::{Minute, take_samples};
use well::Beside;
use words::{millis, plain};

/// Events that are told.
const EVENTS: usize = 100;

/// How far a replica may be behind before somebody should look, where the configuration does not say.
const BEHIND: Duration = Duration::from_secs(30);

/// What there is to be seen now; `unanswered` is what went wrong when servers were looked for last.
pub(super) fn snapshot(shared: &Shared, minute: &Minute, unanswered: Option<&str>) -> Snapshot {
    let now = Instant::now();
    let topology = arc_swap::Guard::into_inner(shared.cluster.topology());
    let (events, pools) = (events(shared), shared.pools.all());
    let holders = shared.registry.holders(Duration::ZERO, now);
    let rates = topology.servers.iter().map(|server| minute.rates(server.id, &server.name)).collect();
    let (clients, pins) = clients::clients(shared, &topology, &holders, now);
    let mut seen = Snapshot {
        weir: weir(shared, minute, now),
        servers: servers::servers(&topology, &pools, &events, now),
        traffic: Traffic { servers: rates },
        reads: reads::reads(shared, minute),
        transactions: reads::transactions(shared),
        pools: servers::pools(&topology, &pools, &holders),
        pins,
        clients,
        events,
        ..Snapshot::default()
    };
    let config = &shared.policy().config;
    seen.verdict = well::verdict(
        &seen,
        Beside {
            behind: config.routing.max_staleness.unwrap_or(BEHIND),
            paused: shared.board.gate.whole() != Whole::Open,
            unanswered,
        },
    );
    seen
}

fn weir(shared: &Shared, minute: &Minute, now: Instant) -> Weir {
    Weir {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        state: if shared.is_draining() { "draining" } else { "running" }.to_owned(),
        up_seconds: now.saturating_duration_since(minute.began).as_secs(),
        at_ms: millis(SystemTime::now()),
    }
}

fn events(shared: &Shared) -> Vec<Event> {
    let event = |event: crate::session::Event| Event {
        at_ms: millis(event.at),
        kind: event.kind.to_owned(),
        of: plain(&event.of),
        text: plain(&event.text),
    };
    shared.board.events().into_iter().take(EVENTS).map(event).collect()
}
