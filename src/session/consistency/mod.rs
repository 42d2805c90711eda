//! What a read must see: the session's own writes, what it has seen before, what others have written.
//!
//! It never picks a server; it says what one must hold.

pub(crate) mod observed_reads;
pub(crate) mod pending_writes;
pub(crate) mod requirement;
pub(crate) mod shared_catalogs;
pub(crate) mod tracking;
