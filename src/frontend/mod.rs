//! The front door: from an accepted stream to a client that has proved who it is, or to a clear refusal.
//! Knows nothing of servers.

mod admit;
mod auth;
mod claim;
mod encrypt;
mod greet;
mod password;
mod refuse;
mod ruling;
mod scram;
mod span;

pub use admit::{Admission, Arrival, admit};
pub use auth::authenticate;
pub use claim::{Claim, Gate};
pub use encrypt::Encrypt;
pub use greet::{Asked, Greeting, Knock, greet};
pub use refuse::refuse;
pub(crate) use span::client_span;
