//! The protocol's bytes: pure functions from bytes to values and back. No sockets, no clock.
//!
//! PostgreSQL manual, chapter "Frontend/Backend Protocol":
//! <https://www.postgresql.org/docs/current/protocol.html>.

pub mod reply;
pub mod startup;
