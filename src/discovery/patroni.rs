//! Asking Patroni's REST API who is there. Every node may answer for all; the one that did last is asked first.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};

use super::found::Look;
use super::members::{Members, members};
use crate::config::{Endpoint, Patroni};
use crate::net::tls::in_one_line;
use crate::net::{Keepalive, ServerTls, Stream, Target, dial};

/// The longest answer that is read.
const ANSWER_MAX: usize = 1 << 20;

/// What is asked by now.
#[derive(Debug)]
pub(crate) struct Api {
    patroni: Patroni,
    /// Which endpoint is asked first.
    first: usize,
    /// Of which cluster the first answer was: another's members are not to be taken for this one's.
    scope: Option<String>,
    leader: Option<String>,
}

impl Api {
    pub(super) fn new(patroni: Patroni) -> Self {
        Self { patroni, first: 0, scope: None, leader: None }
    }

    /// Asks one endpoint after the other until one answers; each may take `patience`. Cancel safe.
    pub(super) async fn look(&mut self, known: &BTreeSet<String>, patience: Duration) -> Look {
        let mut look = Look { next: self.patroni.interval, ..Look::default() };
        let count = self.patroni.endpoints.len();
        for turn in (0..count).map(|turn| (self.first + turn) % count) {
            let Some(endpoint) = self.patroni.endpoints.get(turn) else { break };
            let answer = self.ask(endpoint, patience).await;
            let found = answer.and_then(|text| members(&text, known)).and_then(|found| self.of_ours(found));
            match found {
                Ok(found) => {
                    self.first = turn;
                    return self.told(found, look);
                }
                Err(trouble) => look.troubles.push(format!("{}: {trouble}", endpoint.authority())),
            }
        }
        look
    }

    fn of_ours(&self, found: Members) -> Result<Members, String> {
        match (&self.scope, &found.scope) {
            (Some(ours), Some(other)) if ours != other => {
                Err(format!("it is of the cluster {other:?}, and others are of {ours:?}"))
            }
            _ if found.list.is_empty() => Err("it knows of no member that runs".to_owned()),
            _ => Ok(found),
        }
    }

    fn told(&mut self, found: Members, look: Look) -> Look {
        self.scope = self.scope.take().or(found.scope);
        let another = found.leader.is_some() && found.leader != self.leader && self.leader.is_some();
        self.leader = found.leader.or(self.leader.take());
        Look {
            found: found.list,
            is_paused: found.is_paused,
            leader: self.leader.clone().filter(|_| another),
            source: self.patroni.endpoints.get(self.first).map(Endpoint::authority),
            ..look
        }
    }

    async fn ask(&self, endpoint: &Endpoint, patience: Duration) -> Result<Vec<u8>, String> {
        let deadline = Instant::now() + patience;
        let answer = timeout_at(deadline, async {
            match &endpoint.tls {
                None => {
                    let socket = dial(&endpoint.host, endpoint.port, &keepalive(patience), deadline).await;
                    self.exchange(endpoint, Stream::Plain(socket.map_err(|error| error.to_string())?)).await
                }
                Some(tls) => {
                    let stream = encrypted(endpoint, tls, patience, deadline).await?;
                    self.exchange(endpoint, stream).await
                }
            }
        });
        answer.await.unwrap_or_else(|_| Err("no answer in time".to_owned()))
    }

    async fn exchange(
        &self,
        endpoint: &Endpoint,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Result<Vec<u8>, String> {
        let words = |error: &(dyn std::error::Error + 'static)| in_one_line(error);
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| words(&error))?;
        let mut request = Request::get("/cluster").header(header::HOST, endpoint.authority());
        if let Some((user, password)) = &self.patroni.login {
            let both = BASE64_STANDARD.encode(format!("{user}:{}", password.expose()));
            request = request.header(header::AUTHORIZATION, format!("Basic {both}"));
        }
        let request = request.body(Body::empty()).map_err(|error| words(&error))?;
        let answered = async {
            let (head, body) =
                sender.send_request(request).await.map_err(|error| words(&error))?.into_parts();
            if head.status != StatusCode::OK {
                return Err(format!("it answers {}", head.status));
            }
            let text = to_bytes(Body::new(body), ANSWER_MAX).await.map_err(|error| words(&error))?;
            Ok(text.to_vec())
        };
        // The connection is driven for as long as the answer is under way.
        tokio::select! {
            answer = answered => answer,
            Err(error) = connection => Err(words(&error)),
        }
    }
}

async fn encrypted(
    endpoint: &Endpoint,
    tls: &Arc<ServerTls>,
    patience: Duration,
    deadline: Instant,
) -> Result<Stream, String> {
    let target = Target { host: &endpoint.host, address: None, port: endpoint.port, tls };
    let stream = target.connect_directly(&keepalive(patience), deadline).await;
    stream.map_err(|error| in_one_line(&error))
}

fn keepalive(patience: Duration) -> Keepalive {
    Keepalive::of(patience, patience)
}
