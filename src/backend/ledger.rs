//! The replies a backend still owes, each with what to do with it.
//!
//! One entry per message that was sent and will be answered, in the order sent, and one per reply that weir makes up
//! itself. So whatever weir adds or keeps back, the client's stream stays what one PostgreSQL would have sent: nothing
//! made up leaves before its turn, and after an error everything up to the next `Sync` is dropped, as the server
//! drops it (PostgreSQL manual, "Extended Query": "reads and discards messages until a Sync is reached").
//!
//! Entries carry a note of the caller's choice, given back when the entry is done or dropped.

use std::collections::VecDeque;

use crate::wire::tag::server;

/// What kind of message the reply is owed for: decides which message ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// A simple query, ended by ReadyForQuery.
    Query,
    /// A function call, ended by ReadyForQuery.
    Call,
    /// ParseComplete.
    Parse,
    /// BindComplete.
    Bind,
    /// CloseComplete.
    Close,
    /// ParameterDescription, then RowDescription or NoData.
    DescribeStatement,
    /// RowDescription or NoData.
    DescribePortal,
    /// CommandComplete, EmptyQueryResponse or PortalSuspended.
    Execute,
    /// ReadyForQuery.
    Sync,
}

/// What becomes of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Action {
    /// weir asked for it.
    Swallow,
    /// The client asked for it.
    Forward,
}

#[derive(Debug)]
enum Entry<N> {
    Owed {
        reply: Reply,
        action: Action,
        note: N,
    },
    /// A reply that weir makes up, given out when all before it have been.
    Insert {
        bytes: &'static [u8],
        note: N,
    },
    /// The client's CopyDone or CopyFail: ends the stretch in which a server in copy-in mode ignores `Sync`.
    CopyEnd,
}

/// Whether the client has sent the end of a copy when the server begins it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CopyIn {
    /// The server reads on: what the client sends now is part of the copy.
    Open,
    /// All of the copy was sent ahead.
    Ended,
}

/// A message arrived that nothing owed explains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unexpected(pub u8);

/// What a server's message meant.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step<N> {
    /// Part of the reply at the head; more of it follows.
    Within(Action),
    /// The last message of the reply at the head, whose note comes back.
    Done(Action, Reply, N),
}

/// The queue of owed replies of one backend connection.
#[derive(Debug)]
pub(crate) struct Ledger<N> {
    entries: VecDeque<Entry<N>>,
    reading: Reading,
}

/// What the server does with what it is sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// It begins something new: no batch is open.
    Anew,
    /// It goes on with a batch that lacks its `Sync`.
    Batch,
    /// After an error of the extended protocol it throws everything away until a `Sync` comes.
    Discarding,
}

/// Whether the client's messages of the extended protocol lack the `Sync` that ends them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Batch {
    /// There are none, or they have been ended.
    Closed,
    /// The server waits for more of them.
    Open,
}

impl<N> Default for Ledger<N> {
    fn default() -> Self {
        Self { entries: VecDeque::new(), reading: Reading::Anew }
    }
}

impl<N> Ledger<N> {
    /// Nothing is owed.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Entries not done yet.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// A message was sent that will be answered. Gives the note back at once when the server is discarding.
    pub(crate) fn push(&mut self, reply: Reply, action: Action, note: N) -> Option<N> {
        self.reading = match (self.reading, reply) {
            (_, Reply::Sync) => Reading::Anew,
            (Reading::Discarding, _) => return Some(note),
            (_, Reply::Query | Reply::Call) => Reading::Anew,
            _ => Reading::Batch,
        };
        self.entries.push_back(Entry::Owed { reply, action, note });
        None
    }

    /// A reply is to be made up in this place. Its bytes are whole messages. Gives the note back at once when the
    /// server is discarding.
    pub(crate) fn insert(&mut self, bytes: &'static [u8], note: N) -> Option<N> {
        if self.is_discarding() {
            return Some(note);
        }
        // What the client sent is part of its batch, whether the server gets it or not.
        self.reading = Reading::Batch;
        self.entries.push_back(Entry::Insert { bytes, note });
        None
    }

