//! `[listen]` and `[[listeners]]`: where clients connect, and what holds for those who come by one of them.

use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use config::Value;

use super::kinds::{self, flag, one_or_more, text, word};
use super::listener::{Interface, ListenAddress, ListenTls, Listener, TcpAddress, UnixAddress};
use super::overrides::{target, transactions};
use super::section::Section;
use super::users::Surroundings;
use crate::net::tls::AcceptorFiles;
use crate::sql::{Target, Transactions};

/// Where weir listens unless more is said.
pub(super) const PORT: u16 = 6432;

/// Longest path of a socket, as the kernel has it (`sun_path`, whose last byte is zero).
const SOCKET_PATH_MAX: usize = 107;

/// All listeners, those of `[listen]` first, and what else is read of that.
pub(super) fn listeners<T>(
    root: &mut Section,
    around: &Surroundings,
    read: impl FnOnce(&mut Section) -> T,
) -> (Vec<Listener>, T) {
    let usual = ListenAddress::tcp(Interface::Address(([127, 0, 0, 1], PORT).into()));
    let (mut listeners, rest) = root.section("listen", |s| {
        let addresses = addresses(s, vec![usual], PORT);
        let tls = tls(s, around);
        let alike = Alike { tls, target: Target::Auto, transactions: None };
        let listeners: Vec<_> = with(addresses, alike).collect();
        note_meetings(s, &[], &listeners);
        (listeners, read(s))
    });
    let port = listeners.iter().find_map(|listener| listener.address.port()).unwrap_or(PORT);
    root.list("listeners", |s| {
        if !s.has("unix_socket") && !s.has("address") {
            s.note("address", "is missing");
        }
        let addresses = addresses(s, Vec::new(), port);
        let alike = Alike {
            tls: tls(s, around),
            target: s.read("target", target).unwrap_or_default(),
            transactions: s.read("transactions", transactions),
        };
        let more: Vec<_> = with(addresses, alike).collect();
        note_meetings(s, &listeners, &more);
        listeners.extend(more);
    });
    part_families(&mut listeners);
    (listeners, rest)
}

/// Whether an address, which is no listener's, is listened on already.
pub(super) fn taken(listeners: &[Listener], address: SocketAddr) -> bool {
    let address = ListenAddress::tcp(Interface::Address(address));
    listeners.iter().any(|listener| listener.address.meets(&address))
}

/// What the listeners of one entry have in common.
struct Alike {
    tls: ListenTls,
    target: Target,
    transactions: Option<Transactions>,
}

fn with(addresses: Vec<ListenAddress>, alike: Alike) -> impl Iterator<Item = Listener> {
    let Alike { tls, target, transactions } = alike;
    addresses.into_iter().map(move |address| {
        let tls = if address.port().is_some() { tls.clone() } else { ListenTls::Off };
        Listener { address, tls, target, transactions }
    })
}

/// `tls = "..."`.
#[derive(Clone, Copy)]
enum Demand {
    Off,
    Allow,
    Require,
}

const DEMANDS: [(&str, Demand); 3] =
    [("off", Demand::Off), ("allow", Demand::Allow), ("require", Demand::Require)];

/// Whether clients are encrypted, and by what. Relative paths start where the configuration lies.
fn tls(s: &mut Section, around: &Surroundings) -> ListenTls {
    let mut path = |key| s.read(key, text).map(|path| around.file.with_file_name("").join(path));
    let (certificate, key) = (path("tls_certificate"), path("tls_key"));
    let (roots, revoked) = (path("tls_ca"), path("tls_crl"));
    let tls_1_2 = s.read("tls_min_version", word(&[("1.2", true), ("1.3", false)])).unwrap_or(true);
    let demand = s.read("tls", word(&DEMANDS));
    if revoked.is_some() && roots.is_none() {
        s.note("tls_crl", "is of use to tls_ca alone, which is missing");
    }
    match (demand, certificate, key) {
        (Some(Demand::Off), ..) => ListenTls::Off,
        (None, None, None) => {
            if roots.is_some() {
                s.note("tls_ca", "is of use to TLS alone, and there is no tls_certificate");
            }
            ListenTls::Off
        }
        (demand, Some(certificate), Some(key)) => {
            let files = AcceptorFiles { certificate, key, roots, revoked, tls_1_2 };
            match demand {
                Some(Demand::Require) => ListenTls::Require(files),
                _ => ListenTls::Allow(files),
            }
        }
        (_, certificate, key) => {
            if certificate.is_none() {
                s.note("tls_certificate", "is missing");
            }
            if key.is_none() {
                s.note("tls_key", "is missing");
            }
            ListenTls::Off
        }
    }
}

