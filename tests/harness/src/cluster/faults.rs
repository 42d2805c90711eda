//! Stopping, killing, freezing and starting servers.

use rustix::process::Signal;

use super::{Cluster, Stop};
use crate::Result;

impl Cluster {
    /// Stops a server and waits for its end.
    pub fn stop(&self, server: usize, how: Stop) -> Result<()> {
        self.servers[server].stop(how)
    }

    /// Starts a server that was stopped, and waits until it answers.
    pub fn restart(&self, server: usize) -> Result<()> {
        self.servers[server].start(&self.postgres, self.owner)
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
