//! The one word that says why a request went where it went: a label of the routing metric and of logs.

use std::fmt;

use crate::sql::Why;

/// Why a request was routed as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// It only reads.
    Read,
    /// No statement in it: PostgreSQL answers EmptyQueryResponse.
    Empty,
    /// INSERT, UPDATE, DELETE, MERGE, TRUNCATE, SELECT INTO, COPY FROM.
    Write,
    /// CREATE, ALTER, DROP, GRANT ...
    Ddl,
    /// FOR UPDATE and its weaker forms.
    RowLock,
    /// LOCK TABLE.
    TableLock,
    /// nextval, setval, currval, lastval, a sequence read as a table.
    Sequence,
    /// Advisory locks.
    AdvisoryLock,
    /// It asks about the server it runs on.
    ServerState,
    /// A built-in function that writes or acts outside the database.
    BuiltInFunction,
    /// LISTEN, UNLISTEN, NOTIFY.
    Notification,
    /// CALL, DO.
    Procedure,
    /// VACUUM, ANALYZE, CHECKPOINT, ALTER SYSTEM ...
    Maintenance,
    /// Temporary objects.
    Temporary,
    /// A cursor WITH HOLD.
    HoldCursor,
    /// PREPARE TRANSACTION and what ends it.
    TwoPhase,
    /// It reads or leaves state of the session in the server process.
    SessionState,
    /// Files and programs of the server.
    ServerFile,
    /// weir could not read it.
    Unparsable,
    /// Longer than weir reads.
    TooLong,
    /// It calls a function that the catalog calls VOLATILE.
    VolatileFunction,
    /// It calls a function that the catalog does not know, or there is no catalog yet.
    UnknownFunction,
    /// It reads a relation that was made since the catalog was last read: it may be a view of anything. Or code was
    /// defined since then: it may run by that.
    UnknownRelation,
    /// It reads an unlogged relation, which replicas do not have.
    Unlogged,
    /// It calls a function listed in `write_functions`.
    WriteFunction,
    /// Several statements in one request, not all of them plain reads.
    MultiStatement,
    /// A transaction is open: all of it runs where it began.
    InTransaction,
    /// State of the session lives on its connection to the primary.
    Pinned,
    /// A transaction that may write.
    Begin,
    /// A transaction that says READ ONLY.
    BeginReadOnly,
    /// A transaction in a session whose default is read only.
    ReadOnlyDefault,
    /// SERIALIZABLE, which replicas refuse.
    Serializable,
    /// COMMIT, ROLLBACK or a savepoint without a transaction, or SET TRANSACTION.
    TransactionControl,
    /// SET, RESET.
    Setting,
    /// SQL-level PREPARE, EXECUTE, DEALLOCATE.
    Prepared,
    /// DECLARE, FETCH, MOVE or CLOSE without a transaction.
    Cursor,
    /// DISCARD.
    Discard,
    /// A comment in front of the statement asks for the primary.
    HintPrimary,
    /// A comment in front of the statement asks for a replica.
    HintReplica,
    /// `SET weir.target` says so.
    SetTarget,
    /// The startup option `weir.target` says so.
    StartupTarget,
    /// The listener has a fixed target.
    ListenerTarget,
    /// The database has a fixed target.
    DatabaseTarget,
    /// The user has a fixed target.
    UserTarget,
    /// A rule of the configuration says so.
    Rule,
    /// A replica refused a statement of this shape before.
    Learned,
    /// It could have gone to a replica, but none can be used now.
    NoReplica,
    /// It could have gone to a replica, but none was known to be fresh enough in time.
    Stale,
    /// A replica refused it, so it runs again on the primary.
    Rerun,
    /// The replica that ran it was lost, so it runs again on the primary.
    ReplicaLost,
    /// A read of a transaction that has only read: outside of it.
    LazyRead,
    /// It needs its transaction, which has only read, on a server: settings, a cursor, a portal, the time.
    LazyState,
    /// It begins, ends or moves in a transaction of which no server knows: weir answers it.
    LazyControl,
    /// A REPEATABLE READ transaction that may write.
    RepeatableRead,
    /// A write stands behind it in the same pipeline.
    PipelinedWrite,
    /// No replica is fresh enough at once, and transactions that begin like this one mostly write.
    LikelyWrite,
}

