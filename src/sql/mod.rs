//! What a statement is: text in, [`Verdict`] out. Knows no bytes of the protocol, no session and no server.

mod verdict;

pub use verdict::*;
