//! A snapshot of the servers: who they are, where they are, what role each has, and whether it can be used now.
//!
//! The monitor publishes a new snapshot on every change; readers hold an `Arc` of one and never a lock. Servers come and
//! go: whoever keeps something about one keeps it by its identity, and finds the rest here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::defaults::{Conf, Defaults};
use crate::config::ChannelBinding;
use crate::freshness::Freshness;
use crate::net::{HostAddress, ServerTls, Target};

/// How long a server that came back takes to get its full share of reads: its caches are cold, and whatever
/// brought it down may do so again.
pub const SLOW_START: Duration = Duration::from_secs(10);

/// The share of its weight that a server gets at the moment it comes back.
const SLOW_START_FLOOR: f64 = 0.1;

/// A server's identity. It is given once: a server that is removed and comes back is another one, so that nothing that
/// was kept about the first is taken for the second. The number says nothing, and is no index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerId(pub(crate) u64);

/// Where a server listens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Address {
    /// Host name or address, or the directory of a Unix socket when it begins with `/`.
    pub host: Arc<str>,
    /// Where the host is, when that has been looked up already.
    pub at: Option<HostAddress>,
    /// Port.
    pub port: u16,
    /// TLS towards it.
    pub tls: Arc<ServerTls>,
    /// Whether logins are bound to its certificate.
    pub channel_binding: ChannelBinding,
}

impl Address {
    /// Whether two of them lead to one server in one way.
    pub(crate) fn leads_where(&self, other: &Self) -> bool {
        (&self.host, self.at, self.port) == (&other.host, other.at, other.port)
            && self.channel_binding == other.channel_binding
            && self.tls.terms() == other.tls.terms()
    }

    /// It, to connect to.
    pub(crate) fn target(&self) -> Target<'_> {
        Target { host: &self.host, address: self.at, port: self.port, tls: &self.tls }
    }
}

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

impl Role {
    /// In a word, for operators.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Role::Primary => "primary",
            Role::Replica => "replica",
            Role::Unknown => "unknown",
        }
    }
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

impl Health {
    /// In a word, for operators.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Health::Untried => "untried",
            Health::Up => "up",
            Health::Down => "down",
        }
    }
}

/// One server in a snapshot.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its identity.
    pub id: ServerId,
    /// Name from the configuration, used in logs and metrics.
    pub name: Arc<str>,
    /// Where it listens. Another address is another server.
    pub address: Arc<Address>,
    /// Most connections that pools may open to it; 0 means no limit.
    pub connections: usize,
    /// Relative share of reads.
    pub weight: u32,
    /// Role as last seen, or as configured.
    pub role: Role,
    /// Health as last seen.
    pub health: Health,
    /// Timeline as last seen. On a replica it is a lower bound: it learns of a new one only by replaying it.
    pub timeline: Option<u32>,
    /// `server_version_num` as last seen: 150004 is 15.4.
    pub version: Option<u32>,
    /// When it was found up again after having been down; `None` when it never was down.
    pub recovered: Option<Instant>,
    /// What the last probe that did not succeed said; `None` after one that did.
    pub trouble: Option<Arc<str>>,
    /// Live figures, shared between snapshots.
    pub load: Arc<Load>,
    /// How far a replica is known to have come, shared between snapshots.
    pub freshness: Arc<Freshness>,
    /// What it gives to those who set nothing, as last seen.
    pub(crate) defaults: Option<Arc<Defaults>>,
}

impl Server {
    /// Whether requests may be sent to it now.
    pub fn is_up(&self) -> bool {
        self.health == Health::Up
    }

    /// What its configuration says of the settings that clients see.
    pub(crate) fn conf(&self) -> Option<&Arc<Conf>> {
        self.defaults.as_ref().map(|defaults| &defaults.conf)
    }

    /// The share of reads it should get at `now`: its weight, less while it starts slowly after a recovery.
    pub fn share(&self, now: Instant) -> f64 {
        let ramp = match self.recovered {
            Some(since) => now.saturating_duration_since(since).as_secs_f64() / SLOW_START.as_secs_f64(),
            None => 1.0,
        };
        f64::from(self.weight) * ramp.clamp(SLOW_START_FLOOR, 1.0)
    }

