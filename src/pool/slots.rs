//! A counted limit that several pools share: per server, and over all servers.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

/// One that shares a limit, and can make room for the others.
pub(super) trait Sharer {
    /// Since when the connection has been idle that has been so longest; `None` when there is none.
    fn idle_since(&self) -> Option<Instant>;
    /// Closes that one. Whether there still was one.
    fn close_oldest(&self) -> bool;
}

/// A limit on open backend connections.
#[derive(Debug)]
pub(super) struct Slots<P> {
    /// Whether more are used than there are, since the limit was lowered.
    over: AtomicBool,
    state: Mutex<State<P>>,
}

#[derive(Debug)]
struct State<P> {
    limit: usize,
    used: usize,
    /// Pools that wanted a slot and got none, in the order they asked.
    hungry: VecDeque<Weak<P>>,
    /// All pools that share the limit.
    pools: Vec<Weak<P>>,
}

impl<P> State<P> {
    fn is_hungry(&mut self, pool: &Weak<P>) {
        if !self.hungry.iter().any(|other| other.ptr_eq(pool)) {
            self.hungry.push_back(pool.clone());
        }
    }
}

/// 0 means no limit.
fn counted(limit: usize) -> usize {
    if limit == 0 { usize::MAX } else { limit }
}

impl<P: Sharer> Slots<P> {
    /// `limit` connections; 0 means no limit.
    pub(super) fn new(limit: usize) -> Self {
        let state = State { limit: counted(limit), used: 0, hungry: VecDeque::new(), pools: Vec::new() };
        Self { over: AtomicBool::new(false), state: Mutex::new(state) }
    }

    /// Another limit holds. Where more are used, idle connections are closed, those that have been idle longest first; then
    /// those that come back (see [`Slots::is_over`]). Whether there is more room than before.
    pub(super) fn fit(&self, limit: usize) -> bool {
        let grew = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let before = std::mem::replace(&mut state.limit, counted(limit));
            self.over.store(state.used > state.limit, Ordering::Relaxed);
            state.limit > before
        };
        while self.is_over() && self.make_room(&Weak::new(), |_| true) {}
        grew
    }

    /// Whether connections that come back are to be closed, because there are too many.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Takes a slot, or notes that `pool` wants one.
    pub(super) fn take(&self, pool: &Weak<P>) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.used < state.limit {
            state.used += 1;
            return true;
        }
        state.is_hungry(pool);
        false
    }

    /// The server itself had no room for `pool`, whatever the limit says.
    pub(super) fn starves(&self, pool: &Weak<P>) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).is_hungry(pool);
    }

    /// `pool` has got a connection.
    pub(super) fn is_fed(&self, pool: &Weak<P>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.hungry.retain(|other| !other.ptr_eq(pool));
    }

    /// A pool shares the limit from now on.
    pub(super) fn join(&self, pool: &Arc<P>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // Pools come and go for as long as weir runs.
        state.pools.retain(|other| other.strong_count() > 0);
        state.hungry.retain(|other| other.strong_count() > 0);
        state.pools.push(Arc::downgrade(pool));
    }

    /// How many pools it remembers, those that are gone included.
    #[cfg(test)]
    pub(super) fn members(&self) -> usize {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).pools.len()
    }

    /// Has another pool close an idle connection, the one of all that has been idle longest where that helps, because
    /// `pool` starves. Whether one was closed.
    pub(super) fn make_room(&self, pool: &Weak<P>, helps: impl Fn(&P) -> bool) -> bool {
        let pools = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.pools.retain(|other| other.strong_count() > 0);
            state.pools.clone()
        };
        let others = pools.iter().filter(|other| !other.ptr_eq(pool)).filter_map(Weak::upgrade);
        let others = others.filter(|other| helps(other));
        let idle = others.filter_map(|other| Some((other.idle_since()?, other)));
        match idle.min_by_key(|(since, _)| *since) {
            Some((_, other)) => other.close_oldest(),
            None => false,
        }
    }

    /// Gives a slot back, and names the pools that should try again, in the order in which they asked: the first may
    /// have no use for it any more, or lack a slot of another kind.
    #[must_use]
    pub(super) fn give(&self) -> Vec<Arc<P>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.used = state.used.saturating_sub(1);
        if state.used <= state.limit {
            self.over.store(false, Ordering::Relaxed);
        }
        std::mem::take(&mut state.hungry).iter().filter_map(Weak::upgrade).collect()
    }

    /// Whether some pool waits for a slot: an idle connection of another had better be closed.
    pub(super) fn wanted(&self) -> bool {
        !self.state.lock().unwrap_or_else(PoisonError::into_inner).hungry.is_empty()
    }
}
