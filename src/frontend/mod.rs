//! The front door: from an accepted stream to a client that has proved who it is, or to a clear refusal.
//! Knows nothing of servers.

mod admit;
mod auth;
mod claim;
mod greet;
mod password;
mod refuse;
mod ruling;
mod scram;
mod span;

pub use admit::{Admission, Arrival, admit};
pub use auth::authenticate;
pub use claim::{Claim, Gate};
pub use greet::{Greeting, Knock, greet};
pub use refuse::refuse;
pub(crate) use span::client_span;