    /// Whether two snapshots of one server say the same of it; its live figures aside.
    fn equals(&self, other: &Self) -> bool {
        self.id == other.id
            && self.name == other.name
            && (self.connections, self.weight) == (other.connections, other.weight)
            && self.role == other.role
            && self.health == other.health
            && self.timeline == other.timeline
            && self.version == other.version
            && self.recovered == other.recovered
            && self.trouble == other.trouble
            && self.defaults.as_ref().map(Arc::as_ptr) == other.defaults.as_ref().map(Arc::as_ptr)
    }
}

/// Figures that the data's way updates and the balancer reads; atomics, never locked.
#[derive(Debug, Default)]
pub struct Load {
    outstanding: AtomicU32,
    /// Peak-sensitive moving average of response time, in microseconds.
    ewma_us: AtomicU64,
    /// How long the last answered probe took, in microseconds.
    probe_us: AtomicU64,
}

impl Load {
    /// A request was sent.
    pub fn begin(&self) {
        self.outstanding.fetch_add(1, Ordering::Relaxed);
    }

    /// A request was answered, or its connection was lost, after `took`.
    pub fn end(&self, took: Duration) {
        self.outstanding.fetch_sub(1, Ordering::Relaxed);
        let sample = micros(took);
        let old = self.ewma_us.load(Ordering::Relaxed);
        // Rises at once, falls by an eighth: a server that turns slow is avoided at its first slow answer.
        let new = if sample > old { sample } else { old - (old - sample) / 8 };
        self.ewma_us.store(new, Ordering::Relaxed);
    }

    /// Requests sent and not answered yet.
    pub(crate) fn outstanding(&self) -> u32 {
        self.outstanding.load(Ordering::Relaxed)
    }

    /// The moving average of response time in microseconds.
    pub(crate) fn ewma_us(&self) -> u64 {
        self.ewma_us.load(Ordering::Relaxed)
    }

    /// A probe was answered after `took`. The average falls a little with every one: a server that gets no requests
    /// would never be found to have become fast again.
    pub(crate) fn probed(&self, took: Duration) {
        let old = self.ewma_us.load(Ordering::Relaxed);
        self.ewma_us.store(old - old / 4, Ordering::Relaxed);
        self.probe_us.store(micros(took), Ordering::Relaxed);
    }

    /// How long the last answered probe took; zero before the first.
    pub fn probe_time(&self) -> Duration {
        Duration::from_micros(self.probe_us.load(Ordering::Relaxed))
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// All servers at one moment.
#[derive(Clone, Debug, Default)]
pub struct Topology {
    /// In the order in which they came.
    pub servers: Vec<Server>,
}

impl Topology {
    /// The servers that went down since `before`, or have another role than then: what was opened to them in that
    /// time is not to be used any more.
    pub(crate) fn changed_since<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = ServerId> + 'a {
        let went_down = |old: &Server, new: &Server| new.health == Health::Down && old.health != Health::Down;
        let both = self.servers.iter().filter_map(|new| Some((before.server(new.id)?, new)));
        both.filter(move |(old, new)| old.role != new.role || went_down(old, new)).map(|(_, new)| new.id)
    }

    /// The servers that were down before, and are not now.
    pub(crate) fn recovered_since<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = ServerId> + 'a {
        let was_down =
            |server: &&Server| before.server(server.id).is_some_and(|before| before.health == Health::Down);
        self.servers.iter().filter(|server| server.is_up()).filter(was_down).map(|server| server.id)
    }

