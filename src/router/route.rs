//! The whole routing policy: a verdict, a session and the world in, a route and its reason out.
//!
//! In this order: an open transaction stays where it is; a pinned session stays on the primary; what must run on the primary
//! goes there, whatever anybody asks for; then hints, `SET weir.target`, fixed targets and rules; and what is left is
//! a read, which goes to a replica unless there is a doubt about it.

use std::time::Instant;

use crate::cluster::catalog::{Catalog, Volatility};
use crate::config::Rule;
use crate::sql::{Access, Isolation, Kind, Modes, Name, Pin, Statement, Target, Verdict};

use super::{Learned, Reason, Route, rules};

/// Where a request goes, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Where it goes.
    pub route: Route,
    /// Why.
    pub reason: Reason,
}

/// What routing needs to know of a session.
#[derive(Clone, Copy, Debug)]
pub struct SessionView<'a> {
    /// Whether a transaction is open, and where.
    pub transaction: Transaction,
    /// State on its connection to the primary that cannot be moved.
    pub pin: Option<Pin>,
    /// The fixed target that applies, of the several there may be: see [`FixedTarget::first`].
    pub target: Option<FixedTarget>,
    /// The user that logged in.
    pub user: &'a str,
    /// The database as the client named it.
    pub database: &'a str,
    /// The current `application_name`.
    pub application_name: &'a str,
    /// `default_transaction_read_only` and `default_transaction_isolation`, where they are not PostgreSQL's defaults.
    pub defaults: Modes,
}

/// A session's transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transaction {
    /// None: each request is one of its own.
    #[default]
    None,
    /// Open, and running there.
    Open(Route),
    /// Failed there, and waiting for its end.
    Failed(Route),
}

/// A target that was fixed beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedTarget {
    /// The target; `Auto` leaves it to the router, and overrides what comes later.
    pub target: Target,
    /// Who fixed it.
    pub source: TargetSource,
}

/// Who fixed a target, in order of precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TargetSource {
    /// `SET weir.target`.
    Set,
    /// The startup option `weir.target`.
    Startup,
    /// The listener that the client came through.
    Listener,
    /// The database's alias.
    Database,
    /// The user.
    User,
}

impl FixedTarget {
    /// The one that applies: what the session says, then what the configuration says that is not `Auto`.
    pub fn first(
        set: Option<Target>,
        startup: Option<Target>,
        listener: Target,
        database: Target,
        user: Target,
    ) -> Option<Self> {
        let configured = |target: Target| (target != Target::Auto).then_some(target);
        let sources = [
            (set, TargetSource::Set),
            (startup, TargetSource::Startup),
            (configured(listener), TargetSource::Listener),
            (configured(database), TargetSource::Database),
            (configured(user), TargetSource::User),
        ];
        sources.into_iter().find_map(|(target, source)| target.map(|target| Self { target, source }))
    }
}

/// What routing needs to know of everything else.
#[derive(Clone, Copy, Debug)]
pub struct World<'a> {
    /// Whether any replica can serve reads.
    pub replicas: Replicas,
    /// The database's catalog, once it was loaded.
    pub catalog: Option<&'a Catalog>,
    /// What replicas refused in this database.
    pub learned: &'a Learned,
    /// `[[routing.rules]]`.
    pub rules: &'a [Rule],
    /// `read_functions` and `write_functions`.
    pub functions: &'a FunctionLists,
    /// The time, for what was learned.
    pub now: Instant,
}

/// Whether any replica can serve reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replicas {
    /// At least one.
    Usable,
    /// None is up.
    None,
}

/// The functions that the configuration decides about.
#[derive(Clone, Debug, Default)]
pub struct FunctionLists {
    read: Vec<Name>,
    write: Vec<Name>,
}

impl FunctionLists {
    /// From `schema.name` or `name`, in lower case.
    pub fn new(read_functions: &[String], write_functions: &[String]) -> Self {
        let names = |list: &[String]| list.iter().map(|f| qualified(f)).collect();
        Self { read: names(read_functions), write: names(write_functions) }
    }

