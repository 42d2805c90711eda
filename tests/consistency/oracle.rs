//! Who knows what must be read: the versions that were acknowledged, kept in this process and by no server.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::faults::Faults;

/// What is written and read: a shape and an id. Only the worker whose number is the id ever writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) shape: usize,
    pub(crate) id: usize,
}

/// What a session was promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Eventual,
    Session,
    Global,
    Strong,
}

pub(crate) const LEVELS: [Level; 4] = [Level::Eventual, Level::Session, Level::Global, Level::Strong];

impl Level {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Level::Eventual => "eventual",
            Level::Session => "session",
            Level::Global => "global",
            Level::Strong => "strong",
        }
    }
}

/// How a write got to the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Weir,
    PastWeir,
}

/// One session's view: what it has written and what it has seen, by key.
#[derive(Clone, Debug)]
pub(crate) struct View {
    own: Vec<u64>,
    seen: Vec<u64>,
}

/// What a read must not be below. To be taken before the read is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Floor {
    pub(crate) key: Key,
    own: u64,
    seen: u64,
    /// What others have had acknowledged, as far as the level counts that.
    others: u64,
    shows: Shows,
}

/// Of which moment an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shows {
    /// Of that at which it was asked for, which is after all answers before it.
    Now,
    /// Of that at which the floor was taken.
    ThePast,
}

impl Floor {
    /// The same for what is shown later of this moment: by a cursor, or of a snapshot.
    pub(crate) fn of_the_past(self) -> Self {
        Self { shows: Shows::ThePast, ..self }
    }

    pub(crate) fn is_of_the_past(&self) -> bool {
        self.shows == Shows::ThePast
    }
}

/// What a read found.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) version: u64,
    pub(crate) server: String,
}

/// Figures of one level.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) writes: AtomicU64,
    pub(crate) on_primary: AtomicU64,
    pub(crate) on_replicas: [AtomicU64; 2],
    /// Transactions that came to their end.
    pub(crate) transactions: AtomicU64,
    pub(crate) violations: AtomicU64,
    pub(crate) errors: AtomicU64,
}

/// The acknowledged versions of all keys, and what was found against them.
pub(crate) struct Oracle {
    workers: usize,
    through_weir: Vec<AtomicU64>,
    anyhow: Vec<AtomicU64>,
    /// What may have been committed: whatever is above was sent by nobody, or waits for its COMMIT.
    sent: Vec<AtomicU64>,
    /// Versions, by their keys' places, that were or will be rolled back.
    doomed: Mutex<HashSet<(usize, u64)>>,
    /// The same of those whose sender has gone without an answer: servers may run them at any time, behind later ones too.
    vanished: Mutex<HashSet<(usize, u64)>>,
    /// What was committed by one transaction, lately.
    together: Mutex<VecDeque<Vec<(Key, u64)>>>,
    /// The place of a key that was acknowledged lately.
    latest: AtomicU64,
    tallies: [Tally; 4],
    /// Errors that weir promises to spare its clients.
    lost_answers: AtomicU64,
    /// What was found that no level excuses.
    impossible: AtomicU64,
    reports: Mutex<Vec<String>>,
    errors: Mutex<Vec<String>>,
}

/// Violations and errors that are kept with all that is known of them.
const KEPT: usize = 20;

/// Transactions whose writes are remembered together.
const TOGETHER: usize = 200;

/// How far back faults may have to do with a violation.
const SHORTLY: Duration = Duration::from_secs(2);

impl Oracle {
    pub(crate) fn new(shapes: usize, workers: usize) -> Self {
        let zeros = || (0..shapes * workers).map(|_| AtomicU64::new(0)).collect();
        Self {
            workers,
            through_weir: zeros(),
            anyhow: zeros(),
            sent: zeros(),
            doomed: Mutex::default(),
            vanished: Mutex::default(),
            together: Mutex::default(),
            latest: AtomicU64::new(0),
            tallies: Default::default(),
            lost_answers: AtomicU64::new(0),
            impossible: AtomicU64::new(0),
            reports: Mutex::default(),
            errors: Mutex::default(),
        }
    }

