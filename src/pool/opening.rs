//! How a pool grows: which connections are opened, for whom, and what becomes of an attempt that fails.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::time::timeout_at;

use super::connections::{Pool, out_of_reach};
use super::room::Scope;
use super::slots::Slots;
use crate::backend::{Backend, Credentials, Proof, begun, log_in};
use crate::error::{Error, NoPass, Result};

impl Pool {
    /// Opens as many connections as there are waiters that nobody opens one for, within the limits, and as the server
    /// has room.
    pub(super) fn grow(&self) {
        loop {
            {
                let (mut state, now) = (self.lock(), Instant::now());
                if state.room.is_full(now) {
                    // Nobody is asked for those who have gone.
                    state.waiters.sweep();
                }
                if state.opening - state.ordered >= state.waiters.len()
                    || state.open >= state.waiters.size().min(state.cap)
                    || !state.room.may_open(state.opening, now)
                {
                    return;
                }
                state.open += 1;
                state.opening += 1;
            }
            if let Err(lacking) = self.take_slots() {
                self.not_opened();
                if lacking.make_room(&self.me, |_| true) {
                    continue;
                }
                return;
            }
            self.spawn_open();
        }
    }

    /// Opens one idle connection more, if limits allow. For upkeep.
    pub(super) fn warm(&self) {
        {
            let mut state = self.lock();
            if state.open >= state.size.min(state.cap) || !state.room.may_open(state.opening, Instant::now())
            {
                return;
            }
            state.open += 1;
            state.opening += 1;
        }
        match self.take_slots() {
            Ok(()) => self.spawn_open(),
            Err(_) => self.not_opened(),
        }
    }

    pub(super) fn not_opened(&self) {
        let mut state = self.lock();
        state.open -= 1;
        state.opening -= 1;
    }

    /// A place under both limits, or the limit that has none.
    pub(super) fn take_slots(&self) -> std::result::Result<(), &Slots<Pool>> {
        let [server, total] = &self.setup.slots;
        if !server.take(&self.me) {
            return Err(server);
        }
        if !total.take(&self.me) {
            server.give().iter().for_each(|pool| pool.grow());
            return Err(total);
        }
        Ok(())
    }

    fn spawn_open(&self) {
        let Some(pool) = self.me.upgrade() else { return };
        tokio::spawn(async move {
            let (outcome, backend) = match pool.open().await {
                Ok(backend) => (Ok(()), Some(backend)),
                Err(error) => (Err(error), None),
            };
            pool.setup.events.connected(pool.setup.key.server, &outcome);
            pool.lock().opened(&outcome);
            match (outcome, backend) {
                (Err(error), _) if error.is_full() => pool.refused_for_now(&error),
                (Err(error), _) => pool.open_failed(error),
                (Ok(()), Some(backend)) => pool.open_succeeded(backend),
                (Ok(()), None) => {}
            }
        });
    }

