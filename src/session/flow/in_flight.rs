//! What a session has sent and not been answered, as far as it concerns how the strings of what it sends next are read.
//!
//! It never waits for an answer.

use std::sync::Arc;

use crate::session::conversation::Conversation;
use crate::session::leg::Leg;
use crate::session::model::settings::SessionSettings;
use crate::session::model::undoable::Undoable;
use crate::session::relay::pending_reply::PendingReply;
use crate::session::relay::unsettled::{self, may_change_strings};
use crate::sql::{Pin, Verdict};

/// What is on its way to a session's connection or from it.
pub(super) struct InFlight<'a> {
    pub(super) conversation: &'a Conversation,
    pub(super) leg: Option<&'a Leg>,
}

impl unsettled::InFlight for InFlight<'_> {
    fn is_any(&self) -> bool {
        self.leg.is_some_and(Leg::owes)
    }

    fn may_change_strings(&self) -> bool {
        let Some(leg) = self.leg.filter(|leg| leg.owes()) else { return false };
        let may = |verdict: &Arc<Verdict>| verdict.statements.iter().any(may_change_strings);
        let sets = |pending: &PendingReply| pending.verdict().is_some_and(may);
        // What code leaves is noted for the session alone.
        let by_code = || {
            let pins = self.conversation.state.pins();
            [Pin::Function, Pin::LongStatement, Pin::Unknown].into_iter().any(|pin| pins.has(pin))
        };
        leg.responses.ledger.notes().any(sets)
            || by_code()
            || self.conversation.shared.cluster.catalogs().matters().leaves_traces()
    }

    fn ends_change_strings(&self) -> bool {
        const NAME: &str = "standard_conforming_strings";
        let transaction = &self.conversation.state.transaction;
        let as_now = transaction.undoable().now().settings.wanted().get(NAME);
        let value = |level: &Undoable| SessionSettings::wanted(&level.settings).get(NAME) != as_now;
        transaction.reported().iter().any(|(name, _)| *name == NAME)
            || transaction.undoable().levels().any(value)
    }
}
