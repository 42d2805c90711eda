//! Who notifies: a notification bears the process ID of the server process that sent it, and clients know each other by
//! those that weir gave them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::key::Key;
use crate::cluster::topology::ServerId;

/// All connections by their servers and process IDs.
#[derive(Debug, Default)]
pub(crate) struct Notifiers {
    keys: Mutex<HashMap<(ServerId, i32), Weak<Key>>>,
}

impl Notifiers {
    /// A connection was opened.
    pub(crate) fn enter(&self, key: &Arc<Key>) {
        let Some(cancel) = &key.cancel else { return };
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() == keys.capacity() {
            keys.retain(|_, key| key.strong_count() > 0);
        }
        keys.insert((key.server, cancel.pid()), Arc::downgrade(key));
    }

    /// Whose notification it is that came from this process, if a client's.
    pub(crate) fn client(&self, server: ServerId, pid: i32) -> Option<i32> {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.get(&(server, pid))?.upgrade()?.notifier.client()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::backend::key::Notifier;
    use crate::net::Way;
    use crate::wire::startup::CancelKey;

    fn key(pid: i32) -> Arc<Key> {
        let cancel = CancelKey::new(pid, Bytes::from_static(b"1234"));
        Arc::new(Key { server: ServerId(0), cancel, notifier: Notifier::default(), way: Way::Plain })
    }

    #[test]
    fn a_process_is_known_by_the_client_that_it_served_last() {
        let notifiers = Notifiers::default();
        let first = key(7);
        notifiers.enter(&first);
        assert_eq!(notifiers.client(ServerId(0), 7), None, "it has served nobody");
        first.notifier.is(42);
        assert_eq!(notifiers.client(ServerId(0), 7), Some(42));
        assert_eq!(notifiers.client(ServerId(1), 7), None, "another server's");
        drop(first);
        assert_eq!(notifiers.client(ServerId(0), 7), None, "it is gone");
        for pid in 0..1000 {
            notifiers.enter(&key(pid));
        }
        assert!(notifiers.keys.lock().unwrap().len() < 100, "those that are gone are swept out");
    }
}
