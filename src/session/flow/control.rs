//! Which statements of a request weir can answer in the server's stead: those that begin, end or move in a transaction of
//! which no server knows, where nothing about them needs a server's judgement.
//!
//! Pure. It says what can be answered, and answers nothing.

use crate::session::model::statements::Names;
use crate::session::relay::facts::{Fact, controls};
use crate::session::relay::kept::Keeps;
use crate::session::relay::message::{Message, MessageKind};
use crate::session::relay::request::Request;
use crate::session::transaction::Transaction;
use crate::sql::{Chain, Kind, Statement, Verdict};
use crate::wire::TxStatus;
use crate::wire::request::binds_nothing;

/// How much of a request at the front of `bytes` weir can answer.
pub(crate) fn keeps(request: &Request, bytes: &[u8], names: &Names, transaction: &Transaction) -> Keeps {
    let mut walk = Walk::new(bytes, names, transaction);
    if !request.any(Fact::Controls) {
        return match request.messages.iter().all(|message| walk.is_neutral(message)) {
            true => Keeps::All,
            false if walk.status == TxStatus::Failed => Keeps::Nothing,
            false => Keeps::Controls,
        };
    }
    match request.messages.iter().try_for_each(|message| walk.message(message)) {
        // What is bound may be executed by a request to come.
        Some(()) if walk.bound.is_empty() => match walk.others {
            0 => Keeps::All,
            _ => Keeps::Controls,
        },
        _ => Keeps::Nothing,
    }
}

/// What the messages so far have come to, if all goes well.
struct Walk<'a> {
    bytes: &'a [u8],
    names: &'a Names,
    transaction: &'a Transaction,
    status: TxStatus,
    savepoints: Vec<&'a str>,
    /// How much has been said since the transaction began after which its modes may not be changed any more.
    said: usize,
    /// How many messages need a connection.
    others: usize,
    parsed: Vec<(&'a [u8], &'a Verdict)>,
    /// Portals of statements that control the transaction, not executed yet.
    bound: Vec<(&'a [u8], &'a Statement)>,
    /// Those that have been.
    executed: Vec<&'a [u8]>,
}

impl<'a> Walk<'a> {
    fn new(bytes: &'a [u8], names: &'a Names, transaction: &'a Transaction) -> Self {
        let journal = transaction.journal();
        let fresh = journal.is_none_or(|journal| journal.is_fresh());
        Self {
            bytes,
            names,
            transaction,
            status: transaction.status(),
            savepoints: journal.into_iter().flat_map(|journal| journal.savepoints()).collect(),
            said: usize::from(!fresh),
            others: 0,
            parsed: Vec::new(),
            bound: Vec::new(),
            executed: Vec::new(),
        }
    }

    /// Whether a message asks nothing of a transaction: weir can answer it whatever is known.
    fn is_neutral(&self, message: &Message) -> bool {
        match message.kind {
            MessageKind::Sync | MessageKind::Flush => true,
            MessageKind::CloseStatement { name } => {
                let name = name.of(self.bytes);
                !name.is_empty() && self.names.get(name).is_none_or(|handle| handle.is_weirs())
            }
            _ => false,
        }
    }

