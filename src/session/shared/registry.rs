//! All sessions by the key that weir gave their clients: for cancel requests and for the count of clients.
//!
//! A cancel request goes to the connection that runs the session's request now, and to no other: while one is on its
//! way the session does not give that connection back, so it can never hit the next one who gets it.

use std::collections::{HashMap, hash_map};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::RngCore;
use tokio::sync::Notify;
use tokio::time::timeout;
use tracing::Span;

use crate::backend::Key;
use crate::cluster::topology::ServerId;
use crate::error::{Error, Result};
use crate::session::shared::copies::{SECRETS, as_given, process_id};
use crate::session::shared::visitors::Visitor;
use crate::wire::startup::CancelKey;

/// How long a cancel request of weir's own may take on its way to a server.
pub(crate) const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection is kept for cancel requests that are on their way to it: for one, and for another that was asked
/// for meanwhile. Whoever asks again and again would keep it for as long.
const SETTLE_MAX: Duration = CANCEL_TIMEOUT.saturating_mul(2);

/// Whether a session works on its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// A request runs.
    Not,
    /// Its client says nothing within a transaction.
    InTransaction,
    /// It keeps its connection for what is left on it.
    Pinned,
}

impl Rest {
    const ALL: [Self; 3] = [Self::Not, Self::InTransaction, Self::Pinned];

    /// In a word, for operators.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Not => "active",
            Self::InTransaction => "idle_in_transaction",
            Self::Pinned => "idle",
        }
    }
}

/// What a session's request does.
#[derive(Debug)]
pub(crate) enum Activity {
    /// There is none, and no connection.
    Idle,
    /// It waits for a connection, since then.
    Waiting(Instant),
    /// It runs there, or does as it says.
    On(Arc<Key>, Rest),
}

/// A session that keeps a connection on which nothing runs.
pub(crate) struct Holder {
    /// Which.
    pub key: Arc<Key>,
    /// Why.
    pub rest: Rest,
    /// For how long nothing has run.
    pub time: Duration,
    /// Whose it is, for the log.
    pub span: Span,
}

/// Where a session's request is.
#[derive(Debug, Default)]
enum Place {
    /// There is none.
    #[default]
    Nowhere,
    /// It waits for a connection, since then.
    Queue(Instant),
    /// It runs there.
    On(Arc<Key>),
}

/// Whether the server is being asked to cancel a session's request. However many ask for it, one connection to the
/// server is open at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Asking {
    /// It is not.
    #[default]
    Not,
    /// A cancel request is on its way.
    OnItsWay,
    /// One is on its way, and another was asked for meanwhile. The first may have hit a request that was over by then,
    /// so that one more must follow.
    OnceMore,
}

/// A session's request.
#[derive(Debug, Default)]
struct Running {
    place: Place,
    asking: Asking,
    /// A cancel request was sent there of which nobody knows whether it has arrived: it may come at any time.
    astray: Option<Arc<Key>>,
    /// Wakes the session's task.
    waker: Option<Waker>,
}

/// One session, as others see it.
#[derive(Debug)]
pub(crate) struct Entry {
    key: CancelKey,
    /// As whom it logs in to servers.
    role: Arc<str>,
    /// Whoever asks for a cancel, what is logged of it is this session's.
    span: Span,
    running: Mutex<Running>,
    settled: Notify,
    cancelled: Notify,
    /// Something was found out about the server where the session's requests run.
    alarmed: AtomicBool,
    /// Somebody wants the session to end.
    terminated: AtomicBool,
    /// Whose it is, once that is known.
    visitor: OnceLock<Box<Visitor>>,
    entered: Instant,
    /// Since when it has rested as it does, in milliseconds after it was entered, and how. One number, so that whoever
    /// looks finds what belongs together; nothing else is ordered by it.
    rest: AtomicU64,
}

