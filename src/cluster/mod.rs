//! What is known about the servers: roles, health, catalogs. Control connections (tokio-postgres) live here only.
//!
//! Everything here runs beside the data's way and talks to it through snapshots: reading one takes no lock and
//! waits for nothing. weir elects nobody: it follows what the servers say of themselves.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::Guard;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout, timeout_at};

use crate::config::Config;
use catalogs::Catalogs;
use control::Login;
use roles::monitor::Monitor;
use sampling::sampler::Samplers;
pub use sampling::{Demand, Sample, SampleEvents, Wanted};
use topology::{Role, ServerId, Topology};

pub mod catalog;
mod control;
mod roles;
mod sampling;
pub mod topology;

pub use catalog::{catalogs, traces};

/// The servers, watched from the moment this is started until it is dropped.
#[derive(Debug)]
pub struct Cluster {
    monitor: Arc<Monitor>,
    catalogs: Arc<Catalogs>,
    demand: Arc<Demand>,
    tasks: Vec<AbortHandle>,
    probe_timeout: Duration,
}

impl Cluster {
    /// Begins to watch the configured servers, on the current runtime. Returns at once, before anything is known;
    /// a server that is down keeps nothing from starting.
    pub fn start(config: &Config) -> Arc<Self> {
        Self::start_observed(config, Arc::new(()))
    }

    /// The same, with somebody who hears of each sample.
    pub fn start_observed(config: &Config, events: Arc<dyn SampleEvents>) -> Arc<Self> {
        let health = &config.health;
        let user = config.users.iter().find(|user| user.name == health.user);
        let login = user.map_or_else(|| Login::trusted(health.user.clone()), Login::of);
        let (monitor, mut tasks) = Monitor::start(config, &login);
        let catalogs = Arc::new(Catalogs::new(monitor.clone(), &config.servers, health.catalog_interval));
        let demand = Arc::new(Demand::new(std::time::Instant::now()));
        tasks.extend(Samplers::start(config, &login, &monitor, &demand, events));
        Arc::new(Self { monitor, catalogs, demand, tasks, probe_timeout: health.timeout })
    }

    /// Waits until every server has been probed once, at most for one probe's timeout: the first client should
    /// find the roles known.
    pub async fn first_look(&self) {
        let explored = self.monitor.wait(|topology| topology.is_explored().then_some(()));
        // A little more than the timeout, so that the server that used all of it is still reported.
        if timeout(self.probe_timeout + Duration::from_millis(100), explored).await.is_err() {
            tracing::debug!("not every server was probed in time");
        }
    }

    /// What is known now. For a look, not to be kept across an await: clone the `Arc` inside for that.
    pub fn topology(&self) -> Guard<Arc<Topology>> {
        self.monitor.topology()
    }

    /// Marks every change of the topology from now on. Subscribe first, then look.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.monitor.changes()
    }

    /// A connection to this server could not be made or broke. Has it probed at once, over a new connection; calls
    /// that come faster than probes are one.
    pub fn suspect(&self, server: ServerId) {
        self.monitor.suspect(server);
    }

    /// Since when there has been no primary that can be written to; `None` while there is one.
    pub fn without_primary_since(&self) -> Option<std::time::Instant> {
        self.monitor.without_primary_since()
    }

    /// Waits for a primary that can be written to; `None` when there is none until `deadline`. Cancel safe.
    pub async fn wait_for_primary(&self, deadline: Instant) -> Option<ServerId> {
        let primary = self.monitor.wait(|topology| topology.writable().map(|server| server.id));
        timeout_at(deadline, primary).await.ok()
    }

    /// What readers and writers want of the samplers.
    pub fn demand(&self) -> &Arc<Demand> {
        &self.demand
    }

    /// The catalogs of the databases in use.
    pub fn catalogs(&self) -> &Arc<Catalogs> {
        &self.catalogs
    }

    /// Whether anything can be served: some server is up and its role known. Reads go on without a primary, so its
    /// absence alone is no error. The error says what is the matter with each server.
    pub fn ready(&self) -> Result<(), String> {
        let topology = self.topology();
        if topology.servers.iter().any(|server| server.is_up() && server.role != Role::Unknown) {
            return Ok(());
        }
        let troubles = topology.servers.iter().map(|server| {
            let trouble = server.trouble.as_deref().unwrap_or("role not known");
            format!("{}: {trouble}", server.name)
        });
        Err(troubles.collect::<Vec<_>>().join("; "))
    }

    /// Ends all watching and closes the control connections; what is known stays as it is.
    pub fn shutdown(&self) {
        self.tasks.iter().for_each(AbortHandle::abort);
        self.catalogs.close();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.shutdown();
    }
}
