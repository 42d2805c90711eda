//! What a session has learned of a connection at work, and what it has done there.
//!
//! Pure.

use crate::backend::settings::Settings;
use crate::session::leg::state::{LegEvent, LegState};
use crate::session::leg::trust::Trust;
use crate::session::model::set::{Set, Word};
use crate::session::transaction::carried::Carried;
use crate::sql::SkeletonId;

/// What a session has learned of a leg's connection, and what it has done there.
pub(crate) struct Progress {
    /// Changed by [`Progress::on`] only.
    pub state: LegState,
    /// How its server stands with the probes.
    pub trust: Trust,
    /// The settings that it carries.
    pub carried: Carried,
    /// After what the requests in flight may be run again.
    pub retry: Set<Retry>,
    /// Changes of settings that weir put in and the server has not confirmed yet.
    pub unconfirmed: Unconfirmed,
    /// Whether the session may have drawn from sequences since it got the connection.
    pub drew: SequenceUse,
    /// What of note was sent.
    pub sent: Set<Sent>,
    /// What the server has just said of the parameters of a statement: of its columns it speaks next.
    pub parameters: Option<u64>,
    /// What a replica may refuse.
    pub shape: Shape,
}

impl Progress {
    pub(crate) fn new(carried: Settings) -> Self {
        Self {
            state: LegState::default(),
            trust: Trust::default(),
            carried: Carried::new(carried),
            retry: Set::default(),
            unconfirmed: Unconfirmed::default(),
            drew: SequenceUse::Not,
            sent: Set::default(),
            parameters: None,
            shape: Shape::default(),
        }
    }

    /// Something happened to the connection.
    pub(crate) fn on(&mut self, event: LegEvent) {
        self.state.on(event);
    }
}

/// The shape of a read on a replica, for what is learned of its answer when it is too late to run it elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Shape {
    /// There is none, or several.
    #[default]
    Unknown,
    InFlight(SkeletonId),
    /// It was refused as a write.
    Refused(SkeletonId),
}

impl Shape {
    /// The replica refuses to write.
    pub(crate) fn refused(&mut self) {
        if let Shape::InFlight(shape) = *self {
            *self = Shape::Refused(shape);
        }
    }

    /// What was refused, once.
    pub(crate) fn take_refused(&mut self) -> Option<SkeletonId> {
        let Shape::Refused(shape) = *self else { return None };
        *self = Shape::Unknown;
        Some(shape)
    }
}

/// How many changes of settings the server has still to confirm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unconfirmed(usize);

impl Unconfirmed {
    /// One was sent.
    pub(crate) fn sent(&mut self) {
        self.0 += 1;
    }

    /// So many were confirmed, or will never be.
    pub(crate) fn settled(&mut self, count: usize) {
        self.0 = self.0.saturating_sub(count);
    }

    /// Whether none is on its way.
    pub(crate) fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Whether fewer are on their way than `before`.
    pub(crate) fn has_fallen(self, before: Self) -> bool {
        self.0 < before.0
    }
}

/// After what a request may be run again of whose answer nothing is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retry {
    /// A replica's error, to which the primary may have another answer.
    ReplicaError,
    /// The error that the plan of its statement is stale.
    StalePlan,
    /// The loss of its connection: it has changed nothing, or nothing that can be committed.
    Loss,
}

impl Word for Retry {
    fn number(self) -> u16 {
        self as u16
    }
}

/// Whether something that was sent may have drawn from a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SequenceUse {
    Not,
    Perhaps,
    /// By its own words.
    Surely,
}

/// Something of note that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// What looks at data, until all is answered.
    Look,
    /// A change of the connection's name that weir put into the client's batch, until that is answered.
    Name,
    /// What asks for the end of a server process, this one perhaps.
    Termination,
    /// `LISTEN`, though the session hears by another connection: this one must forget it before anybody else has it.
    Listens,
}

impl Word for Sent {
    fn number(self) -> u16 {
        self as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confirmations_are_not_counted_below_none() {
        let mut unconfirmed = Unconfirmed::default();
        unconfirmed.sent();
        let before = unconfirmed;
        unconfirmed.settled(2);
        assert!(unconfirmed.is_none() && unconfirmed.has_fallen(before));
    }
}
