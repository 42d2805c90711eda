//! One pool: idle connections, those who wait for one, and the opening of new ones.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Instant, SystemTime};

use arc_swap::ArcSwap;
use tokio::sync::{Notify, oneshot};

use super::queue::{Queue, Waiter};
use super::room::Room;
use super::slots::{Sharer, Slots};
use super::standing::{Counts, Member, Standing, is_unwelcome};
use super::terms::{Account, Events, Limits, PoolKey};
use super::wish::{Suits, Wish};
use crate::backend::defaults::{self, Defaults};
use crate::backend::notifiers::Notifiers;
use crate::backend::past::QueryInBatch;
use crate::backend::{Backend, Key};
use crate::cluster::topology::Address;
use crate::error::{Error, Result};

/// Everything a pool is made of.
pub(super) struct Setup {
    pub(super) key: PoolKey,
    pub(super) address: Arc<Address>,
    pub(super) account: Account,
    pub(super) limits: Arc<ArcSwap<Limits>>,
    /// The server's and the total limit, taken in this order.
    pub(super) slots: [Arc<Slots<Pool>>; 2],
    pub(super) events: Arc<dyn Events>,
    pub(super) notifiers: Arc<Notifiers>,
    /// What roles and databases were given.
    pub(super) given: Arc<defaults::Shared>,
}

/// Backend connections to one server, for one database and account.
pub struct Pool {
    pub(super) setup: Setup,
    state: Mutex<State>,
    /// Rung when somebody begins to wait.
    wanted: Notify,
    /// Connections opened so far.
    pub(super) opened: AtomicU32,
    pub(super) me: Weak<Pool>,
}

pub(super) struct State {
    /// Last in, first out: the rest can grow old and be closed.
    #[expect(clippy::vec_box, reason = "leases hold the same box: a connection is never moved")]
    pub(super) idle: Vec<Box<Backend>>,
    pub(super) waiters: Queue<Lease>,
    /// Connections that exist: idle, checked out, or being opened.
    pub(super) open: usize,
    /// Those of `open` that are being opened.
    pub(super) opening: usize,
    /// Those of `opening` that are for one who would not have any that is idle.
    pub(super) ordered: usize,
    /// Connections with a lower number are closed when they come back.
    retired: u32,
    /// When they were told so.
    retired_at: Option<SystemTime>,
    /// How many connections the last who waited for one would have at most.
    pub(super) size: usize,
    /// How many anybody may have at most, since the configuration was changed.
    pub(super) cap: usize,
    pub(super) standing: Standing,
    /// Whether the server has room for more.
    pub(super) room: Room,
    /// What the last connection began with that was opened.
    defaults: Option<Defaults>,
    /// Every connection, with when it was opened, and some that are gone.
    keys: Vec<(Weak<Key>, SystemTime)>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            idle: Vec::new(),
            waiters: Queue::default(),
            open: 0,
            opening: 0,
            ordered: 0,
            retired: 0,
            retired_at: None,
            size: 0,
            cap: usize::MAX,
            standing: Standing::default(),
            room: Room::default(),
            defaults: None,
            keys: Vec::new(),
        }
    }
}

impl State {
    /// An attempt to open a connection has ended.
    pub(super) fn opened(&mut self, outcome: &Result<()>) {
        self.opening -= 1;
        self.standing = match (self.standing, outcome) {
            (Standing::Closed, _) => Standing::Closed,
            (_, Ok(())) => Standing::Accepted,
            (_, Err(error)) if is_unwelcome(error) => Standing::Refused,
            (standing, Err(_)) => standing,
        };
    }

    /// A connection was opened. Whether those of before began with something else: nobody who comes now would be given
    /// that.
    pub(super) fn outdates(&mut self, backend: &Backend) -> bool {
        let Some(now) = &backend.defaults else { return false };
        let before = self.defaults.replace(now.clone());
        before.is_some_and(|before| before != *now)
    }

