//! Which line rules for a client.

use core::net::IpAddr;
use std::sync::Arc;

use super::Rules;
use super::address::{Address, Range, is_named};
use super::ident::Mismatch;
use super::mistake::Place;
use super::names::{Name, Who};
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
    /// The roles that the user is a member of, itself included; none of a user that there is not.
    pub roles: Option<Arc<[String]>>,
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
    /// This line matches, and says this.
    Ruled(&'r Place, &'r Ruling),
    /// None does.
    Unruled,
    /// The name of the client's host must be known first: the query is to be asked again with it.
    NeedsHostName,
    /// The same of the addresses of this machine.
    NeedsInterfaces,
    /// The same of the roles that the user is a member of.
    NeedsRoles,
}

impl Rules {
    /// What the first line says that matches. Nothing is looked up for a line before which another one matches.
    pub fn decide(&self, query: &Query, facts: &Facts) -> Decision<'_> {
        for line in &self.lines {
            match line.matches(query, facts) {
                Ok(true) => return Decision::Ruled(&line.place, &line.ruling),
                Ok(false) => {}
                Err(undecided) => return undecided,
            }
        }
        Decision::Unruled
    }

    /// Whether a client whose system user, or certificate's name, has been proved may be `user` under a ruling.
    /// `roles` are those that the user is a member of, where [`Rules::maps_by_role`] says that they count.
    pub(crate) fn may_be(
        &self,
        ruling: &Ruling,
        proved: &str,
        (user, roles): (&str, Option<&[String]>),
    ) -> Result<(), Mismatch> {
        self.maps.allow(ruling.map.as_ref(), proved, &Who { user, roles })
    }

    /// Whether a ruling's map has lines for the members of roles.
    pub(crate) fn maps_by_role(&self, ruling: &Ruling) -> bool {
        ruling.map.as_ref().is_some_and(|map| self.maps.ask_for_roles(map))
    }
}

impl Rule {
    fn matches(&self, query: &Query, facts: &Facts) -> Result<bool, Decision<'static>> {
        // The names first: PostgreSQL asks them last, but a resolver need not be asked for a line of other users.
        let who = Who { user: query.user, roles: facts.roles.as_deref() };
        let database = Name::is_any(&self.databases, query.database, &who);
        let user = Name::is_any(&self.users, query.user, &who);
        if database == Some(false) || user == Some(false) || !self.is_from_there(query, facts)? {
            return Ok(false);
        }
        // The servers last: all else has been found to match.
        database.and(user).ok_or(Decision::NeedsRoles)
    }

    fn is_from_there(&self, query: &Query, facts: &Facts) -> Result<bool, Decision<'static>> {
        let encrypted = matches!(query.peer.encryption, Encryption::Tls(_));
        let (address, client) = match (&self.connection, query.peer.address) {
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
