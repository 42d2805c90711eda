//! What the primary's catalog says about the databases in use: functions, relations, and what code leaves behind.
//!
//! It is read in the background and published as snapshots. It decides no route, and no reader ever waits for it but
//! the first clients of a database.

mod asking;
mod beyond;
pub mod catalogs;
mod reading;
mod relations;
mod snapshot;
pub mod traces;

pub use beyond::BeyondMap;
pub use snapshot::{Catalog, Reach, Relation, Volatility};
