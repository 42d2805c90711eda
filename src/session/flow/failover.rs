//! What is made of a connection that is lost while something is in flight: nothing here waits or writes.

use crate::error::Error;
use crate::router::Route;
use crate::session::leg::connection::Abandoned;
use crate::session::leg::state::{LegState, Why};
use crate::session::model::set::{Set, Word};
use crate::wire::TxStatus;

/// What may have been committed though nobody said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    None,
    /// A statement outside a transaction.
    Write,
    /// A transaction.
    Commit,
}

/// What becomes of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nothing of the answer is out and nothing was changed: it runs again elsewhere, and nobody notices.
    RunAgain,
    /// The client has part of a message, of which the rest will never come.
    Torn,
    /// Its state went with the server, it has asked for that itself, or its driver would take an error for something else.
    Close,
    /// It is told, and goes on.
    Tell,
}

/// What a lost leg was for its session.
pub(crate) struct Lost {
    pub route: Route,
    /// Transaction status, as far as the server has said.
    pub tx: TxStatus,
    pub facts: Set<LossFact>,
}

/// What may be so of a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LossFact {
    /// Something that may write was in flight.
    PendingWrites,
    /// Something was that may be PREPARE TRANSACTION, or it stands before that.
    MayPrepare,
    /// All of what was in flight can be taken back and run elsewhere without the client noticing.
    CanRunAgain,
    /// The last bytes that the client has, or will have, end within a message.
    TornMessage,
    /// What the session relies on lived there.
    StateThere,
    /// The client has asked for the end of a server process.
    WantedEnd,
    /// A BEGIN is not answered: drivers take a transaction to be open once they have sent it.
    UnansweredBegin,
}

/// What a session does not outlive.
const ENDING: [LossFact; 3] = [LossFact::WantedEnd, LossFact::StateThere, LossFact::UnansweredBegin];

impl Word for LossFact {
    fn number(self) -> u16 {
        self as u16
    }
}

impl Lost {
    /// What becomes of the session.
    pub(crate) fn fate(&self) -> Fate {
        if self.facts.has(LossFact::CanRunAgain) {
            Fate::RunAgain
        } else if self.facts.has(LossFact::TornMessage) {
            Fate::Torn
        } else if ENDING.into_iter().any(|fact| self.facts.has(fact)) {
            Fate::Close
        } else {
            Fate::Tell
        }
    }

    /// What may have been committed.
    pub(crate) fn doubt(&self, abandoned: &Abandoned) -> Doubt {
        let commits = abandoned.commits > 0 || self.facts.has(LossFact::MayPrepare);
        match (self.route, self.tx) {
            (Route::Primary, _) if commits => Doubt::Commit,
            (_, tx) if self.facts.has(LossFact::PendingWrites) => match abandoned.behind {
                0 if tx != TxStatus::Idle => Doubt::None,
                _ => Doubt::Write,
            },
            _ => Doubt::None,
        }
    }
}

