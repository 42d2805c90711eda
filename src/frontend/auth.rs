//! Proving who a client is.
//!
//! PostgreSQL manual: "SASL Authentication" and "Start-up".

use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite};

use super::greet::Greeting;
use super::scram::{Offer, Standing, exchange};
use crate::config::{ServerProof, User};
use crate::error::{Error, Result};
use crate::net::{Handshake, Peer};
use crate::scram::PassKey;
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

/// Somebody who may come in.
#[derive(Debug)]
pub struct Entrant {
    /// Who it is.
    pub user: Arc<User>,
    /// The key that it has proved, or has proved before while it is in use; where it logs in to the servers by that.
    pub key: Option<Arc<PassKey>>,
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
) -> Result<Entrant>
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
    let mut proven = None;
    if let Some(verifier) = verifier {
        let offer = Offer::to(claim.peer);
        let outcome = exchange(client, verifier.clone(), standing, offer, welcome).await?;
        proven = Some((verifier, outcome.map_err(|failure| failure.explain(name))?));
    }
    let account = account.ok_or_else(|| Error::Authentication(name.clone()))?;
    let key = match (&account.user.server_proof, proven) {
        (ServerProof::None | ServerProof::Password(_), _) => None,
        (ServerProof::PassThrough, None) => users.keys().known(name),
        (ServerProof::PassThrough, Some((verifier, key))) => Some(users.keys().proved(name, verifier, key)),
    };
    reply::authentication_ok(welcome);
    Ok(Entrant { user: account.user, key })
}

#[cfg(test)]
#[path = "auth_tests.rs"]
mod tests;
