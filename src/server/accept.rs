//! From an accepted connection to its end: the limit of clients, the login, the session, and cancel requests.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::places::{Place, Places};
use super::refusals::tell_refused;
use super::reload::Reload;
use super::rules;
use super::tls::Encrypting;
use crate::config;
use crate::error::Error;
use crate::frontend::{Arrival, Gate, admit, client_span, refuse};
use crate::net::{Accepted, Encryption, Listener, Peer, Stream};
use crate::session::{Cancel, Newcomer, Session, Shared};
use crate::users::Users;
use crate::wire::startup::CancelKey;

/// What the accept loops share.
pub(super) struct Door {
    pub(super) shared: Arc<Shared>,
    pub(super) users: ArcSwap<Users>,
    pub(super) rules: rules::Current,
    pub(super) places: Arc<Places>,
    /// For whoever asks for a reload by a connection of a client's.
    pub(super) reload: Reload,
}

/// A listener's part of it, as it is configured now.
pub(super) struct Entrance {
    pub(super) configured: Arc<config::Listener>,
    pub(super) encrypting: Encrypting,
}

/// What holds for those who come by a listener now.
pub(super) type CurrentEntrance = Arc<ArcSwap<Entrance>>;

/// How long a client that is turned away may take to say who it is. Not long: it has a descriptor meanwhile.
const TURNED_AWAY: Duration = Duration::from_secs(3);

/// How many of these there may be at once on a listener: the oldest, which says nothing, gives way to the newest.
pub(super) const TURNED_AWAY_MAX: usize = 64;

/// How long it is left alone all the same: it may be a cancel request, of which many may come at once.
const LEFT_ALONE: Duration = Duration::from_millis(500);

/// Accepts clients until the listener is closed; who has knocked by then is let in. While weir drains they are told so.
pub(super) async fn accept(
    door: Arc<Door>,
    listener: Listener,
    entrance: CurrentEntrance,
    closing: CancellationToken,
) {
    let mut turned_away = VecDeque::new();
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = listener.accept() => accepted,
            () = closing.cancelled() => return,
        };
        let (door, entrance) = (door.clone(), entrance.load_full());
        let permit = match &accepted {
            _ if door.shared.is_draining() => Err(Error::Closing),
            Accepted::Excess(..) => Err(Error::TooManyClients),
            Accepted::Client(..) => door.places.take().ok_or(Error::TooManyClients),
        };
        let (Accepted::Client(stream, peer) | Accepted::Excess(stream, peer)) = accepted;
        if permit.is_err() {
            make_room(&mut turned_away).await;
        }
        client_span(peer.address).in_scope(|| match permit {
            Ok(permit) => door.shared.clone().spawn(serve(door, (stream, peer), entrance.clone(), permit)),
            // A cancel request must get through all the same. Nobody waits for who is turned away.
            Err(why) => {
                let entrance = entrance.clone();
                let farewell = async move { turn_away(&door, (stream, peer), (&entrance, &why)).await };
                turned_away.push_back((Instant::now(), tokio::spawn(farewell.in_current_span())));
            }
        });
    }
}

/// Has the oldest of those that are turned away give way to one more.
async fn make_room(turned_away: &mut VecDeque<(Instant, JoinHandle<()>)>) {
    turned_away.retain(|(_, connection)| !connection.is_finished());
    while turned_away.len() >= TURNED_AWAY_MAX {
        let Some((since, mut oldest)) = turned_away.pop_front() else { return };
        if timeout_at(since + LEFT_ALONE, &mut oldest).await.is_err() {
            oldest.abort();
        }
    }
}

/// One connection from its first byte to its last.
async fn serve(door: Arc<Door>, client: (Stream, Peer), entrance: Arc<Entrance>, permit: Place) {
    let metrics = &door.shared.metrics;
    metrics.client_connections.inc();
    // The states of login and farewell are large and short-lived: in boxes of their own they do not weigh on the
    // client's whole life.
    let Some(mut session) = Box::pin(log_in(&door, client, &entrance)).await else { return };
    metrics.clients.inc();
    let outcome = session.run().await;
    metrics.clients.dec();
    session.leave();
    if let Err(error) = outcome {
        Box::pin(farewell(session, &error)).await;
    }
    drop(permit);
}

