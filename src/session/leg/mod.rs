//! One connection at work for a session: what is written to it, what is heard of it, and its way back to the pool.
//!
//! A leg never knows its client's socket.

pub(crate) mod carried;
pub(crate) mod cleanup;
pub(crate) mod hold_back;
pub(crate) mod observer;
pub(crate) mod reset;
pub(crate) mod restore;
pub(crate) mod sender;
pub(crate) mod settings;
