//! What is known about the servers: roles, health, catalogs. Control connections (tokio-postgres) live here only.
//!
//! Everything here runs beside the data's way and talks to it through snapshots: reading one takes no lock and
//! waits for nothing. weir elects nobody: it follows what the servers say of themselves.

pub mod catalog;
mod control;
pub(crate) mod defaults;
mod identity;
mod member;
mod roles;
mod sampling;
mod servers;
pub mod survey;
pub mod topology;

pub use catalog::{catalogs, traces};
pub use identity::{DatabaseStanding, LookupError, RoleStanding, Standing};
pub use sampling::{Demand, Sample, SampleEvents, Wanted};
pub use servers::Cluster;
