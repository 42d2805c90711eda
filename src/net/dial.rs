//! Connecting to a server.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::{Instant, timeout_at};

use super::{Keepalive, Socket};

/// Connects to `host:port`, or to the Unix socket of `port` in the directory `host` when it begins with `/`.
///
/// Every address that the name resolves to is tried in turn; the last one's error is returned. Not later than
/// `deadline`. Over TCP the server must keep saying that it is there, as `keepalive` demands. Dropping the future gives up.
pub async fn dial(host: &str, port: u16, keepalive: &Keepalive, deadline: Instant) -> io::Result<Socket> {
    if host.starts_with('/') {
        let socket = Path::new(host).join(format!(".s.PGSQL.{port}"));
        return within(deadline, UnixStream::connect(socket)).await.map(Socket::Unix);
    }
    let addresses: Vec<SocketAddr> = within(deadline, lookup_host((host, port))).await?.collect();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let mut left = addresses.len();
    for address in addresses {
        match within(share(deadline, left), TcpStream::connect(address)).await {
            Ok(stream) => {
                keepalive.keep(&stream)?;
                return Socket::to_server(stream);
            }
            Err(error) => last = error,
        }
        left -= 1;
    }
    Err(last)
}

/// The deadline of the next attempt when `left` are to be made: an address that swallows packets must not use
/// up the time of those behind it.
fn share(deadline: Instant, left: usize) -> Instant {
    let now = Instant::now();
    let left = u32::try_from(left).unwrap_or(u32::MAX).max(1);
    now + deadline.saturating_duration_since(now) / left
}

async fn within<T>(deadline: Instant, attempt: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout_at(deadline, attempt)
        .await
        .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "connecting took too long")))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use socket2::SockRef;
    use tokio::net::{TcpListener, UnixListener};

    use super::*;

    fn alive() -> Keepalive {
        Keepalive::of(Duration::from_secs(1), Duration::from_secs(2))
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    #[tokio::test]
    async fn tries_every_address_of_a_name() {
        // "localhost" may resolve to ::1 first, where nobody listens.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let stream = dial("localhost", port, &alive(), soon()).await.unwrap();
        let Socket::Tcp(stream) = stream else { panic!("not TCP") };
        assert!(stream.nodelay().unwrap());
        assert!(SockRef::from(&stream).keepalive().unwrap());
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let keepalive = Keepalive::of(Duration::from_secs(7), Duration::from_secs(6));
        let stream = dial("127.0.0.1", port, &keepalive, soon()).await.unwrap();
        {
            let Socket::Tcp(socket) = &stream else { panic!("not TCP") };
            let options = SockRef::from(socket);
            let asked = (options.tcp_keepalive_time().unwrap(), options.tcp_keepalive_interval().unwrap());
            assert_eq!(asked, (Duration::from_secs(7), Duration::from_secs(3)));
            assert_eq!(options.tcp_keepalive_retries().unwrap(), 2);
            assert_eq!(options.tcp_user_timeout().unwrap(), Some(Duration::from_secs(13)));
        }
        let limit = stream.wait_for_room().unwrap();
        assert_eq!(limit, Some(Duration::from_secs(13)));
        let held = |stream: &Socket| match stream {
            Socket::Tcp(socket) => SockRef::from(socket).tcp_user_timeout().unwrap(),
            _ => panic!("not TCP"),
        };
        assert_eq!(held(&stream), None);
        stream.give_up_after(limit).unwrap();
        assert_eq!(held(&stream), limit);
    }

    #[tokio::test(start_paused = true)]
    async fn every_address_gets_its_share_of_the_time() {
        let deadline = Instant::now() + Duration::from_secs(9);
        assert_eq!(share(deadline, 3) - Instant::now(), Duration::from_secs(3));
        assert_eq!(share(deadline, 1), deadline);
        assert_eq!(share(Instant::now() - Duration::from_secs(1), 2), Instant::now());
    }

    #[tokio::test]
    async fn a_directory_means_a_unix_socket() {
        let directory = std::env::temp_dir().join(format!("weir-dial-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let _listener = UnixListener::bind(directory.join(".s.PGSQL.6000")).unwrap();
        let stream = dial(directory.to_str().unwrap(), 6000, &alive(), soon()).await;
        std::fs::remove_dir_all(&directory).unwrap();
        assert!(matches!(stream, Ok(Socket::Unix(_))));
    }

    #[tokio::test]
    async fn refused_is_said_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let error = dial("127.0.0.1", port, &alive(), soon()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test]
    async fn the_deadline_holds() {
        // A full backlog: the kernel drops further SYNs, so connecting hangs as with a server behind a firewall.
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        socket.listen(0).unwrap();
        let port = socket.local_addr().unwrap().as_socket().unwrap().port();
        let mut held = Vec::new();
        let error = loop {
            match dial("127.0.0.1", port, &alive(), Instant::now() + Duration::from_millis(200)).await {
                Ok(stream) => held.push(stream),
                Err(error) => break error,
            }
            assert!(held.len() < 16, "the backlog never filled");
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