async fn farewell(session: Session, error: &Error) {
    if matches!(error, Error::Lost(_)) {
        return;
    }
    tracing::info!(%error, "client closed");
    if let Some(stream) = session.into_stream().await {
        refuse(stream, error).await;
    }
}

async fn log_in(door: &Door, (stream, peer): (Stream, Peer), entrance: &Entrance) -> Option<Session> {
    let deadline = Instant::now() + door.shared.policy().config.clients.login_timeout;
    let (users, rules) = (door.users.load_full(), door.rules.load_full());
    let gate = Gate { users: &users, rules: rules.as_deref() };
    let admission = match admit(stream, peer, (gate, entrance.encrypting.as_offered()), deadline).await {
        Ok(Arrival::Client(admission)) => *admission,
        Ok(Arrival::Cancel(key, stream)) => {
            pass_on(&door.shared, key, stream);
            return None;
        }
        Err(error) => {
            tell_refused(&door.shared.metrics, &error);
            return None;
        }
    };
    let encryption = admission.peer.encryption.clone();
    match Session::begin(
        door.shared.clone(),
        Newcomer { admission, listener: entrance.configured.clone(), deadline },
    )
    .await
    {
        Ok(session) => {
            say_connected(&encryption);
            Some(session)
        }
        Err((stream, error)) => {
            tell_refused(&door.shared.metrics, &error);
            refuse(stream, &error).await;
            None
        }
    }
}

fn say_connected(encryption: &Encryption) {
    match encryption {
        Encryption::Tls(tls) => tracing::info!(tls = tls.version, cipher = tls.cipher, "client connected"),
        Encryption::None => tracing::info!("client connected"),
    }
}

/// A connection that cannot be served: told why, unless it is a cancel request.
async fn turn_away(door: &Door, (stream, peer): (Stream, Peer), (entrance, why): (&Entrance, &Error)) {
    let deadline = Instant::now() + TURNED_AWAY;
    let (users, rules) = (door.users.load_full(), door.rules.load_full());
    let gate = Gate { users: &users, rules: rules.as_deref() };
    match admit(stream, peer, (gate, entrance.encrypting.as_offered()), deadline).await {
        Ok(Arrival::Client(admission)) => {
            tell_refused(&door.shared.metrics, why);
            refuse(admission.stream, why).await;
        }
        Ok(Arrival::Cancel(key, stream)) => pass_on(&door.shared, key, stream),
        Err(error) => tell_refused(&door.shared.metrics, &error),
    }
}

/// Passes a cancel request on. It needs no client's place while it is on its way.
fn pass_on(shared: &Arc<Shared>, key: CancelKey, stream: Stream) {
    let on_its_way = shared.clone();
    shared.spawn(async move {
        cancel(&on_its_way, &key).await;
        drop(stream);
    });
}

/// Passes a cancel request on to the connection that runs the session's request now. Returns when it has been
/// delivered there: then its client may be told so, by the end of its connection. The session may be another copy's.
async fn cancel(shared: &Shared, key: &CancelKey) {
    let cancels = &shared.metrics.cancels;
    match shared.registry.cancel(key) {
        Cancel::Aimed(aim) => cancels.forwarded.inc_by(shared.deliver(aim).await),
        Cancel::Joined(entry) => {
            cancels.joined.inc();
            // Delivered or given up, its client need not wait longer.
            let _ = entry.settled().await;
        }
        Cancel::Waited => cancels.waiting.inc(),
        Cancel::Idle => cancels.idle.inc(),
        Cancel::Unknown if shared.pass_on(key).await => cancels.passed_on.inc(),
        Cancel::Unknown => cancels.unknown.inc(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of what a function's future takes up, without running it.
    fn size<A, B, C, D, F>(_: fn(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_client_s_task_is_small() {
        let task = size(serve);
        assert!(task <= 2048, "{task} bytes per client, idle or not");
    }
}
