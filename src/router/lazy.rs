//! Where a request runs whose transaction has only read so far: alone and outside of it, within it on a replica, or within
//! it on the primary.
//!
//! Pure. Statements that weir answers itself are not asked about.

use crate::cluster::catalog::Catalog;
use crate::sql::{
    AccessMode, CursorUse, Dependency, Isolation, Kind, Modes, Name, Statement, Transactions, Verdict, Why,
};

use super::route::{Need, read, statement_need, wish};
use super::{Reason, Route, SessionView, World};
use crate::sql::Target;

/// How a request runs, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LazyRoute {
    /// Outside of its transaction: nothing of that matters to it.
    Alone(Reason),
    /// Within it, and a replica will do.
    OnReplica(Reason),
    /// Within it, on the primary.
    OnPrimary(Reason),
}

/// A transaction that has only read so far.
pub struct Promise<'a> {
    /// Its modes, as it was begun or as the session's transactions are.
    pub modes: Modes,
    /// Where it is to run.
    pub transactions: Transactions,
    /// Whether a cursor of this name is open on a replica.
    pub is_open: &'a dyn Fn(&str) -> bool,
    /// Where it has its one snapshot, if it has: it cannot go anywhere else.
    pub snapshot: Option<Route>,
}

impl LazyRoute {
    /// The reason.
    pub fn reason(self) -> Reason {
        match self {
            LazyRoute::Alone(reason) | LazyRoute::OnReplica(reason) | LazyRoute::OnPrimary(reason) => reason,
        }
    }

    /// Where it leads.
    pub fn route(self) -> Route {
        match self {
            LazyRoute::Alone(_) | LazyRoute::OnReplica(_) => Route::Replica,
            LazyRoute::OnPrimary(_) => Route::Primary,
        }
    }

    /// Within the transaction at least.
    #[must_use]
    pub fn within(self) -> Self {
        match self {
            LazyRoute::Alone(_) => LazyRoute::OnReplica(Reason::LazyState),
            course => course,
        }
    }

    fn or(self, other: Self) -> Self {
        match (self, other) {
            (LazyRoute::OnPrimary(_), _) => self,
            (_, LazyRoute::OnPrimary(_)) => other,
            (LazyRoute::OnReplica(_), _) => self,
            _ => other,
        }
    }
}

/// Where the statements of a request run together.
pub fn lazy<'v>(
    requests: impl IntoIterator<Item = (&'v Verdict, &'v [u8])>,
    session: &SessionView<'_>,
    world: &World<'_>,
    promise: &Promise<'_>,
) -> LazyRoute {
    let least = match at_least(session, promise) {
        course @ LazyRoute::OnPrimary(_) => return course,
        course => course,
    };
    let all = requests.into_iter().fold(least, |course, (verdict, sql)| match course {
        LazyRoute::OnPrimary(_) => course,
        course => course.or(of_verdict(verdict, sql, session, world, promise)),
    });
    match (all, promise.snapshot) {
        // It has read there, and goes on there: the primary would show it something else.
        (LazyRoute::OnPrimary(_), Some(Route::Replica)) => LazyRoute::OnReplica(Reason::InTransaction),
        (course, _) => course,
    }
}

/// What the transaction itself asks for.
fn at_least(session: &SessionView<'_>, promise: &Promise<'_>) -> LazyRoute {
    let Modes { isolation, access, .. } = promise.modes;
    let reads_only = access == Some(AccessMode::ReadOnly);
    if session.pin.is_some() {
        return LazyRoute::OnPrimary(Reason::Pinned);
    }
    match isolation {
        Some(Isolation::Serializable) => LazyRoute::OnPrimary(Reason::Serializable),
        // One snapshot for all of it: on a replica, if it will never need the primary.
        Some(Isolation::RepeatableRead) if reads_only => LazyRoute::OnReplica(Reason::BeginReadOnly),
        Some(Isolation::RepeatableRead) => LazyRoute::OnPrimary(Reason::RepeatableRead),
        _ if promise.transactions == Transactions::Primary && !reads_only => {
            LazyRoute::OnPrimary(Reason::Begin)
        }
        _ => LazyRoute::Alone(Reason::LazyRead),
    }
}

