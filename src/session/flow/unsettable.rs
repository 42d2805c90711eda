//! A session with settings that no connection can be given any more: what takes them back runs without them, and what would
//! run under them is refused in the server's words. Each such request has the server try again: the right may be back.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use tokio::time::timeout;

use crate::backend::ledger::Batch;
use crate::backend::settle;
use crate::error::{Error, Result};
use crate::router::{Decision, Reason, Route};
use crate::session::connections::checkout::{Checkout, ends_session};
use crate::session::consistency::requirement::Requirement;
use crate::session::flow::control::keeps;
use crate::session::flow::session::Session;
use crate::session::leg::cleanup::PATIENCE;
use crate::session::model::unsettable::Unsettable;
use crate::session::relay::kept::Keeps;
use crate::session::relay::request::Request;
use crate::session::state::State;
use crate::session::transaction::Event;
use crate::sql::Kind;
use crate::wire::TxStatus;

/// Lets a request go on that does without those settings, and refuses any other that the server would.
///
/// # Errors
/// As [`Session::pump`].
pub(super) async fn meet_unsettable(session: &mut Session, request: &Request) -> Result<ControlFlow<()>> {
    session.answered_while(|leg| leg.batch() == Batch::Closed).await?;
    let state = &mut session.conversation.state;
    let Some(unsettable) = &state.refusals.settings else { return Ok(ControlFlow::Continue(())) };
    if is_over(state, unsettable) {
        state.refusals.settings = None;
        return Ok(ControlFlow::Continue(()));
    }
    let known = matches!(**unsettable, Unsettable::These(_));
    if known && !unsettable.concerns(state.settings().wanted()) {
        return Ok(ControlFlow::Continue(()));
    }
    if known && (spares(unsettable, request) || state.transaction.status() == TxStatus::Failed) {
        return Ok(ControlFlow::Continue(()));
    }
    if known && let Some(leg) = session.legs.active_mut().filter(|leg| leg.batch() == Batch::Open) {
        // Only settings were taken back in it.
        leg.end_batch();
        session.answered_while(|_| true).await?;
    }
    match session.legs.active().filter(|leg| leg.is_up()).map(|leg| leg.responses.tx) {
        Some(TxStatus::Failed) => return Ok(ControlFlow::Continue(())),
        Some(TxStatus::Open) if known => return fail(session, request).await,
        Some(TxStatus::Open) => return Ok(ControlFlow::Continue(())),
        Some(TxStatus::Idle) | None => {}
    }
    session.complete().await?;
    if session.legs.active().is_some() {
        // It is pinned: what the session has set is there.
        return Ok(ControlFlow::Continue(()));
    }
    match find_out(session).await {
        Ok(()) => {}
        Err(error) if ends_session(&error) => return Err(error),
        Err(error) => {
            session.refuse(request, &error);
            return Ok(ControlFlow::Break(()));
        }
    }
    let state = &session.conversation.state;
    let unsettable = &state.refusals.settings;
    if state.transaction.has_failed() {
        // That is what it is refused for, and the server says so.
        return Ok(ControlFlow::Continue(()));
    }
    if unsettable.as_ref().is_none_or(|unsettable| spares(unsettable, request)) {
        return Ok(ControlFlow::Continue(()));
    }
    let Some(error) = words(session) else { return Ok(ControlFlow::Continue(())) };
    session.refuse(request, &error);
    Ok(ControlFlow::Break(()))
}

/// A request in a transaction that has failed, and of which no server can be told because of a setting that was given within
/// it. weir answers what moves in it, another connection stands in where it ends and that needs a server, and anything else
/// is refused.
pub(super) fn meet_stranded(session: &mut Session, request: &Request) -> ControlFlow<()> {
    let Session { client, conversation, .. } = &mut *session;
    let State { names, transaction, .. } = &mut *conversation.state;
    if keeps(request, &client.read_buffer, names, transaction) == Keeps::All {
        return ControlFlow::Continue(());
    }
    let first = request.statements().next().map(|statement| &statement.kind);
    if matches!(first, Some(Kind::Commit { .. } | Kind::Rollback { .. })) {
        transaction.on(Event::Forsaken);
        return ControlFlow::Continue(());
    }
    session.refuse(request, &Error::BlockAborted);
    ControlFlow::Break(())
}

/// Whether the session wants none of them any more, and neither does a rollback nor a reset bring one back.
fn is_over(state: &State, unsettable: &Unsettable) -> bool {
    let levels = state.transaction.undoable().levels();
    let mut wanted = levels.flat_map(|level| [level.settings.wanted(), level.settings.startup()]);
    !wanted.any(|wanted| unsettable.concerns(wanted))
}

fn spares(unsettable: &Unsettable, request: &Request) -> bool {
    request.statements().all(|statement| unsettable.spares(statement))
}

/// The transaction fails by a request in it, as PostgreSQL's would if it missed what the setting names.
async fn fail(session: &mut Session, request: &Request) -> Result<ControlFlow<()>> {
    let Some(error) = words(session) else { return Ok(ControlFlow::Continue(())) };
    session.fail_transaction(request, &error).await?;
    Ok(ControlFlow::Break(()))
}

/// The server's words, of the first that it refused.
fn words(session: &Session) -> Option<Arc<Error>> {
    match &**session.conversation.state.refusals.settings.as_ref()? {
        Unsettable::These(refused) => refused.first().map(|refused| refused.error.clone()),
        Unsettable::Suspected => None,
    }
}

/// Has the primary take the session's settings one by one, and notes what it does not take.
///
/// # Errors
/// Why there is no connection for that.
async fn find_out(session: &mut Session) -> Result<()> {
    let now = Instant::now();
    let decision = Decision { route: Route::Primary, reason: Reason::SessionState };
    let Session { client, conversation, connections, .. } = session;
    let checkout = Checkout { client, conversation, connections, requirement: &Requirement::NOTHING };
    let mut lease = checkout.run(decision, now).await?.lease;
    let wanted = conversation.state.all_wanted_at_first().clone();
    lease.past.placeholders.join(&conversation.state.pins.spoken.placeholders);
    let refused = timeout(PATIENCE, settle(&mut lease, &wanted)).await.unwrap_or(Err(Error::ServerLost))?;
    for refused in &refused {
        tracing::warn!(setting = &*refused.name, error = %refused.error, "a setting that cannot be set again");
    }
    let state = &mut conversation.state;
    state.refusals.settings = (!refused.is_empty()).then(|| Box::new(Unsettable::These(refused)));
    connections.put_aside((Route::Primary, lease), state, Instant::now());
    Ok(())
}
