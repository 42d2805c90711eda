//! Listening by a connection that others share (`LISTEN`): what comes before a request of a session that listens, what
//! follows its answer, and what its client is told in between.
//!
//! PostgreSQL's promises, and what keeps them: whatever is committed after LISTEN is answered is told (the feed listens
//! before the server has the statement), nothing that was committed before (it is thrown away when the feed has listened).
//! What a session notifies itself it hears before the ReadyForQuery of the transaction, which is withheld until the feed has
//! caught up. Nothing is told within a transaction. A session that listens to nothing pays nothing.

use std::ops::ControlFlow;
use std::time::Instant;

use crate::backend::ledger::Batch;
use crate::cluster::topology::Health;
use crate::config::Listen;
use crate::error::{Error, Result};
use crate::router::Route;
use crate::session::connections::checkout::ends_session;
use crate::session::connections::wait::attended;
use crate::session::conversation::Conversation;
use crate::session::flow::hearing::{encoding, tell};
use crate::session::flow::session::Session;
use crate::session::leg::Leg;
use crate::session::leg::progress::Sent;
use crate::session::model::undoable::{Channels, channel_name, is_shareable};
use crate::session::relay::facts::Fact;
use crate::session::relay::request::Request;
use crate::session::shared::subscriptions::{Listening, Source};
use crate::session::state::State;
use crate::sql::Statement;
use crate::wire::TxStatus;

/// Whether a request begins to listen, or ends a transaction in which its session did.
pub(super) fn concerns(session: &Session, request: &Request) -> bool {
    let listens_already = session.conversation.state.listening.is_some();
    let may = (request.any(Fact::Lasts) && request.statements().any(listens))
        || (request.any(Fact::Transacts) && listens_already)
        || request.any(Fact::ExecutesEarlier);
    may && !coming(session, request).is_empty()
}

fn listens(statement: &Statement) -> bool {
    statement.effects.listens().next().is_some()
}

/// Has the feed listen to what a request listens to, before any server has the request. Or, where that was said in the
/// transaction that it ends, has forgotten what came meanwhile: LISTEN counts from the commit.
///
/// # Errors
/// When the session must end.
pub(super) async fn meet(session: &mut Session, request: &Request) -> Result<ControlFlow<()>> {
    session.answered_while(|leg| leg.batch() == Batch::Closed).await?;
    let channels = coming(session, request);
    if channels.is_empty() {
        return Ok(ControlFlow::Continue(()));
    }
    match listen(session, channels).await {
        Ok(()) => {
            // What it reads from now on must not be older than what it hears.
            session.conversation.tracking.hears(Instant::now());
            Ok(ControlFlow::Continue(()))
        }
        Err(error) if ends_session(&error) || matches!(error, Error::ListenLost) => Err(error),
        Err(error) => {
            settle(&mut session.conversation.state);
            let open = |leg: &Leg| leg.is_up() && leg.responses.tx == TxStatus::Open;
            if session.legs.active().is_some_and(open) {
                session.fail_transaction(request, &error).await?;
            } else {
                session.refuse(request, &error);
            }
            Ok(ControlFlow::Break(()))
        }
    }
}

/// The channels that the session does not listen to yet and will behind this request, by its feed.
fn coming(session: &Session, request: &Request) -> Vec<Box<str>> {
    let conversation = &session.conversation;
    let state = &conversation.state;
    if state.transaction.has_failed() {
        return Vec::new();
    }
    let before = state.transaction.undoable().at_begin().shared.as_deref();
    let is_new = |channel: &str| before.is_none_or(|before| !before.contains(channel));
    let mut channels = Channels::new();
    if can_share(conversation) {
        let executed = request.executed(&session.client.read_buffer, &state.names);
        let statements = executed.iter().flat_map(|verdict| &verdict.statements);
        let named = statements.flat_map(|one| one.effects.listens());
        let plain = named.filter(|name| is_shareable(name)).map(channel_name);
        channels.extend(plain.filter(|channel| is_new(channel)).map(Box::from));
    }
    // A server that has the session listen already tells it what came since its transaction began.
    if before.is_none() && (request.any(Fact::Transacts) || request.any(Fact::ExecutesEarlier)) {
        let said = state.shared_channels().into_iter().flatten();
        channels.extend(said.filter(|channel| is_new(channel)).cloned());
    }
    channels.into_iter().collect()
}

