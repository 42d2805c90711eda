//! The catalogs of the databases that clients use, loaded from the primary and kept fresh in the background.
//!
//! No connection stays open for it (`loading` says why). Readers take a snapshot and never wait; until a database's
//! catalog is loaded nothing is known of its functions, and what calls them goes to the primary.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::task::AbortHandle;
use tokio::time::{timeout, timeout_at};

use super::built_ins::BuiltIns;
use super::loading::{Failure, Kept, Source, is_other, place};
use super::matters::{Matters, Published};
use super::snapshot::Catalog;
use crate::cluster::control::{self, CurrentTerms, Login, Purpose};
use crate::cluster::roles::Monitor;
use crate::cluster::topology::Topology;
use crate::config::{ServerProof, User};

/// Most databases whose catalogs are kept at a time; functions of further ones stay unknown.
const DATABASES_MAX: usize = 1_000;

/// How long the catalog of a database without sessions is kept: who connects for each request alone should find it.
const UNUSED_MAX: Duration = Duration::from_secs(300);

/// How long one load may take, connecting included.
const LOAD_LIMIT: Duration = Duration::from_secs(10);

/// How long changes are collected before they are read: a migration makes many in a row.
const SETTLE: Duration = Duration::from_millis(50);

/// Least time from the beginning of one load to that of the next for the sake of definitions that were changed. However
/// often that happens, the primary has better things to do.
const CHANGED_PAUSE: Duration = Duration::from_millis(500);

/// The same for the sake of what only may have changed, and of functions that are missing: a statement may go on calling
/// one that does not exist.
const DOUBTED_PAUSE: Duration = Duration::from_secs(1);

/// How long the first clients of a database wait for its catalog. What they do before it was read could leave something
/// that nobody would know of: if it takes longer, they are in doubt until it has been.
const FIRST_LOAD: Duration = Duration::from_secs(1);

/// Time between attempts to load after a failure.
const RETRY: Duration = Duration::from_secs(2);

/// How long a database that could not be logged in to is left alone. The next session that wants it afterwards
/// starts anew, with its own user.
const REFUSED_PAUSE: Duration = Duration::from_secs(30);

/// How long a writer may take from looking at a snapshot to marking what it wrote by it. Writes that were marked by the
/// snapshot before count as unknown until then: it may have said something else of the same name.
const MARKING: Duration = Duration::from_millis(50);

/// The catalogs of all databases in use.
#[derive(Debug)]
pub struct Catalogs {
    snapshots: ArcSwap<HashMap<Arc<str>, Arc<Catalog>, RandomState>>,
    matters: Published,
    /// PostgreSQL's own functions, as they were read last.
    built_ins: ArcSwap<BuiltIns>,
    /// Rung when anything is published.
    news: Notify,
    wanted: Mutex<HashMap<Arc<str>, Wanted>>,
    monitor: Arc<Monitor>,
    /// As whom servers are watched, and how often catalogs are read.
    terms: CurrentTerms,
}

/// A database whose catalog is kept.
#[derive(Debug)]
struct Wanted {
    /// Shared with everybody who has an interest in it.
    interest: Arc<()>,
    /// When somebody was last known to have one.
    used: Instant,
    seen: Seen,
    asked: Option<Asked>,
    /// Until when its first clients wait for it; `None` once a load has ended.
    first: Option<Instant>,
    /// Rung when another load is asked for.
    bell: Arc<Notify>,
    /// As whom it is read.
    reader: CurrentReader,
    task: AbortHandle,
}

/// As whom a catalog is read.
#[derive(Debug)]
struct Reader {
    /// By its name in the configuration.
    user: Arc<str>,
    login: Login,
}

type CurrentReader = Arc<ArcSwap<Reader>>;

/// Somebody's interest in a database's catalog. While there is one the catalog is kept fresh.
#[derive(Clone, Debug)]
pub struct Interest {
    _shared: Arc<()>,
}

/// How many changes have been seen: of what was read before the last one, less is published or nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    /// Definitions were changed.
    changes: u64,
    /// Definitions may have been changed.
    doubts: u64,
    /// Code was changed: what it leaves in a session is another matter.
    code: u64,
    /// Some of it was taken away, or replaced.
    gone: u64,
}

