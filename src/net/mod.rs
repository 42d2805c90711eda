//! Sockets: streams, how they come to be on both sides, and the one-message-at-a-time reading of a handshake.
//! Knows of PostgreSQL only that a message has a length.

pub mod buffer;
mod dial;
mod given;
mod handshake;
#[cfg(test)]
pub(crate) mod holding;
mod keepalive;
mod listen;
mod look_up;
mod peer;
mod socket;
mod stream;
pub mod tls;
mod unix;

/// Where a host is.
pub type HostAddress = std::net::IpAddr;

pub use dial::dial;
pub use given::{Given, GivenSocket, accepted_elsewhere};
pub use handshake::{Handshake, ReadError};
pub use keepalive::Keepalive;
pub use listen::{Accepted, Interface, Listener, TcpPlace};
pub use look_up::{host_name, interfaces, user_name};
pub use peer::{ClientCertificate, Encryption, Peer, PeerAddress, Tls, UnixPeer};
pub use socket::Socket;
pub use stream::Stream;
pub use tls::{Dialled, ServerTls, Target, TlsFailure, Way};
pub use unix::{UnixPlace, is_own_or_root};
