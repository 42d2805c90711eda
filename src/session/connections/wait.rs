//! Waiting for a connection: until there is one, or the client cancels, leaves or is told to.

use std::future::poll_fn;
use std::task::Poll;

use crate::error::{Error, Result};
use crate::session::client::Client;
use crate::session::shared::Shared;
use crate::session::shared::registry::Entry;

/// A session that waits. What its client sends meanwhile is kept behind the request, up to what is read ahead of any
/// request; whoever has sent more than that is not watched.
pub(crate) struct Waiting<'a> {
    pub shared: &'a Shared,
    pub entry: &'a Entry,
    pub client: &'a mut Client,
}

impl Waiting<'_> {
    /// Waits for a connection. Cancel safe if `connection` is.
    ///
    /// # Errors
    /// [`Error::Canceled`], [`Error::Lost`], [`Error::Shutdown`], or why there is no connection.
    pub(crate) async fn queue<T>(self, connection: impl Future<Output = Result<T>>) -> Result<T> {
        let Self { shared, entry, client } = self;
        let ended = poll_fn(|cx| match client.poll_gone(cx) {
            Poll::Pending if shared.is_ending() => Poll::Ready(Error::Shutdown),
            gone => gone,
        });
        let watched = async {
            tokio::select! {
                biased;
                outcome = connection => outcome,
                error = ended => Err(error),
            }
        };
        entry.queue(watched).await
    }
}
