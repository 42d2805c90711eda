//! Cables between us and a cluster's servers, which can be cut.
//!
//! The servers live in a network namespace of their own, each at the far end of a pair of virtual network cards. A cable
//! that is cut takes what is sent and gives nothing back: no RST, no ICMP, as when a switch dies. The servers reach each
//! other, and the harness reaches them, over Unix sockets, which no cable carries: replication goes on.

use std::path::Path;
use std::process::Command;

use crate::scratch::Owner;
use crate::{Failure, Result, apart, tools};

/// The servers' namespace. Its name is nobody else's: we are apart.
const FAR: &str = "far";

/// The file by which programs enter it.
const FAR_FILE: &str = "/run/netns/far";

/// The cables of one cluster.
#[derive(Debug)]
pub(super) struct Network(());

impl Network {
    /// Lays a cable to each of so many servers.
    pub(super) fn lay(servers: usize) -> Result<Self> {
        if !apart::is_apart() {
            return Err(Failure::new("cables need a process that is apart: harness::apart"));
        }
        // A cluster before this one in the same process may have left it.
        let _ = ip(&["netns", "delete", FAR]);
        ip(&["netns", "add", FAR])?;
        ip(&["-n", FAR, "link", "set", "lo", "up"])?;
        (0..servers).try_for_each(lay_one)?;
        Ok(Self(()))
    }

    /// A server's address at the far end.
    pub(super) fn host(server: usize) -> String {
        format!("10.77.{server}.2")
    }

    /// Nothing comes through any more, in either direction, and nobody is told.
    pub(super) fn cut(&self, server: usize) -> Result<()> {
        ip(&["-n", FAR, "link", "set", &format!("far{server}"), "down"])
    }

    pub(super) fn mend(&self, server: usize) -> Result<()> {
        ip(&["-n", FAR, "link", "set", &format!("far{server}"), "up"])
    }

    /// A command that runs at the far end as the servers' owner; its process is the program's own.
    pub(super) fn command(&self, owner: Owner, program: &Path) -> Result<Command> {
        let mut command = Owner::ourselves().command(&tools::ensure("nsenter")?);
        let (uid, gid) = owner.ids();
        command
            .arg(format!("--net={FAR_FILE}"))
            .arg("-S")
            .arg(uid.to_string())
            .arg("-G")
            .arg(gid.to_string());
        command.arg("--").arg(program);
        Ok(command)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = ip(&["netns", "delete", FAR]);
    }
}

fn lay_one(server: usize) -> Result<()> {
    let (near, far, host) = (format!("near{server}"), format!("far{server}"), Network::host(server));
    ip(&["link", "add", &near, "type", "veth", "peer", "name", &far, "netns", FAR])?;
    ip(&["addr", "add", &format!("10.77.{server}.1/30"), "dev", &near])?;
    ip(&["link", "set", &near, "up"])?;
    ip(&["-n", FAR, "addr", "add", &format!("{host}/30"), "dev", &far])?;
    ip(&["-n", FAR, "link", "set", &far, "up"])?;
    // A known neighbour stays known: otherwise the kernel asks who has the address, and tells the program that nobody does.
    let shown = run(Command::new("ip").args(["-n", FAR, "-o", "link", "show", &far]))?;
    let card = shown.split_once("link/ether ").and_then(|(_, rest)| rest.split(' ').next());
    let card = card.ok_or_else(|| Failure::new(format!("no address of a network card in {shown}")))?;
    ip(&["neigh", "replace", &host, "lladdr", card, "dev", &near, "nud", "permanent"])
}

fn ip(arguments: &[&str]) -> Result<()> {
    run(Command::new("ip").args(arguments)).map(drop)
}

fn run(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    if !output.status.success() {
        return Err(Failure::new(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr))));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