/// Whether what a session listens to from now on comes by its feed.
fn can_share(conversation: &Conversation) -> bool {
    let state = &conversation.state;
    let fits = |listening: &Listening| listening.is_in(encoding(state).as_deref());
    conversation.shares_listening() && state.listening.as_deref().is_none_or(fits)
}

async fn listen(session: &mut Session, channels: Vec<Box<str>>) -> Result<()> {
    let shared = session.conversation.shared.clone();
    if session.conversation.state.listening.is_none() {
        let deadline = tokio::time::Instant::now() + session.conversation.policy.config.pool.primary_wait;
        let found = async { shared.cluster.wait_for_primary(deadline).await.ok_or(Error::NoPrimary) };
        let primary = attended(&shared, &mut session.client, found).await?;
        let Session { conversation, connections, .. } = session;
        let pool = connections.pool(&shared, &conversation.who, primary).ok_or(Error::NoPrimary)?;
        let Listen::Shared { queue } = conversation.policy.config.pool.listen else { return Ok(()) };
        let source = Source {
            pool,
            account: connections.account(&conversation.who),
            encoding: encoding(&conversation.state),
            cluster: shared.cluster.clone(),
            notifiers: shared.pools.notifiers().clone(),
            patience: conversation.policy.config.health.lost_after,
        };
        let listening = shared.subscriptions.join(source, queue);
        conversation.state.listening = Some(Box::new(listening));
    }
    let Session { client, conversation, .. } = session;
    match conversation.state.listening.as_deref_mut() {
        Some(listening) => attended(&shared, client, listening.listen(channels)).await,
        None => Ok(()),
    }
}

/// A request of a session that listens is about to be written.
///
/// # Errors
/// When the client is gone.
pub(super) async fn before_writing(session: &mut Session, request: &Request) -> Result<()> {
    let Session { client, conversation, legs, .. } = session;
    let Some(leg) = legs.active_mut().filter(|leg| leg.route == Route::Primary) else { return Ok(()) };
    if request.statements().any(listens) {
        // What is said there in passing is taken back before anybody else has the connection.
        leg.progress.sent.add(Sent::Listens);
    }
    let own = conversation.state.processes.own;
    let others = leg.lease.key.notifier.client().is_some_and(|client| client != own);
    if !(others && request.any(Fact::Acts)) {
        return Ok(());
    }
    // What others have notified by this connection must not be taken for the session's own.
    let shared = conversation.shared.clone();
    match conversation.state.listening.as_deref() {
        Some(listening) => unless_lost(attended(&shared, client, listening.catch_up()).await),
        None => Ok(()),
    }
}

/// A feed that is lost is met between two transactions.
fn unless_lost(outcome: Result<()>) -> Result<()> {
    match outcome {
        Err(Error::ListenLost) => Ok(()),
        outcome => outcome,
    }
}

/// A transaction has been answered: its client is told what was notified by then, and that it is over.
///
/// # Errors
/// When the client must be closed.
pub(super) async fn hear(session: &mut Session) -> Result<()> {
    session.runs_only_here();
    let Session { client, conversation, legs, .. } = session;
    let shared = conversation.shared.clone();
    let mut needed = true;
    if let Some(leg) = legs.active_mut() {
        client.buffer.settle(&mut leg.lease.read_buffer);
        needed = leg.route == Route::Primary;
    }
    if let Some(listening) = conversation.state.listening.as_deref() {
        let topology = shared.cluster.topology();
        let is_down = topology.server(listening.server()).is_some_and(|one| one.health == Health::Down);
        drop(topology);
        // Who only reads goes on without the primary.
        if needed || !is_down {
            unless_lost(attended(&shared, client, listening.catch_up()).await)?;
        }
    }
    tell((&mut *client, &mut *conversation, &mut *legs), usize::MAX)?;
    let withheld =
        conversation.state.listening.as_deref_mut().and_then(|listening| listening.withheld.take());
    withheld.into_iter().for_each(|status| client.tell_ready(status));
    settle(&mut conversation.state);
    Ok(())
}

/// The feed has nothing more for a session than what it listens to, or may again after a rollback.
fn settle(state: &mut State) {
    let Some(listening) = state.listening.as_deref_mut() else { return };
    let levels = state.transaction.undoable().levels();
    let channels: Channels = levels.filter_map(|level| level.shared.as_deref()).flatten().cloned().collect();
    if !listening.settle(&channels) {
        state.listening = None;
    }
}