    /// Opens one that is no part of the pool, and has no place under its limits.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn open_apart(&self) -> Result<Box<Backend>> {
        self.open().await
    }

    pub(super) async fn open(&self) -> Result<Box<Backend>> {
        let (setup, limits) = (&self.setup, self.limits());
        let deadline = tokio::time::Instant::now() + limits.connect_timeout;
        let credentials = Credentials {
            user: &setup.key.user,
            proof: &setup.account.proof,
            database: &setup.key.database,
            parameters: &[],
        };
        let (target, binding) = (setup.address.target(), setup.address.channel_binding);
        let login = log_in(&target, binding, &credentials, &limits.keepalive, deadline).await;
        let login = login.map_err(|error| told(error, &credentials))?;
        let serial = self.opened.fetch_add(1, Ordering::Relaxed);
        let mut backend = Backend::new(login, setup.key.server, serial, limits.statements, Instant::now());
        let asked = timeout_at(deadline, begun::ask(&mut backend, &setup.given)).await;
        backend.defaults = asked.unwrap_or_else(|_| Err(out_of_reach()))?;
        setup.notifiers.enter(&backend.key);
        Ok(Box::new(backend))
    }

    fn open_succeeded(&self, backend: Box<Backend>) {
        let now = Instant::now();
        let outdates = {
            let mut state = self.lock();
            state.room.opened(now);
            state.enter(&backend.key);
            state.outdates(&backend)
        };
        if outdates {
            self.retire_before(backend.serial);
        }
        self.setup.slots[0].is_fed(&self.me);
        self.put_back(backend, now);
        // Where there was no room, others wait whose connection was not asked for yet.
        self.grow();
    }

    /// Nobody gets a connection by this attempt: who waits longest is told.
    fn open_failed(&self, error: Error) {
        // One that is going down or coming up says so: the probes should know.
        if !matches!(error, Error::Refused { .. }) || error.is_outage() {
            self.setup.events.suspect(self.setup.key.server);
        }
        let told = self.lock().waiters.first();
        if let Some(waiter) = told {
            // The waiter may have gone in this very moment; then the error has no reader.
            let _ = waiter.send(Err(error));
        }
        // No place has come free on the server.
        self.one_less().iter().for_each(|pool| pool.grow());
        self.grow();
    }

    /// The server has no room for another connection. That is no outage: who waits goes on waiting, for one that comes
    /// back or for room, but for those who have elsewhere to go. A pool that has no connection at all gets the place of
    /// one that lies idle in another pool, where that helps.
    fn refused_for_now(&self, error: &Error) {
        let now = Instant::now();
        let (pause, starves, leaving) = {
            let mut state = self.lock();
            let pause = state.room.refused(error, now);
            // This attempt is still counted.
            let bare = state.open == state.opening + 1;
            state.waiters.sweep();
            let leaving = if bare { state.waiters.take_leaving() } else { Vec::new() };
            let told = |waiter| Some((waiter, state.room.refusal(now)?));
            let leaving: Vec<_> = leaving.into_iter().filter_map(told).collect();
            (pause, bare && state.waiters.len() > 0 && state.room.asks_others(now), leaving)
        };
        for (waiter, refusal) in leaving {
            // One that has gone has no use for it.
            let _ = waiter.send(Err(refusal));
        }
        self.tell_full(error, now);
        self.one_less().iter().for_each(|pool| pool.grow());
        if starves {
            self.ask_for_room(error);
        }
        if let Some(pause) = pause {
            self.grow_later(pause);
        }
    }

    fn ask_for_room(&self, error: &Error) {
        let (key, slots) = (&self.setup.key, &self.setup.slots[0]);
        let scope = Scope::of(error, key);
        if scope == Scope::Server {
            // From now on what comes back to a pool where nobody waits makes room as well.
            slots.starves(&self.me);
        }
        if slots.make_room(&self.me, |other| scope.covers(key, other.key())) {
            self.grow_where_there_was_none();
        }
    }

    /// Whatever has become free: tries again, if only in a moment.
    pub(super) fn grow_where_there_was_none(&self) {
        let pause = self.lock().room.eased(Instant::now());
        match pause {
            Some(pause) => self.grow_later(pause),
            None => self.grow(),
        }
    }

    fn grow_later(&self, pause: Duration) {
        let me = self.me.clone();
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            if let Some(pool) = me.upgrade() {
                pool.grow();
            }
        });
    }

    fn tell_full(&self, error: &Error, now: Instant) {
        if !self.lock().room.tells(now) {
            return;
        }
        let (key, counts) = (&self.setup.key, self.counts());
        let server = self.setup.events.server(key.server);
        tracing::warn!(
            server = server.as_ref().map(|server| &*server.name),
            user = &*key.user,
            database = &*key.database,
            connections = counts.idle + counts.active,
            waiting = counts.waiting,
            %error,
            "the server has no room for another connection; who waits goes on waiting"
        );
    }
}

/// Says why a login has failed. A client that has proved its password should not hear that the password is wrong.
fn told(error: Error, credentials: &Credentials<'_>) -> Error {
    match (&error, credentials.proof) {
        (Error::Refused { sqlstate, .. }, Proof::Key(_)) if sqlstate == "28P01" => {
            Error::PassThrough { user: credentials.user.to_owned(), why: NoPass::Refused }
        }
        _ => error,
    }
}
