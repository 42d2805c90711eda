//! What a client owns, put together: statements, settings, transaction, pins, and what completed statements do to them.
//!
//! It goes along from connection to connection. Pure.

use std::borrow::Cow;
use std::sync::{Arc, Weak};

use bytes::{Bytes, BytesMut};

use crate::backend::Key;
use crate::backend::settings::Settings;
use crate::backend::value::Value;
use crate::session::consistency::pending_writes::PendingWrites;
use crate::session::model::ddl::Definitions;
use crate::session::model::pins::{Part, Pins};
use crate::session::model::restore::{AUTHORIZATION, IDENTITY, ROLE};
use crate::session::model::revocable::Reasons;
use crate::session::model::settings::SessionSettings;
use crate::session::model::settings::plain;
use crate::session::model::shown::Shown;
use crate::session::model::statement::{ReadBy, Reading, fetches};
use crate::session::model::statements::{Handle, Names, Naming, Unnamed};
use crate::session::model::undoable::{Channels, Undoable, channel_name};
use crate::session::model::unsettable::Unsettable;
use crate::session::model::weir_settings;
use crate::session::relay::kept::{Keeps, Said};
use crate::session::relay::message::{Message, MessageKind};
use crate::session::relay::pending_reply::{PendingParse, PendingReply};
use crate::session::relay::replay_buffer::ReplayBuffer;
use crate::session::shared::databases::Database;
use crate::session::shared::processes::Processes;
use crate::session::shared::spans::OpenSpans;
use crate::session::shared::statements::Statements;
use crate::session::shared::subscriptions::Listening;
use crate::session::transaction::carried::Carried;
use crate::session::transaction::journal::Ran;
use crate::session::transaction::{Certainty, Event, Reaction, Transaction};
use crate::sql::{Brings, CursorUse, Dependency, Discard, Kind, Pin, Scope, Setting, Statement, Verdict};

/// Whether a request was cancelled because it took too long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Due {
    /// It was not.
    #[default]
    InTime,
    /// It was.
    Overdue,
}

/// How far a session's requests are.
#[derive(Default)]
pub(crate) struct Requests {
    /// How many have been answered so far.
    pub answered: u64,
    /// Whether what runs was cancelled because it took too long.
    pub due: Due,
    /// What is told of them, where they are traced.
    pub spans: Option<Box<OpenSpans>>,
}

/// What is refused to a session.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    /// Statements of the request under way that the user's policy refuses, and why.
    pub statements: Vec<(Arc<Verdict>, Pin)>,
    /// Settings of its own that servers refuse, if there are any: hardly ever.
    pub settings: Option<Box<Unsettable>>,
}

/// What a session has drawn from sequences.
#[derive(Debug)]
pub(crate) struct Drawn {
    /// Tells this session's draws from all others'.
    pub by: u64,
    /// The connection on which it may have drawn.
    pub on: Weak<Key>,
}

/// A session's own state.
pub(crate) struct State {
    /// Which processes are clients.
    pub processes: Processes,
    /// What it has drawn from sequences.
    pub drawn: Drawn,
    /// Statements and portals.
    pub names: Names,
    /// The transaction, and what follows it: settings, and some of what pins.
    pub transaction: Transaction,
    /// What is said of weir's own.
    pub shown: Shown,
    /// What keeps the session on its connection.
    pub pins: Pins,
    /// What is refused to it.
    pub refusals: Refusals,
    /// What is kept for running again.
    pub replay_buffer: ReplayBuffer,
    /// SQLSTATE of the last error the client was sent, until it is counted.
    pub last_error: Option<String>,
    /// What may have been written and is not marked for good.
    pub pending_writes: PendingWrites,
    /// What was done to definitions.
    pub definitions: Definitions,
    /// How far its requests are.
    pub requests: Requests,
    /// How it listens, where it has no connection for that.
    pub listening: Option<Box<Listening>>,
    statements: Arc<Statements>,
    database: Arc<Database>,
}

impl State {
    /// A session that begins with these settings.
    pub(crate) fn new(
        startup: Settings,
        statements: Arc<Statements>,
        database: Arc<Database>,
        processes: Processes,
    ) -> Self {
        Self {
            processes,
            drawn: Drawn { by: statements.stamp().0, on: Weak::new() },
            names: Names::default(),
            transaction: Transaction::new(&startup),
            shown: Shown::default(),
            pins: Pins::of(&startup),
            refusals: Refusals::default(),
            replay_buffer: ReplayBuffer::default(),
            last_error: None,
            pending_writes: PendingWrites::default(),
            definitions: Definitions::default(),
            requests: Requests::default(),
            listening: None,
            statements,
            database,
        }
    }

