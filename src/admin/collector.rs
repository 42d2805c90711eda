//! A collector of spans (OTLP over HTTP): takes the bytes that it is given, or does not. It is asked once; whoever asks decides
//! what becomes of what it has not taken.

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Why a collector has not taken what it was given.
#[derive(Debug, thiserror::Error)]
pub enum CollectorError {
    /// Nobody is there.
    #[error("it cannot be reached")]
    Unreachable(#[from] std::io::Error),
    /// It does not answer as an HTTP server does.
    #[error("it does not speak HTTP")]
    Stranger(#[from] hyper::Error),
    /// What was to be asked is no request.
    #[error("its address is none")]
    Address(#[from] axum::http::Error),
    /// It says no.
    #[error("it answers {0}")]
    Refused(StatusCode),
}

/// Gives these bytes to the collector that is at `authority`, under `path`. Dropping the future gives up.
///
/// # Errors
/// When it has not taken them.
pub async fn give(authority: &str, path: &str, bytes: Vec<u8>) -> Result<(), CollectorError> {
    let request = Request::post(path)
        .header(header::HOST, authority)
        .header(header::CONTENT_TYPE, "application/x-protobuf")
        .body(Body::from(bytes))?;
    let stream = TcpStream::connect(authority).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // The connection is driven for as long as the answer is under way.
    let answer = tokio::select! {
        answer = sender.send_request(request) => answer?,
        Err(error) = connection => return Err(error.into()),
    };
    if answer.status().is_success() { Ok(()) } else { Err(CollectorError::Refused(answer.status())) }
}
