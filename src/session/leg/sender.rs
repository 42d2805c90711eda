//! From the client's messages to the server's: names rewritten, what the server lacks put in front, every expected
//! reply entered in the ledger.

use bytes::Bytes;

use crate::backend::Backend;
use crate::backend::ledger::{Action, Batch, Ledger, Reply};
use crate::backend::prepared::{Preparation, ServerName, Standing};
use crate::backend::value::{Span, Value, assignment};
use crate::session::leg::bound_settings::as_bound;
use crate::session::leg::processes;
use crate::session::leg::progress::Progress;
use crate::session::model::positions::{Difference, Rewritten};
use crate::session::model::restore::{restored_by, restores as restores_of};
use crate::session::model::server_words::{parsed_as, queried_as};
use crate::session::model::settings::plain;
use crate::session::model::statements::{Handle, Naming, Unnamed};
use crate::session::model::weir_settings as own;
use crate::session::relay::kept::Keeps;
use crate::session::relay::message::{Field, Message, MessageKind};
use crate::session::relay::pending_reply::{Described, Freed, PendingParse, PendingReply};
use crate::session::state::State;
use crate::session::transaction::Event;
use crate::session::transaction::journal::{Bound, Ran, Run};
use crate::sql::{Discard, Kind, SkeletonId, Statement, Verdict, Why};
use crate::telemetry::metrics::Metrics;
use crate::wire::reply::{CLOSE_COMPLETE, PARSE_COMPLETE};
use crate::wire::request::{self, BindView, ParseView};
use crate::wire::tag::client;
use crate::wire::{HEADER, TxStatus};
use std::sync::Arc;

/// A name that no statement ever has: to bind it fails.
pub(crate) const NO_STATEMENT: &[u8] = b"weir_none";
/// A statement that is deallocated in the place of one that the connection does not hold.
pub(crate) const STAND_IN: &[u8] = b"weir_gone";
/// A statement and a portal of weir's own that last no longer than the client's batch.
pub(crate) const WITHIN: &[u8] = b"weir_within";

/// Writes a session's messages to the connection it has leased.
pub(crate) struct Sender<'a> {
    /// The connection.
    pub backend: &'a mut Backend,
    /// Its ledger.
    pub ledger: &'a mut Ledger<PendingReply>,
    /// What is known of the connection besides.
    pub progress: &'a mut Progress,
    /// The session.
    pub state: &'a mut State,
    /// Transaction status as last known, when nothing is in flight that may change it.
    pub tx: Option<TxStatus>,
    /// Notes of messages that the server will throw away unread.
    pub dropped: Vec<PendingReply>,
    /// What weir answers itself.
    pub keeps: Keeps,
    /// Whose names the server gets for what is parsed now: the client's where the same request speaks of them in SQL.
    pub naming: Naming,
    /// Whether the request may speak of clients' processes.
    pub names_process: bool,
    /// What is done about a statement that may not be any more what the client was told of it.
    pub comparing: Comparing,
    /// The portal bound last and its statement, where the client may be about to be told what that returns.
    pub untold: Option<(Field, Field, Preparation)>,
    /// Counts what is prepared and what was there.
    pub metrics: &'a Metrics,
}

/// What is done about a statement that a request binds and that may not be any more what its client was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparing {
    /// All have been compared.
    Done,
    /// It is under way, and what it needs must be held at once.
    UnderWay,
    /// One that is missing is compared in front of the request, which can run again.
    InFront,
    /// The client is about to be told anew, and takes whatever they are.
    Needless,
}

