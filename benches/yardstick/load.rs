//! What the clients of a run do, whoever drives them: pgbench, or this program where pgbench cannot send what drivers
//! send.

use std::time::Duration;

use harness::{Cluster, CpuTime, Result};

use crate::orm::{self, Step};
use crate::pgbench;
use crate::target::Target;

/// Clients that do the same transaction over and over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    title: &'static str,
    /// pgbench's name for how statements are sent.
    pub(crate) protocol: &'static str,
    pub(crate) clients: u32,
    work: Work,
}

/// A transaction, and who sends it.
#[derive(Clone, Copy, Debug)]
enum Work {
    /// One of pgbench's own, with these options.
    Pgbench(&'static [&'static str]),
    Orm(&'static [Step]),
}

impl Load {
    pub(crate) const fn select(protocol: &'static str, clients: u32) -> Self {
        Self { title: "select", protocol, clients, work: Work::Pgbench(&["-S"]) }
    }

    pub(crate) const fn tpcb(protocol: &'static str, clients: u32) -> Self {
        Self { title: "TPC-B", protocol, clients, work: Work::Pgbench(&[]) }
    }

    pub(crate) const fn connecting(clients: u32) -> Self {
        let work = Work::Pgbench(&["-S", "-C"]);
        Self { title: "select, connecting", protocol: "simple", clients, work }
    }

    pub(crate) const fn orm_read(protocol: &'static str, clients: u32) -> Self {
        Self { title: "ORM read", protocol, clients, work: Work::Orm(orm::READ) }
    }

    pub(crate) const fn orm_write(protocol: &'static str, clients: u32) -> Self {
        Self { title: "ORM write", protocol, clients, work: Work::Orm(orm::WRITE) }
    }

    pub(crate) const fn thinking(protocol: &'static str, clients: u32) -> Self {
        Self { title: "thinking", protocol, clients, work: Work::Orm(orm::THINKING) }
    }

    /// As the tables name it.
    pub(crate) fn name(&self) -> String {
        let clients =
            if self.clients == 1 { "1 client".to_owned() } else { format!("{} clients", self.clients) };
        format!("{}, {}, {clients}", self.title, self.protocol)
    }

    /// Whether pgbench sends it.
    pub(crate) fn is_pgbenchs(&self) -> bool {
        matches!(self.work, Work::Pgbench(_))
    }

    /// Runs it on a target for this long. The clients' logins, and the first second, are outside of what is measured.
    pub(crate) fn run(&self, cluster: &Cluster, target: &Target, time: Duration) -> Result<Sample> {
        match self.work {
            Work::Pgbench(options) => pgbench::run(cluster, self, options, target, time),
            Work::Orm(steps) => orm::run(self, steps, target, time),
        }
    }

    /// Runs it and measures nothing; how many transactions there were.
    pub(crate) fn transactions(&self, cluster: &Cluster, target: &Target, length: Length) -> Result<f64> {
        match self.work {
            Work::Pgbench(options) => pgbench::transactions(cluster, self, options, target, length),
            Work::Orm(steps) => orm::transactions(self, steps, target, length),
        }
    }
}

/// How long a run is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Length {
    Time(Duration),
    /// So many transactions of each client, the same ones in each run.
    Transactions(u32),
}

/// What one run gave.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    /// Transactions (or results) per second.
    pub(crate) rate: f64,
    /// Milliseconds per transaction, as the client sees it.
    pub(crate) latency: f64,
    /// The proxy's CPU time per transaction.
    pub(crate) cpu: CpuTime,
}
