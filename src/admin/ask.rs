//! Asking a running weir, for `weir explain --on` and `weir health`. Answers nobody.

use std::io;

use axum::body::{Body, to_bytes};
use axum::http::request::Builder;
use axum::http::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::http::SQL;
use super::question::Question;

/// The longest answer that is read: it is some ten times as long as what was asked.
const ANSWER_MAX: usize = 4 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The address is none.
    #[error("expected an address such as http://127.0.0.1:9187, which [metrics] names")]
    Address,
    /// Nobody is there.
    #[error("{address} cannot be reached")]
    Unreachable {
        /// Where.
        address: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The one who is there speaks otherwise.
    #[error("{address} does not answer as a weir does")]
    Stranger {
        /// Where.
        address: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It says no.
    #[error("{address} answers {status}: {words}")]
    Refused {
        /// Where.
        address: String,
        /// Its status.
        status: StatusCode,
        /// Its words.
        words: String,
    },
}

/// Asks the weir whose `[metrics]` are served at `url`. Dropping the future gives up.
///
/// # Errors
/// When there is no answer.
pub async fn ask(url: &str, question: &Question) -> Result<String, AskError> {
    let request = Request::post(question.target()).header(header::CONTENT_TYPE, SQL);
    answer(url, request, Body::from(question.sql.clone())).await
}

/// What can be asked of its health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Whether it runs.
    Alive,
    /// Whether it can serve everything.
    ReadyToWrite,
    /// Whether it can serve reads.
    ReadyToRead,
}

/// Asks the weir whose `[metrics]` are served at `url` how it is. Dropping the future gives up.
///
/// # Errors
/// When it is not well, or there is no answer.
pub async fn probe(url: &str, probe: Probe) -> Result<String, AskError> {
    let target = match probe {
        Probe::Alive => "/healthz",
        Probe::ReadyToWrite => "/readyz",
        Probe::ReadyToRead => "/readyz?mode=read",
    };
    answer(url, Request::get(target), Body::empty()).await
}

async fn answer(url: &str, request: Builder, body: Body) -> Result<String, AskError> {
    let address = address(url).ok_or(AskError::Address)?;
    let stream = TcpStream::connect(address)
        .await
        .map_err(|source| AskError::Unreachable { address: address.to_owned(), source })?;
    let (status, words) = exchange(stream, request.header(header::HOST, address), body)
        .await
        .map_err(|source| AskError::Stranger { address: address.to_owned(), source })?;
    match status {
        StatusCode::OK => Ok(words),
        _ => Err(AskError::Refused { address: address.to_owned(), status, words }),
    }
}

/// Whether a weir can be asked there.
///
/// # Errors
/// When it is no address.
pub fn is_address(url: &str) -> Result<(), AskError> {
    address(url).map(drop).ok_or(AskError::Address)
}

/// Host and port.
pub(super) fn address(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("http://").unwrap_or(url);
    let address = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = address.rsplit_once(':')?;
    let plain = !host.is_empty() && !host.contains(['/', '@', '?']);
    (plain && port.parse::<u16>().is_ok()).then_some(address)
}

async fn exchange(
    stream: TcpStream,
    request: Builder,
    body: Body,
) -> Result<(StatusCode, String), Box<dyn std::error::Error + Send + Sync>> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = request.body(body)?;
    let answered = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let words = to_bytes(Body::new(body), ANSWER_MAX).await?;
        Ok((head.status, String::from_utf8_lossy(&words).into_owned()))
    };
    // The connection is driven for as long as the answer is under way.
    tokio::select! {
        answer = answered => answer,
        Err(error) = connection => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for url in ["http://127.0.0.1:9187", "http://127.0.0.1:9187/", "127.0.0.1:9187"] {
            assert_eq!(address(url), Some("127.0.0.1:9187"), "{url}");
        }
        assert_eq!(address("http://[::1]:9187"), Some("[::1]:9187"));
        for url in
            ["https://weir:9187", "http://weir", "http://weir:9187/metrics", "http://u:p@weir:9187", ":1"]
        {
            assert_eq!(address(url), None, "{url}");
        }
    }
}
