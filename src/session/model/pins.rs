//! The state that a session has on its connection and that cannot be moved to another one.
//!
//! Pure. It follows what completed statements did, by PostgreSQL's rules: what a transaction undoes is kept with the
//! points to which a rollback returns; locks, prepared statements and what code left are not undone. What is kept is
//! never less than what is there. Where it is not known to be gone, it stays, and with it the connection.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::backend::settings::{Settings, Value};
use crate::sql::{Change, Discard, Dropped, Kind, LockKey, Name, Pin, Scope, Statement, Traces};

/// Kinds of state, as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reasons(u16);

impl Reasons {
    fn with(self, pin: Pin) -> Self {
        Self(self.0 | 1 << pin as u16)
    }

    /// Whether this kind is among them.
    pub(crate) fn has(self, pin: Pin) -> bool {
        self.0 & 1 << pin as u16 != 0
    }

    /// Those that are there.
    pub(crate) fn iter(self) -> impl Iterator<Item = Pin> {
        Pin::ALL.into_iter().filter(move |pin| self.has(*pin))
    }

    /// Those that are not among `others`.
    pub(crate) fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Whether there is none.
    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// What a transaction that rolls back takes back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Undone {
    temporary: Temporary,
    channels: BTreeSet<Box<str>>,
    /// Cursors `WITH HOLD`.
    cursors: BTreeSet<Box<str>>,
    /// Settings of which the values are not known.
    settings: BTreeSet<Box<str>>,
    /// Settings of which not even the names are.
    any_setting: Known,
}

/// Temporary objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Temporary {
    /// Relations by name.
    named: BTreeSet<Box<str>>,
    /// Whether there may be others.
    others: Known,
}

/// Whether something is there that nothing more is known of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Known {
    #[default]
    Absent,
    Maybe,
}

/// What no rollback takes back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Lasting {
    locks: BTreeMap<LockKey, u32>,
    other_locks: Known,
    /// SQL-level prepared statements.
    prepared: BTreeSet<Box<str>>,
    /// Values of sequences that were asked for.
    drawn: Known,
    code: Traces,
    /// Functions that were called and of which nothing was known, with what was being read of the catalog then.
    doubts: Vec<Doubt>,
    library: Known,
    long: Known,
    unknown: Known,
}

/// A function that was called before the catalog told what it leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Doubt {
    /// The function.
    pub function: Name,
    /// When.
    pub since: Instant,
    /// How often code had been changed by then: what is read after a further change may be another function.
    pub version: u64,
    discarded: Discarded,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Discarded {
    #[default]
    NotYet,
    /// What is being discarded was there before it was called.
    Before,
    Since,
}

/// What was sent while something that takes state away was in flight: it comes behind that, and stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Behind {
    prepared: BTreeSet<Box<str>>,
    code: Traces,
    long: Known,
}

/// What a session has on its connection.
#[derive(Debug, Default)]
pub(crate) struct Pins {
    held: Option<Box<Held>>,
}

/// Most sessions never have any of it.
#[derive(Debug, Default)]
struct Held {
    now: Undone,
    /// Where a rollback of the transaction returns to.
    start: Undone,
    savepoints: Vec<(Box<str>, Undone)>,
    lasting: Lasting,
    /// Whether relations without a schema may be temporary ones: the search path named `pg_temp` once.
    path: Known,
    /// There while `DISCARD ALL` or `DEALLOCATE` is in flight.
    behind: Option<Behind>,
}

impl Pins {
    /// Those of a session that begins with these settings: none.
    pub(crate) fn of(startup: &Settings) -> Self {
        let mut pins = Self::default();
        if let Some(Value::Raw(path) | Value::Sql(path)) = startup.get("search_path") {
            pins.search(path);
        }
        pins
    }

    /// A search path was set.
    fn search(&mut self, path: &str) {
        if path.to_ascii_lowercase().contains("pg_temp") {
            self.held.get_or_insert_default().path = Known::Maybe;
        }
    }

    /// The kinds of state that there are, or will be should the transaction roll back.
    pub(crate) fn reasons(&self) -> Reasons {
        self.held.as_ref().map_or_else(Reasons::default, |held| held.reasons())
    }

