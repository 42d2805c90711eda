//! What weir tells about itself while it runs: logs and metrics.

mod by_server;

pub mod log;

pub mod metrics;

mod registry;

mod sqlstates;
