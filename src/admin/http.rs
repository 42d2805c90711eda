//! `/metrics`, `/healthz`, `/readyz` and `/status` over plain HTTP.
//!
//! Bounded, so that whoever reaches the port cannot harm the proxy beside it: few connections at once, one request
//! each, a deadline for the whole exchange, hyper's limits on what a request's head may hold, and no request body is
//! ever read.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::telemetry::metrics::Metrics;

/// Connections served at once. More wait in the socket's backlog.
const CONNECTIONS: usize = 32;

/// From accept to close.
const DEADLINE: Duration = Duration::from_secs(10);

/// After a failed accept, which is most often a lack of file descriptors: the listener must not spin on it.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the endpoints tell about the proxy. Both are asked on a thread that carries data, and must not block.
pub trait Condition: Send + Sync + 'static {
    /// Whether weir can serve: its primary can be reached. Else the reason, in words that anyone may read.
    ///
    /// # Errors
    /// The reason why not.
    fn ready(&self) -> Result<(), String>;

    /// Servers, pools and clients in lines for people. No secret.
    fn status(&self) -> String;
}

#[derive(Clone)]
struct Sources {
    metrics: Arc<Metrics>,
    condition: Arc<dyn Condition>,
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
        .with_state(Sources { metrics, condition });
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(answer(stream, router.clone()));
                }
                Err(error) => {
                    tracing::warn!("metrics endpoint cannot accept: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One connection, one request. What goes wrong here is the asker's own affair.
async fn answer(stream: TcpStream, router: Router) {
    let mut http = Builder::new(TokioExecutor::new()).http1_only();
    http.http1().keep_alive(false);
    let exchange = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    match tokio::time::timeout(DEADLINE, exchange).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!("metrics endpoint: {error}"),
        Err(_) => tracing::debug!("metrics endpoint: closed a connection that took longer than {DEADLINE:?}"),
    }
}

async fn figures(State(sources): State<Sources>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, sources.metrics.content_type())], sources.metrics.render())
}

async fn ready(State(sources): State<Sources>) -> impl IntoResponse {
    match sources.condition.ready() {
        Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

async fn status(State(sources): State<Sources>) -> String {
    sources.condition.status()
}