/// Which definitions were changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Changed {
    /// None that has code in it.
    Data,
    /// Something is gone that may have had code in it.
    Removed,
    /// A relation has another name: as much as anything, where any has code behind it.
    Moved,
    /// There is more that may have code in it; what there was is there still.
    Added,
    /// Perhaps what functions do, or which of them run when a relation is used.
    Code,
}

/// Another load is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked {
    /// When it was first asked for.
    at: Instant,
    /// The least time from the beginning of the last load.
    pause: Duration,
}

impl Asked {
    /// When to begin it, if the last one began at `began`.
    fn due(self, began: Instant) -> Instant {
        (self.at + SETTLE).max(began + self.pause)
    }
}

impl Catalog {
    /// What a change amounts to in this database.
    fn brought_by(&self, what: Changed) -> Changed {
        let has_code_behind =
            self.code.concerns_relations() || self.beyond.concerns_relations() || !self.volatile.is_empty();
        match what {
            Changed::Moved if has_code_behind => Changed::Code,
            // A column of a domain that checks, or a default by somebody's operator, brings what is behind it.
            Changed::Data if self.code.has_symbols() => Changed::Added,
            Changed::Removed | Changed::Moved if self.code.has_symbols() => Changed::Code,
            _ => what,
        }
    }
}

impl Wanted {
    fn new(bell: Arc<Notify>, reader: CurrentReader, task: AbortHandle) -> Self {
        let now = Instant::now();
        Self {
            interest: Arc::default(),
            used: now,
            seen: Seen::default(),
            asked: None,
            first: Some(now + FIRST_LOAD),
            bell,
            reader,
            task,
        }
    }

    /// Somebody has an interest in it.
    fn share(&mut self) -> Interest {
        self.used = Instant::now();
        Interest { _shared: self.interest.clone() }
    }

    fn is_unused(&self) -> bool {
        Arc::strong_count(&self.interest) == 1
    }

    /// Asks for another load. Who is in more of a hurry hurries the others.
    fn ask(&mut self, at: Instant, pause: Duration) {
        let asked = self.asked.unwrap_or(Asked { at, pause });
        self.asked = Some(Asked { at: asked.at, pause: asked.pause.min(pause) });
        self.bell.notify_one();
    }
}

impl Catalogs {
    pub(crate) fn new(monitor: Arc<Monitor>, terms: CurrentTerms) -> Self {
        Self {
            snapshots: ArcSwap::default(),
            matters: Published::default(),
            built_ins: ArcSwap::default(),
            news: Notify::new(),
            wanted: Mutex::default(),
            monitor,
            terms,
        }
    }

    /// The catalog of a database (its name on the servers); `None` until it is loaded.
    pub fn of(&self, database: &str) -> Option<Arc<Catalog>> {
        self.snapshots.load().get(database).cloned()
    }

    /// What must be looked for in statements that do not tell of it.
    pub(crate) fn matters(&self) -> Matters {
        self.matters.get()
    }

