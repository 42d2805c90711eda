//! What a statement asks of its session's past is made true on the connection before it runs: prepared statements under
//! the client's own names, and no values of sequences but its own.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::backend::ledger::{Action, Batch, Reply};
use crate::backend::value::identifier;
use crate::router::Route;
use crate::session::leg::Leg;
use crate::session::leg::progress::{Sent, SequenceUse};
use crate::session::leg::sender::{STAND_IN, Sender, WITHIN};
use crate::session::model::statements::Naming;
use crate::session::relay::facts::acts;
use crate::session::relay::pending_reply::PendingReply;
use crate::session::state::State;
use crate::sql::{Dependency, Kind, Statement, Traces, Verdict, Why};
use crate::wire::TxStatus;
use crate::wire::request;
use crate::wire::tag::client;

/// Names that weir uses for itself on any connection.
const WEIRS: [&[u8]; 2] = [WITHIN, STAND_IN];

impl Leg {
    /// Whether the session keeps its connection for a moment because it may be about to ask what it has drawn: where it
    /// drew by name or sessions do ask, and only while nobody waits for a connection.
    pub(crate) fn has_sequence_affinity(&self, state: &State) -> bool {
        let may_ask = match self.progress.drew {
            SequenceUse::Not => false,
            SequenceUse::Perhaps => state.database().asks_drawn.load(Ordering::Relaxed),
            SequenceUse::Surely => true,
        };
        may_ask
            && self.route == Route::Primary
            && !self.owes()
            && self.responses.tx == TxStatus::Idle
            && self.lease.pool().counts().waiting == 0
    }
}

