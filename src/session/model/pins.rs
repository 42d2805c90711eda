//! The state that a session has on its connection and that cannot be moved to another one.
//!
//! Pure. It follows what completed statements did, by PostgreSQL's rules: what a transaction undoes is kept with the
//! transaction; locks, prepared statements and what code left are not undone. What is kept is
//! never less than what is there. Where it is not known to be gone, it stays, and with it the connection.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use crate::backend::settings::Settings;
use crate::backend::value::Value;
use crate::session::model::ddl::Outcome;
use crate::session::model::revocable::{Known, Reasons, Revocable, Temporary};
use crate::session::model::savepoints::Transactional;
use crate::session::model::spoken::Spoken;
use crate::session::model::undoable::Undoable;
use crate::sql::{Change, Discard, Dropped, Kind, LockKey, Name, Pin, Scope, Statement, Traces, Verdict};

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
    /// What ran of which nothing was known, with what was being read of the catalog then.
    doubts: Vec<Doubt>,
    /// Whether code ran that was gone when the catalog was read. The session is not held by that, but nobody else gets the
    /// connection.
    vanished: Known,
    library: Known,
    long: Known,
    unknown: Known,
}

/// Something that ran before the catalog told what it leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Doubt {
    /// What ran.
    pub what: Doubted,
    /// When.
    pub since: Instant,
    /// How much code had been taken away by then, or replaced: what is read after more of that may be other code.
    pub gone: u64,
    discarded: Discarded,
}

/// What is in doubt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Doubted {
    /// A function of which nothing was known.
    Function(Name),
    /// A text, when anything could run anything.
    Text(Arc<Verdict>),
}

/// What is known by now of something that ran in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resolved {
    /// What it left, by what is there.
    pub traces: Traces,
    /// Whether what it ran may be gone: of what that left nobody knows.
    pub vanished: bool,
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

/// Where the revocable part is.
type Stack = Transactional<Undoable>;

/// What a session has on its connection.
#[derive(Debug, Default)]
pub(crate) struct Pins {
    held: Option<Box<Held>>,
    /// Whether relations without a schema may be temporary ones: the search path named `pg_temp` once.
    path: Known,
    /// What it has said of what no process forgets.
    pub spoken: Spoken,
}

