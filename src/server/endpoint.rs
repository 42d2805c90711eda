//! Where `/metrics` and its kin are served, which may be elsewhere at any moment. It knows nothing of what is served.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::figures::State;
use super::start_error::StartError;
use crate::admin::http;
use crate::session::Shared;

/// The endpoint, where there is one.
pub(super) struct Endpoint {
    shared: Arc<Shared>,
    at: Option<(SocketAddr, AbortOnDropHandle<()>)>,
}

impl Endpoint {
    /// Nowhere yet.
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, at: None }
    }

    /// Binds an address, unless it is the present one.
    ///
    /// # Errors
    /// When it cannot be listened on.
    pub(super) async fn ready(
        &self,
        address: Option<SocketAddr>,
    ) -> Result<Option<(SocketAddr, TcpListener)>, StartError> {
        let Some(address) = address.filter(|address| !self.is_at(*address)) else { return Ok(None) };
        let listener = TcpListener::bind(address).await;
        let listener =
            listener.map_err(|source| StartError::Listen { address: address.to_string(), source })?;
        Ok(Some((address, listener)))
    }

    /// It is there from now on, by what is bound for it where it was not.
    pub(super) fn open(&mut self, address: Option<SocketAddr>, bound: Option<(SocketAddr, TcpListener)>) {
        match (address, bound) {
            (None, _) => self.at = None,
            (Some(_), Some((address, listener))) => {
                let (metrics, shared) = (self.shared.metrics.clone(), self.shared.clone());
                let serving = tokio::spawn(async move {
                    http::serve(listener, metrics, Arc::new(State { shared })).await;
                });
                self.at = Some((address, AbortOnDropHandle::new(serving)));
            }
            (Some(_), None) => {}
        }
    }

    fn is_at(&self, address: SocketAddr) -> bool {
        self.at.as_ref().is_some_and(|(at, _)| *at == address)
    }
}
