//! What is decided about when a client wants to come in, and by what.

use super::greet::Greeting;
use crate::hba::Rules;
use crate::net::Peer;
use crate::users::Users;

/// Who a client says it is, and where it is.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// What it has said.
    pub greeting: &'a Greeting,
    /// Where it is.
    pub peer: &'a Peer,
}

/// What decides who comes in.
#[derive(Clone, Copy, Debug)]
pub struct Gate<'a> {
    /// Who there is.
    pub users: &'a Users,
    /// Who may come from where, and by which proof; without them, each user by its own from everywhere.
    pub rules: Option<&'a Rules>,
}
