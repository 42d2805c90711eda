//! Where a request is to go, and how it runs there, by what its session knows at this moment.

use std::sync::Arc;
use std::time::Instant;

use crate::backend::ledger::Batch;
use crate::cluster::catalog::{Catalog, Matters};
use crate::router::{
    Decision, LazyRoute, Promise, Reason, Replicas, Route, Transaction, World, lazy, route_all,
    ruled_transactions,
};
use crate::session::conversation::{Cause, Conversation};
use crate::session::flow::control::{control, keeps};
use crate::session::flow::plan::{Manner, confine, seen_in_part};
use crate::session::leg::Leg;
use crate::session::relay::facts::Fact;
use crate::session::relay::framer::{Framer, Unit};
use crate::session::relay::kept::Keeps;
use crate::session::relay::message::{Field, Message, MessageKind};
use crate::session::relay::request::{Reader, Request, last};
use crate::session::relay::responses::Flow;
use crate::session::relay::unsettled::Settled;
use crate::session::transaction::journal::Ran;
use crate::sql::{Chain, CursorUse, Isolation, Kind, Modes, Scope, Statement, Transactions, Verdict};
use crate::wire::TxStatus;

/// Where a request is to go, and how it runs there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decided {
    pub decision: Decision,
    pub manner: Manner,
    /// What of it weir answers itself.
    pub keeps: Keeps,
}

/// The most requests behind one that are looked at for a write.
const AHEAD_MAX: usize = 64;

/// Where a request is to go that stands at the front of `bytes`, if this is the session's connection.
pub(crate) fn decide(
    conversation: &mut Conversation,
    bytes: &[u8],
    leg: Option<&Leg>,
    request: &Request,
    now: Instant,
) -> Decided {
    conversation.refresh_routing();
    let transaction = &conversation.state.transaction;
    let ran = transaction.journal().map(|journal| journal.ran);
    let on_replica = ran == Some(Ran::Replica);
    let open = ran == Some(Ran::Upgraded) && transaction.journal().is_some_and(|one| one.has_portal(None));
    match (transaction.status(), transaction.is_promised()) {
        (TxStatus::Idle, _) if request.any(Fact::Controls) => begins(conversation, bytes, leg, request, now),
        (_, true) => promised(conversation, bytes, request, now),
        (TxStatus::Open | TxStatus::Failed, false) if on_replica && leg.is_some() => {
            on_its_replica(conversation, bytes, request, now)
        }
        (TxStatus::Open | TxStatus::Failed, false)
            if open || (ran == Some(Ran::Upgraded) && is_aside(leg)) =>
        {
            on_two(conversation, bytes, leg, request)
        }
        _ => as_it_comes(conversation, bytes, leg, request, now),
    }
}

/// Whether requests go to the replica's connection of a transaction that has one to the primary.
fn is_aside(leg: Option<&Leg>) -> bool {
    leg.is_some_and(|leg| leg.route == Route::Replica)
}

/// In a transaction on the primary that has something open on a replica's connection.
fn on_two(conversation: &Conversation, bytes: &[u8], leg: Option<&Leg>, request: &Request) -> Decided {
    // What failed where it is open is still open there, for whoever must not use it.
    let asked = match conversation.state.transaction.status() {
        TxStatus::Open => true,
        TxStatus::Failed => is_aside(leg),
        TxStatus::Idle => false,
    };
    let there = asked && speaks_of_open(conversation, bytes, request);
    let route = if there { Route::Replica } else { Route::Primary };
    let decision = Decision { route, reason: Reason::InTransaction };
    Decided { decision, manner: Manner::Aside, keeps: Keeps::Nothing }
}

/// Whether a request speaks of cursors and portals that are open on a replica's connection, and of nothing else.
fn speaks_of_open(conversation: &Conversation, bytes: &[u8], request: &Request) -> bool {
    let mut spoken = spoken_of(conversation, bytes, request).map(|(_, route)| route).peekable();
    spoken.peek().is_some() && spoken.all(|route| route == Route::Replica)
}

