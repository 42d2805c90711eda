//! What the process of a leg's connection keeps of the session, whatever is discarded: noted before it is sent, or when it
//! shows what code may have left.

use crate::backend::past::TempTables;
use crate::pool::Lease;
use crate::session::relay::facts::Fact;
use crate::session::relay::request::Request;
use crate::session::state::State;
use crate::sql::{Change, Pin, Statement};

/// A request is about to be sent.
pub(crate) fn notes_request(lease: &mut Lease, state: &State, request: &Request) {
    if !request.any(Fact::Lasts) {
        return;
    }
    lease.past.placeholders.join(&state.pins.spoken.placeholders);
    if request.statements().any(has_temporary) {
        lease.past.temporary = TempTables(true);
    }
}

fn has_temporary(statement: &Statement) -> bool {
    let temporary =
        |change: &Change| matches!(change, Change::Temporary(_) | Change::TemporaryForNow | Change::Creates);
    statement.effects.changes.iter().any(temporary)
}

/// What the session has on its connection now may have come with more, of which it has spoken then.
pub(crate) fn notes_pins(lease: &mut Lease, state: &mut State) {
    let pins = state.pins();
    let any = [Pin::Function, Pin::LongStatement, Pin::Unknown].into_iter().any(|pin| pins.has(pin));
    if any {
        state.pins.spoken.placeholders.speak_of_others();
        lease.past.placeholders.join(&state.pins.spoken.placeholders);
    }
    if any || pins.has(Pin::Temporary) {
        lease.past.temporary = TempTables(true);
    }
}
