//! The client's transaction: where it stands, what was said for it, and what a rollback of it takes back.
//!
//! Pure. One value with one transition function. It never knows which connection it runs on, nor a byte of the protocol.
//! A transaction that has only read is a promise: no server knows of it, and its journal tells what a server would have to
//! be told.

mod block;
pub(crate) mod carried;
pub(crate) mod journal;

use std::mem::take;

use crate::backend::settings::Settings;
use crate::error::Error;
use crate::router::Reason;
use crate::session::model::savepoints::{Control, Transactional};
use crate::session::model::undoable::Undoable;
use crate::session::transaction::block::Block;
use crate::session::transaction::journal::{Journal, Ran};
use crate::sql::{Discard, Isolation, Kind, Scope, SkeletonId, Statement, Transactions};
use crate::wire::TxStatus;

/// What happens to a transaction. Requests are ahead of their answers: `Sends` and `Sets` tell of the former, `Completed`,
/// `Reported`, `Failed` and `Ready` of the latter, and with `Answered` both are at the same point.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    /// A statement is sent, in a session whose transactions have this isolation level where they say nothing of it.
    Sends(&'a Statement, Option<Isolation>),
    /// Something is sent that changes settings.
    Sets,
    /// A statement completed, with this command tag.
    Completed(&'a Statement, &'a [u8]),
    /// weir has answered a statement of a transaction of which no server knows.
    Kept(&'a Statement),
    /// A server is told of the transaction, in a session whose transactions have this isolation level where they say
    /// nothing of it.
    Begins(Ran, Option<Isolation>),
    /// The connection is given up on which it ran, and the journal tells all that was there.
    Withdrawn,
    /// What is sent now may be put back after part of it has been answered.
    Marks,
    /// The client was told the value of a setting.
    Reported(&'static str, Box<str>),
    /// A request failed.
    Failed,
    /// A ReadyForQuery for the client.
    Ready(TxStatus),
    /// All that was sent has been answered, with no batch open, and this is what the server said last.
    Answered(TxStatus),
    /// The same, outside a transaction.
    Ended,
    /// The connection was lost, whose server had said this last, and requests in flight are answered with an error.
    Lost(TxStatus),
    /// The server refuses what it was told of it. Nothing of it is there, and the loss that comes of that is its failure.
    Strands,
    /// It ends, and has failed so that no server can be told of it.
    Forsaken,
    /// There was no request to which the loss could be told.
    Untold(Error),
    /// The same, of one that has only read and cannot be told to another connection.
    SnapshotLost(Error),
    /// The client sends another request, which begins with such a statement.
    Asks(Option<&'a Kind>),
    /// A server stands where the client stands, in a transaction that has failed.
    Resumed,
    /// A request failed, outside a transaction, and will be put back with all that is in flight behind it.
    WillRequeue,
    /// What was in flight is put back, to be run again as if it had never been run.
    Requeued,
    /// Nobody ends it any more: the server is told to roll back.
    Abandoned,
}

/// What comes of an event.
#[derive(Debug)]
pub(crate) enum Reaction<'a> {
    /// Nothing that concerns others.
    Nothing,
    /// All that follows the transaction does this. What is in [`Transaction`] has done so.
    Controls(Control<'a>),
    /// The client is told this in the place of an answer.
    Tells(Error),
}

/// Whether something went wrong since the last ReadyForQuery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Outcome {
    #[default]
    Fine,
    Failed,
}

/// Whether settings are known as of what is sent now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Certainty {
    /// They are.
    #[default]
    Certain,
    /// One was changed in this transaction, for it alone or not yet for certain.
    Uncertain,
}

/// Which snapshots the statements of a transaction have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Snapshots {
    /// Each has its own.
    Each,
    /// One for all that follow, which the next that looks at data takes.
    OneToTake,
    /// One for all that follow, which has been taken.
    OneTaken,
}

