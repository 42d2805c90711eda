//! The consistency checker: real servers, many sessions, and replicas to which everything happens.
//!
//! Versions only grow, every key has one writer, and this process notes what was acknowledged before anybody reads it.
//! So it knows of each answer whether it is older than the session's level allows: older than the session's own last
//! write or last read (`session`), than anything acknowledged through weir (`global`), or to anybody (`strong`). All
//! levels run at the same time and meet the same faults. Sessions at `eventual` are checked like those at `global`: that
//! violations are found there shows that they would be found elsewhere.
//!
//! Transactions are read in and written in as well. What no level excuses is counted apart: a version that nobody has
//! committed or that was rolled back, an own write that is not there, and of one snapshot two versions of a key or a part
//! of what one transaction wrote.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::{Mutex, MutexGuard, PoisonError};

mod chaos;
mod copies;
mod faults;
mod healthy;
mod oracle;
mod session;
mod shape;
mod transaction;
mod worker;

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// One test at a time has the machine: what they measure would disturb each other.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}
