//! The rules: from a statement's tokens to what it is, what it accesses, what it depends on and what it leaves.
//!
//! The first word decides which rules read a statement (`dispatch`). Utility statements are read by their grammar
//! (`control`, `settings`, `prepared`, `utility`); queries are scanned by their tokens and then parsed (`scan`, `tree`,
//! `query`); code is searched for what it may leave (`code_reader`). They fail closed: what is not understood for sure
//! goes to the primary. They never ask a catalog and remember nothing.

mod beyond;
mod bound;
mod code_reader;
mod conduct;
mod control;
mod database;
mod definitions;
mod dependency;
mod dispatch;
mod functions;
mod keywords;
mod locks;
mod mentions;
mod outline;
mod parameters;
mod prepared;
mod process;
mod query;
mod reader;
mod reserved;
mod scan;
mod set_config;
mod settings;
mod temporary;
mod transaction;
mod tree;
mod utility;

pub(crate) use beyond::BeyondReader;
pub(crate) use bound::with_values;
pub(crate) use code_reader::CodeReader;
pub(in crate::sql) use dispatch::classify;
pub(in crate::sql) use functions::KnownFunctions;
pub(crate) use functions::RUNS_UNNAMED;
pub(crate) use process::process_call;
pub(crate) use query::may_read;
pub(in crate::sql) use reader::Reader;
pub(crate) use transaction::ASKING_CALLS;
