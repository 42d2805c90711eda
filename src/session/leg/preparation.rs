//! What a connection must hold before a message of the client's can be written: its settings, also behind a reset, the
//! statement that the message names, prepared under weir's name for it, and the session's unnamed one.
//!
//! It never decides whether a statement is wanted; the sender does.

use std::sync::Arc;

use crate::backend::ledger::{Action, Batch, Reply};
use crate::backend::past::QueryInBatch;
use crate::backend::prepared::{Preparation, ServerName, Stamp, Standing};
use crate::session::leg::bound_settings::as_bound;
use crate::session::leg::processes::Stead;
use crate::session::leg::progress::Sent;
use crate::session::leg::sender::{Comparing, NO_STATEMENT, Sender, WITHIN};
use crate::session::model::as_before::as_before;
use crate::session::model::restore::restores;
use crate::session::model::statement::Statement as Prepared;
use crate::session::model::statements::{Handle, Naming, Unnamed};
use crate::session::relay::message::{Field, Message, MessageKind};
use crate::session::relay::pending_reply::{Described, PendingReply};
use crate::session::relay::request::Request;
use crate::sql::{Statement, Verdict};
use crate::wire::request::BindView;
use crate::wire::tag::client;
use crate::wire::{TxStatus, request};

impl Sender<'_> {
    /// Brings the connection's settings to what the client wants. Not within a batch: a simple query would end it.
    pub(crate) fn settings(&mut self) {
        let sql = self.progress.carried.now().difference(&self.state.wanted_at_first());
        if sql.is_empty() {
            return;
        }
        request::put_query(&mut self.backend.write_buffer, sql.as_bytes());
        self.backend.past.placeholders.join(&self.state.pins.spoken.placeholders);
        self.backend.unnamed = None;
        self.owe(Reply::Query, Action::Swallow, PendingReply::Applies);
        self.progress.unconfirmed.sent();
        self.told(self.tx.unwrap_or_default());
    }

    /// Gives the connection the client's name within the batch or query that comes next, so that the server answers both
    /// at once. It is taken back should that fail.
    pub(crate) fn name_within(&mut self) {
        let sql = self.state.wanted().name_statement();
        request::put_run(&mut self.backend.write_buffer, b"", sql.as_bytes());
        self.backend.unnamed = None;
        self.owe(Reply::Parse, Action::Swallow, PendingReply::Applying);
        self.owe(Reply::Bind, Action::Swallow, PendingReply::Applying);
        self.owe(Reply::Execute, Action::Swallow, PendingReply::Applies);
        self.progress.unconfirmed.sent();
        self.progress.sent.add(Sent::Name);
        self.told(TxStatus::Open);
    }

    /// Whether what weir puts in front of a request may be one batch with it.
    pub(crate) fn may_join(&self, request: &Request) -> bool {
        let is_query = |message: &Message| matches!(message.kind, MessageKind::Query { .. });
        self.backend.past.query_in_batch == QueryInBatch::Harmless || !request.messages.iter().any(is_query)
    }

    /// Whether the connection lacks nothing but the client's name.
    pub(crate) fn lacks_name_only(&self) -> bool {
        self.progress.carried.lacks_name_only(&self.state.wanted())
    }

    fn told(&mut self, tx: TxStatus) {
        let wanted = self.state.wanted_at_first().into_owned();
        self.progress.carried.told(&wanted, tx);
    }

    /// Restores what a statement has just reset, within the client's batch.
    pub(crate) fn restore(&mut self, statement: &Statement) {
        for (_, sql) in restores(statement, &self.state.startup()) {
            self.run_within(sql.as_bytes(), PendingReply::None);
        }
    }

    /// `DISCARD ALL` as a simple query, which cannot share its string with others: as a batch that looks the same.
    pub(crate) fn discard_all(&mut self, sql: &[u8], verdict: &Arc<Verdict>, restores: Box<[usize]>) {
        request::put_run(&mut self.backend.write_buffer, b"", sql);
        self.owe(Reply::Parse, Action::Swallow, PendingReply::None);
        self.owe(Reply::Bind, Action::Swallow, PendingReply::None);
        let pending = self.runs(verdict, restores);
        self.owe(Reply::Execute, Action::Forward, pending);
        verdict.statements.iter().for_each(|statement| self.restore(statement));
        request::put_bare(&mut self.backend.write_buffer, client::SYNC);
        self.owe(Reply::Sync, Action::Forward, PendingReply::None);
    }

    /// The server's name for the client's statement, `held` if it has one, and what it is prepared as. Where the server lacks the preparation
    /// that the client knows, a new one serves: that it is what the client was told is found out before its rows pass.
    pub(super) fn serve_named(
        &mut self,
        given: &[u8],
        preparation: Preparation,
        held: Option<ServerName>,
    ) -> (ServerName, Preparation) {
        if let Some(name) = held {
            self.metrics.prepared_reused.inc();
            return (name, preparation);
        }
        let handle = self.as_defined_now(given);
        match &handle {
            Some(handle) => (self.ensure(handle), handle.preparation()),
            // The caller has found it by this name.
            None => (ServerName::new(preparation.id, preparation.epoch), preparation),
        }
    }

    /// The client's statement as definitions are now: from here on this is what it has.
    fn as_defined_now(&mut self, given: &[u8]) -> Option<Handle> {
        let handle = self.state.names.get(given)?.clone();
        let epoch = handle.statement.epoch(self.state.database().ddl());
        let handle = Handle { epoch, ..handle };
        if let Some(known) = self.state.names.get_mut(given) {
            *known = handle.clone();
        }
        Some(handle)
    }

    /// The server's name for a statement, prepared in front of the next message if need be.
    pub(super) fn ensure(&mut self, handle: &Handle) -> ServerName {
        let preparation = handle.preparation();
        if let Some(name) = self.backend.prepared.name(preparation) {
            self.metrics.prepared_reused.inc();
            return name;
        }
        self.put_preparation(handle, Batch::Open)
    }

    /// Has the server prepare a statement that it does not hold, in a batch of its own. Should that fail, whoever asks for
    /// the statement later is told so.
    pub(super) fn ensure_apart(&mut self, given: &[u8]) {
        let known = self.state.names.get(given).filter(|handle| handle.naming == Naming::Weirs);
        if known.is_none_or(|handle| self.backend.prepared.name(handle.preparation()).is_some()) {
            return;
        }
        let Some(handle) = self.as_defined_now(given) else { return };
        if self.backend.prepared.name(handle.preparation()).is_none() {
            self.put_preparation(&handle, Batch::Closed);
            self.end_own_batch();
        }
    }

    /// Puts in the Parse of a statement that the server does not hold; the server's name for it. `batch` says whose it is in.
    fn put_preparation(&mut self, handle: &Handle, batch: Batch) -> ServerName {
        let preparation = handle.preparation();
        let (name, stamp) = self.prepare(preparation);
        let parse = (name.as_bytes(), &handle.types()[..]);
        self.parse_as_before(&handle.statement, parse, PendingReply::Prepares(preparation, stamp, batch));
        name
    }

    /// Has the server prepare a statement once more, under the settings under which its client had it prepared: what its
    /// constants mean, and which tables it names, was decided then. The settings are changed for the transaction at most,
    /// and changed back to what they were, which the server alone may know, in the client's own batch: what goes wrong
    /// goes wrong in its stead, and nobody else is told.
    pub(super) fn parse_as_before(
        &mut self,
        statement: &Prepared,
        (name, types): (&[u8], &[u8]),
        pending: PendingReply,
    ) {
        let now = self.state.settings().read_by();
        let texts = as_before(statement.read_otherwise_than(&now));
        for sql in texts.iter().flat_map(|texts| &texts.before) {
            self.run_within(sql.as_bytes(), PendingReply::None);
        }
        request::put_parse(&mut self.backend.write_buffer, name, &statement.sql, types);
        self.owe(Reply::Parse, Action::Swallow, pending);
        if let Some(texts) = texts {
            self.run_within(texts.after.as_bytes(), PendingReply::None);
        }
    }

    /// Asks the server what the client's statement is there.
    pub(super) fn asks(&mut self, name: &[u8], pending: PendingReply) {
        self.metrics.prepared_described.inc();
        request::put_named_statement(&mut self.backend.write_buffer, client::DESCRIBE, name);
        self.owe(Reply::DescribeStatement, Action::Swallow, pending);
    }

    /// Prepares the client's statements as definitions are now and asks what they are. All of them are held at once, so
    /// that nothing is found to be missing when the request is written that binds them.
    pub(crate) fn verify<'a>(&mut self, names: impl Iterator<Item = &'a [u8]>) {
        self.comparing = Comparing::UnderWay;
        for given in names {
            if given.is_empty() {
                let Some(serial) = self.restore_unnamed() else { continue };
                self.asks(b"", PendingReply::Verifies(Described::Unnamed(serial).into()));
                continue;
            }
            let Some(handle) = self.state.names.get(given) else { continue };
            let (preparation, told) = (handle.preparation(), handle.told);
            let standing = self.backend.prepared.standing(preparation, told);
            if standing == Standing::TakesOthers {
                // With parameters of the types that its client was told it is another one.
                handle.statement.renew(self.state.statements().stamp());
            }
            let handle = match standing {
                Standing::Unasked | Standing::Serves => self.state.names.get(given).cloned(),
                _ => self.as_defined_now(given),
            };
            let Some(handle) = handle else { continue };
            let name = self.ensure(&handle);
            let described = Described::Named(given.into(), handle.preparation());
            self.asks(name.as_bytes(), PendingReply::Verifies(described.into()));
        }
        request::put_bare(&mut self.backend.write_buffer, client::FLUSH);
    }

    /// Enters a new preparation, and closes on the server what it displaces.
    pub(super) fn prepare(&mut self, preparation: Preparation) -> (ServerName, Stamp) {
        let stamp = self.state.statements().stamp();
        let name = match self.comparing {
            Comparing::UnderWay => self.backend.prepared.add_beside(preparation, stamp),
            _ => self.backend.prepared.add(preparation, stamp),
        };
        self.metrics.prepared_parsed.inc();
        while let Some(old) = self.backend.prepared.next_retired() {
            request::put_named_statement(&mut self.backend.write_buffer, client::CLOSE, old.as_bytes());
            self.owe(Reply::Close, Action::Swallow, PendingReply::Retires(old.into()));
        }
        (name, stamp)
    }

    /// A simple query in other words than the client's.
    pub(super) fn query_in_stead(&mut self, sql: &[u8], verdict: &Arc<Verdict>) {
        request::put_query(&mut self.backend.write_buffer, sql);
        let pending = self.runs(verdict, Box::default());
        self.owe(Reply::Query, Action::Forward, pending);
    }

    /// A Bind of the client's portal to other words than those of the statement that it names.
    pub(super) fn bind_in_stead(&mut self, frame: &[u8], view: &BindView<'_>, stead: Stead) {
        let write_buffer = &mut self.backend.write_buffer;
        request::put_named_statement(write_buffer, client::CLOSE, WITHIN);
        request::put_parse(write_buffer, WITHIN, &stead.text, &stead.types);
        request::put_bind(write_buffer, frame, view, WITHIN);
        self.owe(Reply::Close, Action::Swallow, PendingReply::None);
        self.owe(Reply::Parse, Action::Swallow, PendingReply::None);
        let pending = self.bound(view.portal, Some(stead.verdict));
        self.owe(Reply::Bind, Action::Forward, pending);
    }

    /// Makes the server's unnamed statement the session's. Its serial, if it has been prepared for that.
    pub(super) fn restore_unnamed(&mut self) -> Option<u64> {
        let Some(unnamed) = &self.state.names.unnamed else {
            // Another session's may be there.
            self.backend.unnamed = None;
            request::put_named_statement(&mut self.backend.write_buffer, client::CLOSE, b"");
            self.owe(Reply::Close, Action::Swallow, PendingReply::RestoresUnnamed);
            return None;
        };
        if self.backend.unnamed == Some(unnamed.serial) {
            return None;
        }
        // One that was too long to be kept is where the session is pinned, or nowhere any more: the server will tell.
        let sql = unnamed.sql.as_ref()?;
        let serial = unnamed.serial;
        self.backend.unnamed = Some(serial);
        request::put_parse(&mut self.backend.write_buffer, b"", sql, &unnamed.types);
        self.owe(Reply::Parse, Action::Swallow, PendingReply::RestoresUnnamed);
        Some(serial)
    }

    /// A Bind of the unnamed statement.
    pub(super) fn bind_unnamed(&mut self, frame: &[u8], view: &BindView<'_>) {
        let restored = self.restore_unnamed();
        let unnamed = self.state.names.unnamed.as_ref();
        let bound = |one: &Unnamed| as_bound(frame, &one.types, one.verdict.clone());
        let (verdict, told) = unnamed.map(|one| (bound(one), one.told)).unzip();
        if unnamed.is_some_and(|one| one.standing == Standing::Differs)
            && self.comparing != Comparing::Needless
        {
            return self.bind_outdated(frame, view);
        }
        if let (Some(serial), Some(Some(_)), Comparing::InFront) = (restored, told, self.comparing) {
            self.asks(b"", PendingReply::Compares(Described::Unnamed(serial).into()));
        }
        verdict.iter().for_each(|verdict| self.remembers(frame, view, verdict));
        self.bind_as_is(frame, view.portal, verdict);
    }

    /// A Bind of a statement that is not any more what its client was told: it fails, as PostgreSQL has it fail.
    pub(super) fn bind_outdated(&mut self, frame: &[u8], view: &BindView<'_>) {
        request::put_bind(&mut self.backend.write_buffer, frame, view, NO_STATEMENT);
        self.owe(Reply::Bind, Action::Forward, PendingReply::Outdated);
    }

    /// A Describe of a portal, which may be the one whose statement its client knows nothing of yet: from what it is told
    /// now it may go on without another question.
    pub(super) fn describe_portal(&mut self, frame: &[u8], (portal, bytes): (Field, &[u8])) {
        self.backend.write_buffer.extend_from_slice(frame);
        let pending = match self.untold.take() {
            Some((bound, statement, preparation)) if bound.of(bytes) == portal.of(bytes) => {
                PendingReply::Describes(Described::Named(statement.of(bytes).into(), preparation).into())
            }
            _ => PendingReply::None,
        };
        self.owe(Reply::DescribePortal, Action::Forward, pending);
    }
}
