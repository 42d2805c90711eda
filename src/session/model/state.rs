//! What a session is, apart from its sockets: names, settings, pins, and what completed statements did to them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use bytes::BytesMut;

use crate::backend::ledger::Action;
use crate::backend::notifiers::Notifiers;
use crate::backend::prepared::{Prepared, ServerName, Stamp};
use crate::backend::settings::{NAME, Settings, Value};
use crate::backend::{Key, refusal};
use crate::cluster::topology::ServerId;
use crate::error::Error;
use crate::freshness::Marks;
use crate::router::Learned;
use crate::session::Batch;
use crate::session::consistency::pending_writes::PendingWrites;
use crate::session::flow::routing_settings::plain;
use crate::session::flow::show::Shown;
use crate::session::leg::restore::{IDENTITY, restores as restores_of};
use crate::session::leg::sender::NO_STATEMENT;
use crate::session::model::ddl::Definitions;
use crate::session::model::pins::{Part, Pins};
use crate::session::model::settings::SessionSettings;
use crate::session::model::statements::{KnownResult, Names, Naming, Statements};
use crate::session::model::weir_settings as own;
use crate::session::relay::client_buffer::Answer;
use crate::session::relay::pending_reply::PendingReply;
use crate::session::relay::replay_buffer::ReplayBuffer;
use crate::session::relay::responses::{Completion, OnError, Watcher};
use crate::session::relay::server_errors::{fingerprint, is_stale_plan, primary_may_differ, renamed};
use crate::sql::{Discard, Kind, Pin, Scope, Statement, Verdict};
use crate::wire::frame::cstr;
use crate::wire::reply::outdated;
use crate::wire::{HEADER, TxStatus, scan};

/// What PostgreSQL says of a statement that took too long; a server that was asked to cancel one speaks of its user.
const TIMED_OUT: &[u8] = b"canceling statement due to statement timeout";

/// Settings that a client can change and a server reports (manual: "Asynchronous Operations").
const REPORTED: [&str; 8] = [
    "application_name",
    "client_encoding",
    "datestyle",
    "default_transaction_read_only",
    "intervalstyle",
    "search_path",
    "standard_conforming_strings",
    "timezone",
];

/// What all sessions of one database share.
pub(crate) struct Database {
    ddl: AtomicU64,
    /// Shapes that a replica refused.
    pub learned: Learned,
    /// When its relations were last written.
    pub marks: Marks,
    /// Whether its sessions ask for values that they have drawn from sequences.
    pub asks_drawn: AtomicBool,
}

impl Database {
    /// Nothing has changed since `epoch`.
    pub(crate) fn new(learned: Learned, epoch: Instant) -> Self {
        Self { ddl: AtomicU64::new(0), learned, marks: Marks::new(epoch), asks_drawn: AtomicBool::new(false) }
    }

    /// Preparations older than this may be stale.
    pub(crate) fn ddl(&self) -> Stamp {
        Stamp(self.ddl.load(Ordering::Acquire))
    }

    /// A definition changed, or a plan turned out to be stale.
    pub(crate) fn changed(&self, stamp: Stamp) {
        self.ddl.fetch_max(stamp.0, Ordering::AcqRel);
    }
}

/// Whether something went wrong since the last ReadyForQuery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Fine,
    Failed,
}

/// Whether a request was cancelled because it took too long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Due {
    /// It was not.
    #[default]
    InTime,
    /// It was.
    Overdue,
}

/// Whether something that was sent may have drawn from a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SequenceUse {
    Not,
    Perhaps,
    /// By its own words.
    Surely,
}

/// Whose statement a change of `application_name` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NamedBy {
    /// The client's, if anybody's.
    Client,
    /// One that weir put into the client's batch.
    Weir,
}

