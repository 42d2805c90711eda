//! The transaction block: where a client stands in its transaction, and where that lives.
//!
//! Pure. What was said in it is in the journal.

use crate::error::Error;
use crate::session::transaction::journal::Ran;
use crate::sql::{Chain, Isolation, Kind, Statement};
use crate::wire::TxStatus;

/// The transaction block, once all that is in flight will have been answered, as far as can be foretold.
///
/// ```text
///                 sends BEGIN               answered: failed
///      ┌───────► Idle ───────────► Open ◄────────────────────► Failed ◄─────────┐
///      │          ▲ ◄──────────────┘ ▲                          │ │             │
///      │          │  sends COMMIT,   └──────────────────────────┘ │             │ resumed
///      │          │  ROLLBACK           ... AND CHAIN             │             │
///      │          │                                               │             │
///      │          │     lost, with the end in flight              │             │
///      │          ├──────────────── Open, Failed ─────────────────┤ lost        │
///      │          │                                               ▼             │
///      │          └─────────────────────────────────────────── LostTold ────────┘
///      │             sends COMMIT, ROLLBACK                     ▲     │
///      │                                        asks, is told   │     │ untold
///      │                       asks COMMIT, is told             │     ▼
///      └────────────────────────────────────────────────────── LostUntold
///
///      kept BEGIN              begins
/// Idle ─────────► Promised ──────────────► Open           kept: weir has answered it
///      ◄─────────   │ ▲  ◄──────────────                  begins: a server is told of it
///    kept COMMIT,   │ │     withdrawn, requeued
///    ROLLBACK       │ │ kept ROLLBACK TO
///            failed ▼ │        begins
///           PromiseFailed ──────────────► Failed
///
///               strands                  forsaken
/// Open, Failed ─────────► PromiseFailed ──────────► LostTold      strands: a server refuses what it is told of it
///                                                                 forsaken: its end needs a server
///
///       snapshot lost                asks, is told
/// Open ───────────────► SnapshotLost ──────────────► LostTold
///                          │ kept COMMIT, ROLLBACK
///                          └──────────────────────► Idle
/// ```
///
/// Whatever the server says when all has been answered holds, unless no server knows of the transaction. What is requeued
/// was outside of one, or its journal tells all of it.
#[derive(Debug, Default)]
pub(super) enum Block {
    /// There is none.
    #[default]
    Idle,
    /// One of which no server knows.
    Promised,
    /// The same, and it has failed.
    PromiseFailed,
    /// One that has only read, by a snapshot that is lost: it can end, and whatever else is asked fails by this.
    SnapshotLost(Error),
    /// One, at this isolation level where one was said.
    Open(Option<Isolation>),
    /// One that has failed: everything but its end is refused.
    Failed(Option<Isolation>),
    /// One that has failed because its connection was lost. There is none now, and the client knows why.
    LostTold,
    /// The same, and the client is to be told.
    LostUntold(Error),
}

impl Block {
    pub(super) fn status(&self) -> TxStatus {
        match self {
            Block::Idle => TxStatus::Idle,
            Block::Open(_) | Block::Promised | Block::SnapshotLost(_) => TxStatus::Open,
            Block::Failed(_) | Block::PromiseFailed | Block::LostTold | Block::LostUntold(_) => {
                TxStatus::Failed
            }
        }
    }

    pub(super) fn is_promised(&self) -> bool {
        matches!(self, Block::Promised | Block::PromiseFailed)
    }

    pub(super) fn isolation(&self) -> Option<Isolation> {
        match self {
            Block::Open(isolation) | Block::Failed(isolation) => *isolation,
            Block::Idle | Block::Promised | Block::PromiseFailed => None,
            Block::SnapshotLost(_) | Block::LostTold | Block::LostUntold(_) => None,
        }
    }

    /// After a statement, as far as its text tells.
    pub(super) fn sends(self, statement: &Statement, default: Option<Isolation>) -> Self {
        match (&statement.kind, self) {
            (Kind::Begin(modes), Block::Idle) => Block::Open(modes.isolation.or(default)),
            // Of a second BEGIN PostgreSQL heeds the modes alone.
            (Kind::Begin(modes) | Kind::SetTransaction(modes, _), Block::Open(isolation)) => {
                Block::Open(modes.isolation.or(isolation))
            }
            (_, Block::Idle) => Block::Idle,
            (Kind::Commit { chain } | Kind::Rollback { chain }, block) => match chain {
                Chain::Chain => Block::Open(block.isolation()),
                Chain::NoChain => Block::Idle,
            },
            (_, block) => block,
        }
    }

    pub(super) fn answered(self, status: TxStatus) -> Self {
        match status {
            _ if self.is_promised() => self,
            TxStatus::Idle => Block::Idle,
            TxStatus::Open => Block::Open(self.isolation()),
            TxStatus::Failed => Block::Failed(self.isolation()),
        }
    }

    /// A transaction whose end was not in flight has failed by the loss, and the client will end it.
    pub(super) fn lost(self, server: TxStatus, ran: Option<Ran>) -> Self {
        match (server, self.status()) {
            _ if self.is_promised() => Block::PromiseFailed,
            (_, TxStatus::Open | TxStatus::Failed) if ran == Some(Ran::Replica) => Block::PromiseFailed,
            (TxStatus::Idle, _) | (_, TxStatus::Idle) => Block::Idle,
            _ => Block::LostTold,
        }
    }

    /// The first request after a loss is told of it, unless it takes everything back.
    pub(super) fn asks(self, first: Option<&Kind>) -> (Self, Option<Error>) {
        match (self, first) {
            (Block::LostUntold(_), Some(Kind::Rollback { .. })) => (Block::LostTold, None),
            (Block::LostUntold(error), Some(Kind::Commit { .. })) => (Block::Idle, Some(error)),
            (Block::LostUntold(error) | Block::SnapshotLost(error), _) => (Block::LostTold, Some(error)),
            (block, _) => (block, None),
        }
    }
}