    /// Whether the session needs its connection for any of it.
    pub(crate) fn is_empty(&self) -> bool {
        self.reasons().is_empty()
    }

    /// Whether there may be state that DISCARD ALL leaves.
    pub(crate) fn outlast_discard(&self) -> bool {
        self.held.as_ref().is_some_and(|held| {
            let lasting = &held.lasting;
            lasting.code == Traces::Lasting
                || !lasting.doubts.is_empty()
                || lasting.library == Known::Maybe
                || lasting.unknown == Known::Maybe
        })
    }

    /// One of the reasons why the session needs its connection.
    pub(crate) fn any(&self) -> Option<Pin> {
        self.reasons().iter().next()
    }

    /// Whether notifications are for the client: it listens, or code may have done so in its name.
    pub(crate) fn listens(&self) -> bool {
        let asked = |held: &Held| !held.now.channels.is_empty() || !held.start.channels.is_empty();
        self.held.as_ref().is_some_and(|held| asked(held) || held.lasting.may_be_anything())
    }

    /// Whether a statement's completion changes anything here.
    pub(crate) fn heed(statement: &Statement) -> bool {
        !statement.effects.changes.is_empty()
    }

    /// A statement completed.
    pub(crate) fn apply(&mut self, statement: &Statement, part: Part) {
        if part != Part::Rowless {
            self.settings(statement);
        }
        let changes = &statement.effects.changes;
        let adds = changes.iter().any(|change| change.pin().is_some() || *change == Change::Searches);
        if self.held.is_none() && !adds && !matches!(statement.kind, Kind::Savepoint(_)) {
            return;
        }
        let held = self.held.get_or_insert_default();
        for change in changes.iter().filter(|change| part == Part::Whole || !change.frees()) {
            held.change(change);
        }
        match &statement.kind {
            Kind::Discard(Discard::All) => held.discard_all(),
            Kind::Discard(Discard::Sequences) => held.lasting.drawn = Known::Absent,
            Kind::Discard(Discard::Temp) => held.now.temporary = Temporary::default(),
            Kind::Deallocate(name) => held.deallocate(name.as_deref()),
            Kind::Reset(None) => {
                held.now.settings.retain(|name| matches!(&**name, "role" | "session_authorization"));
            }
            Kind::Savepoint(name) => held.savepoints.push((name.clone(), held.now.clone())),
            Kind::Release(name) => held.release(name),
            Kind::RollbackTo(name) => held.rollback_to(name),
            _ => {}
        }
    }

    /// What becomes known about settings again, and search paths that make new relations temporary.
    fn settings(&mut self, statement: &Statement) {
        for setting in &statement.effects.settings {
            if &*setting.name == "search_path" {
                self.search(&setting.value);
            }
            if let (Scope::Session, Some(held)) = (setting.scope, &mut self.held) {
                held.now.settings.remove(&setting.name);
            }
        }
    }

    /// A statement failed. What no rollback takes back may be there all the same: a lock that was taken before the
    /// error came, a library that was loaded.
    pub(crate) fn fail(&mut self, statement: &Statement) {
        for change in &statement.effects.changes {
            if matches!(
                change,
                Change::Lock(_) | Change::Load | Change::Code(_) | Change::LongStatement | Change::Unknown
            ) {
                self.held.get_or_insert_default().change(change);
            }
        }
    }

    /// `DISCARD ALL` or `DEALLOCATE` is about to be sent. What is noted from now on as sent is not what it takes away.
    pub(crate) fn is_taken_away(&mut self) {
        self.held.get_or_insert_default().behind.get_or_insert_default();
    }

    /// All that was sent has been answered.
    pub(crate) fn settle(&mut self) {
        let Some(held) = &mut self.held else { return };
        if held.behind.take().is_none() {
            return;
        }
        for doubt in &mut held.lasting.doubts {
            if doubt.discarded == Discarded::Before {
                doubt.discarded = Discarded::NotYet;
            }
        }
        self.tidy();
    }

