//! What is asked of every request's statements, found in one pass over them while the request is read.
//!
//! Pure. Here is only what decides on the way of each request. What is asked seldom is asked of the statements.

use crate::session::model::set::{Set, Word};
use crate::session::model::weir_settings as own;
use crate::sql::{Dependency, Discard, Kind, Listed, Scope, Statement, Verdict, Why};

/// What is so of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    /// It sets or shows any of weir's own settings.
    ConcernsWeir,
    /// It does anything but show one of them.
    ConcernsServer,
    /// It calls functions, or runs code that may.
    Calls,
    /// It names relations that it reads.
    Reads,
    /// It looks at data, or begins what will.
    Looks,
    /// It looks at data, for which a server takes a snapshot where its transaction keeps one and has none yet.
    LooksNow,
    /// It does anything but read, by functions that weir knows.
    DoesMoreThanRead,
    /// It begins or ends a transaction, or says how one is to be.
    Transacts,
    /// It takes away what the session has on its connection.
    TakesAway,
    /// It wants other server processes gone, or may name one that a client stands for.
    NamesProcess,
    /// It speaks of prepared statements by their names.
    AsksPrepared,
    /// It asks which values its session has drawn from sequences.
    AsksDrawn,
    /// It may change data, or anything else that others see.
    Acts,
    /// It begins, ends or moves in a transaction.
    Controls,
    /// A text of it was not read, because what stands before may change how its strings are read.
    Unread,
    /// It executes a portal that an earlier request has bound. Asked of a request, not of its statements.
    ExecutesEarlier,
    /// It was prepared, or used last, under other settings than those of now. Asked of a request, not of its statements.
    UnderOthers,
    /// It may leave with its server process what nothing takes away, or touches that: custom settings, temporary tables.
    Lasts,
    /// It brings, or takes away, what code runs by; or may, as what it commits was said elsewhere.
    Brings,
}

impl Word for Fact {
    fn number(self) -> u16 {
        self as u16
    }
}

/// What is so of any of a text's statements.
pub(crate) fn facts(verdict: &Verdict) -> Set<Fact> {
    let of_all = || verdict.statements.iter().map(facts_of).fold(Set::default(), Set::union);
    Set::of_bits(verdict.noted.bits(|| of_all().bits()))
}

/// What is so of a statement.
fn facts_of(statement: &Statement) -> Set<Fact> {
    let Statement { kind, functions, reads, reads_listed, effects, depends_on, vacates, brings, .. } =
        statement;
    // What runs a text reads what nobody has named.
    let unnamed = *reads_listed == Listed::Partly && matches!(kind, Kind::Read | Kind::Cursor(_));
    let shows = own::shown(statement).is_some();
    let runs = || effects.code.as_ref().is_some_and(|code| !code.is_plain());
    let transacts = matches!(
        kind,
        Kind::Begin(_) | Kind::Commit { .. } | Kind::Rollback { .. } | Kind::SetTransaction(..)
    );
    let asks_prepared = matches!(depends_on, Dependency::Statement(_) | Dependency::Statements);
    let takes_away = matches!(kind, Kind::Discard(Discard::All) | Kind::Deallocate(_));
    let names_process = matches!(depends_on, Dependency::Termination | Dependency::Process);
    [
        (Fact::ConcernsWeir, shows || own::weir_settings(statement).next().is_some()),
        (Fact::ConcernsServer, !shows),
        (Fact::Calls, !functions.is_empty() || runs()),
        (Fact::Reads, !reads.is_empty() || unnamed),
        (Fact::Looks, looks(statement)),
        (Fact::LooksNow, self::reads(statement)),
        (Fact::DoesMoreThanRead, *kind != Kind::Read || !functions.is_empty() || !effects.is_empty()),
        (Fact::Transacts, transacts),
        (Fact::TakesAway, takes_away),
        (Fact::NamesProcess, vacates.is_some() || names_process),
        (Fact::AsksPrepared, asks_prepared),
        (Fact::AsksDrawn, *depends_on == Dependency::Drawn),
        (Fact::Acts, acts(statement)),
        (Fact::Controls, controls(statement)),
        (Fact::Brings, brings.is_code() || *kind == Kind::Primary(Why::TwoPhase)),
        (Fact::Lasts, !effects.settings.is_empty() || !effects.changes.is_empty()),
    ]
    .into()
}

/// Whether a statement leaves nothing on its connection that the journal of its transaction does not tell.
pub(crate) fn leaves_nothing(statement: &Statement) -> bool {
    use Kind::{Commit, Read, Release, Rollback, RollbackTo, Savepoint, Show};
    let kept = matches!(
        statement.kind,
        Read | Show(_) | Savepoint(_) | Release(_) | RollbackTo(_) | Commit { .. } | Rollback { .. }
    );
    kept && statement.functions.is_empty() && statement.effects.is_empty()
}

/// Whether all that a statement does within a transaction is undone when its connection is lost, as far as its text tells.
/// What functions do outside of it is not: those of users, and those of PostgreSQL that write what nobody names.
pub(crate) fn is_undone_by_loss(statement: &Statement) -> bool {
    let Statement { functions, effects, writes_listed, depends_on, .. } = statement;
    let writes = matches!(statement.kind, Kind::Primary(Why::Write | Why::RowLock));
    let known = *writes_listed == Listed::Wholly && *depends_on != Dependency::Termination;
    leaves_nothing(statement)
        || only_sets(statement)
        || (writes && known && functions.is_empty() && effects.is_empty())
}

/// Whether all that a statement does is done to its session's settings, or discards what its session has.
pub(crate) fn only_sets(statement: &Statement) -> bool {
    let sets = matches!(
        statement.kind,
        Kind::Set | Kind::SetTransaction(_, Scope::Session) | Kind::Reset(_) | Kind::Discard(_)
    );
    sets && statement.effects.changes.is_empty()
}

/// Whether a statement begins, ends or moves in a transaction.
pub(crate) fn controls(statement: &Statement) -> bool {
    matches!(
        statement.kind,
        Kind::Begin(_)
            | Kind::Commit { .. }
            | Kind::Rollback { .. }
            | Kind::Savepoint(_)
            | Kind::Release(_)
            | Kind::RollbackTo(_)
            | Kind::SetTransaction(_, Scope::Local)
    )
}

/// Whether a statement looks at data, or begins what will.
pub(crate) fn looks(statement: &Statement) -> bool {
    begins(statement) || reads(statement)
}

/// Whether a statement begins a transaction, of which it is not known what it will look at.
pub(crate) fn begins(statement: &Statement) -> bool {
    matches!(statement.kind, Kind::Begin(_)) || statement.kind.chains()
}

/// Whether a statement looks at data.
pub(crate) fn reads(statement: &Statement) -> bool {
    matches!(
        statement.kind,
        Kind::Read | Kind::Primary(_) | Kind::Execute(_) | Kind::Cursor(_) | Kind::Prepare(_)
    )
}

/// Whether a statement may change data, or anything else that others see.
pub(crate) fn acts(statement: &Statement) -> bool {
    matches!(statement.kind, Kind::Primary(_) | Kind::Execute(_)) || !statement.functions.is_empty()
}
