use std::task::Waker;

use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::*;
use crate::net::tls::test_certificates::pair;
use crate::telemetry::metrics::RequestLabels;

const PATIENCE: Duration = Duration::from_secs(20);

fn client(stream: Stream) -> Client {
    let metrics = Metrics::new(RequestLabels { routes: &[], reasons: &[] });
    Client::new(stream, BytesMut::new(), Arc::new(metrics))
}

fn query(text: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    out.extend_from_slice(b"Q");
    let len = u32::try_from(text.len() + 5).unwrap();
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(text);
    out.extend_from_slice(b"\0");
    out
}

async fn fill(client: &mut Client) -> Result<()> {
    timeout(PATIENCE, poll_fn(|cx| client.poll_fill(cx))).await.unwrap()
}

#[tokio::test]
async fn what_comes_in_one_record_is_all_read_and_nothing_of_it_waits_for_the_socket() {
    let (ours, mut theirs) = pair().await;
    let mut client = client(ours);
    let one = query(b"select 1");
    let pipelined: Vec<u8> = one.iter().copied().cycle().take(one.len() * 1000).collect();
    theirs.write_all(&pipelined).await.unwrap();
    theirs.flush().await.unwrap();
    let mut units = 0;
    while units < 1000 {
        match client.next_unit(Flow::Query).unwrap() {
            Unit::Single { len } => {
                client.read_buffer.advance(len);
                units += 1;
                client.trim();
            }
            _ => fill(&mut client).await.unwrap(),
        }
    }
    assert!(client.is_idle());
}

#[tokio::test]
async fn half_a_message_waits_for_its_other_half() {
    let (ours, mut theirs) = pair().await;
    let mut client = client(ours);
    let text = query(&[b'x'; 40_000]);
    let (half, rest) = text.split_at(17_000);
    theirs.write_all(half).await.unwrap();
    theirs.flush().await.unwrap();
    while client.read_buffer.len() < half.len() {
        fill(&mut client).await.unwrap();
    }
    let mut cx = Context::from_waker(Waker::noop());
    assert!(client.poll_fill(&mut cx).is_pending());
    theirs.write_all(rest).await.unwrap();
    theirs.flush().await.unwrap();
    while client.read_buffer.len() < text.len() {
        fill(&mut client).await.unwrap();
    }
    assert_eq!(client.read_buffer, text);
}

#[tokio::test]
async fn who_sends_more_than_is_read_ahead_is_read_no_further_until_some_is_taken() {
    let (ours, mut theirs) = pair().await;
    let mut client = client(ours);
    let sent = vec![b'x'; 3 * READ_BUFFER_MAX];
    let write = tokio::spawn(async move {
        theirs.write_all(&sent).await.unwrap();
        theirs.flush().await.unwrap();
        theirs
    });
    let mut taken = 0;
    while taken < 3 * READ_BUFFER_MAX {
        let filled = timeout(Duration::from_millis(200), poll_fn(|cx| client.poll_fill(cx))).await;
        assert!(client.read_buffer.len() <= 2 * READ_BUFFER_MAX);
        if filled.is_err() || client.read_buffer.len() >= READ_BUFFER_MAX {
            taken += client.read_buffer.len();
            client.read_buffer.clear();
        }
    }
    write.await.unwrap();
}

#[tokio::test]
async fn who_leaves_with_a_farewell_or_without_is_gone() {
    for farewell in [true, false] {
        let (ours, mut theirs) = pair().await;
        let mut client = client(ours);
        client.tell_ready(TxStatus::Idle);
        timeout(PATIENCE, poll_fn(|cx| client.poll_flush(cx, None))).await.unwrap().unwrap();
        // It has read all that it was sent, or its socket's end would be a reset.
        let mut heard = [0; 6];
        tokio::io::AsyncReadExt::read_exact(&mut theirs, &mut heard).await.unwrap();
        if farewell {
            theirs.shutdown().await.unwrap();
        } else {
            drop(theirs);
        }
        let gone = timeout(PATIENCE, poll_fn(|cx| client.poll_gone(cx))).await.unwrap();
        assert!(matches!(gone, Error::Lost(end) if end.kind() == ErrorKind::UnexpectedEof));
    }
}

#[tokio::test]
async fn what_stands_before_a_terminate_is_run_all_the_same() {
    let (ours, mut theirs) = pair().await;
    let mut client = client(ours);
    theirs.write_all(&[&query(b"select 1")[..], TERMINATE].concat()).await.unwrap();
    theirs.shutdown().await.unwrap();
    let whole = query(b"select 1").len() + TERMINATE.len();
    while client.read_buffer.len() < whole {
        fill(&mut client).await.unwrap();
    }
    let mut cx = Context::from_waker(Waker::noop());
    assert!(client.poll_gone(&mut cx).is_pending());
}
