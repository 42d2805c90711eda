//! What was notified and one session has not told its client yet.
//!
//! Bounded: a client that does not read, or stays in one transaction, costs its own session and nobody else's memory.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use bytes::Bytes;

/// A notification, as the client gets it. Who waits for it shares its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Notification {
    pub(super) channel: std::sync::Arc<str>,
    /// The whole message.
    pub(crate) frame: Bytes,
}

impl Notification {
    /// Where it was sent to.
    pub(crate) fn channel(&self) -> &str {
        &self.channel
    }

    /// What it takes of the room that there is.
    fn size(&self) -> usize {
        /// What keeping one costs besides its bytes.
        const EACH: usize = 64;
        self.frame.len() + EACH
    }
}

/// How things stand with a mailbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Standing {
    /// All that was notified is in it.
    #[default]
    Whole,
    /// More was notified than it may hold.
    Full,
    /// What was notified from now on is not known: the feed is lost.
    Cut,
}

#[derive(Debug, Default)]
struct Held {
    notifications: VecDeque<Notification>,
    size: usize,
    standing: Standing,
    waker: Option<Waker>,
}

/// A session's notifications, in the order in which they were sent.
#[derive(Debug)]
pub(crate) struct Mailbox {
    held: Mutex<Held>,
    /// The most that they may take.
    limit: usize,
}

impl Mailbox {
    pub(super) fn new(limit: usize) -> Self {
        Self { held: Mutex::default(), limit }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something was notified.
    pub(super) fn put(&self, notification: Notification) {
        let mut held = self.lock();
        if held.standing != Standing::Whole {
            return;
        }
        held.size += notification.size();
        if held.size > self.limit {
            // It is never told in part: its client would not know what is missing.
            held.notifications = VecDeque::new();
            held.standing = Standing::Full;
        } else {
            held.notifications.push_back(notification);
        }
        held.wake();
    }

    /// Nothing more will come.
    pub(super) fn cut(&self) {
        let mut held = self.lock();
        if held.standing == Standing::Whole {
            held.standing = Standing::Cut;
        }
        held.wake();
    }

    /// How things stand. Whoever asks is woken by the next change.
    pub(crate) fn standing(&self, waker: &Waker) -> Standing {
        let mut held = self.lock();
        match &mut held.waker {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        held.standing
    }

    /// The next one.
    pub(crate) fn take(&self) -> Option<Notification> {
        let mut held = self.lock();
        let next = held.notifications.pop_front()?;
        held.size -= next.size();
        Some(next)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().notifications.is_empty()
    }

    /// What is there of these channels came before its session listened to them.
    pub(super) fn forget(&self, channels: &[Box<str>]) {
        let mut held = self.lock();
        held.notifications.retain(|one| channels.iter().all(|channel| **channel != *one.channel));
        held.size = held.notifications.iter().map(Notification::size).sum();
    }
}

impl Held {
    fn wake(&self) {
        self.waker.iter().for_each(Waker::wake_by_ref);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notification(channel: &str, len: usize) -> Notification {
        Notification { channel: channel.into(), frame: Bytes::from(vec![b'x'; len]) }
    }

    #[test]
    fn what_is_there_comes_out_in_its_order() {
        let mailbox = Mailbox::new(1_000);
        for (channel, len) in [("a", 1), ("b", 2), ("a", 3)] {
            mailbox.put(notification(channel, len));
        }
        mailbox.forget(&["b".into()]);
        let told: Vec<_> = std::iter::from_fn(|| mailbox.take()).map(|one| one.frame.len()).collect();
        assert_eq!(told, [1, 3]);
        assert_eq!(mailbox.lock().size, 0);
        assert_eq!(mailbox.standing(Waker::noop()), Standing::Whole);
    }

    #[test]
    fn one_that_is_full_holds_nothing_and_stays_so() {
        let mailbox = Mailbox::new(200);
        mailbox.put(notification("a", 100));
        assert_eq!(mailbox.standing(Waker::noop()), Standing::Whole);
        mailbox.put(notification("a", 100));
        assert_eq!(mailbox.standing(Waker::noop()), Standing::Full);
        mailbox.put(notification("a", 1));
        mailbox.cut();
        assert!(mailbox.is_empty());
        assert_eq!(mailbox.standing(Waker::noop()), Standing::Full);
    }

    #[test]
    fn one_that_is_cut_off_still_holds_what_came_before() {
        let mailbox = Mailbox::new(200);
        mailbox.put(notification("a", 1));
        mailbox.cut();
        mailbox.put(notification("a", 1));
        assert_eq!(mailbox.standing(Waker::noop()), Standing::Cut);
        assert!(mailbox.take().is_some() && mailbox.take().is_none());
    }
}
