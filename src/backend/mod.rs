//! The servers' side: logging in to a server, one connection's state, and the replies it owes. Knows no sessions.

mod cancel;

mod connection;

pub(crate) mod datestyle;

mod exec;

pub(crate) mod ledger;

mod login;

pub(crate) mod notifiers;

pub(crate) mod prepared;

pub mod settings;

pub use cancel::cancel;
pub use connection::{Backend, Key};
pub use exec::{ParameterStatuses, exec};
pub use login::{Credentials, Login, log_in, log_in_over, refusal};