    /// Takes note of a connection.
    pub(super) fn enter(&mut self, key: &Arc<Key>) {
        self.keys.retain(|(key, _)| key.strong_count() > 0);
        self.keys.push((Arc::downgrade(key), SystemTime::now()));
    }

    /// The idle connection that is best for a session that wishes this and had `last` before, and how well it suits.
    pub(super) fn preferred(&self, wish: &Wish<'_>, last: &Weak<Key>) -> Option<(usize, Suits)> {
        let is_own = |backend: &Backend| std::ptr::eq(Arc::as_ptr(&backend.key), last.as_ptr());
        wish.choose(&self.idle, self.idle.iter().rposition(|backend| is_own(backend)))
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("key", &self.setup.key).field("counts", &self.counts()).finish()
    }
}

impl Sharer for Pool {
    fn idle_since(&self) -> Option<Instant> {
        self.lock().idle.iter().map(|backend| backend.idle_since).min()
    }

    fn close_oldest(&self) -> bool {
        let oldest = {
            let mut state = self.lock();
            let at = (0..state.idle.len()).min_by_key(|at| state.idle[*at].idle_since);
            at.map(|at| state.idle.remove(at))
        };
        let Some(oldest) = oldest else { return false };
        drop(oldest);
        self.closed();
        true
    }
}