impl Entry {
    fn new(key: CancelKey, role: &Arc<str>) -> Self {
        Self {
            key,
            role: role.clone(),
            span: Span::current(),
            running: Mutex::default(),
            settled: Notify::new(),
            cancelled: Notify::new(),
            alarmed: AtomicBool::new(false),
            terminated: AtomicBool::new(false),
            visitor: OnceLock::new(),
            entered: Instant::now(),
            rest: AtomicU64::new(Rest::Not as u64),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key for the client.
    pub(crate) fn key(&self) -> &CancelKey {
        &self.key
    }

    /// As whom it logs in to servers.
    pub(crate) fn role(&self) -> &str {
        &self.role
    }

    /// Whose it is. Only the first word counts.
    pub(crate) fn is_of(&self, visitor: Visitor) {
        let _ = self.visitor.set(Box::new(visitor));
    }

    /// Whose it is, once that is known.
    pub(crate) fn visitor(&self) -> Option<&Visitor> {
        self.visitor.get().map(|visitor| &**visitor)
    }

    /// What its request does, for operators.
    pub(crate) fn doing(&self) -> Activity {
        match &self.lock().place {
            Place::Nowhere => Activity::Idle,
            Place::Queue(since) => Activity::Waiting(*since),
            Place::On(key) => Activity::On(key.clone(), self.resting()),
        }
    }

    fn resting(&self) -> Rest {
        let word = self.rest.load(Ordering::SeqCst);
        Rest::ALL.into_iter().find(|rest| *rest as u64 == word & 3).unwrap_or(Rest::Not)
    }

    /// A request begins, on the connection that the session has kept or is about to get. Whoever shuts a gate sees it from here on.
    pub(crate) fn begins(&self) {
        self.rest.store(Rest::Not as u64, Ordering::SeqCst);
    }

    /// Has the session end as soon as its task finds a moment.
    pub(crate) fn terminate(&self) {
        self.terminated.store(true, Ordering::Release);
        self.lock().waker.iter().for_each(Waker::wake_by_ref);
    }

    /// Whether somebody wants that.
    pub(crate) fn is_terminated(&self) -> bool {
        self.terminated.load(Ordering::Acquire)
    }

    /// Whether its requests run on this process of this server.
    fn works_on(&self, server: ServerId, pid: i32) -> bool {
        let is_it =
            |key: &Key| key.server == server && key.cancel.as_ref().is_some_and(|one| one.pid() == pid);
        matches!(&self.lock().place, Place::On(key) if is_it(key))
    }

    /// The session's requests run there from now on.
    pub(crate) fn runs_on(&self, key: Arc<Key>) {
        let mut running = self.lock();
        running.astray.take_if(|astray| !Arc::ptr_eq(astray, &key));
        running.place = Place::On(key);
    }

    /// What wakes the session's task from now on.
    pub(crate) fn wakes(&self, waker: &Waker) {
        self.lock().waker = Some(waker.clone());
    }

    /// Whether there was an alarm since this was last asked. It may be about a server that the session has left.
    pub(crate) fn take_alarm(&self) -> bool {
        self.alarmed.load(Ordering::Acquire) && self.alarmed.swap(false, Ordering::AcqRel)
    }

    /// Wakes the session if its requests run on this server.
    fn alarm(&self, server: ServerId) {
        let running = self.lock();
        if matches!(&running.place, Place::On(key) if key.server == server) {
            self.alarmed.store(true, Ordering::Release);
            running.waker.iter().for_each(Waker::wake_by_ref);
        }
    }

    /// What the session does while its task sleeps.
    pub(crate) fn rests(&self, rest: Rest, now: Instant) {
        if !self.is_resting(rest) {
            let since = now.saturating_duration_since(self.entered).as_millis();
            let since = u64::try_from(since).unwrap_or(u64::MAX >> 2);
            self.rest.store(since << 2 | rest as u64, Ordering::Relaxed);
        }
    }

    /// Whether that is known of it.
    pub(crate) fn is_resting(&self, rest: Rest) -> bool {
        self.rest.load(Ordering::Relaxed) & 3 == rest as u64
    }

    /// The connection that it keeps, if it has and nothing runs there.
    fn holder(&self, now: Instant) -> Option<Holder> {
        let word = self.rest.load(Ordering::Relaxed);
        let rest = Rest::ALL.into_iter().find(|rest| *rest as u64 == word & 3)?;
        if rest == Rest::Not {
            return None;
        }
        let Place::On(key) = &self.lock().place else { return None };
        let since = self.entered + Duration::from_millis(word >> 2);
        let time = now.saturating_duration_since(since);
        Some(Holder { key: key.clone(), rest, time, span: self.span.clone() })
    }

    /// The session is about to give its connection back. True when it may do so at once.
    pub(crate) fn leaves(&self) -> bool {
        let mut running = self.lock();
        running.place = Place::Nowhere;
        running.asking == Asking::Not && running.astray.is_none()
    }

    /// Waits until no cancel request is on its way any more. Not for ever: false when there still is one, or one may be, so
    /// that whatever runs on the connection next may be hit. Cancel safe.
    pub(crate) async fn settled(&self) -> bool {
        // In a box, because hardly anybody ever waits here.
        Box::pin(timeout(SETTLE_MAX, self.all_arrived())).await.unwrap_or(false)
    }

    /// Whether all that were sent have arrived, once none is waited for any more.
    async fn all_arrived(&self) -> bool {
        loop {
            let settled = self.settled.notified();
            {
                let running = self.lock();
                if running.asking == Asking::Not {
                    return running.astray.is_none();
                }
            }
            settled.await;
        }
    }

    /// Ready when the client asks to cancel while its request is held back on its connection, or has asked and the server
    /// has not heard of it yet. Cancel safe.
    pub(crate) async fn asked_to_cancel(&self) {
        let cancelled = self.cancelled.notified();
        if self.lock().asking == Asking::Not {
            cancelled.await;
        }
    }

    /// Waits for a connection, unless the client cancels meanwhile. Cancel safe if `connection` is.
    ///
    /// # Errors
    /// [`Error::Canceled`], or why there is no connection.
    pub(crate) async fn queue<T>(&self, connection: impl Future<Output = Result<T>>) -> Result<T> {
        let cancelled = self.cancelled.notified();
        self.lock().place = Place::Queue(Instant::now());
        let queued = Queued(self);
        let outcome = tokio::select! {
            biased;
            outcome = connection => outcome,
            () = cancelled => Err(if self.is_terminated() { Error::Shutdown } else { Error::Canceled }),
        };
        drop(queued);
        outcome
    }

    /// A cancel request that is weir's own, or another client's, where the session's request runs. None as well when one is
    /// on its way there: another follows it.
    pub(crate) fn aim(self: &Arc<Self>) -> Option<Aim> {
        match self.cancel() {
            Cancel::Aimed(aim) => Some(aim),
            Cancel::Joined(_) | Cancel::Waited | Cancel::Idle | Cancel::Unknown => None,
        }
    }

    /// Ends the waiting, or says where the request runs: the session stays there until the aim is dropped.
    fn cancel(self: &Arc<Self>) -> Cancel {
        let mut running = self.lock();
        match &running.place {
            Place::Nowhere => Cancel::Idle,
            Place::Queue(_) => {
                self.cancelled.notify_waiters();
                Cancel::Waited
            }
            Place::On(key) => {
                self.cancelled.notify_waiters();
                let key = key.clone();
                if running.asking == Asking::Not {
                    running.asking = Asking::OnItsWay;
                    return Cancel::Aimed(Aim { entry: Some(self.clone()), key });
                }
                running.asking = Asking::OnceMore;
                Cancel::Joined(self.clone())
            }
        }
    }

    /// A cancel request may arrive at `key` at any time.
    fn strays(&self, key: &Arc<Key>) {
        let mut running = self.lock();
        if !matches!(&running.place, Place::On(now) if !Arc::ptr_eq(now, key)) {
            running.astray = Some(key.clone());
        }
    }

    /// A cancel request has arrived at `key`, or is waited for no more. True when another must follow.
    fn delivered(&self, key: &Arc<Key>) -> bool {
        let mut running = self.lock();
        let again = running.asking == Asking::OnceMore
            && matches!(&running.place, Place::On(now) if Arc::ptr_eq(now, key));
        running.asking = if again { Asking::OnItsWay } else { Asking::Not };
        if !again {
            self.settled.notify_waiters();
        }
        again
    }
}

/// While it exists, the session's request waits for a connection.
struct Queued<'a>(&'a Entry);

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.lock().place = Place::Nowhere;
    }
}