    /// An entry without a schema stands for the function in any.
    fn reads(&self, function: &Name) -> bool {
        let listed = |entry: &Name| {
            entry.name == function.name && (entry.schema.is_none() || entry.schema == function.schema)
        };
        self.read.iter().any(listed)
    }

    /// An unqualified call may be the listed function, whatever its schema.
    fn writes(&self, function: &Name) -> bool {
        let listed = |entry: &Name| {
            let schema =
                entry.schema.is_none() || function.schema.is_none() || entry.schema == function.schema;
            entry.name == function.name && schema
        };
        self.write.iter().any(listed)
    }
}

fn qualified(name: &str) -> Name {
    match name.split_once('.') {
        Some((schema, name)) => Name { schema: Some(schema.into()), name: name.into() },
        None => Name { schema: None, name: name.into() },
    }
}

/// What a request needs, before anybody's wishes count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// Any server can run it.
    Anywhere(Reason),
    /// A replica might refuse it, or do what only the primary should; a target of `replica` takes the risk.
    Doubtful(Reason),
    /// The primary, whatever anybody asks for.
    Primary(Reason),
}

/// Routes one request: a simple query, or an extended one of one statement.
pub fn route(verdict: &Verdict, sql: &[u8], session: &SessionView<'_>, world: &World<'_>) -> Decision {
    match session.transaction {
        Transaction::Open(route) | Transaction::Failed(route) => {
            return Decision { route, reason: Reason::InTransaction };
        }
        Transaction::None => {}
    }
    if session.pin.is_some() {
        return Decision { route: Route::Primary, reason: Reason::Pinned };
    }
    let need = need(verdict, session, world);
    let wish = wish(verdict, sql, session, world);
    match (need, wish) {
        (_, Some((Target::Primary, reason))) => Decision { route: Route::Primary, reason },
        (Need::Primary(reason), _) => Decision { route: Route::Primary, reason },
        (_, Some((Target::Replica, reason))) => replica(reason, world),
        (Need::Doubtful(reason), _) => Decision { route: Route::Primary, reason },
        (Need::Anywhere(reason), _) => replica(reason, world),
    }
}

/// Routes the requests between two `Sync`s, which share one server: one that needs the primary takes all there.
pub fn route_all<'v>(
    requests: impl IntoIterator<Item = (&'v Verdict, &'v [u8])>,
    session: &SessionView<'_>,
    world: &World<'_>,
) -> Decision {
    let mut all = None;
    for (verdict, sql) in requests {
        let decision = route(verdict, sql, session, world);
        if decision.route == Route::Primary {
            return decision;
        }
        all = all.or(Some(decision));
    }
    all.unwrap_or_else(|| idle(session, world))
}

/// Routes a request without any statement, such as a lone `Sync`.
fn idle(session: &SessionView<'_>, world: &World<'_>) -> Decision {
    match session.transaction {
        Transaction::Open(route) | Transaction::Failed(route) => {
            Decision { route, reason: Reason::InTransaction }
        }
        Transaction::None if session.pin.is_some() => {
            Decision { route: Route::Primary, reason: Reason::Pinned }
        }
        Transaction::None => replica(Reason::Empty, world),
    }
}

fn replica(reason: Reason, world: &World<'_>) -> Decision {
    match world.replicas {
        Replicas::Usable => Decision { route: Route::Replica, reason },
        Replicas::None => Decision { route: Route::Primary, reason: Reason::NoReplica },
    }
}

/// Where the application or the operator wants it: comment, session, configuration, rules.
fn wish(
    verdict: &Verdict,
    sql: &[u8],
    session: &SessionView<'_>,
    world: &World<'_>,
) -> Option<(Target, Reason)> {
    if let Some(target) = verdict.hint.target {
        let reason = if target == Target::Replica { Reason::HintReplica } else { Reason::HintPrimary };
        return Some((target, reason));
    }
    if let Some(fixed) = session.target {
        let reason = match fixed.source {
            TargetSource::Set => Reason::SetTarget,
            TargetSource::Startup => Reason::StartupTarget,
            TargetSource::Listener => Reason::ListenerTarget,
            TargetSource::Database => Reason::DatabaseTarget,
            TargetSource::User => Reason::UserTarget,
        };
        return Some((fixed.target, reason));
    }
    rules::target(world.rules, verdict, sql, session).map(|target| (target, Reason::Rule))
}

