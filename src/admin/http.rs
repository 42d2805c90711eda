//! `/metrics`, `/healthz`, `/readyz`, `/status` and `/explain` over plain HTTP.
//!
//! Bounded, so that whoever reaches the port cannot harm the proxy beside it: few connections at once, one request
//! each, a deadline for the whole exchange, hyper's limits on what a request's head may hold, and no request body is
//! read but the statements that `/explain` is asked about, which are few and looked at one question at a time. A request that is there as a whole is answered at once, so that a connection which is still open when others
//! want its place is one that says nothing, does not read, or waits for its turn: the oldest of these makes room.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody as _, to_bytes};
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};

use super::question::Question;
use crate::telemetry::metrics::Metrics;

/// Connections served at once.
const CONNECTIONS: usize = 32;

/// From accept to close.
const DEADLINE: Duration = Duration::from_secs(10);

/// After a failed accept, which is most often a lack of file descriptors: the listener must not spin on it.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The most that can be asked about at once, in bytes.
const QUESTION_MAX: usize = 64 << 10;

/// The type of a body of statements. It must be said: the pages that a browser shows can have it send other types to any address
/// that it reaches, and not this one.
pub(super) const SQL: &str = "application/sql";

/// What the endpoints tell about the proxy. All are asked on a thread that carries data, and must not block.
pub trait Condition: Send + Sync + 'static {
    /// Whether weir can serve everything: there is a primary that can be written to.
    ///
    /// # Errors
    /// The reason why not, in words that anyone may read.
    fn ready_to_write(&self) -> Result<(), String>;

    /// Whether weir can serve reads, from whichever server.
    ///
    /// # Errors
    /// The reason why not, in words that anyone may read.
    fn ready_to_read(&self) -> Result<(), String>;

    /// Servers, pools and clients in lines for people. No secret.
    fn status(&self) -> String;

    /// Where statements would go now, and why. Asks no server, and changes nothing. May take a while: it is asked on a thread of
    /// its own.
    fn explain(&self, question: &Question) -> String;
}

#[derive(Clone)]
struct Sources {
    metrics: Arc<Metrics>,
    condition: Arc<dyn Condition>,
    /// Of those who ask for an explanation, one gets it at a time.
    turn: Arc<Semaphore>,
}

/// Serves until it is dropped. Cancel safe: dropping it closes its connections.
pub async fn serve(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    condition: Arc<dyn Condition>,
) -> Infallible {
    let router = Router::new()
        .route("/metrics", get(figures))
        .route("/healthz", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .route("/status", get(status))
        .route("/explain", post(explain))
        .with_state(Sources { metrics, condition, turn: Arc::new(Semaphore::new(1)) });
    let mut connections = JoinSet::new();
    let mut by_age = VecDeque::with_capacity(CONNECTIONS);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    make_room(&mut by_age);
                    by_age.push_back(connections.spawn(answer(stream, router.clone())));
                }
                Err(error) => {
                    tracing::warn!(%error, "metrics endpoint cannot accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Has the oldest connections give way to one more.
fn make_room(by_age: &mut VecDeque<AbortHandle>) {
    by_age.retain(|connection| !connection.is_finished());
    while by_age.len() >= CONNECTIONS {
        by_age.pop_front().iter().for_each(AbortHandle::abort);
    }
}

/// One connection, one request. What goes wrong here is the asker's own affair.
async fn answer(stream: TcpStream, router: Router) {
    let mut http = Builder::new(TokioExecutor::new()).http1_only();
    http.http1().keep_alive(false);
    let exchange = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    match tokio::time::timeout(DEADLINE, exchange).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "metrics endpoint: a connection failed"),
        Err(_) => tracing::debug!("metrics endpoint: closed a connection that took longer than {DEADLINE:?}"),
    }
}

async fn figures(State(sources): State<Sources>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, sources.metrics.content_type())], sources.metrics.render())
}

async fn ready(State(sources): State<Sources>, RawQuery(query): RawQuery) -> impl IntoResponse {
    let readiness = match query.as_deref() {
        None | Some("" | "mode=write") => sources.condition.ready_to_write(),
        Some("mode=read") => sources.condition.ready_to_read(),
        Some(_) => return (StatusCode::BAD_REQUEST, "ask for mode=read or mode=write\n".to_owned()),
    };
    match readiness {
        Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

async fn status(State(sources): State<Sources>) -> String {
    sources.condition.status()
}

async fn explain(
    State(sources): State<Sources>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<String, (StatusCode, String)> {
    if headers.get(header::CONTENT_TYPE).is_none_or(|kind| kind != SQL) {
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("ask with content-type: {SQL}\n")));
    }
    let too_long = || (StatusCode::PAYLOAD_TOO_LARGE, format!("ask about {QUESTION_MAX} bytes at most\n"));
    // Where the head says so already, nothing of it is waited for.
    if body.size_hint().lower() > QUESTION_MAX as u64 {
        return Err(too_long());
    }
    let sql = to_bytes(body, QUESTION_MAX).await.map_err(|_| too_long())?;
    let question = Question::read(query.as_deref().unwrap_or_default(), sql.into())
        .map_err(|problem| (StatusCode::BAD_REQUEST, problem + "\n"))?;
    let gone = |_| (StatusCode::SERVICE_UNAVAILABLE, "weir ends\n".to_owned());
    let turn = sources.turn.acquire_owned().await.map_err(|_| gone(()))?;
    // It keeps its turn to its end, also when nobody waits for it any more.
    let looked_at = tokio::task::spawn_blocking(move || {
        let explained = sources.condition.explain(&question);
        drop(turn);
        explained
    });
    looked_at.await.map_err(|_| gone(()))
}
