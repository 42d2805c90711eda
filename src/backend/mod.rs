//! Connections to servers.

mod cancel;
mod login;

pub use cancel::cancel;
pub use login::{Credentials, Login, log_in, log_in_over};
