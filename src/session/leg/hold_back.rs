//! Whether an answer is held back, and its request kept, so that it can be run again elsewhere.

use crate::backend::ledger::Batch;
use crate::router::Route;
use crate::session::leg::Leg;
use crate::session::leg::progress::{Retry, Shape};
use crate::session::model::set::Set;
use crate::session::relay::client_buffer::ClientBuffer;
use crate::session::relay::request::Request;
use crate::session::state::State;
use crate::wire::TxStatus;

/// Holds the answer back and keeps the request, when it could be run again.
pub(crate) fn hold(
    leg: &mut Leg,
    client_buffer: &mut ClientBuffer,
    state: &mut State,
    request: &Request,
    bytes: &[u8],
    plan: &Hold,
) {
    leg.progress.shape = match (plan.joins, leg.route, request.verdicts().next()) {
        // Of what was bound before.
        (.., None) => leg.progress.shape,
        (Joins::Flight, ..) | (_, Route::Primary, _) => Shape::Unknown,
        (_, Route::Replica, Some(verdict)) => Shape::InFlight(verdict.skeleton),
    };
    if plan.joins == Joins::Flight {
        // What joins a flight is kept with it or, where nothing is held, not at all.
        if !client_buffer.is_holding() {
            return;
        }
        // Behind what is on the primary there may be writes, which must not run twice.
        let once = leg.route == Route::Primary;
        if once || bytes.len() < request.len || state.replay_buffer.bytes.len() + bytes.len() > plan.limit {
            // Too much to keep: all of it runs here and only here.
            client_buffer.release();
            state.replay_buffer.clear();
            leg.progress.retry = Set::default();
        } else {
            state.replay_buffer.keep(bytes, request.ends());
        }
        return;
    }
    state.replay_buffer.clear();
    leg.responses.notices = 0;
    let fits = bytes.len() == request.len && bytes.len() <= plan.limit;
    let outside = leg.responses.tx == TxStatus::Idle && leg.batch() == Batch::Closed;
    // A client that asks for the portal's columns takes whatever they are now; another one must get the error.
    let described = plan.described;
    leg.progress.retry = match (plan.joins, leg.route) {
        _ if !fits => Set::default(),
        (Joins::Nothing, Route::Replica) => Set::from_iter([Retry::ReplicaError, Retry::Loss]),
        (Joins::Nothing, Route::Primary) if outside => Set::from([(Retry::StalePlan, described)]),
        (Joins::Renewable, _) if outside => Set::from([(Retry::Loss, true), (Retry::StalePlan, described)]),
        (Joins::Renewable, _) => Set::from_iter([Retry::Loss]),
        (Joins::Nothing | Joins::Flight | Joins::Rerun | Joins::Block, _) => Set::default(),
    };
    if leg.progress.retry.is_empty() {
        client_buffer.release();
    } else {
        client_buffer.hold();
        state.replay_buffer.keep(bytes, request.ends());
    }
}

/// What decides whether an answer is held back.
pub(crate) struct Hold {
    pub(crate) joins: Joins,
    /// Most bytes that are kept.
    pub(crate) limit: usize,
    /// Whether the client asks for the columns of what it binds.
    pub(crate) described: bool,
}

/// What a request joins when it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Joins {
    /// It is alone on its connection, and could as well run on another.
    Nothing,
    /// Others are in flight before it.
    Flight,
    /// It is run again, and not a third time.
    Rerun,
    /// Nothing but a transaction that can be begun anew on another connection to a primary, and this with it. Or it only
    /// reads, and stands for itself.
    Renewable,
    /// A transaction or a batch that lives on this connection and nowhere else.
    Block,
}
