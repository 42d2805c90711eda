//! Pools of backend connections: one per server, database and account.
//!
//! Own code rather than a pool library's, because a checkout here chooses: an idle connection that carries the
//! session's settings before one that does not, an idle one before a new one even when the new one was asked for
//! first; and because limits hold across pools (per server, in total). A pool knows no SQL and no session.

mod connections;
mod opening;
mod orders;
mod pools;
mod queue;
mod room;
mod slots;
mod standing;
mod terms;
mod upkeep;
mod wish;

pub use connections::{Lease, Pool};
pub use pools::Pools;
pub use standing::{Counts, Member};
pub use terms::{Account, Events, PoolKey};
pub use wish::Wish;
