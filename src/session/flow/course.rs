//! A request's course: where it goes and how it runs there, as things stand while it is brought to where it can be written.

use std::time::Instant;

use crate::router::{Decision, Route};
use crate::session::consistency::requirement::Requirement;
use crate::session::conversation::Conversation;
use crate::session::flow::plan::Manner;
use crate::session::flow::write::How;
use crate::session::relay::facts::Fact;
use crate::session::relay::kept::Keeps;
use crate::session::relay::request::Request;

/// Where a request goes, as things stand.
pub(super) struct Course {
    pub(super) decision: Decision,
    pub(super) manner: Manner,
    /// What of it weir answers itself.
    pub(super) keeps: Keeps,
    /// What it needs of a replica.
    pub(super) requirement: Requirement,
    /// When weir began to work on it, without the time spent waiting for others.
    pub(super) begun: Instant,
}

impl Course {
    /// It is known where the request runs. What reads by code of which nobody knows what it does must not run on the primary
    /// outside of its transaction: it would be committed by itself.
    pub(super) fn settle(&mut self, conversation: &Conversation, request: &Request) {
        let alone = self.manner == Manner::Alone && self.decision.route == Route::Primary;
        if alone && (request.any(Fact::Calls) || conversation.may_write_unseen(request)) {
            let promised = conversation.state.transaction.is_promised();
            self.manner = if promised { Manner::Within } else { Manner::AsItComes };
            self.keeps = Keeps::Nothing;
        }
    }

    pub(super) fn how(&self) -> How {
        How { manner: self.manner, keeps: self.keeps, reason: self.decision.reason, begun: self.begun }
    }
}
