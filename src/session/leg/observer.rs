//! What is heard of a leg's server, on behalf of the session: names, settings and pins follow what completed, errors
//! decide what becomes of the request.

use bytes::Bytes;

use crate::backend::ledger::Action;
use crate::backend::prepared::{Prepared, ServerName, Shape, Standing};
use crate::backend::refusal;
use crate::backend::settings::NAME;
use crate::cluster::topology::ServerId;
use crate::error::Error;
use crate::session::leg::progress::{Progress, Retry, Sent};
use crate::session::leg::sender::NO_STATEMENT;
use crate::session::leg::state::LegEvent;
use crate::session::model::positions::repositioned;
use crate::session::model::process_words;
use crate::session::model::restore::restores as restored_by;
use crate::session::model::statement::fetches;
use crate::session::model::weir_settings as own;
use crate::session::relay::client_buffer::Answer;
use crate::session::relay::pending_reply::{Described, PendingReply};
use crate::session::relay::responses::{Completion, OnError, Watcher};
use crate::session::relay::server_errors::{
    fingerprint, fingerprint_of_types, in_clients_names, is_stale_plan, primary_may_differ, renamed,
};
use crate::session::state::{Due, State};
use crate::session::transaction::Event;
use crate::sql::{Brings, Dependency, Kind};
use crate::wire::frame::cstr;
use crate::wire::reply::outdated;
use crate::wire::tag::server;
use crate::wire::{HEADER, TxStatus, scan};

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

/// The SQLSTATE of what may not write where it runs.
const REFUSED_WRITE: &[u8] = b"25006";

/// What PostgreSQL says of a statement that took too long; a server that was asked to cancel one speaks of its user.
const TIMED_OUT: &[u8] = b"canceling statement due to statement timeout";

/// Hears a leased connection's replies on behalf of the session.
pub(crate) struct Observer<'a> {
    /// The session.
    pub state: &'a mut State,
    /// The connection's statements.
    pub prepared: &'a mut Prepared,
    /// The connection's unnamed statement.
    pub unnamed: &'a mut Option<u64>,
    /// What is known of the connection besides.
    pub progress: &'a mut Progress,
    /// The connection's server.
    pub server: ServerId,
}

impl Observer<'_> {
    /// An error or a notice that speaks of statements by weir's names for them, with the client's names instead.
    fn in_clients_words(&self, frame: &[u8]) -> Option<Vec<u8>> {
        in_clients_names(frame, |name| self.state.names.name_of(ServerName::statement(name)?))
    }

    /// The client is told the types of a statement's parameters.
    fn tells_types(&mut self, described: &Described, types: &[u8]) {
        match described {
            Described::Named(name, preparation) => {
                if let Some(handle) = self.state.names.get_mut(name)
                    && handle.preparation() == *preparation
                    && handle.types() != types
                {
                    handle.types = Some(Bytes::copy_from_slice(types));
                }
            }
            Described::Unnamed(serial) => {
                if let Some(unnamed) = &mut self.state.names.unnamed
                    && unnamed.serial == *serial
                    && unnamed.types != types
                {
                    unnamed.types = Bytes::copy_from_slice(types);
                }
            }
        }
    }

    /// The server has said what a statement is: how that stands to what the client was told, if it is not told now.
    fn learns(&mut self, described: &Described, shape: Shape, pending: &PendingReply) -> Standing {
        let is_told = matches!(pending, PendingReply::Describes(_));
        match described {
            Described::Named(name, preparation) => {
                self.prepared.described(*preparation, shape);
                let handle = self.state.names.get_mut(name);
                let Some(handle) = handle.filter(|handle| handle.preparation() == *preparation) else {
                    return Standing::Serves;
                };
                if is_told && !fetches(&handle.statement.verdict) {
                    handle.tells(shape);
                }
                self.prepared.standing(*preparation, handle.told)
            }
            Described::Unnamed(serial) => {
                let unnamed = self.state.names.unnamed.as_mut().filter(|unnamed| unnamed.serial == *serial);
                let Some(unnamed) = unnamed else { return Standing::Serves };
                if is_told && !fetches(&unnamed.verdict) {
                    (unnamed.told, unnamed.standing) = (Some(shape), Standing::Serves);
                } else if unnamed.told.is_some_and(|told| told.result != shape.result) {
                    unnamed.standing = Standing::Differs;
                }
                unnamed.standing
            }
        }
    }

    /// What weir put in has failed, and the client's request has not.
    fn own_failed(&mut self, frame: &[u8], pending: &PendingReply) -> Option<OnError> {
        match pending {
            PendingReply::Applies | PendingReply::Applying | PendingReply::Begins => {
                self.progress.on(LegEvent::Refused(refusal(frame.get(HEADER..).unwrap_or_default())));
                Some(OnError::Refusing)
            }
            PendingReply::Fails => Some(OnError::Pass),
            // A statement that cannot be prepared any more: whoever asks for it is told so.
            pending if pending.has_own_batch() => {
                self.unprepare(std::slice::from_ref(pending));
                Some(OnError::Pass)
            }
            _ => None,
        }
    }

    /// These preparations did not happen.
    fn unprepare(&mut self, replies: &[PendingReply]) {
        for pending in replies {
            match pending {
                PendingReply::Prepares(preparation, stamp, _) => self.prepared.forget(*preparation, *stamp),
                PendingReply::Parsed(parsed) => {
                    if let Some((preparation, stamp)) = parsed.sent {
                        self.prepared.forget(preparation, stamp);
                    }
                }
                PendingReply::Retires(name) => self.prepared.retire(**name),
                PendingReply::Frees(freed) => freed.held.iter().for_each(|name| self.prepared.retire(*name)),
                PendingReply::ParsedUnnamed(..) | PendingReply::RestoresUnnamed => *self.unnamed = None,
                _ => {}
            }
        }
    }
}

