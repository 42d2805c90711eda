//! weir: a PostgreSQL proxy that sends reads to replicas and writes to the primary, over pools that it owns.
//!
//! The modules, in the order in which a client's bytes meet them.

#![forbid(unsafe_code)]

pub mod config;

pub mod error;

pub mod wire;

pub mod net;

pub mod hba;

pub mod scram;

pub mod users;

pub mod frontend;

mod session;

pub mod sql;

pub mod freshness;

pub mod router;

pub mod pool;

pub mod backend;

pub mod cluster;

mod discovery;

pub mod init;

pub mod import;

pub mod telemetry;

pub mod admin;

mod console;

pub mod server;

pub mod top;