/// Where in a batch that is to go to the primary the first message stands that speaks of what is open on a replica's
/// connection, behind those that do not, or the other way round: no connection could answer both.
pub(crate) fn parts_at(
    conversation: &Conversation,
    bytes: &[u8],
    request: &Request,
    decision: Decision,
) -> Option<usize> {
    let journal = conversation.state.transaction.journal();
    if decision.route == Route::Replica || !journal.is_some_and(|journal| journal.has_portal(None)) {
        return None;
    }
    let mut spoken = spoken_of(conversation, bytes, request);
    let (_, first) = spoken.next()?;
    spoken.find(|(_, route)| *route != first).map(|(at, _)| at)
}

/// Where each message begins that not every connection can answer, and on which what it speaks of is: what is open on a
/// replica's, or anything else.
fn spoken_of(
    conversation: &Conversation,
    bytes: &[u8],
    request: &Request,
) -> impl Iterator<Item = (usize, Route)> {
    let journal = conversation.state.transaction.journal();
    let side = |is_open: bool| if is_open { Route::Replica } else { Route::Primary };
    let is_open = move |name: &[u8]| journal.is_some_and(|journal| journal.has_portal(Some(name)));
    let fetches = move |statement: &Statement| match &statement.kind {
        // A name that is taken there is refused there.
        Kind::Cursor(CursorUse::Fetch(name) | CursorUse::Close(Some(name)) | CursorUse::Declare(name)) => {
            is_open(name.as_bytes())
        }
        // Of those that were opened on the primary it does not tell.
        _ => statement.lists_cursors(),
    };
    let runs = move |verdict: &Verdict| {
        side(!verdict.statements.is_empty() && verdict.statements.iter().all(fetches))
    };
    let (mut parsed, mut bound): (Vec<(Field, Route)>, _) = (Vec::new(), Vec::new());
    request.messages.iter().filter_map(move |message| {
        let known = message.verdict.as_deref().map(runs);
        let route = match message.kind {
            MessageKind::Sync | MessageKind::Flush | MessageKind::CloseStatement { .. } => return None,
            MessageKind::Parse { name, .. } => {
                let route = known.unwrap_or(Route::Primary);
                parsed.push((name, route));
                route
            }
            MessageKind::Bind { portal, statement } => {
                let route =
                    known.or_else(|| last(&parsed, statement, bytes).copied()).unwrap_or(Route::Primary);
                bound.push((portal, route));
                route
            }
            MessageKind::DescribeStatement { name } => {
                known.or_else(|| last(&parsed, name, bytes).copied()).unwrap_or(Route::Primary)
            }
            MessageKind::Execute { portal: name, .. }
            | MessageKind::DescribePortal { name }
            | MessageKind::ClosePortal { name } => {
                last(&bound, name, bytes).copied().unwrap_or_else(|| side(is_open(name.of(bytes))))
            }
            _ => known.unwrap_or(Route::Primary),
        };
        Some((message.frame.start, route))
    })
}

/// A request whose connection stands where its client stands.
fn as_it_comes(
    conversation: &Conversation,
    bytes: &[u8],
    leg: Option<&Leg>,
    request: &Request,
    now: Instant,
) -> Decided {
    let decision = placed(conversation, bytes, leg, request, now);
    Decided { decision, manner: Manner::AsItComes, keeps: Keeps::Nothing }
}

