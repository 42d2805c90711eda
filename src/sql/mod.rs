//! What a statement is: text in, [`Verdict`] out. Knows no bytes of the protocol, no session and no server.
//!
//! [`Classifier`] is the way in. A text passes through the rooms in this order: `text` cuts it into tokens and makes it
//! the key of the `cache`; on a miss `classify` fills in the types of `verdict`. Each names only those in front of it.

mod verdict;

mod text;

mod classify;

mod cache;

pub use cache::Classifier;
pub(crate) use classify::CodeReader;
pub(crate) use text::{LongText, SHAPE_MAX, shape};
pub use text::{SkeletonKeys, StandardConformingStrings, lexer, skeleton, split_statements};
pub use verdict::*;
