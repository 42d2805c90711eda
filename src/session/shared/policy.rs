//! The policy: what the configuration says of requests, as one snapshot.
//!
//! It may be another for the next request, and never for the same: whoever serves a request takes it once.

use std::sync::Arc;

use crate::config::Config;
use crate::router::FunctionLists;

/// The configuration as sessions read it.
pub(crate) struct Policy {
    /// Users, databases, rules, levels, timeouts.
    pub config: Arc<Config>,
    /// Functions that the configuration decides about.
    pub(crate) functions: FunctionLists,
}

impl Policy {
    /// What a configuration says.
    pub(crate) fn new(config: Arc<Config>) -> Self {
        let routing = &config.routing;
        let functions = FunctionLists::new(&routing.read_functions, &routing.write_functions)
            .stateless(&routing.stateless_functions);
        Self { config, functions }
    }
}
