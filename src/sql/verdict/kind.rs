//! Which command a statement is, in the words of the PostgreSQL manual, and why one must run on the primary.
//!
//! What it accesses and what it leaves stand beside its kind in the [`Statement`](super::Statement), never in it.

use super::effects::Scope;

/// What a statement is, for routing and for the session's own bookkeeping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only reads, as far as its text tells; a replica can run it if its functions may run there.
    Read,
    /// Must run on the primary.
    Primary(Why),
    /// `BEGIN`, `START TRANSACTION`.
    Begin(Modes),
    /// `COMMIT`, `END`.
    Commit {
        /// `AND CHAIN` was written.
        chain: Chain,
    },
    /// `ROLLBACK`, `ABORT`.
    Rollback {
        /// `AND CHAIN` was written.
        chain: Chain,
    },
    /// `SAVEPOINT name`.
    Savepoint(Box<str>),
    /// `RELEASE [SAVEPOINT] name`.
    Release(Box<str>),
    /// `ROLLBACK TO [SAVEPOINT] name`.
    RollbackTo(Box<str>),
    /// `SET TRANSACTION ...`, `SET SESSION CHARACTERISTICS AS TRANSACTION ...`.
    SetTransaction(Modes, Scope),
    /// `SET [SESSION|LOCAL] name = value`, `SET ROLE`, `SET TIME ZONE`, `SET NAMES` ...: see [`Effects::settings`](super::Effects::settings).
    Set,
    /// `SET weir.name = value`: for weir itself. The value without quotes; [`Effects::settings`](super::Effects::settings) has it too.
    SetWeir(Box<str>, Box<str>),
    /// `RESET name` (also `SET name TO DEFAULT`), or `RESET ALL` when `None`.
    Reset(Option<Box<str>>),
    /// `SHOW name` of a setting that the session's own view answers alike everywhere.
    Show(Box<str>),
    /// SQL-level `PREPARE name AS ...`.
    Prepare(Box<str>),
    /// SQL-level `EXECUTE name`.
    Execute(Box<str>),
    /// `DEALLOCATE name`, or `DEALLOCATE ALL` when `None`.
    Deallocate(Option<Box<str>>),
    /// `DISCARD ALL | PLANS | SEQUENCES | TEMP`.
    Discard(Discard),
    /// `DECLARE name CURSOR` without `HOLD` over a plain read, `FETCH`, `MOVE`, `CLOSE`: where the transaction runs.
    Cursor(CursorUse),
}

/// What is done with which cursor; names as PostgreSQL folds them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CursorUse {
    /// `DECLARE name CURSOR`.
    Declare(Box<str>),
    /// `FETCH`, `MOVE`.
    Fetch(Box<str>),
    /// `CLOSE name`, or `CLOSE ALL` when `None`.
    Close(Option<Box<str>>),
}

/// Whether `AND CHAIN` follows a transaction's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chain {
    /// The next transaction begins at once with the same modes.
    Chain,
    /// The session is idle afterwards.
    NoChain,
}

/// What `DISCARD` throws away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discard {
    /// Everything that belongs to the session.
    All,
    /// Cached plans.
    Plans,
    /// Cached sequence values.
    Sequences,
    /// Temporary tables.
    Temp,
}

/// Transaction modes as written; `None` where nothing was said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Modes {
    /// `ISOLATION LEVEL`.
    pub isolation: Option<Isolation>,
    /// `READ ONLY` or `READ WRITE`.
    pub access: Option<AccessMode>,
    /// `[NOT] DEFERRABLE`.
    pub deferrable: Option<Deferrable>,
}

impl Modes {
    /// These, and of what they do not say, what others say.
    #[must_use]
    pub(crate) fn or(self, others: Self) -> Self {
        Self {
            isolation: self.isolation.or(others.isolation),
            access: self.access.or(others.access),
            deferrable: self.deferrable.or(others.deferrable),
        }
    }
}

impl Kind {
    /// Whether it ends a transaction and begins another.
    pub(crate) fn chains(&self) -> bool {
        matches!(self, Kind::Commit { chain: Chain::Chain } | Kind::Rollback { chain: Chain::Chain })
    }
}

/// Transaction isolation levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// PostgreSQL treats it as `READ COMMITTED`, but shows it as it was said.
    ReadUncommitted,
    /// Each statement has its own snapshot.
    ReadCommitted,
    /// One snapshot for the transaction.
    RepeatableRead,
    /// Never on a replica: 0A000 there.
    Serializable,
}

/// Transaction access modes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessMode {
    /// `READ ONLY`.
    ReadOnly,
    /// `READ WRITE`.
    ReadWrite,
}

/// `[NOT] DEFERRABLE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deferrable {
    /// `DEFERRABLE`.
    Deferrable,
    /// `NOT DEFERRABLE`.
    NotDeferrable,
}

/// Why a statement must run on the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Why {
    /// INSERT, UPDATE, DELETE, MERGE, TRUNCATE, DML in a CTE, SELECT INTO, COPY FROM.
    Write,
    /// CREATE, ALTER, DROP, GRANT, COMMENT, ...
    Ddl,
    /// FOR UPDATE, FOR NO KEY UPDATE, FOR SHARE, FOR KEY SHARE.
    RowLock,
    /// LOCK TABLE.
    TableLock,
    /// nextval, setval, currval, lastval, `SELECT last_value FROM seq`.
    Sequence,
    /// Advisory locks: a replica grants them beside the primary's.
    AdvisoryLock,
    /// Functions, views and settings that speak of the server they run on.
    ServerState,
    /// A built-in function that writes or acts outside the database.
    VolatileFunction,
    /// LISTEN, UNLISTEN, NOTIFY, pg_notify.
    Notification,
    /// CALL, DO.
    Procedure,
    /// VACUUM, ANALYZE, CLUSTER, REINDEX, CHECKPOINT, REFRESH, ALTER SYSTEM ...
    Maintenance,
    /// Temporary objects.
    Temporary,
    /// Cursors that outlive their transaction.
    HoldCursor,
    /// PREPARE TRANSACTION, COMMIT PREPARED, ROLLBACK PREPARED.
    TwoPhase,
    /// LOAD, or anything else that leaves unknown state in the server process.
    SessionState,
    /// A read that changes settings until the transaction ends, to what its text does not tell: see
    /// [`Change::LocalSetting`](super::Change::LocalSetting). Nothing else keeps it from a replica, its functions aside.
    LocalSetting,
    /// COPY to or from a file or program of the server.
    ServerFile,
    /// The lexer or the parser gave up.
    Unparsable,
    /// Larger than weir reads as a whole.
    TooLong,
}
