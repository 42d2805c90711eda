//! The configuration is read anew while weir runs: what changed holds, who is there stays, and what is wrong changes
//! nothing.

#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

mod kinds;
mod stage;
mod storm;