/// Most sessions never have any of it.
#[derive(Debug, Default)]
struct Held {
    lasting: Lasting,
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
        startup.iter().for_each(|(name, _)| pins.spoken.placeholders.speak_of(name));
        pins
    }

    /// A search path was set.
    pub(crate) fn search(&mut self, path: &str) {
        if path.to_ascii_lowercase().contains("pg_temp") {
            self.path = Known::Maybe;
        }
    }

    /// The kinds of state that there are, or will be should the transaction roll back.
    pub(crate) fn reasons(&self, stack: &Stack) -> Reasons {
        // Asked several times for each request, of which few have anything.
        if self.held.is_none() && stack.only().is_some_and(|now| now.pins.is_none()) {
            return Reasons::default();
        }
        let lasting = self.held.as_ref().map_or_else(Reasons::default, |held| held.lasting.reasons());
        let revocable = stack.levels().filter_map(|level| level.pins.as_ref());
        revocable.fold(lasting, |reasons, revocable| revocable.reasons(reasons))
    }

    /// Whether nothing is known of it that another connection would have to be told.
    pub(crate) fn are_none(&self) -> bool {
        self.held.is_none() && self.path == Known::Absent
    }

    /// Whether there may be state that DISCARD ALL leaves.
    pub(crate) fn outlast_discard(&self) -> bool {
        self.held.as_ref().is_some_and(|held| {
            let lasting = &held.lasting;
            lasting.code == Traces::Lasting
                || lasting.vanished == Known::Maybe
                || !lasting.doubts.is_empty()
                || lasting.library == Known::Maybe
                || lasting.unknown == Known::Maybe
        })
    }

    /// Whether notifications are for the client: it listens, or code may have done so in its name.
    pub(crate) fn listens(&self, stack: &Stack) -> bool {
        let asked = |level: &Undoable| level.pins.as_ref().is_some_and(|pins| !pins.channels.is_empty());
        asked(stack.now())
            || asked(stack.at_begin())
            || self.held.as_ref().is_some_and(|held| held.lasting.may_be_anything())
    }

    /// Whether a statement's completion changes anything here.
    pub(crate) fn heed(statement: &Statement) -> bool {
        !statement.effects.changes.is_empty()
    }

    /// A statement completed.
    pub(crate) fn apply(&mut self, stack: &mut Stack, statement: &Statement, part: Part) {
        if part != Part::Rowless {
            self.settings(stack, statement);
        }
        let changes = &statement.effects.changes;
        for change in changes.iter().filter(|change| part == Part::Whole || !change.frees()) {
            self.change(stack, change);
        }
        match &statement.kind {
            Kind::Discard(Discard::All) => {
                // It runs outside transactions only.
                stack.change_for_good(|level| (level.pins, level.shared) = (None, None));
                self.held.iter_mut().for_each(|held| held.discard_all());
            }
            Kind::Discard(Discard::Sequences) => {
                self.held.iter_mut().for_each(|held| held.lasting.drawn = Known::Absent);
            }
            Kind::Discard(Discard::Temp) => lessen(stack, |now| now.temporary = Temporary::default()),
            Kind::Deallocate(name) => {
                self.held.iter_mut().for_each(|held| held.deallocate(name.as_deref()));
            }
            Kind::Reset(None) => lessen(stack, |now| {
                now.settings.retain(|name| matches!(&**name, "role" | "session_authorization"));
            }),
            _ => {}
        }
        self.tidy();
    }

    /// What becomes known about settings again, and search paths that make new relations temporary.
    fn settings(&mut self, stack: &mut Stack, statement: &Statement) {
        for setting in &statement.effects.settings {
            if &*setting.name == "search_path" {
                self.search(&setting.value);
            }
            if setting.scope == Scope::Session {
                lessen(stack, |now| _ = now.settings.remove(&setting.name));
            }
        }
    }

    fn change(&mut self, stack: &mut Stack, change: &Change) {
        match change {
            Change::Temporary(Some(name)) => _ = add(stack).temporary.named.insert(name.clone()),
            Change::Temporary(None) => add(stack).temporary.others = Known::Maybe,
            Change::Creates if self.path == Known::Maybe => add(stack).temporary.others = Known::Maybe,
            Change::Creates | Change::TemporaryForNow | Change::LocalSetting(_) => {}
            Change::Searches => self.path = Known::Maybe,
            Change::Drops(names) => names.iter().for_each(|name| self.drop_temporary(stack, name)),
            Change::Renames => lessen(stack, |now| {
                // What has which name is not known any more.
                if !now.temporary.named.is_empty() {
                    now.temporary.others = Known::Maybe;
                }
            }),
            Change::Listen(channel) => _ = add(stack).channels.insert(channel.clone()),
            Change::Unlisten(channel) => unlisten(stack, channel.as_deref()),
            Change::HoldCursor(name) => _ = add(stack).cursors.insert(name.clone()),
            Change::Close(name) => close(stack, name.as_deref()),
            Change::DynamicSetting(Some(name)) => {
                if &**name == "search_path" {
                    self.path = Known::Maybe;
                }
                add(stack).settings.insert(name.clone());
            }
            Change::DynamicSetting(None) => {
                self.path = Known::Maybe;
                add(stack).any_setting = Known::Maybe;
            }
            lasting => self.change_for_good(lasting),
        }
    }

    /// What no rollback takes back.
    fn change_for_good(&mut self, change: &Change) {
        if matches!(change, Change::Unlock(_) | Change::UnlockAll) && self.held.is_none() {
            return;
        }
        let lasting = &mut self.held.get_or_insert_default().lasting;
        match change {
            Change::Lock(Some(key)) => *lasting.locks.entry(key.clone()).or_default() += 1,
            Change::Lock(None) => lasting.other_locks = Known::Maybe,
            Change::Unlock(key) => lasting.unlock(key),
            Change::UnlockAll => {
                lasting.locks.clear();
                lasting.other_locks = Known::Absent;
            }
            Change::Prepare(name) => _ = lasting.prepared.insert(name.clone()),
            Change::Drawn => lasting.drawn = Known::Maybe,
            Change::Load => lasting.library = Known::Maybe,
            Change::Code(traces) => lasting.code = lasting.code.max(*traces),
            Change::LongStatement => lasting.long = Known::Maybe,
            // Whatever else there will be counts, and is never given up.
            _ => lasting.unknown = Known::Maybe,
        }
    }

    fn drop_temporary(&self, stack: &mut Stack, dropped: &Dropped) {
        match dropped {
            Dropped::Temporary(name) => lessen(stack, |now| _ = now.temporary.named.remove(name)),
            // Where pg_temp stands elsewhere in the search path, another relation of the name goes first.
            Dropped::Unqualified(name) if self.path == Known::Absent => {
                lessen(stack, |now| _ = now.temporary.named.remove(name));
            }
            Dropped::Unqualified(_) => {}
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
                self.change_for_good(change);
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
            self.change_for_good(&Change::Code(traces));
            let held = self.held.get_or_insert_default();
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

    /// Something was sent of which nothing is known. Where too much was, it may have been anything.
    pub(crate) fn doubt(&mut self, what: Doubted, gone: u64, since: Instant) {
        const DOUBTS_MAX: usize = 1_000;
        let held = self.held.get_or_insert_default();
        let discarded = if held.behind.is_some() { Discarded::Before } else { Discarded::NotYet };
        let lasting = &mut held.lasting;
        lasting.doubts.retain(|doubt| doubt.what != what || doubt.gone != gone);
        if lasting.doubts.len() == DOUBTS_MAX {
            lasting.code = Traces::Lasting;
        } else {
            // The last call counts: what was read after it was read after all of them.
            lasting.doubts.push(Doubt { what, since, gone, discarded });
        }
    }

    /// Whether there are functions in doubt.
    pub(crate) fn doubts(&self) -> bool {
        self.held.as_ref().is_some_and(|held| !held.lasting.doubts.is_empty())
    }

    /// Looks again at what is in doubt: what is known of it by now.
    pub(crate) fn resolve(&mut self, find: impl Fn(&Doubt) -> Option<Resolved>) {
        let Some(held) = &mut self.held else { return };
        let lasting = &mut held.lasting;
        let Lasting { code, doubts, vanished, .. } = lasting;
        doubts.retain(|doubt| {
            let Some(found) = find(doubt) else { return true };
            if found.vanished {
                *vanished = Known::Maybe;
            }
            if found.traces != Traces::Discardable || doubt.discarded != Discarded::Since {
                *code = found.traces.max(*code);
            }
            false
        });
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

    /// The connection is gone, and all that was on it. The search path goes along to the next one, and what is listened to by
    /// a shared connection stays.
    pub(crate) fn clear(&mut self, stack: &mut Stack) {
        stack.change_for_good(|level| level.pins = None);
        self.held = None;
    }

    /// What was brought by the transaction in which doubts arose is there, or is gone.
    pub(crate) fn renew_doubts(&mut self, outcome: Outcome, now: Instant) {
        let doubts = self.held.iter_mut().flat_map(|held| &mut held.lasting.doubts);
        for doubt in doubts {
            doubt.since = now;
            if outcome == Outcome::Undone {
                doubt.gone = u64::MAX;
            }
        }
    }

    /// Something ran that may have left anything.
    pub(crate) fn vanish(&mut self) {
        self.held.get_or_insert_default().lasting.vanished = Known::Maybe;
    }

    /// Whether code has run of which nobody knows what it left: the connection is nobody else's.
    pub(crate) fn has_vanished(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.lasting.vanished == Known::Maybe)
    }

    fn tidy(&mut self) {
        let spent = |held: &Held| {
            let lasting = &held.lasting;
            lasting.reasons().is_empty() && lasting.vanished == Known::Absent && held.behind.is_none()
        };
        self.held.take_if(|held| spent(held));
    }
}

/// What there is of the revocable part, to be added to.
fn add(stack: &mut Stack) -> &mut Revocable {
    stack.change().pins()
}

/// Changes what there is of it, if there is any.
fn lessen(stack: &mut Stack, change: impl FnOnce(&mut Revocable)) {
    if stack.now().pins.is_some() {
        stack.change().lessen_pins(change);
    }
}

/// Channels are given up, wherever they are listened to.
fn unlisten(stack: &mut Stack, channel: Option<&str>) {
    lessen(stack, |now| match channel {
        Some(channel) => _ = now.channels.remove(channel),
        None => now.channels.clear(),
    });
    if stack.now().shared.is_some() {
        stack.change().unshares(channel);
    }
}

/// A cursor that is closed stays closed, whatever becomes of the transaction.
fn close(stack: &mut Stack, name: Option<&str>) {
    stack.change_for_good(|level| {
        level.lessen_pins(|pins| match name {
            Some(name) => _ = pins.cursors.remove(name),
            None => pins.cursors.clear(),
        });
    });
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
    /// `DISCARD ALL`. It unloads no library, and nobody knows what else it leaves.
    fn discard_all(&mut self) {
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
            vanished: lasting.vanished,
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
}

impl Lasting {
    fn reasons(&self) -> Reasons {
        let mut reasons = Reasons::default();
        for (pin, there) in [
            (Pin::AdvisoryLock, !self.locks.is_empty() || self.other_locks == Known::Maybe),
            (Pin::SqlPrepare, !self.prepared.is_empty()),
            (Pin::Sequence, self.drawn == Known::Maybe),
            (Pin::Load, self.library == Known::Maybe),
            (Pin::Function, self.code > Traces::None || !self.doubts.is_empty()),
            (Pin::LongStatement, self.long == Known::Maybe),
            (Pin::Unknown, self.unknown == Known::Maybe),
        ] {
            if there {
                reasons = reasons.with(pin);
            }
        }
        reasons
    }

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
