//! Names that the system knows: of hosts, of its own addresses, of its users. Asking may take as long as a resolver takes,
//! so each of these stops its thread.

use std::io;
use std::net::IpAddr;

use dns_lookup::{lookup_addr, lookup_host};
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{SockaddrLike as _, SockaddrStorage};
use nix::unistd::{Uid, User};

/// The name of the host that has an address, when the name leads back to the address. Whoever owns an address can give it
/// any name; only the owner of the name can have it lead there.
pub fn host_name(address: IpAddr) -> Option<String> {
    let name = lookup_addr(&address).ok()?;
    let mut addresses = lookup_host(&name).ok()?;
    addresses.any(|other| other == address).then_some(name)
}

/// The addresses of this machine, each with the mask of its network.
pub fn interfaces() -> io::Result<Vec<(IpAddr, IpAddr)>> {
    let all = getifaddrs()?;
    Ok(all.filter_map(|one| Some((ip(one.address?)?, ip(one.netmask?)?))).collect())
}

fn ip(address: SockaddrStorage) -> Option<IpAddr> {
    address.family()?;
    let ipv4 = address.as_sockaddr_in().map(|address| address.ip().into());
    ipv4.or_else(|| address.as_sockaddr_in6().map(|address| address.ip().into()))
}

/// The name of a user of this machine.
pub fn user_name(uid: u32) -> io::Result<Option<String>> {
    Ok(User::from_uid(Uid::from_raw(uid))?.map(|user| user.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_knows_itself() {
        let loopback = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([255, 0, 0, 0]));
        assert!(interfaces().unwrap().contains(&loopback));
        assert_eq!(user_name(0).unwrap().as_deref(), Some("root"));
        assert_eq!(user_name(4_000_000_000).unwrap(), None);
        assert!(host_name([192, 0, 2, 1].into()).is_none(), "an address of documentation has no name");
    }
}
