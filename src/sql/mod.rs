//! What a statement is: text in, [`Verdict`] out. Knows no bytes of the protocol, no session and no server.
//!
//! [`Classifier`] is the way in. Under it, in the order in which a text passes: `lexer` cuts it into tokens, `skeleton` makes it
//! the key of the cache, and on a miss `split`, `classify` and the rules below reach the verdict.

mod asks;
mod cache;
mod classify;
mod code;
mod control;
mod cursor;
mod database;
mod functions;
mod hint;
mod leaves;
mod level;
pub mod lexer;
mod locks;
mod long;
mod query;
mod settings;
mod shape;
mod skeleton;
mod split;
mod survey;
mod temporary;
mod text;
mod touch;
mod utility;
mod verdict;

pub use asks::Asks;
pub use cache::{CacheCounts, Classifier};
pub use code::{Code, CodeReader, Traces};
pub use leaves::*;
pub use level::NoSuchValue;
pub use lexer::StandardConformingStrings;
pub use long::LongText;
pub use shape::{SHAPE_MAX, shape};
pub use skeleton::{SkeletonKeys, skeleton};
pub use split::split_statements;
pub use touch::Touch;
pub use verdict::*;
