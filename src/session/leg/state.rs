//! The state of a leg: whether its connection still answers, and what has become of what is in flight.
//!
//! Pure. Only [`LegState::on`] changes it.

use crate::error::Error;

/// What has become of a connection at work.
///
/// ```text
///              Rerun                    Requeued
///   Working ──────────► Rerunning ──────────────► Working
///      │                    │
///      │ Said               │ Said
///      ▼                    ▼
///   Ending ◄────────────────┘
///      │
///      ▼  Closed, Violated, Refused, GaveUp: from any of the above, and to stay
///   Closed   Violated   Refused   GivenUp
/// ```
#[derive(Debug, Default)]
pub(crate) enum LegState {
    /// It answers what it is sent.
    #[default]
    Working,
    /// An error with this SQLSTATE has what is in flight run again on the primary, once the server has answered all of
    /// it.
    Rerunning(String),
    /// The server has said why it is about to close the connection.
    Ending(Error),
    /// Closed or broken, with the server's last words.
    Closed(Option<Error>),
    /// The server broke the protocol in this way.
    Violated(&'static str),
    /// The server refused settings that weir put in front of a request: what was sent behind them runs without them.
    Refused(Error),
    /// weir waits for the server no longer.
    GivenUp(Why),
}

/// Why a server is not waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// It did not heed a cancel request.
    Deaf,
    /// It has not answered its probes for too long.
    Silent,
    /// It is no primary any more: another one is.
    Deposed,
}

/// What happens to a leg.
#[derive(Debug)]
pub(crate) enum LegEvent {
    /// An error with this SQLSTATE is nobody's: its request is to run elsewhere.
    Rerun(String),
    /// What was to run again has been put back.
    Requeued,
    /// The server said why it ends the connection.
    Said(Error),
    /// The connection ended, or is given up.
    Closed,
    /// The server broke the protocol.
    Violated(&'static str),
    /// The server refused settings of weir's.
    Refused(Error),
    /// It is not waited for any longer.
    GaveUp(Why),
}

impl LegState {
    /// Whether the server ends the connection by a limit of time that its client has set for its transactions.
    pub(crate) fn is_overdue(&self) -> bool {
        match self {
            LegState::Ending(said) | LegState::Closed(Some(said)) => {
                matches!(said.sqlstate(), "25P03" | "25P04")
            }
            _ => false,
        }
    }

    /// The one way from one state to another. What is lost stays lost, for the first reason.
    pub(crate) fn on(&mut self, event: LegEvent) {
        use LegState::{Closed, Ending, GivenUp, Refused, Rerunning, Violated, Working};
        *self = match (std::mem::take(self), event) {
            (state @ (Closed(_) | Violated(_) | Refused(_) | GivenUp(_)), _) => state,
            (Working | Rerunning(_), LegEvent::Rerun(sqlstate)) => Rerunning(sqlstate),
            (Rerunning(_), LegEvent::Requeued) => Working,
            (state, LegEvent::Rerun(_) | LegEvent::Requeued) => state,
            (_, LegEvent::Said(words)) => Ending(words),
            (Ending(words), LegEvent::Closed) => Closed(Some(words)),
            (_, LegEvent::Closed) => Closed(None),
            (_, LegEvent::Violated(why)) => Violated(why),
            (_, LegEvent::Refused(why)) => Refused(why),
            (_, LegEvent::GaveUp(why)) => GivenUp(why),
        };
    }

    /// Whether anything can still be sent and heard.
    pub(crate) fn is_up(&self) -> bool {
        matches!(self, LegState::Working | LegState::Rerunning(_) | LegState::Ending(_))
    }

    /// Whether the server is about to close the connection.
    pub(crate) fn is_ending(&self) -> bool {
        matches!(self, LegState::Ending(_))
    }

    /// Whether what is in flight will be run again.
    pub(crate) fn is_rerunning(&self) -> bool {
        matches!(self, LegState::Rerunning(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The name of the state after these events.
    fn after(events: Vec<LegEvent>) -> String {
        let mut state = LegState::default();
        events.into_iter().for_each(|event| state.on(event));
        format!("{state:?}").split('(').next().unwrap().to_owned()
    }

    fn said() -> LegEvent {
        LegEvent::Said(Error::ServerLost)
    }

    fn rerun() -> LegEvent {
        LegEvent::Rerun("25006".to_owned())
    }

    #[test]
    fn each_event_moves_it_as_drawn() {
        for (events, expected) in [
            (vec![], "Working"),
            (vec![rerun()], "Rerunning"),
            (vec![rerun(), LegEvent::Requeued], "Working"),
            (vec![LegEvent::Requeued], "Working"),
            (vec![said()], "Ending"),
            (vec![rerun(), said()], "Ending"),
            (vec![said(), rerun()], "Ending"),
            (vec![said(), LegEvent::Closed], "Closed"),
            (vec![LegEvent::Closed], "Closed"),
            (vec![rerun(), LegEvent::Closed], "Closed"),
            (vec![LegEvent::Violated("x")], "Violated"),
            (vec![said(), LegEvent::Violated("x")], "Violated"),
            (vec![LegEvent::Refused(Error::ServerLost)], "Refused"),
            (vec![LegEvent::GaveUp(Why::Deaf)], "GivenUp"),
            (vec![said(), LegEvent::GaveUp(Why::Silent)], "GivenUp"),
        ] {
            assert_eq!(after(events), expected);
        }
    }

    #[test]
    fn what_is_lost_stays_lost_for_the_first_reason() {
        type Loss = fn() -> LegEvent;
        let lost: [(Loss, &str); 4] = [
            (|| LegEvent::Closed, "Closed"),
            (|| LegEvent::Violated("x"), "Violated"),
            (|| LegEvent::Refused(Error::ServerLost), "Refused"),
            (|| LegEvent::GaveUp(Why::Deposed), "GivenUp"),
        ];
        for (first, expected) in lost {
            for later in [
                said(),
                rerun(),
                LegEvent::Requeued,
                LegEvent::Closed,
                LegEvent::Violated("y"),
                LegEvent::GaveUp(Why::Deaf),
            ] {
                assert_eq!(after(vec![first(), later]), expected);
            }
        }
        let mut state = LegState::default();
        state.on(said());
        state.on(LegEvent::Closed);
        assert!(matches!(state, LegState::Closed(Some(Error::ServerLost))), "the last words are kept");
        assert!(!state.is_up());
    }
}
