//! A server is told of a transaction of which it does not know yet: BEGIN, and what its client has said behind that.
//!
//! All of it goes out with the request that needs it, and is answered to nobody. Should any of it fail, what stands behind
//! it fails too, and the connection is given up.

use crate::backend::ledger::{Action, Reply};
use crate::router::Route;
use crate::session::leg::Leg;
use crate::session::leg::sender::{Sender, WITHIN};
use crate::session::relay::pending_reply::PendingReply;
use crate::session::state::State;
use crate::session::transaction::Event;
use crate::session::transaction::journal::{Bound, Entry, Ran, Run};
use crate::sql::Isolation;
use crate::telemetry::metrics::Metrics;
use crate::wire::TxStatus;
use crate::wire::request;
use crate::wire::tag::client;

impl Leg {
    /// Has the server stand where the client stands: `begin` is told first. `default` is the isolation level of the session's
    /// transactions, where it is not PostgreSQL's. Where the transaction has failed, the statements of these names are
    /// prepared before it fails there too: behind that none can be.
    pub(crate) fn begin<'a>(
        &mut self,
        state: &mut State,
        metrics: &Metrics,
        (begin, default): (String, Option<Isolation>),
        names: impl Iterator<Item = &'a [u8]>,
    ) {
        let ran = match self.route {
            Route::Primary => Ran::Primary,
            Route::Replica => Ran::Replica,
        };
        let failed = state.transaction.status() == TxStatus::Failed;
        let mut sender = self.sender(state, metrics, Some(TxStatus::Idle));
        sender.settings();
        sender.backend.past.placeholders.join(&sender.state.pins.spoken.placeholders);
        says(&mut sender, begin.into_bytes());
        if failed {
            names.for_each(|name| sender.ensure_apart(name));
            sender.own_query("ROLLBACK TO SAVEPOINT weir_failed", PendingReply::Fails);
        }
        let attainable = |settings: &_| state.attainable(settings).into_owned();
        self.progress.carried.begins(state.transaction.undoable(), attainable);
        state.transaction.on(Event::Begins(ran, default));
    }
}

/// Tells BEGIN in these words, and what the client has said behind that.
fn says(sender: &mut Sender<'_>, mut sql: Vec<u8>) {
    let Some(journal) = sender.state.transaction.journal().cloned() else { return };
    for entry in journal.entries() {
        match entry {
            Entry::Savepoint(name) => {
                let quoted = name.replace('"', "\"\"");
                sql.extend_from_slice(format!("\n;SAVEPOINT \"{quoted}\"").as_bytes());
            }
            Entry::Ran(Run { sql: text, bound: None }) => {
                // Behind a line break, as a comment may have ended what stands before.
                sql.extend_from_slice(b"\n;");
                sql.extend_from_slice(text);
            }
            Entry::Ran(Run { sql: text, bound: Some(bound) }) => {
                tells(sender, &std::mem::take(&mut sql));
                runs(sender, text, bound);
            }
            Entry::Portal(..) => {}
        }
    }
    tells(sender, &sql);
}

fn tells(sender: &mut Sender<'_>, sql: &[u8]) {
    let sql = sql.strip_prefix(b"\n;").unwrap_or(sql);
    if !sql.is_empty() {
        sender.backend.unnamed = None;
        request::put_query(&mut sender.backend.write_buffer, sql);
        sender.owe(Reply::Query, Action::Swallow, PendingReply::Begins);
    }
}

fn runs(sender: &mut Sender<'_>, sql: &[u8], bound: &Bound) {
    let Some(view) = request::bind(&bound.frame) else { return };
    let out = &mut sender.backend.write_buffer;
    request::put_named_statement(out, client::CLOSE, WITHIN);
    request::put_parse(out, WITHIN, sql, &bound.types);
    request::put_bound_run(out, &bound.frame, &view, WITHIN);
    request::put_bare(out, client::SYNC);
    for reply in [Reply::Close, Reply::Parse, Reply::Bind, Reply::Execute, Reply::Close, Reply::Sync] {
        sender.owe(reply, Action::Swallow, PendingReply::Begins);
    }
}
