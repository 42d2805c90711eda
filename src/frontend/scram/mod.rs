//! The server's half of SCRAM-SHA-256 and SCRAM-SHA-256-PLUS: the messages of an exchange, as they come and go. What they
//! must say is `challenge`'s affair.
//!
//! PostgreSQL manual: "SASL Authentication".

mod challenge;
mod reader;

use bytes::{Buf, Bytes, BytesMut};
use pgwire::api::auth::sasl::scram::random_nonce;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::error::{Error, Result};
use crate::net::{Encryption, Handshake, Peer, ReadError};
use crate::scram::{ClientKey, Verifier};
use crate::wire::reply;
use crate::wire::startup::cstring;
use crate::wire::tag::client as tag;
use challenge::{Challenge, Selected};

pub(super) use challenge::Standing;
pub(super) use reader::Failure;

/// The mechanism that every client knows.
const PLAIN: &str = "SCRAM-SHA-256";
/// The one that is bound to the stream.
const PLUS: &str = "SCRAM-SHA-256-PLUS";

/// The longest SASL message, its length word included (PG_MAX_SASL_MESSAGE_LENGTH in PostgreSQL's auth-sasl.c).
const MESSAGE_MAX: usize = 1024 + 4;

/// Which mechanisms a client may choose from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Offer<'a> {
    /// SCRAM-SHA-256 alone.
    Plain,
    /// SCRAM-SHA-256-PLUS as well, bound to this end point.
    Plus(&'a [u8]),
}

impl<'a> Offer<'a> {
    /// What this stream admits of.
    pub(super) fn to(peer: &'a Peer) -> Self {
        match &peer.encryption {
            Encryption::Tls(tls) => tls.end_point.as_deref().map_or(Offer::Plain, Offer::Plus),
            Encryption::None => Offer::Plain,
        }
    }

    /// In the order in which PostgreSQL names them.
    fn mechanisms(self) -> &'static [&'static str] {
        match self {
            Offer::Plain => &[PLAIN],
            Offer::Plus(_) => &[PLUS, PLAIN],
        }
    }

    fn selected(self, mechanism: &[u8]) -> Option<Selected<'a>> {
        match self {
            Offer::Plain if mechanism == PLAIN.as_bytes() => Some(Selected::Plain),
            Offer::Plus(_) if mechanism == PLAIN.as_bytes() => Some(Selected::Unbound),
            Offer::Plus(end_point) if mechanism == PLUS.as_bytes() => Some(Selected::Bound(end_point)),
            _ => None,
        }
    }
}

/// One exchange. The outer result is the connection's, the inner one the mechanism's: the key that the client has proved.
///
/// What ends it (AuthenticationSASLFinal) is appended to `welcome` and not sent. Not cancel safe.
pub(super) async fn exchange<S>(
    client: &mut Handshake<S>,
    verifier: Verifier,
    standing: Standing,
    offer: Offer<'_>,
    welcome: &mut BytesMut,
) -> Result<std::result::Result<ClientKey, Failure>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    ask(client, |out| reply::authentication_sasl(out, offer.mechanisms())).await?;
    let (selected, client_first) = initial_response(&response(client).await?, offer)?;
    let client_first = match client_first {
        Some(client_first) => client_first,
        // A client may name the mechanism first and wait for an empty challenge.
        None => {
            ask(client, |out| reply::authentication_sasl_continue(out, "")).await?;
            response(client).await?
        }
    };
    let challenge = match Challenge::new(&client_first, (verifier, standing), selected, &random_nonce()) {
        Ok(challenge) => challenge,
        Err(failure) => return Ok(Err(failure)),
    };
    ask(client, |out| reply::authentication_sasl_continue(out, challenge.text())).await?;
    let client_final = response(client).await?;
    Ok(challenge.check(&client_final).map(|(outcome, key)| {
        reply::authentication_sasl_final(welcome, &outcome);
        key
    }))
}

/// Sends a message that the client must answer.
pub(super) async fn ask<S>(client: &mut Handshake<S>, write: impl FnOnce(&mut BytesMut)) -> Result<()>
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
fn initial_response<'a>(body: &Bytes, offer: Offer<'a>) -> Result<(Selected<'a>, Option<Bytes>)> {
    const MALFORMED: Error = Error::Protocol("invalid SASL initial response");
    let (mechanism, rest) = cstring(body).ok_or(MALFORMED)?;
    let selected = offer
        .selected(mechanism)
        .ok_or(Error::Protocol("client selected an invalid SASL authentication mechanism"))?;
    let mut rest = body.slice_ref(rest);
    let length = rest.try_get_i32().map_err(|_| MALFORMED)?;
    match usize::try_from(length) {
        Ok(length) if length == rest.len() => Ok((selected, Some(rest))),
        Err(_) if length == -1 && rest.is_empty() => Ok((selected, None)),
        _ => Err(MALFORMED),
    }
}

#[cfg(test)]
#[path = "agreement_tests.rs"]
mod agreement;