fn placed(
    conversation: &Conversation,
    bytes: &[u8],
    leg: Option<&Leg>,
    request: &Request,
    now: Instant,
) -> Decision {
    if let Some(reason) = rerun(conversation) {
        return Decision { route: Route::Primary, reason };
    }
    if leg.is_none() && ends_nothing(conversation, request) {
        return Decision { route: Route::Replica, reason: Reason::TransactionControl };
    }
    let route = leg.map_or(Route::Primary, |leg| leg.route);
    let transaction = match conversation.state.transaction.status() {
        TxStatus::Idle => Transaction::None,
        TxStatus::Open => Transaction::Open(route),
        TxStatus::Failed => Transaction::Failed(route),
    };
    let world = Surroundings::of(conversation, request);
    let decision = route_all(
        statements(conversation, bytes, request),
        &conversation.view(transaction),
        &world.world(conversation, now),
    );
    missed(conversation, decision.reason, now);
    if transaction != Transaction::None {
        return decision;
    }
    let begun = leg.filter(|leg| leg.has_begun()).map(|leg| leg.route);
    let confined = confine(decision, begun);
    if confined.route == decision.route && !request.is_self_contained() {
        return seen_in_part(decision);
    }
    confined
}

/// Whether a request only ends a transaction, and there is none: any server warns of that, where there is no primary. Drivers
/// roll back whatever has failed, without looking.
fn ends_nothing(conversation: &Conversation, request: &Request) -> bool {
    let ends = |one: &Statement| {
        matches!(one.kind, Kind::Commit { chain: Chain::NoChain } | Kind::Rollback { chain: Chain::NoChain })
    };
    let without_primary = || {
        let topology = conversation.shared.cluster.topology();
        topology.writable().is_none() && topology.replicas().next().is_some()
    };
    request.any(Fact::Controls)
        && conversation.state.transaction.is_over()
        && request.statements().all(ends)
        && without_primary()
}

/// Outside a transaction, a request that may begin one.
fn begins(
    conversation: &mut Conversation,
    bytes: &[u8],
    leg: Option<&Leg>,
    request: &Request,
    now: Instant,
) -> Decided {
    let batch = leg.map_or(Batch::Closed, Leg::batch);
    let keeps = keeps(request, bytes, &conversation.state.names, &conversation.state.transaction);
    // On the primary a batch that is open is a transaction, which BEGIN goes on with.
    let on_primary = batch == Batch::Open && leg.is_some_and(|leg| leg.route == Route::Primary);
    // Nor is anything gained where the session keeps its connection, and what it listens to must wait for the end; nor
    // behind what is in flight on the primary.
    let in_flight = leg.is_some_and(|leg| leg.route == Route::Primary && leg.owes());
    if keeps == Keeps::Nothing || on_primary || in_flight || conversation.pinned().is_some() {
        return as_it_comes(conversation, bytes, leg, request, now);
    }
    let begin = begun_modes(request);
    let transactions = transactions_of(conversation, bytes, request);
    conversation.state.transaction.next_runs(transactions);
    if keeps == Keeps::All {
        return kept();
    }
    let modes = with_said(begin.unwrap_or_default(), request);
    match course(conversation, bytes, request, &Lazy { modes, transactions, skips: Keeps::Controls }, now) {
        LazyRoute::Alone(reason) => alone(conversation, reason),
        LazyRoute::OnReplica(reason) if begin.is_some() && first_begins(request, bytes) => {
            within(conversation, Route::Replica, reason, Keeps::Begin)
        }
        course => {
            let decision = Decision { route: Route::Primary, reason: course.reason() };
            Decided { decision, manner: Manner::AsItComes, keeps: Keeps::Nothing }
        }
    }
}

/// In a transaction of which no server knows.
fn promised(conversation: &Conversation, bytes: &[u8], request: &Request, now: Instant) -> Decided {
    let transaction = &conversation.state.transaction;
    let keeps = keeps(request, bytes, &conversation.state.names, transaction);
    match (keeps, transaction.status()) {
        (Keeps::All, _) => return kept(),
        // Any server refuses what it is asked in one that has failed.
        (_, TxStatus::Failed) => {
            return within(conversation, Route::Replica, Reason::InTransaction, Keeps::Nothing);
        }
        _ => {}
    }
    if bytes.len() > request.len && replicas(conversation) == Replicas::None {
        // On one connection they need not wait for each other.
        return within(conversation, Route::Primary, Reason::NoReplica, Keeps::Nothing);
    }
    let skips = if keeps == Keeps::Controls { Keeps::Controls } else { Keeps::Nothing };
    let (modes, transactions) = modes_of(conversation);
    let modes = with_said(modes, request);
    match course(conversation, bytes, request, &Lazy { modes, transactions, skips }, now) {
        LazyRoute::Alone(reason) if keeps == Keeps::Controls => alone(conversation, reason),
        course => within(conversation, course.route(), course.reason(), Keeps::Nothing),
    }
}

