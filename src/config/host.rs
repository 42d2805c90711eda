//! What names a server's machine. Whatever else may stand in its place is never quoted: it may be a connection string, with a
//! password in it.

use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;

use config::Value;

use super::kinds::text;
use super::{Interface, ListenAddress, Listener, TcpAddress, UnixAddress};

/// A host name, an IP address, or the directory of a Unix socket.
pub(super) fn host(value: &Value) -> Result<String, String> {
    let host = text(value)?;
    match problem(&host) {
        Some(problem) => Err(problem.to_owned()),
        None => Ok(host),
    }
}

fn problem(host: &str) -> Option<&'static str> {
    // The interface that belongs to a link-local address stands behind it.
    let unscoped = host.split_once('%').map_or(host, |(address, _)| address);
    if host.starts_with('/') || host.parse::<IpAddr>().is_ok() || unscoped.parse::<Ipv6Addr>().is_ok() {
        return None;
    }
    let is_port = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let with_port = host.split_once(':').is_some_and(|(_, port)| is_port(port));
    let of_names = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    Some(match host {
        _ if host.contains(['$', '{']) => "holds a variable, which nothing fills in",
        _ if host.starts_with('[') => "an IPv6 address stands without brackets",
        _ if host.contains(['@', '=']) => {
            "holds more than a host; the parts of a connection string stand in host, port, [[users]] and [[databases]]"
        }
        _ if host.contains(',') => "names several hosts; each has a [[servers]] entry of its own",
        _ if with_port => "holds a port, which stands in port",
        _ if !host.chars().all(of_names) => "is no host name, no IP address and no directory",
        _ => return None,
    })
}

/// A host as it is, whoever writes it how: names have no capitals, and may end in a dot.
pub(super) fn plain(host: &str) -> String {
    let directory = host.starts_with('/').then(|| host.trim_end_matches('/'));
    match (directory, host.to_ascii_lowercase().trim_end_matches('.')) {
        (Some(directory), _) => directory.to_owned(),
        (None, "localhost") => "127.0.0.1".to_owned(),
        (None, name) => name.to_owned(),
    }
}

/// Whether a listener is what a connection to this host and port would find. Which names and addresses a machine has is not
/// asked: of `0.0.0.0` it is known that this machine's own are among them.
pub(super) fn is_at(listener: &Listener, host: &str, port: u16) -> bool {
    let host = plain(host);
    match &listener.address {
        ListenAddress::Unix(UnixAddress { path, .. }) => {
            *path == Path::new(&host).join(format!(".s.PGSQL.{port}"))
        }
        ListenAddress::Tcp(TcpAddress { interface, .. }) => {
            let Ok(address) = host.parse::<IpAddr>() else { return false };
            match interface {
                Interface::All(own) => *own == port && address.is_loopback(),
                Interface::Address(own) | Interface::Ipv6(own) if own.ip().is_unspecified() => {
                    own.port() == port && address.is_loopback()
                }
                Interface::Address(own) | Interface::Ipv6(own) => {
                    own.port() == port && own.ip().to_canonical() == address.to_canonical()
                }
            }
        }
    }
}
