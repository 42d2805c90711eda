//! What belongs to a client: who it is, what it has set, prepared, written and seen. It goes along from connection to
//! connection, and never holds one.

pub(crate) mod accounts;
mod counts;
mod ddl;
pub(crate) mod defaults;
mod pin_log;
mod pinning;
pub(crate) mod routing_settings;
mod slow_query;
mod who;

pub(crate) use who::Who;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::backend::ledger::Batch;
use crate::backend::settings::Settings;
use crate::cluster::catalog::Catalog;
use crate::cluster::topology::ServerId;
use crate::router::{Decision, Route, SessionView, Transaction};
use crate::session::consistency::observed_reads::Touched;
use crate::session::consistency::requirement::{Basis, Clock, Levels, Requirement};
use crate::session::consistency::tracking::{
    Acknowledged, Answers, KindOfMark, Tracking, mark, may_write_unseen,
};
use crate::session::conversation::counts::{Counts, access};
use crate::session::conversation::defaults::SessionDefaults;
use crate::session::conversation::pin_log::PinLog;
use crate::session::conversation::routing_settings::{RoutingSettings, WeirSettings, strings};
use crate::session::conversation::slow_query::{Slow, SlowQueryTrail};
use crate::session::leg::Leg;
use crate::session::leg::progress::Sent;
use crate::session::leg::state::LegState;
use crate::session::relay::facts::{Fact, controls, leaves_nothing};
use crate::session::relay::kept::Keeps;
use crate::session::relay::request::Request;
use crate::session::shared::Shared;
use crate::session::shared::policy::Policy;
use crate::session::shared::processes::Processes;
use crate::session::shared::registry::Entry;
use crate::session::shared::spans::OpenSpans;
use crate::session::state::State;
use crate::session::transaction::journal::Journal;
use crate::session::transaction::{Event, Snapshots};
use crate::sql::{
    Consistency, Hint, LongText, Pin, SkeletonId, StandardConformingStrings, Transactions, Verdict,
};
use crate::telemetry::metrics::Access;

/// Requests at the front of the client's buffer that were run before.
#[derive(Debug)]
pub(crate) struct Rerun {
    pub left: usize,
    pub cause: Cause,
}

/// Why requests came back.
#[derive(Debug)]
pub(crate) enum Cause {
    /// A server answered with an error of this SQLSTATE. They go to the primary.
    Error(String),
    /// Their connection to a replica was lost. They go to the primary.
    ReplicaLost,
    /// Their connection to the primary was lost. They go where they would.
    PrimaryLost,
}

impl Cause {
    /// The SQLSTATE of the error, if it was one.
    pub(crate) fn sqlstate(&self) -> Option<&str> {
        match self {
            Cause::Error(sqlstate) => Some(sqlstate),
            Cause::ReplicaLost | Cause::PrimaryLost => None,
        }
    }
}

/// A client and all that is known of it.
pub(crate) struct Conversation {
    pub shared: Arc<Shared>,
    /// The policy by which the request under way is served.
    pub policy: Arc<Policy>,
    pub who: Box<Who>,
    /// The session as others see it.
    pub entry: Arc<Entry>,
    /// What it has set, prepared and left on connections.
    pub state: Box<State>,
    /// Its settings as routing reads them.
    pub routing: Box<RoutingSettings>,
    /// How strings are read where it has set nothing.
    told_strings: StandardConformingStrings,
    /// What it has where it has set nothing.
    pub defaults: Box<SessionDefaults>,
    /// What it has written and seen.
    pub tracking: Tracking,
    pub rerun: Option<Rerun>,
    /// How many connections were lost, one after the other, under what is in flight.
    pub losses: usize,
    /// What is counted of it.
    pub counts: Counts,
    /// What has been told of its pins.
    pub pins_told: PinLog,
    /// What a slow-query line would say of the flight.
    pub trail: SlowQueryTrail,
    /// Where the last request went that did not only ask about weir, and why.
    pub last_route: Option<(ServerId, Decision)>,
}

impl Conversation {
    /// Of a client that begins with these settings.
    pub(crate) fn new(shared: Arc<Shared>, who: Who, entry: Arc<Entry>, startup: Settings) -> Self {
        let (statements, nowhere) = (shared.statements.clone(), shared.nowhere.clone());
        let processes = Processes::of(&entry, shared.pools.notifiers().clone(), shared.registry.clone());
        let mut state = State::new(startup, statements, nowhere, processes);
        let policy = Arc::clone(&shared.policy());
        state.requests.spans = open_spans(&shared, &policy, None);
        Self {
            counts: Counts::new(&shared, &who.database, &who.user.name),
            pins_told: PinLog::new(shared.metrics.clone()),
            policy,
            shared,
            who: Box::new(who),
            entry,
            state: Box::new(state),
            routing: Box::default(),
            told_strings: StandardConformingStrings::On,
            defaults: Box::default(),
            tracking: Tracking::default(),
            rerun: None,
            losses: 0,
            trail: SlowQueryTrail::default(),
            last_route: None,
        }
    }

