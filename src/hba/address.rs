//! Which addresses a line is for.

use core::net::IpAddr;

/// What a line's address field says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// `all`.
    All,
    /// `samehost`: any address of this machine.
    SameHost,
    /// `samenet`: any address of a network that this machine is in.
    SameNet,
    /// Addresses that are the same as this one where the mask has a bit.
    Range(Range),
    /// A host name, or the end of one when it begins with a dot.
    Host(String),
}

/// An address and a mask of the same family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    address: IpAddr,
    mask: IpAddr,
}

impl Range {
    /// The range, when both are of one family.
    pub(super) fn new(address: IpAddr, mask: IpAddr) -> Option<Self> {
        (address.is_ipv4() == mask.is_ipv4()).then_some(Self { address, mask })
    }

    /// The range of an address and so many bits, as they stand behind the slash.
    pub(super) fn cidr(address: IpAddr, bits: &str) -> Option<Self> {
        let bits: u32 = bits.parse().ok()?;
        let mask: IpAddr = match address {
            IpAddr::V4(_) if bits <= 32 => u32::MAX.checked_shl(32 - bits).unwrap_or(0).to_be_bytes().into(),
            IpAddr::V6(_) if bits <= 128 => {
                u128::MAX.checked_shl(128 - bits).unwrap_or(0).to_be_bytes().into()
            }
            IpAddr::V4(_) | IpAddr::V6(_) => return None,
        };
        Some(Self { address, mask })
    }

    pub(super) fn holds(&self, client: IpAddr) -> bool {
        match (self.address, self.mask, client) {
            (IpAddr::V4(address), IpAddr::V4(mask), IpAddr::V4(client)) => {
                (address.to_bits() ^ client.to_bits()) & mask.to_bits() == 0
            }
            (IpAddr::V6(address), IpAddr::V6(mask), IpAddr::V6(client)) => {
                (address.to_bits() ^ client.to_bits()) & mask.to_bits() == 0
            }
            _ => false,
        }
    }
}

/// Whether a host's name is the one that a line names.
pub(super) fn is_named(pattern: &str, host: &str) -> bool {
    if pattern.starts_with('.') {
        let end = host.len().checked_sub(pattern.len()).and_then(|start| host.get(start..));
        return end.is_some_and(|end| end.eq_ignore_ascii_case(pattern));
    }
    host.eq_ignore_ascii_case(pattern)
}

/// Whether somebody must have meant an address: such a name no resolver has, and a line with it would match nobody.
pub(super) fn looks_numeric(text: &str) -> bool {
    let last = text.rsplit('.').next().unwrap_or_default();
    text.contains(':') || last.starts_with(|c: char| c.is_ascii_digit()) || text.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn ranges_hold_what_their_bits_say() {
        for (range, bits, client, held) in [
            ("127.0.0.1", "32", "127.0.0.1", true),
            ("127.0.0.1", "32", "127.0.0.2", false),
            ("10.1.2.3", "8", "10.200.0.1", true),
            ("10.1.2.3", "8", "11.1.2.3", false),
            ("0.0.0.0", "0", "8.8.8.8", true),
            ("0.0.0.0", "0", "::1", false),
            ("::", "0", "::1", true),
            ("::", "0", "127.0.0.1", false),
            ("fe80::", "10", "febf::1", true),
            ("fe80::", "10", "fec0::1", false),
            ("::1", "128", "::1", true),
        ] {
            let range = Range::cidr(ip(range), bits).unwrap();
            assert_eq!(range.holds(ip(client)), held, "{range:?} {client}");
        }
        for (address, bits) in [("10.0.0.0", "33"), ("::", "129"), ("10.0.0.0", ""), ("10.0.0.0", "8x")] {
            assert_eq!(Range::cidr(ip(address), bits), None);
        }
        assert_eq!(Range::new(ip("10.0.0.0"), ip("ff::")), None);
        // A mask may have holes.
        assert!(Range::new(ip("10.0.0.5"), ip("255.0.0.255")).unwrap().holds(ip("10.7.7.5")));
    }

    #[test]
    fn names_know_no_case_and_suffixes_begin_with_a_dot() {
        for (pattern, host, same) in [
            ("db.example.com", "DB.Example.com", true),
            ("db.example.com", "x.db.example.com", false),
            (".example.com", "db.example.com", true),
            (".example.com", "example.com", false),
            (".example.com", "badexample.com", false),
            (".com", "é.COM", true),
        ] {
            assert_eq!(is_named(pattern, host), same, "{pattern} {host}");
        }
    }

    #[test]
    fn what_looks_like_an_address_is_no_name() {
        assert!(["127.1", "10.0.0.300", "::g", "fe80::1%lo", ""].into_iter().all(looks_numeric));
        assert!(!["localhost", "db1", "1.example.com", ".example.com"].into_iter().any(looks_numeric));
    }
}
