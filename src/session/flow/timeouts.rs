//! How long a session may go on with what it does: saying nothing, saying nothing within a transaction, running one
//! request.
//!
//! The timer is not armed anew for each request. It stays as it is while it rings early enough, and what it finds then
//! decides: a busy session touches it about once in the time that is the limit.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::time::{Sleep, sleep_until};

use crate::config::Timeouts;
use crate::error::{Error, Result};
use crate::session::model::state::{Due, Retry};
use crate::session::{Batch, Link, Session};
use crate::wire::TxStatus;

/// How long a server may take to cancel a request before its connection is given up.
const GRACE: Duration = Duration::from_secs(5);

/// What a session does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    /// Nothing, outside a transaction.
    Nothing,
    /// Nothing, within a transaction or a batch.
    Pausing,
    /// A request runs on a server.
    Running,
}

/// Whether the request that runs was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Nothing,
    Cancel(Instant),
}

/// Whether a cancel request of weir's own may still be on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shot {
    None,
    Fired,
}

/// A session's limits, and how it stands with them.
#[derive(Debug)]
pub(crate) struct Deadlines {
    limits: Timeouts,
    doing: Doing,
    /// Requests answered when it began.
    answered: u64,
    since: Instant,
    told: Told,
    shot: Shot,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Deadlines {
    /// None when nothing is limited.
    pub(crate) fn new(limits: Timeouts, now: Instant) -> Option<Box<Self>> {
        let limited = limits != Timeouts::default();
        limited.then(|| {
            Box::new(Self {
                limits,
                doing: Doing::Nothing,
                answered: 0,
                since: now,
                told: Told::Nothing,
                shot: Shot::None,
                timer: None,
            })
        })
    }

    /// Takes note of what the session does. Whether that is something new.
    fn look(&mut self, doing: Doing, answered: u64) -> bool {
        if (doing, answered) == (self.doing, self.answered) {
            return false;
        }
        (self.doing, self.answered) = (doing, answered);
        (self.since, self.told) = (Instant::now(), Told::Nothing);
        true
    }

    /// When it has gone on for too long.
    fn end(&self) -> Option<Instant> {
        let (since, limit) = match (self.doing, self.told) {
            (Doing::Nothing, _) => (self.since, self.limits.idle_client),
            (Doing::Pausing, _) => (self.since, self.limits.idle_in_transaction),
            (Doing::Running, Told::Nothing) => (self.since, self.limits.query),
            (Doing::Running, Told::Cancel(at)) => (at, Some(GRACE)),
        };
        limit.map(|limit| since + limit)
    }

    /// Ready when `end` has come. Cancel safe.
    fn poll_end(&mut self, end: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let end = tokio::time::Instant::from_std(end);
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(end)));
        if timer.deadline() > end {
            timer.as_mut().reset(end);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= end {
                return Poll::Ready(());
            }
            // It was for something that is over.
            timer.as_mut().reset(end);
        }
    }
}

impl Session {
    fn doing(&self) -> Doing {
        match &self.leg {
            // In a transaction that has failed because its connection was lost.
            None if self.expected != TxStatus::Idle => Doing::Pausing,
            None => Doing::Nothing,
            Some(leg) if !leg.replies.ledger.is_empty() => Doing::Running,
            Some(leg) if leg.replies.tx != TxStatus::Idle || leg.batch == Batch::Open => Doing::Pausing,
            Some(_) => Doing::Nothing,
        }
    }

