//! How many file descriptors weir may have, and for how many clients they are enough.
//!
//! Who finds no descriptor must be a client, which is told so, and not a connection to a server, whose clients would see
//! errors. So the limit of clients is never higher than what the descriptors allow. It never opens any itself.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::accept::TURNED_AWAY_MAX;
use crate::config::Config;

/// The runtime's descriptors, those who ask /metrics, and cancel requests on their way.
const BESIDE: usize = 100;

/// What each listener takes: itself, its reserve, and clients that are turned away.
const BY_LISTENER: usize = 10 + TURNED_AWAY_MAX;

/// Connections of the control plane to each server: its probe, its sampler, a catalog.
const BY_SERVER: usize = 4;

/// So many servers are reckoned with at least where others are found than those that are listed.
const FOUND: usize = 3;

/// Raises the soft limit of descriptors to the hard one, which is there for programs that know what they do: the soft one
/// is low for the sake of `select(2)`. Returns what the limit is then; none where there is no limit.
pub(super) fn raise_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(%error, "the limit of file descriptors cannot be raised");
        }
    }
    descriptors()
}

/// What the limit is now; none where there is no limit.
pub(super) fn descriptors() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// What is to be said of the limit of clients, as far as the descriptors of this process tell: a service may be given more, or
/// less.
pub fn doubts_of_limit(config: &Config) -> Option<String> {
    let limit = config.clients.limit;
    let descriptors = usize::try_from(getrlimit(Resource::Nofile).maximum?).ok()?;
    let room = room(descriptors, others(config));
    (room < limit).then(|| {
        format!(
            "client_limit is {limit}, and a process may have {descriptors} files here (RLIMIT_NOFILE): room for {room} clients"
        )
    })
}

/// How many clients may be there at once, with so many descriptors.
pub(super) fn room_for_clients(config: &Config, descriptors: Option<u64>) -> usize {
    let limit = config.clients.limit;
    let Some(descriptors) = descriptors.and_then(|limit| usize::try_from(limit).ok()) else { return limit };
    let others = others(config);
    let room = room(descriptors, others);
    if room < limit {
        tracing::warn!(
            client_limit = limit,
            descriptors,
            needed = limit.saturating_add(others),
            clients = room,
            "client_limit is higher than the limit of file descriptors (RLIMIT_NOFILE) allows; fewer clients are served"
        );
    }
    room.min(limit)
}

/// Pools are seldom full everywhere at once: where there is little, half of it is for clients all the same.
fn room(descriptors: usize, others: usize) -> usize {
    descriptors.saturating_sub(others).max(descriptors / 2)
}

/// What may be taken by all that are no clients.
fn others(config: &Config) -> usize {
    let fixed = BESIDE + BY_LISTENER * config.listeners.len() + BY_SERVER * servers(config);
    connections(config).saturating_add(fixed)
}

/// How many servers there may be.
fn servers(config: &Config) -> usize {
    let listed = config.servers.len();
    if config.discovery.finds() { listed.max(FOUND) } else { listed }
}

/// Connections that pools may have.
fn connections(config: &Config) -> usize {
    let listed = config.servers.iter().map(|server| server.connections);
    let more = servers(config) - config.servers.len();
    let most = listed.clone().chain(config.template.iter().map(|one| one.connections)).max();
    let all = listed.fold(0, usize::saturating_add).saturating_add(most.unwrap_or(0).saturating_mul(more));
    if config.pool.total == 0 { all } else { all.min(config.pool.total) }
}
