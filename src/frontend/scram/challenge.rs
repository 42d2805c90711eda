//! What the messages of an exchange must say (RFC 5802), checked as PostgreSQL's auth-scram.c does, in its order and with
//! its words. Pure: the nonce comes from outside.
//!
//! pgwire has functions for this too. They take a certificate where only its hash is known here, compare keys with `==`,
//! know no decoys, keep ClientKey to themselves, and say of every mistake the same; so of them only the nonce is used.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

use super::reader::{Failure, Reader, malformed, sanitized, shown};
use crate::scram::{ClientKey, Verifier, hmac};

/// Whether a verifier belongs to a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::frontend) enum Standing {
    /// It does.
    Known,
    /// It was made up for a name that may not log in: whatever the proof, it is wrong.
    Decoy,
}

/// The mechanism that a client has selected.
#[derive(Clone, Copy, Debug)]
pub(super) enum Selected<'a> {
    /// SCRAM-SHA-256, the only one that was offered.
    Plain,
    /// SCRAM-SHA-256, although it could have had the other.
    Unbound,
    /// SCRAM-SHA-256-PLUS, bound to this end point.
    Bound(&'a [u8]),
}

/// What the channel-binding attribute of the final message must be.
enum Binding {
    /// The header of the first message, repeated.
    Header(&'static str),
    /// The header, and the hash of the certificate that the client should have seen.
    EndPoint(String),
}

/// An exchange whose challenge has been written and not answered yet.
pub(super) struct Challenge {
    verifier: Verifier,
    standing: Standing,
    binding: Binding,
    client_first_bare: String,
    nonce: String,
    server_first: String,
}

impl Challenge {
    /// Answers the client's first message; [`Challenge::text`] is to be sent. `nonce` is weir's part of it.
    pub(super) fn new(
        client_first: &[u8],
        (verifier, standing): (Verifier, Standing),
        selected: Selected<'_>,
        nonce: &str,
    ) -> Result<Self, Failure> {
        let mut reader = Reader::new(client_first)?;
        let binding = binding(&mut reader, selected)?;
        let client_first_bare = reader.rest().to_owned();
        let nonce = format!("{}{nonce}", client_nonce(&mut reader)?);
        let (salt, iterations) = (STANDARD.encode(&verifier.salt), verifier.iterations);
        let server_first = format!("r={nonce},s={salt},i={iterations}");
        Ok(Self { verifier, standing, binding, client_first_bare, nonce, server_first })
    }

    /// The server's first message.
    pub(super) fn text(&self) -> &str {
        &self.server_first
    }

