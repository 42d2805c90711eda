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
    #[cfg_attr(not(test), expect(dead_code, reason = "no request needs two connections yet"))]
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
}
