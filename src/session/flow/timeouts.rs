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
use crate::session::model::transaction_limits::TransactionLimits;
use crate::session::shared::registry::{Entry, Rest};
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
    /// What that is to others, who see a connection that is not theirs.
    pub(crate) fn rest(self) -> Rest {
        match self {
            Doing::Nothing => Rest::Pinned,
            Doing::Pausing => Rest::InTransaction,
            Doing::Running => Rest::Not,
        }
    }

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

/// A transaction of which no server knows: none would end it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Promised {
    /// Which of the session's it is.
    pub number: u64,
    /// What its client has set.
    pub limits: TransactionLimits,
}

/// What a session does at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub doing: Doing,
    /// Requests answered so far.
    pub answered: u64,
    pub promised: Option<Promised>,
}

impl Moment {
    /// Outside a transaction, before any request.
    const FIRST: Self = Self { doing: Doing::Nothing, answered: 0, promised: None };

    /// What its client has set for it.
    pub(crate) fn asked(&self) -> TransactionLimits {
        self.promised.map(|promised| promised.limits).unwrap_or_default()
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
    moment: Moment,
    /// When it began to do so.
    since: Instant,
    /// The last transaction of which no server knew, by its number, and when it was seen first.
    begun: (Option<u64>, Instant),
    told: Told,
    shot: Shot,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Deadlines {
    /// None when the configuration limits nothing.
    pub(crate) fn new(limits: Timeouts, now: Instant) -> Option<Box<Self>> {
        let limited = limits != Timeouts::default();
        limited.then(|| Box::new(Self::with(limits, now)))
    }

    fn with(limits: Timeouts, now: Instant) -> Self {
        Self {
            limits,
            moment: Moment::FIRST,
            since: now,
            begun: (None, now),
            told: Told::Nothing,
            shot: Shot::None,
            timer: None,
        }
    }

    /// Those that a session has: where the configuration limits nothing, once its client has.
    pub(crate) fn of<'a>(
        deadlines: &'a mut Option<Box<Self>>,
        moment: &Moment,
        now: Instant,
    ) -> Option<&'a mut Self> {
        if deadlines.is_none() && !moment.asked().is_none() {
            *deadlines = Some(Box::new(Self::with(Timeouts::default(), now)));
        }
        deadlines.as_deref_mut()
    }

    /// When something will have gone on for too long, and what.
    fn end(&self) -> Option<(Instant, Expired)> {
        let (limits, asked) = (&self.limits, self.moment.asked());
        let idle = limits.idle_in_transaction.into_iter().chain(asked.idle).min();
        let (since, limit, expired) = match (self.moment.doing, self.told) {
            (Doing::Nothing, _) => (self.since, limits.idle_client, Expired::Client),
            (Doing::Pausing, _) => (self.since, idle, Expired::IdleInTransaction),
            (Doing::Running, Told::Nothing) => (self.since, limits.query, Expired::Query),
            (Doing::Running, Told::Cancel(at)) => (at, Some(GRACE), Expired::Cancel),
        };
        let doing = limit.map(|limit| (since + limit, expired));
        let whole = asked.whole.map(|limit| (self.begun.1 + limit, Expired::Transaction));
        doing.into_iter().chain(whole).min_by_key(|(end, _)| *end)
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
    IdleInTransaction,
    /// The transaction as a whole.
    Transaction,
    /// A request: it is to be cancelled.
    Query,
    /// A server was asked to cancel, and has not heeded it.
    Cancel,
}

impl Deadlines {
    /// Takes note of what the session does. Whether that is something new.
    pub(crate) fn look(&mut self, moment: Moment, now: Instant) -> bool {
        let before = std::mem::replace(&mut self.moment, moment);
        if let Some(Promised { number, .. }) = moment.promised
            && self.begun.0 != Some(number)
        {
            self.begun = (Some(number), now);
        }
        if (moment.doing, moment.answered) == (before.doing, before.answered) {
            return false;
        }
        (self.since, self.told) = (now, Told::Nothing);
        true
    }