    /// Ready when any catalog is published from now on.
    pub fn news(&self) -> Notified<'_> {
        self.news.notified()
    }

    /// Has a database's catalog loaded and kept fresh from now on, logging in as `user` does where that takes no key
    /// of its own, until a while after the last interest in it was dropped. To be called when a session of that user begins on that database (its name on
    /// the servers); cheap when it is wanted already. `None` when there are too many.
    pub fn want(self: &Arc<Self>, database: &str, user: &User) -> Option<Interest> {
        self.want_as(database, || Reader { user: user.name.clone(), login: self.login(user) })
    }

    fn login(&self, user: &User) -> Login {
        match user.server_proof {
            // Only the user's own sessions have its key.
            ServerProof::Md5(_) | ServerProof::PassThrough => self.terms.load().login.clone(),
            ServerProof::None | ServerProof::Password(_) => Login::of(user),
        }
    }

    /// These are the users that the configuration names now: catalogs that are read as one of them are, from the next
    /// time on, as it logs in now.
    pub(crate) fn heed(&self, users: &[User]) {
        for entry in self.lock().values() {
            let reader = entry.reader.load();
            if let Some(user) = users.iter().find(|user| user.name == reader.user) {
                entry.reader.store(Arc::new(Reader { user: user.name.clone(), login: self.login(user) }));
            }
        }
    }

    fn want_as(self: &Arc<Self>, database: &str, reader: impl FnOnce() -> Reader) -> Option<Interest> {
        let mut wanted = self.lock();
        if let Some(entry) = wanted.get_mut(database) {
            return Some(entry.share());
        }
        if wanted.len() >= DATABASES_MAX {
            self.forget_unused(&mut wanted);
        }
        if wanted.len() >= DATABASES_MAX {
            return None;
        }
        let database: Arc<str> = database.into();
        let bell = Arc::new(Notify::new());
        let reader = Arc::new(ArcSwap::from_pointee(reader()));
        let keep = self.clone().keep_fresh(database.clone(), reader.clone(), bell.clone());
        let task = tokio::spawn(keep).abort_handle();
        Some(wanted.entry(database).or_insert(Wanted::new(bell, reader, task)).share())
    }

    /// Forgets every database that has no session now.
    fn forget_unused(&self, wanted: &mut HashMap<Arc<str>, Wanted>) {
        let unused: Vec<_> = wanted.extract_if(|_, entry| entry.is_unused()).collect();
        unused.iter().for_each(|(_, entry)| entry.task.abort());
        self.snapshots.rcu(|old| {
            let mut all = HashMap::clone(old);
            unused.iter().for_each(|(database, _)| drop(all.remove(database)));
            all
        });
    }

    /// Waits for the first load of a catalog that is wanted, for a second at most after it was wanted first. Where that
    /// takes longer, anything may run anything until it has ended. Cancel safe.
    pub(crate) async fn first_load(&self, database: &str) {
        loop {
            let mut news = pin!(self.news());
            news.as_mut().enable();
            if self.of(database).is_some() {
                return;
            }
            let first = self.lock().get(database).and_then(|entry| entry.first);
            let Some(until) = first else { return };
            if timeout_at(until.into(), news).await.is_err() {
                return self.takes_long(database);
            }
        }
    }

    /// The first load is not over yet. Without a primary there is none, and what replicas can be asked for they are.
    fn takes_long(&self, database: &str) {
        let wanted = self.lock();
        let is_under_way = wanted.get(database).is_some_and(|entry| entry.first.is_some());
        if is_under_way && self.of(database).is_none() && self.monitor.topology().writable().is_some() {
            self.replace(&Arc::from(database), Some(Catalog::unread()));
        }
    }

    /// A load has failed. What was never read is not waited for any longer.
    fn failed(&self, database: &Arc<str>) {
        let mut wanted = self.lock();
        if let Some(entry) = wanted.get_mut(database) {
            entry.first = None;
        }
        if self.of(database).is_some_and(|catalog| catalog.is_unread()) {
            self.replace(database, None);
        }
        self.news.notify_waiters();
    }

    /// A database's catalog has changed: DDL was seen, and its transaction has ended. To be called before the
    /// client hears of it, so that whoever acts upon the change finds the old catalog gone.
    pub fn stale(&self, database: &str, what: Changed) {
        let mut wanted = self.lock();
        let Some(entry) = wanted.get_mut(database) else { return };
        entry.seen.changes += 1;
        let catalog = self.of(database);
        let what = catalog.as_ref().map_or(what, |catalog| catalog.brought_by(what));
        if what >= Changed::Added {
            entry.seen.code += 1;
        }
        if matches!(what, Changed::Removed | Changed::Moved | Changed::Code) {
            entry.seen.gone += 1;
        }
        let gone = entry.seen.gone;
        entry.ask(Instant::now(), CHANGED_PAUSE);
        if let Some(catalog) = catalog {
            let mut changed = catalog.after_change();
            if what >= Changed::Added {
                changed.code = changed.code.after_change();
            }
            changed.code.gone = gone;
            if changed != *catalog {
                self.replace(&Arc::from(database), Some(changed));
            }
        }
    }

    /// Code of a user's ran that may have changed definitions: until they have been read again, what relations reach
    /// is not known, while functions go on being what they were. To be called before the client hears of it. Whoever
    /// runs such code all the time leaves relations unknown most of the time, and makes the primary be read once a second.
    pub(crate) fn doubt(&self, database: &str) {
        let mut wanted = self.lock();
        let Some(entry) = wanted.get_mut(database) else { return };
        entry.seen.doubts += 1;
        entry.ask(Instant::now(), DOUBTED_PAUSE);
        if let Some(catalog) = self.of(database).filter(|catalog| !catalog.is_doubted()) {
            self.replace(&Arc::from(database), Some(catalog.doubted()));
        }
    }

    /// A statement calls a function that the catalog does not hold: somebody may have created it past weir. Loads the
    /// catalog again soon; what is known stays known meanwhile.
    pub fn missed(&self, database: &str, now: Instant) {
        if let Some(entry) = self.lock().get_mut(database) {
            entry.ask(now, DOUBTED_PAUSE);
        }
    }

    /// Something ran that may have run code of which nothing is known: whether it did is known once the catalog has been
    /// read behind it.
    pub(crate) fn ran_in_doubt(&self, database: &str, now: Instant) {
        if let Some(entry) = self.lock().get_mut(database) {
            entry.ask(now, CHANGED_PAUSE);
        }
    }

    /// Ends all loading.
    pub(crate) fn close(&self) {
        for (_, entry) in self.lock().drain() {
            entry.task.abort();
        }
    }

    async fn keep_fresh(self: Arc<Self>, database: Arc<str>, reader: CurrentReader, bell: Arc<Notify>) {
        let mut kept = None;
        loop {
            let began = Instant::now();
            let Some(seen) = self.begin(&database, began) else { return };
            let login = reader.load().login.clone();
            let (wait, source) = match self.load(&database, &login, &mut kept).await {
                Ok((source, catalog)) => {
                    self.publish(&database, seen, catalog);
                    (self.terms.load().health.catalog_interval, Some(source))
                }
                Err(Failure::Failed(error)) => {
                    tracing::warn!(database = &*database, error, "catalog not loaded; will try again");
                    self.failed(&database);
                    (RETRY, None)
                }
                Err(Failure::Refused(error)) => {
                    tracing::warn!(database = &*database, error, "catalog not loaded");
                    self.failed(&database);
                    self.gone(&database);
                    tokio::time::sleep(REFUSED_PAUSE).await;
                    self.lock().remove(&database);
                    return;
                }
            };
            let latest = Instant::now() + wait;
            let next = || self.next(&database, source, &bell, (began, latest));
            let rest = kept.as_ref().map_or(Duration::ZERO, Kept::rest);
            if timeout(rest, next()).await.is_err() {
                if let Some(kept) = kept.take() {
                    kept.close().await;
                }
                next().await;
            }
        }
    }

    /// Waits until the next load is due, which began last and is due at the latest at these times. Cancel safe.
    async fn next(
        &self,
        database: &str,
        source: Option<Source>,
        bell: &Notify,
        (began, latest): (Instant, Instant),
    ) {
        tokio::select! {
            () = self.rest(database, bell, began, latest) => {}
            () = self.moved(source) => self.stale(database, Changed::Code),
        }
    }

    /// Waits until somebody asks for another load and it is due, or so long. Cancel safe.
    async fn rest(&self, database: &str, bell: &Notify, began: Instant, latest: Instant) {
        loop {
            let asked = self.lock().get(database).and_then(|entry| entry.asked);
            let due = asked.map_or(latest, |asked| asked.due(began).min(latest));
            if timeout_at(due.into(), bell.notified()).await.is_err() {
                return;
            }
        }
    }

    /// Waits until another server is the primary, or the same one anew: its definitions may be others. Cancel safe.
    async fn moved(&self, source: Option<Source>) {
        let Some(source) = source else { return std::future::pending().await };
        let other = |topology: &Topology| topology.writable().map(place).filter(|now| is_other(*now, source));
        self.monitor.wait(other).await;
    }

    /// Loads from the primary, once there is one.
    async fn load(
        &self,
        database: &str,
        login: &Login,
        kept: &mut Option<Kept>,
    ) -> Result<(Source, Catalog), Failure> {
        let now = self.monitor.topology().writable().cloned();
        let kept_until_now = kept.take().filter(|_| now.is_some());
        let primary = match now {
            Some(primary) => primary,
            None => self.monitor.wait(|topology| topology.writable().cloned()).await,
        };
        let source = place(&primary);
        let terms = self.terms.load_full();
        let target = (&*primary.address, database);
        let parameters = control::parameters(target, login, LOAD_LIMIT, &terms.health, Purpose::Watching);
        let read = Kept::read(kept_until_now, (source, login), &parameters, self.built_ins.load_full());
        let Ok(read) = timeout(LOAD_LIMIT, read).await else {
            return Err(Failure::Failed("no answer in time".into()));
        };
        let (answers, read_over) = read?;
        *kept = Some(read_over);
        self.built_ins.store(answers.built_ins());
        let catalog = tokio::task::spawn_blocking(move || answers.catalog()).await;
        let catalog = catalog.map_err(|error| Failure::Failed(error.to_string()))?;
        Ok((source, catalog))
    }

    /// Nothing is known of it any more.
    fn gone(&self, database: &Arc<str>) {
        let _wanted = self.lock();
        self.replace(database, None);
    }

    /// Publishes what was read, as far as it has not changed since the reading began.
    fn publish(&self, database: &Arc<str>, read_at: Seen, mut catalog: Catalog) {
        // Comparing takes a while, so it is done in front of the lock: a change that comes between is seen behind it.
        let old = self.of(database);
        let since = old.as_ref().filter(|old| old.has_relations_of(&catalog)).and_then(|old| old.since);
        let lacks = old.is_some_and(|old| catalog.code.lacks(&old.code));
        let mut wanted = self.lock();
        let Some(entry) = wanted.get_mut(database) else { return };
        if lacks && entry.seen.gone == read_at.gone {
            entry.seen.gone += 1;
        }
        let seen = entry.seen;
        catalog.code.gone = seen.gone;
        catalog.code.gone_when_read = seen.gone;
        catalog.code.changed = seen.code != read_at.code;
        if seen.changes != read_at.changes {
            // Only of what ran before it does it tell: who runs code in a migration without an end is set free by that.
            let old = self.of(database).filter(|old| !old.is_unread());
            let old = old.map_or_else(|| catalog.after_change(), |old| Catalog::clone(&old));
            catalog = Catalog { code: catalog.code, ..old };
        } else if seen.doubts == read_at.doubts {
            catalog.since = since.or_else(|| Some(Instant::now() + MARKING));
        } else {
            catalog = catalog.doubted();
        }
        self.replace(database, Some(catalog));
    }

    /// A load begins: whatever was asked for until now, it is what was asked for. `None` when nobody wants it any more,
    /// or has not for long: then what is known of it is forgotten.
    fn begin(&self, database: &Arc<str>, now: Instant) -> Option<Seen> {
        let mut wanted = self.lock();
        let entry = wanted.get_mut(database)?;
        if !entry.is_unused() {
            entry.used = now;
        } else if now.saturating_duration_since(entry.used) >= UNUSED_MAX {
            wanted.remove(database);
            self.replace(database, None);
            return None;
        }
        entry.asked = None;
        Some(entry.seen)
    }

    /// Publishes a catalog, or that there is none. Under the lock, so that what matters and what is published belong together.
    fn replace(&self, database: &Arc<str>, catalog: Option<Catalog>) {
        // First, so that nobody finds the catalog and takes it for one that need not be looked at.
        catalog.iter().for_each(|catalog| self.matters.add(catalog));
        let catalog = catalog.map(Arc::new);
        self.snapshots.rcu(|old| {
            let mut all = HashMap::clone(old);
            match &catalog {
                Some(catalog) => all.insert(database.clone(), catalog.clone()),
                None => all.remove(database),
            };
            all
        });
        if self.snapshots.load().values().all(|catalog| catalog.since.is_some()) {
            self.matters.all_read();
        }
        if !self.snapshots.load().values().any(|catalog| catalog.code.changed) {
            self.matters.all_known();
        }
        self.news.notify_waiters();
    }

    /// Nothing that can panic runs under this lock, so a poisoned one is still sound.
    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Wanted>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "catalogs_tests.rs"]
mod tests;
