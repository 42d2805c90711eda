//! Accepting clients.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use socket2::{Domain, Protocol, Type};
use tokio::net::{TcpListener, UnixListener};
use tokio::time::sleep;

use super::unix::{self, UnixPlace};
use super::{GivenSocket, Peer, Socket, Stream};

/// A connect storm waits in the kernel rather than being turned away (the kernel's own limit, somaxconn, is
/// 4096 on Linux).
const BACKLOG: i32 = 4096;

const PAUSE_FIRST: Duration = Duration::from_millis(10);
const PAUSE_LONGEST: Duration = Duration::from_secs(1);

/// Descriptors that are held in reserve, so that clients can be told when there are no others.
const RESERVE: usize = 8;

/// A listening socket whose accepting never ends.
#[derive(Debug)]
pub struct Listener {
    socket: Listening,
    reserve: Mutex<Vec<OwnedFd>>,
    /// Of a Unix socket; they go when it closes.
    files: Mutex<Option<unix::Files>>,
    /// Whether clients are let in when this closes: by another process that listens, or comes to listen, at the same place.
    shared: bool,
}

#[derive(Debug)]
enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Where TCP clients are listened for.
#[derive(Clone, Copy, Debug)]
pub struct TcpPlace {
    /// Addresses and port.
    pub interface: Interface,
    /// Whether other processes of the same user may listen there as well (`SO_REUSEPORT`).
    pub reuse_port: bool,
}

/// Addresses of this machine, with a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    /// One. `::` is all of them, of both families.
    Address(SocketAddr),
    /// The same, but that `::` takes no client of IPv4.
    Ipv6(SocketAddr),
    /// All of them, also where the machine has no IPv6.
    All(u16),
}

impl Interface {
    /// Whether who listens there listens at these addresses. Both families are one socket, or IPv4 is where there is no IPv6.
    pub fn is_at(self, address: SocketAddr) -> bool {
        match self {
            Interface::Address(wanted) | Interface::Ipv6(wanted) => address == wanted,
            Interface::All(port) => address.port() == port && address.ip().is_unspecified(),
        }
    }
}

/// A connection that was accepted.
#[derive(Debug)]
pub enum Accepted {
    /// Whoever wants to be served.
    Client(Stream, Peer),
    /// The same, with a descriptor of the reserve: to be told why it is not served, and closed soon.
    Excess(Stream, Peer),
}

