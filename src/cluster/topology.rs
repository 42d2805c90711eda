//! A snapshot of the servers: who they are, what role each has, and whether it can be used now.
//!
//! The monitor publishes a new snapshot on every change; readers hold an `Arc` of one and never a lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// A server's index in the configuration's list. Stable for the life of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerId(pub u16);

/// What a server is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Accepts writes.
    Primary,
    /// In recovery: a streaming replica (PostgreSQL's manual also says standby).
    Replica,
    /// Not known: never reached, or two servers claim to be primary and this one lost.
    Unknown,
}

/// Whether a server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Health {
    /// Not probed yet.
    Untried,
    /// The last probe succeeded.
    Up,
    /// The last probe failed or timed out.
    Down,
}

/// One server in a snapshot.
#[derive(Clone, Debug)]
pub struct Server {
    /// Index in the configuration.
    pub id: ServerId,
    /// Name from the configuration, used in logs and metrics.
    pub name: Arc<str>,
    /// Relative share of reads.
    pub weight: u32,
    /// Role as last seen, or as configured.
    pub role: Role,
    /// Health as last seen.
    pub health: Health,
    /// Live figures, shared between snapshots.
    pub load: Arc<Load>,
}

/// Figures that the data's way updates and the balancer reads; atomics, never locked.
#[derive(Debug, Default)]
pub struct Load {
    outstanding: AtomicU32,
    /// Peak-sensitive moving average of response time, in microseconds.
    ewma_us: AtomicU64,
}

impl Load {
    /// A request was sent.
    pub fn begin(&self) {
        self.outstanding.fetch_add(1, Ordering::Relaxed);
    }

    /// A request was answered, or its connection was lost, after `took`.
    pub fn end(&self, took: Duration) {
        self.outstanding.fetch_sub(1, Ordering::Relaxed);
        let sample = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let old = self.ewma_us.load(Ordering::Relaxed);
        // Rises at once, falls by an eighth: a server that turns slow is avoided at its first slow answer.
        let new = if sample > old { sample } else { old - (old - sample) / 8 };
        self.ewma_us.store(new, Ordering::Relaxed);
    }

    /// Requests sent and not answered yet.
    pub fn outstanding(&self) -> u32 {
        self.outstanding.load(Ordering::Relaxed)
    }

    /// The moving average of response time in microseconds.
    pub fn ewma_us(&self) -> u64 {
        self.ewma_us.load(Ordering::Relaxed)
    }
}

/// All servers at one moment.
#[derive(Clone, Debug, Default)]
pub struct Topology {
    /// Indexed by [`ServerId`].
    pub servers: Vec<Server>,
}

impl Topology {
    /// The primary, when one is known, up or not.
    pub fn primary(&self) -> Option<&Server> {
        self.servers.iter().find(|s| s.role == Role::Primary)
    }

    /// Replicas that can be read from now.
    pub fn replicas(&self) -> impl Iterator<Item = &Server> + Clone {
        self.servers.iter().filter(|s| s.role == Role::Replica && s.health == Health::Up)
    }

    /// One server.
    pub fn server(&self, id: ServerId) -> Option<&Server> {
        self.servers.get(usize::from(id.0))
    }
}