/// In a transaction that has a replica's connection.
fn on_its_replica(conversation: &Conversation, bytes: &[u8], request: &Request, now: Instant) -> Decided {
    let stays = Decision { route: Route::Replica, reason: Reason::InTransaction };
    let decided = |decision| Decided { decision, manner: Manner::Within, keeps: Keeps::Nothing };
    if conversation.state.transaction.status() == TxStatus::Failed {
        return decided(stays);
    }
    let open = conversation.state.transaction.journal().is_some_and(|journal| journal.has_portal(None));
    if open && speaks_of_open(conversation, bytes, request) {
        // However old the replica has become: it shows what was there when that was opened.
        return Decided { decision: stays, manner: Manner::Aside, keeps: Keeps::Nothing };
    }
    let (modes, transactions) = modes_of(conversation);
    let lazy = Lazy { modes, transactions, skips: Keeps::Nothing };
    match course(conversation, bytes, request, &lazy, now) {
        LazyRoute::OnPrimary(reason) => decided(Decision { route: Route::Primary, reason }),
        LazyRoute::Alone(_) | LazyRoute::OnReplica(_) => decided(stays),
    }
}

/// weir answers all of it.
fn kept() -> Decided {
    let decision = Decision { route: Route::Primary, reason: Reason::LazyControl };
    Decided { decision, manner: Manner::Kept, keeps: Keeps::All }
}

/// Outside of the transaction.
fn alone(conversation: &Conversation, reason: Reason) -> Decided {
    let decision = to_replica(conversation, reason);
    Decided { decision, manner: Manner::Alone, keeps: Keeps::Controls }
}

fn within(conversation: &Conversation, route: Route, reason: Reason, keeps: Keeps) -> Decided {
    let decision = match route {
        Route::Replica => to_replica(conversation, reason),
        Route::Primary => Decision { route, reason },
    };
    Decided { decision, manner: Manner::Within, keeps }
}

fn to_replica(conversation: &Conversation, reason: Reason) -> Decision {
    if let Some(reason) = rerun(conversation) {
        return Decision { route: Route::Primary, reason };
    }
    match replicas(conversation) {
        Replicas::Usable => Decision { route: Route::Replica, reason },
        Replicas::None => Decision { route: Route::Primary, reason: Reason::NoReplica },
    }
}

fn replicas(conversation: &Conversation) -> Replicas {
    match conversation.shared.cluster.topology().replicas().next() {
        Some(_) => Replicas::Usable,
        None => Replicas::None,
    }
}

/// Why what is run again goes to the primary.
fn rerun(conversation: &Conversation) -> Option<Reason> {
    match conversation.rerun.as_ref()?.cause {
        Cause::Error(_) => Some(Reason::Rerun),
        Cause::ReplicaLost => Some(Reason::ReplicaLost),
        Cause::PrimaryLost => None,
    }
}

/// A transaction that has only read, and which statements of a request are not asked about.
struct Lazy {
    modes: Modes,
    transactions: Transactions,
    skips: Keeps,
}

