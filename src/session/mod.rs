//! One client's life after its login: requests in, answers out, over connections leased for as long as they are needed.
//!
//! One task owns the client's socket and the leased connection. Nothing stands between the two: no channel, no second
//! task, no lock. Each turn of [`Session::run`] takes what can be taken from the client's buffer, then [`pump`] moves
//! bytes in all directions at once until something has changed.
//!
//! [`pump`]: Session::pump

mod shared;

mod model;

mod relay;

mod consistency;

mod leg;

mod flow;

use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::BytesMut;

use crate::backend::Key;
use crate::backend::ledger::Ledger;
use crate::cluster::topology::{Load, ServerId};
use crate::config::{PoolMode, User};
use crate::error::{Error, Result};
use crate::freshness::Seen;
use crate::net::Stream;
use crate::pool::{Lease, Pool};
use crate::router::Route;
use crate::sql::{Isolation, LongText, Target};
use crate::wire::TxStatus;
use crate::wire::frame::BadHeader;
use crate::wire::request::put_bare;
use crate::wire::tag::client;
use consistency::observed_reads::ObservedReads;
pub use flow::greeting::Newcomer;
use flow::pinning::PinLog;
use flow::routing_settings::{Configured, RoutingSettings};
use flow::session_pool::SessionPool;
use flow::slow_query::SlowQueryTrail;
use flow::timeouts::Deadlines;
use model::state::{Retry, State};
use relay::client_buffer::ClientBuffer;
use relay::framer::{Framer, Unit};
use relay::pending_reply::PendingReply;
use relay::responses::{Flow, Replies};
pub use shared::Shared;
pub use shared::registry::{Aim, Cancel, Entry, Registry};

/// Who the client is, and what was settled when it came.
struct Who {
    user: Arc<User>,
    /// The database as the client named it.
    database: Arc<str>,
    /// The database on the servers.
    server_database: Arc<str>,
    /// Targets fixed by the listener and the database.
    listener: Target,
    alias: Target,
    /// What the configuration asks of the reads.
    levels: Configured,
    pool_size: usize,
    mode: PoolMode,
}

/// A client and all that is known of it.
pub struct Session {
    shared: Arc<Shared>,
    who: Box<Who>,
    stream: Stream,
    /// What the client has sent and weir has not taken.
    read_buffer: BytesMut,
    framer: Framer,
    client_buffer: ClientBuffer,
    state: Box<State>,
    leg: Option<Box<Leg>>,
    /// Transaction status once all that is in flight will have been answered, as far as can be foretold.
    expected: TxStatus,
    phase: Phase,
    /// The long query string that is being passed on.
    long: Option<Box<LongText>>,
    /// Why the transaction's connection was lost, until the client is told.
    untold: Option<Error>,
    rerun: Option<Rerun>,
    entry: Arc<Entry>,
    /// Pools by server, once used.
    pools: Vec<Option<Arc<Pool>>>,
    /// The replica used last: it is preferred.
    replica: Option<ServerId>,
    /// The connections that it had last.
    last: Last,
    /// When the last write of the session was acknowledged.
    wrote: Option<Instant>,
    /// On which replica and when it last looked at data.
    seen: Option<Seen<ServerId>>,
    /// When it last looked at data on any replica but that one.
    moved: Option<Instant>,
    /// What it has seen on the primary.
    observed_reads: ObservedReads,
    routing: Box<RoutingSettings>,
    /// The ledger of the last leg, empty: its memory serves the next.
    ledger: Ledger<PendingReply>,
    /// The isolation level of the transaction, where one was said.
    isolation: Option<Isolation>,
    /// What a slow-query line would say of the flight.
    trail: SlowQueryTrail,
    /// What has been told of its pins.
    pinning: PinLog,
    /// In session pooling: the connections that are its own.
    session_pool: Option<Box<SessionPool>>,
    /// How long it may go on, where that is limited.
    deadlines: Option<Box<Deadlines>>,
}

/// The connections that a session had last: it is given them again if they are idle, because a server process
/// remembers more of its past than any bookkeeping can.
#[derive(Debug, Default)]
struct Last {
    primary: Weak<Key>,
    replica: Weak<Key>,
}

