//! Who is connected, and who of them keeps a connection. Of thousands those are told that others may wait for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::words::{in_millis, millis, plain};
use crate::admin::snapshot::{Client, Clients, Pin};
use crate::backend::Key;
use crate::cluster::topology::Topology;
use crate::console::advice;
use crate::session::{Activity, Entry, Holder, Rest, Shared, Visitor};

/// Clients and pinned sessions that are told.
const TOLD: usize = 50;

/// What a client does, in the order in which clients are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Waiting,
    InTransaction,
    Pinned,
    Active,
    Idle,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            State::Waiting => "waiting",
            State::InTransaction => "idle_in_transaction",
            State::Pinned => "pinned",
            State::Active => "active",
            State::Idle => "idle",
        }
    }
}

/// One of them.
struct Seen<'a> {
    entry: &'a Entry,
    visitor: &'a Visitor,
    state: State,
    time: Option<Duration>,
    key: Option<Arc<Key>>,
}

pub(super) fn clients(
    shared: &Shared,
    topology: &Topology,
    holders: &[Holder],
    now: Instant,
) -> (Clients, Vec<Pin>) {
    let resting: HashMap<_, _> = holders.iter().map(|one| (Arc::as_ptr(&one.key), one.time)).collect();
    let entries = shared.registry.all();
    let mut seen: Vec<Seen<'_>> = entries.iter().filter_map(|entry| see(entry, &resting, now)).collect();
    let pins = pins(&seen);
    let mut clients = Clients { all: seen.len(), ..Clients::default() };
    for one in &seen {
        *match one.state {
            State::Waiting => &mut clients.waiting,
            State::InTransaction => &mut clients.idle_in_transaction,
            State::Pinned => &mut clients.pinned,
            State::Active => &mut clients.active,
            State::Idle => &mut clients.idle,
        } += 1;
    }
    // Of those who do the same, whoever does it for longest; else whoever came first.
    seen.sort_by_key(|one| (one.state, std::cmp::Reverse(one.time), one.visitor.since));
    clients.top = seen.iter().take(TOLD).map(|one| client(one, topology)).collect();
    (clients, pins)
}

fn see<'a>(entry: &'a Entry, resting: &HashMap<*const Key, Duration>, now: Instant) -> Option<Seen<'a>> {
    let visitor = entry.visitor()?;
    let (state, time, key) = match entry.doing() {
        Activity::Idle => (State::Idle, None, None),
        Activity::Waiting(since) => (State::Waiting, Some(now.saturating_duration_since(since)), None),
        Activity::On(key, rest) => {
            let state = match rest {
                Rest::Not => State::Active,
                Rest::InTransaction => State::InTransaction,
                Rest::Pinned => State::Pinned,
            };
            let time = resting.get(&Arc::as_ptr(&key)).copied().filter(|_| rest != Rest::Not);
            (state, time, Some(key))
        }
    };
    Some(Seen { entry, visitor, state, time, key })
}

fn client(one: &Seen<'_>, topology: &Topology) -> Client {
    let from = &one.visitor.from;
    let server = one.key.as_ref().and_then(|key| topology.server(key.server));
    Client {
        id: one.entry.key().pid(),
        peer: match &*from.address {
            "unix" => "unix".to_owned(),
            address if address.contains(':') => format!("[{address}]:{}", from.port),
            address => format!("{address}:{}", from.port),
        },
        user: plain(&one.visitor.user),
        database: plain(&one.visitor.names.client),
        application: plain(&one.visitor.application()),
        state: one.state.as_str().to_owned(),
        for_ms: one.time.map(in_millis),
        server: server.map(|server| server.name.to_string()),
        since_ms: millis(one.visitor.since),
    }
}

/// As `SHOW PINS` has them.
fn pins(seen: &[Seen<'_>]) -> Vec<Pin> {
    let now = SystemTime::now();
    let pin = |one: &Seen<'_>| {
        let (pins, since) = one.visitor.pins()?;
        let reasons: Vec<String> = pins.iter().map(|pin| pin.as_str().to_owned()).collect();
        Some(Pin {
            id: one.entry.key().pid(),
            user: plain(&one.visitor.user),
            database: plain(&one.visitor.names.client),
            application: plain(&one.visitor.application()),
            seconds: now.duration_since(since).unwrap_or_default().as_secs(),
            what_to_do: reasons.first().map_or("", |reason| advice(reason)).to_owned(),
            reasons,
        })
    };
    let mut all: Vec<Pin> = seen.iter().filter_map(pin).collect();
    all.sort_by_key(|pin| std::cmp::Reverse(pin.seconds));
    all.truncate(TOLD);
    all
}
