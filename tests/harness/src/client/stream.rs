//! A TCP or Unix socket, or TLS over the former.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::tls::{Secured, secured};
use super::{Address, TlsAddress};

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);

/// A connected socket.
#[derive(Debug)]
pub enum Stream {
    /// TCP, with Nagle's algorithm off.
    Tcp(TcpStream),
    /// Unix.
    Unix(UnixStream),
    /// TLS over TCP.
    Tls(Box<Secured>),
}

impl Stream {
    pub(super) fn open(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(host, port) => connected(host, *port).map(Self::Tcp),
            Address::Tls(tls) => Self::encrypted(tls),
            Address::Unix(path) => UnixStream::connect(path).map(Self::Unix),
        }
    }

    fn encrypted(address: &TlsAddress) -> io::Result<Self> {
        secured(connected("127.0.0.1", address.port)?, address).map(Self::Tls)
    }

    pub(super) fn set_read_timeout(&self, limit: Duration) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_read_timeout(Some(limit)),
            Self::Unix(stream) => stream.set_read_timeout(Some(limit)),
            Self::Tls(stream) => stream.sock.set_read_timeout(Some(limit)),
        }
    }

    /// Closes one half or both, as a client that dies in the middle does.
    pub fn shutdown(&self, half: Shutdown) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(half),
            Self::Unix(stream) => stream.shutdown(half),
            // Without a farewell of TLS's own.
            Self::Tls(stream) => stream.sock.shutdown(half),
        }
    }

    /// A second handle of the same socket, for writing in one thread while another reads. There is none where it is encrypted.
    pub fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(stream) => stream.try_clone().map(Self::Tcp),
            Self::Unix(stream) => stream.try_clone().map(Self::Unix),
            Self::Tls(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

fn connected(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::other("the host name has no address");
    for candidate in std::net::ToSocketAddrs::to_socket_addrs(&(host, port))? {
        match TcpStream::connect_timeout(&candidate, CONNECT) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(_) | Self::Unix(_) => Ok(()),
            Self::Tls(stream) => stream.flush(),
        }
    }
}
