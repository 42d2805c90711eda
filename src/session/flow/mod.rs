//! A request's way: read, planned, executed, answered, and what happens when that fails.
//!
//! It knows all the other rooms of a session, and none of them knows it.

mod answer;
pub(crate) mod complete;
pub(crate) mod control;
mod course;
pub(crate) mod decide;
pub(crate) mod execute;
pub(crate) mod failover;
mod freshness_wait;
mod gate;
pub(crate) mod greeting;
pub(crate) mod handover;
mod hearing;
mod in_flight;
mod listening;
mod notices;
pub(crate) mod plan;
mod rerun;
mod resume;
mod server_rows;
pub(crate) mod session;
pub(crate) mod show;
pub(crate) mod situation;
mod spans;
mod standing;
pub(crate) mod timeouts;
mod unsettable;
mod upgrade;
mod verification;
pub(crate) mod visit;
pub(crate) mod write;
