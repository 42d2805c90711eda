//! The policy: what the configuration says of requests, as one snapshot, and what the primary's own says of settings.
//!
//! It may be another for the next request, and never for the same: whoever serves a request takes it once.

use std::sync::Arc;
use std::time::Instant;

use crate::cluster::defaults::Conf;
use crate::config::Config;
use crate::router::FunctionLists;

/// The configuration as sessions read it.
pub(crate) struct Policy {
    /// Users, databases, rules, levels, timeouts.
    pub config: Arc<Config>,
    /// Functions that the configuration decides about.
    pub(crate) functions: FunctionLists,
    /// What the primary's own configuration says of settings that nobody sets; `None` until it is known.
    pub(crate) conf: Option<Arc<Conf>>,
    /// Since when another weir serves clients that count as this one's, while one does: what was acknowledged is not all
    /// known here, and `global` asks the primary, as `strong` does.
    pub(crate) beside_another: Option<Instant>,
}

impl Policy {
    /// What a configuration says.
    pub(crate) fn new(config: Arc<Config>) -> Self {
        let routing = &config.routing;
        let functions = FunctionLists::new(&routing.read_functions, &routing.write_functions)
            .stateless(&routing.stateless_functions);
        Self { config, functions, conf: None, beside_another: None }
    }

    /// The same, where the primary's configuration says this.
    pub(crate) fn under(&self, conf: Arc<Conf>) -> Self {
        Self { conf: Some(conf), beside_another: self.beside_another, ..Self::new(self.config.clone()) }
    }

    /// The same, while another weir serves clients as well, or when it does no more.
    pub(crate) fn beside_another(&self, since: Option<Instant>) -> Self {
        let conf = self.conf.clone();
        Self { conf, beside_another: since, ..Self::new(self.config.clone()) }
    }
}