    /// The client's CopyDone or CopyFail was sent.
    pub(crate) fn copy_end(&mut self) {
        if !self.entries.is_empty() {
            self.entries.push_back(Entry::CopyEnd);
        }
    }

    /// The server entered copy-in mode: every `Sync` it was sent before the copy's end it ignores, and any other
    /// message there ends the copy with an error and is itself used up.
    pub(crate) fn copy_in(&mut self) -> CopyIn {
        let mut copy = CopyIn::Open;
        while let Some(entry) = self.entries.remove(1) {
            if !matches!(entry, Entry::Owed { reply: Reply::Sync, .. }) {
                copy = CopyIn::Ended;
                break;
            }
            self.reading = Reading::Batch;
        }
        if self.entries.iter().any(|entry| matches!(entry, Entry::Owed { reply: Reply::Sync, .. })) {
            self.reading = Reading::Anew;
        }
        copy
    }

    /// Whether the server throws away what it is sent, up to a `Sync`.
    pub(crate) fn is_discarding(&self) -> bool {
        self.reading == Reading::Discarding
    }

    /// Whether a batch is open: until its `Sync`, the connection is in the middle of something. What the server throws
    /// away belongs to one.
    pub(crate) fn batch(&self) -> Batch {
        match self.reading {
            Reading::Anew => Batch::Closed,
            Reading::Batch | Reading::Discarding => Batch::Open,
        }
    }

    /// The made-up reply whose turn it is, if one's turn it is.
    pub(crate) fn next_insert(&mut self) -> Option<(&'static [u8], N)> {
        // Asked for each message: what is owed stays where it is.
        while let Some(Entry::Insert { .. } | Entry::CopyEnd) = self.entries.front() {
            if let Some(Entry::Insert { bytes, note }) = self.entries.pop_front() {
                return Some((bytes, note));
            }
        }
        None
    }

    /// What happens to the reply at the head: notices and rows follow it. Forward when nothing is owed.
    pub(crate) fn head_action(&self) -> Action {
        match self.entries.front() {
            Some(Entry::Owed { action, .. }) => *action,
            _ => Action::Forward,
        }
    }

    /// The kind of the reply at the head.
    pub(crate) fn head(&self) -> Option<Reply> {
        match self.entries.front() {
            Some(Entry::Owed { reply, .. }) => Some(*reply),
            _ => None,
        }
    }

    /// The note of the reply at the head.
    pub(crate) fn head_note(&self) -> Option<&N> {
        match self.entries.front() {
            Some(Entry::Owed { note, .. }) => Some(note),
            _ => None,
        }
    }

    /// Takes a message of the server that is neither an error nor asynchronous.
    pub(crate) fn take(&mut self, tag: u8) -> Result<Step<N>, Unexpected> {
        let Some(Entry::Owed { reply, action, .. }) = self.entries.front() else {
            return Err(Unexpected(tag));
        };
        let action = *action;
        match progress(*reply, tag) {
            Progress::Within => Ok(Step::Within(action)),
            Progress::Unknown => Err(Unexpected(tag)),
            Progress::Last => match self.entries.pop_front() {
                Some(Entry::Owed { reply, note, .. }) => Ok(Step::Done(action, reply, note)),
                _ => Err(Unexpected(tag)),
            },
        }
    }

    /// Takes an ErrorResponse: what to do with it, and the notes of all that will now never be answered, in order.
    ///
    /// A simple query, a function call and a `Sync` are still followed by their ReadyForQuery and stay.
    pub(crate) fn fail(&mut self) -> Result<(Action, Vec<N>), Unexpected> {
        let (reply, action) = match self.entries.front() {
            Some(Entry::Owed { reply, action, .. }) => (*reply, *action),
            _ => return Err(Unexpected(server::ERROR)),
        };
        let mut dropped = Vec::new();
        if matches!(reply, Reply::Query | Reply::Call | Reply::Sync) {
            return Ok((action, dropped));
        }
        while let Some(entry) = self.entries.front() {
            if matches!(entry, Entry::Owed { reply: Reply::Sync, .. }) {
                return Ok((action, dropped));
            }
            if let Some(Entry::Owed { note, .. } | Entry::Insert { note, .. }) = self.entries.pop_front() {
                dropped.push(note);
            }
        }
        self.reading = Reading::Discarding;
        Ok((action, dropped))
    }

