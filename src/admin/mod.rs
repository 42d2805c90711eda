//! What an operator and a monitoring system ask weir itself. Reads snapshots; changes nothing.

mod ask;
pub mod collector;
mod condition;
mod connection;
mod feed;
pub mod http;
mod page;
mod question;
pub mod snapshot;
mod watch;

pub use ask::{AskError, Probe, ask, is_address, probe};
pub use question::Question;
pub use watch::watch;
