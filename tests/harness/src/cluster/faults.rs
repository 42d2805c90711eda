//! Stopping, killing, freezing and starting servers.

use rustix::process::Signal;

use super::{Cluster, Network, Stop};
use crate::{Failure, Result};

impl Cluster {
    /// Stops a server and waits for its end.
    pub fn stop(&self, server: usize, how: Stop) -> Result<()> {
        self.servers[server].stop(how)
    }

    /// Starts a server that was stopped, and waits until it answers.
    pub fn restart(&self, server: usize) -> Result<()> {
        self.start_server(&self.servers[server])
    }

    /// Starts a server that was stopped, and does not wait until it answers: [`Cluster::wait_answers`] does.
    pub fn restart_unready(&self, server: usize) -> Result<()> {
        self.spawn_server(&self.servers[server])
    }

    /// Waits until a server answers that was just started.
    pub fn wait_answers(&self, server: usize) -> Result<()> {
        self.servers[server].wait_answers()
    }

    /// The process IDs of a server's processes with these words in their titles: `startup`, `walwriter` ...
    pub fn processes(&self, server: usize, title: &str) -> Result<Vec<u32>> {
        self.servers[server].processes(title)
    }

    /// Cuts the cable between us and a server: nothing comes through, and nobody is told.
    pub fn cut(&self, server: usize) -> Result<()> {
        self.cables()?.cut(server)
    }

    /// Joins a cable that was cut.
    pub fn mend(&self, server: usize) -> Result<()> {
        self.cables()?.mend(server)
    }

    fn cables(&self) -> Result<&Network> {
        self.network.as_ref().ok_or_else(|| Failure::new("this cluster has no cables"))
    }

    /// Freezes a server with all its processes: its connections stay open and nobody answers.
    pub fn freeze(&self, server: usize) -> Result<()> {
        self.servers[server].signal_all(Signal::STOP)
    }

    /// Lets a frozen server go on.
    pub fn thaw(&self, server: usize) -> Result<()> {
        self.servers[server].signal_all(Signal::CONT)
    }

    /// Whether a server's process runs, frozen or not.
    pub fn is_running(&self, server: usize) -> bool {
        self.servers[server].pid().is_some()
    }
}