    pub(crate) fn place(&self, key: Key) -> usize {
        key.shape * self.workers + key.id
    }

    /// Of a session that has done nothing yet.
    pub(crate) fn view(&self) -> View {
        View { own: vec![0; self.through_weir.len()], seen: vec![0; self.through_weir.len()] }
    }

    pub(crate) fn tally(&self, level: Level) -> &Tally {
        &self.tallies[level as usize]
    }

    /// A version may be committed from now on.
    pub(crate) fn sends(&self, key: Key, version: u64) {
        self.sent[self.place(key)].fetch_max(version, SeqCst);
    }

    /// A version was or will be rolled back.
    pub(crate) fn dooms(&self, key: Key, version: u64) {
        locked(&self.doomed).insert((self.place(key), version));
    }

    /// Nobody waits for this version any more, and nobody knows when it comes.
    pub(crate) fn vanishes(&self, key: Key, version: u64) {
        locked(&self.vanished).insert((self.place(key), version));
    }

    /// One transaction has committed all of these.
    pub(crate) fn acknowledged_together(&self, writes: &[(Key, u64)]) {
        if writes.len() > 1 {
            let mut together = locked(&self.together);
            together.truncate(TOGETHER - 1);
            together.push_front(writes.to_vec());
        }
    }

    /// Keys that were written by one transaction a moment ago; not always the last, which depends on `turn`.
    pub(crate) fn together(&self, turn: usize) -> Vec<Key> {
        let together = locked(&self.together);
        let lately = together.get(turn % 3).map(Vec::as_slice).unwrap_or_default();
        lately.iter().map(|(key, _)| *key).collect()
    }

    /// The writer has read the acknowledgement.
    pub(crate) fn acknowledged(&self, key: Key, version: u64, by: (Route, Option<&mut View>)) {
        let place = self.place(key);
        let (route, view) = by;
        if let Some(view) = view {
            view.own[place] = view.own[place].max(version);
        }
        if route == Route::Weir {
            self.through_weir[place].fetch_max(version, SeqCst);
        }
        self.anyhow[place].fetch_max(version, SeqCst);
        self.latest.store(place as u64, SeqCst);
    }

    /// A key that was written a moment ago.
    pub(crate) fn latest(&self) -> Key {
        let place = usize::try_from(self.latest.load(SeqCst)).unwrap_or(0);
        Key { shape: place / self.workers, id: place % self.workers }
    }

    /// What a read that is sent from now on must not be below. At `eventual` nothing is promised: there it is what
    /// `global` promises.
    pub(crate) fn floor(&self, level: Level, view: &View, key: Key) -> Floor {
        let place = self.place(key);
        let others = match level {
            Level::Session => 0,
            Level::Eventual | Level::Global => self.through_weir[place].load(SeqCst),
            Level::Strong => self.anyhow[place].load(SeqCst),
        };
        Floor { key, own: view.own[place], seen: view.seen[place], others, shows: Shows::Now }
    }

    /// The same of all keys, by their places, for a snapshot that is taken from now on.
    pub(crate) fn floors(&self, level: Level, view: &View) -> Vec<Floor> {
        let keys =
            (0..self.sent.len()).map(|place| Key { shape: place / self.workers, id: place % self.workers });
        keys.map(|key| self.floor(level, view, key).of_the_past()).collect()
    }

    /// Weighs an answer. What the session has seen since the floor was taken counts as well: its reads come one after
    /// the other.
    pub(crate) fn weigh(&self, who: &dyn Who, view: &mut View, floor: Floor, found: &Found, faults: &Faults) {
        let place = self.place(floor.key);
        let tally = self.tally(who.level());
        self.count(who, found);
        self.weigh_commit(who, floor.key, found.version, faults);
        let seen = match floor.shows {
            Shows::Now => floor.seen.max(view.seen[place]),
            Shows::ThePast => floor.seen,
        };
        view.seen[place] = view.seen[place].max(found.version);
        let late = || locked(&self.vanished).contains(&(place, found.version));
        if found.version >= floor.own.max(seen).max(floor.others) || late() {
            return;
        }
        tally.violations.fetch_add(1, SeqCst);
        if who.level() == Level::Eventual {
            return;
        }
        let what = format!(
            "{who} read version {} of {} on {}: own {}, seen before {seen}, acknowledged to others {}",
            found.version, floor.key, found.server, floor.own, floor.others,
        );
        self.report(what, faults);
    }