    /// Definitions changed, or a plan turned out to be stale: what is prepared from now on is of another epoch.
    pub(crate) fn outdate_statements(&self) {
        self.database.changed(self.statements.stamp());
    }

    /// What a session that is over goes on with: nothing.
    pub(crate) fn successor(&self) -> Self {
        let (statements, database) = (self.statements.clone(), self.database.clone());
        Self::new(Settings::default(), statements, database, self.processes.successor())
    }

    /// All shared statements.
    pub(crate) fn statements(&self) -> &Arc<Statements> {
        &self.statements
    }

    /// A server has accepted the session on this database.
    pub(crate) fn enters(&mut self, database: Arc<Database>) {
        self.database = database;
    }

    /// What happens to the transaction happens to what its connection carries.
    pub(crate) fn on(&mut self, event: Event<'_>, carried: &mut Carried) {
        if let Reaction::Controls(control) = self.transaction.on(event) {
            carried.follow(control);
        }
    }

    /// Settings as the client wants them.
    pub(crate) fn settings(&self) -> &SessionSettings {
        &self.transaction.undoable().now().settings
    }

    /// A client's hold on a statement with this text, parsed now.
    pub(crate) fn handle(&mut self, sql: &[u8], types: &[u8], verdict: &Arc<Verdict>) -> Handle {
        let wanted = self.settings().wanted();
        let (reading, under) = match self.transaction.certainty() {
            // It is shared with nobody. By what it is read is known when it has been.
            Certainty::Uncertain => (Reading::Private(self.statements.stamp().0), None),
            // What it returns is looked up when it is prepared, and is that of the cursor of this moment.
            Certainty::Certain if fetches(verdict) => {
                (Reading::Private(self.statements.stamp().0), Some(wanted.id()))
            }
            Certainty::Certain => (Reading::By(ReadBy::under(wanted, sql)), Some(wanted.id())),
        };
        let statement = self.statements.intern(sql, types, verdict, reading);
        if under.is_some() {
            statement.is_prepared_under(wanted);
        }
        if self.names.reopened(statement.id) {
            statement.renew(self.statements.stamp());
        }
        let epoch = statement.epoch(self.database.ddl());
        let order = self.names.next_order();
        Handle { under, ..Handle::new(statement, epoch, order) }
    }

    /// The number of the settings under which a request runs, where they are known.
    pub(crate) fn executes_under(&self) -> Option<u64> {
        let certain = self.transaction.certainty() == Certainty::Certain;
        certain.then(|| self.settings().wanted().id())
    }

    /// A statement that was parsed while settings were changing has been prepared.
    pub(crate) fn has_prepared(&self, name: &[u8]) {
        if self.transaction.certainty() == Certainty::Certain {
            return;
        }
        if let Some(handle) = self.names.get(name).filter(|handle| handle.under.is_none()) {
            handle.statement.is_prepared_under(&self.settings().read_by());
        }
    }

    /// The client's statement of this name is about to be used under the settings of now. It stays what it was when it was
    /// prepared, but a server may read it once more.
    pub(crate) fn uses(&mut self, name: &[u8]) {
        if self.transaction.certainty() == Certainty::Uncertain {
            return;
        }
        let wanted = self.settings().wanted().clone();
        let Some(handle) = self.names.get_mut(name) else { return };
        handle.under = Some(wanted.id());
        let before = &handle.statement;
        let reading = before.reading.executed_under(ReadBy::under(&wanted, &before.sql));
        if reading != before.reading {
            let same = self.statements.intern(&before.sql, &before.types, &before.verdict, reading);
            same.is_prepared_as(before);
            handle.statement = same;
        }
    }

    /// What the session was given at its login it wants by itself from now on. Its statements are read by that: those of
    /// others who were given something else must not be taken for them.
    pub(crate) fn rereads(&mut self, rest: impl Fn(&Settings) -> Settings) {
        for handle in self.names.all_mut() {
            let before = &handle.statement;
            if let Some((reading, settings)) = before.resting_on(&rest) {
                let same = self.statements.intern(&before.sql, &before.types, &before.verdict, reading);
                same.is_prepared_under(&settings);
                handle.statement = same;
            }
        }
    }

