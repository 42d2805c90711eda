//! The two byte streams between a client and a connection: cut into requests on one side, into responses on the other.
//!
//! Buffers in, buffers out; pure, but for the client buffer, which writes itself to its socket. It never decides where
//! anything goes.

pub(crate) mod client_buffer;
pub(crate) mod facts;
pub(crate) mod framer;
pub(crate) mod kept;
pub(crate) mod message;
pub(crate) mod pending_reply;
pub(crate) mod replay_buffer;
pub(crate) mod request;
pub(crate) mod responses;
pub(crate) mod server_errors;
pub(crate) mod unsettled;
