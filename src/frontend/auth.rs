//! Proving who a client is.
//!
//! PostgreSQL manual: "SASL Authentication" and "Start-up".

use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite};

use super::greet::Greeting;
use super::scram::{Offer, Standing, exchange};
use crate::config::User;
use crate::error::{Error, Result};
use crate::net::{Handshake, Peer};
use crate::users::{Found, Proof, Users};
use crate::wire::reply;

/// Who a client says it is, and where it is.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// What it has said.
    pub greeting: &'a Greeting,
    /// Where it is.
    pub peer: &'a Peer,
}

/// Authenticates a client that claims to be somebody.
///
/// What ends the exchange (AuthenticationSASLFinal, AuthenticationOk) is appended to `welcome` and not sent, so
/// that it can go out in one write with what follows it. Not cancel safe: a client whose authentication is given up
/// is refused.
pub async fn authenticate<S>(
    client: &mut Handshake<S>,
    claim: &Claim<'_>,
    users: &Users,
    welcome: &mut BytesMut,
) -> Result<Arc<User>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let name = &claim.greeting.user;
    let (account, decoy) = match users.find(name, &claim.greeting.database).await {
        Found::Account(account) => (Some(account), None),
        Found::Nobody(decoy) => (None, Some(decoy)),
    };
    let (verifier, standing) = match account.as_ref().map(|account| &account.proof) {
        Some(Proof::Scram(verifier)) => (Some(verifier.clone()), Standing::Known),
        Some(Proof::Trust) => (None, Standing::Known),
        None => (decoy, Standing::Decoy),
    };
    if let Some(verifier) = verifier {
        let proven = exchange(client, verifier, standing, Offer::to(claim.peer), welcome).await?;
        proven.map_err(|failure| failure.explain(name))?;
    }
    let account = account.ok_or_else(|| Error::Authentication(name.clone()))?;
    reply::authentication_ok(welcome);
    Ok(account.user)
}

#[cfg(test)]
#[path = "auth_tests.rs"]
mod tests;
