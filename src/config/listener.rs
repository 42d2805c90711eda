//! One place where clients connect.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::net::tls::AcceptorFiles;
use crate::sql::{Target, Transactions};

/// One listening socket. An entry of the file with several addresses makes one for each, which are alike but for that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where it is.
    pub address: ListenAddress,
    /// How its clients are encrypted. Those of a Unix socket never are.
    pub tls: ListenTls,
    /// Fixed target for clients of this listener; `Auto` leaves it to the router.
    pub target: Target,
    /// Overrides `[routing] transactions` for them.
    pub transactions: Option<Transactions>,
}

/// Whether a listener's clients are encrypted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ListenTls {
    /// None is.
    #[default]
    Off,
    /// Whoever wants to be.
    Allow(AcceptorFiles),
    /// All: nobody else gets in.
    Require(AcceptorFiles),
}

impl ListenTls {
    /// By which files.
    pub fn files(&self) -> Option<&AcceptorFiles> {
        match self {
            ListenTls::Off => None,
            ListenTls::Allow(files) | ListenTls::Require(files) => Some(files),
        }
    }
}

/// Where clients are listened for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// A TCP port.
    Tcp(TcpAddress),
    /// A Unix socket.
    Unix(UnixAddress),
}

/// A TCP port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpAddress {
    /// Of which addresses of this machine.
    pub interface: Interface,
    /// Whether other processes of the same user may listen at it as well (`SO_REUSEPORT`): each client comes to one of them.
    pub reuse_port: bool,
}

/// Addresses of this machine, with a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    /// This one. `[::]` takes IPv4 along.
    Address(SocketAddr),
    /// `[::]` without IPv4, which another listener takes.
    Ipv6(SocketAddr),
    /// All that there are, of both families: `*`.
    All(u16),
}

/// A Unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixAddress {
    /// `directory/.s.PGSQL.port`, where clients look. It begins with `@` where it stands in no directory.
    pub path: PathBuf,
    /// Who may connect: the permissions of the file.
    pub mode: u32,
    /// The file's group: a name, or a number.
    pub group: Option<String>,
}

impl ListenAddress {
    /// Whether others than this machine can reach it.
    pub fn is_exposed(&self) -> bool {
        match self {
            ListenAddress::Tcp(tcp) => match tcp.interface {
                Interface::Address(address) | Interface::Ipv6(address) => !address.ip().is_loopback(),
                Interface::All(_) => true,
            },
            ListenAddress::Unix(_) => false,
        }
    }

    pub(super) fn tcp(interface: Interface) -> Self {
        ListenAddress::Tcp(TcpAddress { interface, reuse_port: false })
    }

    pub(super) fn port(&self) -> Option<u16> {
        match self {
            ListenAddress::Tcp(tcp) => Some(tcp.interface.port()),
            ListenAddress::Unix(_) => None,
        }
    }

    /// Whether two of them are one. Port 0 lets the system choose, so two of them do not meet.
    pub fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (ListenAddress::Tcp(a), ListenAddress::Tcp(b)) => a.interface.meets(b.interface),
            (ListenAddress::Unix(a), ListenAddress::Unix(b)) => a.path == b.path,
            _ => false,
        }
    }
}

impl Interface {
    fn port(self) -> u16 {
        match self {
            Interface::Address(address) | Interface::Ipv6(address) => address.port(),
            Interface::All(port) => port,
        }
    }

    fn meets(self, other: Self) -> bool {
        let everything = |interface| matches!(interface, Interface::All(_));
        let same = self.to_string() == other.to_string();
        self.port() != 0 && self.port() == other.port() && (same || everything(self) || everything(other))
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenAddress::Tcp(tcp) => tcp.interface.fmt(f),
            ListenAddress::Unix(unix) => unix.path.display().fmt(f),
        }
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Interface::Address(address) | Interface::Ipv6(address) => address.fmt(f),
            Interface::All(port) => write!(f, "*:{port}"),
        }
    }
}
