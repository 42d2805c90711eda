//! A transaction that was lost with its connection: weir answers what ends it, and has another server stand where the client
//! stands before anything else of it runs.

use std::time::Instant;

use crate::error::{Error, Result};
use crate::router::{Decision, Reason, Route};
use crate::session::connections::checkout::{Checkout, ends_session};
use crate::session::consistency::requirement::Requirement;
use crate::session::flow::answer::answer;
use crate::session::flow::control::keeps;
use crate::session::flow::failover::{Doubt, cause};
use crate::session::flow::session::Session;
use crate::session::leg::sender::Sender;
use crate::session::leg::state::LegState;
use crate::session::relay::kept::Keeps;
use crate::session::relay::request::Request;
use crate::session::transaction::{Event, Reaction};
use crate::sql::Kind;
use crate::wire::TxStatus;

/// Answers what ends a transaction that was lost: there is nothing to be ended anywhere. Whether it did.
pub(super) fn ends_lost(session: &mut Session, request: &Request) -> bool {
    let Session { client, conversation, legs, .. } = session;
    let first = request.statements().next().map(|statement| &statement.kind);
    let untold = matches!(first, Some(Kind::Commit { .. })) && conversation.state.transaction.is_untold();
    let transaction = &conversation.state.transaction;
    let keeps = keeps(request, &client.read_buffer, &conversation.state.names, transaction);
    if keeps != Keeps::All || untold || first.is_none() {
        return false;
    }
    answer(client, conversation, legs.active_mut(), request);
    true
}

/// Makes the server of the next request stand where the client stands, in a transaction that has failed. False
/// when the request was answered instead: the first one is told of the loss, unless it takes everything back.
pub(super) async fn resume_block(session: &mut Session, request: &Request) -> Result<bool> {
    let first = request.statements().next().map(|statement| &statement.kind);
    if let Reaction::Tells(error) = session.conversation.state.transaction.on(Event::Asks(first)) {
        session.refuse(request, &error);
        return Ok(false);
    }
    if session.conversation.shared.cluster.topology().writable().is_none() {
        // What a server would say, if there were one.
        session.refuse(request, &Error::BlockAborted);
        return Ok(false);
    }
    let mut resumed = fail_anew(session, |sender| sender.settings()).await;
    if matches!(resumed, Err(NotResumed::SettingsRefused(_))) {
        // Even then the client must be able to end its transaction.
        resumed = fail_anew(session, |_| {}).await;
    }
    match resumed {
        Ok(()) => {
            session.conversation.state.transaction.on(Event::Resumed);
            return Ok(true);
        }
        Err(NotResumed::Lost(error) | NotResumed::SettingsRefused(error)) if ends_session(&error) => {
            return Err(error);
        }
        // The block is still lost: nothing runs outside of it.
        Err(NotResumed::Lost(error) | NotResumed::SettingsRefused(error)) => session.refuse(request, &error),
    }
    Ok(false)
}

/// Leases a connection and makes a transaction there that has failed, with this in front of it.
///
/// # Errors
/// Why there is none.
async fn fail_anew(
    session: &mut Session,
    preamble: impl FnOnce(&mut Sender<'_>),
) -> std::result::Result<(), NotResumed> {
    let no = NotResumed::Lost;
    let decision = Decision { route: Route::Primary, reason: Reason::InTransaction };
    let now = Instant::now();
    let Session { client, conversation, connections, .. } = session;
    let checkout = Checkout { client, conversation, connections, requirement: &Requirement::NOTHING };
    let lent = checkout.run(decision, now).await.map_err(no)?;
    session.take_over(lent.lease, Route::Primary, now);
    let Session { conversation, legs, .. } = session;
    let Some(leg) = legs.active_mut() else { return Err(no(Error::ServerLost)) };
    let mut sender = leg.sender(&mut conversation.state, &conversation.shared.metrics, Some(TxStatus::Idle));
    preamble(&mut sender);
    sender.failed_block();
    session.answered_while(|_| true).await.map_err(no)?;
    let Some(mut leg) = session.legs.take_if(|leg| !leg.is_up()) else { return Ok(()) };
    session.conversation.leaves(&leg);
    leg.abandon(&mut session.conversation.state);
    session.client.buffer.settle(&mut leg.lease.read_buffer);
    let state = std::mem::take(&mut leg.progress.state);
    Err(match state {
        LegState::Refused(error) => NotResumed::SettingsRefused(error),
        state => NotResumed::Lost(cause(state, Doubt::None)),
    })
}

/// Why no transaction stands in for one that was lost.
enum NotResumed {
    /// There is no connection for it, or not any more.
    Lost(Error),
    /// The server did not take the client's settings.
    SettingsRefused(Error),
}