/// A session's own state.
pub(crate) struct State {
    /// The process ID that its client was given.
    pub pid: i32,
    /// The server of its connection, now or last.
    pub server: Option<ServerId>,
    /// Who may have sent a notification.
    pub notifiers: Arc<Notifiers>,
    /// Tells this session's draws from sequences from all others'.
    pub draws: u64,
    /// Whether it may have drawn since it got its connection.
    pub drew: SequenceUse,
    /// The connection on which it may have drawn.
    pub drew_on: Weak<Key>,
    /// Statements and portals.
    pub names: Names,
    /// Settings.
    pub settings: SessionSettings,
    /// What is said of weir's own.
    pub shown: Shown,
    /// What keeps the session on its connection.
    pub pins: Pins,
    /// Statements of the request under way that the user's policy refuses, and why.
    pub refusals: Vec<(Arc<Verdict>, Pin)>,
    /// What is kept for running again.
    pub replay_buffer: ReplayBuffer,
    /// What the server said before it went away.
    pub ending: Option<Error>,
    /// The server refused settings that weir put in front of a request.
    pub refused: Option<Error>,
    /// Who changes the connection's name in what is in flight.
    pub naming: NamedBy,
    /// Changes of settings that weir put in and no server has confirmed yet.
    pub unconfirmed: usize,
    /// Which error made the session decide to run a request again.
    pub rerun_cause: Option<String>,
    /// SQLSTATE of the last error the client was sent, until it is counted.
    pub last_error: Option<String>,
    /// What may have been written and is not marked for good.
    pub pending_writes: PendingWrites,
    /// What was done to definitions.
    pub definitions: Definitions,
    /// What the client was told of its settings in the transaction under way.
    pub reported: Vec<(&'static str, Box<str>)>,
    /// Requests answered so far.
    pub answered: u64,
    /// Whether what runs was cancelled because it took too long.
    pub due: Due,
    outcome: Outcome,
    statements: Arc<Statements>,
    database: Arc<Database>,
}

impl State {
    /// A session that begins with these settings.
    pub(crate) fn new(
        startup: Settings,
        statements: Arc<Statements>,
        database: Arc<Database>,
        notifiers: Arc<Notifiers>,
    ) -> Self {
        Self {
            pid: 0,
            server: None,
            notifiers,
            draws: statements.stamp().0,
            drew: SequenceUse::Not,
            drew_on: Weak::new(),
            names: Names::default(),
            settings: SessionSettings::new(&startup),
            shown: Shown::default(),
            pins: Pins::of(&startup),
            refusals: Vec::new(),
            replay_buffer: ReplayBuffer::default(),
            ending: None,
            refused: None,
            naming: NamedBy::Client,
            unconfirmed: 0,
            rerun_cause: None,
            last_error: None,
            pending_writes: PendingWrites::default(),
            definitions: Definitions::default(),
            reported: Vec::new(),
            answered: 0,
            due: Due::default(),
            outcome: Outcome::Fine,
            statements,
            database,
        }
    }

    /// All shared statements.
    pub(crate) fn statements(&self) -> &Arc<Statements> {
        &self.statements
    }

    /// A server has accepted the session on this database.
    pub(crate) fn enters(&mut self, database: Arc<Database>) {
        self.database = database;
    }

    /// Why a statement is refused, if it is.
    pub(crate) fn refusal(&self, verdict: &Arc<Verdict>) -> Option<Pin> {
        self.refusals.iter().find(|(refused, _)| Arc::ptr_eq(refused, verdict)).map(|(_, pin)| *pin)
    }

    /// What the sessions of this database share.
    pub(crate) fn database(&self) -> &Arc<Database> {
        &self.database
    }

    /// Whether a statement's completion changes the session.
    pub(crate) fn matters(verdict: &Verdict) -> bool {
        verdict.statements.iter().any(|statement| {
            !matches!(statement.kind, Kind::Read | Kind::Primary(_) | Kind::Show(_) | Kind::Cursor)
                || Pins::heed(statement)
                || !statement.effects.settings.is_empty()
                || own::shown(statement).is_some()
        })
    }

