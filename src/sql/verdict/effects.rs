//! What a statement leaves in its session when it has run, and what it takes away of that. What a session has of it at
//! a time is not kept here.

use super::bound::BoundCall;
use super::code::{Code, Traces};

/// What a successful statement leaves in its session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Settings it changed, in order.
    pub settings: Box<[Setting]>,
    /// What it did to the state that cannot be moved to another connection, in order.
    pub changes: Box<[Change]>,
    /// Code in it that runs by it or may run later: the body of a block, the query of a SQL-level `PREPARE`, the
    /// procedure that is called. What the functions in it leave, only the catalog tells.
    pub code: Option<Box<Code>>,
    /// All its calls of `set_config`, in order, where values that come with `Bind` tell what they do. Until those are
    /// there, `changes` has what may be.
    pub bound: Box<[BoundCall]>,
}

impl Effects {
    /// What is left by this change, if there is one, and by code that runs then: by that as far as it can be told
    /// without a catalog.
    pub(in crate::sql) fn of(change: Option<Change>, code: Option<Code>) -> Self {
        let traces = code.as_ref().map_or(Traces::None, |code| code.conduct.traces);
        let by_code = (traces > Traces::None).then_some(Change::Code(traces));
        let changes = change.into_iter().chain(by_code).collect();
        Self { settings: Box::default(), changes, code: code.map(Box::new), bound: Box::default() }
    }

    /// What is left where nobody follows what becomes of it, as far as the text tells.
    pub(crate) fn traces(&self) -> Traces {
        let settings = if self.settings.is_empty() { Traces::None } else { Traces::Discardable };
        self.changes.iter().map(Change::traces).max().unwrap_or_default().max(settings)
    }

    /// Whether it leaves and takes away nothing, as far as its text tells.
    pub(crate) fn is_empty(&self) -> bool {
        self.settings.is_empty() && self.changes.is_empty() && self.code.is_none()
    }

    /// The kinds of state that it adds to, as far as its text tells.
    pub(crate) fn pins(&self) -> impl Iterator<Item = Pin> {
        self.changes.iter().filter_map(Change::pin)
    }

    /// The channels that it listens to, as far as its text tells.
    pub(crate) fn listens(&self) -> impl Iterator<Item = &str> {
        self.changes.iter().filter_map(|change| match change {
            Change::Listen(channel) => Some(&**channel),
            _ => None,
        })
    }
}

/// One changed setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The setting's name in lower case; `role` and `session_authorization` included.
    pub name: Box<str>,
    /// The value as SQL text that may follow `SET name TO`: a quoted literal, a list of them, a number, `DEFAULT`. A call
    /// of `set_config` is given a list as one literal.
    pub value: Box<str>,
    /// How long it lives.
    pub scope: Scope,
}

/// How long a setting lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Until the session ends (or the transaction rolls back).
    Session,
    /// Until the transaction ends.
    Local,
}

/// Something done to the state of a session that lives on its connection and cannot be moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A temporary object was created: a relation of this name, or something that is known by none.
    Temporary(Option<Box<str>>),
    /// A temporary table was created that ends with its transaction (`ON COMMIT DROP`).
    TemporaryForNow,
    /// A relation was created without a schema: a temporary one, where the search path begins with `pg_temp`.
    Creates,
    /// The search path was given a value that the text does not tell, for the transaction at least: it may begin with
    /// `pg_temp`.
    Searches,
    /// Relations were dropped.
    Drops(Box<[Dropped]>),
    /// A relation got another name.
    Renames,
    /// `LISTEN channel`.
    Listen(Box<str>),
    /// `UNLISTEN channel`, or `UNLISTEN *` when `None`.
    Unlisten(Option<Box<str>>),
    /// `DECLARE name CURSOR WITH HOLD`.
    HoldCursor(Box<str>),
    /// `CLOSE name`, or `CLOSE ALL` when `None`.
    Close(Option<Box<str>>),
    /// A session-level advisory lock was taken once at most, on this key; `None` when neither the key is known nor how
    /// often.
    Lock(Option<LockKey>),
    /// A session-level advisory lock was given back once at least, if it was held.
    Unlock(LockKey),
    /// `pg_advisory_unlock_all()`.
    UnlockAll,
    /// SQL-level `PREPARE name`.
    Prepare(Box<str>),
    /// A setting was given a value that the text does not tell; `None` when neither does it tell which one.
    DynamicSetting(Option<Box<str>>),
    /// A setting may have been given a value that the text does not tell, until the end of the transaction; `None` when
    /// neither does it tell which one.
    LocalSetting(Option<Box<str>>),
    /// `currval` or `lastval` were answered: the values live on the connection that drew them.
    Drawn,
    /// `LOAD`.
    Load,
    /// Code ran that may leave this much.
    Code(Traces),
    /// A text that was too long to be read.
    LongStatement,
    /// Anything else.
    Unknown,
}