impl Sender<'_> {
    /// Puts in front of statements what they ask for, on the primary.
    pub(crate) fn prepare_for(&mut self, verdict: &Verdict, batch: Batch) {
        for statement in &verdict.statements {
            if let (Kind::Deallocate(Some(name)), 2..) = (&statement.kind, verdict.statements.len()) {
                // Alone it is given the server's name instead.
                self.publish(name.as_bytes(), batch);
            }
            self.prepare_one(statement, batch);
        }
    }

    fn prepare_one(&mut self, statement: &Statement, batch: Batch) {
        match &statement.depends_on {
            Dependency::Nothing
            | Dependency::Modes
            | Dependency::Termination
            | Dependency::Process
            | Dependency::Client(..)
            | Dependency::Transaction => {}
            Dependency::Statement(name) => {
                self.publish(name.as_bytes(), batch);
                self.executes(statement, name.as_bytes());
            }
            Dependency::Statements => self.publish_all(batch),
            Dependency::Channels => self.listens(batch),
            Dependency::Drawn => {
                self.state.database().asks_drawn.store(true, Ordering::Relaxed);
                self.discard_drawn(batch);
            }
        }
        if acts(statement) {
            self.backend.key.notifier.is(self.state.processes.own);
        }
        if may_draw(statement) {
            self.draws(batch);
            let surely = statement.kind == Kind::Primary(Why::Sequence);
            self.progress.drew = if surely { SequenceUse::Surely } else { SequenceUse::Perhaps };
        }
    }

    /// A statement that may draw from sequences is about to run.
    fn draws(&mut self, batch: Batch) {
        if self.state.database().asks_drawn.load(Ordering::Relaxed) {
            self.discard_drawn(batch);
        }
        self.backend.past.drawn_by = Some(self.state.drawn.by);
        let key = &self.backend.key;
        if !std::ptr::eq(self.state.drawn.on.as_ptr(), Arc::as_ptr(key)) {
            self.state.drawn.on = Arc::downgrade(key);
        }
    }

    /// Who asks to which channels it listens is told so by the server: the connection listens to them as well from here on.
    /// Within a transaction it could not before the end.
    fn listens(&mut self, batch: Batch) {
        let Some(channels) = self.state.shared_channels().filter(|_| self.tx == Some(TxStatus::Idle)) else {
            return;
        };
        let listens: Vec<String> =
            channels.iter().map(|channel| format!("LISTEN {}", identifier(channel))).collect();
        self.progress.sent.add(Sent::Listens);
        match batch {
            // They would be committed with the batch, behind the question.
            Batch::Open => {}
            Batch::Closed => {
                request::put_query(&mut self.backend.write_buffer, listens.join("; ").as_bytes());
                self.backend.unnamed = None;
                self.owe(Reply::Query, Action::Swallow, PendingReply::None);
            }
        }
    }

    /// Another session's values must not be taken for this one's.
    fn discard_drawn(&mut self, batch: Batch) {
        const SQL: &[u8] = b"DISCARD SEQUENCES";
        if self.backend.past.drawn_by.is_none_or(|by| by == self.state.drawn.by) {
            return;
        }
        self.backend.past.drawn_by = None;
        match batch {
            Batch::Open => self.run_within(SQL, PendingReply::None),
            Batch::Closed => {
                request::put_query(&mut self.backend.write_buffer, SQL);
                self.backend.unnamed = None;
                self.owe(Reply::Query, Action::Swallow, PendingReply::None);
            }
        }
    }

    /// The server gets to know all of the client's statements by their own names, and none besides. Those that it does
    /// not know yet come in the order in which the client prepared them: the list says when each one was.
    fn publish_all(&mut self, batch: Batch) {
        for name in self.backend.prepared.take_all() {
            request::put_named_statement(&mut self.backend.write_buffer, client::CLOSE, name.as_bytes());
            self.owe(Reply::Close, Action::Swallow, PendingReply::Retires(name.into()));
        }
        for name in WEIRS {
            request::put_named_statement(&mut self.backend.write_buffer, client::CLOSE, name);
            self.owe(Reply::Close, Action::Swallow, PendingReply::None);
        }
        let names = self.state.names.given();
        names.iter().for_each(|name| self.publish(name, batch));
        if names.is_empty() && batch == Batch::Closed {
            self.end_own_batch();
        }
    }

    /// The server gets to know the client's statement by its own name. From then on the session keeps its connection.
    fn publish(&mut self, name: &[u8], batch: Batch) {
        let Some(handle) = self.state.names.get_mut(name).filter(|handle| handle.naming == Naming::Weirs)
        else {
            return;
        };
        handle.naming = Naming::Clients;
        let statement = handle.statement.clone();
        self.state.pins.prepare(name);
        let types = handle.types().clone();
        self.parse_as_before(&statement, (name, &types), PendingReply::Publishes(name.into(), batch));
        if batch == Batch::Closed {
            self.end_own_batch();
        }
    }

    /// What a statement that was prepared by protocol leaves when SQL executes it: nothing tells of that later.
    fn executes(&mut self, statement: &Statement, name: &[u8]) {
        let Some(handle) = self.state.names.get(name) else { return };
        if matches!(statement.kind, Kind::Prepare(_)) {
            return;
        }
        let verdict = handle.statement.verdict.clone();
        let leaves = verdict.statements.iter().map(|statement| statement.effects.traces()).max();
        let resets = verdict.statements.iter().any(|s| matches!(s.kind, Kind::Reset(_) | Kind::Discard(_)));
        self.state.pins.ran(leaves.unwrap_or_default().max(if resets {
            Traces::Discardable
        } else {
            Traces::None
        }));
    }

    pub(super) fn end_own_batch(&mut self) {
        request::put_bare(&mut self.backend.write_buffer, client::SYNC);
        self.owe(Reply::Sync, Action::Swallow, PendingReply::None);
    }
}

/// Whether a statement may draw from a sequence: by its own words, by defaults, triggers and functions.
fn may_draw(statement: &Statement) -> bool {
    let may = |why| {
        use Why::{Ddl, Maintenance, Procedure, Sequence, Temporary, TooLong, Unparsable, Write};
        matches!(why, Ddl | Maintenance | Procedure | Sequence | Temporary | TooLong | Unparsable | Write)
    };
    match statement.kind {
        Kind::Primary(why) if may(why) => true,
        Kind::Execute(_) => true,
        _ => !statement.functions.is_empty(),
    }
}
