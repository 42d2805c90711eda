//! Listening sockets that somebody else has bound, and whose backlog goes on while this process comes: systemd
//! (`LISTEN_FDS`), or the weir that this one takes over from. It binds nothing and accepts nobody.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use listenfd::ListenFd;
use socket2::{SockAddr, Socket};
use tokio::net::{TcpStream, UnixStream};

use super::{Peer, Stream};

/// A socket that listens.
#[derive(Debug)]
pub struct GivenSocket {
    /// The socket.
    pub(super) socket: Socket,
    /// Of a Unix socket, where its giver had one: the file beside it, with the kernel's lock.
    pub(super) lock: Option<File>,
    /// Whether its giver keeps it, for whoever comes next.
    pub(super) shared: bool,
}

/// All that were given and nobody has taken.
#[derive(Debug, Default)]
pub struct Given(Vec<GivenSocket>);

impl Given {
    /// Those that systemd hands over. To be asked once, and while there is one thread: what says so is taken out of the
    /// environment.
    pub fn by_systemd() -> Self {
        let mut all = ListenFd::from_env();
        let mut given = Vec::new();
        for nth in 0..all.len() {
            let tcp = all.take_tcp_listener(nth).ok().flatten().map(Socket::from);
            let socket = tcp.or_else(|| all.take_unix_listener(nth).ok().flatten().map(Socket::from));
            match socket {
                Some(socket) => given.push(GivenSocket { socket, lock: None, shared: true }),
                None => tracing::warn!(nth, "systemd hands over what is no listening stream socket"),
            }
        }
        Self(given)
    }

    /// Those that the weir before this one hands over.
    pub fn by_predecessor(sockets: Vec<GivenSocket>) -> Self {
        Self(sockets)
    }

    /// The one that listens there, if there is one.
    pub fn take_tcp(&mut self, is_at: impl Fn(SocketAddr) -> bool) -> Option<GivenSocket> {
        self.take(|address| address.as_socket().is_some_and(&is_at))
    }

    /// The same of a Unix socket. A path that begins with `@` is a name in no directory.
    pub fn take_unix(&mut self, path: &Path) -> Option<GivenSocket> {
        self.take(|address| match path.as_os_str().as_bytes().strip_prefix(b"@") {
            Some(name) => address.as_abstract_namespace() == Some(name),
            None => address.as_pathname() == Some(path),
        })
    }

    fn take(&mut self, is_meant: impl Fn(&SockAddr) -> bool) -> Option<GivenSocket> {
        let at =
            self.0.iter().position(|one| one.socket.local_addr().is_ok_and(|address| is_meant(&address)))?;
        Some(self.0.swap_remove(at))
    }

    /// Where the others listen, for people.
    pub fn addresses(&self) -> Vec<String> {
        let address = |one: &GivenSocket| one.socket.local_addr().map(|address| written(&address));
        self.0.iter().filter_map(|one| address(one).ok()).collect()
    }
}

/// A client that somebody else has accepted. Must be called within a runtime.
///
/// # Errors
/// When it has left.
pub fn accepted_elsewhere(descriptor: OwnedFd) -> io::Result<(Stream, Peer)> {
    let socket = Socket::from(descriptor);
    socket.set_nonblocking(true)?;
    if socket.local_addr()?.is_unix() {
        let stream = UnixStream::from_std(socket.into())?;
        let peer = Peer::of_unix(&stream)?;
        return Ok((Stream::Plain(super::Socket::Unix(stream)), peer));
    }
    let stream = TcpStream::from_std(socket.into())?;
    let peer = Peer::of_tcp(stream.peer_addr()?);
    Ok((Stream::Plain(super::Socket::tcp(stream)?), peer))
}

impl GivenSocket {
    /// One that the weir before this one has bound, with the file that it has locked beside it.
    pub fn inherited(socket: OwnedFd, lock: Option<OwnedFd>) -> Self {
        Self { socket: Socket::from(socket), lock: lock.map(File::from), shared: false }
    }

    /// For whoever accepts by himself.
    pub fn into_tcp(self) -> io::Result<std::net::TcpListener> {
        self.socket.set_nonblocking(true)?;
        Ok(self.socket.into())
    }
}

fn written(address: &SockAddr) -> String {
    let path = || address.as_pathname().map(|path| path.display().to_string());
    let name = || address.as_abstract_namespace().map(|name| format!("@{}", String::from_utf8_lossy(name)));
    address.as_socket().map(|address| address.to_string()).or_else(path).or_else(name).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_socket_is_found_by_where_it_listens_and_once() {
        let path = std::env::temp_dir().join(format!("weir-given-{}", std::process::id()));
        let (tcp, unix) = (TcpListener::bind("127.0.0.1:0").unwrap(), UnixListener::bind(&path).unwrap());
        let address = tcp.local_addr().unwrap();
        let given = |socket: Socket| GivenSocket { socket, lock: None, shared: true };
        let mut all = Given(vec![given(tcp.into()), given(unix.into())]);
        assert_eq!(all.addresses(), [address.to_string(), path.display().to_string()]);
        assert!(all.take_tcp(|one| one.port() != address.port()).is_none());
        assert!(all.take_unix(Path::new("@elsewhere")).is_none());
        assert!(all.take_unix(&path).is_some() && all.take_unix(&path).is_none());
        assert!(all.take_tcp(|one| one == address).is_some());
        assert!(all.addresses().is_empty());
        std::fs::remove_file(&path).unwrap();
    }
}
