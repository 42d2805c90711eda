//! Watching a running weir, for `weir top`: the other end of `/events`. Answers nobody.

use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes, to_bytes};
use axum::http::{Request, StatusCode, header};
use futures_util::StreamExt as _;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::ask::{AskError, address};
use super::snapshot::Snapshot;

/// The longest event that is read.
const EVENT_MAX: usize = 4 << 20;

/// How long a weir that tells something each second may say nothing.
const SILENCE: Duration = Duration::from_secs(10);

/// What goes wrong with one who is there, before it is known where that is.
type Wrong = Box<dyn std::error::Error + Send + Sync>;

/// Watches the weir whose `[metrics]` are served at `url`, and passes on what it tells, for as long as it does. Dropping the
/// future ends it.
///
/// # Errors
/// When it tells nothing, or no more.
pub async fn watch(url: &str, mut tell: impl FnMut(Snapshot)) -> Result<(), AskError> {
    let address = address(url).ok_or(AskError::Address)?;
    let stranger = |source: Wrong| AskError::Stranger { address: address.to_owned(), source };
    let unreachable = |source| AskError::Unreachable { address: address.to_owned(), source };
    let stream = timeout(SILENCE, TcpStream::connect(address)).await;
    let stream = stream.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())).map_err(unreachable)?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| stranger(error.into()))?;
    let watching = async {
        let request = Request::get("/events").header(header::HOST, address).body(Body::empty())?;
        let answer = timeout(SILENCE, sender.send_request(request)).await??;
        let (head, body) = answer.into_parts();
        if head.status != StatusCode::OK {
            let words = timeout(SILENCE, to_bytes(Body::new(body), EVENT_MAX)).await??;
            return Ok(Some((head.status, String::from_utf8_lossy(&words).trim().to_owned())));
        }
        read(Body::new(body).into_data_stream(), &mut tell).await.map(|()| None)
    };
    // The connection is driven for as long as something may come.
    let ended = tokio::select! {
        ended = watching => ended,
        Err(error) = connection => Err(error.into()),
    };
    match ended.map_err(stranger)? {
        Some((status, words)) => Err(AskError::Refused { address: address.to_owned(), status, words }),
        None => Ok(()),
    }
}

/// Reads events to the end of them.
async fn read(mut body: BodyDataStream, tell: &mut impl FnMut(Snapshot)) -> Result<(), Wrong> {
    let mut text = Vec::new();
    while let Some(more) = timeout(SILENCE, body.next()).await? {
        let more: Bytes = more?;
        text.extend_from_slice(&more);
        while let Some(end) = text.windows(2).position(|two| two == b"\n\n") {
            let event: Vec<u8> = text.drain(..end + 2).collect();
            for line in event.split(|byte| *byte == b'\n') {
                if let Some(json) = line.strip_prefix(b"data: ") {
                    tell(serde_json::from_slice(json)?);
                }
            }
        }
        if text.len() > EVENT_MAX {
            return Err("an event has no end".into());
        }
    }
    Ok(())
}
