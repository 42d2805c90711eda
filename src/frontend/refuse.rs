//! The one door out: what a client reads when it is turned away, if anything.

use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::error::Error;
use crate::wire::reply::{self, Report, Severity};

/// How long a client may take to read the error.
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long, and up to how many bytes, what a client still sends is read and dropped.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);
const DRAIN_MAX: usize = 64 * 1024;

/// Sends `error` as a FATAL ErrorResponse and closes the connection, so that the client reads it.
///
/// Closing a socket with unread bytes in it makes the kernel send a reset, upon which the client's kernel drops
/// what the client has not read yet: the error. So what the client still sends is read first, within limits.
/// Takes 1.5 seconds at most. A client that is already lost is just closed, and whoever does not speak the protocol is
/// closed without a word.
pub async fn refuse<S>(mut stream: S, error: &Error)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if matches!(error, Error::Lost(_)) {
        return;
    }
    let mut out = BytesMut::new();
    if !error.is_silent() {
        let message = error.to_string();
        let report = Report {
            detail: error.detail(),
            hint: error.hint(),
            ..Report::new(Severity::Fatal, error.sqlstate(), &message)
        };
        reply::error(&mut out, &report);
    }
    let farewell = async {
        stream.write_all(&out).await?;
        stream.shutdown().await
    };
    if let Ok(Ok(())) = timeout(WRITE_TIMEOUT, farewell).await {
        // Only the time limit and the end of the stream matter, and both mean: close now.
        let _ = timeout(DRAIN_TIMEOUT, drain(stream)).await;
    }
}

async fn drain<S: AsyncRead + Unpin>(mut stream: S) {
    let mut dropped = 0;
    // On the heap: an array would be part of the future of every connection, refused or not.
    let mut buffer = vec![0; 4096];
    while dropped < DRAIN_MAX {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(count) => dropped += count,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::Instant;

    use super::*;
    use crate::net::holding::Holding;

    #[tokio::test]
    async fn the_error_is_fatal_and_the_stream_ends() {
        let (ours, mut theirs) = duplex(1024);
        tokio::spawn(async move { refuse(ours, &Error::TooManyClients).await });
        let mut said = Vec::new();
        theirs.read_to_end(&mut said).await.unwrap();
        assert_eq!(said[0], b'E');
        assert_eq!(&said[5..], b"SFATAL\0VFATAL\0C53300\0Msorry, too many clients already\0\0");
    }

    #[tokio::test]
    async fn what_the_stream_has_taken_is_told() {
        let (ours, mut theirs) = Holding::pair().unwrap();
        tokio::spawn(async move { refuse(ours, &Error::Shutdown).await });
        let mut said = Vec::new();
        timeout(Duration::from_secs(5), theirs.read_to_end(&mut said)).await.unwrap().unwrap();
        assert!(said.ends_with(b"\0\0"), "{said:?}");
    }

    #[tokio::test]
    async fn a_client_that_still_talks_reads_the_error_and_no_reset() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (ours, _) = listener.accept().await.unwrap();
        tokio::spawn(async move { refuse(ours, &Error::Shutdown).await });
        for _ in 0..4 {
            client.write_all(&[b'x'; 4096]).await.expect("the door must not slam");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let mut said = Vec::new();
        client.read_to_end(&mut said).await.unwrap();
        assert!(said.windows(5).any(|w| w == b"57P01"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_never_closes_or_never_reads_is_not_waited_for() {
        let start = Instant::now();
        let (ours, _theirs) = duplex(1024);
        refuse(ours, &Error::Shutdown).await;
        assert!(start.elapsed() <= DRAIN_TIMEOUT + Duration::from_millis(10));

        let (ours, _theirs) = duplex(8);
        refuse(ours, &Error::Shutdown).await;
        assert!(start.elapsed() <= WRITE_TIMEOUT + DRAIN_TIMEOUT + Duration::from_millis(20));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_said_to_a_lost_client_and_to_one_that_does_not_speak_the_protocol() {
        for error in [Error::Lost(std::io::ErrorKind::UnexpectedEof.into()), Error::FirstPacket("no length")]
        {
            let (ours, mut theirs) = duplex(1024);
            refuse(ours, &error).await;
            let mut said = Vec::new();
            theirs.read_to_end(&mut said).await.unwrap();
            assert!(said.is_empty());
        }
    }
}
