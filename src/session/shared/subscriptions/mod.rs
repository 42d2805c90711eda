//! Who listens (`LISTEN`) shares one connection with all others of the same database and account: a worker that waits for
//! notifications would else hold a connection of the pool for nothing.
//!
//! Such a connection, a feed, is outside of the pools' sizes. It never runs what a client says: only `LISTEN`, `UNLISTEN`,
//! and a Sync, behind whose answer nothing can arrive any more that was committed before it was sent.

mod feed;
mod listening;
pub(crate) mod mailbox;
mod source;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use feed::{Feed, Opening};
pub(crate) use listening::Listening;
pub(crate) use source::Source;

use crate::pool::{Account, PoolKey};

/// All feeds that there are.
#[derive(Default)]
pub(crate) struct Subscriptions {
    feeds: Mutex<HashMap<Name, Feed>>,
}

/// Whom a feed is for. What is notified comes in the encoding that its connection has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Name {
    pool: PoolKey,
    account: Account,
    encoding: Option<Box<str>>,
}

impl Subscriptions {
    /// How many feeds there are, and how many sessions listen by them.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let mut feeds = self.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        feeds.retain(|_, feed| feed.is_open());
        (feeds.len(), feeds.values().map(Feed::listeners).sum())
    }

    /// A session begins to listen: by the feed that there is, or a new one, which is being opened then.
    pub(crate) fn join(&self, source: Source, queue: usize) -> Listening {
        let name = Name {
            pool: source.pool.key().clone(),
            account: source.account.clone(),
            encoding: source.encoding.clone(),
        };
        let mut feeds = self.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        feeds.retain(|_, feed| feed.is_open());
        let feed = match feeds.get(&name).and_then(Feed::join) {
            Some(feed) => feed,
            None => {
                let (feed, known) = Opening::begin(source);
                feeds.insert(name.clone(), known);
                feed
            }
        };
        drop(feeds);
        Listening::new(feed, name.encoding, queue)
    }
}
