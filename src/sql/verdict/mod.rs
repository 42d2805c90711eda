//! What is known about SQL from its text alone, as plain values: what each file says of a statement, the others and the
//! rest of the house read.
//!
//! It never looks at a text and names nothing else of this room. A verdict knows nothing of sessions, servers or
//! catalogs: names are as the statement wrote them.

mod access;
mod beyond;
mod bound;
mod brings;
mod code;
mod dependency;
mod effects;
mod kind;
mod level;
mod name;
mod process;
mod statement;

pub(crate) use access::Access;
pub use access::Listed;
pub use beyond::Beyond;
pub use bound::{Argument, BoundCall, BoundValue, Written};
pub use brings::Brings;
pub use code::{Code, Conduct, DataUse, Traces};
pub use dependency::Dependency;
pub use effects::{Change, Dropped, Effects, LockKey, Pin, Scope, Setting, Strength};
pub use kind::{AccessMode, Chain, CursorUse, Deferrable, Discard, Isolation, Kind, Modes, Why};
pub use level::{Consistency, Hint, MaxStaleness, NoSuchValue, Target, Transactions, time_limit};
pub use name::Name;
pub use process::{Number, ProcessCall, ProcessFunction};
pub use statement::{Noted, SkeletonId, Statement, Verdict};
