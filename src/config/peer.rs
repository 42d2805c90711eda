//! The copies of weir that stand behind one balancer, so that a cancel request which comes to one of them finds the one that it is
//! for.

use std::sync::Arc;

use crate::net::tls::{ServerTls, Target};

/// A copy of weir.
#[derive(Clone, Debug)]
pub struct Peer {
    /// By this it is known in the keys that it gives to clients.
    pub id: u8,
    /// Host name or address, or the directory of a Unix socket when it begins with `/`.
    pub host: Arc<str>,
    /// Port.
    pub port: u16,
    /// When what is said to it is encrypted.
    pub tls: Arc<ServerTls>,
}

/// All copies, and which of them this one is.
#[derive(Clone, Debug, Default)]
pub struct Peers {
    /// `[listen] peer_id`.
    pub own: Option<u8>,
    /// `[[peers]]`; this copy may be among them.
    pub all: Vec<Peer>,
}

impl Peer {
    /// Where it is.
    pub fn target(&self) -> Target<'_> {
        Target { host: &self.host, address: None, port: self.port, tls: &self.tls }
    }
}

impl Peers {
    /// Another copy, by its id.
    pub fn other(&self, id: u8) -> Option<&Peer> {
        self.all.iter().find(|peer| peer.id == id && Some(id) != self.own)
    }
}