/// The addresses of one entry, or the usual ones. Its Unix sockets have the number of its first TCP port; `port` where
/// it has none.
fn addresses(s: &mut Section, usual: Vec<ListenAddress>, port: u16) -> Vec<ListenAddress> {
    let reuse_port = s.read("reuse_port", flag).unwrap_or(false);
    let interfaces = s.read("address", interfaces);
    let tcp = |interface| ListenAddress::Tcp(TcpAddress { interface, reuse_port });
    let mut all = interfaces.map_or(usual, |given| given.into_iter().map(tcp).collect());
    let port = all.iter().find_map(ListenAddress::port).unwrap_or(port);
    let mode = s.read("unix_socket_mode", mode).unwrap_or(0o777);
    let group = s.read("unix_socket_group", text);
    let directories = s.read("unix_socket", one_or_more(directory)).unwrap_or_default();
    if port == 0 && !directories.is_empty() {
        s.note("unix_socket", "is called by its port, which address leaves to the system");
    }
    let unix = |directory: String| {
        let path = PathBuf::from(directory).join(format!(".s.PGSQL.{port}"));
        if path.as_os_str().len() > SOCKET_PATH_MAX {
            let path = path.display();
            s.note(
                "unix_socket",
                format!("{path} is longer than the {SOCKET_PATH_MAX} bytes that a socket's path may have"),
            );
        }
        ListenAddress::Unix(UnixAddress { path, mode, group: group.clone() })
    };
    all.extend(directories.into_iter().map(unix));
    if all.is_empty() && s.has("address") {
        s.note("address", "is empty, and there is no unix_socket: nobody could connect");
    }
    all
}

/// Notes addresses that are taken already, by others or by each other.
fn note_meetings(s: &Section, others: &[Listener], these: &[Listener]) {
    for (index, listener) in these.iter().enumerate() {
        let earlier = others.iter().chain(&these[..index]);
        if earlier.into_iter().any(|earlier| earlier.address.meets(&listener.address)) {
            let key = if listener.address.port().is_some() { "address" } else { "unix_socket" };
            s.note(key, "clients are listened for at this address already");
        }
    }
}

/// Where one listener has an IPv4 address, another's `[::]` with the same port must leave IPv4 to it.
fn part_families(listeners: &mut [Listener]) {
    let is_ipv4 = |address: &SocketAddr| address.is_ipv4() && address.port() != 0;
    let ipv4: Vec<u16> = listeners
        .iter()
        .filter_map(|listener| match &listener.address {
            ListenAddress::Tcp(TcpAddress { interface: Interface::Address(address), .. }) => Some(*address),
            _ => None,
        })
        .filter(is_ipv4)
        .map(|address| address.port())
        .collect();
    for listener in listeners {
        if let ListenAddress::Tcp(tcp) = &mut listener.address
            && let Interface::Address(address) = tcp.interface
            && address.ip() == Ipv6Addr::UNSPECIFIED
            && ipv4.contains(&address.port())
        {
            tcp.interface = Interface::Ipv6(address);
        }
    }
}

fn interfaces(value: &Value) -> Result<Vec<Interface>, String> {
    one_or_more(interface)(value)
}

/// An address with its port, or `*:port`.
fn interface(value: &Value) -> Result<Interface, String> {
    let given = text(value)?;
    match given.strip_prefix("*:").and_then(|port| port.parse().ok()) {
        Some(port) => Ok(Interface::All(port)),
        None => kinds::address(value).map(Interface::Address),
    }
}

/// An absolute path: where weir was started must not matter. Or `@` and a name.
fn directory(value: &Value) -> Result<String, String> {
    let given = text(value)?;
    if !given.starts_with(['/', '@']) {
        let found = kinds::found(value);
        return Err(format!(
            "expected the absolute path of a directory, such as /run/weir, or @ and a name, found {found}"
        ));
    }
    Ok(given)
}

/// Permissions as chmod writes them: octal digits, in text, as TOML's own numbers would be something else.
fn mode(value: &Value) -> Result<u32, String> {
    let given = text(value).ok();
    let digits = given.filter(|text| text.len() <= 4 && text.bytes().all(|digit| digit.is_ascii_digit()));
    let mode = digits.and_then(|text| u32::from_str_radix(&text, 8).ok()).filter(|mode| *mode <= 0o777);
    mode.ok_or_else(|| {
        format!("expected permissions in octal, such as \"0770\", found {}", kinds::found(value))
    })
}