    /// Code was sent that may leave this.
    pub(crate) fn ran(&mut self, traces: Traces) {
        if traces > Traces::None {
            let held = self.held.get_or_insert_default();
            held.change(&Change::Code(traces));
            held.behind.iter_mut().for_each(|behind| behind.code = behind.code.max(traces));
        }
    }

    /// A function is called by its OID. Those of PostgreSQL's own that leave something, or run what they are given, are
    /// in `pg_proc.dat`; of a user's one that number tells nothing.
    pub(crate) fn call(&mut self, function: Option<u32>) {
        const FIRST_OF_USERS: u32 = 16_384;
        let leaves = |oid| {
            matches!(
                oid,
                1599 | 2078 | 2880..=2883 | 2886..=2889 | 2924 | 2927 | 2930 | 3685 | 3689 | 3690 | 6006 | 6007
            ) || oid >= FIRST_OF_USERS
        };
        if function.is_none_or(leaves) {
            self.ran(Traces::Lasting);
        }
    }

    /// A function was sent of which nothing is known. Where too many were, it may have been anything.
    pub(crate) fn doubt(&mut self, function: Name, version: u64, since: Instant) {
        const DOUBTS_MAX: usize = 100;
        let held = self.held.get_or_insert_default();
        let discarded = if held.behind.is_some() { Discarded::Before } else { Discarded::NotYet };
        let lasting = &mut held.lasting;
        lasting.doubts.retain(|doubt| doubt.function != function || doubt.version != version);
        if lasting.doubts.len() == DOUBTS_MAX {
            lasting.code = Traces::Lasting;
        } else {
            // The last call counts: what was read after it was read after all of them.
            lasting.doubts.push(Doubt { function, since, version, discarded });
        }
    }

    /// Whether there are functions in doubt.
    pub(crate) fn doubts(&self) -> bool {
        self.held.as_ref().is_some_and(|held| !held.lasting.doubts.is_empty())
    }

    /// Looks again at the functions in doubt: what is known of them by now.
    pub(crate) fn resolve(&mut self, find: impl Fn(&Doubt) -> Option<Traces>) {
        let Some(held) = &mut self.held else { return };
        let lasting = &mut held.lasting;
        let mut code = lasting.code;
        lasting.doubts.retain(|doubt| match find(doubt) {
            None => true,
            Some(Traces::Discardable) if doubt.discarded == Discarded::Since => false,
            Some(traces) => {
                code = code.max(traces);
                false
            }
        });
        lasting.code = code;
        self.tidy();
    }

    /// A statement that was prepared by protocol lives on the connection under the client's own name.
    pub(crate) fn prepare(&mut self, name: &[u8]) {
        let name: Box<str> = String::from_utf8_lossy(name).into();
        let held = self.held.get_or_insert_default();
        held.behind.iter_mut().for_each(|behind| _ = behind.prepared.insert(name.clone()));
        held.lasting.prepared.insert(name);
    }

    /// It does no more.
    pub(crate) fn deallocate(&mut self, name: &[u8]) {
        let Some(held) = &mut self.held else { return };
        let name = String::from_utf8_lossy(name);
        held.behind.iter_mut().for_each(|behind| _ = behind.prepared.remove(&*name));
        held.lasting.prepared.remove(&*name);
    }

    /// Whether statements live on the connection under the client's own names.
    pub(crate) fn prepares(&self) -> bool {
        self.held.as_ref().is_some_and(|held| !held.lasting.prepared.is_empty())
    }

    /// A statement lives on the connection under the client's own name.
    pub(crate) fn long_statement(&mut self) {
        let held = self.held.get_or_insert_default();
        held.behind.iter_mut().for_each(|behind| behind.long = Known::Maybe);
        held.lasting.long = Known::Maybe;
    }

    /// The transaction committed.
    pub(crate) fn commit(&mut self) {
        let Some(held) = &mut self.held else { return };
        held.start = held.now.clone();
        held.savepoints.clear();
        self.tidy();
    }