impl Reason {
    /// Every reason, in the order of the enum: `ALL[reason as usize]` is `reason`.
    pub const ALL: [Reason; 56] = [
        Reason::Read,
        Reason::Empty,
        Reason::Write,
        Reason::Ddl,
        Reason::RowLock,
        Reason::TableLock,
        Reason::Sequence,
        Reason::AdvisoryLock,
        Reason::ServerState,
        Reason::BuiltInFunction,
        Reason::Notification,
        Reason::Procedure,
        Reason::Maintenance,
        Reason::Temporary,
        Reason::HoldCursor,
        Reason::TwoPhase,
        Reason::SessionState,
        Reason::ServerFile,
        Reason::Unparsable,
        Reason::TooLong,
        Reason::VolatileFunction,
        Reason::UnknownFunction,
        Reason::UnknownRelation,
        Reason::Unlogged,
        Reason::WriteFunction,
        Reason::MultiStatement,
        Reason::InTransaction,
        Reason::Pinned,
        Reason::Begin,
        Reason::BeginReadOnly,
        Reason::ReadOnlyDefault,
        Reason::Serializable,
        Reason::TransactionControl,
        Reason::Setting,
        Reason::Prepared,
        Reason::Cursor,
        Reason::Discard,
        Reason::HintPrimary,
        Reason::HintReplica,
        Reason::SetTarget,
        Reason::StartupTarget,
        Reason::ListenerTarget,
        Reason::DatabaseTarget,
        Reason::UserTarget,
        Reason::Rule,
        Reason::Learned,
        Reason::NoReplica,
        Reason::Stale,
        Reason::Rerun,
        Reason::ReplicaLost,
        Reason::LazyRead,
        Reason::LazyState,
        Reason::LazyControl,
        Reason::RepeatableRead,
        Reason::PipelinedWrite,
        Reason::LikelyWrite,
    ];

    /// The label, in snake case.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Read => "read",
            Reason::Empty => "empty",
            Reason::Write => "write",
            Reason::Ddl => "ddl",
            Reason::RowLock => "row_lock",
            Reason::TableLock => "table_lock",
            Reason::Sequence => "sequence",
            Reason::AdvisoryLock => "advisory_lock",
            Reason::ServerState => "server_state",
            Reason::BuiltInFunction => "built_in_function",
            Reason::Notification => "notification",
            Reason::Procedure => "procedure",
            Reason::Maintenance => "maintenance",
            Reason::Temporary => "temporary",
            Reason::HoldCursor => "hold_cursor",
            Reason::TwoPhase => "two_phase",
            Reason::SessionState => "session_state",
            Reason::ServerFile => "server_file",
            Reason::Unparsable => "unparsable",
            Reason::TooLong => "too_long",
            Reason::VolatileFunction => "volatile_function",
            Reason::UnknownFunction => "unknown_function",
            Reason::UnknownRelation => "unknown_relation",
            Reason::Unlogged => "unlogged",
            Reason::WriteFunction => "write_function",
            Reason::MultiStatement => "multi_statement",
            Reason::InTransaction => "in_transaction",
            Reason::Pinned => "pinned",
            Reason::Begin => "begin",
            Reason::BeginReadOnly => "begin_read_only",
            Reason::ReadOnlyDefault => "read_only_default",
            Reason::Serializable => "serializable",
            Reason::TransactionControl => "transaction_control",
            Reason::Setting => "setting",
            Reason::Prepared => "prepared",
            Reason::Cursor => "cursor",
            Reason::Discard => "discard",
            Reason::HintPrimary => "hint_primary",
            Reason::HintReplica => "hint_replica",
            Reason::SetTarget => "set_target",
            Reason::StartupTarget => "startup_target",
            Reason::ListenerTarget => "listener_target",
            Reason::DatabaseTarget => "database_target",
            Reason::UserTarget => "user_target",
            Reason::Rule => "rule",
            Reason::Learned => "learned",
            Reason::NoReplica => "no_replica",
            Reason::Stale => "stale",
            Reason::Rerun => "rerun",
            Reason::ReplicaLost => "replica_lost",
            Reason::LazyRead => "lazy_read",
            Reason::LazyState => "lazy_state",
            Reason::LazyControl => "lazy_control",
            Reason::RepeatableRead => "repeatable_read",
            Reason::PipelinedWrite => "pipelined_write",
            Reason::LikelyWrite => "likely_write",
        }
    }
}

impl From<Why> for Reason {
    fn from(why: Why) -> Self {
        match why {
            Why::Write => Reason::Write,
            Why::Ddl => Reason::Ddl,
            Why::RowLock => Reason::RowLock,
            Why::TableLock => Reason::TableLock,
            Why::Sequence => Reason::Sequence,
            Why::AdvisoryLock => Reason::AdvisoryLock,
            Why::ServerState => Reason::ServerState,
            Why::Notification => Reason::Notification,
            Why::Procedure => Reason::Procedure,
            Why::Maintenance => Reason::Maintenance,
            Why::Temporary => Reason::Temporary,
            Why::HoldCursor => Reason::HoldCursor,
            Why::TwoPhase => Reason::TwoPhase,
            Why::SessionState | Why::LocalSetting => Reason::SessionState,
            Why::ServerFile => Reason::ServerFile,
            Why::Unparsable => Reason::Unparsable,
            Why::TooLong => Reason::TooLong,
            Why::VolatileFunction => Reason::BuiltInFunction,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_lists_every_reason_at_its_own_place_under_its_own_name() {
        let mut labels = Vec::new();
        for (at, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, at);
            labels.push(reason.as_str());
        }
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), Reason::ALL.len());
        assert_eq!(Reason::LikelyWrite as usize, Reason::ALL.len() - 1, "the last one is listed last");
    }
}
