//! All sessions by the key that weir gave their clients: for cancel requests and for the count of clients.
//!
//! A cancel request goes to the connection that runs the session's request now, and to no other: while one is on its
//! way the session does not give that connection back, so it can never hit the next one who gets it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use bytes::Bytes;
use rand::RngCore;
use tokio::sync::Notify;

use crate::backend::Key;
use crate::cluster::topology::ServerId;
use crate::wire::startup::CancelKey;

/// Where a session's request runs.
#[derive(Debug, Default)]
struct Running {
    key: Option<Arc<Key>>,
    /// Cancel requests on their way to it.
    cancels: usize,
    /// Wakes the session's task.
    waker: Option<Waker>,
}

/// One session, as others see it.
#[derive(Debug)]
pub struct Entry {
    key: CancelKey,
    running: Mutex<Running>,
    settled: Notify,
    /// The server that the session waits for was found to be down.
    alarmed: AtomicBool,
}

impl Entry {
    fn lock(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key for the client.
    pub fn key(&self) -> &CancelKey {
        &self.key
    }

    /// The session's requests run there from now on.
    pub fn runs_on(&self, key: Arc<Key>) {
        self.lock().key = Some(key);
    }

    /// What wakes the session's task from now on.
    pub fn wakes(&self, waker: &Waker) {
        self.lock().waker = Some(waker.clone());
    }

    /// Whether there was an alarm since this was last asked. It may be about a server that the session has left.
    pub fn take_alarm(&self) -> bool {
        self.alarmed.load(Ordering::Acquire) && self.alarmed.swap(false, Ordering::AcqRel)
    }

    /// Wakes the session if its request runs on this server.
    fn alarm(&self, server: ServerId) {
        let running = self.lock();
        if running.key.as_ref().is_some_and(|key| key.server == server) {
            self.alarmed.store(true, Ordering::Release);
            running.waker.iter().for_each(Waker::wake_by_ref);
        }
    }

    /// The session is about to give its connection back. True when it may do so at once.
    pub fn leaves(&self) -> bool {
        let mut running = self.lock();
        running.key = None;
        running.cancels == 0
    }

    /// Waits until no cancel request is on its way any more. Cancel safe.
    pub async fn settled(&self) {
        loop {
            let settled = self.settled.notified();
            if self.lock().cancels == 0 {
                return;
            }
            settled.await;
        }
    }

    /// Where a cancel request must go; the session stays there until the guard is dropped.
    fn aim(self: &Arc<Self>) -> Option<Aim> {
        let mut running = self.lock();
        let key = running.key.clone()?;
        running.cancels += 1;
        Some(Aim { entry: self.clone(), key })
    }
}

/// A cancel request on its way.
#[derive(Debug)]
pub struct Aim {
    entry: Arc<Entry>,
    /// The connection it goes to.
    pub key: Arc<Key>,
}

impl Drop for Aim {
    fn drop(&mut self) {
        self.entry.lock().cancels -= 1;
        self.entry.settled.notify_waiters();
    }
}

/// All sessions.
#[derive(Debug)]
pub struct Registry {
    entries: Mutex<HashMap<i32, Arc<Entry>>>,
    next: AtomicI32,
}

impl Default for Registry {
    fn default() -> Self {
        Self { entries: Mutex::default(), next: AtomicI32::new(1) }
    }
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, HashMap<i32, Arc<Entry>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a session. Protocol 3.2 clients get a secret of 32 bytes, older ones of 4.
    pub fn enter(&self, minor: u16) -> Arc<Entry> {
        let mut secret = vec![0; if minor >= 2 { 32 } else { 4 }];
        rand::rng().fill_bytes(&mut secret);
        let secret = Bytes::from(secret);
        let mut entries = self.lock();
        loop {
            let pid = self.next.fetch_add(1, Ordering::Relaxed) & i32::MAX;
            if pid == 0 || entries.contains_key(&pid) {
                continue;
            }
            let Some(key) = CancelKey::new(pid, secret.clone()) else { continue };
            let entry = Arc::new(Entry { key, running: Mutex::default(), settled: Notify::new(), alarmed: AtomicBool::new(false) });
            entries.insert(pid, entry.clone());
            return entry;
        }
    }

    /// A server is down: sessions whose request runs there see whether it can run elsewhere.
    pub fn alarm(&self, server: ServerId) {
        self.lock().values().for_each(|entry| entry.alarm(server));
    }

    /// The session is over.
    pub fn leave(&self, entry: &Entry) {
        self.lock().remove(&entry.key.pid());
    }

    /// Sessions there are.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// No sessions.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where a cancel request with this key goes; `None` for a wrong key and for a session that runs nothing.
    pub fn aim(&self, key: &CancelKey) -> Option<Aim> {
        let entry = self.lock().get(&key.pid())?.clone();
        if entry.key.admits(key) { entry.aim() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancel_reaches_only_what_runs_and_holds_it() {
        let registry = Registry::default();
        let entry = registry.enter(0);
        assert!(registry.aim(entry.key()).is_none(), "nothing runs");
        entry.runs_on(Arc::new(Key { server: ServerId(0), cancel: None }));
        let wrong = CancelKey::new(entry.key().pid(), vec![0; 4]).unwrap();
        assert!(registry.aim(&wrong).is_none());
        let aim = registry.aim(entry.key()).unwrap();
        assert!(!entry.leaves(), "one is on its way");
        drop(aim);
        assert!(entry.leaves());
        registry.leave(&entry);
        assert!(registry.is_empty());
    }

    #[test]
    fn an_alarm_is_for_those_who_wait_for_that_server() {
        let registry = Registry::default();
        let entry = registry.enter(0);
        registry.alarm(ServerId(0));
        assert!(!entry.take_alarm(), "nothing runs");
        entry.runs_on(Arc::new(Key { server: ServerId(0), cancel: None }));
        registry.alarm(ServerId(1));
        assert!(!entry.take_alarm());
        registry.alarm(ServerId(0));
        assert!(entry.take_alarm());
        assert!(!entry.take_alarm(), "it was taken");
    }
}