    /// Ready when the session may not go on as it does. To be asked when there is nothing else to do. Cancel safe.
    ///
    /// # Errors
    /// When the client must be closed.
    pub(crate) fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let Some(mut deadlines) = self.deadlines.take() else { return Poll::Pending };
        let outcome = self.poll_limits(&mut deadlines, cx);
        self.deadlines = Some(deadlines);
        outcome
    }

    fn poll_limits(&mut self, deadlines: &mut Deadlines, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if deadlines.look(self.doing(), self.state.answered) {
            self.state.due = Due::InTime;
        }
        loop {
            let Some(end) = deadlines.end() else { return Poll::Pending };
            ready!(deadlines.poll_end(end, cx));
            let timeouts = &self.shared.metrics.timeouts;
            match (deadlines.doing, deadlines.told) {
                (Doing::Nothing, _) => {
                    timeouts.idle_client.inc();
                    return Poll::Ready(Err(Error::IdleClient));
                }
                (Doing::Pausing, _) => {
                    timeouts.idle_in_transaction.inc();
                    return Poll::Ready(Err(Error::IdleInTransaction));
                }
                (Doing::Running, Told::Nothing) => {
                    timeouts.query.inc();
                    deadlines.told = Told::Cancel(Instant::now());
                    deadlines.shot = Shot::Fired;
                    self.cancel_own();
                }
                (Doing::Running, Told::Cancel(_)) => {
                    self.give_up_deaf();
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }

    /// Sends a cancel request for the session's own request. The connection is not given back while it is on its way.
    fn cancel_own(&mut self) {
        self.state.due = Due::Overdue;
        let Some(aim) = self.entry.aim() else { return };
        let shared = self.shared.clone();
        self.shared.spawn(async move {
            shared.deliver(aim).await;
        });
    }

    /// The server does not cancel: its connection is of no use.
    fn give_up_deaf(&mut self) {
        let Some(leg) = &mut self.leg else { return };
        leg.link = Link::Deaf;
        leg.retry = Retry::Never;
    }

    /// Waits until no cancel request of weir's own can hit what is written next. One that does not arrive costs the
    /// connection. Cancel safe.
    ///
    /// # Errors
    /// When the client must be closed, because its state went with the connection.
    pub(crate) async fn out_of_range(&mut self) -> Result<()> {
        let fired = |deadlines: &&mut Box<Deadlines>| deadlines.shot == Shot::Fired;
        if let Some(deadlines) = self.deadlines.as_mut().filter(fired) {
            let settled = self.entry.settled().await;
            deadlines.shot = Shot::None;
            if !settled {
                self.give_up_deaf();
                return self.lost();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const SECOND: Duration = Duration::from_secs(1);

    fn limits() -> Timeouts {
        Timeouts { idle_client: Some(HOUR), idle_in_transaction: None, query: Some(SECOND) }
    }

    #[test]
    fn what_is_not_limited_costs_nothing() {
        assert!(Deadlines::new(Timeouts::default(), Instant::now()).is_none());
    }

    #[test]
    fn each_request_and_each_pause_counts_from_its_beginning() {
        let mut deadlines = Deadlines::new(limits(), Instant::now()).unwrap();
        let begun = deadlines.since;
        assert_eq!(deadlines.end(), Some(begun + HOUR));
        assert!(!deadlines.look(Doing::Nothing, 0));
        assert!(deadlines.look(Doing::Running, 0));
        assert_eq!(deadlines.end(), Some(deadlines.since + SECOND));
        deadlines.told = Told::Cancel(begun);
        assert_eq!(deadlines.end(), Some(begun + GRACE));
        assert!(deadlines.look(Doing::Running, 1), "the next one of a pipeline");
        assert_eq!(deadlines.end(), Some(deadlines.since + SECOND));
        assert!(deadlines.look(Doing::Pausing, 1));
        assert_eq!(deadlines.end(), None, "off");
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_that_rings_early_is_left_alone_and_set_again_when_it_has_rung() {
        let now = tokio::time::Instant::now();
        let mut deadlines = Deadlines::new(limits(), now.into_std()).unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        let at = |time| (now + time).into_std();
        assert!(deadlines.poll_end(at(HOUR), &mut cx).is_pending());
        assert!(deadlines.poll_end(at(SECOND), &mut cx).is_pending(), "it is set earlier");
        assert!(deadlines.poll_end(at(HOUR), &mut cx).is_pending());
        let set = |deadlines: &Deadlines| deadlines.timer.as_ref().unwrap().deadline();
        assert_eq!(set(&deadlines), now + SECOND, "not set later before it rings");
        tokio::time::advance(2 * SECOND).await;
        assert!(deadlines.poll_end(at(HOUR), &mut cx).is_pending());
        assert_eq!(set(&deadlines), now + HOUR);
        tokio::time::advance(HOUR).await;
        assert!(deadlines.poll_end(at(HOUR), &mut cx).is_ready());
    }
}
