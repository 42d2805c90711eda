//! Who may come from where: the same pg_hba.conf and pg_ident.conf in a real server and in weir, and the same clients
//! knocking at both. Each is asked for the same, and let in or told the same.
//!
//! The server that is knocked at is a replica; weir stands in front of its primary, which lets weir in whatever the file
//! says.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod knock;
mod reload;
mod table;
mod tls;