    /// The servers that give something else to those who set nothing than at `before`: each as it was and as it is.
    pub(crate) fn regiven_since<'a>(
        &'a self,
        before: &'a Self,
    ) -> impl Iterator<Item = (ServerId, &'a Defaults, &'a Defaults)> + 'a {
        self.servers.iter().filter_map(|new| {
            let (old, now) = (before.server(new.id)?.defaults.as_ref()?, new.defaults.as_ref()?);
            (!Arc::ptr_eq(old, now)).then_some((new.id, &**old, &**now))
        })
    }

    /// The servers that are gone since `before`, for good.
    pub(crate) fn removed_since<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = ServerId> + 'a {
        before.servers.iter().map(|old| old.id).filter(|id| self.server(*id).is_none())
    }

    /// The primary, when one is known, up or not.
    pub fn primary(&self) -> Option<&Server> {
        self.servers.iter().find(|s| s.role == Role::Primary)
    }

    /// The primary, when it is known and can be written to now.
    pub fn writable(&self) -> Option<&Server> {
        self.primary().filter(|s| s.is_up())
    }

    /// Replicas that can be read from now. A weight of 0 takes no reads.
    pub fn replicas(&self) -> impl Iterator<Item = &Server> {
        self.servers.iter().filter(|s| s.role == Role::Replica && s.is_up() && s.weight > 0)
    }

    /// Whether two snapshots say the same of the same servers; live figures aside.
    pub(crate) fn equals(&self, other: &Self) -> bool {
        let same = |(ours, theirs): (&Server, &Server)| ours.equals(theirs);
        self.servers.len() == other.servers.len() && self.servers.iter().zip(&other.servers).all(same)
    }

    /// Whether every server has been probed at least once.
    pub(crate) fn is_explored(&self) -> bool {
        self.servers.iter().all(|s| s.health != Health::Untried)
    }

    /// One server; `None` once it has been removed. There are few, so they are looked through.
    pub fn server(&self, id: ServerId) -> Option<&Server> {
        self.servers.iter().find(|server| server.id == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Server {
        /// A replica that is well, called `s` and its number.
        pub(crate) fn example(id: u64) -> Self {
            Self {
                id: ServerId(id),
                name: format!("s{id}").into(),
                address: Arc::default(),
                connections: 0,
                weight: 1,
                role: Role::Replica,
                health: Health::Up,
                timeline: None,
                version: None,
                recovered: None,
                trouble: None,
                load: Arc::default(),
                freshness: Arc::new(Freshness::new(Instant::now())),
                defaults: None,
            }
        }
    }

    fn replica(weight: u32, recovered: Option<Instant>) -> Server {
        Server { weight, recovered, ..Server::example(0) }
    }

    #[test]
    fn a_server_that_was_never_down_gets_its_whole_weight() {
        assert_eq!(replica(3, None).share(Instant::now()), 3.0);
    }

    #[test]
    fn the_share_grows_from_a_tenth_to_the_whole_over_the_slow_start() {
        let since = Instant::now();
        let server = replica(10, Some(since));
        let shares: Vec<f64> = [0.0, 0.25, 0.5, 1.0, 9.0]
            .iter()
            .map(|part| server.share(since + SLOW_START.mul_f64(*part)))
            .collect();
        assert_eq!(shares, [1.0, 2.5, 5.0, 10.0, 10.0]);
    }

    #[test]
    fn a_server_that_goes_down_or_changes_its_role_is_another_one() {
        let one = |role, health| Topology {
            servers: vec![replica(1, None), Server { id: ServerId(1), role, health, ..replica(1, None) }],
        };
        let (up, down) = (one(Role::Primary, Health::Up), one(Role::Primary, Health::Down));
        let changed = |now: &Topology, before: &Topology| now.changed_since(before).collect::<Vec<_>>();
        assert_eq!(changed(&up, &up), []);
        assert_eq!(changed(&down, &up), [ServerId(1)]);
        assert_eq!(changed(&down, &down), [], "it was told of already");
        assert_eq!(changed(&up, &down), [], "what it comes back as is new");
        assert_eq!(changed(&one(Role::Replica, Health::Up), &up), [ServerId(1)]);
    }

    #[test]
    fn servers_are_told_apart_by_identity_wherever_they_stand() {
        let with = |ids: &[u64]| Topology {
            servers: ids.iter().map(|id| Server { id: ServerId(*id), ..replica(1, None) }).collect(),
        };
        let (before, after) = (with(&[0, 1, 2]), with(&[0, 2, 3]));
        let went = |now: &Topology, before: &Topology| now.removed_since(before).collect::<Vec<_>>();
        assert_eq!(went(&after, &before), [ServerId(1)]);
        assert_eq!(went(&before, &before), []);
        assert_eq!(after.changed_since(&before).collect::<Vec<_>>(), [], "who comes or goes has not changed");
        assert_eq!(after.server(ServerId(2)).unwrap().id, ServerId(2));
        assert!(after.server(ServerId(1)).is_none());
        assert!(
            !after.equals(&before) && !with(&[0]).equals(&with(&[0, 1])) && !with(&[0]).equals(&with(&[1]))
        );
        assert!(after.equals(&with(&[0, 2, 3])));
        let down = |mut topology: Topology| {
            topology.servers[1].health = Health::Down;
            topology
        };
        let changed: Vec<_> = down(with(&[0, 2, 3])).changed_since(&before).collect();
        assert_eq!(changed, [ServerId(2)], "compared with itself, not with what stood in its place");
    }

    #[test]
    fn a_weight_of_zero_takes_no_reads() {
        let topology = Topology { servers: vec![replica(0, None)] };
        assert_eq!(topology.replicas().count(), 0);
    }
}
