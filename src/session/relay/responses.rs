//! A server's bytes on their way to the client: what passes, what is kept back, what is noticed in passing.
//!
//! Pure: buffers in, buffers out. Any cutting of the same bytes into reads gives the same result.

use bytes::BytesMut;

use crate::backend::ledger::{Action, CopyIn, Ledger, Reply, Step, Unexpected};
use crate::session::relay::client_buffer::{Answer, ClientBuffer};
use crate::session::relay::pending_reply::PendingReply;
use crate::wire::scan::{self, Stop};
use crate::wire::tag::server;
use crate::wire::{HEADER, Header, TxStatus};

/// What the session hears while a server's answer passes.
pub(crate) trait Watcher {
    /// A CommandComplete. `nth` counts those of one simple query from 0.
    fn completed(&mut self, tag: &[u8], pending: &PendingReply, nth: usize) -> Completion;
    /// A reply ended well.
    fn done(&mut self, pending: PendingReply);
    /// These replies will never come, in the order in which they were owed.
    fn dropped(&mut self, replies: Vec<PendingReply>);
    /// An ErrorResponse, with what is pending of the reply that it ends.
    fn failed(&mut self, frame: &[u8], action: Action, pending: &PendingReply, answer: Answer) -> OnError;
    /// A NoticeResponse within the answer to this: what the client gets in its place.
    fn noticed(&self, frame: &[u8], pending: &PendingReply) -> Option<Vec<u8>>;
    /// A ParameterDescription, RowDescription or NoData: what a Describe says of a statement.
    fn described(&mut self, frame: &[u8], pending: &PendingReply);
    /// A ReadyForQuery for the client, or for nobody where what is in flight will be run again. Says which status the
    /// client is told: it may stand in a transaction of which this server does not know.
    fn ready(&mut self, status: TxStatus) -> TxStatus;
    /// A ParameterStatus in the answer to the client's own request: whose statement brought it about.
    fn parameter(&mut self, frame: &[u8]) -> Completion;
    /// Whether what is in flight will be run again, so that its answers are nobody's.
    fn is_rerunning(&self) -> bool;
    /// Whether an error may send what is in flight to another server, with its notices.
    fn may_rerun(&self) -> bool;
    /// Whether the client has asked for a notification, and gets it by this connection.
    fn listens(&self, frame: &[u8]) -> bool;
    /// Whether the end of a transaction is told to the client later, and not by this message.
    fn withholds(&mut self, told: TxStatus) -> bool;
    /// What the client gets in the place of a notification.
    fn notified(&self, frame: &[u8]) -> Option<Vec<u8>>;
}

/// Whose statement has completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Completion {
    /// The client's.
    Clients,
    /// One that weir put into the client's own text.
    Weirs,
}

/// What to do with an error.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum OnError {
    /// The client gets it.
    Pass,
    /// The client gets this instead.
    Replace(Vec<u8>),
    /// Nobody gets it: the request will be run again, and so has the watcher noted.
    Rerun,
    /// The server is about to close the connection: the end of it will be told in weir's own words.
    Ending,
    /// It refuses settings that weir put in: what was sent behind them runs without them, and is nobody's answer.
    Refusing,
}

/// Why nothing more is taken of a connection's answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Halt {
    /// The server broke the protocol in this way.
    Broken(&'static str),
    /// It refused settings that weir put in.
    Refused,
}

/// Which way data flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Flow {
    /// Requests and replies.
    #[default]
    Query,
    /// The server takes copy data from the client.
    CopyIn,
}

/// The replies of one leased backend connection.
#[derive(Debug, Default)]
pub(crate) struct Responses {
    /// What is owed.
    pub ledger: Ledger<PendingReply>,
    /// Transaction status as the server last said.
    pub tx: TxStatus,
    /// Whether a copy is under way.
    pub flow: Flow,
    /// Bytes of a frame that have not arrived, and where they go.
    missing: usize,
    rest: Rest,
    /// CommandCompletes of the simple query at the head.
    completions: usize,
    /// Whether rows have come, or the word that there are none, since this was last set back.
    pub has_shown: bool,
    /// Messages that were looked at, but for the last words of a server process that ends: they acknowledge nothing.
    pub said: usize,
    /// Warnings that were such last words.
    pub farewells: usize,
    /// Notices that are held back with the answer, since this was last set back.
    pub notices: usize,
}