/// What the statements of a request need together.
fn need(verdict: &Verdict, session: &SessionView<'_>, world: &World<'_>) -> Need {
    let need = match &*verdict.statements {
        [] => Need::Anywhere(Reason::Empty),
        [statement] => statement_need(statement, session, world),
        statements => several(statements, session, world),
    };
    match need {
        Need::Anywhere(Reason::Empty) => need,
        Need::Anywhere(_) if session.defaults.isolation == Some(Isolation::Serializable) => {
            Need::Primary(Reason::Serializable)
        }
        Need::Anywhere(_) if world.learned.knows(verdict.skeleton, world.now) => {
            Need::Doubtful(Reason::Learned)
        }
        need => need,
    }
}

/// Several statements in one string run in one implicit transaction, on one server. Only plain reads may do so on a
/// replica: transaction control in between would leave a transaction open there.
fn several(statements: &[Statement], session: &SessionView<'_>, world: &World<'_>) -> Need {
    let mut need = Need::Anywhere(Reason::Read);
    for statement in statements {
        match statement_need(statement, session, world) {
            Need::Anywhere(_) if matches!(statement.kind, Kind::Read | Kind::Show(_)) => {}
            Need::Doubtful(reason) if matches!(statement.kind, Kind::Read) => need = Need::Doubtful(reason),
            _ => return Need::Primary(Reason::MultiStatement),
        }
    }
    need
}

fn statement_need(statement: &Statement, session: &SessionView<'_>, world: &World<'_>) -> Need {
    match &statement.kind {
        Kind::Read | Kind::Show(_) => functions(statement, world),
        Kind::Primary(why) => Need::Primary((*why).into()),
        Kind::Begin(modes) => begin(*modes, session),
        Kind::Commit { .. }
        | Kind::Rollback { .. }
        | Kind::Savepoint(_)
        | Kind::Release(_)
        | Kind::RollbackTo(_)
        | Kind::SetTransaction(..) => Need::Primary(Reason::TransactionControl),
        Kind::Set | Kind::SetWeir(..) | Kind::Reset(_) => Need::Primary(Reason::Setting),
        Kind::Prepare(_) | Kind::Execute(_) | Kind::Deallocate(_) => Need::Primary(Reason::Prepared),
        Kind::Discard(_) => Need::Primary(Reason::Discard),
        Kind::Cursor => Need::Primary(Reason::Cursor),
    }
}

/// A transaction runs where it begins; a replica can only run one that reads, and refuses SERIALIZABLE.
fn begin(modes: Modes, session: &SessionView<'_>) -> Need {
    if modes.isolation.or(session.defaults.isolation) == Some(Isolation::Serializable) {
        return Need::Primary(Reason::Serializable);
    }
    match (modes.access, session.defaults.access) {
        (Some(Access::ReadOnly), _) => Need::Anywhere(Reason::BeginReadOnly),
        (Some(Access::ReadWrite), _) => Need::Primary(Reason::Begin),
        (None, Some(Access::ReadOnly)) => Need::Anywhere(Reason::ReadOnlyDefault),
        (None, _) => Need::Doubtful(Reason::Begin),
    }
}

/// What the functions that a read calls need.
fn functions(statement: &Statement, world: &World<'_>) -> Need {
    let mut need = Need::Anywhere(Reason::Read);
    for function in &statement.functions {
        if world.functions.writes(function) {
            return Need::Primary(Reason::WriteFunction);
        }
        if world.functions.reads(function) {
            continue;
        }
        match world.catalog.and_then(|c| c.function(function)) {
            Some(Volatility::ReadOnly) => {}
            Some(Volatility::Volatile) => need = Need::Doubtful(Reason::VolatileFunction),
            None if need == Need::Anywhere(Reason::Read) => need = Need::Doubtful(Reason::UnknownFunction),
            None => {}
        }
    }
    need
}