    /// A statement completed with this command tag.
    fn apply(&mut self, statement: &Statement, tag: &[u8], note: &PendingReply) {
        let part = Part::of(tag);
        for setting in statement.effects.settings.iter().filter(|_| part != Part::Rowless) {
            match setting.scope {
                Scope::Session => self.set(&setting.name, &setting.value, &statement.kind),
                Scope::Local => self.settings.set_local(&setting.name, own::value_of(setting)),
            }
        }
        if !note.frees(statement) {
            self.pins.apply(statement, part);
        }
        match &statement.kind {
            Kind::Reset(Some(name)) => self.settings.reset(name),
            Kind::Reset(None) => self.settings.reset_all(&IDENTITY),
            Kind::Discard(Discard::All) => {
                self.settings.reset_all(&[]);
                self.draws = self.statements.stamp().0;
                // It runs in no transaction, so that nothing behind it in a batch takes it back.
                self.committed();
            }
            Kind::Discard(Discard::Sequences) => self.draws = self.statements.stamp().0,
            Kind::Commit { .. } if tag == b"ROLLBACK" => self.rolled_back(),
            Kind::Commit { .. } => self.committed(),
            Kind::Rollback { .. } => self.rolled_back(),
            Kind::Savepoint(name) => self.settings.savepoint(name),
            Kind::Release(name) => self.settings.release(name),
            Kind::RollbackTo(name) => self.settings.rollback_to(name),
            _ => {}
        }
    }

    fn committed(&mut self) {
        self.settings.commit();
        self.pins.commit();
    }

    /// The transaction rolled back.
    pub(crate) fn rolled_back(&mut self) {
        self.settings.rollback();
        self.pins.rollback();
    }

    /// A request failed: what no rollback takes back may be there all the same.
    fn survives(&mut self, note: &PendingReply) {
        let Some(verdict) = note.verdict() else { return };
        verdict.statements.iter().for_each(|statement| self.pins.fail(statement));
    }

    fn set(&mut self, name: &str, value: &str, by: &Kind) {
        if name == "session_authorization" {
            // It undoes SET ROLE.
            self.settings.forget("role");
        }
        if value.eq_ignore_ascii_case("default") {
            self.settings.reset(name);
        } else {
            let value = Value::Sql(value.into());
            // set_config takes a value as it is, and SET may spell it otherwise.
            let by_name = matches!(by, Kind::Set | Kind::SetWeir(..) | Kind::SetTransaction(..));
            self.settings.set(name, if by_name { value } else { Value::Raw(plain(&value).into()) });
        }
    }

    /// Undoes what a request did to the names, latest first.
    fn undo(&mut self, notes: impl DoubleEndedIterator<Item = PendingReply>) {
        for note in notes.rev() {
            match note {
                PendingReply::Parsed(parsed) => {
                    self.names.remove(&parsed.name);
                }
                PendingReply::Closed(name, handle) => {
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

    /// The retained requests, to be run again as if they had never been run.
    pub(crate) fn take_replay(&mut self) -> BytesMut {
        self.outcome = Outcome::Fine;
        let done = std::mem::take(&mut self.replay_buffer.done);
        self.undo(done.into_iter());
        let bytes = std::mem::take(&mut self.replay_buffer.bytes);
        self.replay_buffer.clear();
        bytes
    }
}

/// Hears a leased connection's replies on behalf of the session.
pub(crate) struct Observer<'a> {
    /// The session.
    pub state: &'a mut State,
    /// The connection's statements.
    pub prepared: &'a mut Prepared,
    /// The connection's unnamed statement.
    pub unnamed: &'a mut Option<u64>,
    /// What may be run again, and after which errors.
    pub retry: Retry,
}

/// Whether an error's request may be run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retry {
    /// It may not.
    Never,
    /// It ran on a replica, outside a transaction, and nothing of its answer is out.
    OnPrimary,
    /// It ran outside a transaction with a statement whose plan may be stale; nothing of its answer is out.
    StalePlan,
}

impl Observer<'_> {
    /// An error that speaks of a statement by weir's name for it, with the client's name instead.
    fn in_clients_words(&self, frame: &[u8]) -> Option<Vec<u8>> {
        const QUOTED: &[u8] = b"\"weir_";
        let start = frame.windows(QUOTED.len()).position(|window| window == QUOTED)? + 1;
        let len = frame[start..].iter().position(|byte| *byte == b'"')?;
        let name = &frame[start..start + len];
        let id = ServerName::statement(name)?;
        Some(renamed(frame, name, self.state.names.name_of(id)?))
    }

    /// These preparations did not happen.
    fn unprepare(&mut self, notes: &[PendingReply]) {
        for note in notes {
            match note {
                PendingReply::Prepares(preparation, stamp) => self.prepared.forget(*preparation, *stamp),
                PendingReply::Parsed(parsed) => {
                    if let Some((preparation, stamp)) = parsed.sent {
                        self.prepared.forget(preparation, stamp);
                    }
                }
                PendingReply::Retires(name) => self.prepared.retire(*name),
                PendingReply::Frees(freed) => freed.held.iter().for_each(|name| self.prepared.retire(*name)),
                PendingReply::ParsedUnnamed(..) | PendingReply::RestoresUnnamed => *self.unnamed = None,
                _ => {}
            }
        }
    }
}

impl Watcher for Observer<'_> {
    fn completed(&mut self, tag: &[u8], note: &PendingReply, nth: usize) -> Completion {
        self.state.pending_writes.completed(tag);
        if self.state.definitions.completed(tag).outdates_statements() {
            let stamp = self.state.statements.stamp();
            self.state.database.changed(stamp);
        }
        let Some(verdict) = note.verdict() else { return Completion::Clients };
        let Some((nth, restores)) = note.completes(nth) else { return Completion::Weirs };
        if let Some(statement) = verdict.statements.get(nth) {
            self.state.apply(statement, tag, note);
            if restores > 0 && matches!(statement.kind, Kind::Reset(_) | Kind::Discard(_)) {
                let restored = restores_of(statement, self.state.settings.startup());
                self.state.settings.restored(restored.into_iter().map(|(name, _)| name));
            }
        }
        Completion::Clients
    }

