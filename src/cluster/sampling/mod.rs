//! How far each server is: asked as often as somebody cares, and put together to what each replica is known to hold.
//!
//! It decides nothing for a read: sessions compare what is known here with what they need.

mod demand;
mod line;
mod positions;
mod sampler;

pub use demand::{Demand, Wanted};
pub use sampler::{Sample, SampleEvents};
pub(super) use sampler::{Sampler, Samplers};