/// The transaction that is under way, if one is, and all that follows it.
#[derive(Debug, Default)]
pub(crate) struct Transaction {
    block: Block,
    outcome: Outcome,
    certainty: Certainty,
    /// What the client was told of its settings in it.
    reported: Vec<(&'static str, Box<str>)>,
    undoable: Transactional<Undoable>,
    /// The same as it will be when what is in flight is put back: what completes meanwhile completes for nobody.
    requeued: Option<Box<Transactional<Undoable>>>,
    /// What was said in it, while there is one.
    journal: Option<Box<Journal>>,
    /// To this it returns when what is in flight is put back.
    mark: Option<Mark>,
    /// Where the next one is to run.
    next: Transactions,
    /// The shape of the statement that will be the first in it, where that is known before it begins.
    first: Option<SkeletonId>,
    /// Why it runs on the primary, if it begins there.
    because: Option<Reason>,
    /// One that has ended and is not counted.
    ended: Option<Over>,
    /// Which of the session's it is: how many ended before it.
    pub(crate) number: u64,
}

/// How a transaction ran that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Over {
    pub ran: Ran,
    /// Why it ran on the primary, where it did.
    pub because: Option<Reason>,
    /// The shape of its first statement, where that was seen.
    pub first: Option<SkeletonId>,
    /// How many requests in it have acted on the primary.
    pub acts: usize,
}

/// A point in a transaction of which no server knows, or whose journal tells all.
#[derive(Debug)]
struct Mark {
    /// Its status then.
    status: TxStatus,
    journal: Option<Box<Journal>>,
    undoable: Transactional<Undoable>,
}

impl Transaction {
    /// None yet, in a session that begins with these settings.
    pub(crate) fn new(startup: &Settings) -> Self {
        Self { undoable: Undoable::new(startup), ..Self::default() }
    }

    /// Its status once all that is in flight will have been answered, as far as can be foretold.
    pub(crate) fn status(&self) -> TxStatus {
        self.block.status()
    }

    /// Whether there is none, as far as can be foretold.
    pub(crate) fn is_over(&self) -> bool {
        self.status() == TxStatus::Idle
    }