    fn done(&mut self, note: PendingReply) {
        match note {
            PendingReply::Applies => self.state.unconfirmed -= 1,
            PendingReply::Parsed(_) | PendingReply::Closed(..) | PendingReply::Frees(_)
                if self.retry != Retry::Never =>
            {
                self.state.replay_buffer.done.push(note)
            }
            _ => {}
        }
    }

    fn dropped(&mut self, notes: Vec<PendingReply>) {
        self.state.unconfirmed -= notes.iter().filter(|note| matches!(note, PendingReply::Applies)).count();
        self.unprepare(&notes);
        self.state.undo(notes.into_iter());
    }

    fn failed(&mut self, frame: &[u8], action: Action, note: &PendingReply, answer: Answer) -> OnError {
        let sqlstate = scan::sqlstate(frame).unwrap_or_default();
        if matches!(scan::field(frame, b'V'), Some(b"FATAL" | b"PANIC")) {
            self.state.ending = Some(refusal(frame.get(HEADER..).unwrap_or_default()));
            return OnError::Ending;
        }
        match (action, note) {
            (Action::Swallow, PendingReply::Applies | PendingReply::Applying) => {
                self.state.refused = Some(refusal(frame.get(HEADER..).unwrap_or_default()));
                return OnError::Refusing;
            }
            // A statement that cannot be prepared any more: whoever asks for it is told so.
            (Action::Swallow, PendingReply::Fails | PendingReply::Publishes(_, Batch::Closed)) => {
                return OnError::Pass;
            }
            _ => {}
        }
        self.state.outcome = Outcome::Failed;
        if let PendingReply::ParsedUnnamed(serial, _) = note {
            // It has taken the one before with it.
            self.state.names.skipped(*serial, None);
        }
        let stale = is_stale_plan(sqlstate, frame);
        if stale {
            let stamp = self.state.statements.stamp();
            self.state.database.changed(stamp);
        }
        let again = answer == Answer::Held
            && match self.retry {
                Retry::Never => false,
                Retry::OnPrimary => primary_may_differ(sqlstate),
                Retry::StalePlan => stale,
            };
        if again {
            self.state.rerun_cause = Some(String::from_utf8_lossy(sqlstate).into_owned());
            return OnError::Replay;
        }
        let refusal = own::refusal(note, frame);
        let sqlstate = refusal.as_ref().map_or(sqlstate, |refusal| refusal.sqlstate().as_bytes());
        self.state.last_error = Some(String::from_utf8_lossy(sqlstate).into_owned());
        self.state.survives(note);
        if let PendingReply::Frees(_) = note {
            self.unprepare(std::slice::from_ref(note));
            self.state.undo(std::iter::once(note.clone()));
        }
        if let Some(refusal) = refusal {
            return OnError::Replace(own::response(&refusal));
        }
        match note {
            PendingReply::Refused(pin) if sqlstate == own::REFUSED_BY_NAME.as_bytes() => {
                let refusal = Error::WouldPin(pin.as_str());
                self.state.last_error = Some(refusal.sqlstate().to_owned());
                OnError::Replace(own::response(&refusal))
            }
            _ if sqlstate == b"57014" && self.state.due == Due::Overdue => {
                let said = scan::field(frame, b'M').unwrap_or_default();
                OnError::Replace(renamed(frame, said, TIMED_OUT))
            }
            PendingReply::Outdated if sqlstate == b"26000" => OnError::Replace(outdated()),
            PendingReply::Foreign(given) if sqlstate == b"26000" => {
                OnError::Replace(renamed(frame, NO_STATEMENT, given))
            }
            PendingReply::Duplicate(names) if sqlstate == b"42P05" => {
                OnError::Replace(renamed(frame, names.1.as_bytes(), &names.0))
            }
            _ => self.in_clients_words(frame).map_or(OnError::Pass, OnError::Replace),
        }
    }

