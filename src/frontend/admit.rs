//! From an accepted stream to an authenticated client, under one deadline.

use std::sync::Arc;

use bytes::BytesMut;
use tokio::time::{Instant, timeout_at};

use super::auth::{Entrant, authenticate};
use super::claim::{Claim, Gate};
use super::encrypt::{Encrypt, Visitor, knock};
use super::greet::{Greeting, Knock};
use super::refuse::refuse;
use super::span::enter_names;
use crate::config::User;
use crate::error::{Error, Result};
use crate::net::{Peer, Stream};
use crate::scram::PassKey;
use crate::wire::startup::{CancelKey, Packet, repeated_request};

/// A client that has proved who it is.
#[derive(Debug)]
pub struct Admission<S> {
    /// The client's stream.
    pub stream: S,
    /// Where it is, and how it is encrypted.
    pub peer: Peer,
    /// What the client has sent beyond its login. Usually nothing, but a client may pipeline its first request.
    pub received: BytesMut,
    /// Who it is and what it asked for.
    pub greeting: Greeting,
    /// The configured user.
    pub user: Arc<User>,
    /// The key that it has proved, where it logs in to the servers by that.
    pub key: Option<Arc<PassKey>>,
    /// Messages that the client must get first and has not been sent: the end of the authentication, up to and
    /// with AuthenticationOk. ParameterStatus, BackendKeyData and ReadyForQuery, or an error, come behind them.
    pub welcome: BytesMut,
}

/// What an accepted stream turned out to be.
#[derive(Debug)]
pub enum Arrival<S> {
    /// A client.
    Client(Box<Admission<S>>),
    /// A cancel request. The stream is to be closed, without a word, once the request has been passed on:
    /// clients wait for that.
    Cancel(CancelKey, S),
}

/// Sees an accepted stream through startup and authentication, not later than `deadline`.
///
/// A client that fails has been told and closed when this returns the reason. Not cancel safe.
pub async fn admit(
    stream: Stream,
    peer: Peer,
    (gate, encrypt): (Gate<'_>, Encrypt<'_>),
    deadline: Instant,
) -> Result<Arrival<Stream>> {
    let mut visitor = Visitor::new(stream, peer);
    let introduced = timeout_at(deadline, introduce(&mut visitor, gate, encrypt)).await;
    let introduced = introduced.unwrap_or(Err(Error::LoginTimeout));
    let (client, peer) = visitor.into_parts();
    let Some(client) = client else {
        return Err(introduced.err().unwrap_or(Error::LoginTimeout));
    };
    let (stream, received) = client.into_parts();
    match introduced {
        Ok(Introduced::Client { greeting, entrant: Entrant { user, key }, welcome }) => {
            Ok(Arrival::Client(Box::new(Admission { stream, peer, received, greeting, user, key, welcome })))
        }
        Ok(Introduced::Cancel(key)) => Ok(Arrival::Cancel(key, stream)),
        Err(error) => {
            refuse(stream, &error).await;
            Err(error)
        }
    }
}

enum Introduced {
    Client { greeting: Greeting, entrant: Entrant, welcome: BytesMut },
    Cancel(CancelKey),
}

async fn introduce(visitor: &mut Visitor, gate: Gate<'_>, encrypt: Encrypt<'_>) -> Result<Introduced> {
    let greeting = match knock(visitor, encrypt).await? {
        Knock::Greeting(greeting) => greeting,
        Knock::Cancel(key) => return Ok(Introduced::Cancel(key)),
        Knock::Tls => return Err(repeated_request(&Packet::Ssl)),
    };
    enter_names(&greeting);
    encrypt.admits(&visitor.peer)?;
    let mut welcome = BytesMut::new();
    let peer = visitor.peer.clone();
    let claim = Claim { greeting: &greeting, peer: &peer };
    let entrant = authenticate(visitor.client()?, &claim, gate, &mut welcome).await?;
    Ok(Introduced::Client { greeting, entrant, welcome })
}
