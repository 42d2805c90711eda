//! What weir tells about itself while it runs: logs and metrics.

pub mod log;

pub mod metrics;

mod registry;

mod sqlstates;