/// What the client's next bytes are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Messages.
    #[default]
    Messages,
    /// The rest of a long message, of which so much is still to come; it goes to the server as it is.
    Streaming(usize),
    /// The rest of a message that goes nowhere.
    Dropping(usize),
    /// The rest of a batch that weir has answered with an error: thrown away up to its Sync, and first so many
    /// bytes of a message that has not arrived whole.
    Skipping(usize),
    /// None: it has left, or broken the protocol.
    Over,
    /// None: it has left, and the last message to it will never have an end.
    Torn,
}

impl Phase {
    /// Bytes of the current message that are still to come.
    fn owes(self) -> usize {
        match self {
            Phase::Messages | Phase::Over | Phase::Torn => 0,
            Phase::Streaming(left) | Phase::Dropping(left) | Phase::Skipping(left) => left,
        }
    }
}

/// A leased connection at work.
pub(crate) struct Leg {
    lease: Lease,
    route: Route,
    replies: Replies,
    batch: Batch,
    retry: Retry,
    link: Link,
    /// When the oldest request in flight was sent.
    since: Instant,
    /// Whether anything in flight looks at data.
    look: Look,
    /// Whether anything that was sent asks for the end of a server process.
    end: Wished,
    /// The requests in flight, as one, for the server's load figures.
    flight: Option<Flight>,
    /// The server's load figures.
    load: Arc<Load>,
}

/// A request under way counts in the server's load figures until this is dropped, however the session ends.
struct Flight {
    load: Arc<Load>,
    since: Instant,
}

impl Flight {
    fn begin(load: &Arc<Load>, since: Instant) -> Self {
        load.begin();
        Self { load: load.clone(), since }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.load.end(self.since.elapsed());
    }
}

/// Whether the server waits for the rest of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Batch {
    Closed,
    Open,
}

/// Whether a client has asked for the end of what may be its own server process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wished {
    No,
    Yes,
}

/// Whether a flight looks at data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Away,
    AtData,
}

/// Whether the connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Up,
    /// Closed or broken by the server.
    Lost,
    /// The server broke the protocol.
    Broken(&'static str),
    /// The server refused settings that weir put in front of a request.
    Refused,
    /// The server did not heed a cancel request.
    Deaf,
}

/// Bytes at the front of the client's buffer that were run before and go to the primary now.
#[derive(Debug)]
struct Rerun {
    left: usize,
    /// The error that made them come back; `None` when a connection was lost.
    cause: Option<String>,
}

impl Session {
    /// Serves the client until it leaves, takes too long, or until a drain finds the session between two requests.
    ///
    /// # Errors
    /// Why the connection must be closed; the client is still to be told, unless it is the client that was lost.
    pub async fn run(&mut self) -> Result<()> {
        // Who drains or raises an alarm wakes the task by this; what it finds then is asked in `pump`.
        poll_fn(|cx| {
            self.entry.wakes(cx.waker());
            Poll::Ready(())
        })
        .await;
        loop {
            self.complete().await?;
            if self.is_full() {
                self.pump().await?;
                continue;
            }
            match self.cut() {
                Ok(Unit::More) if self.has_sequence_affinity() => self.hold_sequence_affinity().await?,
                Ok(Unit::More) => self.pump_or_resolve().await?,
                Ok(Unit::Terminate) if self.is_settled() => return Ok(()),
                Err(error) if self.is_settled() => return Err(error),
                Ok(Unit::Terminate) | Err(_) => self.settle().await?,
                Ok(cut) => {
                    self.out_of_range().await?;
                    self.take(cut).await?;
                }
            }
        }
    }

    /// Whether the session must end: weir is draining and it is between two requests, or weir waits no longer.
    fn is_drained(&self) -> bool {
        self.shared.is_draining() && (self.is_idle() || self.shared.is_ending())
    }

    /// Whether all that came before the client's last message has been answered. A copy that the client did not end
    /// never will be.
    fn is_settled(&self) -> bool {
        let answered = |leg: &Leg| leg.replies.ledger.is_empty() || leg.replies.flow == Flow::CopyIn;
        self.is_told() && self.leg.as_ref().is_none_or(|leg| answered(leg))
    }