/// What came of a cancel request.
#[derive(Debug)]
pub(crate) enum Cancel {
    /// The request runs: to be passed on there.
    Aimed(Aim),
    /// The request runs, and another cancel request is on its way to it: to be waited for with [`Entry::settled`].
    Joined(Arc<Entry>),
    /// The request waited for a connection, and waits no more.
    Waited,
    /// The session has no request.
    Idle,
    /// No session has this key.
    Unknown,
}

/// A cancel request on its way. The session keeps the connection that it goes to until this is dropped.
#[derive(Debug)]
pub(crate) struct Aim {
    /// None once it has been delivered for the last time.
    entry: Option<Arc<Entry>>,
    /// The connection it goes to.
    pub key: Arc<Key>,
}

impl Aim {
    /// The span of the session that it is for.
    pub(crate) fn span(&self) -> Span {
        self.entry.as_ref().map_or_else(Span::none, |entry| entry.span.clone())
    }

    /// Nobody knows whether the cancel request has been delivered, or will be: whoever gets the connection next might be
    /// hit.
    pub(crate) fn strays(&self) {
        self.entry.iter().for_each(|entry| entry.strays(&self.key));
    }

    /// The cancel request has been delivered, or could not be. What must be delivered next, where somebody asked
    /// meanwhile.
    pub(crate) fn delivered(mut self) -> Option<Self> {
        let entry = self.entry.take()?;
        if !entry.delivered(&self.key) {
            return None;
        }
        self.entry = Some(entry);
        Some(self)
    }
}