impl Listener {
    /// Listens at a TCP port of this address.
    ///
    /// Must be called within a runtime.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        Self::tcp(TcpPlace { interface: Interface::Address(address), reuse_port: false })
    }

    /// Listens at a TCP port. `SO_REUSEADDR` lets a restarted weir have its port back while old connections linger.
    ///
    /// Must be called within a runtime.
    pub fn tcp(place: TcpPlace) -> io::Result<Self> {
        let (address, only_ipv6) = match place.interface {
            Interface::Address(address) => (address, false),
            Interface::Ipv6(address) => (address, true),
            Interface::All(port) => {
                let to = |interface| TcpPlace { interface: Interface::Address(interface), ..place };
                return match Self::tcp(to((Ipv6Addr::UNSPECIFIED, port).into())) {
                    Err(error) if has_no_ipv6(&error) => Self::tcp(to((Ipv4Addr::UNSPECIFIED, port).into())),
                    other => other,
                };
            }
        };
        let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        if place.reuse_port {
            socket.set_reuse_port(true)?;
        }
        if address.is_ipv6() {
            socket.set_only_v6(only_ipv6)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let socket = Listening::Tcp(TcpListener::from_std(socket.into())?);
        Ok(Self { socket, reserve: Mutex::default(), files: Mutex::default(), shared: place.reuse_port })
    }

    /// Listens at a Unix socket, which is there as long as this is.
    ///
    /// Must be called within a runtime.
    pub fn unix(place: UnixPlace<'_>) -> io::Result<Self> {
        let (listener, files) = unix::listen(place, BACKLOG)?;
        Ok(Self {
            socket: Listening::Unix(listener),
            reserve: Mutex::default(),
            files: Mutex::new(files),
            shared: false,
        })
    }

    /// Goes on listening at a socket that somebody else has bound.
    ///
    /// Must be called within a runtime.
    pub fn given(given: GivenSocket) -> io::Result<Self> {
        let GivenSocket { socket, lock, shared } = given;
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        let (socket, files) = if address.is_unix() {
            let files =
                lock.zip(address.as_pathname()).map(|(lock, path)| unix::Files::taken_over(path, lock));
            (Listening::Unix(UnixListener::from_std(socket.into())?), files)
        } else {
            (Listening::Tcp(TcpListener::from_std(socket.into())?), None)
        };
        Ok(Self { socket, reserve: Mutex::default(), files: Mutex::new(files), shared })
    }

    /// Whether another process lets clients in when this closes.
    pub fn is_shared(&self) -> bool {
        self.shared
    }

    /// Its descriptor, and that of the lock beside a Unix socket, for another process.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn descriptors(&self) -> io::Result<(OwnedFd, Option<OwnedFd>)> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let lock = files.as_ref().map(unix::Files::descriptor).transpose()?;
        Ok((self.socket.as_fd().try_clone_to_owned()?, lock))
    }

    /// Another process listens here from now on: what lies beside the socket is its.
    pub fn is_given_away(&self) {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The lock is closed with the process: it is the other's as well.
        files.into_iter().for_each(std::mem::forget);
    }

    /// The address that is listened on; tells the port when 0 was asked for. A Unix socket has none.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.socket {
            Listening::Tcp(listener) => listener.local_addr(),
            Listening::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// The next client. Cancel safe.
    ///
    /// No error ends this. Without file descriptors those of the reserve are used. Running out of these as well, or of
    /// memory, passes, so it is logged and, after a pause that grows while it lasts, tried again. A connection that broke
    /// before it was accepted costs no pause.
    pub async fn accept(&self) -> Accepted {
        let mut pause = PAUSE_FIRST;
        // What has come free goes to the reserve first, but not what the reserve itself gives up below.
        self.refill();
        loop {
            match self.socket.accept().await {
                Ok((stream, peer)) if self.refill() => return Accepted::Client(stream, peer),
                Ok((stream, peer)) => return Accepted::Excess(stream, peer),
                Err(error) if is_clients_own(&error) => tracing::debug!(%error, "client lost before accept"),
                Err(error) if is_exhaustion(&error) && self.draw() => {}
                Err(error) => {
                    tracing::warn!(%error, ?pause, "cannot accept clients; trying again");
                    sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_LONGEST);
                }
            }
        }
    }

    /// Fills the reserve, as far as descriptors are left. False when there are not enough.
    fn refill(&self) -> bool {
        let mut reserve = self.reserve.lock().unwrap_or_else(PoisonError::into_inner);
        while reserve.len() < RESERVE {
            // Of what it is a descriptor does not matter, and this one needs no file.
            match self.socket.as_fd().try_clone_to_owned() {
                Ok(spare) => reserve.push(spare),
                Err(_) => return false,
            }
        }
        true
    }

    /// Gives a descriptor of the reserve up. False when there is none.
    fn draw(&self) -> bool {
        self.reserve.lock().unwrap_or_else(PoisonError::into_inner).pop().is_some()
    }
}

impl Listening {
    async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Listening::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Stream::Plain(Socket::tcp(stream)?), Peer::of_tcp(peer)))
            }
            Listening::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let peer = Peer::of_unix(&stream)?;
                Ok((Stream::Plain(Socket::Unix(stream)), peer))
            }
        }
    }
}

impl AsFd for Listening {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Listening::Tcp(listener) => listener.as_fd(),
            Listening::Unix(listener) => listener.as_fd(),
        }
    }
}

/// Whether the machine does not know IPv6, or has switched it off.
fn has_no_ipv6(error: &io::Error) -> bool {
    const EAFNOSUPPORT: i32 = 97;
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(EAFNOSUPPORT)
}

/// Without a descriptor for it: the process's limit, or the machine's.
fn is_exhaustion(error: &io::Error) -> bool {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    matches!(error.raw_os_error(), Some(EMFILE | ENFILE))
}

