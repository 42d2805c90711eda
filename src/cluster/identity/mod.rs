//! What servers say of roles and databases: whether they would let somebody in, and by what password.
//!
//! It is asked over control connections, whenever somebody logs in. What is made of the answers is decided elsewhere.

mod connections;
mod lookup;
mod rounds;
mod standing;

pub(super) use lookup::Lookup;
pub use lookup::LookupError;
pub(super) use rounds::Rounds;
pub use standing::{DatabaseStanding, RoleStanding, Standing};
