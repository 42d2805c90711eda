//! Which replica: the better of two that are drawn at random, and the one the session used last unless it is clearly worse.

use std::time::Instant;

use crate::cluster::topology::{Server, ServerId, Topology};

/// Added to every average of response time, in microseconds, so that two fast replicas count as equal
/// however their last few answers differed.
const NOISE_US: u64 = 200;

/// One pick in this many takes the first draw as it is: a replica that was slow once is tried again, and only an
/// answer can bring its average down.
const EXPLORE: u64 = 64;

/// Picks a replica among those that are up, weigh something and will do for the caller; `None` when there is none.
///
/// `preferred` is the replica that the session used last; it is kept while it costs at most twice as much as
/// the other draw, so that sessions do not wander between replicas. `random` is any random number.
pub fn pick(
    topology: &Topology,
    preferred: Option<ServerId>,
    will_do: impl Fn(&Server) -> bool,
    random: u64,
    now: Instant,
) -> Option<ServerId> {
    let usable: Vec<&Server> = topology.replicas().filter(|s| will_do(s)).collect();
    let all = || usable.iter().copied();
    let first = drawn(all, random & 0xffff_ffff, now)?;
    let Some(second) = drawn(|| all().filter(|s| s.id != first.id), random >> 32, now) else {
        return Some(first.id);
    };
    if let Some(kept) = all().find(|s| Some(s.id) == preferred) {
        let other = if kept.id == first.id { second } else { first };
        return Some(if cost(kept, now) <= cost(other, now).saturating_mul(2) { kept.id } else { other.id });
    }
    let explores = random.is_multiple_of(EXPLORE);
    Some(if explores || cost(first, now) <= cost(second, now) { first.id } else { second.id })
}

/// One of the servers, with a chance in proportion to its share.
fn drawn<'t, I>(servers: impl Fn() -> I, random: u64, now: Instant) -> Option<&'t Server>
where
    I: Iterator<Item = &'t Server>,
{
    let total: u64 = servers().map(|s| parts(s, now)).sum();
    let mut left = random.checked_rem(total)?;
    servers().find(|s| {
        let share = parts(s, now);
        let here = left < share;
        left = left.saturating_sub(share);
        here
    })
}

/// A server's share in thousandths: its weight, less while it starts slowly.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "weights are small and not negative"
)]
fn parts(server: &Server, now: Instant) -> u64 {
    (server.share(now) * 1000.0) as u64
}

/// How long a request sent now would take, in weighted microseconds.
fn cost(server: &Server, now: Instant) -> u64 {
    let waiting = u64::from(server.load.outstanding()) + 1;
    waiting.saturating_mul(server.load.ewma_us().saturating_add(NOISE_US)) * 16_000
        / parts(server, now).max(1)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use super::*;
    use crate::cluster::topology::{Health, Role};

    fn server(id: u64, role: Role, health: Health, weight: u32) -> Server {
        Server { weight, role, health, ..Server::example(id) }
    }

    fn topology(weights: &[u32]) -> Topology {
        let mut servers = vec![server(0, Role::Primary, Health::Up, 1)];
        for (id, weight) in (1..).zip(weights) {
            servers.push(server(id, Role::Replica, Health::Up, *weight));
        }
        Topology { servers }
    }

    /// A fixed sequence of well-mixed numbers (splitmix64).
    fn numbers() -> impl Iterator<Item = u64> {
        (1u64..).map(|n| {
            let mut z = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        })
    }

    fn shares(topology: &Topology, exclude: &[ServerId]) -> HashMap<u64, usize> {
        let mut shares = HashMap::new();
        for random in numbers().take(6000) {
            if let Some(id) = pick(topology, None, |s| !exclude.contains(&s.id), random, Instant::now()) {
                *shares.entry(id.0).or_default() += 1;
            }
        }
        shares
    }

    #[test]
    fn only_replicas_that_are_up_weigh_something_and_are_not_excluded() {
        let mut topology = topology(&[1, 1, 0, 1]);
        topology.servers[2].health = Health::Down;
        assert_eq!(shares(&topology, &[ServerId(4)]), HashMap::from([(1, 6000)]));
        assert!(shares(&topology, &[ServerId(1), ServerId(4)]).is_empty());
        assert_eq!(pick(&Topology::default(), None, |_| true, 7, Instant::now()), None);
    }

    #[test]
    fn equal_replicas_share_evenly_and_weights_count() {
        let even = shares(&topology(&[1, 1, 1]), &[]);
        assert!(even.values().all(|n| (1700..=2300).contains(n)), "{even:?}");
        // The heavier one is drawn more often and waits less per request in flight.
        let heavy = shares(&topology(&[1, 3]), &[]);
        assert!(heavy[&2] > heavy[&1] * 2, "{heavy:?}");
    }

    #[test]
    fn the_busy_and_the_slow_are_avoided_but_tried_again() {
        let busy = topology(&[1, 1]);
        for _ in 0..5 {
            busy.servers[1].load.begin();
        }
        let picked = shares(&busy, &[]);
        assert!(picked[&2] > 5800 && picked[&1] > 10, "{picked:?}");
        let slow = topology(&[1, 1]);
        slow.servers[1].load.begin();
        slow.servers[1].load.end(Duration::from_millis(50));
        let picked = shares(&slow, &[]);
        assert!(picked[&2] > 5800 && picked[&1] > 10, "{picked:?}");
    }

    #[test]
    fn a_session_keeps_its_replica_unless_it_is_clearly_worse() {
        let topology = topology(&[1, 1]);
        topology.servers[1].load.begin();
        for random in numbers().take(100) {
            assert_eq!(
                pick(&topology, Some(ServerId(1)), |_| true, random, Instant::now()),
                Some(ServerId(1))
            );
        }
        topology.servers[1].load.begin();
        topology.servers[1].load.begin();
        for random in numbers().take(100) {
            assert_eq!(
                pick(&topology, Some(ServerId(1)), |_| true, random, Instant::now()),
                Some(ServerId(2))
            );
        }
        assert_eq!(
            pick(&topology, Some(ServerId(1)), |s| s.id != ServerId(2), 3, Instant::now()),
            Some(ServerId(1))
        );
    }
}
