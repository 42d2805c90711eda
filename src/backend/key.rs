//! By what one connection is known to those who do not hold it: its server, what cancels what runs on it, and whom it
//! serves. Never the connection itself: a key may outlive it.

use std::sync::atomic::{AtomicI32, Ordering};

use crate::cluster::topology::ServerId;
use crate::net::Way;
use crate::wire::startup::CancelKey;

/// Which connection this is.
#[derive(Debug)]
pub struct Key {
    /// Its server.
    pub server: ServerId,
    /// What cancels what runs on it; some servers (poolers in front of them) give none.
    pub cancel: Option<CancelKey>,
    /// Whose its notifications are.
    pub notifier: Notifier,
    /// How it was begun, as far as its encryption goes; so is what cancels on it.
    pub way: Way,
}

/// The session that last did something on a connection by which it may have notified, by the process ID that its
/// client was given; 0 when there is none.
#[derive(Debug, Default)]
pub struct Notifier(AtomicI32);

impl Notifier {
    /// This session does something that may notify.
    pub fn is(&self, client: i32) {
        if self.0.load(Ordering::Relaxed) != client {
            self.0.store(client, Ordering::Relaxed);
        }
    }
    /// That session's process ID, if there is one.
    pub(crate) fn client(&self) -> Option<i32> {
        let client = self.0.load(Ordering::Relaxed);
        (client != 0).then_some(client)
    }
}