/// Where a request of such a transaction runs.
fn course(
    conversation: &Conversation,
    bytes: &[u8],
    request: &Request,
    of: &Lazy,
    now: Instant,
) -> LazyRoute {
    if conversation.rerun.as_ref().is_some_and(|rerun| rerun.cause.sqlstate().is_some()) {
        // It may have been a write in a reader's words.
        return LazyRoute::OnPrimary(Reason::Rerun);
    }
    // What a view or a function asks of the transaction, only the catalog tells.
    let names = request.any(Fact::Calls) || request.any(Fact::Reads) || matters(conversation).in_all();
    let surroundings = Surroundings::new(conversation, if names { conversation.catalog() } else { None });
    let world = surroundings.world(conversation, now);
    let journal = conversation.state.transaction.journal();
    let one_snapshot = of.modes.isolation == Some(Isolation::RepeatableRead);
    let has_read = journal.is_some_and(|journal| journal.ran == Ran::Replica && journal.has_queried());
    let is_open = |name: &str| {
        let name = Some(name.as_bytes()).filter(|name| !name.is_empty());
        journal.is_some_and(|journal| journal.has_portal(name))
    };
    let promise = Promise {
        modes: of.modes,
        transactions: of.transactions,
        is_open: &is_open,
        snapshot: if one_snapshot && has_read { Some(Route::Replica) } else { None },
    };
    let view = conversation.view(Transaction::None);
    let asked = statements(conversation, bytes, request)
        .filter(|(verdict, _)| of.skips == Keeps::Nothing || control(verdict).is_none());
    let course = lazy(asked, &view, &world, &promise);
    missed(conversation, course.reason(), now);
    let whole = |end| !matches!(end, Unit::Long { .. });
    match course {
        LazyRoute::OnPrimary(_) => course,
        _ if !whole(request.unit) || request.is_open_ended() => LazyRoute::OnPrimary(Reason::TooLong),
        _ if writes_follow(conversation, bytes, request, &promise, &world) => {
            LazyRoute::OnPrimary(Reason::PipelinedWrite)
        }
        _ if request.leaves_portal() || journal.is_some_and(|journal| journal.has_run()) => course.within(),
        _ => course,
    }
}

/// Whether a write of the same transaction stands in the client's bytes already, behind a request.
fn writes_follow(
    conversation: &Conversation,
    bytes: &[u8],
    request: &Request,
    promise: &Promise<'_>,
    world: &World<'_>,
) -> bool {
    let mut rest = bytes.get(request.len..).unwrap_or_default();
    if rest.is_empty() || ends(request) {
        return false;
    }
    let reader = Reader {
        classifier: &conversation.shared.classifier,
        strings: conversation.strings(),
        statements: &conversation.state.names,
        in_flight: &Settled,
        under: conversation.state.executes_under(),
    };
    let view = conversation.view(Transaction::None);
    for _ in 0..AHEAD_MAX {
        let unit = match Framer::default().next(rest, Flow::Query) {
            Ok(unit @ (Unit::Single { .. } | Unit::Batch { .. })) => unit,
            _ => return false,
        };
        let next = Request::read(unit, rest, &reader, Vec::new());
        let asked = next.verdicts().map(|verdict| (&**verdict, &b""[..]));
        let asked = asked.filter(|(verdict, _)| control(verdict).is_none());
        if let LazyRoute::OnPrimary(_) = lazy(asked, &view, world, promise) {
            return true;
        }
        if ends(&next) {
            return false;
        }
        rest = rest.get(next.len..).unwrap_or_default();
    }
    false
}

/// Whether a request ends its transaction.
fn ends(request: &Request) -> bool {
    request
        .statements()
        .any(|statement| matches!(statement.kind, Kind::Commit { .. } | Kind::Rollback { .. }))
}

/// Whether a statement is a BEGIN that weir can answer.
fn is_begin(verdict: &Verdict) -> bool {
    control(verdict).is_some_and(|one| matches!(one.kind, Kind::Begin(_)))
}

/// The modes of the one BEGIN that a request is about.
fn begun_modes(request: &Request) -> Option<Modes> {
    let mut begun = request.statements().filter_map(|statement| match statement.kind {
        Kind::Begin(modes) => Some(modes),
        _ => None,
    });
    begun.next().filter(|_| begun.next().is_none())
}

