//! How long weir was let wait for more of a batch, whoever's fault that was: a busy machine makes any client hesitate.

use std::time::{Duration, Instant};

/// Nearly as long as weir waits before it runs what it has.
const NEARLY: Duration = Duration::from_millis(8);

/// A client's pace in a conversation.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Since when more of a batch may be waited for.
    since: Option<Instant>,
    longest: Duration,
}

impl Pace {
    /// Something was sent, which may not be all of a batch.
    pub(crate) fn sent(&mut self) {
        let now = Instant::now();
        if let Some(since) = self.since.replace(now) {
            self.longest = self.longest.max(now - since);
        }
    }

    /// All of a batch was sent and answered: what comes next is another one.
    pub(crate) fn settled(&mut self) {
        self.since = None;
    }

    /// Whether weir may have taken it for a pause, and run part of a batch.
    pub(crate) fn is_hesitant(&self) -> bool {
        self.longest >= NEARLY
    }
}