/// A relation in a `DROP`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// Named without a schema: a temporary relation goes first, unless the search path says otherwise.
    Unqualified(Box<str>),
    /// Named as one in `pg_temp`.
    Temporary(Box<str>),
}

/// A key of advisory locks: how it is locked, and the key itself in its words. Different words may mean one key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LockKey {
    /// Exclusive or shared: either is given back by its own function.
    pub strength: Strength,
    /// The arguments, in one spelling.
    pub key: Box<str>,
}

/// How an advisory lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strength {
    /// By one session only.
    Exclusive,
    /// Together with others.
    Shared,
}

/// Why a session keeps its backend connection: state lives there that cannot be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pin {
    /// A temporary table or another temporary object.
    Temporary,
    /// LISTEN.
    Listen,
    /// A session-level advisory lock.
    AdvisoryLock,
    /// A cursor WITH HOLD.
    HoldCursor,
    /// SQL-level PREPARE.
    SqlPrepare,
    /// LOAD.
    Load,
    /// set_config with a name or value that is not a literal.
    DynamicSetting,
    /// Values of sequences that the session asks for again: they live in the connection that drew them.
    Sequence,
    /// A function, a procedure or a block ran that may leave state behind.
    Function,
    /// A statement too long to be read, or to be carried to another connection.
    LongStatement,
    /// Anything else that is known to leave state, or not known not to.
    Unknown,
}

impl Pin {
    /// Every one, in the order of the enum: `ALL[pin as usize]` is `pin`.
    pub(crate) const ALL: [Pin; 11] = [
        Pin::Temporary,
        Pin::Listen,
        Pin::AdvisoryLock,
        Pin::HoldCursor,
        Pin::SqlPrepare,
        Pin::Load,
        Pin::DynamicSetting,
        Pin::Sequence,
        Pin::Function,
        Pin::LongStatement,
        Pin::Unknown,
    ];

    /// The label, in snake case.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Pin::Temporary => "temporary",
            Pin::Listen => "listen",
            Pin::AdvisoryLock => "advisory_lock",
            Pin::HoldCursor => "hold_cursor",
            Pin::SqlPrepare => "sql_prepare",
            Pin::Load => "load",
            Pin::DynamicSetting => "dynamic_setting",
            Pin::Sequence => "sequence",
            Pin::Function => "function",
            Pin::LongStatement => "long_statement",
            Pin::Unknown => "unknown",
        }
    }
}

impl Change {
    fn traces(&self) -> Traces {
        match self {
            Change::Code(traces) => *traces,
            Change::LocalSetting(_) => Traces::None,
            Change::Load | Change::LongStatement | Change::Unknown => Traces::Lasting,
            _ => Traces::Discardable,
        }
    }

    /// Whether it takes state away.
    pub(crate) fn frees(&self) -> bool {
        matches!(
            self,
            Change::Drops(_) | Change::Unlisten(_) | Change::Close(_) | Change::Unlock(_) | Change::UnlockAll
        )
    }

    /// The kind of state that it adds to; `None` when it adds none that outlives the transaction for sure.
    pub(crate) fn pin(&self) -> Option<Pin> {
        match self {
            Change::Temporary(_) => Some(Pin::Temporary),
            Change::Listen(_) => Some(Pin::Listen),
            Change::HoldCursor(_) => Some(Pin::HoldCursor),
            Change::Lock(_) => Some(Pin::AdvisoryLock),
            Change::Prepare(_) => Some(Pin::SqlPrepare),
            Change::DynamicSetting(_) => Some(Pin::DynamicSetting),
            Change::Drawn => Some(Pin::Sequence),
            Change::Load => Some(Pin::Load),
            Change::Code(Traces::None) => None,
            Change::Code(_) => Some(Pin::Function),
            Change::LongStatement => Some(Pin::LongStatement),
            Change::Unknown => Some(Pin::Unknown),
            Change::TemporaryForNow
            | Change::Creates
            | Change::Searches
            | Change::LocalSetting(_)
            | Change::Drops(_)
            | Change::Renames
            | Change::Unlisten(_)
            | Change::Close(_)
            | Change::Unlock(_)
            | Change::UnlockAll => None,
        }
    }
}