/// Errors of the one connection that was to be accepted (Linux's accept(2) passes them on), not of the listener.
fn is_clients_own(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::NotConnected
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::TimedOut
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{PeerAddress, UnixPeer};

    #[test]
    fn all_addresses_are_one_socket_of_either_family() {
        for (address, all) in
            [("[::]:7", true), ("0.0.0.0:7", true), ("[::]:8", false), ("127.0.0.1:7", false)]
        {
            assert_eq!(Interface::All(7).is_at(address.parse().unwrap()), all, "{address}");
        }
    }

    #[tokio::test]
    async fn accepts_with_nodelay() {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let client = tokio::net::TcpStream::connect(address).await.unwrap();
        let Accepted::Client(Stream::Plain(Socket::Tcp(stream)), peer) = listener.accept().await else {
            panic!("not TCP")
        };
        assert_eq!(peer.address, PeerAddress::Tcp(client.local_addr().unwrap()));
        assert!(stream.nodelay().unwrap());
    }

    #[tokio::test]
    async fn a_port_in_use_is_an_error() {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let error = Listener::bind(listener.local_addr().unwrap()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[tokio::test]
    async fn a_port_that_is_shared_takes_clients_at_both_its_sockets() {
        let shared = |address| TcpPlace { interface: Interface::Address(address), reuse_port: true };
        let one = Listener::tcp(shared("127.0.0.1:0".parse().unwrap())).unwrap();
        let address = one.local_addr().unwrap();
        let other = Listener::tcp(shared(address)).unwrap();
        assert!(Listener::bind(address).is_err(), "who does not share has no part in it");
        let (mut at_one, mut at_other) = (0, 0);
        while at_one == 0 || at_other == 0 {
            let client = tokio::net::TcpStream::connect(address).await.unwrap();
            tokio::select! {
                _ = one.accept() => at_one += 1,
                _ = other.accept() => at_other += 1,
            }
            drop(client);
            assert!(at_one + at_other < 1000, "all come to the same: {at_one} and {at_other}");
        }
    }

    #[tokio::test]
    async fn both_families_come_to_one_socket_or_each_to_its_own() {
        let alone = |interface| TcpPlace { interface, reuse_port: false };
        let both = Listener::tcp(alone(Interface::All(0))).unwrap();
        let port = both.local_addr().unwrap().port();
        let mut clients = Vec::new();
        for host in ["127.0.0.1", "::1"] {
            clients.push(tokio::net::TcpStream::connect((host, port)).await.unwrap());
            let Accepted::Client(_, peer) = both.accept().await else { panic!("no descriptors") };
            assert!(peer.address.to_string().starts_with(&host.replace("::1", "[::1]")), "{peer:?}");
        }
        drop(both);
        let ipv4 = Listener::bind(([0, 0, 0, 0], port).into()).unwrap();
        let everything = (Ipv6Addr::UNSPECIFIED, port).into();
        assert!(Listener::bind(everything).is_err());
        let ipv6 = Listener::tcp(alone(Interface::Ipv6(everything))).unwrap();
        drop((ipv4, ipv6));
    }

    #[tokio::test]
    async fn the_kernel_tells_whose_process_is_at_the_other_end_of_a_unix_socket() {
        let path = format!("@weir-listen-{}", std::process::id());
        let place = UnixPlace { path: std::path::Path::new(&path), mode: 0o777, group: None };
        let listener = Listener::unix(place).unwrap();
        let _client = tokio::net::UnixStream::connect(format!("\0{}", &path[1..])).await.unwrap();
        let Accepted::Client(Stream::Plain(Socket::Unix(_)), peer) = listener.accept().await else {
            panic!("not Unix")
        };
        let (uid, gid) = (nix::unistd::getuid().as_raw(), nix::unistd::getgid().as_raw());
        let pid = i32::try_from(std::process::id()).ok();
        assert_eq!(peer.address, PeerAddress::Unix(UnixPeer { uid, gid, pid }));
    }

    #[test]
    fn running_out_of_descriptors_is_the_listeners_trouble() {
        const EMFILE: i32 = 24;
        const ECONNABORTED: i32 = 103;
        assert!(!is_clients_own(&io::Error::from_raw_os_error(EMFILE)));
        assert!(is_exhaustion(&io::Error::from_raw_os_error(EMFILE)));
        assert!(is_clients_own(&io::Error::from_raw_os_error(ECONNABORTED)));
    }
}
