//! The console: a database of its own in which operators see what there is, and turn it, in PgBouncer's words and columns
//! and a few of weir's own.
//!
//! Its users come by the usual way. It runs no SQL, asks no server, and never stands between a client and one.

mod advice;
mod command;
mod desk;
mod message;
mod orders;
mod pgadmin;
mod serve;
mod show;
mod table;
mod talk;

pub(crate) use advice::advice;
pub(crate) use desk::{Console, Daemon, Right, Shutdown, right};