fn of_verdict(
    verdict: &Verdict,
    sql: &[u8],
    session: &SessionView<'_>,
    world: &World<'_>,
    promise: &Promise<'_>,
) -> LazyRoute {
    if let [Statement { kind: Kind::Commit { .. } | Kind::Rollback { .. }, .. }] = &*verdict.statements {
        // Whatever is wished for what follows: it has only read, and ends where it is.
        return LazyRoute::OnReplica(Reason::LazyState);
    }
    let wish = wish(verdict, sql, session, world);
    if let Some((Target::Primary, reason)) = wish {
        return LazyRoute::OnPrimary(reason);
    }
    let statements =
        verdict.statements.iter().map(|statement| of_statement(statement, session, world, promise));
    let (mut course, mut doubt) = (LazyRoute::Alone(Reason::LazyRead), None);
    for asked in statements {
        match asked {
            Ok(asked) => course = course.or(asked),
            Err(reason) => doubt = doubt.or(Some(reason)),
        }
    }
    let learned = world.learned.knows(verdict.skeleton, world.now) && !verdict.statements.is_empty();
    match (wish, doubt) {
        // Whoever asks for a replica takes the risk.
        (Some((Target::Replica, _)), _) => course,
        (_, Some(reason)) => course.or(LazyRoute::OnPrimary(reason)),
        _ if learned => course.or(LazyRoute::OnPrimary(Reason::Learned)),
        _ => course,
    }
}

/// Where one statement runs.
///
/// # Errors
/// Why a replica might refuse it, or do what only the primary should.
fn of_statement(
    statement: &Statement,
    session: &SessionView<'_>,
    world: &World<'_>,
    promise: &Promise<'_>,
) -> Result<LazyRoute, Reason> {
    let within = LazyRoute::OnReplica(Reason::LazyState);
    match &statement.kind {
        // On a replica each transaction is read only, and says so.
        Kind::Read | Kind::Show(_)
            if statement.depends_on == Dependency::Modes
                && promise.modes.access != Some(AccessMode::ReadOnly) =>
        {
            Ok(LazyRoute::OnPrimary(Reason::SessionState))
        }
        Kind::Read | Kind::Show(_) => match read(statement, world) {
            Need::Anywhere(_) if asks_transaction(statement, world) || statement.sets() => Ok(within),
            need => course(need, LazyRoute::Alone(Reason::LazyRead)),
        },
        // Where they are listed is where they are, if they are anywhere.
        Kind::Primary(Why::SessionState) if statement.lists_cursors() && (promise.is_open)("") => Ok(within),
        Kind::Primary(Why::LocalSetting) => course(read(statement, world), within),
        // What is reset goes back to what the client came with, and only the connection's own next request tells that.
        Kind::Set | Kind::SetWeir(..) if !defaults(statement) => Ok(within),
        Kind::Cursor(CursorUse::Declare(_)) => course(read(statement, world), within),
        Kind::Cursor(CursorUse::Fetch(name) | CursorUse::Close(Some(name))) if (promise.is_open)(name) => {
            Ok(within)
        }
        Kind::Cursor(CursorUse::Close(None)) if (promise.is_open)("") => Ok(within),
        // It warns of them, or judges whether modes may still be changed.
        Kind::Begin(_) | Kind::SetTransaction(..) => Ok(LazyRoute::OnPrimary(Reason::TransactionControl)),
        // Within a string, or where a server knows of the transaction: that is told of its end.
        Kind::Commit { .. }
        | Kind::Rollback { .. }
        | Kind::Savepoint(_)
        | Kind::Release(_)
        | Kind::RollbackTo(_) => Ok(within),
        _ => course(statement_need(statement, session, world), within),
    }
}

fn course(need: Need, anywhere: LazyRoute) -> Result<LazyRoute, Reason> {
    match need {
        Need::Anywhere(_) => Ok(anywhere),
        Need::Doubtful(reason) => Err(reason),
        Need::Primary(reason) => Ok(LazyRoute::OnPrimary(reason)),
    }
}

fn defaults(statement: &Statement) -> bool {
    statement.effects.settings.iter().any(|setting| setting.value.eq_ignore_ascii_case("default"))
}

/// Whether the answer depends on the transaction itself, which another connection has not begun: by the statement's
/// words, or perhaps by what a view or a function of the user's asks.
fn asks_transaction(statement: &Statement, world: &World<'_>) -> bool {
    let Statement { depends_on, functions, reads, .. } = statement;
    let may = |names: &[Name], asks: fn(&Catalog, &Name) -> bool| {
        names.iter().any(|name| world.catalog.is_none_or(|catalog| asks(catalog, name)))
    };
    matches!(depends_on, Dependency::Transaction | Dependency::Modes)
        || may(functions, Catalog::function_asks_transaction)
        || may(reads, Catalog::asks_transaction)
        || world.catalog.is_some_and(|catalog| !catalog.code.unnamed(statement).is_pure())
}

#[cfg(test)]
#[path = "lazy_tests.rs"]
mod tests;
