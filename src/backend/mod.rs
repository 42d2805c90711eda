//! The servers' side: logging in to a server, one connection's state, and the replies it owes. Knows no sessions.

pub mod cancel;

pub mod connection;

pub mod ledger;

pub mod login;

pub mod prepared;

pub mod settings;

pub use connection::Backend;
