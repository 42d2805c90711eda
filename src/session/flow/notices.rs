//! How long notices are held back with the answer that they belong to, so that its request can still run elsewhere.
//!
//! The timer exists while there are such notices, and at no other time. What is held it does not know.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

/// What writes behind a notice mostly does so at once; who watches how a statement gets on waits this long at most.
const HELD_FOR: Duration = Duration::from_millis(100);

/// Notices that are held back, if any are.
#[derive(Debug, Default)]
pub(super) struct HeldNotices {
    timer: Option<Pin<Box<Sleep>>>,
}

impl HeldNotices {
    /// Notices are held back: ready when they have been for long enough. Cancel safe.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(HELD_FOR)));
        ready!(timer.as_mut().poll(cx));
        self.settle();
        Poll::Ready(())
    }

    /// None are any more.
    pub(super) fn settle(&mut self) {
        self.timer = None;
    }
}