impl Drop for Aim {
    fn drop(&mut self) {
        let Some(entry) = self.entry.take() else { return };
        entry.lock().asking = Asking::Not;
        entry.settled.notify_waiters();
    }
}

/// All sessions.
#[derive(Debug)]
pub(crate) struct Registry {
    entries: Mutex<HashMap<i32, Arc<Entry>>>,
    next: AtomicI32,
    /// The number of this copy of weir, if it has one.
    copy: Option<u8>,
}

impl Default for Registry {
    fn default() -> Self {
        Self::of_copy(None)
    }
}

impl Registry {
    /// That of a copy, by its number.
    pub(crate) fn of_copy(copy: Option<u8>) -> Self {
        // Not where another copy begins, nor this one before its restart: a number that is none of its clients' says so.
        Self { entries: Mutex::default(), next: AtomicI32::new(rand::random()), copy }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<i32, Arc<Entry>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a session that logs in to servers by this role. Protocol 3.2 clients get a secret of 32 bytes, older ones of
    /// 4.
    pub(crate) fn enter(&self, minor: u16, role: &Arc<str>) -> Arc<Entry> {
        let mut secret = vec![0; SECRETS[usize::from(minor >= 2)]];
        rand::rng().fill_bytes(&mut secret);
        let secret = Bytes::from(secret);
        let mut entries = self.lock();
        loop {
            let pid = process_id(self.copy, self.next.fetch_add(1, Ordering::Relaxed));
            if entries.contains_key(&pid) {
                continue;
            }
            let Some(key) = CancelKey::new(pid, secret.clone()) else { continue };
            let entry = Arc::new(Entry::new(key, role));
            entries.insert(pid, entry.clone());
            return entry;
        }
    }

    /// Enters a session that another weir has had, by the key that its client has. `None` where there is one of that number.
    pub(crate) fn adopt(&self, key: CancelKey, role: &Arc<str>) -> Option<Arc<Entry>> {
        let mut entries = self.lock();
        let hash_map::Entry::Vacant(vacant) = entries.entry(key.pid()) else { return None };
        Some(vacant.insert(Arc::new(Entry::new(key, role))).clone())
    }

    /// The number behind the last that was given.
    pub(crate) fn next(&self) -> i32 {
        self.next.load(Ordering::Relaxed)
    }

    /// Gives numbers from here on that another weir will not have given, which is at this one now and goes on for a while.
    pub(crate) fn goes_on_behind(&self, next: i32) {
        const MEANWHILE: i32 = 1 << 20;
        self.next.store(next.wrapping_add(MEANWHILE), Ordering::Relaxed);
    }

    /// Something was found out about a server: sessions whose requests run there see what that is to them.
    pub(crate) fn alarm(&self, server: ServerId) {
        self.lock().values().for_each(|entry| entry.alarm(server));
    }

    /// Wakes all sessions, to see what has become of weir.
    pub(crate) fn wake(&self) {
        let wake = |entry: &Arc<Entry>| entry.lock().waker.iter().for_each(Waker::wake_by_ref);
        self.lock().values().for_each(wake);
    }

    /// The session is over.
    pub(crate) fn leave(&self, entry: &Entry) {
        self.lock().remove(&entry.key.pid());
    }

    /// The sessions that have kept a connection for so long on which nothing runs.
    pub(crate) fn holders(&self, at_least: Duration, now: Instant) -> Vec<Holder> {
        let entries = self.lock();
        let holders = entries.values().filter_map(|entry| entry.holder(now));
        holders.filter(|holder| holder.time >= at_least).collect()
    }

    /// The session of the client that was given this process ID.
    pub(crate) fn client(&self, pid: i32) -> Option<Arc<Entry>> {
        self.lock().get(&pid).cloned()
    }

    /// The process ID of the client whose requests run on this process of this server.
    pub(crate) fn at_work_on(&self, server: ServerId, pid: i32) -> Option<i32> {
        self.lock().values().find(|entry| entry.works_on(server, pid)).map(|entry| entry.key.pid())
    }

    /// All sessions, in the order in which they came, as far as their numbers tell.
    pub(crate) fn all(&self) -> Vec<Arc<Entry>> {
        let mut all: Vec<_> = self.lock().values().cloned().collect();
        all.sort_by_key(|entry| entry.entered);
        all
    }

    /// How many of these sessions run something on a connection.
    pub(crate) fn at_work(&self, meant: impl Fn(&Visitor) -> bool) -> usize {
        let works = |entry: &&Arc<Entry>| {
            entry.visitor().is_some_and(&meant)
                && matches!(entry.doing(), Activity::On(_, Rest::Not | Rest::InTransaction))
        };
        self.lock().values().filter(works).count()
    }

    /// Sessions there are.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Cancels the request of the session that has this key, whether its client has sent it or another copy passes it on.
    pub(crate) fn cancel(&self, key: &CancelKey) -> Cancel {
        let entry = self.lock().get(&key.pid()).cloned();
        let given = as_given(key);
        match entry {
            Some(entry) if entry.key.admits(given.as_ref().unwrap_or(key)) => entry.cancel(),
            _ => Cancel::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Way;

    #[test]
    fn a_cancel_reaches_only_what_runs_and_holds_it() {
        let registry = Registry::default();
        let entry = registry.enter(0, &"app".into());
        assert!(matches!(registry.cancel(entry.key()), Cancel::Idle), "nothing runs");
        entry.runs_on(Arc::new(Key {
            server: ServerId(0),
            cancel: None,
            notifier: Default::default(),
            way: Way::Plain,
        }));
        let wrong = CancelKey::new(entry.key().pid(), vec![0; 4]).unwrap();
        assert!(matches!(registry.cancel(&wrong), Cancel::Unknown));
        let Cancel::Aimed(aim) = registry.cancel(entry.key()) else { panic!("it runs") };
        assert!(!entry.leaves(), "one is on its way");
        assert!(aim.delivered().is_none());
        assert!(entry.leaves());
        registry.leave(&entry);
        assert_eq!(registry.len(), 0);
    }

    #[test]
    fn cancels_that_come_together_are_delivered_one_after_the_other() {
        let registry = Registry::default();
        let entry = registry.enter(0, &"app".into());
        let key = Arc::new(Key {
            server: ServerId(0),
            cancel: None,
            notifier: Default::default(),
            way: Way::Plain,
        });
        entry.runs_on(key.clone());
        let Cancel::Aimed(first) = registry.cancel(entry.key()) else { panic!("it runs") };
        for _ in 0..100 {
            assert!(matches!(registry.cancel(entry.key()), Cancel::Joined(_)));
        }
        let second = first.delivered().expect("somebody asked while the first was on its way");
        assert!(!entry.leaves(), "the second is on its way");
        entry.runs_on(key.clone());
        assert!(second.delivered().is_none(), "nobody asked since");
        assert!(entry.leaves());

        entry.runs_on(key);
        let Cancel::Aimed(first) = registry.cancel(entry.key()) else { panic!("it runs") };
        assert!(matches!(registry.cancel(entry.key()), Cancel::Joined(_)));
        assert!(!entry.leaves());
        assert!(first.delivered().is_none(), "the request is over: nothing there is the session's any more");
        entry.runs_on(Arc::new(Key {
            server: ServerId(0),
            cancel: None,
            notifier: Default::default(),
            way: Way::Plain,
        }));
        let Cancel::Aimed(dropped) = registry.cancel(entry.key()) else { panic!("it runs") };
        drop(dropped);
        assert!(entry.leaves(), "a delivery that was given up holds nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancel_request_that_never_arrives_is_not_waited_for_for_ever() {
        let registry = Registry::default();
        let entry = registry.enter(0, &"app".into());
        assert!(entry.settled().await, "none is on its way");
        entry.runs_on(Arc::new(Key {
            server: ServerId(0),
            cancel: None,
            notifier: Default::default(),
            way: Way::Plain,
        }));
        let Cancel::Aimed(aim) = registry.cancel(entry.key()) else { panic!("it runs") };
        assert!(!entry.settled().await);
        let (settled, ()) = tokio::join!(entry.settled(), async { drop(aim) });
        assert!(settled);
    }

    #[tokio::test]
    async fn where_a_cancel_request_went_astray_nobody_follows() {
        let registry = Registry::default();
        let entry = registry.enter(0, &"app".into());
        let key = || {
            Arc::new(Key { server: ServerId(0), cancel: None, notifier: Default::default(), way: Way::Plain })
        };
        let first = key();
        entry.runs_on(first.clone());
        let Cancel::Aimed(aim) = registry.cancel(entry.key()) else { panic!("it runs") };
        aim.strays();
        assert!(aim.delivered().is_none());
        entry.runs_on(first);
        let Cancel::Aimed(aim) = registry.cancel(entry.key()) else { panic!("it runs") };
        assert!(aim.delivered().is_none(), "that this one has arrived says nothing of the other");
        assert!(!entry.leaves() && !entry.settled().await);
        entry.runs_on(key());
        assert!(entry.settled().await && entry.leaves(), "this is another connection");
    }

    #[tokio::test]
    async fn a_cancel_ends_the_waiting() {
        let registry = Registry::default();
        let entry = registry.enter(0, &"app".into());
        let waiting = entry.queue(std::future::pending::<Result<()>>());
        tokio::pin!(waiting);
        assert!(matches!(registry.cancel(entry.key()), Cancel::Idle), "it does not wait yet");
        assert!(is_pending(waiting.as_mut()).await);
        assert!(matches!(registry.cancel(entry.key()), Cancel::Waited));
        assert!(matches!(waiting.await, Err(Error::Canceled)));
        assert!(matches!(registry.cancel(entry.key()), Cancel::Idle));
    }

    /// Polls once; true when it goes on.
    async fn is_pending(mut future: std::pin::Pin<&mut impl Future>) -> bool {
        std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx).is_pending())).await
    }

    #[test]
    fn who_keeps_a_connection_and_runs_nothing_is_a_holder() {
        let registry = Registry::default();
        let entry = registry.enter(0, &"app".into());
        let second = Duration::from_secs(1);
        let held = |now| registry.holders(second, now).iter().map(|h| (h.rest, h.time)).collect::<Vec<_>>();
        let now = entry.entered + second * 5;
        entry.rests(Rest::InTransaction, now);
        assert!(held(now + second).is_empty(), "a transaction without a connection");
        entry.runs_on(Arc::new(Key {
            server: ServerId(0),
            cancel: None,
            notifier: Default::default(),
            way: Way::Plain,
        }));
        assert!(held(now).is_empty(), "not for long");
        entry.rests(Rest::InTransaction, now + second);
        assert_eq!(held(now + second * 2), [(Rest::InTransaction, second * 2)]);
        entry.rests(Rest::Not, now + second * 2);
        assert!(held(now + second * 9).is_empty());
        entry.rests(Rest::Pinned, now + second * 3);
        assert_eq!(held(now + second * 4), [(Rest::Pinned, second)]);
        entry.leaves();
        assert!(held(now + second * 9).is_empty());
    }

    #[test]
    fn an_alarm_is_for_those_who_wait_for_that_server() {
        let registry = Registry::default();
        let entry = registry.enter(0, &"app".into());
        registry.alarm(ServerId(0));
        assert!(!entry.take_alarm(), "nothing runs");
        entry.runs_on(Arc::new(Key {
            server: ServerId(0),
            cancel: None,
            notifier: Default::default(),
            way: Way::Plain,
        }));
        registry.alarm(ServerId(1));
        assert!(!entry.take_alarm());
        registry.alarm(ServerId(0));
        assert!(entry.take_alarm());
        assert!(!entry.take_alarm(), "it was taken");
    }
}