    /// Checks the client's final message. Returns the server's final message, and the key that the client has proved.
    pub(super) fn check(self, client_final: &[u8]) -> Result<(String, ClientKey), Failure> {
        let mut reader = Reader::new(client_final)?;
        let whole = reader.rest();
        self.binding.check(reader.value('c')?)?;
        let nonce = reader.value('r')?;
        let (without_proof, proof) = loop {
            let read = whole.len() - reader.rest().len();
            let (attribute, value) = reader.any()?;
            if attribute == 'p' {
                break (whole.get(..read.saturating_sub(1)).unwrap_or_default(), value);
            }
        };
        let proof = STANDARD.decode(proof).ok().and_then(|proof| <[u8; 32]>::try_from(proof).ok());
        let proof = proof.map(Zeroizing::new);
        let proof = proof.ok_or_else(|| malformed("Malformed proof in client-final-message."))?;
        if !reader.rest().is_empty() {
            return Err(malformed("Garbage found at the end of client-final-message."));
        }
        if nonce != self.nonce {
            return Err(Failure::Unrelated);
        }
        let auth_message =
            [&self.client_first_bare, ",", &self.server_first, ",", without_proof].map(str::as_bytes);
        let key = proven_key(&self.verifier, &auth_message, &proof);
        let known = Choice::from(u8::from(self.standing == Standing::Known));
        if !bool::from(key.fits(&self.verifier) & known) {
            return Err(Failure::WrongProof);
        }
        let signature = hmac(&self.verifier.server_key, &auth_message);
        Ok((format!("v={}", STANDARD.encode(signature)), key))
    }
}

impl Binding {
    fn check(&self, attribute: &str) -> Result<(), Failure> {
        match self {
            Binding::Header(header) if STANDARD.encode(header) == attribute => Ok(()),
            Binding::Header(_) => Err(Failure::OtherBinding),
            Binding::EndPoint(expected) if expected.as_bytes().ct_eq(attribute.as_bytes()).into() => Ok(()),
            Binding::EndPoint(_) => Err(Failure::OtherEndPoint),
        }
    }
}

/// ClientKey = ClientProof XOR HMAC(StoredKey, AuthMessage).
fn proven_key(verifier: &Verifier, auth_message: &[&[u8]], proof: &[u8; 32]) -> ClientKey {
    let mut key = Zeroizing::new(*proof);
    let signature = Zeroizing::new(hmac(&verifier.stored_key, auth_message));
    key.iter_mut().zip(signature.iter()).for_each(|(key, signature)| *key ^= signature);
    ClientKey::new(*key)
}

/// Reads the header: gs2-cbind-flag "," [authzid] ",".
fn binding(reader: &mut Reader<'_>, selected: Selected<'_>) -> Result<Binding, Failure> {
    const END_POINT: &str = "tls-server-end-point";
    let binding = match (reader.peek(), selected) {
        (Some('n' | 'y'), Selected::Bound(_)) => {
            return Err(malformed(
                "The client selected SCRAM-SHA-256-PLUS, but the SCRAM message does not include channel binding data.",
            ));
        }
        (Some('y'), Selected::Unbound) => return Err(Failure::Downgrade),
        (Some('n'), _) => flag(reader, 'n').map(|()| Binding::Header("n,,"))?,
        (Some('y'), Selected::Plain) => flag(reader, 'y').map(|()| Binding::Header("y,,"))?,
        (Some('p'), Selected::Plain | Selected::Unbound) => {
            return Err(malformed(
                "The client selected SCRAM-SHA-256 without channel binding, but the SCRAM message includes channel \
                 binding data.",
            ));
        }
        (Some('p'), Selected::Bound(end_point)) => match reader.value('p')? {
            END_POINT => {
                let header = format!("p={END_POINT},,");
                Binding::EndPoint(STANDARD.encode([header.as_bytes(), end_point].concat()))
            }
            other => return Err(Failure::BindingType(sanitized(other))),
        },
        (found, _) => {
            return Err(malformed(format!("Unexpected channel-binding flag \"{}\".", shown(found))));
        }
    };
    match reader.peek() {
        Some('a') => Err(Failure::Unsupported("client uses authorization identity, but it is not supported")),
        Some(',') => {
            reader.takes(',');
            Ok(binding)
        }
        found => {
            let found = shown(found);
            Err(malformed(format!("Unexpected attribute \"{found}\" in client-first-message.")))
        }
    }
}

/// A flag without a value, and its comma.
fn flag(reader: &mut Reader<'_>, flag: char) -> Result<(), Failure> {
    reader.takes(flag);
    match reader.takes(',') {
        true => Ok(()),
        false => {
            let found = shown(reader.peek());
            Err(malformed(format!("Comma expected, but found character \"{found}\".")))
        }
    }
}

/// Reads client-first-message-bare. The name is ignored, as PostgreSQL does: the startup packet has said it.
fn client_nonce<'a>(reader: &mut Reader<'a>) -> Result<&'a str, Failure> {
    if reader.peek() == Some('m') {
        return Err(Failure::Unsupported("client requires an unsupported SCRAM extension"));
    }
    reader.value('n')?;
    let nonce = reader.value('r')?;
    // PostgreSQL takes one that is empty; RFC 5802 does not, and no client sends it.
    if nonce.is_empty() || !nonce.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Failure::Nonce);
    }
    while !reader.rest().is_empty() {
        reader.any()?;
    }
    Ok(nonce)
}

#[cfg(test)]
#[path = "challenge_tests.rs"]
mod tests;
