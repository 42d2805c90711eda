//! The server's half of SCRAM-SHA-256 (RFC 5802, RFC 7677), around pgwire's pure functions.
//!
//! What pgwire does: reads the client's first message, writes the challenge, signs the outcome. What is done here
//! because it does not: the proof is checked in constant time (pgwire compares keys with `==`, and only ever sees
//! a proof that has passed here), a decoy never passes, nonces are checked for what RFC 5802 allows in them, and
//! errors are PostgreSQL's. Channel binding is not offered, so pgwire refuses a client that asks for it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pgwire::api::auth::sasl::scram::{ScramSecret, ScramServerAuth, ScramServerAuthWaitingForClientFinal};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::users::{Verifier, hmac};

/// The one mechanism that is offered. SCRAM-SHA-256-PLUS needs TLS.
pub(super) const MECHANISM: &str = "SCRAM-SHA-256";

/// Whether a verifier belongs to a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It does.
    Known,
    /// It was made up for a name that may not log in: whatever the proof, it is wrong.
    Decoy,
}

/// Why an exchange failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The message breaks the mechanism's rules.
    Malformed,
    /// The message is well formed, but belongs to another exchange.
    Unrelated,
    /// The proof is wrong.
    WrongProof,
}

/// An exchange whose challenge has been written and not answered yet.
pub(super) struct Challenge {
    verifier: Verifier,
    standing: Standing,
    client_first_bare: String,
    server_first: String,
    waiting: ScramServerAuthWaitingForClientFinal,
}

impl Challenge {
    /// Answers the client's first message; [`Challenge::text`] is to be sent.
    pub(super) fn new(client_first: &[u8], verifier: Verifier, standing: Standing) -> Result<Self, Failure> {
        let text = std::str::from_utf8(client_first).map_err(|_| Failure::Malformed)?;
        // gs2-cbind-flag "," [authzid] "," client-first-message-bare
        let bare = text.splitn(3, ',').nth(2).ok_or(Failure::Malformed)?;
        let nonce = attribute(bare, 1, "r=").ok_or(Failure::Malformed)?;
        if nonce.is_empty() || !nonce.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Failure::Malformed);
        }
        let secret = ScramSecret::Verifier {
            salt: verifier.salt.clone(),
            iterations: usize::try_from(verifier.iterations).unwrap_or(usize::MAX),
            stored_key: verifier.stored_key.to_vec(),
            server_key: verifier.server_key.to_vec(),
        };
        let (server_first, waiting) = ScramServerAuth::new()
            .on_client_first_message_with_secret(client_first, secret)
            .map_err(|_| Failure::Malformed)?;
        let client_first_bare = bare.to_owned();
        Ok(Self { verifier, standing, client_first_bare, server_first, waiting })
    }

    /// The server's first message.
    pub(super) fn text(&self) -> &str {
        &self.server_first
    }

    /// Checks the client's final message; returns the server's final message.
    pub(super) fn check(self, client_final: &[u8]) -> Result<String, Failure> {
        let text = std::str::from_utf8(client_final).map_err(|_| Failure::Malformed)?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(Failure::Malformed)?;
        let nonce = attribute(without_proof, 1, "r=").ok_or(Failure::Malformed)?;
        if Some(nonce) != attribute(&self.server_first, 0, "r=") {
            return Err(Failure::Unrelated);
        }
        let proof = STANDARD.decode(proof).map_err(|_| Failure::Malformed)?;
        let proof: [u8; 32] = proof.try_into().map_err(|_| Failure::Malformed)?;
        if !bool::from(self.proves(without_proof, proof)) {
            return Err(Failure::WrongProof);
        }
        // Checks the channel binding, and the proof once more, now among equals.
        self.waiting.on_client_final_message(client_final).map_err(|_| Failure::Malformed)
    }

    /// ClientKey = ClientProof XOR HMAC(StoredKey, AuthMessage), and its hash must be StoredKey.
    fn proves(&self, without_proof: &str, proof: [u8; 32]) -> Choice {
        let auth_message =
            [&self.client_first_bare, ",", &self.server_first, ",", without_proof].map(str::as_bytes);
        let signature = hmac(&self.verifier.stored_key, &auth_message);
        let client_key: Vec<u8> = proof.iter().zip(signature).map(|(p, s)| p ^ s).collect();
        let matches = Sha256::digest(&client_key).as_slice().ct_eq(&self.verifier.stored_key);
        matches & Choice::from(u8::from(self.standing == Standing::Known))
    }
}

/// The value of the attribute at `index` in a comma-separated list, when its name is the one expected there.
fn attribute<'a>(list: &'a str, index: usize, name: &str) -> Option<&'a str> {
    list.split(',').nth(index)?.strip_prefix(name)
}