/// Where the rest of a frame goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Rest {
    /// Where its reply's rows go.
    #[default]
    Rows,
    /// To the client.
    Pass,
    /// To nobody.
    Unit,
}

impl Responses {
    /// With an empty ledger that was used before: its memory serves again.
    pub(crate) fn with(ledger: Ledger<PendingReply>) -> Self {
        Self { ledger, ..Self::default() }
    }

    /// Whether the last bytes released to the client end within a frame: nothing else can be put there.
    pub(crate) fn is_within_frame(&self) -> bool {
        self.missing > 0
    }

    /// Takes what has arrived in `read_buffer`, from behind what `client_buffer` has passed already.
    ///
    /// # Errors
    /// [`Halt`] when the server says what nobody asked: the connection is of no use any more.
    pub(crate) fn absorb(
        &mut self,
        read_buffer: &mut BytesMut,
        client_buffer: &mut ClientBuffer,
        watcher: &mut impl Watcher,
    ) -> Result<(), Halt> {
        loop {
            while self.missing == 0
                && let Some((bytes, pending)) = self.ledger.next_insert()
            {
                client_buffer.put(read_buffer, bytes);
                watcher.done(pending);
            }
            let requeue = read_buffer.len() - client_buffer.passed();
            if self.missing > 0 {
                let n = self.missing.min(requeue);
                self.missing -= n;
                match self.rest {
                    Rest::Rows => self.rows(read_buffer, client_buffer, n, watcher),
                    Rest::Pass => client_buffer.pass(n),
                    Rest::Unit => client_buffer.cut(read_buffer, n),
                }
                if self.missing > 0 {
                    return Ok(());
                }
            }
            let (n, stop) = scan::run(&read_buffer[client_buffer.passed()..]);
            if n > 0 {
                self.rows(read_buffer, client_buffer, n, watcher);
            }
            match stop {
                Stop::End { missing } => {
                    (self.missing, self.rest) = (missing, Rest::Rows);
                    return Ok(());
                }
                Stop::Partial => return Ok(()),
                Stop::Bad(_) => return Err(Halt::Broken("impossible message length")),
                Stop::Look(head) => self.look(head, read_buffer, client_buffer, watcher)?,
            }
        }
    }

    /// Rows and copy data go where the reply at the head goes. Those of what will be run again are nobody's, and may be
    /// many.
    fn rows(
        &mut self,
        read_buffer: &mut BytesMut,
        client_buffer: &mut ClientBuffer,
        n: usize,
        watcher: &impl Watcher,
    ) {
        self.has_shown = true;
        self.said += 1;
        match self.action() {
            Action::Forward if !watcher.is_rerunning() => client_buffer.pass(n),
            Action::Forward | Action::Swallow => client_buffer.cut(read_buffer, n),
        }
    }

    /// What happens to rows and their like: those of statements that weir put into the client's text are nobody's.
    fn action(&self) -> Action {
        match self.ledger.head_note() {
            Some(pending) if pending.completes(self.completions).is_none() => Action::Swallow,
            _ => self.ledger.head_action(),
        }
    }

    /// The frame goes to the client; what of it has not arrived will follow.
    fn pass(&mut self, head: Header, read_buffer: &BytesMut, client_buffer: &mut ClientBuffer) {
        let there = head.len.min(read_buffer.len() - client_buffer.passed());
        (self.missing, self.rest) = (head.len - there, Rest::Pass);
        client_buffer.pass(there);
    }

    /// The frame goes to nobody.
    fn cut(&mut self, head: Header, read_buffer: &mut BytesMut, client_buffer: &mut ClientBuffer) {
        let there = head.len.min(read_buffer.len() - client_buffer.passed());
        (self.missing, self.rest) = (head.len - there, Rest::Unit);
        client_buffer.cut(read_buffer, there);
    }

