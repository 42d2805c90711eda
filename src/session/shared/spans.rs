//! Spans of requests on their way out: those that are open, by session, and a queue of those that are over, which nobody waits
//! for. What finds no place in it is lost, and counted.
//!
//! A session that traces nothing has none of this.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::sync::oneshot;

use crate::backend::ledger::Batch;
use crate::telemetry::spans::{Ended, Span, Waited, Went};

/// Spans that wait to be sent: a few megabytes, as statements are.
const QUEUE: usize = 4096;

/// The queue's way in.
#[derive(Clone)]
pub(crate) struct Spans {
    queue: mpsc::Sender<Queued>,
    lost: Arc<dyn Fn() + Send + Sync>,
}

/// The queue's way out.
pub(crate) type Outgoing = mpsc::Receiver<Queued>;

/// What stands in the queue.
pub(crate) enum Queued {
    Span(Ended),
    /// Somebody waits until what stands before it is sent.
    Flush(oneshot::Sender<()>),
}

impl Spans {
    /// A queue; `lost` is told of each span that finds no place.
    pub(crate) fn new(lost: impl Fn() + Send + Sync + 'static) -> (Self, Outgoing) {
        let (queue, outgoing) = mpsc::channel(QUEUE);
        (Self { queue, lost: Arc::new(lost) }, outgoing)
    }

    fn send(&self, ended: Ended) {
        match self.queue.try_send(Queued::Span(ended)) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Closed(_)) => (self.lost)(),
        }
    }

    /// Waits until all that is in the queue now has been sent, or given up. Cancel safe.
    pub(crate) async fn flushed(&self) {
        let (done, flushed) = oneshot::channel();
        if self.queue.send(Queued::Flush(done)).await.is_ok() {
            // Whether it is done or nobody sends any more, there is nothing to wait for.
            let _ = flushed.await;
        }
    }
}

/// A request that a server works on.
struct Open {
    /// None: it is not sampled, and keeps its place only.
    span: Option<Box<Span>>,
    begun: Instant,
    /// Whether all of it has been written.
    batch: Batch,
}

/// A session's open spans.
pub(crate) struct OpenSpans {
    spans: Spans,
    /// When weir began to look at the request under way.
    looked: Instant,
    /// What that one has waited for so far.
    waited: Waited,
    /// Requests with servers, in the order in which they are answered.
    flying: VecDeque<Open>,
    /// How many of them have been answered since somebody looked.
    answered: usize,
    /// Those that run again, in order.
    again: VecDeque<Open>,
}

impl OpenSpans {
    /// Of a session that begins to trace.
    pub(crate) fn new(spans: Spans, now: Instant) -> Self {
        Self {
            spans,
            looked: now,
            waited: Waited::default(),
            flying: VecDeque::new(),
            answered: 0,
            again: VecDeque::new(),
        }
    }

    /// weir looks at a request.
    pub(crate) fn looks(&mut self, now: Instant) {
        (self.looked, self.waited) = (now, Waited::default());
    }

    /// The request under way has waited for a connection.
    pub(crate) fn waited_for_connection(&mut self, time: Duration) {
        self.waited.connection += time;
    }

    /// The request under way has waited for its replica.
    pub(crate) fn waited_for_freshness(&mut self, time: Duration) {
        self.waited.freshness += time;
    }

    /// A request is written, or what comes behind a part of it that was written before. What runs again is one span with what
    /// it was before, and went elsewhere. Of what is not sampled nobody asks where it went.
    pub(crate) fn begins<W: FnOnce() -> Went>(
        &mut self,
        batch: Batch,
        went: W,
        span: impl FnOnce(W) -> Option<Box<Span>>,
    ) {
        if let Some(part) = self.part() {
            part.batch = batch;
            if let Some(span) = &mut part.span {
                span.went = went();
            }
            return;
        }
        let open = match self.again.pop_front() {
            Some(before) => {
                Open { span: before.span.map(|span| self.goes_again(span, went())), batch, ..before }
            }
            None => {
                let span = span(went).map(|span| Box::new(Span { waited: self.waited, ..*span }));
                Open { span, begun: self.looked, batch }
            }
        };
        self.flying.push_back(open);
    }