    /// The settings that a connection has to carry before anything is said on it: where it is still to be told of the
    /// transaction, those in front of that.
    pub(crate) fn wanted_at_first(&self) -> Cow<'_, Settings> {
        self.attainable(self.all_wanted_at_first())
    }

    /// The same, with what no connection can be given.
    pub(crate) fn all_wanted_at_first(&self) -> &Settings {
        let undoable = self.transaction.undoable();
        let level = if self.transaction.is_promised() { undoable.at_begin() } else { undoable.now() };
        level.settings.wanted()
    }

    /// What the client wants now, but for what no connection can be given.
    pub(crate) fn wanted(&self) -> Cow<'_, Settings> {
        self.attainable(self.settings().wanted())
    }

    /// What RESET goes back to, but for what no connection can be given.
    pub(crate) fn startup(&self) -> Cow<'_, Settings> {
        self.attainable(self.settings().startup())
    }

    /// What of these settings a connection can be given.
    pub(crate) fn attainable<'a>(&self, settings: &'a Settings) -> Cow<'a, Settings> {
        match &self.refusals.settings {
            None => Cow::Borrowed(settings),
            Some(unsettable) => unsettable.attainable(settings),
        }
    }

    /// A server has refused one of the settings that it was told.
    pub(crate) fn suspects_settings(&mut self) {
        self.refusals.settings = Some(Box::new(Unsettable::Suspected));
    }

    /// Why the session needs its connection, or will should the transaction roll back.
    pub(crate) fn pins(&self) -> Reasons {
        self.pins.reasons(self.transaction.undoable())
    }

    /// Why a statement is refused, if it is.
    pub(crate) fn refusal(&self, verdict: &Arc<Verdict>) -> Option<Pin> {
        self.refusals
            .statements
            .iter()
            .find(|(refused, _)| Arc::ptr_eq(refused, verdict))
            .map(|(_, pin)| *pin)
    }

    /// Whether all of it can be told to another weir: nothing is under way, and nothing of it is on a connection.
    pub(crate) fn is_portable(&self) -> bool {
        let undoable = self.transaction.undoable();
        let is_plain = |level: &Undoable| level.pins.is_none() && level.shared.is_none();
        self.transaction.is_over()
            && self.pins.are_none()
            && undoable.levels().count() == 1
            && is_plain(undoable.now())
            && !undoable.now().settings.are_local()
            && self.refusals.settings.is_none()
            && self.listening.is_none()
            && self.pending_writes.is_clean()
            && !self.names.are_moving()
            && self.names.all().all(|(_, handle)| handle.is_weirs() && !handle.statement.is_private())
            && self.names.unnamed.as_ref().is_none_or(|unnamed| unnamed.sql.is_some())
    }

    /// What the sessions of this database share.
    pub(crate) fn database(&self) -> &Arc<Database> {
        &self.database
    }

    /// Whether a statement's completion changes the session.
    pub(crate) fn matters(verdict: &Verdict) -> bool {
        verdict.statements.iter().any(|statement| {
            let by_kind = match statement.kind {
                Kind::Primary(_) => {
                    statement.brings != Brings::Nothing
                        || matches!(statement.depends_on, Dependency::Client(..))
                }
                Kind::Read | Kind::Show(_) | Kind::Cursor(CursorUse::Fetch(_)) => false,
                _ => true,
            };
            by_kind
                || Pins::heed(statement)
                || !statement.effects.settings.is_empty()
                || weir_settings::shown(statement).is_some()
        })
    }

    /// A statement completed with this command tag.
    pub(crate) fn apply(
        &mut self,
        statement: &Statement,
        tag: &[u8],
        pending: &PendingReply,
        carried: &mut Carried,
    ) {
        let part = Part::of(tag);
        for setting in statement.effects.settings.iter().filter(|_| part != Part::Rowless) {
            match setting.scope {
                Scope::Session => self.set(setting, &statement.kind, carried),
                Scope::Local => {
                    self.change_settings().set_local(&setting.name, weir_settings::value_of(setting));
                }
            }
        }
        if !pending.frees(statement) {
            self.pins.apply(self.transaction.undoable_mut(), statement, part);
            self.shares(statement);
        }
        match &statement.kind {
            Kind::Reset(Some(name)) => self.reset(name, carried),
            Kind::Reset(None) => self.reset_all(&IDENTITY, carried),
            Kind::Discard(Discard::All) => {
                self.reset_all(&[], carried);
                self.drawn.by = self.statements.stamp().0;
            }
            Kind::Discard(Discard::Sequences) => self.drawn.by = self.statements.stamp().0,
            _ => {}
        }
        self.on(Event::Completed(statement, tag), carried);
    }

    /// What a statement listens to and its session has by a feed needs no connection.
    fn shares(&mut self, statement: &Statement) {
        let Some(listening) = &self.listening else { return };
        for channel in statement.effects.listens() {
            let channel = channel_name(channel);
            if listening.has(channel) {
                self.transaction.undoable_mut().change().shares(channel);
            }
        }
    }

    /// The channels to which the session listens by a feed, as things stand in its transaction.
    pub(crate) fn shared_channels(&self) -> Option<&Channels> {
        self.transaction.undoable().now().shared.as_deref()
    }

    /// Whether what is sent to a channel comes by the shared connection.
    pub(crate) fn hears_elsewhere(&self, channel: &[u8]) -> bool {
        let undoable = self.transaction.undoable();
        let levels = [undoable.now(), undoable.at_begin()];
        let mut shared = levels.into_iter().filter_map(|level| level.shared.as_deref()).flatten();
        shared.any(|one| one.as_bytes() == channel)
    }

    fn change_settings(&mut self) -> &mut SessionSettings {
        &mut self.transaction.undoable_mut().change().settings
    }

    /// A request failed: what no rollback takes back may be there all the same.
    pub(crate) fn survives(&mut self, pending: &PendingReply) {
        let Some(verdict) = pending.verdict() else { return };
        verdict.statements.iter().for_each(|statement| self.pins.fail(statement));
    }

    fn set(&mut self, setting: &Setting, by: &Kind, carried: &mut Carried) {
        let (name, value) = (&*setting.name, &*setting.value);
        let is_reset = value.eq_ignore_ascii_case("default");
        if name == AUTHORIZATION {
            match is_reset {
                true => self.change_settings().reset(ROLE),
                false => self.change_settings().forget(ROLE),
            }
            carried.reset(ROLE);
        }
        if is_reset {
            return self.reset(name, carried);
        }
        let value = Value::Sql(value.into());
        // set_config takes a value as it is, and SET may spell it otherwise.
        let by_name = matches!(by, Kind::Set | Kind::SetWeir(..) | Kind::SetTransaction(..));
        let value = if by_name { value } else { Value::Raw(plain(&value).into()) };
        self.change_settings().set(name, value.clone());
        carried.set(name, value);
    }

    fn reset(&mut self, name: &str, carried: &mut Carried) {
        self.change_settings().reset(name);
        carried.reset(name);
    }

    fn reset_all(&mut self, keep: &[&str], carried: &mut Carried) {
        self.change_settings().reset_all(keep);
        carried.reset_all(keep);
    }

    /// What weir answers to a message about a statement that controls a transaction of which no server knows, and what is to
    /// be done when that has its turn. None where the message is about another.
    pub(crate) fn keeps(
        &mut self,
        keeps: Keeps,
        message: &Message,
        bytes: &[u8],
    ) -> Option<(Said, PendingReply)> {
        if keeps == Keeps::Nothing {
            return None;
        }
        let is_control = |verdict: &&Arc<Verdict>| match (&*verdict.statements, keeps) {
            ([one], Keeps::Begin) => matches!(one.kind, Kind::Begin(_)),
            ([one], Keeps::Controls | Keeps::All) => !one.tag.is_empty(),
            _ => false,
        };
        match message.kind {
            MessageKind::Query { .. } => {
                let verdict = message.verdict.as_ref().filter(is_control)?.clone();
                (self.names.unnamed, self.names.unnamed_portal) = (None, None);
                Some((self.completes(&verdict), PendingReply::Kept(verdict)))
            }
            MessageKind::Parse { name, sql, types } => {
                let verdict = message.verdict.as_ref().filter(is_control)?.clone();
                let (sql, types) = (sql.of(bytes), types.of(bytes));
                let pending = match name.of(bytes) {
                    b"" => {
                        let serial = self.statements.stamp().0;
                        let (sql, types) = (Some(Bytes::copy_from_slice(sql)), Bytes::copy_from_slice(types));
                        let before = self.names.unnamed.replace(Unnamed::new(serial, sql, types, verdict));
                        PendingReply::ParsedUnnamed(serial, before.map(Box::new))
                    }
                    name => {
                        let handle = self.handle(sql, types, &verdict);
                        self.names.insert(name, handle);
                        PendingReply::Parsed(Box::new(PendingParse { name: name.into(), sent: None }))
                    }
                };
                Some((Said::ParseComplete, pending))
            }
            MessageKind::Bind { portal, statement } => {
                let verdict = self.verdict_of(statement.of(bytes)).filter(is_control)?.clone();
                let before = self.names.bind(portal.of(bytes), Some(verdict));
                Some((Said::BindComplete, PendingReply::Bound(portal.of(bytes).into(), before)))
            }
            MessageKind::DescribeStatement { name } => {
                self.verdict_of(name.of(bytes)).filter(is_control)?;
                Some((Said::NothingAtAll, PendingReply::None))
            }
            MessageKind::DescribePortal { name } => {
                self.names.portal(name.of(bytes)).filter(is_control)?;
                Some((Said::NoRows, PendingReply::None))
            }
            MessageKind::Execute { portal, .. } => {
                let verdict = self.names.portal(portal.of(bytes)).filter(is_control)?.clone();
                Some((self.completes(&verdict), PendingReply::Kept(verdict)))
            }
            _ => None,
        }
    }

    fn verdict_of(&self, name: &[u8]) -> Option<&Arc<Verdict>> {
        match name {
            b"" => self.names.unnamed.as_ref().map(|unnamed| &unnamed.verdict),
            name => self.names.get(name).map(|handle| &handle.statement.verdict),
        }
    }

    fn completes(&self, verdict: &Verdict) -> Said {
        let ends = |statement: &Statement| matches!(statement.kind, Kind::Commit { .. });
        let failed = self.transaction.has_failed();
        match &*verdict.statements {
            [statement] if failed && ends(statement) => Said::Completed("ROLLBACK"),
            [statement] => Said::Completed(statement.tag),
            _ => Said::Completed(""),
        }
    }

    /// A statement has completed that another connection may have to be told of, or that opened or closed a cursor.
    pub(crate) fn enters_journal(&mut self, verdict: &Verdict, nth: usize) {
        let Some(journal) = self.transaction.journal_mut() else { return };
        let Some(statement) = verdict.statements.get(nth) else { return };
        match &statement.kind {
            Kind::Cursor(CursorUse::Declare(name)) if journal.ran == Ran::Replica => {
                journal.opens(name.as_bytes(), Some(verdict.skeleton));
            }
            Kind::Cursor(CursorUse::Close(name)) => journal.closes(name.as_deref().map(str::as_bytes)),
            _ => {}
        }
        let last = nth + 1 == verdict.statements.len();
        if last && verdict.statements.iter().any(Statement::sets) {
            journal.completes();
        }
    }

    /// What weir has answered has its turn.
    pub(crate) fn kept(&mut self, verdict: &Verdict) {
        for statement in &verdict.statements {
            self.transaction.on(Event::Kept(statement));
        }
    }

    /// Undoes what a request did to the names, latest first.
    pub(crate) fn undo(&mut self, replies: impl DoubleEndedIterator<Item = PendingReply>) {
        for pending in replies.rev() {
            match pending {
                PendingReply::Parsed(parsed) => {
                    self.names.remove(&parsed.name);
                }
                PendingReply::Closed(closed) => {
                    let (name, handle) = *closed;
                    if handle.naming == Naming::Clients {
                        self.pins.prepare(&name);
                    }
                    self.names.insert(&name, handle);
                }
                PendingReply::ParsedUnnamed(serial, before) => {
                    self.names.skipped(serial, before.map(|before| *before))
                }
                PendingReply::Publishes(name, _) => {
                    self.pins.deallocate(&name);
                    if let Some(handle) = self.names.get_mut(&name) {
                        handle.naming = Naming::Weirs;
                    }
                }
                PendingReply::Bound(portal, before) => {
                    self.names.bind(&portal, before);
                }
                PendingReply::Frees(freed) => {
                    freed.names.into_iter().for_each(|(name, handle)| self.names.take_back(name, handle))
                }
                _ => {}
            }
        }
    }

    /// The requests in the replay buffer, to be run again as if they had never been run.
    pub(crate) fn take_replay(&mut self) -> BytesMut {
        // Nothing of it is on a connection any more.
        self.transaction.on(Event::Requeued);
        let done = std::mem::take(&mut self.replay_buffer.done);
        self.undo(done.into_iter());
        let bytes = std::mem::take(&mut self.replay_buffer.bytes);
        self.replay_buffer.clear();
        bytes
    }
}
