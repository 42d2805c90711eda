//! What a statement is: text in, [`Verdict`] out. Knows no bytes of the protocol, no session and no server.
//!
//! [`Classifier`] is the way in. Under it, in the order in which a text passes: `lexer` cuts it into tokens, `skeleton` makes it
//! the key of the cache, and on a miss `split`, `classify` and the rules below reach the verdict.

mod access;
mod cache;
mod classify;
mod code;
mod control;
mod cursor;
mod database;
mod dependencies;
mod effects;
mod functions;
mod hint;
mod level;
pub mod lexer;
mod locks;
mod long;
mod query;
mod scan;
mod settings;
mod shape;
mod skeleton;
mod split;
mod temporary;
mod text;
mod utility;
mod verdict;

pub use access::Access;
pub use cache::{CacheCounts, Classifier};
pub use code::{Code, CodeReader, Traces};
pub use dependencies::Dependency;
pub use effects::*;
pub use level::NoSuchValue;
pub use lexer::StandardConformingStrings;
pub use long::LongText;
pub use shape::{SHAPE_MAX, shape};
pub use skeleton::{SkeletonKeys, skeleton};
pub use split::split_statements;
pub use verdict::*;
