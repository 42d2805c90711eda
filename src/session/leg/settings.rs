//! What a connection is told of its client's settings, so that it carries what the client wants.
//!
//! It never waits for the server's word: `flow::execute` does, where that matters.

use crate::backend::ledger::{Action, Reply};
use crate::session::leg::NamedBy;
use crate::session::leg::sender::Sender;
use crate::session::relay::pending_reply::PendingReply;
use crate::wire::{TxStatus, request};

impl Sender<'_> {
    /// Brings the connection's settings to what the client wants. Not within a batch: a simple query would end it.
    pub(crate) fn settings(&mut self) {
        let sql = self.progress.carried.now().difference(self.state.settings().wanted());
        if sql.is_empty() {
            return;
        }
        request::put_query(&mut self.backend.write_buffer, sql.as_bytes());
        self.backend.unnamed = None;
        self.owe(Reply::Query, Action::Swallow, PendingReply::Applies);
        self.progress.unconfirmed.sent();
        self.told(self.tx.unwrap_or_default());
    }

    /// Gives the connection the client's name within the batch or query that comes next, so that the server answers both
    /// at once. It is taken back should that fail.
    pub(crate) fn name_within(&mut self) {
        let sql = self.state.settings().wanted().name_statement();
        request::put_run(&mut self.backend.write_buffer, b"", sql.as_bytes());
        self.backend.unnamed = None;
        self.owe(Reply::Parse, Action::Swallow, PendingReply::Applying);
        self.owe(Reply::Bind, Action::Swallow, PendingReply::Applying);
        self.owe(Reply::Execute, Action::Swallow, PendingReply::Applies);
        self.progress.unconfirmed.sent();
        self.progress.naming = NamedBy::Weir;
        self.told(TxStatus::Open);
    }

    /// Whether the connection lacks nothing but the client's name.
    pub(crate) fn lacks_name_only(&self) -> bool {
        self.progress.carried.lacks_name_only(self.state.settings().wanted())
    }

    fn told(&mut self, tx: TxStatus) {
        let wanted = self.state.settings().wanted().clone();
        self.progress.carried.told(&wanted, tx);
    }
}
