use std::task::Waker;
use std::time::Duration;

use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::super::test_certificates::{Authority, configs, pair, pair_over};
use super::*;
use crate::net::Stream;
use crate::net::buffer::poll_fill;
use crate::net::holding::Holding;

const PATIENCE: Duration = Duration::from_secs(20);

/// What the peer reads up to the end, while `writes` goes on.
async fn told(mut peer: Stream, writes: impl Future<Output = ()>) -> Vec<u8> {
    let read = async {
        let mut told = Vec::new();
        peer.read_to_end(&mut told).await.unwrap();
        told
    };
    timeout(PATIENCE, async { tokio::join!(writes, read).1 }).await.unwrap()
}

fn text(len: usize) -> Vec<u8> {
    (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect()
}

#[tokio::test]
async fn everything_arrives_in_both_versions_whatever_the_socket_does() {
    for version in [&TLS12, &TLS13] {
        for holding in [false, true] {
            let sockets = if holding {
                let (server, client) = Holding::sockets().unwrap();
                (server, Socket::Unix(client))
            } else {
                let (server, client) = UnixStream::pair().unwrap();
                (Socket::Unix(server), Socket::Unix(client))
            };
            let (mut server, mut client) = pair_over(sockets, version).await;
            let sent = text(if holding { 40_000 } else { 3_000_000 });
            let question = async {
                client.write_all(&sent).await.unwrap();
                client.flush().await.unwrap();
            };
            let mut heard = vec![0; sent.len()];
            let read = timeout(PATIENCE, async { tokio::join!(question, server.read_exact(&mut heard)).1 });
            read.await.unwrap().unwrap();
            assert_eq!(heard, sent);
            let answer = async {
                server.write_all(&sent).await.unwrap();
                server.shutdown().await.unwrap();
            };
            assert!(told(client, answer).await == sent);
        }
    }
}

#[tokio::test]
async fn what_is_decrypted_and_not_read_makes_a_stream_readable() {
    let (mut server, mut client) = pair().await;
    client.write_all(&text(30)).await.unwrap();
    client.flush().await.unwrap();
    let mut taken = Vec::new();
    while taken.len() < 30 {
        // As when an idle client's buffer is given up: the socket has been emptied.
        let mut piece = [0; 7];
        timeout(PATIENCE, poll_fn(|cx| server.poll_readable(cx))).await.unwrap().unwrap();
        let n = timeout(PATIENCE, server.read(&mut piece)).await.unwrap().unwrap();
        taken.extend_from_slice(&piece[..n]);
    }
    assert_eq!(taken, text(30));
    let mut cx = Context::from_waker(Waker::noop());
    let mut buffer = BytesMut::new();
    assert!(poll_fill(&mut server, &mut cx, &mut buffer, 1 << 16).is_pending());
    assert_eq!(buffer.capacity(), 0);
}

#[tokio::test]
async fn a_bare_buffer_gets_as_much_room_as_has_come() {
    let (mut server, mut client) = pair().await;
    let sent = text(20_000);
    client.write_all(&sent[..60]).await.unwrap();
    client.flush().await.unwrap();
    let mut buffer = BytesMut::new();
    let fill = poll_fn(|cx| poll_fill(&mut server, cx, &mut buffer, 1 << 16));
    assert_eq!(timeout(PATIENCE, fill).await.unwrap().unwrap(), 60);
    let room = buffer.capacity();
    assert!(room < 100, "{room}");
    // Nothing more has come: no room is made in vain.
    let mut cx = Context::from_waker(Waker::noop());
    assert!(poll_fill(&mut server, &mut cx, &mut buffer, 1 << 16).is_pending());
    assert_eq!(buffer.capacity(), room);
    client.write_all(&sent[60..]).await.unwrap();
    client.flush().await.unwrap();
    while buffer.len() < sent.len() {
        let fill = poll_fn(|cx| poll_fill(&mut server, cx, &mut buffer, 1 << 16));
        assert_ne!(timeout(PATIENCE, fill).await.unwrap().unwrap(), 0);
    }
    assert!(buffer == sent);
}

#[tokio::test]
async fn what_is_read_ahead_is_not_forgotten() {
    let (mut server, mut client) = pair().await;
    // Two of rustls's pieces make the next read a large one, which takes the second message along.
    let sent = text(100_000);
    client.write_all(&sent).await.unwrap();
    client.flush().await.unwrap();
    let mut taken = Vec::new();
    while taken.len() < sent.len() {
        let mut buffer = BytesMut::new();
        let fill = poll_fn(|cx| poll_fill(&mut server, cx, &mut buffer, 1 << 16));
        assert_ne!(timeout(PATIENCE, fill).await.unwrap().unwrap(), 0);
        taken.extend_from_slice(&buffer);
    }
    assert!(taken == sent);
    let Stream::Tls(secured) = &server else { panic!("not encrypted") };
    assert!(secured.ahead.is_empty());
}

#[tokio::test]
async fn a_peer_that_does_not_read_holds_little_of_our_memory() {
    let (mut server, mut client) = pair().await;
    let sent = text(1 << 20);
    let mut written = 0;
    let mut cx = Context::from_waker(Waker::noop());
    while let Poll::Ready(n) = Pin::new(&mut server).poll_write(&mut cx, &sent[written..]) {
        written += n.unwrap();
    }
    assert!(written < sent.len(), "the socket takes a megabyte");
    assert!(Pin::new(&mut server).poll_flush(&mut cx).is_pending());
    assert!(!server.is_flushed());
    // What the two kernels and the stream hold, at most: nothing grows by trying again.
    for _ in 0..100 {
        assert!(Pin::new(&mut server).poll_write(&mut cx, &sent[written..]).is_pending());
    }
    let mut heard = vec![0; written];
    let flush = async { tokio::join!(server.flush(), client.read_exact(&mut heard)) };
    let (flushed, read) = timeout(PATIENCE, flush).await.unwrap();
    flushed.and(read.map(drop)).unwrap();
    assert!(heard == sent[..written]);
    assert!(server.is_flushed());
}

#[tokio::test]
async fn several_pieces_leave_at_once() {
    let (mut server, mut client) = pair().await;
    let mut cx = Context::from_waker(Waker::noop());
    let slices = [IoSlice::new(b"made up, "), IoSlice::new(b"passed on")];
    let n = Pin::new(&mut server).poll_write_vectored(&mut cx, &slices);
    assert!(matches!(n, Poll::Ready(Ok(18))));
    assert!(!server.is_flushed());
    assert!(Pin::new(&mut client).poll_read(&mut cx, &mut ReadBuf::new(&mut [0; 9])).is_pending());
    assert!(matches!(Pin::new(&mut server).poll_flush(&mut cx), Poll::Ready(Ok(()))));
    assert!(server.is_flushed());
    let mut heard = [0; 18];
    timeout(PATIENCE, client.read_exact(&mut heard)).await.unwrap().unwrap();
    assert_eq!(&heard, b"made up, passed on");
}

#[tokio::test]
async fn the_end_is_an_end_with_or_without_a_farewell() {
    for farewell in [true, false] {
        let (mut server, mut client) = pair().await;
        // It has read its session tickets: a socket that is closed with unread bytes in it resets the stream.
        server.write_all(b"Z").await.unwrap();
        server.flush().await.unwrap();
        client.read_exact(&mut [0]).await.unwrap();
        client.write_all(b"X").await.unwrap();
        if farewell {
            client.shutdown().await.unwrap();
        } else {
            client.flush().await.unwrap();
            drop(client);
        }
        let mut heard = Vec::new();
        timeout(PATIENCE, server.read_to_end(&mut heard)).await.unwrap().unwrap();
        assert_eq!(heard, b"X");
        timeout(PATIENCE, poll_fn(|cx| server.poll_readable(cx))).await.unwrap().unwrap();
        assert_eq!(timeout(PATIENCE, server.read(&mut [0])).await.unwrap().unwrap(), 0);
    }
}

#[tokio::test]
async fn who_has_said_farewell_may_still_be_told_something() {
    let (mut server, mut client) = pair().await;
    client.shutdown().await.unwrap();
    assert_eq!(timeout(PATIENCE, server.read(&mut [0])).await.unwrap().unwrap(), 0);
    let last = async {
        server.write_all(b"last words").await.unwrap();
        server.shutdown().await.unwrap();
    };
    assert_eq!(told(client, last).await, b"last words");
}

#[tokio::test]
async fn bytes_that_are_not_encrypted_end_the_stream() {
    let (server, mut raw) = UnixStream::pair().unwrap();
    let (config, _) = configs(&Authority::new(), &TLS13);
    raw.write_all(b"\0\0\0\x08\x04\xd2\x16\x2f").await.unwrap();
    let error = timeout(PATIENCE, accept(Socket::Unix(server), config)).await.unwrap().unwrap_err();
    assert!(error.get_ref().is_some_and(|error| error.is::<rustls::Error>()), "{error}");
    let mut alert = Vec::new();
    raw.read_to_end(&mut alert).await.unwrap();
    assert_eq!(alert.first(), Some(&0x15), "no alert: {alert:?}");
}

#[tokio::test]
async fn what_was_settled_is_told_as_postgresql_tells_it() {
    for (version, name, ciphers) in [(&TLS12, "TLSv1.2", "ECDHE-"), (&TLS13, "TLSv1.3", "TLS_")] {
        let (server, client) = UnixStream::pair().unwrap();
        let (server, client) = pair_over((Socket::Unix(server), Socket::Unix(client)), version).await;
        for stream in [server, client] {
            let Stream::Tls(secured) = stream else { panic!("not encrypted") };
            let settled = secured.settled();
            assert_eq!(settled.version, name);
            assert!(settled.cipher.starts_with(ciphers), "{}", settled.cipher);
        }
    }
}
