//! Those who wait for a connection of one pool.

use std::collections::VecDeque;

use tokio::sync::oneshot;

use super::wish::{Suits, Wanted, Wish};
use crate::backend::past::Past;
use crate::backend::settings::Settings;
use crate::error::Result;

/// How often the first may be passed over for one to whom the connection is better suited.
const PATIENCE: u8 = 4;

/// One that waits.
#[derive(Debug)]
pub(super) struct Waiter<T> {
    sender: oneshot::Sender<Result<T>>,
    /// What its session would have.
    wanted: Wanted,
    /// How many connections it would have the pool hold at most.
    size: usize,
    /// How often another one was served first although it came later.
    passed_over: u8,
    /// Whether it has elsewhere to go when there is no hope here.
    may_leave: bool,
}

impl<T> Waiter<T> {
    /// One who wants this, and would have the pool hold `size` connections at most.
    pub(super) fn new(sender: oneshot::Sender<Result<T>>, wanted: impl Into<Wanted>, size: usize) -> Self {
        Self { sender, wanted: wanted.into(), size, passed_over: 0, may_leave: false }
    }

    pub(super) fn who_may_leave(self) -> Self {
        Self { may_leave: true, ..self }
    }

    pub(super) fn wish(&self) -> Wish<'_> {
        self.wanted.wish()
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }
}

/// First come, first served; but a connection goes to one that wants the settings that it carries, if the first has not
/// been passed over too often.
#[derive(Debug)]
pub(super) struct Queue<T> {
    waiters: VecDeque<Waiter<T>>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { waiters: VecDeque::new() }
    }
}

impl<T> Queue<T> {
    /// How many wait. Some may have gone without a word.
    pub(super) fn len(&self) -> usize {
        self.waiters.len()
    }

    /// Forgets those that have gone.
    pub(super) fn sweep(&mut self) {
        self.waiters.retain(|waiter| !waiter.sender.is_closed());
    }

    /// Somebody waits.
    pub(super) fn push(&mut self, waiter: Waiter<T>) {
        self.waiters.push_back(waiter);
    }

    /// Those who have elsewhere to go.
    pub(super) fn take_leaving(&mut self) -> Vec<oneshot::Sender<Result<T>>> {
        let (leaving, staying) = std::mem::take(&mut self.waiters).into_iter().partition(|w| w.may_leave);
        self.waiters = staying;
        VecDeque::into_iter(leaving).map(|waiter| waiter.sender).collect()
    }

    /// How many connections the pool may hold, for the one of those who wait who would have most: what is opened for
    /// one serves another.
    pub(super) fn size(&self) -> usize {
        self.waiters.iter().map(|waiter| waiter.size).max().unwrap_or_default()
    }

    /// The first that is still there.
    pub(super) fn first(&mut self) -> Option<oneshot::Sender<Result<T>>> {
        loop {
            let waiter = self.waiters.pop_front()?;
            if !waiter.sender.is_closed() {
                return Some(waiter.sender);
            }
        }
    }

    /// The one who gets a connection that carries these settings and has this past; none whom it does not suit.
    pub(super) fn next(&mut self, carried: &Settings, past: &Past) -> Option<oneshot::Sender<Result<T>>> {
        while self.waiters.front().is_some_and(|waiter| waiter.sender.is_closed()) {
            self.waiters.pop_front();
        }
        let (mut first, mut well, mut best) = (None, None, None);
        for (at, waiter) in self.waiters.iter().enumerate().filter(|(_, one)| !one.sender.is_closed()) {
            let suits = waiter.wish().suits(carried, past);
            if suits > Suits::Never {
                first = first.or(Some(at));
            }
            if suits == Suits::Well {
                well = well.or(Some(at));
            }
            if suits == Suits::AsItIs {
                best = Some(at);
                break;
            }
        }
        let first = first?;
        let waits = self.waiters.get_mut(first)?;
        let at = best.or(well).filter(|_| waits.passed_over < PATIENCE).unwrap_or(first);
        if at != first {
            waits.passed_over += 1;
        }
        self.waiters.remove(at).map(|waiter| waiter.sender)
    }

    /// All who wait.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = oneshot::Sender<Result<T>>> + use<T> {
        std::mem::take(&mut self.waiters).into_iter().map(|waiter| waiter.sender)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::value::Value;
    use crate::error::Error;

    fn named(name: &str) -> Settings {
        Settings::default().with("application_name", Some(Value::Raw(name.into())))
    }

    #[test]
    fn who_wants_what_a_connection_carries_goes_first_but_nobody_waits_for_ever() {
        let mut queue: Queue<()> = Queue::default();
        let mut receivers = Vec::new();
        for name in ["a", "b", "b", "b", "b", "b", "c"] {
            let (sender, receiver) = oneshot::channel();
            queue.push(Waiter::new(sender, Wish::from(&named(name)), 1));
            receivers.push((receivers.len(), receiver));
        }
        drop(receivers.remove(6));
        let mut served = Vec::new();
        for carried in ["b", "b", "c", "b", "b", "b", "b"] {
            let Some(sender) = queue.next(&named(carried), &Past::default()) else { break };
            sender.send(Err(Error::QueueFull)).unwrap();
            let at = receivers.iter_mut().position(|(_, receiver)| receiver.try_recv().is_ok()).unwrap();
            served.push(receivers.remove(at).0);
        }
        assert_eq!(served, [1, 2, 0, 3, 4, 5], "the first when none is suited; one that has gone never");
        let (sender, _gone) = oneshot::channel();
        queue.push(Waiter::new(sender, Wish::from(&named("a")), 1));
        let (sender, _there) = oneshot::channel();
        queue.push(Waiter::new(sender, Wish::from(&named("b")), 2));
        assert_eq!(queue.size(), 2);
        queue.waiters[0].passed_over = PATIENCE;
        assert!(queue.next(&named("b"), &Past::default()).is_some());
        assert_eq!(*queue.waiters[0].wish().settings, named("b"), "the first was served");
    }
}
