//! One server of the cluster while it is one: what probes it, and what samples it.
//!
//! Who it is and where it is stands in the topology; what was found out of it is told to the monitor and to the samplers,
//! which outlive it. A member tells nobody that it ends.

use std::sync::Arc;

use tokio::task::AbortHandle;

use super::control::CurrentTerms;
use super::roles::{Monitor, Watch};
use super::sampling::{Sampler, Samplers};
use super::topology::Server;

/// The tasks that watch one server, over control connections of its own. Dropped, it is not watched any more.
#[derive(Debug)]
pub(super) struct Member {
    tasks: [AbortHandle; 2],
}

impl Member {
    /// Begins to watch a server that the monitor knows, on the current runtime.
    pub(super) fn watch(
        server: &Server,
        terms: &CurrentTerms,
        monitor: &Arc<Monitor>,
        samplers: &Arc<Samplers>,
    ) -> Self {
        let watch = Watch::new(server, terms.clone(), monitor.clone());
        let sampler = Sampler::new(server, terms.clone(), samplers.clone());
        Self { tasks: [tokio::spawn(watch.run()).abort_handle(), tokio::spawn(sampler.run()).abort_handle()] }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}
