//! Empty: see `compare.rs`.
