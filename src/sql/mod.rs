//! What a statement is: text in, [`Verdict`] out. Knows no bytes of the protocol, no session and no server.
//!
//! [`Classifier`] is the way in. `verdict` holds what can be said, `text` cuts a text into tokens and makes it the key of
//! the `cache`, and on a miss `classify` finds out what is to be said. Each names only those that stand above it here.

mod verdict;

mod text;

mod classify;

mod cache;

pub use cache::Classifier;
pub(crate) use classify::{
    ASKING_CALLS, BeyondReader, CodeReader, RUNS_UNNAMED, may_read, process_call, with_values,
};
pub(crate) use text::{LongText, SHAPE_MAX, shape};
pub use text::{
    SkeletonKeys, StandardConformingStrings, TraceParent, lexer, skeleton, split_statements,
    split_with_comments, trace_parent,
};
pub use verdict::*;
