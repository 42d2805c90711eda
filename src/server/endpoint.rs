//! Where `/metrics` and its kin are served, which may be elsewhere at any moment. It knows nothing of what is served.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::figures::State;
use super::finding::Finding;
use super::look::Minute;
use super::start_error::StartError;
use super::takeover::Handed;
use crate::admin::http;
use crate::config::Metrics;
use crate::net::Given;
use crate::session::Shared;

/// The endpoint, where there is one.
pub(super) struct Endpoint {
    shared: Arc<Shared>,
    finding: Arc<Finding>,
    minute: Arc<Minute>,
    at: Option<At>,
}

/// Where it is.
struct At {
    address: SocketAddr,
    /// The socket once more, for another weir.
    socket: io::Result<OwnedFd>,
    _serving: AbortOnDropHandle<()>,
}

impl Endpoint {
    /// Nowhere yet.
    pub(super) fn new(shared: Arc<Shared>, finding: Arc<Finding>, minute: Arc<Minute>) -> Self {
        Self { shared, finding, minute, at: None }
    }

    /// Binds an address, unless it is the present one.
    ///
    /// # Errors
    /// When it cannot be listened on.
    pub(super) async fn ready(
        &self,
        metrics: Option<Metrics>,
    ) -> Result<Option<(SocketAddr, TcpListener)>, StartError> {
        self.ready_with(metrics, &mut Given::default()).await
    }

    /// The same, but for what is listened at already.
    pub(super) async fn ready_with(
        &self,
        metrics: Option<Metrics>,
        given: &mut Given,
    ) -> Result<Option<(SocketAddr, TcpListener)>, StartError> {
        let address = metrics.map(|metrics| metrics.address).filter(|address| !self.is_at(*address));
        let Some(address) = address else { return Ok(None) };
        let listener = match given.take_tcp(|one| one == address) {
            Some(socket) => socket.into_tcp().and_then(TcpListener::from_std),
            None => TcpListener::bind(address).await,
        };
        let listener =
            listener.map_err(|source| StartError::Listen { address: address.to_string(), source })?;
        Ok(Some((address, listener)))
    }

    /// It is there from now on, by what is bound for it where it was not.
    pub(super) fn open(&mut self, metrics: Option<Metrics>, bound: Option<(SocketAddr, TcpListener)>) {
        match (metrics, bound) {
            (None, _) => self.at = None,
            (Some(_), Some((address, listener))) => {
                let socket = listener.as_fd().try_clone_to_owned();
                let (shared, minute) = (self.shared.clone(), self.minute.clone());
                let (finding, metrics) = (self.finding.clone(), shared.metrics.clone());
                let serving = tokio::spawn(async move {
                    http::serve(listener, metrics, Arc::new(State { shared, finding, minute })).await;
                });
                self.at = Some(At { address, socket, _serving: AbortOnDropHandle::new(serving) });
            }
            (Some(_), None) => {}
        }
    }

    fn is_at(&self, address: SocketAddr) -> bool {
        self.at.as_ref().is_some_and(|at| at.address == address)
    }

    /// Its socket, for another weir, which answers at it beside this one.
    pub(super) fn socket(&self) -> Option<Handed> {
        let socket = self.at.as_ref()?.socket.as_ref().ok()?.try_clone().ok()?;
        Some(Handed::Listener(socket, None))
    }

    /// It is another weir's from now on.
    pub(super) fn give_away(&mut self) {
        self.at = None;
    }
}