impl Pool {
    pub(super) fn new(setup: Setup) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            setup,
            state: Mutex::default(),
            wanted: Notify::new(),
            opened: AtomicU32::new(0),
            me: me.clone(),
        })
    }

    /// What the pool is for.
    pub(crate) fn key(&self) -> &PoolKey {
        &self.setup.key
    }

    pub(super) fn account(&self) -> &Account {
        &self.setup.account
    }

    /// Those of now.
    pub(super) fn limits(&self) -> Limits {
        **self.setup.limits.load()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nothing belongs to it: no connection, nobody who waits.
    pub(super) fn is_empty(&self) -> bool {
        let mut state = self.lock();
        state.waiters.sweep();
        state.open == 0 && state.waiters.len() == 0
    }

    /// Whether its server is gone. It gives no connection any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().standing == Standing::Closed
    }

    /// Whether connections may be opened that nobody waits for: a client's was accepted before.
    pub(super) fn is_accepted(&self) -> bool {
        self.lock().standing == Standing::Accepted
    }

    /// How it stands now.
    pub(crate) fn counts(&self) -> Counts {
        let state = self.lock();
        let opening = state.opening;
        Counts {
            idle: state.idle.len(),
            active: state.open - state.idle.len() - opening,
            opening,
            waiting: state.waiters.len(),
            size: state.size,
        }
    }

    /// Every connection that is open.
    pub(crate) fn members(&self) -> Vec<Member> {
        let state = self.lock();
        let member = |(key, opened): &(Weak<Key>, SystemTime)| {
            let key = key.upgrade()?;
            let idle = state.idle.iter().find(|idle| Arc::ptr_eq(&idle.key, &key));
            // Sessions remember keys of connections that are gone, but nobody else holds those of idle ones.
            Some(Member {
                idle_since: idle.map(|idle| idle.idle_since),
                close_needed: state.retired_at.is_some_and(|at| *opened < at),
                opened: *opened,
                key,
            })
        };
        state.keys.iter().filter_map(member).collect()
    }

    /// An idle connection, if there is one: preferably one that carries these settings, and of those the one that the
    /// session had last, whose process has seen what it did. None either where only such are idle as know custom settings
    /// of others, and another could be opened. Never waits.
    pub(crate) fn try_checkout<'a>(&self, wish: impl Into<Wish<'a>>, last: &Weak<Key>) -> Option<Lease> {
        self.take_idle(&wish.into(), last, Suits::Well)
    }

    /// An idle connection that suits so well at least, or nearly, where there will be no better one.
    pub(super) fn take_idle(&self, wish: &Wish<'_>, last: &Weak<Key>, least: Suits) -> Option<Lease> {
        let mut dead = 0;
        let mut state = self.lock();
        let found = loop {
            let Some((at, suits)) = state.preferred(wish, last) else { break None };
            if suits < least && state.may_have_better(Instant::now()) {
                break None;
            }
            let mut backend = state.idle.remove(at);
            if backend.is_alive() {
                break Some(backend);
            }
            dead += 1;
            if state.idle.is_empty() {
                break None;
            }
        };
        drop(state);
        if dead > 0 {
            self.setup.events.suspect(self.setup.key.server);
            (0..dead).for_each(|_| self.closed());
        }
        Some(Lease::new(found?, self.me.upgrade()?))
    }

    /// This very connection, if it is idle.
    pub(crate) fn try_checkout_key(&self, key: &Arc<Key>) -> Option<Lease> {
        let mut state = self.lock();
        let at = state.idle.iter().position(|backend| Arc::ptr_eq(&backend.key, key))?;
        let mut backend = state.idle.remove(at);
        drop(state);
        if !backend.is_alive() {
            drop(backend);
            self.closed();
            return None;
        }
        Some(Lease::new(backend, self.me.upgrade()?))
    }

    /// A connection: an idle one, or the first that comes back or is opened, where the pool has fewer than `size`. Waits
    /// at most the checkout timeout, also for a server that has no room.
    ///
    /// # Errors
    /// [`Error::QueueFull`], [`Error::CheckoutTimeout`], or why no connection could be opened; [`Error::Unreachable`]
    /// when its server is gone.
    /// Cancel safe: a connection that arrives for one who has gone goes to the next.
    pub(crate) async fn checkout<'a>(&self, wish: impl Into<Wish<'a>>, size: usize) -> Result<Lease> {
        let wish = wish.into();
        self.queue(|sender| Waiter::new(sender, wish, size)).await
    }

    /// The same for one who has elsewhere to go. Where the server has no room and none of the pool's own connections can
    /// come back, it says so at once.
    ///
    /// # Errors
    /// Likewise, and in the words of a server that is full.
    /// Cancel safe likewise.
    pub(crate) async fn checkout_or_leave<'a>(
        &self,
        wish: impl Into<Wish<'a>>,
        size: usize,
    ) -> Result<Lease> {
        let wish = wish.into();
        let now = Instant::now();
        let full = {
            let state = self.lock();
            let hopeless = state.open == 0 && !state.room.may_open(0, now);
            hopeless.then(|| state.room.refusal(now)).flatten()
        };
        match full {
            Some(refusal) => Err(refusal),
            None => self.queue(|sender| Waiter::new(sender, wish, size).who_may_leave()).await,
        }
    }

    async fn queue(
        &self,
        waiter: impl FnOnce(oneshot::Sender<Result<Lease>>) -> Waiter<Lease>,
    ) -> Result<Lease> {
        let (sender, receiver) = oneshot::channel();
        let waiter = waiter(sender);
        let (limits, size) = (self.limits(), waiter.size());
        loop {
            if let Some(lease) = self.offered(&waiter.wish(), size).await? {
                return Ok(lease);
            }
            let mut state = self.lock();
            if !state.idle.is_empty() {
                // It came back in this moment, when nobody was known to wait.
                continue;
            }
            if state.standing == Standing::Closed {
                return Err(out_of_reach());
            }
            if state.waiters.len() >= limits.queue {
                state.waiters.sweep();
                if state.waiters.len() >= limits.queue {
                    return Err(Error::QueueFull);
                }
            }
            state.size = size;
            state.waiters.push(waiter);
            break;
        }
        self.wanted.notify_waiters();
        self.grow();
        match tokio::time::timeout(limits.checkout_timeout, receiver).await {
            Ok(Ok(lease)) => lease,
            Ok(Err(_)) => Err(Error::Shutdown),
            Err(_) => Err(self.timed_out(size)),
        }
    }

    /// Why nobody gave one: the server, if it is that which has no room.
    fn timed_out(&self, size: usize) -> Error {
        let state = self.lock();
        let refusal = state.room.refusal(Instant::now()).filter(|_| state.open < size);
        refusal.unwrap_or(Error::CheckoutTimeout(self.limits().checkout_timeout))
    }

    /// Ready when somebody waits for a connection: whoever keeps one for convenience lets it go then. Cancel safe.
    pub async fn wanted(&self) {
        loop {
            // Taken in hand before looking, so that nobody is missed.
            let wanted = self.wanted.notified();
            if self.lock().waiters.len() > 0 {
                return;
            }
            wanted.await;
        }
    }

    /// Whether a connection more may be opened for one who would have `size` at most.
    pub(crate) fn can_grow(&self, size: usize) -> bool {
        let state = self.lock();
        state.open < size.min(state.cap) && state.room.may_open(state.opening, Instant::now())
    }

    /// Whether its server has lately refused it another connection for want of room.
    pub(crate) fn is_full(&self) -> bool {
        self.lock().room.is_full(Instant::now())
    }

    /// Whether this connection is one of its own.
    pub(crate) fn owns(&self, key: &Arc<Key>) -> bool {
        self.lock().keys.iter().any(|(own, _)| std::ptr::eq(own.as_ptr(), Arc::as_ptr(key)))
    }

    /// A connection comes back or is new: to the first who waits, else to the idle ones.
    pub(super) fn put_back(&self, mut backend: Box<Backend>, now: Instant) {
        backend.is_caught_up();
        loop {
            let waiter = {
                let mut state = self.lock();
                let outnumbers =
                    state.open > state.cap || self.setup.slots.iter().any(|slots| slots.is_over());
                let harmed = backend.past.query_in_batch == QueryInBatch::Harmed;
                let ends = harmed || backend.serial < state.retired;
                if outnumbers || ends || state.standing == Standing::Closed {
                    break;
                }
                match state.waiters.next(&backend.settings, &backend.past) {
                    Some(waiter) => waiter,
                    // It suits none of those who wait, and another will.
                    None if state.waiters.len() > 0 => break,
                    None if self.setup.slots.iter().any(|slots| slots.wanted()) => break,
                    None => {
                        backend.idle_since = now;
                        backend.trim();
                        state.idle.push(backend);
                        return;
                    }
                }
            };
            // As a lease: should the waiter go before it looks, the connection is closed and not lost count of.
            let Some(pool) = self.me.upgrade() else { return };
            match waiter.send(Ok(Lease::new(backend, pool))) {
                Err(Ok(returned)) => match returned.into_backend() {
                    Some(returned) => backend = returned,
                    None => return,
                },
                Ok(()) | Err(Err(_)) => return,
            }
        }
        // It is retired, or another pool starves for the slot that an idle connection here would hold.
        drop(backend);
        self.closed();
    }

    /// A connection of this pool was opened by somebody else.
    #[cfg(test)]
    pub(super) fn one_more(&self) {
        self.lock().open += 1;
        assert!(self.setup.slots.iter().all(|slots| slots.take(&self.me)));
    }

    /// One connection of this pool exists no more.
    pub(super) fn closed(&self) {
        let hungry = self.one_less();
        hungry.iter().for_each(|pool| pool.grow_where_there_was_none());
        self.grow_where_there_was_none();
    }

    /// One connection less counts. Pools that wanted its place.
    pub(super) fn one_less(&self) -> Vec<Arc<Pool>> {
        self.lock().open -= 1;
        // Both places are free before anybody takes one.
        self.setup.slots.each_ref().map(|slots| slots.give()).concat()
    }

    /// Tells all who wait that the server cannot be reached.
    pub(super) fn turn_away(&self) {
        let waiters = self.lock().waiters.take_all();
        for waiter in waiters {
            // One that has gone has no use for the error.
            let _ = waiter.send(Err(out_of_reach()));
        }
    }

    /// Closes every idle connection now, and every one that is checked out as soon as it comes back.
    pub(crate) fn retire(&self) {
        self.retire_before(self.opened.load(Ordering::Relaxed));
    }

    /// The same of those with lower numbers than this.
    pub(super) fn retire_before(&self, serial: u32) {
        {
            let mut state = self.lock();
            state.retired = state.retired.max(serial);
            state.retired_at = Some(SystemTime::now());
        }
        self.close_where(|backend, _| backend.serial < serial);
    }

    /// Nobody may have more connections of it than this from now on. What is too much is closed while it is idle, else when
    /// it comes back.
    pub(super) fn fit(&self, cap: usize) {
        let surplus = {
            let mut state = self.lock();
            state.cap = cap;
            state.open.saturating_sub(cap)
        };
        let mut left = surplus;
        self.close_where(|_, _| left.checked_sub(1).map(|less| left = less).is_some());
    }

    /// The server is gone: everybody who waits is told, and what is idle is closed. What is lent is closed when it comes
    /// back, and what is being opened when it is there.
    pub(super) fn close(&self) {
        self.lock().standing = Standing::Closed;
        self.turn_away();
        self.retire();
    }

    /// Closes the idle connections that `end` picks. For upkeep.
    pub(super) fn close_where(&self, mut end: impl FnMut(&mut Backend, usize) -> bool) -> usize {
        let mut ended = Vec::new();
        {
            let mut state = self.lock();
            let mut at = 0;
            while at < state.idle.len() {
                let left = state.idle.len();
                if end(&mut state.idle[at], left) {
                    ended.push(state.idle.remove(at));
                } else {
                    at += 1;
                }
            }
        }
        let count = ended.len();
        for backend in ended {
            drop(backend);
            self.closed();
        }
        count
    }
}

