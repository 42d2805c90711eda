//! The verdict over a text, and what is known of each statement in it.
//!
//! A verdict depends on the statement's skeleton (its text without literals), so one serves every literal. Whether a
//! function that is not built in may run on a replica it does not say: the router asks the catalog.

use std::sync::OnceLock;

use super::access::{Access, Listed};
use super::beyond::Beyond;
use super::brings::Brings;
use super::code::Code;
use super::dependency::Dependency;
use super::effects::{Change, Effects};
use super::kind::{Kind, Why};
use super::level::Hint;
use super::name::Name;

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
    /// What whoever looks at each request has found out about the text, by what stands above and nothing else.
    pub noted: Noted,
}

/// Answers to questions that are asked of a text each time that it comes, as bits of whoever asks. Found out once.
///
/// It is nothing of the verdict's own: copies, which may be changed, begin without, and all are equal.
#[derive(Debug, Default)]
pub struct Noted(OnceLock<u32>);

impl Noted {
    /// The answers, which `find` finds when they are asked for the first time.
    pub(crate) fn bits(&self, find: impl FnOnce() -> u32) -> u32 {
        *self.0.get_or_init(find)
    }
}

impl Clone for Noted {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Noted {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Noted {}

/// One statement of a SQL string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// What it is.
    pub kind: Kind,
    /// Functions called that are not in the table of built-ins. The router asks the catalog for their volatility.
    pub functions: Box<[Name]>,
    /// Names that it uses and that are no calls of unknown functions, and yet may run a user's function of that name: calls
    /// of built-in functions, which a user's may overload, and attributes, as `t.f` means `f(t)` where `t` has no column `f`.
    pub mentions: Box<[Box<str>]>,
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
    /// What it depends on that lives on one connection.
    pub depends_on: Dependency,
    /// What it reads or changes, as far as its text tells, that all databases share.
    pub beyond: Beyond,
    /// What it brings, or takes away, that code runs by.
    pub brings: Brings,
    /// The database to which nobody else may be connected while it runs.
    pub vacates: Option<Box<str>>,
    /// The command tag that completes it, where it controls a transaction; that of a COMMIT in one that has not failed.
    pub tag: &'static str,
}

impl Statement {
    /// A statement of this kind that names nothing and leaves nothing.
    pub(in crate::sql) fn of(kind: Kind) -> Self {
        Self {
            reads_listed: kind.reads_listed(),
            writes_listed: kind.writes_listed(),
            kind,
            functions: Box::default(),
            mentions: Box::default(),
            reads: Box::default(),
            writes: Box::default(),
            effects: Effects::default(),
            depends_on: Dependency::default(),
            beyond: Beyond::NOTHING,
            brings: Brings::default(),
            vacates: None,
            tag: "",
        }
    }

    /// The same statement, which this command tag completes.
    pub(in crate::sql) fn tagged(self, tag: &'static str) -> Self {
        Self { tag, ..self }
    }

    /// A statement that must run on the primary for this reason, and of which nothing else is known.
    pub(in crate::sql) fn primary(why: Why) -> Self {
        Self::of(Kind::Primary(why))
    }

    /// The same statement, which leaves this and nothing else.
    pub(in crate::sql) fn leaving(self, change: Change) -> Self {
        Self { effects: Effects::of(Some(change), None), ..self }
    }

    /// The same statement, which runs this code and leaves what that leaves.
    pub(in crate::sql) fn running(self, code: Code) -> Self {
        Self { effects: Effects::of(None, Some(code)), ..self }
    }

    /// Whether a user's code may run by it that it does not call: it names something, or what it runs is said elsewhere.
    pub(crate) fn may_run_code(&self) -> bool {
        let names = !self.functions.is_empty()
            || !self.mentions.is_empty()
            || !self.reads.is_empty()
            || !self.writes.is_empty()
            || self.effects.code.is_some();
        match self.kind {
            Kind::Read | Kind::Cursor(_) => names,
            Kind::Primary(_) | Kind::Execute(_) => true,
            _ => false,
        }
    }

    /// Whether it changes settings, until the transaction ends at least, as far as its text tells.
    pub(crate) fn sets(&self) -> bool {
        let local = |change: &Change| matches!(change, Change::LocalSetting(_));
        !self.effects.settings.is_empty() || self.effects.changes.iter().any(local)
    }

    /// Whether it reads the list of cursors, and nothing else keeps it from a replica.
    pub(crate) fn lists_cursors(&self) -> bool {
        self.kind == Kind::Primary(Why::SessionState)
            && matches!(&*self.reads, [one] if &*one.name == "pg_cursors")
            && self.functions.is_empty()
            && self.effects.is_empty()
    }

    /// What it may have changed when it ran on the primary, not counting what [`functions`](Self::functions) did: of
    /// those that are volatile or unknown, everything must be supposed.
    ///
    /// Sequences do not count: they must be read on the primary in any case. Nor do locks, notifications and
    /// what belongs to a session.
    pub(crate) fn writes_what(&self) -> Access<'_> {
        match (self.writes_listed, &*self.writes) {
            (Listed::Partly, _) => Access::Everything,
            (Listed::Wholly, []) => Access::Nothing,
            (Listed::Wholly, names) => Access::Relations(names),
        }
    }

    /// What its answer may depend on. Everything, if it calls a function that weir does not know: even one that is
    /// declared STABLE may read any relation.
    pub(crate) fn reads_what(&self) -> Access<'_> {
        // What is both written and read is listed as written alone.
        let told = self.reads_listed == Listed::Wholly && self.functions.is_empty() && self.writes.is_empty();
        if told { Access::Relations(&self.reads) } else { Access::Everything }
    }
}

impl Verdict {
    /// What its statements bring together. Of one that could not be read nobody knows.
    pub(crate) fn brings(&self) -> Brings {
        let of = |statement: &Statement| match statement.kind {
            Kind::Primary(Why::Unparsable | Why::TooLong) => Brings::Anything,
            _ => statement.brings,
        };
        self.statements.iter().map(of).fold(Brings::Nothing, Brings::join)
    }

    /// The verdict for what cannot be read: everything unknown, so the primary, and there may be anything left of it.
    pub(crate) fn opaque(skeleton: SkeletonId, why: Why) -> Self {
        let change = if why == Why::TooLong { Change::LongStatement } else { Change::Unknown };
        let statement = Statement::primary(why).leaving(change);
        Self { skeleton, statements: Box::new([statement]), hint: Hint::default(), noted: Noted::default() }
    }
}