    /// The request of which the end is still to be written.
    fn part(&mut self) -> Option<&mut Open> {
        self.flying.back_mut().filter(|last| last.batch == Batch::Open)
    }

    fn goes_again(&self, before: Box<Span>, went: Went) -> Box<Span> {
        let Waited { connection, freshness } = before.waited;
        let waited = Waited {
            connection: connection + self.waited.connection,
            freshness: freshness + self.waited.freshness,
        };
        Box::new(Span { went, waited, ..*before })
    }

    /// What the server says now is said of this one.
    fn heard(&mut self) -> Option<&mut Span> {
        self.flying.get_mut(self.answered)?.span.as_deref_mut()
    }

    /// A statement of it has completed with this command tag.
    pub(crate) fn completed(&mut self, tag: &[u8]) {
        if let Some(span) = self.heard()
            && let Some(rows) = rows(tag)
        {
            span.rows = Some(span.rows.unwrap_or_default() + rows);
        }
    }

    /// It has failed, for its client.
    pub(crate) fn failed(&mut self, sqlstate: &str) {
        if let Some(span) = self.heard() {
            span.error = Some(sqlstate.into());
        }
    }

    /// It has been answered to its end.
    pub(crate) fn answered(&mut self) {
        self.answered += 1;
    }

    /// Sends those that have been answered.
    pub(crate) fn settle(&mut self, now: Instant) {
        while self.answered > 0 {
            self.answered -= 1;
            if let Some(open) = self.flying.pop_front() {
                self.send(open, now);
            }
        }
    }

    /// Nothing is in flight any more, however it was answered. Of what is not written to its end more will come.
    pub(crate) fn settle_written(&mut self, now: Instant) {
        let part = usize::from(self.part().is_some());
        self.answered = self.flying.len() - part;
        self.settle(now);
    }

    /// The same, and what is not written to its end will not be.
    pub(crate) fn settle_all(&mut self, now: Instant) {
        self.answered = self.flying.len();
        self.settle(now);
    }

    /// All that is in flight is lost with its connection, and ends with this error.
    pub(crate) fn lost(&mut self, sqlstate: &str, now: Instant) {
        self.settle(now);
        for span in self.flying.iter_mut().filter_map(|open| open.span.as_mut()) {
            span.error.get_or_insert_with(|| sqlstate.into());
        }
        self.settle_all(now);
    }

    /// All that is in flight runs again, because of this.
    pub(crate) fn returns(&mut self, cause: &str, now: Instant) {
        self.settle(now);
        for mut open in self.flying.drain(..) {
            if let Some(span) = open.span.as_mut() {
                span.reruns.push(cause.into());
                (span.error, span.rows) = (None, None);
            }
            self.again.push_back(open);
        }
    }

    /// The request under way never reaches a server: weir answers it, or refuses it with this error.
    pub(crate) fn ends_here<W: FnOnce() -> Went>(
        &mut self,
        (went, error): (W, Option<&str>),
        now: Instant,
        span: impl FnOnce(W) -> Option<Box<Span>>,
    ) {
        self.begins(Batch::Closed, went, span);
        let Some(mut open) = self.flying.pop_back() else { return };
        if let Some(span) = &mut open.span {
            span.error = error.map(Into::into);
        }
        self.send(open, now);
    }

    fn send(&self, open: Open, now: Instant) {
        let Some(span) = open.span else { return };
        let took = now.saturating_duration_since(open.begun);
        self.spans.send(Ended { span, at: SystemTime::now(), took });
    }
}

/// How many rows a command tag says have come back: `SELECT 5`.
fn rows(tag: &[u8]) -> Option<u64> {
    let tag = std::str::from_utf8(tag).ok()?;
    let rows = tag.strip_prefix("SELECT ").or_else(|| tag.strip_prefix("FETCH "))?;
    rows.parse().ok()
}
