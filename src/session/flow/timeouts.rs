//! How long a session may go on with what it does: saying nothing, saying nothing within a transaction, running one
//! request.
//!
//! The timer is not armed anew for each request. It stays as it is while it rings early enough, and what it finds then
//! decides: a busy session touches it about once in the time that is the limit.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::time::{Sleep, sleep_until};

use crate::backend::ledger::Batch;
use crate::config::Timeouts;
use crate::session::leg::Leg;
use crate::session::shared::registry::Entry;
use crate::wire::TxStatus;

/// How long a server may take to cancel a request before its connection is given up.
const GRACE: Duration = Duration::from_secs(5);

/// What a session does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    /// Nothing, outside a transaction.
    Nothing,
    /// Nothing, within a transaction or a batch.
    Pausing,
    /// A request runs on a server.
    Running,
}

impl Doing {
    /// What a session does that has this connection.
    pub(crate) fn on(leg: &Leg) -> Self {
        if leg.owes() {
            Doing::Running
        } else if leg.responses.tx != TxStatus::Idle || leg.batch() == Batch::Open {
            Doing::Pausing
        } else {
            Doing::Nothing
        }
    }
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

/// What has gone on for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expired {
    /// The client has said nothing.
    Client,
    /// It has said nothing within a transaction.
    Transaction,
    /// A request: it is to be cancelled.
    Query,
    /// A server was asked to cancel, and has not heeded it.
    Cancel,
}

impl Deadlines {
    /// Takes note of what the session does; `answered` counts its requests. Whether that is something new.
    pub(crate) fn look(&mut self, doing: Doing, answered: u64) -> bool {
        if (doing, answered) == (self.doing, self.answered) {
            return false;
        }
        (self.doing, self.answered) = (doing, answered);
        (self.since, self.told) = (Instant::now(), Told::Nothing);
        true
    }

    /// Ready when the session may not go on as it does. To be asked when there is nothing else to do. Cancel safe.
    pub(crate) fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<Expired> {
        let Some(end) = self.end() else { return Poll::Pending };
        ready!(self.poll_end(end, cx));
        Poll::Ready(match (self.doing, self.told) {
            (Doing::Nothing, _) => Expired::Client,
            (Doing::Pausing, _) => Expired::Transaction,
            (Doing::Running, Told::Nothing) => {
                (self.told, self.shot) = (Told::Cancel(Instant::now()), Shot::Fired);
                Expired::Query
            }
            (Doing::Running, Told::Cancel(_)) => Expired::Cancel,
        })
    }

    /// Waits until no cancel request of weir's own can hit what is written next. False where one has not arrived and may
    /// hit it still. Cancel safe.
    pub(crate) async fn out_of_range(&mut self, entry: &Entry) -> bool {
        if self.shot == Shot::None {
            return true;
        }
        let settled = entry.settled().await;
        self.shot = Shot::None;
        settled
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
