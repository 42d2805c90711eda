//! Real servers for weir's tests, demo and benchmark: one piece of code for all three.
//!
//! - [`Postgres`]: PostgreSQL's own programs, wherever they are installed;
//! - [`Cluster`]: a primary and streaming replicas in a directory of their own, gone when it is dropped, and
//!   gone as well when the process that started it is killed;
//! - [`Weir`]: the real binary in front of a cluster;
//! - [`client::Client`]: a blocking client that speaks the protocol message by message;
//! - [`Daemon`]: any other program that must not outlive us (HAProxy, PgBouncer).
//!
//! Everything blocks, and nothing here knows weir's insides: the harness sees what an operator sees.

#![forbid(unsafe_code)]

pub mod apart;

mod at_once;

pub use at_once::at_once;

mod authority;

pub use authority::{Authority, Issued};

pub mod client;

mod cluster;

pub use cluster::{Cluster, Mark, Options, Stop};

mod daemon;

pub use daemon::{CpuTime, Daemon, send_signal};

pub use rustix::process::Signal;

mod dice;

pub use dice::Dice;

mod failure;

pub use failure::{Failure, Result, ending};

mod papers;

pub use papers::Papers;

mod port;

pub use port::free_port;

mod postgres;

pub use postgres::Postgres;

mod scratch;

pub mod tools;

mod watchdog;

mod wait;

pub use wait::{wait_for, wait_until};

mod weir;

pub use weir::{Metrics, Series, Weir, WeirSetup};