    /// The frame goes to the client in other words, unless it is too long to be there as a whole.
    fn replace(
        &mut self,
        head: Header,
        read_buffer: &mut BytesMut,
        client_buffer: &mut ClientBuffer,
        by: &[u8],
    ) -> Result<(), Halt> {
        if read_buffer.len() - client_buffer.passed() < head.len {
            self.pass(head, read_buffer, client_buffer);
        } else {
            self.cut(head, read_buffer, client_buffer);
            client_buffer.put(read_buffer, by);
        }
        Ok(())
    }

    /// What becomes of a setting's new value. Settings that return as a transaction fails were told to the client while it
    /// stood, and what its batch has set it is told when that ends.
    fn told(&self) -> Action {
        match self.ledger.head_note() {
            Some(PendingReply::Fails | PendingReply::EndsBatch) => Action::Forward,
            _ => self.ledger.head_action(),
        }
    }

    fn look(
        &mut self,
        head: Header,
        read_buffer: &mut BytesMut,
        client_buffer: &mut ClientBuffer,
        watcher: &mut impl Watcher,
    ) -> Result<(), Halt> {
        let at = client_buffer.passed();
        let frame = &read_buffer[at..read_buffer.len().min(at + head.len)];
        let farewell = match head.tag {
            server::NOTICE => scan::is_farewell(frame),
            server::ERROR => matches!(scan::field(frame, b'V'), Some(b"FATAL" | b"PANIC")),
            _ => false,
        };
        self.said += usize::from(!farewell);
        let action = match head.tag {
            server::ERROR => return self.error(head, read_buffer, client_buffer, watcher),
            server::NOTICE => {
                self.farewells += usize::from(farewell);
                let action = self.ledger.head_action();
                // A server's last words before an immediate shutdown are a warning too, and must not keep the request
                // from running elsewhere.
                if !farewell && action == Action::Forward && !watcher.is_rerunning() {
                    self.notice(client_buffer, watcher);
                }
                let pending = self.ledger.head_note().filter(|_| action == Action::Forward);
                if let Some(notice) = pending.and_then(|pending| watcher.noticed(frame, pending)) {
                    return self.replace(head, read_buffer, client_buffer, &notice);
                }
                action
            }
            server::PARAMETER_STATUS => match self.told() {
                Action::Forward if watcher.parameter(frame) == Completion::Weirs => Action::Swallow,
                action => action,
            },
            server::NOTIFICATION if watcher.listens(frame) => match watcher.notified(frame) {
                Some(notification) => return self.replace(head, read_buffer, client_buffer, &notification),
                None => Action::Forward,
            },
            server::NOTIFICATION => Action::Swallow,
            server::COMMAND_COMPLETE => {
                let shown = self.completed(frame.get(5..head.len - 1).unwrap_or_default(), watcher);
                self.take(head.tag, watcher)?.min(shown)
            }
            server::READY => match self.ready(head, read_buffer, client_buffer, watcher)? {
                Action::Forward => return Ok(()),
                action => action,
            },
            server::COPY_IN => {
                // The client waits for this: nothing may hold it back.
                self.take(head.tag, watcher)?;
                self.begin_copy();
                self.pass(head, read_buffer, client_buffer);
                client_buffer.release();
                return Ok(());
            }
            server::PORTAL_SUSPENDED => self.suspended(watcher)?,
            tag => {
                if let (
                    server::PARAMETER_DESCRIPTION | server::ROW_DESCRIPTION | server::NO_DATA,
                    Some(pending),
                ) = (tag, self.ledger.head_note())
                {
                    watcher.described(frame, pending);
                }
                let shown = self.action();
                self.take(tag, watcher)?.min(shown)
            }
        };
        match action {
            Action::Forward => self.pass(head, read_buffer, client_buffer),
            Action::Swallow => self.cut(head, read_buffer, client_buffer),
        }
        Ok(())
    }

    /// Who raises notices wants them seen while the statement runs. Where another server may have to run it, they wait for
    /// a moment: what writes behind a notice mostly does so at once.
    fn notice(&mut self, client_buffer: &mut ClientBuffer, watcher: &impl Watcher) {
        if client_buffer.is_holding() && watcher.may_rerun() {
            self.notices += 1;
        } else {
            client_buffer.release();
        }
    }

