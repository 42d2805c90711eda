//! From a line's fields to a rule, after hba.c's parse_hba_line and in its words.

use core::net::IpAddr;

use super::address::{Address, Range, looks_numeric};
use super::names::Name;
use super::options::Options;
use super::rule::{Connection, Method, Rule};
use super::tokens::{Field, Line, Token};

/// Reads one line.
pub(super) fn rule(line: &Line) -> Result<Rule, String> {
    let mut fields = line.fields.iter();
    let kind = single(fields.next(), Wanted::CONNECTION)?;
    if !KINDS.contains(&kind.text.as_str()) {
        return Err(format!("invalid connection type \"{}\"", kind.text));
    }
    let databases = names(fields.next(), Wanted::DATABASE, Name::of_database)?;
    let users = names(fields.next(), Wanted::ROLE, Name::of_user)?;
    let connection = match kind.text.as_str() {
        "local" => Connection::Local,
        kind => over_tcp(kind, address(&mut fields)?),
    };
    let method = method(single(fields.next(), Wanted::METHOD)?, &connection)?;
    let mut options = Options::default();
    for option in fields.flatten() {
        options.read(&option.text, &connection, method)?;
    }
    let ruling = options.ruling(method);
    Ok(Rule { place: line.place.clone(), connection, databases, users, ruling })
}

const KINDS: [&str; 6] = ["local", "host", "hostssl", "hostnossl", "hostgssenc", "hostnogssenc"];

fn over_tcp(kind: &str, address: Address) -> Connection {
    match kind {
        "hostssl" => Connection::HostSsl(address),
        "hostnossl" => Connection::HostNoSsl(address),
        "hostgssenc" => Connection::HostGss,
        _ => Connection::Host(address),
    }
}

/// A field that must be there, and what PostgreSQL calls it.
struct Wanted {
    missing: &'static str,
    several: &'static str,
}

impl Wanted {
    const CONNECTION: Self = Self { missing: "connection type", several: "connection type" };
    const DATABASE: Self = Self { missing: "database specification", several: "" };
    const ROLE: Self = Self { missing: "role specification", several: "" };
    const ADDRESS: Self = Self { missing: "IP address specification", several: "host address" };
    const MASK: Self = Self { missing: "netmask specification", several: "netmask" };
    const METHOD: Self = Self { missing: "authentication method", several: "authentication type" };

    fn of<'l>(&self, field: Option<&'l Field>) -> Result<&'l Field, String> {
        field.ok_or_else(|| format!("end-of-line before {}", self.missing))
    }
}

fn single(field: Option<&Field>, wanted: Wanted) -> Result<&Token, String> {
    match &wanted.of(field)?[..] {
        [token] => Ok(token),
        _ => Err(format!("multiple values specified for {}", wanted.several)),
    }
}

fn names(
    field: Option<&Field>,
    wanted: Wanted,
    read: impl Fn(&Token) -> Result<Name, String>,
) -> Result<Vec<Name>, String> {
    wanted.of(field)?.iter().map(read).collect()
}

fn address<'l>(fields: &mut impl Iterator<Item = &'l Field>) -> Result<Address, String> {
    let token = single(fields.next(), Wanted::ADDRESS)?;
    let keywords = [("all", Address::All), ("samehost", Address::SameHost), ("samenet", Address::SameNet)];
    if let Some((_, address)) = keywords.into_iter().find(|(keyword, _)| token.is(keyword)) {
        return Ok(address);
    }
    let text = token.text.as_str();
    let (host, bits) = text.split_once('/').map_or((text, None), |(host, bits)| (host, Some(bits)));
    match (host.parse::<IpAddr>(), bits) {
        (Ok(address), Some(bits)) => Range::cidr(address, bits)
            .map(Address::Range)
            .ok_or_else(|| format!("invalid CIDR mask in address \"{text}\"")),
        (Ok(address), None) => {
            let mask = single(fields.next(), Wanted::MASK)?;
            let parsed = mask.text.parse::<IpAddr>();
            let parsed = parsed.map_err(|_| format!("invalid IP mask \"{}\"", mask.text))?;
            let range = Range::new(address, parsed).ok_or("IP address and mask do not match")?;
            Ok(Address::Range(range))
        }
        (Err(_), _) if looks_numeric(host) => Err(format!("invalid IP address \"{host}\"")),
        (Err(_), Some(_)) => Err(format!("specifying both host name and CIDR mask is invalid: \"{text}\"")),
        (Err(_), None) => Ok(Address::Host(host.to_owned())),
    }
}

fn method(token: &Token, connection: &Connection) -> Result<Method, String> {
    let name = token.text.as_str();
    let method = match name {
        "trust" => Method::Trust,
        "reject" => Method::Reject,
        "scram-sha-256" => Method::ScramSha256,
        "md5" => Method::Md5,
        "password" => Method::Password,
        "cert" => Method::Certificate,
        "peer" => Method::Peer,
        // As PostgreSQL takes it, from the time when both had one name.
        "ident" if *connection == Connection::Local => Method::Peer,
        "ident" | "gss" | "sspi" | "pam" | "bsd" | "ldap" | "radius" | "oauth" => {
            return Err(format!("invalid authentication method \"{name}\": not supported by weir"));
        }
        _ => return Err(format!("invalid authentication method \"{name}\"")),
    };
    match (method, connection) {
        (Method::Peer, Connection::Local) | (Method::Certificate, Connection::HostSsl(_)) => Ok(method),
        (Method::Peer, _) => Err("peer authentication is only supported on local sockets".to_owned()),
        (Method::Certificate, _) => {
            Err("cert authentication is only supported on hostssl connections".to_owned())
        }
        // A rule of weir's own: whoever listens on the way would have the password.
        (Method::Password, Connection::HostNoSsl(_)) => {
            Err("password authentication is not supported on hostnossl connections: \
             weir takes a password in plain text only over TLS"
                .to_owned())
        }
        _ => Ok(method),
    }
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
