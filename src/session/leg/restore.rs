//! Behind a reset the connection is told what the client came with: see [`restores`].

use std::sync::Arc;

use crate::backend::ledger::{Action, Reply};
use crate::session::leg::sender::Sender;
use crate::session::model::restore::restores;
use crate::session::relay::pending_reply::PendingReply;
use crate::sql::{Statement, Verdict};
use crate::wire::request;
use crate::wire::tag::client;

impl Sender<'_> {
    /// Restores what a statement has just reset, within the client's batch.
    pub(crate) fn restore(&mut self, statement: &Statement) {
        for (_, sql) in restores(statement, self.state.settings().startup()) {
            self.run_within(sql.as_bytes(), PendingReply::None);
        }
    }

    /// `DISCARD ALL` as a simple query, which cannot share its string with others: as a batch that looks the same.
    pub(crate) fn discard_all(&mut self, sql: &[u8], verdict: &Arc<Verdict>, restores: Box<[usize]>) {
        request::put_run(&mut self.backend.write_buffer, b"", sql);
        self.owe(Reply::Parse, Action::Swallow, PendingReply::None);
        self.owe(Reply::Bind, Action::Swallow, PendingReply::None);
        let note = self.runs(verdict, restores);
        self.owe(Reply::Execute, Action::Forward, note);
        verdict.statements.iter().for_each(|statement| self.restore(statement));
        request::put_bare(&mut self.backend.write_buffer, client::SYNC);
        self.owe(Reply::Sync, Action::Forward, PendingReply::None);
    }
}
