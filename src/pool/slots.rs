//! A counted limit that several pools share: per server, and over all servers.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError, Weak};

use super::Pool;

/// A limit on open backend connections.
#[derive(Debug)]
pub(super) struct Slots {
    limit: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    used: usize,
    /// Pools that wanted a slot and got none, in the order they asked.
    hungry: VecDeque<Weak<Pool>>,
}

impl Slots {
    /// `limit` connections; 0 means no limit.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit: if limit == 0 { usize::MAX } else { limit }, state: Mutex::default() }
    }

    /// Takes a slot, or notes that `pool` wants one.
    pub(super) fn take(&self, pool: &Weak<Pool>) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.used < self.limit {
            state.used += 1;
            return true;
        }
        if !state.hungry.iter().any(|other| other.ptr_eq(pool)) {
            state.hungry.push_back(pool.clone());
        }
        false
    }

    /// Gives a slot back, and names the pool that should try again.
    #[must_use]
    pub(super) fn give(&self) -> Option<std::sync::Arc<Pool>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.used = state.used.saturating_sub(1);
        while let Some(pool) = state.hungry.pop_front() {
            if let Some(pool) = pool.upgrade() {
                return Some(pool);
            }
        }
        None
    }

    /// Whether some pool waits for a slot: an idle connection of another had better be closed.
    pub(super) fn wanted(&self) -> bool {
        !self.state.lock().unwrap_or_else(PoisonError::into_inner).hungry.is_empty()
    }
}