    fn described(&mut self, frame: &[u8], note: &PendingReply) {
        let (PendingReply::Describes(name) | PendingReply::Verifies(name)) = note else { return };
        let Some(handle) = self.state.names.get_mut(name) else { return };
        let now = fingerprint(frame);
        handle.result = match (note, handle.result) {
            (PendingReply::Verifies(_), KnownResult::Columns(told) | KnownResult::Outdated(told))
                if told != now =>
            {
                KnownResult::Outdated(told)
            }
            _ => KnownResult::Columns(now),
        };
    }

    fn ready(&mut self, status: TxStatus) {
        if status == TxStatus::Idle {
            match std::mem::replace(&mut self.state.outcome, Outcome::Fine) {
                Outcome::Fine => self.state.committed(),
                Outcome::Failed => self.state.rolled_back(),
            }
            self.state.reported.clear();
            if self.state.definitions.commit().outdates_statements() {
                // What was prepared between the change and its commit saw the old definitions.
                let stamp = self.state.statements.stamp();
                self.state.database.changed(stamp);
            }
        }
        self.state.outcome = Outcome::Fine;
        self.state.naming = NamedBy::Client;
        self.state.answered += 1;
        self.state.replay_buffer.answered();
    }

    fn parameter(&mut self, frame: &[u8]) -> Completion {
        let told = || {
            let (name, end) = cstr(frame, HEADER)?;
            let name = std::str::from_utf8(name).ok()?.to_ascii_lowercase();
            let value = std::str::from_utf8(cstr(frame, end)?.0).ok()?;
            Some((REPORTED.into_iter().find(|reported| **reported == *name)?, value.into()))
        };
        // The client knows its own name.
        let named = cstr(frame, HEADER).is_some_and(|(name, _)| name == NAME.as_bytes());
        if named && self.state.naming == NamedBy::Weir {
            return Completion::Weirs;
        }
        if let Some((name, value)) = told() {
            self.state.reported.retain(|(known, _)| *known != name);
            self.state.reported.push((name, value));
        }
        Completion::Clients
    }

    /// Notifications of clients bear the process IDs that those were given: drivers tell their own by it.
    fn notified(&self, frame: &[u8]) -> Option<Vec<u8>> {
        let pid = i32::from_be_bytes(frame.get(HEADER..HEADER + 4)?.try_into().ok()?);
        let client = self.state.notifiers.client(self.state.server?, pid)?;
        Some([&frame[..HEADER], &client.to_be_bytes(), &frame[HEADER + 4..]].concat())
    }

    fn listens(&self) -> bool {
        self.state.pins.listens()
    }
}