    fn count(&self, who: &dyn Who, found: &Found) {
        let tally = self.tally(who.level());
        let count = match found.server.as_str() {
            "primary" => &tally.on_primary,
            "replica1" => &tally.on_replicas[0],
            _ => &tally.on_replicas[1],
        };
        count.fetch_add(1, SeqCst);
    }

    /// Nobody sees what was not committed.
    fn weigh_commit(&self, who: &dyn Who, key: Key, version: u64, faults: &Faults) {
        let place = self.place(key);
        if version > self.sent[place].load(SeqCst) {
            self.impossible(who, &format!("found {version} of {key}, which nobody has committed"), faults);
        } else if locked(&self.doomed).contains(&(place, version)) {
            self.impossible(who, &format!("found {version} of {key}, which was rolled back"), faults);
        }
    }

    /// A transaction sees what it has written, whatever the level.
    pub(crate) fn weigh_own(&self, who: &dyn Who, own: (Key, u64), found: &Found, faults: &Faults) {
        self.count(who, found);
        if found.version != own.1 {
            let what = format!(
                "found {} of {} on {} behind its write of {}",
                found.version, own.0, found.server, own.1
            );
            self.impossible(who, &what, faults);
        }
    }

    /// Weighs all that one snapshot has shown: of what was committed together, all or nothing.
    pub(crate) fn weigh_whole(&self, who: &dyn Who, found: &[(Key, u64)], faults: &Faults) {
        let together = locked(&self.together).clone();
        for writes in &together {
            let seen = |written: &(Key, u64)| {
                let of_key = found.iter().find(|(key, _)| *key == written.0);
                of_key.map(|(_, version)| *version >= written.1)
            };
            let seen: Vec<bool> = writes.iter().filter_map(seen).collect();
            if seen.contains(&true) && seen.contains(&false) {
                self.impossible(who, &format!("one snapshot shows a part of {writes:?}: {found:?}"), faults);
            }
        }
    }

    /// Something was found that no level excuses.
    pub(crate) fn impossible(&self, who: &dyn Who, what: &str, faults: &Faults) {
        self.impossible.fetch_add(1, SeqCst);
        self.report(format!("{who} {what}"), faults);
    }

    /// Keeps what is wrong, with what had happened shortly before.
    fn report(&self, what: String, faults: &Faults) {
        let mut reports = locked(&self.reports);
        if reports.len() < KEPT {
            let lately = faults.since(Instant::now().checked_sub(SHORTLY));
            reports.push(format!("{what}\n    {}", lately.join("\n    ")));
        }
    }

    pub(crate) fn impossibilities(&self) -> u64 {
        self.impossible.load(SeqCst)
    }

    /// Something failed that a client was told of; `spared` when no fault of a replica is a reason for that.
    pub(crate) fn failed(&self, who: &dyn Who, failure: &harness::Failure, spared: Spared, faults: &Faults) {
        self.tally(who.level()).errors.fetch_add(1, SeqCst);
        if spared == Spared::Yes {
            self.lost_answers.fetch_add(1, SeqCst);
            self.report(format!("{who} was told what weir promises to spare it: {failure}"), faults);
            return;
        }
        let mut errors = locked(&self.errors);
        if errors.len() < KEPT {
            errors.push(format!("{who}: {failure}"));
        }
    }

    pub(crate) fn lost_answers(&self) -> u64 {
        self.lost_answers.load(SeqCst)
    }

    pub(crate) fn reports(&self) -> Vec<String> {
        locked(&self.reports).clone()
    }

    pub(crate) fn errors(&self) -> Vec<String> {
        locked(&self.errors).clone()
    }
}

/// Whether weir promises that faults of replicas do not make this fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spared {
    Yes,
    No,
}

/// Somebody who reads, as a report names them: session, level and way of reading.
pub(crate) trait Who: fmt::Display {
    fn level(&self) -> Level;
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", crate::shape::SHAPES[self.shape].name, self.id)
    }
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
