//! What the primary's catalog says about the databases in use: functions, relations, and what code leaves behind.
//!
//! It is read in the background and published as snapshots. It decides no route, and no reader ever waits for it but
//! the first clients of a database.

mod asking;
mod beyond;
mod bounds;
mod built_ins;
pub mod catalogs;
mod code_rows;
mod loading;
mod matters;
mod places;
mod reading;
mod reading_code;
mod relations;
mod snapshot;
pub mod traces;
mod web;

pub use beyond::BeyondMap;
pub use code_rows::Volatility;
pub(crate) use matters::Matters;
pub use places::{Followed, PLACES, Place};
pub use snapshot::{Catalog, Reach, Relation};
