//! What each server is: asked by probes, decided from what all of them said, published as snapshots.
//!
//! It elects nobody, and sends nothing on a client's behalf.

mod decision;
mod given;
mod monitor;
mod probe;
mod roster;
mod watch;

pub(super) use monitor::Monitor;
pub(super) use probe::timeline_of;
pub(super) use watch::Watch;