    /// Whether it has failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.status() == TxStatus::Failed
    }

    /// The same on a connection that is at work for it.
    pub(crate) fn status_on_server(&self) -> TxStatus {
        if self.block.is_promised() { TxStatus::Idle } else { self.block.status() }
    }

    /// What a client is told whose server says that it has this status.
    pub(crate) fn told(&self, server: TxStatus) -> TxStatus {
        if self.block.is_promised() { self.block.status() } else { server }
    }

    /// Whether the client stands in one of which no server knows.
    pub(crate) fn is_promised(&self) -> bool {
        self.block.is_promised()
    }

    /// Whether its journal tells all that is on its connection to a replica: nothing is open there, and what has been read
    /// need not stay as it was seen.
    pub(crate) fn is_renewable(&self) -> bool {
        let bound = |journal: &Journal| journal.is_on_primary() || journal.has_portal(None);
        !self.journal().is_some_and(bound) && self.snapshots(None) != Snapshots::OneTaken
    }

    /// Whether another connection can be told all of it, whatever it was told: it has read, and what it has read need not
    /// stay as it was seen.
    pub(crate) fn can_be_told(&self) -> bool {
        let told = |journal: &Journal| journal.is_told() && !journal.has_portal(None);
        self.status() == TxStatus::Open
            && self.journal().is_some_and(told)
            && self.snapshots(None) != Snapshots::OneTaken
    }

    /// Which snapshots its statements have, in a session whose transactions have this isolation level where they say
    /// nothing of it.
    pub(crate) fn snapshots(&self, default: Option<Isolation>) -> Snapshots {
        let Some(journal) = self.journal() else { return Snapshots::Each };
        match self.block.isolation().or(journal.modes().isolation).or(default) {
            Some(Isolation::RepeatableRead | Isolation::Serializable) if journal.has_queried() => {
                Snapshots::OneTaken
            }
            Some(Isolation::RepeatableRead | Isolation::Serializable) => Snapshots::OneToTake,
            _ => Snapshots::Each,
        }
    }

    /// What was said in it, if there is one.
    pub(crate) fn journal(&self) -> Option<&Journal> {
        self.journal.as_deref()
    }

    /// The same, to be added to.
    pub(crate) fn journal_mut(&mut self) -> Option<&mut Journal> {
        self.journal.as_deref_mut()
    }

    /// One that is about to begin is to run there.
    pub(crate) fn next_runs(&mut self, transactions: Transactions) {
        self.next = transactions;
    }

    /// A statement of this shape runs in it, or will be the first in the next one.
    pub(crate) fn runs(&mut self, shape: SkeletonId) {
        match self.journal.as_deref_mut() {
            Some(journal) => _ = journal.first.get_or_insert(shape),
            None => self.first = Some(shape),
        }
    }

    /// Should one begin on the primary, this is why.
    pub(crate) fn next_because(&mut self, reason: Reason) {
        self.because = Some(reason);
    }

    /// One that has ended; asked once.
    pub(crate) fn take_ended(&mut self) -> Option<Over> {
        self.ended.take()
    }

    /// Whether it has failed because its connection was lost, and no other stands in for that.
    pub(crate) fn is_lost(&self) -> bool {
        matches!(self.block, Block::LostTold | Block::LostUntold(_) | Block::SnapshotLost(_))
    }

    /// Whether there is nothing in it that could be committed.
    pub(crate) fn has_only_read(&self) -> bool {
        self.journal().is_some_and(Journal::is_told)
    }

    /// Whether its connection was told of it, and nothing of it has been answered there.
    pub(crate) fn is_unheard(&self) -> bool {
        self.journal().is_some_and(Journal::is_unheard)
    }

    /// Whether it has failed, and no server can be told of it as it stands.
    pub(crate) fn is_stranded(&self) -> bool {
        matches!(self.block, Block::PromiseFailed) && self.journal().is_some_and(Journal::is_stranded)
    }

    /// Whether its client is still to be told that it was lost.
    pub(crate) fn is_untold(&self) -> bool {
        matches!(self.block, Block::LostUntold(_))
    }

    /// Whether settings are known as of what is sent now.
    pub(crate) fn certainty(&self) -> Certainty {
        self.certainty
    }

    /// What the client was told of its settings in it: each name with the last value.
    pub(crate) fn reported(&self) -> &[(&'static str, Box<str>)] {
        &self.reported
    }

    /// What a rollback takes back.
    pub(crate) fn undoable(&self) -> &Transactional<Undoable> {
        &self.undoable
    }

    /// The same, to be changed by what completed.
    pub(crate) fn undoable_mut(&mut self) -> &mut Transactional<Undoable> {
        &mut self.undoable
    }

    /// The one way in which it changes.
    pub(crate) fn on<'a>(&mut self, event: Event<'a>) -> Reaction<'a> {
        let control = match event {
            Event::Completed(statement, tag) => self.completed(statement, tag),
            Event::Kept(statement) => self.kept(statement),
            Event::Ready(status) => self.ready(status),
            Event::Lost(server) => self.lost(server),
            Event::Requeued => self.requeued(),
            Event::Forsaken => {
                self.block = Block::LostTold;
                self.end(None);
                Some(Control::Rollback)
            }
            Event::Abandoned => Some(Control::Rollback),
            Event::Asks(first) => {
                let (block, error) = take(&mut self.block).asks(first);
                self.block = block;
                if error.is_some() && self.journal.is_some() {
                    self.end(None);
                }
                return error.map_or(Reaction::Nothing, Reaction::Tells);
            }
            unanswered => {
                self.goes_on(unanswered);
                None
            }
        };
        let Some(control) = control else { return Reaction::Nothing };
        if control == Control::Commit && self.undoable.now().settings.are_local() {
            self.undoable.change().settings.end_local();
        }
        self.undoable.follow(control);
        Reaction::Controls(control)
    }

    /// What neither ends it nor marks a point in it.
    fn goes_on(&mut self, event: Event<'_>) {
        match event {
            Event::Sends(statement, default) => {
                self.block = take(&mut self.block).sends(statement, default);
            }
            Event::Answered(status) => {
                self.block = take(&mut self.block).answered(status);
                (self.requeued, self.mark) = (None, None);
                self.journal.as_deref_mut().into_iter().for_each(Journal::answered);
            }
            Event::Begins(ran, default) => self.begins(ran, default),
            Event::Withdrawn => self.withdrawn(),
            Event::Strands => {
                self.withdrawn();
                // An end in flight does not come to pass.
                self.block = Block::PromiseFailed;
                self.journal_mut().into_iter().for_each(Journal::strands);
            }
            Event::Marks => {
                let (journal, undoable) = (self.journal.clone(), self.undoable.clone());
                self.mark = Some(Mark { status: self.status(), journal, undoable });
            }
            Event::Sets => self.certainty = Certainty::Uncertain,
            Event::Ended => self.certainty = Certainty::Certain,
            Event::Failed => self.outcome = Outcome::Failed,
            // It has not failed for its client.
            Event::WillRequeue if self.mark.is_some() || self.block.is_promised() => {
                self.outcome = Outcome::Fine
            }
            Event::WillRequeue if self.requeued.is_none() => {
                let mut before = self.undoable.clone();
                before.follow(Control::Rollback);
                self.requeued = Some(Box::new(before));
            }
            Event::Reported(name, value) => {
                self.reported.retain(|(known, _)| *known != name);
                self.reported.push((name, value));
            }
            Event::Untold(error) if self.is_lost() => self.block = Block::LostUntold(error),
            // What it had on its connection cannot be had again.
            Event::Untold(error) if self.block.is_promised() => {
                self.end(None);
                self.block = Block::LostUntold(error);
            }
            Event::SnapshotLost(error) => {
                self.journal_mut().into_iter().for_each(|journal| journal.closes(None));
                self.block = Block::SnapshotLost(error);
            }
            Event::Resumed if self.is_lost() => self.block = Block::Failed(None),
            _ => {}
        }
    }

    fn withdrawn(&mut self) {
        self.journal_mut().into_iter().for_each(Journal::leaves_primary);
        self.block = match take(&mut self.block) {
            Block::Open(_) => Block::Promised,
            Block::Failed(_) => Block::PromiseFailed,
            block => block,
        };
    }

    /// What completed behind a request that is to be run again did so for nobody.
    fn forget_rerun(&mut self) {
        if let Some(before) = self.requeued.take() {
            self.undoable = *before;
        }
    }

    fn completed<'a>(&mut self, statement: &'a Statement, tag: &[u8]) -> Option<Control<'a>> {
        let control = control_of(statement, tag);
        self.journal.as_deref_mut().into_iter().for_each(Journal::heard);
        if matches!(statement.kind, Kind::Commit { .. } | Kind::Rollback { .. }) {
            // What it was at last may be so no more, and the server tells of that when the batch ends.
            self.reported.clear();
        }
        match (&statement.kind, &mut self.journal) {
            (Kind::Begin(modes), journal @ None) => {
                let mut begun = Journal::new(*modes, Transactions::Primary).on(Ran::Primary, self.because);
                begun.first = self.first.take();
                // What stood behind it in its request went by before there was a journal.
                begun.leaves_more();
                *journal = Some(Box::new(begun));
            }
            (Kind::Commit { .. } | Kind::Rollback { .. }, Some(journal)) => {
                let mut next =
                    statement.kind.chains().then(|| journal.chained().on(journal.ran, journal.because));
                next.iter_mut().for_each(Journal::leaves_more);
                self.end(next);
            }
            // Of a second BEGIN the modes are heeded.
            (Kind::Begin(modes) | Kind::SetTransaction(modes, Scope::Local), Some(journal)) => {
                journal.set_modes(*modes)
            }
            (_, Some(journal)) => journal.follow(statement),
            (_, None) => {}
        }
        control
    }

    /// The transaction is over, and perhaps another has begun.
    fn end(&mut self, next: Option<Journal>) {
        let over = std::mem::replace(&mut self.journal, next.map(Box::new));
        self.number += 1;
        self.first = None;
        self.ended = over.map(|journal| {
            let because = journal.because.filter(|_| journal.is_on_primary());
            Over { ran: journal.ran, because, first: journal.first, acts: journal.acts }
        });
    }

    fn kept<'a>(&mut self, statement: &'a Statement) -> Option<Control<'a>> {
        let tag: &[u8] = if self.status() == TxStatus::Failed { b"ROLLBACK" } else { b"" };
        let control = control_of(statement, tag);
        match &statement.kind {
            Kind::Begin(modes) => {
                let mut journal = Journal::new(*modes, self.next);
                journal.first = self.first.take();
                self.journal = Some(Box::new(journal));
                self.block = Block::Promised;
            }
            Kind::SetTransaction(modes, _) => {
                self.journal.as_deref_mut().into_iter().for_each(|journal| journal.set_modes(*modes));
            }
            Kind::Commit { .. } | Kind::Rollback { .. } => {
                let journal = self.journal.as_deref().filter(|_| statement.kind.chains());
                let next = journal.map(Journal::chained);
                self.block = if next.is_some() { Block::Promised } else { Block::Idle };
                self.end(next);
                self.reported.clear();
            }
            kind => {
                self.journal.as_deref_mut().into_iter().for_each(|journal| journal.follow(statement));
                if matches!(kind, Kind::RollbackTo(_)) && self.block.is_promised() {
                    (self.block, self.outcome) = (Block::Promised, Outcome::Fine);
                }
            }
        }
        control
    }

    fn begins(&mut self, ran: Ran, default: Option<Isolation>) {
        let Some(journal) = self.journal.as_deref_mut() else { return };
        journal.because = self.because;
        journal.begins(match ran {
            Ran::Primary if journal.has_queried() || journal.ran == Ran::Replica => Ran::Upgraded,
            ran => ran,
        });
        let isolation = journal.modes().isolation.or(default);
        self.block = match self.block {
            Block::PromiseFailed => Block::Failed(isolation),
            _ => Block::Open(isolation),
        };
    }

    fn ready(&mut self, status: TxStatus) -> Option<Control<'static>> {
        let outcome = take(&mut self.outcome);
        if self.block.is_promised() {
            if outcome == Outcome::Failed {
                self.block = Block::PromiseFailed;
                self.journal.as_deref_mut().into_iter().for_each(Journal::fails);
            }
            return None;
        }
        self.journal.as_deref_mut().into_iter().for_each(Journal::heard);
        if status == TxStatus::Failed {
            self.journal.as_deref_mut().into_iter().for_each(Journal::fails);
        }
        if status != TxStatus::Idle {
            return None;
        }
        if self.journal.is_some() {
            self.end(None);
        }
        self.reported.clear();
        Some(match outcome {
            Outcome::Fine => Control::Commit,
            Outcome::Failed => Control::Rollback,
        })
    }

    fn lost(&mut self, server: TxStatus) -> Option<Control<'static>> {
        self.block = take(&mut self.block).lost(server, self.journal.as_deref().map(|journal| journal.ran));
        self.forget_rerun();
        self.outcome = Outcome::Fine;
        self.certainty = Certainty::Certain;
        if self.block.is_promised() {
            self.mark = None;
            if let Some(journal) = self.journal.as_deref_mut() {
                journal.closes(None);
                journal.answered();
                journal.fails();
            }
            return None;
        }
        if !self.is_lost() {
            self.reported.clear();
        }
        if self.journal.is_some() {
            self.end(None);
        }
        Some(Control::Rollback)
    }

    fn requeued(&mut self) -> Option<Control<'static>> {
        self.outcome = Outcome::Fine;
        if let Some(mark) = self.mark.take() {
            (self.journal, self.undoable) = (mark.journal, mark.undoable);
            self.journal_mut().into_iter().for_each(Journal::leaves_primary);
            self.block = match mark.status {
                TxStatus::Idle => Block::Idle,
                TxStatus::Open => Block::Promised,
                TxStatus::Failed => Block::PromiseFailed,
            };
            return None;
        }
        if self.block.is_promised() {
            self.block = Block::Promised;
            return None;
        }
        self.block = Block::Idle;
        self.forget_rerun();
        self.reported.clear();
        Some(Control::Rollback)
    }
}

/// What a completed statement asks of all that follows the transaction.
fn control_of<'a>(statement: &'a Statement, tag: &[u8]) -> Option<Control<'a>> {
    Some(match &statement.kind {
        // One that had failed is rolled back by COMMIT as well.
        Kind::Commit { .. } if tag == b"ROLLBACK" => Control::Rollback,
        Kind::Commit { .. } => Control::Commit,
        Kind::Rollback { .. } => Control::Rollback,
        Kind::Savepoint(name) => Control::Savepoint(name),
        Kind::Release(name) => Control::Release(name),
        Kind::RollbackTo(name) => Control::RollbackTo(name),
        // It runs in no transaction, so that nothing behind it in a batch takes it back.
        Kind::Discard(Discard::All) => Control::Commit,
        _ => return None,
    })
}

#[cfg(test)]
#[path = "transaction_tests.rs"]
mod tests;
