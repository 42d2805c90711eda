//! One session's part of a feed: what it has asked of it, and what has come for it.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::feed::{Ask, Line, Wants};
use super::mailbox::Mailbox;
use crate::cluster::topology::ServerId;
use crate::error::{Error, Result};
use crate::wire::TxStatus;

/// A session that listens by a feed.
pub(crate) struct Listening {
    line: Line,
    pub(crate) mailbox: Arc<Mailbox>,
    /// The channels that the feed has for it, or has been asked for.
    asked: BTreeSet<Box<str>>,
    /// The encoding of what is notified, where it is not the server's default.
    encoding: Option<Box<str>>,
    /// Of a transaction that is over its client is told when it has been told what was notified by then.
    pub(crate) withheld: Option<TxStatus>,
}

impl Listening {
    pub(super) fn new(line: Line, encoding: Option<Box<str>>, queue: usize) -> Self {
        let mailbox = Arc::new(Mailbox::new(queue));
        Self { line, mailbox, asked: BTreeSet::new(), encoding, withheld: None }
    }

    /// The server to which the feed leads.
    pub(crate) fn server(&self) -> ServerId {
        self.line.server()
    }

    /// Whether what is notified comes in this encoding.
    pub(crate) fn is_in(&self, encoding: Option<&str>) -> bool {
        self.encoding.as_deref() == encoding
    }

    /// Whether the feed has been asked for this channel.
    pub(crate) fn has(&self, channel: &str) -> bool {
        self.asked.contains(channel)
    }

    /// Listens to these channels: what is committed before it is asked for will not be heard, what is committed after
    /// this is done will. Cancel safe.
    ///
    /// # Errors
    /// Why the feed cannot be opened; [`Error::ListenLost`] when it is lost.
    pub(crate) async fn listen(&mut self, channels: Vec<Box<str>>) -> Result<()> {
        self.asked.extend(channels.iter().cloned());
        self.ask(Wants::Subscribe(self.mailbox.clone(), channels.clone())).await?;
        self.mailbox.forget(&channels);
        Ok(())
    }

    /// Done when all has come that was notified before this was asked. Cancel safe.
    ///
    /// # Errors
    /// As [`Listening::listen`].
    pub(crate) async fn catch_up(&self) -> Result<()> {
        self.ask(Wants::Nothing).await
    }

    async fn ask(&self, wants: Wants) -> Result<()> {
        let (answered, answer) = oneshot::channel();
        self.line.send(Ask { wants, answered: Some(answered) });
        // Nobody is left to answer where the feed is lost.
        answer.await.unwrap_or(Err(Error::ListenLost))
    }

    /// The session listens to these channels and to no others. Whether it listens to any.
    pub(crate) fn settle(&mut self, channels: &BTreeSet<Box<str>>) -> bool {
        let is_kept = |channel: &str| channels.contains(channel);
        let gone: Vec<_> = self.asked.iter().filter(|channel| !is_kept(channel)).cloned().collect();
        if !gone.is_empty() {
            self.asked.retain(|channel| is_kept(channel));
            self.leave(gone);
        }
        !self.asked.is_empty()
    }

    fn leave(&self, channels: Vec<Box<str>>) {
        if channels.is_empty() {
            return;
        }
        self.line.send(Ask { wants: Wants::Unsubscribe(self.mailbox.clone(), channels), answered: None });
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let asked = std::mem::take(&mut self.asked);
        self.leave(asked.into_iter().collect());
    }
}
