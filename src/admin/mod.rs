//! What an operator and a monitoring system ask weir itself. Reads snapshots; changes nothing.

mod ask;
pub mod http;
mod question;

pub use ask::{AskError, ask};
pub use question::Question;
