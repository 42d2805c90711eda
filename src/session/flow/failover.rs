//! What is made of a connection that is lost while something is in flight: nothing here waits or writes.

use crate::error::Error;
use crate::router::Route;
use crate::session::leg::state::LegState;
use crate::session::leg::{Abandoned, Commit, Leg, Retry, Wished};
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

/// Whether anything that may write was in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pending {
    Nothing,
    Writes,
}

/// What becomes of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nothing of the answer is out and nothing was changed: it runs again elsewhere, and nobody notices.
    RunAgain,
    /// The client has part of a message, of which the rest will never come.
    Torn,
    /// Its state went with the server, or it has asked for that itself.
    Close,
    /// It is told, and goes on.
    Tell,
}

/// What a lost leg was for its session.
pub(crate) struct Lost {
    pub route: Route,
    pub tx: TxStatus,
    pub retry: Retry,
    pub end: Wished,
    /// What is kept of the requests in flight, and whether their answer is held back.
    pub replay: Replay,
    /// Whether the client has part of a message.
    pub frame: Frame,
    /// Whether what the session relies on lived there.
    pub state: Kept,
}

/// Whether what was in flight can be run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replay {
    Kept,
    Gone,
}

/// Whether the last bytes that the client has, or will have, end within a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Whole,
    Part,
}

/// Whether a session has state on its connection to the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    Nothing,
    State,
}

impl Lost {
    /// Whether what is in flight can be taken back and run elsewhere without the client noticing.
    pub(crate) fn can_run_again(leg: &Leg, replay: Replay) -> bool {
        leg.progress.retry == Retry::OnPrimary && replay == Replay::Kept
    }

    /// What becomes of the session.
    pub(crate) fn fate(&self) -> Fate {
        if self.retry == Retry::OnPrimary && self.replay == Replay::Kept {
            return Fate::RunAgain;
        }
        match (self.frame, self.end, self.state, self.route) {
            (Frame::Part, ..) => Fate::Torn,
            (_, Wished::Yes, ..) | (_, _, Kept::State, Route::Primary) => Fate::Close,
            _ => Fate::Tell,
        }
    }

    /// What may have been committed.
    pub(crate) fn doubt(&self, abandoned: &Abandoned, pending: Pending) -> Doubt {
        match (abandoned.commit, self.route, self.tx, pending) {
            (Commit::InFlight, Route::Primary, ..) => Doubt::Commit,
            (_, _, TxStatus::Idle, Pending::Writes) => Doubt::Write,
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
        (LegState::Deaf, _) => Error::QueryTimeout,
        (LegState::Ending(said) | LegState::Closed(Some(said)), _) => said,
        (_, Doubt::Write) => Error::CommitUnknown,
        (LegState::Working | LegState::Rerunning(_) | LegState::Closed(None), Doubt::None) => {
            Error::ServerLost
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::ledger::Batch;
    use crate::session::leg::ErrorOwed;

    const LOST: Lost = Lost {
        route: Route::Primary,
        tx: TxStatus::Idle,
        retry: Retry::Never,
        end: Wished::No,
        replay: Replay::Gone,
        frame: Frame::Whole,
        state: Kept::Nothing,
    };

    #[test]
    fn a_session_ends_only_with_its_state_or_its_message() {
        let replica = Lost { route: Route::Replica, ..LOST };
        for (name, lost, fate) in [
            ("nothing there", LOST, Fate::Tell),
            (
                "a read that nobody has seen",
                Lost { retry: Retry::OnPrimary, replay: Replay::Kept, ..replica },
                Fate::RunAgain,
            ),
            ("a read that is out", Lost { retry: Retry::OnPrimary, ..replica }, Fate::Tell),
            ("a stale plan", Lost { retry: Retry::StalePlan, replay: Replay::Kept, ..LOST }, Fate::Tell),
            ("half a row", Lost { frame: Frame::Part, ..replica }, Fate::Torn),
            ("half a row and state", Lost { frame: Frame::Part, state: Kept::State, ..LOST }, Fate::Torn),
            ("state on the primary", Lost { state: Kept::State, ..LOST }, Fate::Close),
            ("state, but not there", Lost { state: Kept::State, ..replica }, Fate::Tell),
            ("asked for", Lost { end: Wished::Yes, ..LOST }, Fate::Close),
        ] {
            assert_eq!(lost.fate(), fate, "{name}");
        }
    }

    #[test]
    fn what_may_be_committed_is_said_to_be_unknown() {
        let abandoned =
            |commit| Abandoned { readies: 1, batch: Batch::Closed, error: ErrorOwed::Due, commit };
        let (none, commit) = (abandoned(Commit::None), abandoned(Commit::InFlight));
        let open = Lost { tx: TxStatus::Open, ..LOST };
        let replica = Lost { route: Route::Replica, ..LOST };
        for (name, lost, abandoned, pending, doubt) in [
            ("a read", LOST, none, Pending::Nothing, Doubt::None),
            ("a write", LOST, none, Pending::Writes, Doubt::Write),
            ("a write in a transaction", open, none, Pending::Writes, Doubt::None),
        ] {
            assert_eq!(lost.doubt(&abandoned, pending), doubt, "{name}");
        }
        assert_eq!(Lost { tx: TxStatus::Open, ..LOST }.doubt(&commit, Pending::Writes), Doubt::Commit);
        assert_eq!(replica.doubt(&commit, Pending::Nothing), Doubt::None);
        let told = |state, doubt| cause(state, doubt).sqlstate().to_owned();
        assert_eq!(told(LegState::Closed(None), Doubt::None), "08006");
        assert_eq!(told(LegState::Closed(None), Doubt::Write), "08007");
        assert_eq!(told(LegState::Closed(Some(Error::Closing)), Doubt::Write), Error::Closing.sqlstate());
        assert_eq!(told(LegState::Closed(Some(Error::Closing)), Doubt::Commit), "08007");
        assert_eq!(told(LegState::Refused(Error::NoPrimary), Doubt::Commit), Error::NoPrimary.sqlstate());
        assert_eq!(told(LegState::Deaf, Doubt::None), Error::QueryTimeout.sqlstate());
    }
}
