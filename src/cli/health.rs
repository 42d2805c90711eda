//! `weir health`: asks a running weir whether it is well, for containers and scripts that have no HTTP client.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use weir::admin::{Probe, probe};
use weir::config;

use super::say;

/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

const MORE: &str = "It asks at the address of the configuration's [metrics], /healthz or with --ready /readyz, and prints the answer.

Exit codes:
  0   It is well
  1   It is not, or does not answer";

#[derive(Args)]
#[command(after_help = MORE)]
pub(crate) struct Health {
    /// The configuration file that it runs with
    #[arg(long, short, value_name = "FILE", default_value_os_t = config::default_path())]
    config: PathBuf,
    /// Ask at this address instead, such as http://127.0.0.1:9187
    #[arg(long, value_name = "URL")]
    on: Option<String>,
    /// Ask whether it can serve: writes, or reads
    #[arg(long, value_name = "WHAT", num_args = 0..=1, default_missing_value = "write", value_parser = ["write", "read"])]
    ready: Option<String>,
}

impl Health {
    /// Runs it.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let url = match &self.on {
            Some(url) => url.clone(),
            None => {
                let config = config::load(&self.config)?;
                let metrics =
                    config.metrics.context("the configuration has no [metrics] address to ask at")?;
                reachable(metrics.address).to_string()
            }
        };
        let wanted = match self.ready.as_deref() {
            None => Probe::Alive,
            Some("read") => Probe::ReadyToRead,
            Some(_) => Probe::ReadyToWrite,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let answer = runtime.block_on(async { tokio::time::timeout(PATIENCE, probe(&url, wanted)).await });
        // A name that is being looked up holds a thread for as long as the resolver takes.
        runtime.shutdown_background();
        say(&answer.with_context(|| format!("{url} has not answered within {PATIENCE:?}"))??)
    }
}

/// Whoever listens at all addresses is reached at the one of this machine.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
