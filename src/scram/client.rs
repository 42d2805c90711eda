//! The client's half of an exchange (RFC 5802) for one who has ClientKey and no password. postgres-protocol has the half for
//! one who has a password.
//!
//! Pure: the nonce comes from outside.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{PassKey, hmac};

/// What the exchange is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Binding {
    /// Nothing: it cannot be, or is not to be.
    Unsupported,
    /// Nothing, as the server does not offer it; it could be. A server that did offer it finds out by this.
    NotOffered,
    /// The certificate with this hash, which the server has shown.
    EndPoint(Vec<u8>),
}

impl Binding {
    fn header(&self) -> &'static str {
        match self {
            Binding::Unsupported => "n,,",
            Binding::NotOffered => "y,,",
            Binding::EndPoint(_) => "p=tls-server-end-point,,",
        }
    }

    fn attribute(&self) -> String {
        let hash: &[u8] = if let Binding::EndPoint(hash) = self { hash } else { &[] };
        STANDARD.encode([self.header().as_bytes(), hash].concat())
    }
}

/// Why a server's half of an exchange is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mistrust {
    /// Its message breaks the mechanism's rules, or does not answer ours.
    Malformed,
    /// Its verifier is another than the key's: the salts differ.
    OtherSalt,
    /// Its verifier is another than the key's: the iteration counts differ.
    OtherIterations,
    /// It does not know the key's verifier.
    WrongSignature,
}

/// An exchange that the server has not answered yet.
pub(crate) struct ClientFirst {
    pass_key: Arc<PassKey>,
    binding: Binding,
    nonce: String,
}

/// An exchange whose outcome is awaited.
pub(crate) struct ClientFinal {
    text: String,
    expected: [u8; 32],
}

impl ClientFirst {
    /// Begins an exchange; [`ClientFirst::text`] is to be sent.
    pub(crate) fn new(pass_key: Arc<PassKey>, binding: Binding, nonce: String) -> Self {
        Self { pass_key, binding, nonce }
    }

    /// The client's first message. Without a name: PostgreSQL takes that of the startup packet.
    pub(crate) fn text(&self) -> String {
        format!("{}{}", self.binding.header(), self.bare())
    }

    fn bare(&self) -> String {
        format!("n=,r={}", self.nonce)
    }

    /// Answers the server's challenge, if it is of the key's own verifier.
    pub(crate) fn answer(self, challenge: &[u8]) -> Result<ClientFinal, Mistrust> {
        let challenge = std::str::from_utf8(challenge).map_err(|_| Mistrust::Malformed)?;
        let (nonce, salt, iterations) = attributes(challenge).ok_or(Mistrust::Malformed)?;
        let servers_part = nonce.strip_prefix(&self.nonce).unwrap_or_default();
        if servers_part.is_empty() || !nonce.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Mistrust::Malformed);
        }
        let PassKey { verifier, client_key, .. } = &*self.pass_key;
        if salt != verifier.salt {
            return Err(Mistrust::OtherSalt);
        }
        if iterations != verifier.iterations {
            return Err(Mistrust::OtherIterations);
        }
        let without_proof = format!("c={},r={nonce}", self.binding.attribute());
        let (bare, comma) = (self.bare(), b",".as_slice());
        let auth_message = [bare.as_bytes(), comma, challenge.as_bytes(), comma, without_proof.as_bytes()];
        // ClientProof = ClientKey XOR HMAC(StoredKey, AuthMessage)
        let signature = hmac(&verifier.stored_key, &auth_message);
        let mut proof = Zeroizing::new(*client_key.expose());
        proof.iter_mut().zip(signature).for_each(|(proof, signature)| *proof ^= signature);
        Ok(ClientFinal {
            text: format!("{without_proof},p={}", STANDARD.encode(*proof)),
            expected: hmac(&verifier.server_key, &auth_message),
        })
    }
}

impl ClientFinal {
    /// The client's final message.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Checks that the server has the verifier. The login counts only then.
    pub(crate) fn check(&self, outcome: &[u8]) -> Result<(), Mistrust> {
        let signature = outcome.strip_prefix(b"v=").ok_or(Mistrust::Malformed)?;
        let signature = STANDARD.decode(signature).map_err(|_| Mistrust::Malformed)?;
        let is_right: bool = self.expected.as_slice().ct_eq(&signature).into();
        is_right.then_some(()).ok_or(Mistrust::WrongSignature)
    }
}

/// The nonce, the salt and the count of iterations of a challenge. PostgreSQL adds no extensions to it.
fn attributes(challenge: &str) -> Option<(&str, Vec<u8>, u32)> {
    let mut attributes = challenge.split(',');
    let nonce = attributes.next()?.strip_prefix("r=")?;
    let salt = STANDARD.decode(attributes.next()?.strip_prefix("s=")?).ok()?;
    let iterations = attributes.next()?.strip_prefix("i=")?.parse().ok()?;
    attributes.next().is_none().then_some((nonce, salt, iterations))
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
