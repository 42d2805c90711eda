//! What a feed is opened with.

use std::sync::Arc;
use std::time::Duration;

use crate::backend::notifiers::Notifiers;
use crate::cluster::Cluster;
use crate::pool::{Account, Pool};

/// What a feed is opened with.
pub(crate) struct Source {
    /// Where its connection leads, and as whom.
    pub pool: Arc<Pool>,
    /// The account of that pool.
    pub account: Account,
    /// The statement that gives it its clients' encoding, where that is not the server's default.
    pub encoding: Option<Box<str>>,
    pub cluster: Arc<Cluster>,
    pub notifiers: Arc<Notifiers>,
    /// How long a server that answers no probe may owe an answer.
    pub patience: Duration,
}