    /// The transaction rolled back.
    pub(crate) fn rollback(&mut self) {
        let Some(held) = &mut self.held else { return };
        held.now = held.start.clone();
        held.savepoints.clear();
        self.tidy();
    }

    /// The connection is gone, and all that was on it.
    pub(crate) fn clear(&mut self) {
        // The search path goes along to the next one.
        let path = self.held.take().map_or(Known::Absent, |held| held.path);
        if path == Known::Maybe {
            self.held = Some(Box::new(Held { path, ..Held::default() }));
        }
    }

    fn tidy(&mut self) {
        let spent = |held: &Held| {
            held.reasons().is_empty()
                && held.path == Known::Absent
                && held.savepoints.is_empty()
                && held.behind.is_none()
        };
        self.held.take_if(|held| spent(held));
    }
}

/// How much of a statement was executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// All of it.
    Whole,
    /// Up to a row limit: the rest may follow, or not.
    Begun,
    /// No row came of it. A portal that had come to its end is not run again, and says the same.
    Rowless,
}

impl Part {
    /// What the command tag tells. Of a row limit that was reached there is none.
    pub(crate) fn of(tag: &[u8]) -> Self {
        match tag {
            b"" => Part::Begun,
            b"SELECT 0" => Part::Rowless,
            _ => Part::Whole,
        }
    }
}

impl Held {
    fn reasons(&self) -> Reasons {
        let lasting = &self.lasting;
        let savepoints = self.savepoints.iter().map(|(_, undone)| undone);
        let undone = [&self.now, &self.start].into_iter().chain(savepoints);
        let mut reasons = undone.fold(Reasons::default(), |reasons, undone| undone.reasons(reasons));
        for (pin, there) in [
            (Pin::AdvisoryLock, !lasting.locks.is_empty() || lasting.other_locks == Known::Maybe),
            (Pin::SqlPrepare, !lasting.prepared.is_empty()),
            (Pin::Sequence, lasting.drawn == Known::Maybe),
            (Pin::Load, lasting.library == Known::Maybe),
            (Pin::Function, lasting.code > Traces::None || !lasting.doubts.is_empty()),
            (Pin::LongStatement, lasting.long == Known::Maybe),
            (Pin::Unknown, lasting.unknown == Known::Maybe),
        ] {
            if there {
                reasons = reasons.with(pin);
            }
        }
        reasons
    }

    fn change(&mut self, change: &Change) {
        let (now, lasting) = (&mut self.now, &mut self.lasting);
        match change {
            Change::Temporary(Some(name)) => _ = now.temporary.named.insert(name.clone()),
            Change::Temporary(None) => now.temporary.others = Known::Maybe,
            Change::Creates if self.path == Known::Maybe => now.temporary.others = Known::Maybe,
            Change::Creates | Change::TemporaryForNow => {}
            Change::Searches => self.path = Known::Maybe,
            Change::Drops(names) => names.iter().for_each(|name| self.drop_temporary(name)),
            // What has which name is not known any more.
            Change::Renames if !now.temporary.named.is_empty() => now.temporary.others = Known::Maybe,
            Change::Renames => {}
            Change::Listen(channel) => _ = now.channels.insert(channel.clone()),
            Change::Unlisten(Some(channel)) => _ = now.channels.remove(channel),
            Change::Unlisten(None) => now.channels.clear(),
            Change::HoldCursor(name) => _ = now.cursors.insert(name.clone()),
            Change::Close(name) => self.close(name.as_deref()),
            Change::Lock(Some(key)) => *lasting.locks.entry(key.clone()).or_default() += 1,
            Change::Lock(None) => lasting.other_locks = Known::Maybe,
            Change::Unlock(key) => lasting.unlock(key),
            Change::UnlockAll => {
                lasting.locks.clear();
                lasting.other_locks = Known::Absent;
            }
            Change::Prepare(name) => _ = lasting.prepared.insert(name.clone()),
            Change::DynamicSetting(Some(name)) => {
                if &**name == "search_path" {
                    self.path = Known::Maybe;
                }
                now.settings.insert(name.clone());
            }
            Change::DynamicSetting(None) => {
                self.path = Known::Maybe;
                now.any_setting = Known::Maybe;
            }
            Change::Drawn => lasting.drawn = Known::Maybe,
            Change::Load => lasting.library = Known::Maybe,
            Change::Code(traces) => lasting.code = lasting.code.max(*traces),
            Change::LongStatement => lasting.long = Known::Maybe,
            Change::Unknown => lasting.unknown = Known::Maybe,
        }
    }