    /// Takes the policy of this moment, for one request that weir begins to look at. Whether it is another than before.
    pub(crate) fn read_policy(&mut self, at: Instant) -> bool {
        if let Some(spans) = &mut self.state.requests.spans {
            spans.looks(at);
        }
        let now = self.shared.policy();
        if Arc::ptr_eq(&now, &self.policy) {
            return false;
        }
        self.policy = Arc::clone(&now);
        self.state.requests.spans = open_spans(&self.shared, &now, self.state.requests.spans.take());
        self.who.read(&now.config);
        self.defaults.go_by(now.conf.as_ref());
        true
    }

    /// A server has accepted the session on its database.
    pub(crate) fn enters(&mut self) {
        self.state.enters(self.shared.database(&self.who.server_database));
    }

    pub(crate) fn clock(&self) -> Clock<'_> {
        Clock { cluster: &self.shared.cluster, primary_wait: self.policy.config.pool.primary_wait }
    }

    /// The catalog of the session's database, once it has been read.
    pub(crate) fn catalog(&self) -> Option<Arc<Catalog>> {
        self.shared.cluster.catalogs().of(&self.who.server_database)
    }

    /// A server's name, for people.
    pub(crate) fn server_name(&self, server: ServerId) -> Arc<str> {
        let topology = self.shared.cluster.topology();
        topology.server(server).map_or_else(|| "removed".into(), |server| server.name.clone())
    }

    /// Looks at the settings again if they have changed.
    pub(crate) fn refresh_routing(&mut self) {
        if self.routing.refresh(self.state.settings(), &self.defaults) {
            let name = self.routing.application_name();
            self.entry.visitor().into_iter().for_each(|visitor| visitor.calls_itself(name));
            self.state.shown.strings = self.routing.strings.unwrap_or(self.told_strings);
        }
    }

    /// How the server reads the strings of what it is sent now: what it has reported within the transaction holds, else what
    /// the session has set. The settings must have been looked at again.
    pub(crate) fn strings(&self) -> StandardConformingStrings {
        let reported = self.state.transaction.reported();
        let told = reported.iter().find(|(name, _)| *name == "standard_conforming_strings");
        told.map(|(_, value)| strings(value)).or(self.routing.strings).unwrap_or(self.told_strings)
    }

    /// How its server has said at login that it reads strings.
    pub(crate) fn told_strings(&self) -> StandardConformingStrings {
        self.told_strings
    }

    /// How its server says at login that it reads strings, by its own defaults or those of the role or the database.
    pub(crate) fn is_told_strings(&mut self, value: &str) {
        self.told_strings = strings(value);
        self.state.shown.strings = self.told_strings;
    }

    /// What is asked of a read with this hint. The settings must have been looked at again.
    pub(crate) fn levels(&self, weir: &WeirSettings, hint: &Hint) -> Levels {
        let mut levels =
            weir.levels(hint, &self.who.levels, |lsn| self.shared.cluster.demand().as_replayed(lsn));
        if self.policy.beside_another.is_some() && levels.consistency == Consistency::Global {
            levels.consistency = Consistency::Strong;
        }
        levels
    }

    /// Where a transaction runs that is begun with this hint: comment, `SET`, startup option, listener, database, user,
    /// rule (`ruled`), `[routing]`. The settings must have been looked at again.
    pub(crate) fn transactions(&self, hint: &Hint, ruled: Option<Transactions>) -> Transactions {
        self.routing.weir().transactions(hint, &self.who.transactions, ruled)
    }

    /// What a request that goes this way needs of a replica.
    pub(crate) fn requirement(&self, request: &Request, route: Route, now: Instant) -> Requirement {
        if !Requirement::concerns(request, route) {
            return Requirement::NOTHING;
        }
        let basis = Basis {
            cluster: &self.shared.cluster,
            database: &self.who.server_database,
            marks: &self.state.database().marks,
            common: &self.state.database().common,
            tracking: &self.tracking,
            levels: self.levels(self.routing.weir(), &request.hint()),
            besides: match self.state.transaction.snapshots(self.routing.isolation()) {
                Snapshots::OneToTake => Touched::Anything,
                Snapshots::Each | Snapshots::OneTaken => Touched::These(Vec::new()),
            },
        };
        Requirement::of(request, &basis, now)
    }

    /// Whether a read that asks this of a replica would have to wait, in a transaction that will probably be on the primary
    /// soon: one that began as those do which mostly write.
    pub(crate) fn waits_in_vain(&self, request: &Request, requirement: &Requirement, now: Instant) -> bool {
        let journal = self.state.transaction.journal();
        let first = journal.and_then(|journal| journal.first).or_else(|| shape(request));
        if !first.is_some_and(|shape| self.state.database().writers.likely(shape)) {
            return false;
        }
        let topology = self.shared.cluster.topology();
        let moment = self.clock().moment(&topology, now);
        // A read waits for a primary as a read, whatever the transaction will do.
        topology.writable().is_some()
            && !topology.replicas().any(|server| requirement.may_be_met(server, moment))
    }

    /// What of a request tells later whether transactions that begin as this one write. `route` is where it goes.
    pub(crate) fn notes_writers(&mut self, request: &Request, route: Route) {
        // Outside of a transaction it counts only where the same request begins one.
        let counts = self.state.transaction.journal().is_some() || request.any(Fact::Controls);
        if let Some(shape) = shape(request).filter(|_| counts) {
            self.state.transaction.runs(shape);
        }
        let acts = usize::from(route == Route::Primary && request.any(Fact::Acts));
        self.state.transaction.journal_mut().into_iter().for_each(|journal| journal.acts += acts);
    }

    /// What another connection to the primary could not be told of a request that goes to this one.
    pub(crate) fn notes_untold(&mut self, request: &Request, route: Route) {
        let Some(journal) = self.state.transaction.journal().filter(|_| route == Route::Primary) else {
            return;
        };
        let leaves = |request: &Request| {
            request.leaves_portal()
                || !request.statements().all(leaves_nothing)
                || self.writes_unseen(request)
        };
        if journal.is_told() && leaves(request) {
            self.state.transaction.journal_mut().into_iter().for_each(Journal::leaves_more);
        }
    }

    /// The session as the router sees it.
    pub(crate) fn view(&self, transaction: Transaction) -> SessionView<'_> {
        let who = &self.who;
        SessionView {
            transaction,
            pin: self.pinned(),
            target: self.routing.weir().target(&who.targets),
            user: &who.user.name,
            database: &who.database,
            application_name: self.routing.application_name(),
            defaults: self.routing.defaults(),
        }
    }

    /// Why the session keeps its connection to the primary, if it does.
    pub(crate) fn pinned(&self) -> Option<Pin> {
        self.state.pins().first().or(self.pins_told.for_good())
    }

    /// What was sent and will never be answered may have been committed all the same.
    pub(crate) fn mark_unanswered(&mut self) {
        if !self.state.pending_writes.is_clean() {
            self.mark(Instant::now(), |marks| &marks.unanswered);
            self.tell_unanswered_definitions();
            self.state.pending_writes.clear();
        }
    }

    /// Marks what the server's last words may have acknowledged, before the client hears of it.
    pub(crate) fn mark_answered(&mut self, answers: &Answers) {
        match self.state.pending_writes.acknowledged_by(answers) {
            Acknowledged::Nothing => {}
            Acknowledged::Part => self.mark(Instant::now(), |marks| &marks.acknowledged),
            Acknowledged::All => {
                self.mark(Instant::now(), |marks| &marks.acknowledged);
                self.state.pending_writes.clear();
            }
        }
    }

    /// Marks what a server's words before its last ones may have acknowledged. What will never be answered is still pending.
    pub(crate) fn mark_last_words(&mut self, answers: &Answers) {
        if self.state.pending_writes.acknowledged_by(answers) != Acknowledged::Nothing {
            self.mark(Instant::now(), |marks| &marks.acknowledged);
        }
    }

    /// A request goes to the session's connection: what it looks at and what it may write is remembered until it has
    /// been answered. Says what it does with data.
    pub(crate) fn tracks(&mut self, request: &Request, leg: &mut Leg) -> Access {
        if request.any(Fact::Looks) {
            leg.responses.has_shown &= leg.progress.sent.has(Sent::Look);
            leg.progress.sent.add(Sent::Look);
        }
        if leg.route == Route::Replica {
            return access(request, Route::Replica);
        }
        request.verdicts().for_each(|verdict| self.state.pending_writes.sent(verdict));
        let unseen = request.any(Fact::Looks) && self.tracks_looks(request);
        match access(request, Route::Primary) {
            Access::Read if unseen => Access::Write,
            told => told,
        }
    }

    /// The same of what a request looks at on the primary. Whether it may write although its statements only read.
    fn tracks_looks(&mut self, request: &Request) -> bool {
        if self.is_alone() {
            self.tracking.looks_at_anything();
            return request.any(Fact::Calls) && self.may_write_unseen(request);
        }
        let catalog = self.catalog();
        let catalog = catalog.as_deref();
        self.tracking.looks(request, catalog);
        let unseen = self.was_refused(request) || may_write_unseen(request, catalog);
        if unseen {
            self.state.pending_writes.sent_anything();
        }
        unseen
    }

    /// Whether a request may write although its statements only read, as far as the catalog knows.
    pub(crate) fn may_write_unseen(&self, request: &Request) -> bool {
        may_write_unseen(request, self.catalog().as_deref())
    }

    /// The same of one that is tracked: then that has been found out, unless nobody needs it but for this.
    pub(crate) fn writes_unseen(&self, request: &Request) -> bool {
        if self.is_alone() { self.may_write_unseen(request) } else { !self.state.pending_writes.is_clean() }
    }

    /// Where the transaction will stand once a request has been answered by which this runs.
    pub(crate) fn foretell(&mut self, executed: &[Arc<Verdict>], keeps: Keeps) {
        // That it begins has been said.
        let behind = if keeps == Keeps::Begin { 1 } else { 0 };
        for statement in executed.iter().flat_map(|verdict| &verdict.statements).skip(behind) {
            self.state.transaction.on(Event::Sends(statement, self.routing.isolation()));
        }
    }

    /// Looks whether a transaction has ended, and none has begun: what lasted as long is over.
    pub(crate) fn ends(&mut self) {
        let state = &mut self.state;
        if let Some(ended) = state.transaction.take_ended() {
            counts::transaction(&self.shared, &ended);
            let writers = &state.database().writers;
            match (ended.first, ended.acts) {
                (Some(shape), 0) => writers.only_read(shape),
                (Some(shape), _) => writers.wrote(shape),
                (None, _) => {}
            }
        }
        if state.transaction.is_over() {
            state.names.end_transaction();
            state.transaction.on(Event::Ended);
        }
    }

    /// Whether a replica refused a request as a write, now or lately: then it is one, whatever its text says.
    fn was_refused(&self, request: &Request) -> bool {
        let learned = &self.state.database().learned;
        let now = self.rerun.as_ref().is_some_and(|rerun| rerun.cause.sqlstate() == Some("25006"));
        let lately = |verdict: &Arc<Verdict>| learned.knows(verdict.skeleton, Instant::now());
        now || (!learned.is_empty() && request.verdicts().any(lately))
    }

    /// The session has looked at data over a connection.
    pub(crate) fn looked(&mut self, leg: &Leg, at: Instant) {
        match leg.route {
            Route::Replica => {
                let topology = self.shared.cluster.topology();
                let server = topology.server(leg.lease.server());
                let place = (leg.lease.server(), leg.lease.opened);
                self.tracking.looked(place, server.map(|server| &*server.freshness), at);
            }
            Route::Primary => {
                self.tracking.saw(self.state.database(), at);
                // What was seen there must be on a replica before the session looks at one.
                self.shared.cluster.demand().wrote(at);
            }
        }
    }

    /// A connection is lost: cancel requests go there no more, and its server is worth a probe.
    pub(crate) fn leaves(&mut self, leg: &Leg) {
        self.entry.leaves();
        if leg.progress.sent.has(Sent::Look) && leg.responses.has_shown {
            // Part of an answer may have been seen.
            self.looked(leg, Instant::now());
        }
        self.tracking.looks_no_more();
        if !matches!(leg.progress.state, LegState::Refused(_)) {
            self.shared.cluster.suspect(leg.lease.server());
        }
    }

    /// A request is about to be written to this connection: keeps what will be told of it.
    pub(crate) fn goes(&mut self, request: &Request, decision: Decision, bytes: &[u8], leg: Option<&Leg>) {
        let Some(leg) = leg else { return };
        if leg.flight.is_none() {
            self.trail.is_like(request.verdicts().next().map(|verdict| &**verdict));
            match request.text(bytes, &self.state.names) {
                Some(sql) => self.trail.begin(sql, decision.reason, self.strings()),
                // What is executed or fetched now was named earlier in the batch.
                None if leg.batch() == Batch::Open => {}
                None => self.trail.begin(b"", decision.reason, self.strings()),
            }
        }
        if request.any(Fact::ConcernsServer) {
            self.last_route = Some((leg.lease.server(), decision));
        }
        self.predict_pins(request);
    }

    /// Counts what was in flight on a connection and took so long, and tells of it when that was too long.
    pub(crate) fn count(&mut self, leg: &Leg, took: Duration) {
        self.counts.took(&self.shared, (leg.lease.server(), leg.route), took);
        if let Some(sqlstate) = self.state.last_error.take() {
            if sqlstate == "25006" && leg.route == Route::Primary {
                // It may be a primary no more. A client's own READ ONLY transaction looks the same; that costs a probe.
                self.shared.cluster.suspect(leg.lease.server());
            }
            self.shared.metrics.error(&sqlstate);
            if sqlstate == "34000" && leg.route == Route::Primary {
                self.learn_cursors();
            }
        }
        if self.policy.config.log.slow_query.is_none_or(|limit| took <= limit) {
            return;
        }
        let topology = self.shared.cluster.topology();
        self.trail.tell(&Slow {
            id: self.entry.key().pid(),
            user: &self.who.user.name,
            database: &self.who.database,
            server: topology.server(leg.lease.server()).map_or("", |server| &server.name),
            route: leg.route,
            took,
        });
    }

    /// The primary does not know a cursor, perhaps one that was opened on a replica's connection (`WHERE CURRENT OF` it):
    /// where one is opened by such a statement, that is done on the primary next time.
    fn learn_cursors(&self) {
        let Some(journal) = self.state.transaction.journal() else { return };
        let now = Instant::now();
        for shape in journal.portals().filter_map(|(_, shape)| shape) {
            self.learn(shape, now);
        }
    }

    /// A replica has refused this shape: the next one goes to the primary at once.
    pub(crate) fn learn(&self, shape: SkeletonId, now: Instant) {
        self.state.database().learned.remember(shape, now);
        self.shared.metrics.learned.inc();
    }

    /// So much of what is run again has been written; a shape that a replica refused is remembered.
    pub(crate) fn went(&mut self, request: &Request, len: usize, now: Instant) {
        let Some(rerun) = &self.rerun else { return };
        let refused = matches!(rerun.cause.sqlstate(), Some("25006" | "0A000"));
        self.passed_over(len);
        if let (true, Some(verdict)) = (refused, request.verdicts().next()) {
            self.learn(verdict.skeleton, now);
        }
    }

    /// So much of what is run again has left the client's buffer.
    pub(crate) fn passed_over(&mut self, len: usize) {
        if let Some(rerun) = &mut self.rerun {
            rerun.left = rerun.left.saturating_sub(len);
        }
        self.rerun.take_if(|rerun| rerun.left == 0);
    }

    /// All of a long query string has been read. Before the server can run it, it is known whether it leaves nothing.
    pub(crate) fn has_read_long(&mut self, text: &LongText) {
        // Behind a relation there may be code, and which relation it is nobody has looked.
        let matters = self.shared.cluster.catalogs().matters();
        if !text.leaves_nothing() || matters.leaves_traces() {
            self.state.pins.long_statement();
        } else if matters.has_changed() || self.state.definitions.has_brought() {
            self.state.pins.vanish();
        }
    }

    /// Whether there is one server only: then there is no replica to be stale, and nothing is told apart. Should one come,
    /// everything counts as written when something last was.
    fn is_alone(&self) -> bool {
        self.shared.cluster.topology().servers.len() == 1
    }

    fn mark(&mut self, now: Instant, kind: KindOfMark) {
        let database = self.state.database();
        if self.is_alone() {
            kind(&database.marks).enter_anything(now);
            if self.state.pending_writes.may_define() {
                kind(&database.common).enter_anything(now);
            }
            return self.tracking.wrote(&Touched::Anything, now);
        }
        let database = (&*self.who.server_database, &**database, kind);
        let (touched, at) = mark(&self.shared, database, &self.state.pending_writes, now);
        self.tracking.wrote(&touched, at);
    }
}

/// What a session needs whose requests are traced: nothing where they are not.
fn open_spans(shared: &Shared, policy: &Policy, known: Option<Box<OpenSpans>>) -> Option<Box<OpenSpans>> {
    policy.config.traces.collector.as_ref()?;
    known.or_else(|| Some(Box::new(OpenSpans::new(shared.board.spans.clone(), Instant::now()))))
}

/// The shape of the first statement of a request that does not control the transaction.
fn shape(request: &Request) -> Option<SkeletonId> {
    let control = |verdict: &&Arc<Verdict>| verdict.statements.iter().any(controls);
    request.verdicts().find(|verdict| !control(verdict)).map(|verdict| verdict.skeleton)
}
