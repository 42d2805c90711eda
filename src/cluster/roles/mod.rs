//! What each server is: asked by probes, decided from what all of them said, published as snapshots.
//!
//! It elects nobody, and sends nothing on a client's behalf.

pub(crate) mod decision;
pub(crate) mod monitor;
pub(crate) mod probe;
mod roster;
