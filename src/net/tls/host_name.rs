//! Whether a certificate is for a host, as libpq decides it (fe-secure-common.c): subjectAltName first, and the common name
//! only where that names no host of this kind. Pure.

use std::net::IpAddr;

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

/// The names of hosts in a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct HostNames {
    dns: Vec<String>,
    addresses: Vec<Vec<u8>>,
    common: Option<String>,
}

impl HostNames {
    /// What a certificate says.
    pub(super) fn of(certificate: &X509Certificate<'_>) -> Self {
        let mut names = Self::default();
        let alternatives = certificate.subject_alternative_name().ok().flatten();
        for name in alternatives.iter().flat_map(|names| &names.value.general_names) {
            match name {
                GeneralName::DNSName(name) => names.dns.push((*name).to_owned()),
                GeneralName::IPAddress(bytes) => names.addresses.push(bytes.to_vec()),
                _ => {}
            }
        }
        let common = certificate.subject().iter_common_name().next();
        names.common = common.and_then(|name| name.as_str().ok()).map(str::to_owned);
        names
    }

    /// Whether one of them is this host.
    pub(super) fn include(&self, host: &str) -> bool {
        let address = host.parse::<IpAddr>().ok();
        let octets = address.map(|address| match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        });
        let told = match octets {
            Some(_) => !self.addresses.is_empty(),
            None => !self.dns.is_empty(),
        };
        let by_address = octets.is_some_and(|octets| self.addresses.contains(&octets));
        let by_name = self.dns.iter().any(|name| is_for(name, host));
        let by_common = || !told && self.common.as_deref().is_some_and(|name| is_for(name, host));
        by_address || by_name || by_common()
    }

    /// The name that a person would know it by.
    pub(super) fn first(&self) -> &str {
        self.dns.first().or(self.common.as_ref()).map_or("", String::as_str)
    }
}

/// A star stands for one label, the first, and only as a whole.
fn is_for(pattern: &str, host: &str) -> bool {
    if pattern.eq_ignore_ascii_case(host) {
        return true;
    }
    let Some(rest) = pattern.strip_prefix('*').filter(|rest| rest.starts_with('.') && rest.len() > 1) else {
        return false;
    };
    let Some(label) = host.len().checked_sub(rest.len()).filter(|label| *label > 0) else { return false };
    let matches = host.get(label..).is_some_and(|end| end.eq_ignore_ascii_case(rest));
    matches && host.get(..label).is_some_and(|label| !label.contains('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dns: &[&str], addresses: &[&[u8]], common: Option<&str>) -> HostNames {
        HostNames {
            dns: dns.iter().map(|name| (*name).to_owned()).collect(),
            addresses: addresses.iter().map(|address| address.to_vec()).collect(),
            common: common.map(str::to_owned),
        }
    }

    #[test]
    fn a_star_stands_for_one_label() {
        for (pattern, host, fits) in [
            ("db.example.com", "DB.Example.com", true),
            ("*.example.com", "db.example.com", true),
            ("*.example.com", "a.db.example.com", false),
            ("*.example.com", ".example.com", false),
            ("*.example.com", "example.com", false),
            ("d*.example.com", "db.example.com", false),
            ("*", "db", false),
            ("*.", "db.", false),
            ("db.example.com\0.evil", "db.example.com", false),
        ] {
            assert_eq!(is_for(pattern, host), fits, "{pattern} for {host}");
        }
    }

    /// The rules of PostgreSQL's own test, src/test/ssl/t/001_ssltests.pl.
    #[test]
    fn the_common_name_counts_where_nothing_else_names_such_a_host() {
        let common = names(&[], &[], Some("common.example"));
        assert!(common.include("common.example"));
        assert!(!names(&["other.example"], &[], Some("common.example")).include("common.example"));
        // Another kind of name does not stand in its way.
        assert!(names(&[], &[&[192, 0, 2, 1]], Some("common.example")).include("common.example"));
        assert!(names(&["other.example"], &[], Some("192.0.2.1")).include("192.0.2.1"));
        assert!(!names(&[], &[&[192, 0, 2, 2]], Some("192.0.2.1")).include("192.0.2.1"));
    }

    #[test]
    fn an_address_is_one_however_it_is_written() {
        let six = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        let both = names(&[], &[&[192, 0, 2, 1], &six], None);
        assert!(both.include("192.0.2.1"));
        assert!(both.include("2001:db8::1") && both.include("2001:DB8:0:0:0:0:0:1"));
        assert!(!both.include("192.0.2.2"));
        assert!(names(&["192.0.2.1"], &[], None).include("192.0.2.1"), "as text, as libpq has it");
    }
}
