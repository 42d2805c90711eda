//! The servers' side: logging in to a server, one connection's state, and the replies it owes. Knows no sessions.

pub(crate) mod begun;

mod cancel;

mod connection;

pub(crate) mod datestyle;

pub(crate) mod defaults;

mod exec;

mod key;

pub(crate) mod ledger;

mod login;

pub(crate) mod notifiers;

pub mod past;

pub(crate) mod prepared;

mod proof;

mod sasl;

pub mod settings;

mod settle;

pub mod value;

pub use cancel::cancel;
pub use connection::Backend;
pub use exec::{ParameterStatuses, exec};
pub use key::Key;
pub use login::{Credentials, Login, log_in, log_in_over, refusal};
pub use proof::Proof;
pub use sasl::Channel;
pub(crate) use settle::settle;
