//! Proving who a client is.
//!
//! PostgreSQL manual: "SASL Authentication" and "Start-up".

use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};

use super::greet::Greeting;
use super::scram::{Challenge, Failure, MECHANISM, Standing};
use crate::config::User;
use crate::error::{Error, Result};
use crate::net::{Handshake, Peer, ReadError};
use crate::users::{Found, Proof, Users, Verifier};
use crate::wire::reply;
use crate::wire::startup::cstring;
use crate::wire::tag::client as tag;

/// The longest SASL message, its length word included (PG_MAX_SASL_MESSAGE_LENGTH in PostgreSQL's auth-sasl.c).
const MESSAGE_MAX: usize = 1024 + 4;

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
        Found::Refused(error) => return Err(error),
    };
    let (verifier, standing) = match account.as_ref().map(|account| &account.proof) {
        Some(Proof::Scram(verifier)) => (Some(verifier.clone()), Standing::Known),
        Some(Proof::Trust) => (None, Standing::Known),
        // No SCRAM exchange can be checked against a hash.
        Some(Proof::Md5(_)) => return Err(Error::Authentication(name.clone())),
        None => (decoy, Standing::Decoy),
    };
    if let Some(verifier) = verifier {
        let proven = scram(client, verifier, standing, welcome).await?;
        if matches!(proven, Err(Failure::WrongProof)) {
            users.disproved(name, &claim.greeting.database);
        }
        proven.map_err(|failure| explain(failure, name))?;
    }
    let account = account.ok_or_else(|| Error::Authentication(name.clone()))?;
    reply::authentication_ok(welcome);
    Ok(account.user)
}

/// One SCRAM-SHA-256 exchange. The outer result is the connection's, the inner one the mechanism's.
async fn scram<S>(
    client: &mut Handshake<S>,
    verifier: Verifier,
    standing: Standing,
    welcome: &mut BytesMut,
) -> Result<std::result::Result<(), Failure>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    ask(client, |out| reply::authentication_sasl(out, &[MECHANISM])).await?;
    let client_first = match initial_response(&response(client).await?)? {
        Some(client_first) => client_first,
        // A client may name the mechanism first and wait for an empty challenge.
        None => {
            ask(client, |out| reply::authentication_sasl_continue(out, "")).await?;
            response(client).await?
        }
    };
    let challenge = match Challenge::new(&client_first, verifier, standing) {
        Ok(challenge) => challenge,
        Err(failure) => return Ok(Err(failure)),
    };
    ask(client, |out| reply::authentication_sasl_continue(out, challenge.text())).await?;
    let client_final = response(client).await?;
    Ok(challenge.check(&client_final).map(|outcome| reply::authentication_sasl_final(welcome, &outcome)))
}

async fn ask<S>(client: &mut Handshake<S>, write: impl FnOnce(&mut BytesMut)) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut out = BytesMut::new();
    write(&mut out);
    client.send(&out).await.map_err(Error::Lost)
}

async fn response<S>(client: &mut Handshake<S>) -> Result<Bytes>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match client.message(|_| MESSAGE_MAX).await {
        Ok((tag::PASSWORD, body)) => Ok(body),
        Ok(_) => Err(Error::Protocol("expected SASL response")),
        Err(ReadError::Length) => Err(Error::Protocol("invalid message length")),
        Err(ReadError::Lost(error)) => Err(Error::Lost(error)),
    }
}

/// Reads a SASLInitialResponse: the mechanism, and the first message unless the client keeps it back.
fn initial_response(body: &Bytes) -> Result<Option<Bytes>> {
    const MALFORMED: Error = Error::Protocol("invalid SASL initial response");
    let (mechanism, rest) = cstring(body).ok_or(MALFORMED)?;
    if mechanism != MECHANISM.as_bytes() {
        return Err(Error::Protocol("client selected an invalid SASL authentication mechanism"));
    }
    let mut rest = body.slice_ref(rest);
    let length = rest.try_get_i32().map_err(|_| MALFORMED)?;
    match usize::try_from(length) {
        Ok(length) if length == rest.len() => Ok(Some(rest)),
        Err(_) if length == -1 && rest.is_empty() => Ok(None),
        _ => Err(MALFORMED),
    }
}

fn explain(failure: Failure, name: &str) -> Error {
    match failure {
        Failure::Malformed => Error::Protocol("malformed SCRAM message"),
        Failure::Unrelated => Error::Protocol("invalid SCRAM response"),
        Failure::WrongProof => Error::Authentication(name.to_owned()),
    }
}

#[cfg(test)]
#[path = "auth_tests.rs"]
mod tests;