    /// Ready when the session may not go on as it does. To be asked when there is nothing else to do. Cancel safe.
    pub(crate) fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<Expired> {
        let Some((end, expired)) = self.end() else { return Poll::Pending };
        ready!(self.poll_end(end, cx));
        if expired == Expired::Query {
            (self.told, self.shot) = (Told::Cancel(Instant::now()), Shot::Fired);
        }
        Poll::Ready(expired)
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

    fn moment(doing: Doing, answered: u64) -> Moment {
        Moment { doing, answered, promised: None }
    }

    #[test]
    fn each_request_and_each_pause_counts_from_its_beginning() {
        let begun = Instant::now();
        let mut deadlines = Deadlines::new(limits(), begun).unwrap();
        assert_eq!(deadlines.end(), Some((begun + HOUR, Expired::Client)));
        let at = |seconds| begun + seconds * SECOND;
        assert!(!deadlines.look(moment(Doing::Nothing, 0), at(1)));
        assert!(deadlines.look(moment(Doing::Running, 0), at(2)));
        assert_eq!(deadlines.end(), Some((at(3), Expired::Query)));
        deadlines.told = Told::Cancel(begun);
        assert_eq!(deadlines.end(), Some((begun + GRACE, Expired::Cancel)));
        assert!(deadlines.look(moment(Doing::Running, 1), at(4)), "the next one of a pipeline");
        assert_eq!(deadlines.end(), Some((at(5), Expired::Query)));
        assert!(deadlines.look(moment(Doing::Pausing, 1), at(6)));
        assert_eq!(deadlines.end(), None, "off");
    }

    #[test]
    fn what_a_client_has_set_holds_in_a_transaction_of_which_no_server_knows() {
        let begun = Instant::now();
        let at = |seconds| begun + seconds * SECOND;
        let promised = |doing, answered, number, idle: u32, whole: u32| {
            let limit = |seconds| (seconds > 0).then_some(seconds * SECOND);
            let limits = TransactionLimits { idle: limit(idle), whole: limit(whole) };
            Moment { doing, answered, promised: Some(Promised { number, limits }) }
        };
        let mut none = None;
        assert!(Deadlines::of(&mut none, &moment(Doing::Pausing, 0), begun).is_none());
        assert!(Deadlines::of(&mut none, &promised(Doing::Pausing, 1, 1, 0, 0), begun).is_none());
        let deadlines = Deadlines::of(&mut none, &promised(Doing::Pausing, 1, 1, 5, 0), begun).unwrap();
        deadlines.look(promised(Doing::Pausing, 1, 1, 5, 0), at(1));
        assert_eq!(deadlines.end(), Some((at(6), Expired::IdleInTransaction)));
        deadlines.look(promised(Doing::Running, 1, 1, 5, 0), at(2));
        assert_eq!(deadlines.end(), None);
        // The whole counts from its beginning, whatever runs, and wherever it was meanwhile.
        deadlines.look(promised(Doing::Running, 1, 1, 5, 60), at(3));
        assert_eq!(deadlines.end(), Some((at(61), Expired::Transaction)));
        deadlines.look(promised(Doing::Pausing, 2, 1, 5, 60), at(4));
        assert_eq!(deadlines.end(), Some((at(9), Expired::IdleInTransaction)));
        deadlines.look(moment(Doing::Pausing, 3), at(5));
        assert_eq!(deadlines.end(), None, "a server keeps them");
        deadlines.look(promised(Doing::Pausing, 4, 1, 0, 60), at(6));
        assert_eq!(deadlines.end(), Some((at(61), Expired::Transaction)));
        deadlines.look(promised(Doing::Pausing, 6, 2, 0, 60), at(7));
        assert_eq!(deadlines.end(), Some((at(67), Expired::Transaction)), "the next one");
        // Of two limits the smaller holds.
        deadlines.limits.idle_in_transaction = Some(2 * SECOND);
        deadlines.look(promised(Doing::Pausing, 7, 2, 3, 60), at(8));
        assert_eq!(deadlines.end(), Some((at(10), Expired::IdleInTransaction)));
        deadlines.look(promised(Doing::Pausing, 8, 2, 1, 60), at(9));
        assert_eq!(deadlines.end(), Some((at(10), Expired::IdleInTransaction)));
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
