//! What a connection must hold before a message of the client's can be written: its settings, also behind a reset, the
//! statement that the message names, prepared under weir's name for it, and the session's unnamed one.
//!
//! It never decides whether a statement is wanted; the sender does.

use std::sync::Arc;

use crate::backend::ledger::{Action, Reply};
use crate::backend::prepared::{Preparation, ServerName, Stamp};
use crate::session::leg::progress::Sent;
use crate::session::leg::sender::Sender;
use crate::session::model::restore::restores;
use crate::session::model::statement::Statement as Prepared;
use crate::session::model::statements::Handle;
use crate::session::relay::pending_reply::PendingReply;
use crate::sql::{Statement, Verdict};
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

    /// The server's name for the client's statement. Where the server lacks the preparation that the client knows, a
    /// new one serves: that its result is the same was verified before, or the client never asked for it.
    pub(super) fn ensure_named(&mut self, given: &[u8], handle: &Handle) -> ServerName {
        if let Some(name) = self.backend.prepared.name(handle.preparation()) {
            self.metrics.prepared_reused.inc();
            return name;
        }
        let statement = self.as_read_now(&handle.statement);
        let epoch = statement.epoch(self.state.database().ddl());
        let handle = Handle { statement, epoch, ..handle.clone() };
        if let Some(known) = self.state.names.get_mut(given) {
            *known = handle.clone();
        }
        self.ensure(&handle)
    }

    /// The statement of this text whose constants are read by the session's settings as they are now: what is prepared
    /// under them must not be taken for the one that was prepared under others.
    fn as_read_now(&self, statement: &Arc<Prepared>) -> Arc<Prepared> {
        let statements = self.state.statements();
        let reading = self.state.reading();
        if statement.reading == reading {
            return statement.clone();
        }
        statements.intern(&statement.sql, &statement.types, &statement.verdict, reading)
    }

    /// The server's name for a statement, prepared in front of the next message if need be.
    pub(super) fn ensure(&mut self, handle: &Handle) -> ServerName {
        let preparation = handle.preparation();
        if let Some(name) = self.backend.prepared.name(preparation) {
            self.metrics.prepared_reused.inc();
            return name;
        }
        let (name, stamp) = self.prepare(preparation);
        let statement = &handle.statement;
        request::put_parse(&mut self.backend.write_buffer, name.as_bytes(), &statement.sql, &statement.types);
        self.owe(Reply::Parse, Action::Swallow, PendingReply::Prepares(preparation, stamp));
        name
    }

    /// Prepares the client's statement as definitions are now and asks what its result is.
    pub(crate) fn verify(&mut self, given: &[u8]) {
        let Some(handle) = self.state.names.get(given).cloned() else { return };
        let statement = self.as_read_now(&handle.statement);
        let epoch = statement.epoch(self.state.database().ddl());
        let handle = Handle { statement, epoch, ..handle };
        let name = self.ensure(&handle);
        request::put_named_statement(&mut self.backend.write_buffer, client::DESCRIBE, name.as_bytes());
        self.owe(Reply::DescribeStatement, Action::Swallow, PendingReply::Verifies(given.into()));
        request::put_bare(&mut self.backend.write_buffer, client::FLUSH);
        if let Some(known) = self.state.names.get_mut(given) {
            *known = handle;
        }
    }

    /// Enters a new preparation, and closes on the server what it displaces.
    pub(super) fn prepare(&mut self, preparation: Preparation) -> (ServerName, Stamp) {
        let stamp = self.state.statements().stamp();
        let name = self.backend.prepared.add(preparation, stamp);
        self.metrics.prepared_parsed.inc();
        while let Some(old) = self.backend.prepared.next_retired() {
            request::put_named_statement(&mut self.backend.write_buffer, client::CLOSE, old.as_bytes());
            self.owe(Reply::Close, Action::Swallow, PendingReply::Retires(old));
        }
        (name, stamp)
    }

    /// Makes the server's unnamed statement the session's.
    pub(super) fn restore_unnamed(&mut self) {
        let Some(unnamed) = &self.state.names.unnamed else {
            // Another session's may be there.
            self.backend.unnamed = None;
            request::put_named_statement(&mut self.backend.write_buffer, client::CLOSE, b"");
            return self.owe(Reply::Close, Action::Swallow, PendingReply::RestoresUnnamed);
        };
        if self.backend.unnamed == Some(unnamed.serial) {
            return;
        }
        // One that was too long to be kept is where the session is pinned, or nowhere any more: the server will tell.
        let Some(sql) = &unnamed.sql else { return };
        self.backend.unnamed = Some(unnamed.serial);
        request::put_parse(&mut self.backend.write_buffer, b"", sql, &unnamed.types);
        self.owe(Reply::Parse, Action::Swallow, PendingReply::RestoresUnnamed);
    }
}
