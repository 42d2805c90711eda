//! A server is told of a transaction of which it does not know yet: BEGIN, and what its client has said behind that.
//!
//! All of it goes out with the request that needs it, and is answered to nobody. Should any of it fail, what stands behind
//! it fails too, and the connection is given up.

use crate::backend::ledger::{Action, Reply};
use crate::router::Route;
use crate::session::leg::Leg;
use crate::session::leg::sender::{Sender, WITHIN};
use crate::session::model::savepoints::Control;
use crate::session::relay::pending_reply::PendingReply;
use crate::session::state::State;
use crate::session::transaction::Event;
use crate::session::transaction::journal::{Bound, Entry, Judged, Ran};
use crate::sql::Isolation;
use crate::telemetry::metrics::Metrics;
use crate::wire::TxStatus;
use crate::wire::request::{self, BindView};
use crate::wire::tag::client;

impl Leg {
    /// Has the server stand where the client stands. `default` is the isolation level of the session's transactions, where
    /// it is not PostgreSQL's.
    pub(crate) fn begin(
        &mut self,
        state: &mut State,
        metrics: &Metrics,
        judged: Judged,
        default: Option<Isolation>,
    ) {
        let ran = match self.route {
            Route::Primary => Ran::Primary,
            Route::Replica => Ran::Replica,
        };
        let failed = state.transaction.status() == TxStatus::Failed;
        let mut sender = self.sender(state, metrics, Some(TxStatus::Idle));
        sender.settings();
        sender.begins(judged);
        if failed {
            sender.own_query("ROLLBACK TO SAVEPOINT weir_failed", PendingReply::Fails);
        }
        self.progress.carried.begins(state.transaction.undoable());
        state.transaction.on(Event::Begins(ran, default));
    }
}

impl Sender<'_> {
    fn begins(&mut self, judged: Judged) {
        let Some(journal) = self.state.transaction.journal().cloned() else { return };
        let mut sql = journal.begin(judged).into_bytes();
        for entry in journal.entries() {
            match entry {
                Entry::Savepoint(name) => {
                    let quoted = name.replace('"', "\"\"");
                    sql.extend_from_slice(format!("\n;SAVEPOINT \"{quoted}\"").as_bytes());
                }
                Entry::Ran(run) => match &run.bound {
                    None => {
                        // Behind a line break, as a comment may have ended what stands before.
                        sql.extend_from_slice(b"\n;");
                        sql.extend_from_slice(&run.sql);
                    }
                    Some(bound) => {
                        self.tells(&std::mem::take(&mut sql));
                        self.runs_bound(&run.sql, bound);
                    }
                },
                Entry::Portal(..) => {}
            }
        }
        self.tells(&sql);
    }

    fn tells(&mut self, sql: &[u8]) {
        let sql = sql.strip_prefix(b"\n;").unwrap_or(sql);
        if sql.is_empty() {
            return;
        }
        self.backend.unnamed = None;
        request::put_query(&mut self.backend.write_buffer, sql);
        self.owe(Reply::Query, Action::Swallow, PendingReply::Begins);
    }

    fn runs_bound(&mut self, sql: &[u8], bound: &Bound) {
        let out = &mut self.backend.write_buffer;
        request::put_named_statement(out, client::CLOSE, WITHIN);
        request::put_parse(out, WITHIN, sql, &bound.types);
        let Some(view) = request::bind(&bound.frame) else { return };
        request::put_bound_run(out, &bound.frame, &BindView { ..view }, WITHIN);
        request::put_bare(out, client::SYNC);
        for reply in [Reply::Close, Reply::Parse, Reply::Bind, Reply::Execute, Reply::Close, Reply::Sync] {
            self.owe(reply, Action::Swallow, PendingReply::Begins);
        }
    }
}
