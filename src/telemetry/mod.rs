//! What weir tells about itself while it runs: logs and metrics.

mod by_server;

pub mod log;

mod log_format;
mod log_queue;

pub mod metrics;

mod registry;

mod sqlstates;