    /// One more message; `None` where a server is to judge.
    fn message(&mut self, message: &'a Message) -> Option<()> {
        let bytes = self.bytes;
        match (message.kind, message.verdict.as_deref()) {
            _ if self.is_neutral(message) => return Some(()),
            (MessageKind::Query { .. }, Some(verdict)) => match control(verdict) {
                Some(statement) => return self.runs(statement),
                None if verdict.statements.iter().any(controls) => return None,
                None => {}
            },
            (MessageKind::Parse { name, types, .. }, Some(verdict)) => {
                let name = name.of(bytes);
                self.parsed.push((name, verdict));
                if control(verdict).is_some() {
                    let taken = !name.is_empty() && self.names.get(name).is_some();
                    let again = self.parsed.iter().filter(|(parsed, _)| *parsed == name).count() > 1;
                    let free = name.is_empty() || !(taken || again);
                    return (free && types.of(bytes) == [0, 0]).then_some(());
                }
            }
            (MessageKind::Bind { portal, statement }, verdict) => {
                self.executed.retain(|executed| *executed != portal.of(bytes));
                if let Some(control) = verdict.or(self.parsed(statement.of(bytes))).and_then(control) {
                    self.bound.push((portal.of(bytes), control));
                    // A portal with a name could be asked for again, and the server would say that it has run.
                    return (portal.is_empty() && binds_nothing(message.of(bytes))).then_some(());
                }
            }
            (MessageKind::DescribeStatement { name }, verdict)
                if verdict.or(self.parsed(name.of(bytes))).and_then(control).is_some() =>
            {
                return Some(());
            }
            (MessageKind::DescribePortal { name }, _) if self.bound(name.of(bytes)).is_some() => {
                return Some(());
            }
            (MessageKind::Execute { portal, .. }, _) => {
                if let Some(at) = self.bound(portal.of(bytes)) {
                    let (_, statement) = self.bound.swap_remove(at);
                    self.executed.push(portal.of(bytes));
                    return self.runs(statement);
                }
                if self.executed.contains(&portal.of(bytes)) {
                    return None;
                }
            }
            _ => {}
        }
        self.needs_connection()
    }

    fn parsed(&self, name: &[u8]) -> Option<&'a Verdict> {
        self.parsed.iter().rev().find(|(parsed, _)| *parsed == name).map(|(_, verdict)| *verdict)
    }

    fn bound(&self, portal: &[u8]) -> Option<usize> {
        self.bound.iter().rposition(|(bound, _)| *bound == portal)
    }

    /// Something that is no control of the transaction. In one that has failed a server refuses it, and what ends that is
    /// answered by the same server.
    fn needs_connection(&mut self) -> Option<()> {
        (self.others, self.said) = (self.others + 1, self.said + 1);
        (self.transaction.status() != TxStatus::Failed).then_some(())
    }

    /// A statement that controls the transaction runs.
    fn runs(&mut self, statement: &'a Statement) -> Option<()> {
        let position = |name: &str| self.savepoints.iter().rposition(|known| *known == name);
        match (&statement.kind, self.status) {
            (Kind::Begin(_), TxStatus::Idle) => {
                (self.status, self.said) = (TxStatus::Open, 0);
                self.savepoints.clear();
            }
            (Kind::Commit { chain } | Kind::Rollback { chain }, TxStatus::Open | TxStatus::Failed) => {
                // What the client was told of settings must return, and only a server tells of that; nor is it known how
                // a transaction began that was lost.
                let judged = !self.transaction.reported().is_empty()
                    || (self.transaction.is_lost() && *chain == Chain::Chain);
                self.status = if *chain == Chain::Chain { TxStatus::Open } else { TxStatus::Idle };
                self.said = 0;
                self.savepoints.clear();
                return (!judged).then_some(());
            }
            (Kind::Savepoint(name), TxStatus::Open) => self.savepoints.push(name),
            (Kind::Release(name), TxStatus::Open) => self.savepoints.truncate(position(name)?),
            (Kind::RollbackTo(name), TxStatus::Open | TxStatus::Failed) => {
                let at = position(name)?;
                self.savepoints.truncate(at + 1);
                self.status = TxStatus::Open;
            }
            (Kind::SetTransaction(..), TxStatus::Open) if self.said == 0 => {
                return self.savepoints.is_empty().then_some(());
            }
            _ => return None,
        }
        Some(())
    }
}

/// The one statement of a verdict, where it controls a transaction.
pub(crate) fn control(verdict: &Verdict) -> Option<&Statement> {
    match &*verdict.statements {
        [statement] if controls(statement) && !statement.tag.is_empty() => Some(statement),
        _ => None,
    }
}

#[cfg(test)]
#[path = "control_tests.rs"]
mod tests;