    /// A statement has completed with this command tag: whether the client is to know.
    fn completed(&mut self, tag: &[u8], watcher: &mut impl Watcher) -> Action {
        let nth = self.completions;
        self.completions += 1;
        self.has_shown = true;
        match self.ledger.head_note().map(|pending| watcher.completed(tag, pending, nth)) {
            Some(Completion::Weirs) => Action::Swallow,
            _ => Action::Forward,
        }
    }

    fn begin_copy(&mut self) {
        if self.ledger.copy_in() == CopyIn::Open {
            self.flow = Flow::CopyIn;
        }
    }

    /// A row limit was reached: what the statement left behind is there all the same.
    fn suspended(&mut self, watcher: &mut impl Watcher) -> Result<Action, Halt> {
        if let Some(pending) = self.ledger.head_note() {
            watcher.completed(b"", pending, 0);
        }
        self.take(server::PORTAL_SUSPENDED, watcher)
    }

    /// An answer is complete. What follows within a transaction cannot be run again without it.
    fn let_go(&self, client_buffer: &mut ClientBuffer) {
        match self.tx {
            TxStatus::Idle => client_buffer.free(),
            TxStatus::Open | TxStatus::Failed => client_buffer.release(),
        }
    }

    fn take(&mut self, tag: u8, watcher: &mut impl Watcher) -> Result<Action, Halt> {
        match self.ledger.take(tag) {
            Ok(Step::Within(action)) => Ok(action),
            Ok(Step::Done(action, reply, pending)) => {
                if reply == Reply::Execute {
                    self.flow = Flow::Query;
                }
                self.completions = 0;
                watcher.done(pending);
                Ok(action)
            }
            Err(Unexpected(_)) => Err(Halt::Broken("a message that nothing was asked for")),
        }
    }

    /// A ReadyForQuery: what the client is told of the transaction, its watcher says.
    fn ready(
        &mut self,
        head: Header,
        read_buffer: &mut BytesMut,
        client_buffer: &mut ClientBuffer,
        watcher: &mut impl Watcher,
    ) -> Result<Action, Halt> {
        let at = client_buffer.passed() + HEADER;
        let status = read_buffer.get(at).copied().and_then(TxStatus::from_byte);
        self.tx = status.ok_or(Halt::Broken("unknown transaction status"))?;
        self.flow = Flow::Query;
        let action = self.take(head.tag, watcher)?;
        if action == Action::Forward {
            let told = watcher.ready(self.tx);
            if watcher.withholds(told) {
                self.cut(head, read_buffer, client_buffer);
            } else {
                read_buffer[at] = told.to_byte();
                self.pass(head, read_buffer, client_buffer);
            }
            if !watcher.is_rerunning() {
                self.let_go(client_buffer);
            }
        }
        Ok(action)
    }

    fn error(
        &mut self,
        head: Header,
        read_buffer: &mut BytesMut,
        client_buffer: &mut ClientBuffer,
        watcher: &mut impl Watcher,
    ) -> Result<(), Halt> {
        let at = client_buffer.passed();
        let frame = &read_buffer[at..read_buffer.len().min(at + head.len)];
        let whole = frame.len() == head.len;
        let pending = self.ledger.head_note().cloned().unwrap_or_default();
        let reply = self.ledger.head();
        let decision = watcher.failed(frame, self.ledger.head_action(), &pending, client_buffer.answer());
        self.flow = Flow::Query;
        match decision {
            OnError::Ending => {
                self.cut(head, read_buffer, client_buffer);
                return Ok(());
            }
            OnError::Refusing => return Err(Halt::Refused),
            _ => {}
        }
        let (action, dropped) =
            self.ledger.fail().map_err(|_| Halt::Broken("an error that nothing was asked for"))?;
        watcher.dropped(dropped);
        // What weir put into the client's own pipeline fails in the client's stead; what stands alone does not.
        let alone = matches!(reply, Some(Reply::Query)) || pending.has_own_batch();
        let own = action == Action::Swallow && alone;
        match decision {
            OnError::Rerun => self.cut(head, read_buffer, client_buffer),
            OnError::Replace(bytes) if !own && whole => {
                self.cut(head, read_buffer, client_buffer);
                client_buffer.put(read_buffer, &bytes);
            }
            _ if own => self.cut(head, read_buffer, client_buffer),
            _ => self.pass(head, read_buffer, client_buffer),
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "responses_tests.rs"]
mod tests;