    /// The notes of all that is owed, in order.
    pub(crate) fn notes(&self) -> impl Iterator<Item = &N> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Owed { note, .. } | Entry::Insert { note, .. } => Some(note),
            Entry::CopyEnd => None,
        })
    }

    /// The connection is gone: the notes of all that was owed, in order.
    pub(crate) fn abandon(&mut self) -> Vec<N> {
        if self.is_discarding() {
            self.reading = Reading::Batch;
        }
        self.entries
            .drain(..)
            .filter_map(|entry| match entry {
                Entry::Owed { note, .. } | Entry::Insert { note, .. } => Some(note),
                Entry::CopyEnd => None,
            })
            .collect()
    }

    /// How many ReadyForQuery the client is still owed.
    pub(crate) fn readies(&self) -> usize {
        self.entries
            .iter()
            .filter(|entry| {
                matches!(
                    entry,
                    Entry::Owed {
                        reply: Reply::Query | Reply::Call | Reply::Sync,
                        action: Action::Forward,
                        ..
                    }
                )
            })
            .count()
    }
}

enum Progress {
    Within,
    Last,
    Unknown,
}

/// Whether a message belongs to a reply of this kind, and whether it is its last.
fn progress(reply: Reply, tag: u8) -> Progress {
    use Progress::{Last, Unknown, Within};
    match (reply, tag) {
        (Reply::Query | Reply::Call | Reply::Sync, server::READY)
        | (Reply::Parse, server::PARSE_COMPLETE)
        | (Reply::Bind, server::BIND_COMPLETE)
        | (Reply::Close, server::CLOSE_COMPLETE)
        | (Reply::DescribeStatement | Reply::DescribePortal, server::ROW_DESCRIPTION | server::NO_DATA)
        | (Reply::Execute, server::COMMAND_COMPLETE | server::EMPTY_QUERY | server::PORTAL_SUSPENDED) => Last,
        (Reply::DescribeStatement, server::PARAMETER_DESCRIPTION) => Within,
        (
            Reply::Query | Reply::Call,
            server::PARSE_COMPLETE | server::BIND_COMPLETE | server::CLOSE_COMPLETE,
        ) => Unknown,
        (Reply::Query | Reply::Call | Reply::Execute, _) => {
            if tag == server::READY {
                Unknown
            } else {
                Within
            }
        }
        _ => Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Action::{Forward, Swallow};

    #[test]
    fn a_pipeline_is_answered_in_order() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.push(Reply::Parse, Swallow, 1), None);
        assert_eq!(ledger.push(Reply::Bind, Forward, 2), None);
        assert_eq!(ledger.insert(b"made up", 9), None);
        assert_eq!(ledger.push(Reply::Sync, Forward, 3), None);
        assert_eq!(ledger.next_insert(), None);
        assert_eq!(ledger.take(b'1'), Ok(Step::Done(Swallow, Reply::Parse, 1)));
        assert_eq!(ledger.take(b'2'), Ok(Step::Done(Forward, Reply::Bind, 2)));
        assert_eq!(ledger.take(b'Z'), Err(Unexpected(b'Z')), "the made-up reply comes first");
        assert_eq!(ledger.next_insert(), Some((&b"made up"[..], 9)));
        assert_eq!(ledger.take(b'Z'), Ok(Step::Done(Forward, Reply::Sync, 3)));
        assert!(ledger.is_empty());
    }

    #[test]
    fn an_error_drops_everything_up_to_sync() {
        let mut ledger = Ledger::default();
        for (n, reply) in
            [Reply::Parse, Reply::Bind, Reply::Execute, Reply::Sync, Reply::Bind].into_iter().enumerate()
        {
            assert_eq!(ledger.push(reply, Forward, n), None);
        }
        assert_eq!(ledger.fail(), Ok((Forward, vec![0, 1, 2])));
        assert_eq!(ledger.head(), Some(Reply::Sync));
        assert!(ledger.take(b'Z').is_ok());
        assert_eq!(ledger.head(), Some(Reply::Bind));
    }

    #[test]
    fn what_is_sent_after_an_error_is_dropped_until_a_sync_is_sent() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.push(Reply::Parse, Forward, 1), None);
        assert_eq!(ledger.fail(), Ok((Forward, vec![1])));
        assert_eq!(ledger.push(Reply::Bind, Forward, 2), Some(2));
        assert_eq!(ledger.push(Reply::Query, Forward, 3), Some(3), "even a simple query");
        assert_eq!(ledger.insert(b"never", 5), Some(5));
        assert_eq!(ledger.push(Reply::Sync, Forward, 4), None);
        assert_eq!(ledger.next_insert(), None);
        assert_eq!(ledger.take(b'Z'), Ok(Step::Done(Forward, Reply::Sync, 4)));
    }

    #[test]
    fn a_sync_sent_into_a_copy_is_not_answered() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.push(Reply::Execute, Forward, 1), None);
        assert_eq!(ledger.push(Reply::Sync, Forward, 2), None);
        ledger.copy_end();
        assert_eq!(ledger.push(Reply::Sync, Forward, 3), None);
        assert_eq!(ledger.take(b'G'), Ok(Step::Within(Forward)));
        assert_eq!(ledger.copy_in(), CopyIn::Ended);
        assert_eq!(ledger.batch(), Batch::Closed, "the second one counts");
        assert_eq!(ledger.take(b'C'), Ok(Step::Done(Forward, Reply::Execute, 1)));
        assert_eq!(ledger.take(b'Z'), Ok(Step::Done(Forward, Reply::Sync, 3)));
        assert!(ledger.is_empty());
    }

    #[test]
    fn a_batch_whose_only_sync_was_sent_into_a_copy_is_open_again() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.push(Reply::Execute, Forward, 1), None);
        assert_eq!(ledger.batch(), Batch::Open);
        assert_eq!(ledger.push(Reply::Sync, Forward, 2), None);
        assert_eq!(ledger.batch(), Batch::Closed);
        assert_eq!(ledger.take(b'G'), Ok(Step::Within(Forward)));
        assert_eq!(ledger.copy_in(), CopyIn::Open);
        assert_eq!(ledger.batch(), Batch::Open);
        assert_eq!(ledger.fail(), Ok((Forward, vec![1])));
        assert!(ledger.is_empty());
        assert_eq!(ledger.batch(), Batch::Open);
        assert_eq!(ledger.push(Reply::Sync, Forward, 3), None);
        assert_eq!(ledger.batch(), Batch::Closed);
    }

    #[test]
    fn a_copy_that_never_began_leaves_its_end_without_effect() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.push(Reply::Execute, Forward, 1), None);
        assert_eq!(ledger.push(Reply::Sync, Forward, 2), None);
        ledger.copy_end();
        assert_eq!(ledger.push(Reply::Sync, Forward, 3), None);
        assert_eq!(ledger.fail(), Ok((Forward, vec![1])));
        assert!(ledger.take(b'Z').is_ok());
        assert_eq!(ledger.next_insert(), None);
        assert!(ledger.take(b'Z').is_ok());
    }

    #[test]
    fn a_simple_query_that_fails_is_still_ready_afterwards() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.push(Reply::Query, Forward, ()), None);
        assert_eq!(ledger.fail(), Ok((Forward, vec![])));
        assert_eq!(ledger.take(b'Z'), Ok(Step::Done(Forward, Reply::Query, ())));
    }

    #[test]
    fn a_server_that_lies_is_found_out() {
        let mut ledger: Ledger<()> = Ledger::default();
        assert_eq!(ledger.take(b'C'), Err(Unexpected(b'C')));
        assert_eq!(ledger.fail(), Err(Unexpected(b'E')));
        assert_eq!(ledger.push(Reply::Parse, Forward, ()), None);
        assert_eq!(ledger.take(b'2'), Err(Unexpected(b'2')));
    }
}
