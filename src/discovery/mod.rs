//! Servers that nobody has listed: what DNS or Patroni say there are, and what of it counts.
//!
//! It asks, and remembers what was said. It never speaks to a server of PostgreSQL's, and never says who is the primary: what
//! each one is, the servers themselves are asked.

mod dns;
mod finder;
mod found;
mod members;
mod patroni;
mod report;
mod roll;
mod servers;

pub(crate) use finder::Finder;
pub(crate) use found::{Found, Look};
pub(crate) use report::{Member, Report};
pub(crate) use roll::{News, Roll};
pub(crate) use servers::servers;
