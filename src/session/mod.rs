//! One client's life after its login: requests in, answers out, over connections leased for as long as they are needed.
//!
//! A session is a *client* (a socket), a *conversation* (what belongs to the client) and *legs* (connections at work for
//! it). The rooms are in the order of what they know: each may name those above it and none below. It never starts or
//! stops anything but itself: that is the server's affair.

mod model;

mod transaction;

mod shared;

mod relay;

mod consistency;

mod state;

mod client;

mod leg;

mod conversation;

mod connections;

mod flow;

pub(crate) use flow::greeting::Newcomer;
pub(crate) use flow::handover::Comer;
pub(crate) use flow::session::Session;
pub(crate) use flow::show::sampled_within;
pub(crate) use flow::visit::visitor;
pub(crate) use model::portable::{Blob, Portable, VERSION as PORTABLE_VERSION};
pub(crate) use shared::Shared;
pub(crate) use shared::board::Event;
pub(crate) use shared::gate::{AsItWas, Names, Whole};
pub(crate) use shared::kin::{Forwarded, Parcel, Relief};
#[cfg(test)]
pub(crate) use shared::policy::Policy;
pub(crate) use shared::registry::{Activity, Cancel, Entry, Holder, Rest};
pub(crate) use shared::shapes::Shape;
pub(crate) use shared::spans::{Outgoing, Queued, Spans};
pub(crate) use shared::visitors::{Tally, Visitor};
