//! Cancelling what runs on a server.

use std::io::ErrorKind;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use super::login::out_of_reach;
use crate::error::{Error, Result};
use crate::net::{Keepalive, Target, Way};
use crate::wire::startup::{CancelKey, put_cancel_request};

/// Asks a server to cancel what runs under `key`, over a connection that is made `way`: encrypted, and the server verified, if
/// the connection was on which it runs.
///
/// Returns when the server has closed the connection: it has signalled the process by then. Whether anything was
/// cancelled, a server never says. Not later than `deadline`.
pub async fn cancel(
    target: &Target<'_>,
    way: Way,
    key: &CancelKey,
    keepalive: &Keepalive,
    deadline: Instant,
) -> Result<()> {
    let mut stream = target.connect(way, keepalive, deadline).await.map_err(out_of_reach)?.stream;
    let mut request = BytesMut::new();
    put_cancel_request(&mut request, key);
    let exchange = async {
        stream.write_all(&request).await?;
        stream.flush().await?;
        // A server sends nothing; should it, one read's worth is enough to know that it is not PostgreSQL.
        stream.read(&mut [0; 64]).await
    };
    match timeout_at(deadline, exchange).await {
        Ok(Ok(0)) => Ok(()),
        Ok(Ok(_)) => Err(Error::ServerProtocol("an answer to a cancel request")),
        // A reset closes the connection as well.
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionReset => Ok(()),
        Ok(Err(error)) => Err(Error::Unreachable(error)),
        Err(late) => Err(Error::Unreachable(late.into())),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::net::TcpListener;

    use super::*;

    fn alive() -> Keepalive {
        Keepalive::of(Duration::from_secs(1), Duration::from_secs(2))
    }

    fn key() -> CancelKey {
        CancelKey::new(0x0a0b0c0d, vec![1, 2, 3, 4]).unwrap()
    }

    #[tokio::test]
    async fn sends_the_request_and_waits_for_the_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 16];
            stream.read_exact(&mut request).await.unwrap();
            request
        });
        let (tls, deadline) = (Arc::default(), Instant::now() + Duration::from_secs(5));
        let target = Target { host: "127.0.0.1", address: None, port, tls: &tls };
        cancel(&target, Way::Plain, &key(), &alive(), deadline).await.unwrap();
        // The server's task has ended: cancel() waited for its socket to close.
        assert_eq!(&server.await.unwrap(), b"\0\0\0\x10\x04\xd2\x16\x2e\x0a\x0b\x0c\x0d\x01\x02\x03\x04");
    }

    #[tokio::test]
    async fn a_server_that_hangs_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tls, deadline) = (Arc::default(), Instant::now() + Duration::from_millis(50));
        let target = Target { host: "127.0.0.1", address: None, port, tls: &tls };
        let outcome = cancel(&target, Way::Plain, &key(), &alive(), deadline).await;
        assert!(matches!(outcome, Err(Error::Unreachable(_))));
    }
}
