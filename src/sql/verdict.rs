//! What is known about a request's SQL from its text alone.
//!
//! A verdict knows nothing of sessions, servers or catalogs: names are as the statement wrote them, and
//! whether a function that is not built in may run on a replica is asked of the catalog by the router.
//! A verdict depends on the statement's skeleton (its text without literals), so one serves every literal.

use std::time::Duration;

use super::access;
use super::dependencies::Dependency;
use super::effects::{Change, Effects, Scope};

/// Identifies a skeleton: the statement's text with every literal replaced by a placeholder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SkeletonId(pub u128);

/// The verdict over one SQL string, which may hold several statements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Identity for what is learned about this shape of statement at run time.
    pub skeleton: SkeletonId,
    /// One entry per statement in order; empty for an empty query string.
    pub statements: Box<[Statement]>,
    /// What a comment in front of the statement asks for.
    pub hint: Hint,
}

/// One statement of a SQL string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// What it is.
    pub kind: Kind,
    /// Functions called that are not in the table of built-ins. The router asks the catalog for their volatility.
    pub functions: Box<[Name]>,
    /// Relations it reads, as far as its text tells; one that it writes as well is not among them.
    pub reads: Box<[Name]>,
    /// Whether `reads` is all of them.
    pub reads_listed: Listed,
    /// Relations it writes, as far as its text tells.
    pub writes: Box<[Name]>,
    /// Whether `writes` is all of them.
    pub writes_listed: Listed,
    /// What it leaves behind in the session when it succeeds.
    pub effects: Effects,
    /// What it asks of what lives on one connection.
    pub depends_on: Dependency,
    /// The database to which nobody else may be connected while it runs.
    pub vacates: Option<Box<str>>,
}

/// A possibly qualified name. Unquoted parts are folded to lower case, quoted ones kept, as PostgreSQL does.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    /// The schema, when written.
    pub schema: Option<Box<str>>,
    /// The last part.
    pub name: Box<str>,
}

/// How much of what a statement touches is on a list. Functions that weir does not know are not considered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Listed {
    /// All of it.
    #[default]
    Wholly,
    /// There may be more, of any name.
    Partly,
}

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
    /// `SET [SESSION|LOCAL] name = value`, `SET ROLE`, `SET TIME ZONE`, `SET NAMES` ...: see [`Effects::settings`].
    Set,
    /// `SET weir.name = value`: for weir itself. The value without quotes; [`Effects::settings`] has it too.
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
    Cursor,
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
    /// COPY to or from a file or program of the server.
    ServerFile,
    /// The lexer or the parser gave up.
    Unparsable,
    /// Larger than weir reads as a whole.
    TooLong,
}

/// What a leading comment `/* weir: ... */` asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hint {
    /// `primary`, `replica`, `auto`.
    pub target: Option<Target>,
    /// `consistency=...`.
    pub consistency: Option<Consistency>,
    /// `max_staleness=...`.
    pub max_staleness: Option<MaxStaleness>,
}

/// Where a request may be sent, as an operator or an application says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Target {
    /// The router decides.
    #[default]
    Auto,
    /// Always the primary.
    Primary,
    /// A replica whenever one can run it.
    Replica,
}

/// How fresh a replica must be to serve a read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Consistency {
    /// Not older than the maximal staleness.
    Eventual,
    /// Holds this session's own writes.
    Session,
    /// Holds every session's writes to the relations that the read touches.
    #[default]
    Global,
    /// Holds everything committed before the read arrived.
    Strong,
}

/// The oldest that a replica may be to serve a read. The strictest is the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MaxStaleness {
    /// This old.
    AtMost(Duration),
    /// However old.
    Off,
}

impl Statement {
    /// A statement of this kind that names nothing and leaves nothing.
    pub fn of(kind: Kind) -> Self {
        Self {
            reads_listed: access::reads_listed(&kind),
            writes_listed: access::writes_listed(&kind),
            kind,
            functions: Box::default(),
            reads: Box::default(),
            writes: Box::default(),
            effects: Effects::default(),
            depends_on: Dependency::default(),
            vacates: None,
        }
    }
}

impl Verdict {
    /// The verdict for what cannot be read: everything unknown, so the primary, and there may be anything left of it.
    pub fn opaque(skeleton: SkeletonId, why: Why) -> Self {
        let change = if why == Why::TooLong { Change::LongStatement } else { Change::Unknown };
        let effects = Effects::by(change);
        let statement = Statement { effects, ..Statement::of(Kind::Primary(why)) };
        Self { skeleton, statements: Box::new([statement]), hint: Hint::default() }
    }
}