#[cfg(test)]
mod tests {
    use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};

    use super::*;

    fn exchange(password: &str, verifier: Verifier, standing: Standing) -> Result<(), Failure> {
        let mut client = ScramSha256::new(password.as_bytes(), ChannelBinding::unsupported());
        let challenge = Challenge::new(client.message(), verifier, standing)?;
        client.update(challenge.text().as_bytes()).unwrap();
        let outcome = challenge.check(client.message())?;
        client.finish(outcome.as_bytes()).expect("the client must accept the server's proof");
        Ok(())
    }

    fn pencil() -> Verifier {
        Verifier::of_password("pencil")
    }

    #[test]
    fn the_right_password_passes_and_a_wrong_one_does_not() {
        assert_eq!(exchange("pencil", pencil(), Standing::Known), Ok(()));
        assert_eq!(exchange("Pencil", pencil(), Standing::Known), Err(Failure::WrongProof));
        assert_eq!(exchange("", pencil(), Standing::Known), Err(Failure::WrongProof));
    }

    #[test]
    fn a_decoy_fails_even_with_a_proof_that_fits() {
        assert_eq!(exchange("pencil", pencil(), Standing::Decoy), Err(Failure::WrongProof));
    }

    #[test]
    fn malformed_first_messages() {
        for first in [
            "",
            "n",
            "n,,",
            "n,,n=,x=abc",
            "n,,n=,r=",
            "n,,n=,r=a b",
            "n,,n=,r=caf\u{e9}",
            "n,,m=ext,n=,r=abc",
            "n,a=other,n=,r=abc",
            "x,,n=,r=abc",
            "p=tls-server-end-point,,n=,r=abc",
        ] {
            let failure =
                Challenge::new(first.as_bytes(), pencil(), Standing::Known).map(|_| ()).unwrap_err();
            assert_eq!(failure, Failure::Malformed, "{first:?}");
        }
        assert!(Challenge::new(b"n,,n=,r=\xff", pencil(), Standing::Known).is_err());
    }

    #[test]
    fn final_messages_that_do_not_belong() {
        let check = |last: &dyn Fn(&str) -> String| {
            let challenge = Challenge::new(b"n,,n=,r=abc", pencil(), Standing::Known).unwrap();
            let nonce = attribute(challenge.text(), 0, "r=").unwrap().to_owned();
            assert!(nonce.starts_with("abc") && nonce.len() > 20, "the server adds its own nonce");
            challenge.check(last(&nonce).as_bytes()).unwrap_err()
        };
        let proof = STANDARD.encode([0; 32]);
        assert_eq!(check(&|_| String::new()), Failure::Malformed);
        assert_eq!(check(&|nonce| format!("c=biws,r={nonce}")), Failure::Malformed);
        assert_eq!(check(&|nonce| format!("c=biws,r={nonce},p=%%%")), Failure::Malformed);
        assert_eq!(check(&|nonce| format!("c=biws,r={nonce},p=AAAA")), Failure::Malformed);
        assert_eq!(check(&|_| format!("c=biws,r=abc,p={proof}")), Failure::Unrelated);
        assert_eq!(check(&|nonce| format!("c=biws,r={nonce}x,p={proof}")), Failure::Unrelated);
        assert_eq!(check(&|nonce| format!("c=biws,r={nonce},p={proof}")), Failure::WrongProof);
    }

    /// Signs messages as a client would that knows the password, whatever they say.
    fn signed(challenge: &Challenge, client_first_bare: &str, without_proof: &str) -> String {
        // A client that knows ClientKey; here it is chosen first and the verifier made from it.
        let auth = format!("{client_first_bare},{},{without_proof}", challenge.text());
        let signature = hmac(&challenge.verifier.stored_key, &[auth.as_bytes()]);
        let proof: Vec<u8> = [5u8; 32].iter().zip(signature).map(|(k, s)| k ^ s).collect();
        format!("{without_proof},p={}", STANDARD.encode(proof))
    }

    #[test]
    fn channel_binding_must_be_what_the_first_message_said() {
        let verifier = Verifier { stored_key: Sha256::digest([5u8; 32]).into(), ..pencil() };
        for (binding, right) in [("biws", true), ("eSws", false), ("", false)] {
            let challenge = Challenge::new(b"n,,n=,r=abc", verifier.clone(), Standing::Known).unwrap();
            let nonce = attribute(challenge.text(), 0, "r=").unwrap();
            let last = signed(&challenge, "n=,r=abc", &format!("c={binding},r={nonce}"));
            assert_eq!(challenge.check(last.as_bytes()).is_ok(), right, "{binding}");
        }
    }
}
