//! `[discovery]`, read and checked.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use config::Value;

use super::discovery::{Discovery, Endpoint, Patroni, Source, names_service};
use super::kinds::{DAY, HOUR, MS, SECOND, duration, one_or_more, text, word};
use super::section::Section;
use super::server_tls::{https, read_https};
use super::users::{DISCOVERY_PASSWORD, Surroundings, one_secret, only_one};
use super::{Secret, Server};
use crate::net::tls::ServerTls;

/// Where name servers listen.
const DNS: u16 = 53;

/// Where Patroni's REST API listens.
const PATRONI: u16 = 8008;

/// `kind = "..."`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Static,
    Dns,
    Patroni,
}

impl Server {
    /// Whether it stands for what its host's name leads to, where names are looked up.
    pub fn is_name(&self) -> bool {
        !self.host.starts_with('/') && !self.host.contains('%') && self.host.parse::<IpAddr>().is_err()
    }

    /// Whether that name is one of SRV records.
    pub fn is_service(&self) -> bool {
        names_service(&self.host)
    }
}

/// The section. Which servers there are is read behind it.
pub(super) fn discovery(s: &mut Section, around: &Surroundings) -> Discovery {
    const KINDS: [(&str, Kind); 3] =
        [("static", Kind::Static), ("dns", Kind::Dns), ("patroni", Kind::Patroni)];
    let kind = s.read("kind", word(&KINDS)).unwrap_or(Kind::Static);
    let keep = s.read("keep", duration(Duration::ZERO..=DAY)).unwrap_or(30 * SECOND);
    let timeout = s.read("timeout", duration(10 * MS..=60 * SECOND)).unwrap_or(3 * SECOND);
    let nameservers = s.read("nameservers", one_or_more(nameserver)).unwrap_or_default();
    let patroni = patroni(s, around);
    if kind != Kind::Dns && !nameservers.is_empty() {
        s.note("nameservers", "is of use with kind = \"dns\" alone");
    }
    if kind != Kind::Patroni && !patroni.endpoints.is_empty() {
        s.note("urls", "is of use with kind = \"patroni\" alone");
    }
    if kind == Kind::Patroni && patroni.endpoints.is_empty() && !s.has("urls") {
        s.note(
            "urls",
            "is missing: where Patroni's REST API is, such as [\"http://db1:8008\", \"http://db2:8008\"]",
        );
    }
    let source = match kind {
        Kind::Static => Source::Static,
        Kind::Dns => Source::Dns { nameservers },
        Kind::Patroni => Source::Patroni(patroni),
    };
    Discovery { source, keep, timeout }
}

fn patroni(s: &mut Section, around: &Surroundings) -> Patroni {
    let addresses = s.read("urls", urls).unwrap_or_default();
    let encrypted = addresses.iter().any(|(scheme, ..)| *scheme == "https");
    let tls = https(s, around);
    if encrypted {
        read_https(s, &tls);
    }
    only_one(s, &DISCOVERY_PASSWORD.all());
    let password = one_secret(s, &DISCOVERY_PASSWORD, around);
    let user = s.read("user", text);
    if user.is_none() && password.is_some() {
        s.note("user", "is missing; whose is the password?");
    }
    if user.as_ref().is_some_and(|user| user.contains(':')) {
        s.note("user", "must not hold a colon: what stands behind one is taken for the password");
    }
    let login = user.map(|user| (user, password.unwrap_or_else(|| Secret::new(""))));
    let endpoint = |(scheme, host, port): (&str, String, u16)| {
        let tls = (scheme == "https").then(|| ServerTls::new(tls.clone()));
        Endpoint { host, port, tls }
    };
    let interval = s.read("interval", duration(100 * MS..=HOUR)).unwrap_or(5 * SECOND);
    Patroni { endpoints: addresses.into_iter().map(endpoint).collect(), login, interval }
}

/// The address of a name server.
fn nameserver(value: &Value) -> Result<SocketAddr, String> {
    let text = text(value)?;
    let address = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, DNS));
    address.or_else(|_| text.parse()).map_err(|_| {
        format!("expected addresses of name servers, such as 10.96.0.10 or 127.0.0.1:5353, found {text:?}")
    })
}

type Url = (&'static str, String, u16);

fn urls(value: &Value) -> Result<Vec<Url>, String> {
    let found = one_or_more(|value| url_of(&text(value)?))(value)?;
    if found.is_empty() { Err("is empty: where is Patroni?".to_owned()) } else { Ok(found) }
}

/// What else may stand in one is not quoted: there may be a password in it.
fn url_of(text: &str) -> Result<Url, String> {
    let wrong = || "expected addresses such as http://db1:8008 or https://db1:8008".to_owned();
    let (scheme, rest) = match text.split_once("://") {
        Some(("http", rest)) => ("http", rest),
        Some(("https", rest)) => ("https", rest),
        _ => return Err(wrong()),
    };
    if rest.contains('@') {
        return Err("holds a user; it stands in user, and its password in password".to_owned());
    }
    let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
    if !matches!(path.trim_end_matches('/'), "" | "cluster" | "patroni") {
        return Err(format!("{}; what is asked there weir knows", wrong()));
    }
    let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
    };
    let port = port.map_or(Ok(PATRONI), |port| port.parse().map_err(|_| wrong()))?;
    let of_hosts = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    if host.is_empty() || port == 0 || !host.chars().all(of_hosts) {
        return Err(wrong());
    }
    Ok((scheme, host.to_owned(), port))
}

/// What is wrong with `[[servers]]` for how servers are found.
pub(super) fn check_servers(root: &Section, discovery: &Discovery, servers: &[Server]) {
    let names = servers.iter().filter(|server| !server.host.is_empty() && server.is_name()).count();
    match &discovery.source {
        Source::Dns { .. } if names == 0 && !servers.is_empty() => root.note(
            "servers",
            "no host is a name that could be looked up, as [discovery] kind = \"dns\" has it",
        ),
        Source::Static if servers.iter().any(Server::is_service) => root.note(
            "servers",
            "a host is a name of SRV records, which are looked up with [discovery] kind = \"dns\" alone",
        ),
        Source::Static | Source::Dns { .. } | Source::Patroni(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_scheme_a_host_and_a_port() {
        let of = |text| url_of(text).map(|(scheme, host, port)| format!("{scheme} {host} {port}"));
        assert_eq!(of("http://db1:8008").unwrap(), "http db1 8008");
        assert_eq!(of("https://db1.example/").unwrap(), "https db1.example 8008");
        assert_eq!(of("http://10.0.0.1:8009/cluster").unwrap(), "http 10.0.0.1 8009");
        assert_eq!(of("http://[fd00::1]:8009").unwrap(), "http fd00::1 8009");
        for text in [
            "db1:8008",
            "http://",
            "http://db1:x",
            "http://db1:0",
            "ftp://db1",
            "http://db1/config",
            "http://a b",
        ] {
            assert!(of(text).is_err(), "{text}");
        }
        let error = of("http://admin:hunter2@db1:8008").unwrap_err();
        assert!(error.contains("user") && !error.contains("hunter2"), "{error}");
    }
}
