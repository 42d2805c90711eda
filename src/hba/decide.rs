//! Which line rules for a client.

use core::net::IpAddr;

use super::Rules;
use super::address::{Address, Range, is_named};
use super::ident::Mismatch;
use super::rule::{Connection, Rule, Ruling};
use crate::net::{Encryption, Peer, PeerAddress};

/// A client that says who it is.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// Where it is.
    pub peer: &'a Peer,
    /// The user that it wants to be.
    pub user: &'a str,
    /// The database that it wants.
    pub database: &'a str,
}

/// What the client's stream does not tell, and a line may ask.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The name of the client's host, the inner value; `None` when it has none, or one that leads elsewhere.
    pub host_name: Option<Option<String>>,
    /// The addresses of this machine.
    pub interfaces: Option<Vec<Interface>>,
}

/// An address of this machine.
#[derive(Clone, Copy, Debug)]
pub struct Interface {
    /// The address.
    pub address: IpAddr,
    /// The mask of its network.
    pub mask: IpAddr,
}

/// What comes of a query.
#[derive(Clone, Copy, Debug)]
pub enum Decision<'r> {
    /// A line matches.
    Ruled(&'r Ruling),
    /// None does.
    Unruled,
    /// The name of the client's host must be known first: the query is to be asked again with it.
    NeedsHostName,
    /// The same of the addresses of this machine.
    NeedsInterfaces,
}

impl Rules {
    /// What the first line says that matches. A name is looked up only when the lines before did not match.
    pub fn decide(&self, query: &Query, facts: &Facts) -> Decision<'_> {
        for line in &self.lines {
            match line.matches(query, facts) {
                Ok(true) => return Decision::Ruled(&line.ruling),
                Ok(false) => {}
                Err(undecided) => return undecided,
            }
        }
        Decision::Unruled
    }

    /// Whether a client whose system user, or certificate's name, has been proved may be `user` under a ruling.
    pub(crate) fn may_be(&self, ruling: &Ruling, proved: &str, user: &str) -> Result<(), Mismatch> {
        self.maps.allow(ruling.map.as_ref(), proved, user)
    }
}

impl Rule {
    fn matches(&self, query: &Query, facts: &Facts) -> Result<bool, Decision<'static>> {
        // The names first: PostgreSQL asks them last, but a resolver need not be asked for a line of other users.
        let named = self.databases.iter().any(|name| name.is(query.database, query.user))
            && self.users.iter().any(|name| name.is(query.user, query.user));
        let encrypted = matches!(query.peer.encryption, Encryption::Tls(_));
        let (address, client) = match (&self.connection, query.peer.address) {
            _ if !named => return Ok(false),
            (Connection::Local, PeerAddress::Unix(_)) => return Ok(true),
            (Connection::Host(address), PeerAddress::Tcp(client)) => (address, client),
            (Connection::HostSsl(address), PeerAddress::Tcp(client)) if encrypted => (address, client),
            (Connection::HostNoSsl(address), PeerAddress::Tcp(client)) if !encrypted => (address, client),
            _ => return Ok(false),
        };
        address.holds(client.ip().to_canonical(), facts)
    }
}

impl Address {
    fn holds(&self, client: IpAddr, facts: &Facts) -> Result<bool, Decision<'static>> {
        let interfaces = || facts.interfaces.as_deref().ok_or(Decision::NeedsInterfaces);
        Ok(match self {
            Address::All => true,
            Address::Range(range) => range.holds(client),
            Address::SameHost => interfaces()?.iter().any(|interface| interface.address == client),
            Address::SameNet => interfaces()?.iter().any(|interface| {
                Range::new(interface.address, interface.mask).is_some_and(|net| net.holds(client))
            }),
            Address::Host(pattern) => match facts.host_name.as_ref().ok_or(Decision::NeedsHostName)? {
                Some(host) => is_named(pattern, host),
                None => false,
            },
        })
    }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