impl Sender<'_> {
    pub(crate) fn owe(&mut self, reply: Reply, action: Action, pending: PendingReply) {
        if matches!(reply, Reply::Query | Reply::Call) && self.ledger.batch() == Batch::Open {
            self.backend.past.query_in_batch.happens();
        }
        if let Some(dropped) = self.ledger.push(reply, action, pending) {
            self.dropped.push(dropped);
        }
    }

    /// Makes a transaction that has failed, in the place of one whose connection was lost: from here on the server
    /// itself says what may follow. Its log tells why by the savepoint's name. What the client was told of its settings
    /// in the lost one is set first, so that the server tells it of their return.
    pub(crate) fn failed_block(&mut self) {
        let mut sql = String::from("BEGIN");
        for (name, value) in self.state.transaction.reported() {
            sql.push(';');
            sql.push_str(&assignment(name, &Value::Raw(value.clone()), Span::Transaction));
        }
        self.own_query(&sql, PendingReply::None);
        self.own_query("ROLLBACK TO SAVEPOINT weir_lost_connection", PendingReply::Fails);
    }

    /// Makes the transaction fail, because a request of it was cancelled that was never sent.
    pub(crate) fn fail_block(&mut self) {
        self.own_query("ROLLBACK TO SAVEPOINT weir_canceled", PendingReply::Fails);
    }

    /// A simple query of weir's. It takes the unnamed statement with it.
    pub(super) fn own_query(&mut self, sql: &str, pending: PendingReply) {
        self.backend.unnamed = None;
        request::put_query(&mut self.backend.write_buffer, sql.as_bytes());
        self.owe(Reply::Query, Action::Swallow, pending);
    }

    /// One message of the client's, as it was read; `bytes` are the request's.
    pub(crate) fn message(&mut self, message: &Message, bytes: &[u8]) {
        if let Some((said, pending)) = self.state.keeps(self.keeps, message, bytes) {
            // That it begins is known already.
            let pending = match pending {
                PendingReply::Kept(_) if self.keeps == Keeps::Begin => PendingReply::None,
                pending => pending,
            };
            let pending = self.ledger.insert(said.bytes(), pending);
            self.dropped.extend(pending);
            return;
        }
        let frame = message.of(bytes);
        match (message.kind, &message.verdict) {
            (MessageKind::Query { sql }, Some(verdict)) => self.query(frame, Some(sql.of(bytes)), verdict),
            (MessageKind::Malformed(client::QUERY) | MessageKind::Cut(client::QUERY), Some(verdict)) => {
                self.query(frame, None, verdict);
            }
            (MessageKind::FunctionCall { oid }, _) => self.call(frame, oid),
            (MessageKind::Parse { name, sql, types }, Some(verdict)) => {
                let view = ParseView { name: name.of(bytes), sql: sql.of(bytes), types: types.of(bytes) };
                self.parse(frame, &view, verdict);
            }
            (MessageKind::Bind { portal, statement }, _) => {
                self.untold = None;
                let view = BindView { portal: portal.of(bytes), statement: statement.of(bytes) };
                if let Some(preparation) = self.bind(frame, &view) {
                    self.untold = Some((portal, statement, preparation));
                }
            }
            (MessageKind::DescribePortal { name }, _) if self.untold.is_some() => {
                self.describe_portal(frame, (name, bytes));
            }
            (MessageKind::DescribeStatement { name }, _) => self.describe(frame, name.of(bytes)),
            (MessageKind::CloseStatement { name }, _) => self.close(frame, name.of(bytes)),
            (MessageKind::Execute { portal, .. }, _) => self.execute(frame, portal.of(bytes)),
            (MessageKind::Flush, _) => self.backend.write_buffer.extend_from_slice(frame),
            (MessageKind::Cut(client::PARSE), _) => self.parse_cut(frame),
            (MessageKind::Cut(client::BIND), _) => {
                // Its names are longer than what is read of it: what it binds is not known.
                self.state.pins.long_statement();
                self.restore_unnamed();
                self.raw(frame, Reply::Bind);
            }
            (kind, _) => self.raw(frame, kind.answered_by()),
        }
    }

    /// What weir does not read, or cannot: the server judges it.
    fn raw(&mut self, frame: &[u8], reply: Reply) {
        self.backend.write_buffer.extend_from_slice(frame);
        self.owe(reply, Action::Forward, PendingReply::None);
    }

    /// A simple query; `sql` is its text, if that can be read.
    fn query(&mut self, frame: &[u8], sql: Option<&[u8]>, verdict: &Arc<Verdict>) {
        self.backend.unnamed = None;
        if self.ledger.is_discarding() {
            // The server throws it away.
            return self.raw(frame, Reply::Query);
        }
        self.state.names.unnamed = None;
        if let Some(pin) = self.state.refusal(verdict) {
            request::put_query(&mut self.backend.write_buffer, own::refused_statement(pin).as_bytes());
            return self.owe(Reply::Query, Action::Forward, PendingReply::Refused(pin));
        }
        let restores = restored_by(verdict, &self.state.startup());
        if self.names_process
            && restores.is_empty()
            && let Some((sql, verdict)) =
                processes::queried(self.state, self.backend.key.server, sql, verdict)
        {
            return self.query_in_stead(&sql, &verdict);
        }
        let alone = matches!(&*verdict.statements, [Statement { kind: Kind::Discard(Discard::All), .. }]);
        if alone && !restores.is_empty() {
            return self.discard_all(sql.unwrap_or_default(), verdict, restores);
        }
        let owed = self.ledger.len();
        let worded = self.worded(sql, verdict, &restores);
        // Where the text cannot be taken apart nothing is restored, and the next request is preceded by it.
        let restores = if worded.is_some() { restores } else { Box::default() };
        let (worded, differences) = worded.map(|text| (text.sql, text.differences.into())).unzip();
        let worded = worded.or_else(|| self.deallocates(verdict));
        match &worded {
            Some(sql) => {
                if self.ledger.len() > owed {
                    // A Parse went in front: should it fail, the server reads on only after a Sync.
                    request::put_bare(&mut self.backend.write_buffer, client::SYNC);
                    self.owe(Reply::Sync, Action::Swallow, PendingReply::None);
                }
                request::put_query(&mut self.backend.write_buffer, sql);
            }
            None => self.backend.write_buffer.extend_from_slice(frame),
        }
        // In the server's words: another one knows the client's as little.
        let told = worded.as_deref().or(sql).filter(|_| verdict.statements.iter().any(Statement::sets));
        if let Some(sql) = told {
            self.tells_journal(Run { sql: Bytes::copy_from_slice(sql), bound: None });
        }
        let pending = self.runs_as(verdict, restores, differences.unwrap_or_default());
        self.owe(Reply::Query, Action::Forward, pending);
    }

    /// A statement that changes settings is sent: the journal tells of it once it has completed.
    fn tells_journal(&mut self, run: Run) {
        let journal = self.state.transaction.journal_mut().filter(|journal| journal.ran == Ran::Replica);
        journal.into_iter().for_each(|journal| journal.sends(run.clone()));
    }

    /// A portal is bound: the journal remembers to what, should that change settings.
    pub(super) fn remembers(&mut self, frame: &[u8], view: &BindView<'_>, verdict: &Verdict) {
        let names = &self.state.names;
        let Some(journal) = self.state.transaction.journal_mut().filter(|one| one.ran == Ran::Replica) else {
            return;
        };
        if !verdict.statements.iter().any(Statement::sets) {
            return journal.binds(view.portal, None);
        }
        let told = match view.statement {
            b"" => names.unnamed.as_ref().map(|one| (one.sql.clone(), one.types.clone())),
            name => names.get(name).map(|handle| {
                (Some(Bytes::copy_from_slice(&handle.statement.sql)), handle.statement.types.clone())
            }),
        };
        let run = told.and_then(|(sql, types)| {
            let sql = parsed_as(verdict).map_or(sql?, Bytes::from);
            Some(Run { sql, bound: Some(Bound { types, frame: Bytes::copy_from_slice(frame) }) })
        });
        journal.binds(view.portal, run);
    }

    /// The text for the server in the place of a simple query.
    fn worded(&self, sql: Option<&[u8]>, verdict: &Verdict, restores: &[usize]) -> Option<Rewritten> {
        if restores.is_empty() && !verdict.statements.iter().any(own::concerns_weir) {
            return None;
        }
        let startup = self.state.startup();
        let more = |statement: &Statement| -> Vec<String> {
            restores_of(statement, &startup).into_iter().map(|(_, sql)| sql).collect()
        };
        let encoding = self.state.settings().wanted().get("client_encoding").map(plain).unwrap_or_default();
        queried_as(&self.state.shown, sql?, verdict, more, &encoding)
    }

    fn call(&mut self, frame: &[u8], function: Option<u32>) {
        self.state.pins.call(function);
        self.raw(frame, Reply::Call);
    }

    /// A Parse that is too long to be kept: its statement lives on this connection alone, under the client's own name,
    /// so the session stays there and nobody else gets the connection.
    fn parse_cut(&mut self, frame: &[u8]) {
        self.state.pins.long_statement();
        if frame.get(HEADER) == Some(&0) {
            let serial = self.state.statements().stamp().0;
            self.backend.unnamed = Some(serial);
            let verdict = Arc::new(Verdict::opaque(SkeletonId(0), Why::TooLong));
            self.state.names.unnamed = Some(Unnamed::new(serial, None, Bytes::new(), verdict));
        }
        self.raw(frame, Reply::Parse);
    }

    fn parse(&mut self, frame: &[u8], view: &ParseView<'_>, verdict: &Arc<Verdict>) {
        if let Some(pin) = self.state.refusal(verdict) {
            if view.name.is_empty() {
                self.state.names.unnamed = None;
            }
            let sql = own::refused_statement(pin);
            request::put_parse(&mut self.backend.write_buffer, NO_STATEMENT, sql.as_bytes(), &[0, 0]);
            return self.owe(Reply::Parse, Action::Forward, PendingReply::Refused(pin));
        }
        let own = parsed_as(verdict).map(String::into_bytes);
        let rewritten = own.or_else(|| self.deallocates(verdict));
        if view.name.is_empty() {
            return self.parse_unnamed(frame, view, verdict, rewritten);
        }
        let sql = rewritten.as_deref().unwrap_or(view.sql);
        let mut handle = self.state.handle(sql, view.types, verdict);
        if self.state.names.get(view.name).is_some() {
            return self.duplicate(view.name, &handle);
        }
        if self.naming == Naming::Clients || self.state.pins.prepares() {
            // SQL may have taken the name, or ask for it.
            handle.naming = Naming::Clients;
            self.state.names.insert(view.name, handle);
            self.state.pins.prepare(view.name);
            request::put_parse(&mut self.backend.write_buffer, view.name, sql, view.types);
            let pending = PendingReply::Parsed(Box::new(PendingParse { name: view.name.into(), sent: None }));
            return self.owe(Reply::Parse, Action::Forward, pending);
        }
        self.state.names.insert(view.name, handle.clone());
        let mut pending = PendingParse { name: view.name.into(), sent: None };
        // In a failed transaction the server must have its say, and while the status is unknown it may have failed.
        let answerable = matches!(self.tx, Some(TxStatus::Idle | TxStatus::Open));
        let preparation = handle.preparation();
        if answerable && self.backend.prepared.name(preparation).is_some() {
            self.metrics.prepared_reused.inc();
            let pending = self.ledger.insert(PARSE_COMPLETE, PendingReply::Parsed(Box::new(pending)));
            self.dropped.extend(pending);
            return;
        }
        let (name, stamp) = self.prepare(preparation);
        pending.sent = Some((preparation, stamp));
        request::put_parse(&mut self.backend.write_buffer, name.as_bytes(), sql, view.types);
        self.owe(Reply::Parse, Action::Forward, PendingReply::Parsed(Box::new(pending)));
    }

    fn parse_unnamed(
        &mut self,
        frame: &[u8],
        view: &ParseView<'_>,
        verdict: &Arc<Verdict>,
        rewritten: Option<Vec<u8>>,
    ) {
        let stamp = self.state.statements().stamp();
        let sql = Bytes::copy_from_slice(rewritten.as_deref().unwrap_or(view.sql));
        let types = Bytes::copy_from_slice(view.types);
        let unnamed = Unnamed::new(stamp.0, Some(sql), types, verdict.clone());
        self.backend.unnamed = Some(unnamed.serial);
        match rewritten {
            Some(sql) => request::put_parse(&mut self.backend.write_buffer, b"", &sql, view.types),
            None => self.backend.write_buffer.extend_from_slice(frame),
        }
        let before = self.state.names.unnamed.replace(unnamed);
        let pending = PendingReply::ParsedUnnamed(stamp.0, before.map(Box::new));
        self.owe(Reply::Parse, Action::Forward, pending);
    }

    /// A name that is taken: the server itself is made to refuse it, so that whatever else it would refuse first, and
    /// the state of the transaction afterwards, are its own.
    fn duplicate(&mut self, given: &[u8], handle: &Handle) {
        if self.state.names.get(given).is_some_and(|known| known.naming == Naming::Clients) {
            let statement = &handle.statement;
            request::put_parse(&mut self.backend.write_buffer, given, &statement.sql, &statement.types);
            return self.owe(Reply::Parse, Action::Forward, PendingReply::None);
        }
        let name = self.ensure(handle);
        let statement = &handle.statement;
        request::put_parse(&mut self.backend.write_buffer, name.as_bytes(), &statement.sql, &statement.types);
        self.owe(Reply::Parse, Action::Forward, PendingReply::Duplicate(Box::new((given.into(), name))));
    }

    /// Gives back what the statement is prepared as, where its client may still have to be told what it returns.
    fn bind(&mut self, frame: &[u8], view: &BindView<'_>) -> Option<Preparation> {
        if self.names_process
            && let Some(stead) = processes::bound(self.state, self.backend.key.server, frame, view)
        {
            self.bind_in_stead(frame, view, stead);
            return None;
        }
        if view.statement.is_empty() {
            self.bind_unnamed(frame, view);
            return None;
        }
        let Some(handle) = self.state.names.get(view.statement) else {
            if is_weirs(view.statement) {
                request::put_bind(&mut self.backend.write_buffer, frame, view, NO_STATEMENT);
                self.owe(Reply::Bind, Action::Forward, PendingReply::Foreign(view.statement.into()));
            } else {
                // SQL may have prepared it; otherwise the server says in its own words that it is not known.
                self.bind_as_is(frame, view.portal, None);
            }
            return None;
        };
        let verdict = as_bound(frame, &handle.statement.types, handle.statement.verdict.clone());
        let told = handle.told;
        let (naming, preparation) = (handle.naming, handle.preparation());
        self.remembers(frame, view, &verdict);
        if naming == Naming::Clients {
            self.bind_as_is(frame, view.portal, Some(verdict));
            return None;
        }
        let (held, standing) = self.backend.prepared.find(preparation, told);
        let refused = match (standing, self.comparing) {
            (Standing::Serves, _) | (_, Comparing::Needless) => false,
            (Standing::Differs | Standing::TakesOthers, _) => true,
            // It was to be compared and was not: rather an error too many than rows of another shape.
            (Standing::Missing | Standing::Unasked, comparing) => {
                told.is_some() && comparing == Comparing::Done
            }
        };
        if refused {
            self.bind_outdated(frame, view);
            return None;
        }
        let (name, preparation) = self.serve_named(view.statement, preparation, held);
        if standing != Standing::Serves && told.is_some() && self.comparing == Comparing::InFront {
            let described = Described::Named(view.statement.into(), preparation);
            self.asks(name.as_bytes(), PendingReply::Compares(described.into()));
        }
        request::put_bind(&mut self.backend.write_buffer, frame, view, name.as_bytes());
        let pending = self.bound(view.portal, Some(verdict));
        self.owe(Reply::Bind, Action::Forward, pending);
        (told.is_none() || standing != Standing::Serves).then_some(preparation)
    }

    /// A Bind under the name that the client gives.
    pub(super) fn bind_as_is(&mut self, frame: &[u8], portal: &[u8], verdict: Option<Arc<Verdict>>) {
        self.backend.write_buffer.extend_from_slice(frame);
        let pending = self.bound(portal, verdict);
        self.owe(Reply::Bind, Action::Forward, pending);
    }

    pub(super) fn bound(&mut self, portal: &[u8], verdict: Option<Arc<Verdict>>) -> PendingReply {
        let before = self.state.names.bind(portal, verdict);
        PendingReply::Bound(portal.into(), before)
    }

    fn describe(&mut self, frame: &[u8], given: &[u8]) {
        if given.is_empty() {
            self.restore_unnamed();
            let serial = self.state.names.unnamed.as_ref().map(|unnamed| unnamed.serial);
            let describes = |serial| PendingReply::Describes(Described::Unnamed(serial).into());
            self.backend.write_buffer.extend_from_slice(frame);
            let pending = serial.map_or(PendingReply::None, describes);
            return self.owe(Reply::DescribeStatement, Action::Forward, pending);
        }
        let Some(handle) = self.state.names.get(given) else {
            if !is_weirs(given) {
                return self.raw(frame, Reply::DescribeStatement);
            }
            request::put_named_statement(&mut self.backend.write_buffer, client::DESCRIBE, NO_STATEMENT);
            let pending = PendingReply::Foreign(given.into());
            return self.owe(Reply::DescribeStatement, Action::Forward, pending);
        };
        if handle.naming == Naming::Clients {
            return self.raw(frame, Reply::DescribeStatement);
        }
        let preparation = handle.preparation();
        let held = self.backend.prepared.name(preparation);
        let (name, preparation) = self.serve_named(given, preparation, held);
        request::put_named_statement(&mut self.backend.write_buffer, client::DESCRIBE, name.as_bytes());
        let pending = PendingReply::Describes(Described::Named(given.into(), preparation).into());
        self.owe(Reply::DescribeStatement, Action::Forward, pending);
    }

    fn close(&mut self, frame: &[u8], given: &[u8]) {
        if given.is_empty() {
            self.state.names.unnamed = None;
            self.backend.unnamed = None;
            return self.raw(frame, Reply::Close);
        }
        let Some(handle) = self.state.names.close(given) else {
            if !is_weirs(given) {
                return self.raw(frame, Reply::Close);
            }
            request::put_named_statement(&mut self.backend.write_buffer, client::CLOSE, NO_STATEMENT);
            return self.owe(Reply::Close, Action::Forward, PendingReply::None);
        };
        if handle.naming == Naming::Clients {
            self.state.pins.deallocate(given);
            self.backend.write_buffer.extend_from_slice(frame);
            let pending = PendingReply::Closed(Box::new((given.into(), handle)));
            return self.owe(Reply::Close, Action::Forward, pending);
        }
        let pending =
            self.ledger.insert(CLOSE_COMPLETE, PendingReply::Closed(Box::new((given.into(), handle))));
        self.dropped.extend(pending);
    }

    fn execute(&mut self, frame: &[u8], portal: &[u8]) {
        let verdict = self.state.names.portal(portal).cloned();
        if let Some(verdict) = &verdict {
            self.tell_weir_setting(verdict);
        }
        self.state.transaction.journal_mut().into_iter().for_each(|journal| journal.executes(portal));
        let restores = verdict.as_ref().map(|verdict| restored_by(verdict, &self.state.startup()));
        let pending = match (&verdict, restores.clone()) {
            (Some(verdict), Some(restores)) => self.runs(verdict, restores),
            _ => PendingReply::None,
        };
        self.backend.write_buffer.extend_from_slice(frame);
        self.owe(Reply::Execute, Action::Forward, pending);
        if let (Some(verdict), Some([_])) = (&verdict, restores.as_deref()) {
            verdict.statements.iter().for_each(|statement| self.restore(statement));
        }
    }

    /// Tells the server the value that it is about to show of one of weir's own settings, up to the end of the
    /// transaction. Within the client's batch, so that it is right at each execution, whatever came before.
    fn tell_weir_setting(&mut self, verdict: &Arc<Verdict>) {
        let Some(sql) = self.state.shown.in_front_of(verdict) else { return };
        // By this an error is known to be in the place of a value that is not known.
        self.run_within(sql.as_bytes(), PendingReply::Runs(verdict.clone()));
    }

    /// Runs a statement of weir's own within the client's batch, with this pending reply for its execution. It fails in
    /// the client's stead.
    pub(crate) fn run_within(&mut self, sql: &[u8], pending: PendingReply) {
        // Closed first, in case it was left behind an error.
        let write_buffer = &mut self.backend.write_buffer;
        request::put_named_statement(write_buffer, client::CLOSE, WITHIN);
        request::put_run(write_buffer, WITHIN, sql);
        request::put_close_portal(write_buffer, WITHIN);
        for reply in [Reply::Close, Reply::Parse, Reply::Bind] {
            self.owe(reply, Action::Swallow, PendingReply::None);
        }
        self.owe(Reply::Execute, Action::Swallow, pending);
        self.owe(Reply::Close, Action::Swallow, PendingReply::None);
    }

    /// `DEALLOCATE name` of a statement that the client prepared by protocol, with the server's name for it.
    fn deallocates(&mut self, verdict: &Verdict) -> Option<Vec<u8>> {
        let [statement] = &*verdict.statements else { return None };
        let Kind::Deallocate(Some(name)) = &statement.kind else { return None };
        let handle = self.state.names.get(name.as_bytes())?.clone();
        if handle.naming == Naming::Clients {
            return None;
        }
        if let Some(server) = self.backend.prepared.name(handle.preparation()) {
            return Some([b"DEALLOCATE ", server.as_bytes()].concat());
        }
        // Not there. An empty statement is prepared in its stead, which always can be, in a failed transaction too.
        request::put_named_statement(&mut self.backend.write_buffer, client::CLOSE, STAND_IN);
        request::put_parse(&mut self.backend.write_buffer, STAND_IN, b"", &[0, 0]);
        self.owe(Reply::Close, Action::Swallow, PendingReply::None);
        self.owe(Reply::Parse, Action::Swallow, PendingReply::None);
        Some([b"DEALLOCATE ", STAND_IN].concat())
    }

    /// What is to be remembered of a query or an execution. The names that it frees are free for whatever the client
    /// sends behind it, so they are taken now.
    pub(crate) fn runs(&mut self, verdict: &Arc<Verdict>, restores: Box<[usize]>) -> PendingReply {
        self.runs_as(verdict, restores, Box::default())
    }

    /// The same, of a text that differs from the client's in these places.
    fn runs_as(
        &mut self,
        verdict: &Arc<Verdict>,
        restores: Box<[usize]>,
        differences: Box<[Difference]>,
    ) -> PendingReply {
        if !State::matters(verdict) {
            return PendingReply::None;
        }
        if verdict.statements.iter().any(changes_settings) {
            self.state.transaction.on(Event::Sets);
        }
        let mut held = Vec::new();
        let names = self.free(verdict, &mut held);
        if names.is_empty() && held.is_empty() && restores.is_empty() && differences.is_empty() {
            return PendingReply::Runs(verdict.clone());
        }
        PendingReply::Frees(Box::new(Freed { verdict: verdict.clone(), names, held, restores, differences }))
    }

    fn free(&mut self, verdict: &Verdict, held: &mut Vec<ServerName>) -> Vec<(Box<[u8]>, Handle)> {
        let mut freed = Vec::new();
        for statement in &verdict.statements {
            match &statement.kind {
                Kind::Deallocate(None) | Kind::Discard(Discard::All) => {
                    held.extend(self.backend.prepared.take_all());
                    freed.extend(self.state.names.close_all());
                }
                Kind::Deallocate(Some(name)) => {
                    if let Some(handle) = self.state.names.close(name.as_bytes()) {
                        held.extend(self.backend.prepared.gone(handle.preparation()));
                        freed.push((name.as_bytes().into(), handle));
                    }
                }
                _ => {}
            }
        }
        freed
    }
}

/// Whether settings may be others behind the statement.
fn changes_settings(statement: &Statement) -> bool {
    !statement.effects.settings.is_empty()
        || matches!(statement.kind, Kind::Reset(_) | Kind::Discard(Discard::All))
}

/// Whether a name looks like one of weir's own. A client that guesses one must not reach another's statement.
fn is_weirs(name: &[u8]) -> bool {
    name.starts_with(b"weir_")
}