/// What the client is told of a connection that was lost in this state.
pub(crate) fn cause(state: LegState, doubt: Doubt) -> Error {
    match (state, doubt) {
        (LegState::Refused(refused), _) => refused,
        // Whatever the server said before it went: whether it had committed by then is not known.
        (_, Doubt::Commit) => Error::CommitUnknown,
        (LegState::Violated(why), _) => Error::ServerProtocol(why),
        (LegState::GivenUp(Why::Deaf), _) => Error::QueryTimeout,
        (LegState::Ending(said) | LegState::Closed(Some(said)), _) => said,
        (_, Doubt::Write) => Error::CommitUnknown,
        (LegState::GivenUp(Why::Silent), Doubt::None) => Error::ServerSilent,
        (LegState::GivenUp(Why::Deposed), Doubt::None) => Error::Deposed,
        (LegState::Working | LegState::Rerunning(_) | LegState::Closed(None), Doubt::None) => {
            Error::ServerLost
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::leg::connection::LeftBatch;

    fn lost(route: Route, tx: TxStatus, facts: &[LossFact]) -> Lost {
        Lost { route, tx, facts: facts.iter().copied().collect() }
    }

    #[test]
    fn a_session_ends_only_with_its_state_or_its_message() {
        use LossFact::{CanRunAgain, PendingWrites, StateThere, TornMessage, UnansweredBegin, WantedEnd};
        let table: [(&str, &[LossFact], Fate); 11] = [
            ("nothing there", &[], Fate::Tell),
            ("a read that nobody has seen", &[CanRunAgain], Fate::RunAgain),
            ("the same of a session with state elsewhere", &[CanRunAgain, StateThere], Fate::RunAgain),
            ("a write", &[PendingWrites], Fate::Tell),
            ("half a row", &[TornMessage], Fate::Torn),
            ("a BEGIN", &[UnansweredBegin], Fate::Close),
            ("a BEGIN that nobody has seen", &[UnansweredBegin, CanRunAgain], Fate::RunAgain),
            ("half a row and state", &[TornMessage, StateThere], Fate::Torn),
            ("state on the primary", &[StateThere], Fate::Close),
            ("asked for", &[WantedEnd], Fate::Close),
            ("asked for, behind a read", &[WantedEnd, PendingWrites], Fate::Close),
        ];
        for (name, facts, fate) in table {
            assert_eq!(lost(Route::Primary, TxStatus::Idle, facts).fate(), fate, "{name}");
        }
    }

    #[test]
    fn what_may_be_committed_is_said_to_be_unknown() {
        use TxStatus::{Idle, Open};
        let writes: &[LossFact] = &[LossFact::PendingWrites];
        for (name, route, tx, facts, commits, doubt) in [
            ("a read", Route::Primary, Idle, &[][..], false, Doubt::None),
            ("a write", Route::Primary, Idle, writes, false, Doubt::Write),
            ("a write in a transaction", Route::Primary, Open, writes, false, Doubt::None),
            ("its commit", Route::Primary, Open, writes, true, Doubt::Commit),
            ("a commit in a pipeline", Route::Primary, Idle, writes, true, Doubt::Commit),
            ("a commit on a replica", Route::Replica, Open, &[], true, Doubt::None),
        ] {
            let commits = usize::from(commits);
            let abandoned = Abandoned { readies: 1, batch: LeftBatch::Closed, begins: 0, commits, behind: 0 };
            assert_eq!(lost(route, tx, facts).doubt(&abandoned), doubt, "{name}");
        }
    }

    #[test]
    fn what_stands_behind_a_rollback_may_be_committed() {
        let abandoned = Abandoned { readies: 1, batch: LeftBatch::Closed, begins: 0, commits: 0, behind: 1 };
        for (facts, doubt) in [(&[LossFact::PendingWrites][..], Doubt::Write), (&[], Doubt::None)] {
            assert_eq!(lost(Route::Primary, TxStatus::Open, facts).doubt(&abandoned), doubt);
        }
    }

    #[test]
    fn what_the_client_is_told_depends_on_what_is_known_of_the_end() {
        let told = |state, doubt| cause(state, doubt).sqlstate().to_owned();
        assert_eq!(told(LegState::Closed(None), Doubt::None), "08006");
        assert_eq!(told(LegState::Closed(None), Doubt::Write), "08007");
        assert_eq!(told(LegState::Closed(Some(Error::Closing)), Doubt::Write), Error::Closing.sqlstate());
        assert_eq!(told(LegState::Closed(Some(Error::Closing)), Doubt::Commit), "08007");
        assert_eq!(told(LegState::Refused(Error::NoPrimary), Doubt::Commit), Error::NoPrimary.sqlstate());
        assert_eq!(told(LegState::GivenUp(Why::Deaf), Doubt::Write), Error::QueryTimeout.sqlstate());
        for why in [Why::Silent, Why::Deposed] {
            assert_eq!(told(LegState::GivenUp(why), Doubt::None), "08006");
            assert_eq!(told(LegState::GivenUp(why), Doubt::Write), "08007");
        }
    }
}
