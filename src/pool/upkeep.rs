//! What pools need done from time to time: closing what is old, idle or dead, keeping the minimum warm, and forgetting
//! the pools that are of no more use. It opens no connection where no client's was accepted before.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Pool, Pools};

/// Time between two rounds.
const ROUND: Duration = Duration::from_secs(1);

/// Who holds a pool that no session knows: the table of all, and the round that looks after it.
const HELD_BY_UPKEEP: usize = 2;

impl Pools {
    /// Looks after all pools until they are dropped.
    pub(crate) async fn upkeep(self: Arc<Self>) {
        let pools = Arc::downgrade(&self);
        drop(self);
        let mut round = tokio::time::interval(ROUND);
        round.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            round.tick().await;
            let Some(pools) = pools.upgrade() else { return };
            let now = Instant::now();
            pools.all().iter().for_each(|pool| pools.tend(pool, now));
            pools.forget();
        }
    }

    fn tend(&self, pool: &Arc<Pool>, now: Instant) {
        let limits = pool.limits();
        // Nobody comes who would have these.
        let is_left = pool.account().proof.is_superseded() && Arc::strong_count(pool) == HELD_BY_UPKEEP;
        let min_idle = if pool.account().proof.is_superseded() { 0 } else { limits.min_idle };
        pool.close_where(|backend, left| {
            backend.prepared.hold_at_most(limits.statements);
            let idle = now.saturating_duration_since(backend.idle_since);
            let age = now.saturating_duration_since(backend.opened);
            is_left
                || age >= jittered(limits.lifetime, backend.serial)
                || (left > min_idle && idle >= limits.idle_timeout)
                || !backend.is_alive()
        });
        // Whether a server that is down is up again is for its probes to find out.
        let is_up = || self.events.server(pool.key().server).is_some_and(|server| server.is_up());
        if min_idle == 0 || !pool.is_accepted() || !is_up() {
            return;
        }
        let counts = pool.counts();
        for _ in counts.idle + counts.active + counts.opening..min_idle {
            pool.warm();
        }
    }
}

/// A lifetime up to a tenth shorter, different for each connection: what was opened together is not closed together.
fn jittered(lifetime: Duration, serial: u32) -> Duration {
    let share = serial.wrapping_mul(2_654_435_761) >> 16 & 0xff;
    lifetime - lifetime / 10 * share / 256
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_differ_and_stay_within_a_tenth() {
        let lifetime = Duration::from_secs(1000);
        let all: Vec<_> = (1..100).map(|serial| jittered(lifetime, serial)).collect();
        assert!(all.iter().all(|l| *l <= lifetime && *l >= lifetime * 9 / 10));
        assert!(all.iter().max().unwrap().abs_diff(*all.iter().min().unwrap()) > lifetime / 20);
    }
}