    /// Whether all that is for the client is on its way.
    fn is_told(&self) -> bool {
        self.client_buffer.is_empty() && self.stream.is_flushed()
    }

    /// Goes on answering a client from which nothing more is taken. PostgreSQL reads one message after the other, so
    /// what stands before a Terminate is run, and what stands before a broken message is answered.
    async fn settle(&mut self) -> Result<()> {
        if self.phase != Phase::Over {
            self.phase = Phase::Over;
            if let Some(leg) = self.leg.as_mut().filter(|leg| leg.batch == Batch::Open) {
                // No Sync, which would commit what the client did not.
                put_bare(&mut leg.lease.write_buffer, client::FLUSH);
            }
        }
        self.pump().await
    }

    /// The next thing to do with the client's bytes.
    fn cut(&mut self) -> Result<Unit> {
        self.stream_on();
        if self.phase.owes() > 0 {
            return Ok(Unit::More);
        }
        let flow = self.leg.as_ref().map_or_else(Default::default, |leg| leg.replies.flow);
        self.framer.next(&self.read_buffer, flow).map_err(|bad| match bad {
            BadHeader::Length => Error::Protocol("invalid message length"),
            BadHeader::Type(tag) => Error::MessageType(tag),
        })
    }

    /// Moves on what has come of a long message.
    fn stream_on(&mut self) {
        let left = self.phase.owes();
        if left == 0 {
            return;
        }
        let n = left.min(self.read_buffer.len());
        let bytes = self.read_buffer.split_to(n);
        match self.phase {
            Phase::Streaming(_) => self.read_long(&bytes, left - n),
            // It went no further.
            _ => self.long = None,
        }
        if let (Phase::Streaming(_), Some(leg)) = (self.phase, &mut self.leg) {
            leg.lease.write_buffer.unsplit(bytes);
        }
        self.phase = match self.phase {
            Phase::Skipping(_) => Phase::Skipping(left - n),
            Phase::Streaming(_) if left > n => Phase::Streaming(left - n),
            Phase::Dropping(_) if left > n => Phase::Dropping(left - n),
            _ => Phase::Messages,
        };
    }

    /// Whether enough is in flight: nothing more is taken from the client until some of it has gone.
    fn is_full(&self) -> bool {
        const WRITE_BUFFER_MAX: usize = 256 << 10;
        const LEDGER_MAX: usize = 16 << 10;
        self.leg.as_ref().is_some_and(|leg| {
            leg.lease.write_buffer.len() >= WRITE_BUFFER_MAX
                || leg.replies.ledger.len() >= LEDGER_MAX
                || leg.link != Link::Up
        })
    }

    /// Between two requests: nothing under way on a connection, nothing to take, nothing to send.
    fn is_idle(&self) -> bool {
        let at_rest = |leg: &Leg| leg.replies.ledger.is_empty() && !leg.is_held(self.phase);
        self.leg.as_ref().is_none_or(|leg| at_rest(leg))
            && self.read_buffer.is_empty()
            && self.is_told()
            && self.phase == Phase::Messages
    }

    /// The client's stream, to be told why it is closed, behind all that was on its way to the client. `None` when
    /// nothing can be told: the client does not take it, or the last message has no end.
    pub async fn into_stream(mut self) -> Option<Stream> {
        const PATIENCE: Duration = Duration::from_secs(5);
        let mut leg = self.leg.take();
        if self.phase == Phase::Torn || leg.as_ref().is_some_and(|leg| leg.replies.is_within_frame()) {
            return None;
        }
        if let Some(leg) = &mut leg {
            self.client_buffer.settle(&mut leg.lease.read_buffer);
        }
        let flush = poll_fn(|cx| self.client_buffer.poll_flush(&mut self.stream, cx, None));
        let flushed = tokio::time::timeout(PATIENCE, flush).await;
        matches!(flushed, Ok(Ok(()))).then_some(self.stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_counts_until_it_is_over_however_it_ends() {
        let load = Arc::new(Load::default());
        let flight = Flight::begin(&load, Instant::now());
        assert_eq!(load.outstanding(), 1);
        drop(flight);
        assert_eq!(load.outstanding(), 0);
    }
}
