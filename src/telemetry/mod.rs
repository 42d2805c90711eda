//! What weir tells about itself while it runs: logs and metrics.

mod background;

pub mod by_client;

mod by_server;

mod late_entry;

pub mod log;

mod log_format;
mod log_queue;

pub mod metrics;

mod outcomes;

mod registry;

pub mod requests;

pub mod spans;

mod sqlstates;