impl Watcher for Observer<'_> {
    fn completed(&mut self, tag: &[u8], pending: &PendingReply, nth: usize) -> Completion {
        self.state.pending_writes.completed(tag);
        if let Some(spans) = &mut self.state.requests.spans {
            spans.completed(tag);
        }
        let brings = pending.verdict().map_or(Brings::Nothing, |verdict| verdict.brings());
        if self.state.definitions.completed(tag, brings).outdates_statements() {
            self.state.outdate_statements();
        }
        let Some(verdict) = pending.verdict() else { return Completion::Clients };
        let Some((nth, restores)) = pending.completes(nth) else { return Completion::Weirs };
        if let Some(statement) = verdict.statements.get(nth) {
            if let Dependency::Client(client, signal) = statement.depends_on {
                self.state.processes.signals.push((client, signal));
            }
            self.state.apply(statement, tag, pending, &mut self.progress.carried);
            self.state.enters_journal(verdict, nth);
            if restores > 0 && matches!(statement.kind, Kind::Reset(_) | Kind::Discard(_)) {
                let startup = self.state.startup();
                let restored = restored_by(statement, &startup).into_iter().map(|(name, _)| name);
                self.progress.carried.restored(restored, &startup);
            }
        }
        Completion::Clients
    }

    fn done(&mut self, pending: PendingReply) {
        match pending {
            PendingReply::Applies => self.progress.unconfirmed.settled(1),
            PendingReply::Kept(verdict) => self.state.kept(&verdict),
            PendingReply::Parsed(parsed) => {
                self.state.has_prepared(&parsed.name);
                if !self.progress.retry.is_empty() {
                    self.state.replay_buffer.done.push(PendingReply::Parsed(parsed));
                }
            }
            PendingReply::Closed(..) | PendingReply::Frees(_) if !self.progress.retry.is_empty() => {
                self.state.replay_buffer.done.push(pending)
            }
            _ => {}
        }
    }

    fn dropped(&mut self, replies: Vec<PendingReply>) {
        let applied = replies.iter().filter(|pending| matches!(pending, PendingReply::Applies)).count();
        self.progress.unconfirmed.settled(applied);
        self.unprepare(&replies);
        self.state.undo(replies.into_iter());
    }

    fn failed(&mut self, frame: &[u8], action: Action, pending: &PendingReply, answer: Answer) -> OnError {
        let sqlstate = scan::sqlstate(frame).unwrap_or_default();
        if matches!(scan::field(frame, b'V'), Some(b"FATAL" | b"PANIC")) {
            self.progress.on(LegEvent::Said(refusal(frame.get(HEADER..).unwrap_or_default())));
            return OnError::Ending;
        }
        if action == Action::Swallow
            && let Some(decision) = self.own_failed(frame, pending)
        {
            return decision;
        }
        self.state.transaction.on(Event::Failed);
        self.state.definitions.fails();
        if let PendingReply::ParsedUnnamed(serial, _) = pending {
            // It has taken the one before with it.
            self.state.names.skipped(*serial, None);
        }
        let stale = is_stale_plan(sqlstate, frame);
        if stale {
            self.state.outdate_statements();
        }
        let again = answer == Answer::Held
            && ((self.progress.retry.has(Retry::ReplicaError) && primary_may_differ(sqlstate))
                || (self.progress.retry.has(Retry::StalePlan) && stale));
        if again {
            self.state.transaction.on(Event::WillRequeue);
            self.progress.on(LegEvent::Rerun(String::from_utf8_lossy(sqlstate).into_owned()));
            return OnError::Rerun;
        }
        if sqlstate == REFUSED_WRITE {
            self.progress.shape.refused();
        }
        let refusal = pending.verdict().and_then(|verdict| {
            own::refusal(verdict, frame).or_else(|| process_words::refusal(verdict, frame))
        });
        let sqlstate = refusal.as_ref().map_or(sqlstate, |refusal| refusal.sqlstate().as_bytes());
        self.state.last_error = Some(String::from_utf8_lossy(sqlstate).into_owned());
        if let (Some(spans), Some(sqlstate)) = (&mut self.state.requests.spans, &self.state.last_error) {
            spans.failed(sqlstate);
        }
        self.state.survives(pending);
        if let PendingReply::Frees(_) = pending {
            self.unprepare(std::slice::from_ref(pending));
            self.state.undo(std::iter::once(pending.clone()));
        }
        if let Some(refusal) = refusal {
            return OnError::Replace(own::response(&refusal));
        }
        match pending {
            PendingReply::Refused(pin) if sqlstate == own::REFUSED_BY_NAME.as_bytes() => {
                let refusal = Error::WouldPin(pin.as_str());
                self.state.last_error = Some(refusal.sqlstate().to_owned());
                OnError::Replace(own::response(&refusal))
            }
            _ if sqlstate == b"57014" && self.state.requests.due == Due::Overdue => {
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
            _ => self.noticed(frame, pending).map_or(OnError::Pass, OnError::Replace),
        }
    }

    fn noticed(&self, frame: &[u8], pending: &PendingReply) -> Option<Vec<u8>> {
        let worded = self.in_clients_words(frame);
        let placed = repositioned(worded.as_deref().unwrap_or(frame), pending.differences());
        placed.or(worded)
    }

    fn described(&mut self, frame: &[u8], pending: &PendingReply) {
        let (PendingReply::Describes(described)
        | PendingReply::Verifies(described)
        | PendingReply::Compares(described)) = pending
        else {
            return;
        };
        if frame.first() == Some(&server::PARAMETER_DESCRIPTION) {
            self.progress.parameters = Some(fingerprint_of_types(frame));
            if let PendingReply::Describes(described) = pending {
                self.tells_types(described, frame.get(HEADER..).unwrap_or_default());
            }
            return;
        }
        let shape = Shape { parameters: self.progress.parameters.take(), result: fingerprint(frame) };
        let standing = self.learns(described, shape, pending);
        if let (PendingReply::Compares(_), Standing::Differs | Standing::TakesOthers) = (pending, standing) {
            self.state.transaction.on(Event::WillRequeue);
            self.progress.on(LegEvent::Rerun("0A000".to_owned()));
        }
    }

    fn ready(&mut self, status: TxStatus) -> TxStatus {
        self.state.on(Event::Ready(status), &mut self.progress.carried);
        if self.is_rerunning() {
            // It is nobody's answer. Only what the connection carries has changed by it.
            return status;
        }
        if status == TxStatus::Idle && self.state.definitions.commit().outdates_statements() {
            // What was prepared between the change and its commit saw the old definitions.
            self.state.outdate_statements();
        }
        self.progress.sent.remove(Sent::Name);
        self.state.requests.answered += 1;
        if let Some(spans) = &mut self.state.requests.spans {
            spans.answered();
        }
        self.state.replay_buffer.answered();
        self.state.transaction.told(status)
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
        if named && self.progress.sent.has(Sent::Name) {
            return Completion::Weirs;
        }
        if let Some((name, value)) = told() {
            self.state.transaction.on(Event::Reported(name, value));
        }
        Completion::Clients
    }

    /// Notifications of clients bear the process IDs that those were given: drivers tell their own by it.
    fn notified(&self, frame: &[u8]) -> Option<Vec<u8>> {
        let pid = i32::from_be_bytes(frame.get(HEADER..HEADER + 4)?.try_into().ok()?);
        let client = self.state.processes.notifiers.client(self.server, pid)?;
        Some([&frame[..HEADER], &client.to_be_bytes(), &frame[HEADER + 4..]].concat())
    }

    fn is_rerunning(&self) -> bool {
        self.progress.state.is_rerunning()
    }

    fn may_rerun(&self) -> bool {
        self.progress.retry.has(Retry::ReplicaError)
    }

    fn listens(&self, frame: &[u8]) -> bool {
        let undoable = self.state.transaction.undoable();
        let elsewhere =
            || cstr(frame, HEADER + 4).is_some_and(|(channel, _)| self.state.hears_elsewhere(channel));
        self.state.pins.listens(undoable) && !elsewhere()
    }

    fn withholds(&mut self, told: TxStatus) -> bool {
        let rerunning = self.is_rerunning();
        match &mut self.state.listening {
            Some(listening) if told == TxStatus::Idle && !rerunning => {
                listening.withheld = Some(told);
                true
            }
            _ => false,
        }
    }
}