/// The modes of a transaction, with those that a request says.
fn with_said(modes: Modes, request: &Request) -> Modes {
    request.statements().fold(modes, |modes, statement| match statement.kind {
        Kind::SetTransaction(said, Scope::Local) => said.or(modes),
        _ => modes,
    })
}

/// Whether the first thing that a batch runs begins a transaction.
fn first_begins(request: &Request, bytes: &[u8]) -> bool {
    let parsed = |name: Field| {
        let is_it = |one: &&Message| matches!(one.kind, MessageKind::Parse { name: parsed, .. } if parsed.of(bytes) == name.of(bytes));
        request.messages.iter().find(is_it).and_then(|one| one.verdict.as_deref())
    };
    let first = request.messages.iter().find(|one| one.runs());
    first.is_some_and(|one| match one.kind {
        MessageKind::Bind { statement, .. } => {
            one.verdict.as_deref().or(parsed(statement)).is_some_and(is_begin)
        }
        _ => false,
    })
}

/// The modes of the transaction under way, as it was begun or as the session's are, and where it is to run.
fn modes_of(conversation: &Conversation) -> (Modes, Transactions) {
    let journal = conversation.state.transaction.journal();
    let (said, transactions) =
        journal.map(|journal| (journal.modes(), journal.transactions)).unwrap_or_default();
    (said.or(conversation.routing.defaults()), transactions)
}

/// Where a transaction is to run that a request begins.
fn transactions_of(conversation: &Conversation, bytes: &[u8], request: &Request) -> Transactions {
    let rules = &conversation.policy.config.routing.rules;
    let view = conversation.view(Transaction::None);
    let ruled = match rules.as_slice() {
        [] => None,
        _ => statements(conversation, bytes, request)
            .find(|(verdict, _)| is_begin(verdict))
            .and_then(|(verdict, sql)| ruled_transactions(rules, verdict, sql, &view)),
    };
    conversation.transactions(&request.hint(), ruled)
}

/// The statements of a request, with their texts where somebody looks at those.
fn statements<'a>(
    conversation: &'a Conversation,
    bytes: &'a [u8],
    request: &'a Request,
) -> impl Iterator<Item = (&'a Verdict, &'a [u8])> {
    let text = |one: &'a Message| match &*conversation.policy.config.routing.rules {
        // Only rules look at texts, and finding that of a name takes a while.
        [] => Default::default(),
        _ => one.text(bytes, &conversation.state.names).unwrap_or_default(),
    };
    request.messages.iter().filter_map(move |one| Some((one.verdict.as_deref()?, text(one))))
}

/// A function that the catalog did not know may be there by now.
fn missed(conversation: &Conversation, reason: Reason, now: Instant) {
    if reason == Reason::UnknownFunction {
        conversation.shared.cluster.catalogs().missed(&conversation.who.server_database, now);
    }
}

/// What must be looked for in statements that do not tell of it.
fn matters(conversation: &Conversation) -> Matters {
    conversation.shared.cluster.catalogs().matters()
}

/// What the world is made of while something is decided.
struct Surroundings {
    catalog: Option<Arc<Catalog>>,
    replicas: Replicas,
}

impl Surroundings {
    fn of(conversation: &Conversation, request: &Request) -> Self {
        let matters = matters(conversation);
        let needed = request.any(Fact::Calls)
            || (request.any(Fact::Reads) && matters.in_relations())
            || matters.in_all();
        Self::new(conversation, if needed { conversation.catalog() } else { None })
    }

    /// With this of the catalog.
    fn new(conversation: &Conversation, catalog: Option<Arc<Catalog>>) -> Self {
        Self { catalog, replicas: replicas(conversation) }
    }

    fn world<'a>(&'a self, conversation: &'a Conversation, now: Instant) -> World<'a> {
        World {
            replicas: self.replicas,
            catalog: self.catalog.as_deref(),
            learned: &conversation.state.database().learned,
            rules: &conversation.policy.config.routing.rules,
            functions: &conversation.policy.functions,
            now,
        }
    }
}
