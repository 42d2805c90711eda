//! The asking for a reload, by whoever may: SIGHUP, `weir reload`, the console. One reload is under way at a time, and
//! each asker hears of the one that began after it asked. Nothing is read or changed here.

use tokio::sync::{mpsc, oneshot};

use super::takeover::Applicant;
use crate::config::Changes;

/// So many may wait for a reload; whoever comes then waits for a place.
const ASKERS: usize = 16;

/// Has the configuration read anew. Clones ask the same weir.
#[derive(Clone, Debug)]
pub struct Reload(mpsc::Sender<Asked>);

/// What is asked of whoever has the listeners, which is done one thing after the other.
#[derive(Debug)]
pub(super) enum Asked {
    /// To read the configuration anew.
    Reload(oneshot::Sender<Result<Changes, NotReloaded>>),
    /// To hand everything over.
    Relief(Box<Applicant>),
    /// To leave those who come to other processes, where there are any.
    Leave(oneshot::Sender<()>),
}

/// Why nothing was changed. In words for the operator: all mistakes, a line each, and no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotReloaded(pub(super) String);

/// Those who ask, as they come.
pub(super) type Askers = mpsc::Receiver<Asked>;

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
        self.0.send(Asked::Reload(asker)).await.map_err(|_| ends())?;
        answer.await.unwrap_or_else(|_| Err(ends()))
    }

    /// Somebody wants to take over.
    pub(super) async fn is_applied_for(&self, applicant: Applicant) {
        // Who finds nobody has its line closed.
        let _ = self.0.send(Asked::Relief(Box::new(applicant))).await;
    }

    /// Leaves those who come to other processes that listen at the same place. Ready when that is so.
    pub(super) async fn leave_to_others(&self) {
        let (done, is_done) = oneshot::channel();
        if self.0.send(Asked::Leave(done)).await.is_ok() {
            let _ = is_done.await;
        }
    }
}
