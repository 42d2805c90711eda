//! One connection at work for a session: what is written to it, what is heard of it, and its way back to the pool.
//!
//! Everything that is known of a connection stands here and nothing of it in the client's conversation, so that a session
//! can have two of them. A leg never knows its client's socket.

pub(crate) mod begin;
mod bound_settings;
pub(crate) mod cleanup;
pub(crate) mod connection;
pub(crate) mod connection_requirements;
pub(crate) mod hold_back;
pub(crate) mod legs;
pub(crate) mod observer;
pub(crate) mod past;
pub(crate) mod preparation;
mod processes;
pub(crate) mod progress;
pub(crate) mod reset;
pub(crate) mod sender;
pub(crate) mod state;
pub(crate) mod trust;

pub(crate) use connection::Leg;