    fn drop_temporary(&mut self, dropped: &Dropped) {
        match dropped {
            Dropped::Temporary(name) => _ = self.now.temporary.named.remove(name),
            // Where pg_temp stands elsewhere in the search path, another relation of the name goes first.
            Dropped::Unqualified(name) if self.path == Known::Absent => {
                self.now.temporary.named.remove(name);
            }
            Dropped::Unqualified(_) => {}
        }
    }

    /// A cursor that is closed stays closed, whatever becomes of the transaction.
    fn close(&mut self, name: Option<&str>) {
        let savepoints = self.savepoints.iter_mut().map(|(_, undone)| undone);
        for undone in [&mut self.now, &mut self.start].into_iter().chain(savepoints) {
            match name {
                Some(name) => _ = undone.cursors.remove(name),
                None => undone.cursors.clear(),
            }
        }
    }

    /// `DISCARD ALL`, which runs outside transactions only. It unloads no library, and nobody knows what else it leaves.
    fn discard_all(&mut self) {
        self.now = Undone::default();
        self.start = Undone::default();
        self.savepoints.clear();
        let lasting = &mut self.lasting;
        for doubt in &mut lasting.doubts {
            if doubt.discarded != Discarded::Before {
                doubt.discarded = Discarded::Since;
            }
        }
        let Behind { prepared, code, long } = self.behind.clone().unwrap_or_default();
        self.lasting = Lasting {
            code: if lasting.code == Traces::Lasting { Traces::Lasting } else { code },
            doubts: std::mem::take(&mut lasting.doubts),
            library: lasting.library,
            unknown: lasting.unknown,
            prepared,
            long,
            ..Lasting::default()
        };
    }

    /// `DEALLOCATE` of one statement, or of all.
    fn deallocate(&mut self, name: Option<&str>) {
        let behind = |name: &str| self.behind.as_ref().is_some_and(|behind| behind.prepared.contains(name));
        self.lasting.prepared.retain(|known| name.is_some_and(|name| name != &**known) || behind(known));
    }

    fn release(&mut self, name: &str) {
        if let Some(at) = self.savepoints.iter().rposition(|(savepoint, _)| &**savepoint == name) {
            self.savepoints.truncate(at);
        }
    }

    fn rollback_to(&mut self, name: &str) {
        if let Some(at) = self.savepoints.iter().rposition(|(savepoint, _)| &**savepoint == name) {
            self.now = self.savepoints[at].1.clone();
            self.savepoints.truncate(at + 1);
        }
    }
}

impl Undone {
    fn reasons(&self, mut reasons: Reasons) -> Reasons {
        for (pin, there) in [
            (Pin::Temporary, !self.temporary.named.is_empty() || self.temporary.others == Known::Maybe),
            (Pin::Listen, !self.channels.is_empty()),
            (Pin::HoldCursor, !self.cursors.is_empty()),
            (Pin::DynamicSetting, !self.settings.is_empty() || self.any_setting == Known::Maybe),
        ] {
            if there {
                reasons = reasons.with(pin);
            }
        }
        reasons
    }
}

impl Lasting {
    /// Whether there may be what nobody has told.
    fn may_be_anything(&self) -> bool {
        self.code > Traces::None
            || !self.doubts.is_empty()
            || self.long == Known::Maybe
            || self.unknown == Known::Maybe
    }

    /// What is kept is a bound on what is held: it holds whether the lock was held or not.
    fn unlock(&mut self, key: &LockKey) {
        if let Some(held) = self.locks.get_mut(key) {
            *held -= 1;
            if *held == 0 {
                self.locks.remove(key);
            }
        }
    }
}

#[cfg(test)]
#[path = "pins_tests.rs"]
mod tests;
