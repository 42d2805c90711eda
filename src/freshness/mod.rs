//! The freshness clock: how much of what was acknowledged a replica is known to hold, and how much a read needs.
//!
//! One instant per replica answers every question. Sample k of the primary's WAL insert position is asked for at
//! instant b_k and answers L_k; whatever any client saw acknowledged before b_k lies at or before L_k. A replica that
//! has replayed up to L_k therefore holds all of that: it is *fresh through* b_k. A write costs nothing but a note of
//! when it was acknowledged; a read compares two instants.
//!
//! Pure: every instant is an argument, and all of them are monotonic, so that a step of the wall clock means nothing.

mod epoch;

mod lsn;

mod marks;

mod need;

pub mod pace;

mod replica;

mod samples;

pub use epoch::Epoch;
pub use lsn::{Lsn, Xid};
pub use marks::{Instants, Marks, Slot};
pub use need::{Doubt, Furthest, Legacy, Missing, Moment, Need, Primary, Seen};
pub use replica::Freshness;
pub use samples::Samples;
