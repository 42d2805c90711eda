//! From bytes to tokens, by PostgreSQL's lexical rules: cuts a text into tokens and statements, reads names, values and
//! hints in them, and makes of a text what stands for it (its skeleton, its shape).
//!
//! It never decides what a statement does or where it may run. Of functions it knows only which names make a literal
//! count. What it cannot read for sure it refuses, and whoever asked fails closed.

mod cursor;
mod hint;
pub mod lexer;
mod long;
mod moment;
mod shape;
mod skeleton;
mod split;
mod trace_parent;
mod value;

pub(in crate::sql) use cursor::Cursor;
pub(in crate::sql) use hint::hint;
pub use lexer::StandardConformingStrings;
pub(in crate::sql) use lexer::{Lexer, Token, TokenKind};
pub(crate) use long::LongText;
pub(in crate::sql) use moment::is_moment;
pub(crate) use shape::{SHAPE_MAX, shape};
pub use skeleton::{SkeletonKeys, skeleton};
pub(in crate::sql) use split::tokens;
pub use split::{split_statements, split_with_comments};
pub use trace_parent::{TraceParent, trace_parent};
pub(in crate::sql) use value::{name, quote_literal, string_value};
