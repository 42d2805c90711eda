//! Waiting for a connection, or for one to be fit: until it is, or the client cancels, leaves or is told to.

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
        entry.queue(attended(shared, client, connection)).await
    }

    /// Waits on the connection that the session has, for something without which its request is not written. Cancel safe
    /// if `news` is.
    ///
    /// # Errors
    /// [`Error::Canceled`], [`Error::Lost`], [`Error::Shutdown`].
    pub(crate) async fn hold<T>(self, news: impl Future<Output = T>) -> Result<T> {
        let Self { shared, entry, client } = self;
        tokio::select! {
            biased;
            outcome = attended(shared, client, async { Ok(news.await) }) => outcome,
            () = entry.asked_to_cancel() => Err(Error::Canceled),
        }
    }
}

/// Waits for as long as there is a client, and weir waits for it. Cancel safe if `outcome` is.
pub(crate) async fn attended<T>(
    shared: &Shared,
    client: &mut Client,
    outcome: impl Future<Output = Result<T>>,
) -> Result<T> {
    let ended = poll_fn(|cx| match client.poll_gone(cx) {
        Poll::Pending if shared.is_ending() => Poll::Ready(Error::Shutdown),
        gone => gone,
    });
    tokio::select! {
        biased;
        outcome = outcome => outcome,
        error = ended => Err(error),
    }
}
