//! Accepting clients.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::time::sleep;

use super::{Peer, PeerAddress, Stream};

/// A connect storm waits in the kernel rather than being turned away (the kernel's own limit, somaxconn, is
/// 4096 on Linux).
const BACKLOG: i32 = 4096;

const PAUSE_FIRST: Duration = Duration::from_millis(10);
const PAUSE_LONGEST: Duration = Duration::from_secs(1);

/// Descriptors that are held in reserve, so that clients can be told when there are no others.
const RESERVE: usize = 8;

/// A listening TCP socket whose accepting never ends.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    reserve: Mutex<Vec<OwnedFd>>,
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
    /// Listens. `SO_REUSEADDR` lets a restarted weir have its port back while old connections linger.
    ///
    /// Must be called within a runtime.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from_std(socket.into())?;
        Ok(Self { listener, reserve: Mutex::default() })
    }

    /// The address that is listened on; tells the port when 0 was asked for.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
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
            let accepted = self.listener.accept().await;
            match accepted
                .and_then(|(stream, peer)| Ok((Stream::tcp(stream)?, Peer::plain(PeerAddress::Tcp(peer)))))
            {
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
            match self.listener.as_fd().try_clone_to_owned() {
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

    #[tokio::test]
    async fn accepts_with_nodelay() {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let client = tokio::net::TcpStream::connect(address).await.unwrap();
        let Accepted::Client(Stream::Tcp(stream), peer) = listener.accept().await else { panic!("not TCP") };
        assert_eq!(peer.address, PeerAddress::Tcp(client.local_addr().unwrap()));
        assert!(stream.nodelay().unwrap());
    }

    #[tokio::test]
    async fn a_port_in_use_is_an_error() {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let error = Listener::bind(listener.local_addr().unwrap()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
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
