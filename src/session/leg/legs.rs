//! The connections that a session has at work: one that its requests go to, and one that waits.
//!
//! Only one of them owes answers at a time, and what it has sent to the client goes out before the other's: so the client
//! hears one server.

use crate::session::leg::Leg;
use crate::session::relay::client_buffer::ClientBuffer;

/// A session's legs.
#[derive(Default)]
pub(crate) struct Legs {
    /// Where requests go.
    active: Option<Box<Leg>>,
    /// One that is kept for what lives on it, a cursor for one, while requests go elsewhere.
    parked: Option<Box<Leg>>,
}

impl Legs {
    /// Where requests go.
    pub(crate) fn active(&self) -> Option<&Leg> {
        self.active.as_deref()
    }

    /// The same, to be changed.
    pub(crate) fn active_mut(&mut self) -> Option<&mut Leg> {
        self.active.as_deref_mut()
    }

    /// From now on requests go there. There is none yet, or the one there was has been parked.
    pub(crate) fn activate(&mut self, leg: Box<Leg>) {
        self.active = Some(leg);
    }

    /// Requests go nowhere from now on.
    pub(crate) fn take(&mut self) -> Option<Box<Leg>> {
        self.active.take()
    }

    /// Takes the active one if it is like this.
    pub(crate) fn take_if(&mut self, is_wanted: impl FnOnce(&Leg) -> bool) -> Option<Box<Leg>> {
        self.active.take_if(|leg| is_wanted(leg))
    }
}

impl Legs {
    /// Has requests go to the other one, if this one owes nothing any more. What it has given to the client stands in
    /// `buffer` then, in front of what the other will give. Whether they do.
    pub(crate) fn swap(&mut self, buffer: &mut ClientBuffer) -> bool {
        if self.active.as_ref().is_some_and(|leg| leg.owes() || leg.responses.is_within_frame()) {
            return false;
        }
        if let Some(leg) = &mut self.active {
            buffer.settle(&mut leg.lease.read_buffer);
        }
        std::mem::swap(&mut self.active, &mut self.parked);
        true
    }

    /// One that owes nothing waits from now on, with what lives on it. No other does.
    pub(crate) fn park(&mut self, leg: Box<Leg>) {
        self.parked = Some(leg);
    }

    /// Whether one waits.
    pub(crate) fn is_parked(&self) -> bool {
        self.parked.is_some()
    }

    /// The one that waits is needed no longer.
    pub(crate) fn take_parked(&mut self) -> Option<Box<Leg>> {
        self.parked.take()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use bytes::BytesMut;

    use super::*;
    use crate::backend::ledger::{Action, Reply};
    use crate::backend::settings::Settings;
    use crate::backend::value::Value;
    use crate::backend::{Backend, Login};
    use crate::cluster::topology::ServerId;
    use crate::freshness::Marks;
    use crate::net::Way;
    use crate::net::holding::Holding;
    use crate::pool::Lease;
    use crate::router::{Learned, Route};
    use crate::session::leg::state::LegEvent;
    use crate::session::relay::pending_reply::PendingReply;
    use crate::session::shared::databases::Database;
    use crate::session::state::State;
    use crate::wire::TxStatus;
    use crate::wire::request::put_query;

    /// A leg on a server of this number, with a setting by which it can be told.
    fn leg(route: Route, server: u64) -> Box<Leg> {
        let (stream, _peer) = Holding::pair().unwrap();
        let login =
            Login { stream, received: BytesMut::new(), parameters: Vec::new(), key: None, way: Way::Plain };
        let now = Instant::now();
        let mut backend = Backend::new(login, ServerId(server), 0, 10, now);
        let number = Value::Raw(server.to_string().into());
        backend.settings = Settings::default().with("work_mem", Some(number));
        Box::new(Leg::new(Lease::of_no_pool(backend), route, Default::default(), Default::default(), now))
    }

    /// Of a session that has done nothing yet.
    fn state() -> State {
        let now = Instant::now();
        let database = Database::new(Learned::new(0, Duration::ZERO), now, Arc::new(Marks::new(now)));
        State::new(Settings::default(), Arc::default(), Arc::new(database), Default::default())
    }

    fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
        let len = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [&[tag], &len[..], body].concat()
    }

    /// A row with this text, its end, and a ReadyForQuery with this status.
    fn answer(text: &[u8], status: u8) -> Vec<u8> {
        [frame(b'D', text), frame(b'C', b"SELECT 1\0"), frame(b'Z', &[status])].concat()
    }

    fn ask(legs: &mut Legs, sql: &[u8]) {
        let leg = legs.active_mut().unwrap();
        put_query(&mut leg.lease.write_buffer, sql);
        leg.begin_flight(Instant::now());
        assert!(leg.responses.ledger.push(Reply::Query, Action::Forward, PendingReply::None).is_none());
    }

    fn hear(legs: &mut Legs, state: &mut State, buffer: &mut ClientBuffer, bytes: &[u8]) {
        let leg = legs.active_mut().unwrap();
        leg.lease.read_buffer.extend_from_slice(bytes);
        leg.on_server_bytes(state, buffer);
        assert!(leg.is_up(), "{:?}", leg.progress.state);
    }

    /// What a lazy transaction will do: a cursor on a replica, and a write on the primary in between.
    #[tokio::test]
    async fn two_legs_work_for_one_client_and_neither_knows_of_the_other() {
        let (mut legs, mut buffer, mut state) = (Legs::default(), ClientBuffer::default(), state());
        legs.activate(leg(Route::Replica, 1));
        ask(&mut legs, b"FETCH 1 FROM c");
        assert!(!legs.swap(&mut buffer), "it owes an answer");
        hear(&mut legs, &mut state, &mut buffer, &answer(b"first", b'T'));

        assert!(legs.swap(&mut buffer));
        assert!(legs.active().is_none(), "there is no other yet");
        legs.activate(leg(Route::Primary, 2));
        ask(&mut legs, b"INSERT INTO t VALUES (1)");
        let whole = answer(b"second", b'T');
        hear(&mut legs, &mut state, &mut buffer, &whole[..9]);
        assert!(!legs.swap(&mut buffer), "the client has part of a message");
        hear(&mut legs, &mut state, &mut buffer, &whole[9..]);

        assert!(legs.swap(&mut buffer));
        let replica = legs.active().unwrap();
        assert_eq!((replica.lease.server(), replica.responses.tx), (ServerId(1), TxStatus::Open));
        assert_eq!(replica.progress.carried.now(), &replica.lease.settings);
        ask(&mut legs, b"FETCH 1 FROM c");
        hear(&mut legs, &mut state, &mut buffer, &answer(b"third", b'T'));
        assert!(legs.swap(&mut buffer));
        let all = [answer(b"first", b'T'), answer(b"second", b'T'), answer(b"third", b'T')].concat();
        assert_eq!(buffer.queued(), all, "one conversation, in the order of its requests");

        // One is lost: the other goes on.
        legs.active_mut().unwrap().progress.on(LegEvent::Closed);
        let lost = legs.take_if(|leg| !leg.is_up()).unwrap();
        assert_eq!(lost.route, Route::Primary);
        assert!(legs.swap(&mut buffer));
        assert!(legs.active().is_some_and(|leg| leg.is_up() && leg.route == Route::Replica));
    }
}
