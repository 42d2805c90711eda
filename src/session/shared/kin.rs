//! The weirs before and behind this one, while one takes over from the other: where clients go that this one hands over, and
//! who is asked for clients that the other has kept.
//!
//! It knows no socket: what is put here another task sends.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use tokio::sync::{mpsc, oneshot};

use crate::session::model::portable::Portable;
use crate::wire::startup::CancelKey;

/// A client on its way.
#[derive(Debug)]
pub(crate) struct Parcel {
    /// All that is known of it.
    pub client: Portable,
    /// Its socket.
    pub socket: OwnedFd,
}

/// The weir that takes over from this one.
#[derive(Debug)]
pub(crate) struct Relief {
    /// Takes clients.
    pub parcels: mpsc::Sender<Parcel>,
    /// The addresses of its listeners.
    pub listeners: Vec<String>,
}

/// A cancel request for a client that may be with the weir that this one took over from.
#[derive(Debug)]
pub(crate) struct Forwarded {
    /// Whose request.
    pub key: CancelKey,
    /// Whether it was one of that weir's, once it has been delivered.
    pub heard: oneshot::Sender<bool>,
}

/// Both.
#[derive(Debug, Default)]
pub(crate) struct Kin {
    relief: ArcSwapOption<Relief>,
    predecessor: ArcSwapOption<mpsc::Sender<Forwarded>>,
}

impl Kin {
    /// This one takes over. Without one: clients stay from now on.
    pub(crate) fn is_relieved_by(&self, relief: Option<Relief>) {
        self.relief.store(relief.map(Arc::new));
    }

    /// Who takes over, if somebody does.
    pub(crate) fn relief(&self) -> Option<Arc<Relief>> {
        self.relief.load_full()
    }

    /// This one is asked for clients that are not here.
    pub(crate) fn follows(&self, predecessor: Option<mpsc::Sender<Forwarded>>) {
        self.predecessor.store(predecessor.map(Arc::new));
    }

    /// Whether it took over, and the weir before it still has clients.
    pub(crate) fn is_following(&self) -> bool {
        self.predecessor.load().is_some()
    }

    /// Has the weir before this one cancel. False where there is none, or the client is none of its either.
    pub(super) async fn cancels(&self, key: &CancelKey) -> bool {
        let Some(predecessor) = self.predecessor.load_full() else { return false };
        let (heard, hears) = oneshot::channel();
        let sent = predecessor.send(Forwarded { key: key.clone(), heard }).await;
        sent.is_ok() && hears.await.unwrap_or(false)
    }
}
