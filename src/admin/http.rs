//! `/metrics`, `/healthz`, `/readyz`, `/status`, `/explain` and the page over plain HTTP.
//!
//! Bounded, so that whoever reaches the port cannot harm the proxy beside it: few connections at once, one request
//! each, a deadline for the whole exchange, hyper's limits on what a request's head may hold, and no request body is
//! read but the statements that `/explain` is asked about, which are few and looked at one question at a time. A request that
//! is there as a whole is answered at once, so that a connection which is still open when others want its place is one that
//! says nothing, does not read, or waits for its turn: the oldest of these makes room. Those that watch are few, and have a
//! deadline for each thing that they take.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody as _, to_bytes};
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};

pub use super::condition::Condition;
use super::connection::{Connection, DEADLINE};
use super::feed::{Feed, WATCHERS};
use super::page::{self, File};
use super::question::Question;
use crate::telemetry::metrics::Metrics;

/// Connections served at once.
const CONNECTIONS: usize = 32;

/// What may be left to be sent to one that does not read, in bytes.
const UNSENT_MAX: usize = 256 << 10;

/// What is said where the page would be.
const NO_PAGE: (StatusCode, &str) =
    (StatusCode::NOT_FOUND, "the page is turned off: page = true in [metrics] turns it on\n");

const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// After a failed accept, which is most often a lack of file descriptors: the listener must not spin on it.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The most that can be asked about at once, in bytes.
const QUESTION_MAX: usize = 64 << 10;

/// The type of a body of statements. It must be said: the pages that a browser shows can have it send other types to any address
/// that it reaches, and not this one.
pub(super) const SQL: &str = "application/sql";

#[derive(Clone)]
struct Sources {
    metrics: Arc<Metrics>,
    condition: Arc<dyn Condition>,
    feed: Arc<Feed>,
    /// Of those who ask for an explanation, one gets it at a time.
    turn: Arc<Semaphore>,
}

/// Serves until it is dropped. Cancel safe: dropping it closes its connections.
pub async fn serve(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    condition: Arc<dyn Condition>,
) -> Infallible {
    let feed = Feed::new(condition.clone());
    let router = Router::new()
        .route("/", get(async |State(sources): State<Sources>| sources.file(page::PAGE)))
        .route("/page.css", get(async |State(sources): State<Sources>| sources.file(page::STYLE)))
        .route("/page.js", get(async |State(sources): State<Sources>| sources.file(page::SCRIPT)))
        .route("/icon.svg", get(async |State(sources): State<Sources>| sources.file(page::ICON)))
        .route("/events", get(events))
        .route("/status.json", get(snapshot))
        .route("/metrics", get(figures))
        .route("/healthz", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .route("/status", get(status))
        .route("/explain", post(explain))
        .with_state(Sources { metrics, condition, feed: feed.clone(), turn: Arc::new(Semaphore::new(1)) });
    let mut connections = JoinSet::new();
    let mut snapshots = std::pin::pin!(feed.serve());
    let mut by_age = VecDeque::with_capacity(CONNECTIONS);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    make_room(&mut by_age);
                    let connection = Connection::new();
                    let answering = connections.spawn(answer(stream, router.clone(), connection.clone()));
                    by_age.push_back((answering, connection));
                }
                Err(error) => {
                    tracing::warn!(%error, "metrics endpoint cannot accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
            never = &mut snapshots => return never,
        }
    }
}

/// Has the oldest connections give way to one more.
fn make_room(by_age: &mut VecDeque<(AbortHandle, Connection)>) {
    by_age.retain(|(answering, _)| !answering.is_finished());
    while by_age.len() >= CONNECTIONS {
        let oldest = by_age.iter().position(|(_, connection)| !connection.watches()).unwrap_or(0);
        by_age.remove(oldest).iter().for_each(|(answering, _)| answering.abort());
    }
}

/// One connection, one request. What goes wrong here is the asker's own affair.
async fn answer(stream: TcpStream, router: Router, connection: Connection) {
    let mut http = Builder::new(TokioExecutor::new()).http1_only();
    http.http1().keep_alive(false).max_buf_size(UNSENT_MAX);
    let router = router.layer(Extension(connection.clone()));
    let exchange = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let ended = tokio::select! {
        ended = exchange => Some(ended),
        () = connection.is_late() => None,
    };
    match ended {
        Some(Ok(())) => {}
        Some(Err(error)) => tracing::debug!(%error, "metrics endpoint: a connection failed"),
        None => tracing::debug!("metrics endpoint: closed a connection that took longer than {DEADLINE:?}"),
    }
}

impl Sources {
    /// A file of the page's, while there is one.
    fn file(&self, file: File) -> Result<File, (StatusCode, &'static str)> {
        if self.condition.shows_page() { Ok(file) } else { Err(NO_PAGE) }
    }
}

async fn events(State(sources): State<Sources>, Extension(connection): Extension<Connection>) -> Response {
    if !sources.condition.shows_page() {
        return NO_PAGE.into_response();
    }
    match sources.feed.watch(connection) {
        Some(events) => {
            // The second header is for nginx, which would hold events back until it has a few kilobytes of them.
            let more = [(header::CONTENT_TYPE, "text/event-stream"), (X_ACCEL_BUFFERING, "no")];
            (page::HEADERS, more, events).into_response()
        }
        None => (StatusCode::SERVICE_UNAVAILABLE, format!("{WATCHERS} watch already\n")).into_response(),
    }
}

async fn snapshot(State(sources): State<Sources>) -> Response {
    match sources.feed.snapshot().await {
        Some(json) => (page::HEADERS, [(header::CONTENT_TYPE, "application/json")], json).into_response(),
        None => NO_PAGE.into_response(),
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
