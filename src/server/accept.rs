//! From an accepted connection to its end: the limit of clients, the login, the session, and cancel requests.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::places::{Place, Places};
use super::refusals::tell_refused;
use super::rules;
use super::tls::Encrypting;
use crate::config;
use crate::console::{Console, Right, right};
use crate::error::Error;
use crate::frontend::{Arrival, Gate, admit, client_span, refuse};
use crate::net::{Accepted, Encryption, Listener, Peer, Stream, accepted_elsewhere};
use crate::session::{Cancel, Comer, Newcomer, Parcel, Portable, Session, Shared};
use crate::users::{Found, Users};
use crate::wire::startup::CancelKey;

/// What the accept loops share.
pub(super) struct Door {
    pub(super) shared: Arc<Shared>,
    pub(super) users: ArcSwap<Users>,
    pub(super) rules: rules::Current,
    pub(super) places: Arc<Places>,
    pub(super) console: Console,
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

/// How long the servers may take to say who somebody is that comes from another weir.
const FIND: Duration = Duration::from_secs(5);

/// How long it is left alone all the same: it may be a cancel request, of which many may come at once.
const LEFT_ALONE: Duration = Duration::from_millis(500);

/// Accepts clients until the listener is closed; who has knocked by then is let in. While weir drains they are told so.
pub(super) async fn accept(
    door: Arc<Door>,
    listener: Arc<Listener>,
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
            _ if door.shared.is_closed() => Err(Error::Closing),
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
    door.shared.metrics.client_connections.inc();
    // The states of login and farewell are large and short-lived: in boxes of their own they do not weigh on the
    // client's whole life.
    let mut session = Box::pin(log_in(&door, client, &entrance)).await;
    stays(&door, &mut session).await;
    drop(permit);
}

/// A client is here until it has left, or gone along to another weir.
async fn stays(door: &Door, session: &mut Option<Session>) {
    while let Some(present) = session {
        door.shared.metrics.clients.inc();
        let outcome = present.run().await;
        door.shared.metrics.clients.dec();
        Box::pin(parts(door, session, outcome)).await;
    }
}

/// What becomes of a session that has stopped: it goes along to another weir, or ends. Where it could not go it stays.
async fn parts(door: &Door, session: &mut Option<Session>, outcome: Result<(), Error>) {
    let Some(present) = session else { return };
    if present.goes_along() && matches!(outcome, Err(Error::Shutdown)) {
        return send_along(door, session).await;
    }
    present.leave();
    if let (Err(error), Some(gone)) = (outcome, session.take()) {
        farewell(gone, &error).await;
    }
    *session = None;
}

/// Gives a session to the weir that takes over. Where there is none any more it stays.
async fn send_along(door: &Door, session: &mut Option<Session>) {
    let kin = &door.shared.kin;
    let Some(relief) = kin.relief() else { return };
    let Ok(place) = relief.parcels.reserve().await else { return kin.is_relieved_by(None) };
    match session.take().and_then(Session::pack) {
        Some(parcel) => place.send(parcel),
        None => tracing::info!("client lost while it was handed over"),
    }
}

/// A client comes from another weir, or back from the way to one: it goes on here.
pub(super) fn come_back(door: &Arc<Door>, parcel: Parcel) {
    let Parcel { client, socket } = parcel;
    let (stream, peer) = match accepted_elsewhere(socket) {
        Ok(accepted) => accepted,
        Err(error) => return tracing::info!(%error, "client lost while it was handed over"),
    };
    let span = client_span(peer.address);
    span.record("user", &*client.who.user);
    span.record("database", &*client.who.database);
    span.in_scope(|| door.shared.clone().spawn(go_on(door.clone(), (stream, peer), client)));
}

async fn go_on(door: Arc<Door>, (stream, peer): (Stream, Peer), client: Portable) {
    let permit = door.places.keep();
    let mut session = Box::pin(begin_again(&door, (stream, peer), client)).await;
    stays(&door, &mut session).await;
    drop(permit);
}

async fn begin_again(door: &Door, (stream, peer): (Stream, Peer), portable: Portable) -> Option<Session> {
    let config = door.shared.policy().config.clone();
    let Some(listener) = door.shared.listener_of(&portable.who.listener) else {
        refuse(stream, &Error::Shutdown).await;
        return None;
    };
    let (name, database) = (&*portable.who.user, &*portable.who.database);
    let users = door.users.load_full();
    // Whom nobody knows any more stays until it leaves, as it does at a reload.
    let user = match timeout(FIND, users.find(name, database)).await {
        Ok(Found::Account(account)) => account.user,
        Ok(Found::Nobody(_) | Found::Refused(_)) | Err(_) => {
            let named = config.users.iter().find(|user| *user.name == *name).cloned();
            Arc::new(named.unwrap_or_else(|| config::User::unlisted(name.into(), config.timeouts)))
        }
    };
    let comer = Comer { stream, peer, user, listener, portable };
    match Session::unpack(door.shared.clone(), comer).await {
        Ok(session) => Some(session),
        Err(stream) => {
            tracing::error!("a client came whose process ID is another's: it is closed");
            refuse(stream, &Error::Shutdown).await;
            None
        }
    }
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
    if let Some(right) =
        right(&door.shared.policy().config, &admission.user.name, &admission.greeting.database)
    {
        Box::pin(door.console.serve(admission, &entrance.configured, right)).await;
        return None;
    }
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
            let config = door.shared.policy().config.clone();
            match right(&config, &admission.user.name, &admission.greeting.database) {
                // Who is to see why nobody gets in must get in.
                Some(right @ (Right::Operate | Right::Look)) if matches!(why, Error::TooManyClients) => {
                    let (console, listener) = (door.console.clone(), entrance.configured.clone());
                    door.shared.spawn(async move { console.serve(*admission, &listener, right).await });
                }
                _ => {
                    tell_refused(&door.shared.metrics, why);
                    refuse(admission.stream, why).await;
                }
            }
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
/// Whether it was anybody's.
pub(super) async fn cancel(shared: &Shared, key: &CancelKey) -> bool {
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
        Cancel::Unknown => {
            cancels.unknown.inc();
            return false;
        }
    }
    true
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
