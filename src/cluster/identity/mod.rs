//! What servers say of roles and databases: whether they would let somebody in, by what password, and who is a member of which
//! role.
//!
//! It is asked over control connections, whenever somebody logs in. What is made of the answers is decided elsewhere.

mod connections;
mod lookup;
mod membership;
mod rounds;
mod standing;

pub(super) use lookup::Lookup;
pub use lookup::LookupError;
pub(super) use membership::RoleMember;
pub(super) use rounds::Rounds;
pub(super) use standing::Admittance;
pub use standing::{DatabaseStanding, RoleStanding, Standing};
