//! What is asked of every request's statements, found in one pass over them while the request is read.
//!
//! Pure. Here is only what decides on the way of each request. What is asked seldom is asked of the statements.

use crate::session::consistency::requirement::looks;
use crate::session::model::weir_settings as own;
use crate::sql::{Dependency, Discard, Kind, Statement};

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
    /// It begins or ends a transaction, or says how one is to be.
    Transacts,
    /// It takes away what the session has on its connection.
    TakesAway,
    /// It wants other server processes gone.
    MakesWay,
    /// It speaks of prepared statements by their names.
    AsksPrepared,
}

/// What is so of any of a request's statements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts(u16);

impl Facts {
    /// Whether it is so of any of them.
    pub(crate) fn has(self, fact: Fact) -> bool {
        self.0 & 1 << fact as u16 != 0
    }

    /// One more statement.
    pub(crate) fn add(&mut self, statement: &Statement) {
        let Statement { kind, functions, reads, effects, depends_on, vacates, .. } = statement;
        let shows = own::shown(statement).is_some();
        let runs = || effects.code.as_ref().is_some_and(|code| !code.is_plain());
        let transacts = matches!(
            kind,
            Kind::Begin(_) | Kind::Commit { .. } | Kind::Rollback { .. } | Kind::SetTransaction(..)
        );
        let asks_prepared = matches!(depends_on, Dependency::Statement(_) | Dependency::Statements);
        let takes_away = matches!(kind, Kind::Discard(Discard::All) | Kind::Deallocate(_));
        let ends_process = matches!(depends_on, Dependency::Termination);
        let all = [
            (Fact::ConcernsWeir, shows || own::weir_settings(statement).next().is_some()),
            (Fact::ConcernsServer, !shows),
            (Fact::Calls, !functions.is_empty() || runs()),
            (Fact::Reads, !reads.is_empty()),
            (Fact::Looks, looks(statement)),
            (Fact::Transacts, transacts),
            (Fact::TakesAway, takes_away),
            (Fact::MakesWay, vacates.is_some() || ends_process),
            (Fact::AsksPrepared, asks_prepared),
        ];
        self.0 |= all.iter().fold(0, |set, (fact, so)| set | u16::from(*so) << *fact as u16);
    }
}
