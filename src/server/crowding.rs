//! Pools that are full of sessions which run nothing: transactions whose clients do something else, and connections that
//! are kept for what was left on them. Nobody else sees that coming, for whoever waits only sees a full pool. It tells
//! of them, and takes nothing from anybody.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::pool::{Pool, PoolKey};
use crate::session::{Holder, Rest, Shared};

/// Time between two looks.
const ROUND: Duration = Duration::from_secs(1);

/// Time between two lines about one pool.
const TOLD: Duration = Duration::from_secs(60);

/// Whoever says nothing for less than that within a transaction is taken to be at work.
pub(super) const AT_LEAST: Duration = Duration::from_secs(1);

/// What sessions keep of one pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) idle_in_transaction: usize,
    pub(super) pinned: usize,
}

impl Held {
    pub(super) fn by<'a>(holders: impl Iterator<Item = &'a Holder>) -> Self {
        holders.fold(Self::default(), |mut held, holder| {
            match holder.rest {
                Rest::InTransaction => held.idle_in_transaction += 1,
                Rest::Pinned => held.pinned += 1,
                Rest::Not => {}
            }
            held
        })
    }

    /// Whether that is half of a pool of this size, or more.
    fn crowds(self, size: usize) -> bool {
        let all = self.idle_in_transaction + self.pinned;
        all > 0 && all * 2 >= size
    }
}

/// Looks at all pools once in a while, for ever.
pub(super) async fn watch_crowding(shared: Arc<Shared>) {
    let mut told = HashMap::new();
    let mut round = tokio::time::interval(ROUND);
    round.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        round.tick().await;
        let now = Instant::now();
        told.retain(|_, at| now.saturating_duration_since(*at) < TOLD);
        look(&shared, &mut told, now);
    }
}

/// Tells of those that were not told of in the last minute.
fn look(shared: &Shared, told: &mut HashMap<PoolKey, Instant>, now: Instant) {
    // Hardly ever is there one: nobody else is asked anything.
    let busy = |pool: &Arc<Pool>| {
        let counts = pool.counts();
        counts.active > 0 && counts.active * 2 >= counts.size && !told.contains_key(pool.key())
    };
    let pools: Vec<_> = shared.pools.all().into_iter().filter(busy).collect();
    if pools.is_empty() {
        return;
    }
    let holders = shared.registry.holders(AT_LEAST, now);
    for pool in pools {
        let (key, size) = (pool.key(), pool.counts().size);
        let of_pool = || holders.iter().filter(|holder| pool.owns(&holder.key));
        let held = Held::by(of_pool());
        let Some(oldest) = of_pool().max_by_key(|holder| holder.time).filter(|_| held.crowds(size)) else {
            continue;
        };
        told.insert(key.clone(), now);
        let topology = shared.cluster.topology();
        let server = topology.server(key.server).map(|server| &*server.name);
        let Held { idle_in_transaction, pinned } = held;
        // In the span of that session, which says whose it is.
        oldest.span.in_scope(|| {
            tracing::warn!(
                server,
                pool_user = &*key.user,
                pool_database = &*key.database,
                size,
                idle_in_transaction,
                pinned,
                oldest_seconds = oldest.time.as_secs(),
                "half of the pool or more is kept by sessions that run nothing, by this one for longest"
            );
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_a_pool_crowds_it() {
        let held = |idle_in_transaction, pinned| Held { idle_in_transaction, pinned };
        assert!(held(1, 1).crowds(4) && held(0, 3).crowds(5) && held(1, 0).crowds(1));
        assert!(!held(1, 1).crowds(5) && !held(0, 0).crowds(0));
    }
}
