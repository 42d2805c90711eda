//! What a client owns and takes along from connection to connection: settings, prepared statements, and what pins it.
//!
//! Pure. It never knows which connection anything is on, and never reads a byte of the protocol.

pub(crate) mod ddl;
pub(crate) mod pins;
pub(crate) mod settings;
pub(crate) mod statements;
pub(crate) mod weir_settings;

use std::sync::{Arc, Weak};

use bytes::BytesMut;

use crate::backend::Key;
use crate::backend::notifiers::Notifiers;
use crate::backend::settings::{Settings, Value};
use crate::cluster::topology::ServerId;
use crate::error::Error;
use crate::session::consistency::pending_writes::PendingWrites;
use crate::session::flow::routing_settings::plain;
use crate::session::flow::show::Shown;
use crate::session::leg::carried::Carried;
use crate::session::leg::restore::IDENTITY;
use crate::session::model::ddl::Definitions;
use crate::session::model::pins::{Part, Pins, Reasons};
use crate::session::model::settings::SessionSettings;
use crate::session::model::statements::{Names, Naming};
use crate::session::relay::pending_reply::PendingReply;
use crate::session::relay::replay_buffer::ReplayBuffer;
use crate::session::shared::databases::Database;
use crate::session::shared::statements::{Reading, Statements};
use crate::session::transaction::{Certainty, Event, Reaction, Transaction};
use crate::sql::{Discard, Kind, Pin, Scope, Statement, Verdict};

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
    /// The transaction, and what follows it: settings, and some of what pins.
    pub transaction: Transaction,
    /// The settings that the leased connection carries.
    pub carried: Carried,
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
    /// Requests answered so far.
    pub answered: u64,
    /// Whether what runs was cancelled because it took too long.
    pub due: Due,
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
            transaction: Transaction::new(&startup),
            carried: Carried::default(),
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
            answered: 0,
            due: Due::default(),
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

    /// What happens to the transaction happens to all that follows it. What the client is to be told of it, if anything.
    pub(crate) fn on(&mut self, event: Event<'_>) -> Option<Error> {
        match self.transaction.on(event) {
            Reaction::Nothing => None,
            Reaction::Controls(control) => {
                self.carried.follow(control);
                None
            }
            Reaction::Tells(error) => Some(error),
        }
    }

    /// Settings as the client wants them.
    pub(crate) fn settings(&self) -> &SessionSettings {
        &self.transaction.undoable().now().settings
    }

    /// How a server reads the constants of what is prepared now.
    pub(crate) fn reading(&self) -> Reading {
        match self.transaction.certainty() {
            // It is shared with nobody.
            Certainty::Uncertain => Reading::Private(self.statements.stamp().0),
            Certainty::Certain => Reading::under(self.settings().wanted()),
        }
    }

    /// Why the session needs its connection, or will should the transaction roll back.
    pub(crate) fn pins(&self) -> Reasons {
        self.pins.reasons(self.transaction.undoable())
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
                || weir_settings::shown(statement).is_some()
        })
    }

    /// A statement completed with this command tag.
    pub(crate) fn apply(&mut self, statement: &Statement, tag: &[u8], note: &PendingReply) {
        let part = Part::of(tag);
        for setting in statement.effects.settings.iter().filter(|_| part != Part::Rowless) {
            match setting.scope {
                Scope::Session => self.set(&setting.name, &setting.value, &statement.kind),
                Scope::Local => {
                    self.change_settings().set_local(&setting.name, weir_settings::value_of(setting));
                }
            }
        }
        if !note.frees(statement) {
            self.pins.apply(self.transaction.undoable_mut(), statement, part);
        }
        match &statement.kind {
            Kind::Reset(Some(name)) => self.reset(name),
            Kind::Reset(None) => self.reset_all(&IDENTITY),
            Kind::Discard(Discard::All) => {
                self.reset_all(&[]);
                self.draws = self.statements.stamp().0;
            }
            Kind::Discard(Discard::Sequences) => self.draws = self.statements.stamp().0,
            _ => {}
        }
        self.on(Event::Completed(statement, tag));
    }

    fn change_settings(&mut self) -> &mut SessionSettings {
        &mut self.transaction.undoable_mut().change().settings
    }

    /// A request failed: what no rollback takes back may be there all the same.
    pub(crate) fn survives(&mut self, note: &PendingReply) {
        let Some(verdict) = note.verdict() else { return };
        verdict.statements.iter().for_each(|statement| self.pins.fail(statement));
    }

    fn set(&mut self, name: &str, value: &str, by: &Kind) {
        if name == "session_authorization" {
            // It undoes SET ROLE.
            self.change_settings().forget("role");
            self.carried.reset("role");
        }
        if value.eq_ignore_ascii_case("default") {
            return self.reset(name);
        }
        let value = Value::Sql(value.into());
        // set_config takes a value as it is, and SET may spell it otherwise.
        let by_name = matches!(by, Kind::Set | Kind::SetWeir(..) | Kind::SetTransaction(..));
        let value = if by_name { value } else { Value::Raw(plain(&value).into()) };
        self.change_settings().set(name, value.clone());
        self.carried.set(name, value);
    }

    fn reset(&mut self, name: &str) {
        self.change_settings().reset(name);
        self.carried.reset(name);
    }

    fn reset_all(&mut self, keep: &[&str]) {
        self.change_settings().reset_all(keep);
        self.carried.reset_all(keep);
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
        self.on(Event::Requeued);
        let done = std::mem::take(&mut self.replay_buffer.done);
        self.undo(done.into_iter());
        let bytes = std::mem::take(&mut self.replay_buffer.bytes);
        self.replay_buffer.clear();
        bytes
    }
}
