//! The asking for a reload, by whoever may: SIGHUP, `weir reload`, the console. One reload is under way at a time, and
//! each asker hears of the one that began after it asked. Nothing is read or changed here.

use tokio::sync::{mpsc, oneshot};

use crate::config::Changes;

/// So many may wait for a reload; whoever comes then waits for a place.
const ASKERS: usize = 16;

/// Has the configuration read anew. Clones ask the same weir.
#[derive(Clone, Debug)]
pub struct Reload(mpsc::Sender<Asker>);

/// Why nothing was changed. In words for the operator: all mistakes, a line each, and no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotReloaded(pub(super) String);

/// Somebody who waits for a reload.
pub(super) type Asker = oneshot::Sender<Result<Changes, NotReloaded>>;

/// Those who ask, as they come.
pub(super) type Askers = mpsc::Receiver<Asker>;

impl Reload {
    pub(super) fn new() -> (Self, Askers) {
        let (askers, asked) = mpsc::channel(ASKERS);
        (Self(askers), asked)
    }

    /// Reads the configuration and the files that it names, and has what changed hold from now on. It is checked whole
    /// first, and what is wrong changes nothing. Cancel safe: a reload that was begun is brought to its end.
    ///
    /// # Errors
    /// What is wrong, or that weir ends.
    pub async fn reload(&self) -> Result<Changes, NotReloaded> {
        let ends = || NotReloaded("weir is ending".to_owned());
        let (asker, answer) = oneshot::channel();
        self.0.send(asker).await.map_err(|_| ends())?;
        answer.await.unwrap_or_else(|_| Err(ends()))
    }
}