/// What those are told who wait for a server that is down or gone: there may be another.
pub(super) fn out_of_reach() -> Error {
    Error::Unreachable(std::io::ErrorKind::NotConnected.into())
}

/// A checked-out backend connection. It goes back only by `Lease::release`; dropped in any other way it is
/// closed, so that a session that ends in the middle of something can never hand its state to the next one.
#[derive(Debug)]
pub struct Lease {
    backend: Option<Box<Backend>>,
    pool: Arc<Pool>,
}

impl Lease {
    pub(super) fn new(backend: Box<Backend>, pool: Arc<Pool>) -> Self {
        Self { backend: Some(backend), pool }
    }

    /// Gives the connection back. The caller vouches that it is idle, outside a transaction, and carries no state but
    /// its settings and prepared statements.
    pub(crate) fn release(mut self, now: Instant) {
        if let Some(backend) = self.backend.take() {
            self.pool.put_back(backend, now);
        }
    }

    /// Ends the lease without its connection going anywhere.
    fn into_backend(mut self) -> Option<Box<Backend>> {
        self.backend.take()
    }

    /// The pool it belongs to.
    pub(crate) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }
}

impl std::ops::Deref for Lease {
    type Target = Backend;

    fn deref(&self) -> &Backend {
        // Only `release` and `drop` take the connection, and both end the lease.
        self.backend.as_ref().expect("a lease holds its connection until it ends")
    }
}

impl std::ops::DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut Backend {
        self.backend.as_mut().expect("a lease holds its connection until it ends")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(backend) = self.backend.take() {
            drop(backend);
            self.pool.closed();
        }
    }
}

#[cfg(test)]
impl Lease {
    /// A connection that was never opened by a pool, and goes back to none.
    pub(crate) fn of_no_pool(backend: Backend) -> Self {
        let pool = super::pools::tests::unused_pool();
        pool.one_more();
        Self::new(Box::new(backend), pool)
    }
}
