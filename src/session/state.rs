//! What a session is, apart from its sockets: names, settings, pins, and what completed statements did to them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use bytes::BytesMut;

use crate::backend::Key;
use crate::backend::notifiers::Notifiers;
use crate::backend::prepared::Stamp;
use crate::backend::settings::{Settings, Value};
use crate::freshness::Marks;
use crate::router::Learned;
use crate::session::consistency::pending_writes::PendingWrites;
use crate::session::model::ddl::Definitions;
use crate::session::model::pins::{Part, Pins};
use crate::session::model::restore::IDENTITY;
use crate::session::model::routing_settings::plain;
use crate::session::model::settings::SessionSettings;
use crate::session::model::shown::Shown;
use crate::session::model::statements::{Names, Naming, Statements};
use crate::session::model::weir_settings as own;
use crate::session::relay::pending_reply::PendingReply;
use crate::session::relay::replay_buffer::ReplayBuffer;
use crate::sql::{Discard, Kind, Pin, Scope, Statement, Verdict};

/// Settings that a client can change and a server reports (manual: "Asynchronous Operations").
pub(crate) const REPORTED: [&str; 8] = [
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
pub(crate) enum Outcome {
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

/// A session's own state.
pub(crate) struct State {
    /// The process ID that its client was given.
    pub pid: i32,
    /// Who may have sent a notification.
    pub notifiers: Arc<Notifiers>,
    /// Tells this session's draws from sequences from all others'.
    pub draws: u64,
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
    pub outcome: Outcome,
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
            notifiers,
            draws: statements.stamp().0,
            drew_on: Weak::new(),
            names: Names::default(),
            settings: SessionSettings::new(&startup),
            shown: Shown::default(),
            pins: Pins::of(&startup),
            refusals: Vec::new(),
            replay_buffer: ReplayBuffer::default(),
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

    /// Definitions changed, or a plan turned out to be stale: what is prepared from now on is of another epoch.
    pub(crate) fn outdate_statements(&self) {
        self.database.changed(self.statements.stamp());
    }

    /// What a session that is over goes on with: nothing.
    pub(crate) fn successor(&self) -> Self {
        let (statements, database) = (self.statements.clone(), self.database.clone());
        Self::new(Settings::default(), statements, database, self.notifiers.clone())
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
    pub(crate) fn apply(&mut self, statement: &Statement, tag: &[u8], note: &PendingReply) {
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

    pub(crate) fn committed(&mut self) {
        self.settings.commit();
        self.pins.commit();
    }

    /// The transaction rolled back.
    pub(crate) fn rolled_back(&mut self) {
        self.settings.rollback();
        self.pins.rollback();
    }

    /// A request failed: what no rollback takes back may be there all the same.
    pub(crate) fn survives(&mut self, note: &PendingReply) {
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
    pub(crate) fn undo(&mut self, notes: impl DoubleEndedIterator<Item = PendingReply>) {
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
