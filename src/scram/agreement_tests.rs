//! What the tests of both directions share: logins by right and wrong passwords, the two kinds of clients that weir has for
//! them, a server that is written after RFC 5802 alone, and somebody in between who changes what they say.
//!
//! What SASLprep (RFC 4013) makes of a password is known here by how the password is put together, not by asking the library
//! that everybody else asks.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use sha2::{Digest, Sha256};

use super::client::ClientFinal;
use super::{Binding, ClientFirst, ClientKey, PassKey, Verifier, hmac};

/// Parts of passwords: what SASLprep makes of each, and ways to write it.
const PARTS: [&[&str]; 9] = [
    &["secret"],
    &["1"],
    &["IX", "I\u{ad}X", "\u{2168}"],
    &["a", "\u{aa}"],
    &[" ", "\u{a0}", "\u{3000}"],
    &["\u{e9}", "e\u{301}"],
    &["fi", "\u{fb01}", "f\u{200d}i"],
    &["\u{4e2d}"],
    &["\u{3c9}", "\u{3c9}\u{feff}"],
];

/// What SASLprep does not take: control characters, private use, what Unicode 3.2 did not have. Then the password counts as it is.
const TABOO: [&str; 3] = ["\u{7}", "\u{e000}", "\u{1f418}"];

/// A password, as it is said and as it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Password {
    pub(crate) said: String,
    prepared: String,
}

/// Somebody who tries a password where another one, or the same, is stored.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) tried: Password,
    stored: Password,
    salt: Vec<u8>,
    iterations: u32,
    pub(crate) binding: Binding,
    pub(crate) tampering: Option<Tampering>,
}

/// What somebody in between does to one of the four messages.
#[derive(Clone, Debug)]
pub(crate) struct Tampering {
    message: usize,
    at: Index,
    /// What stands there instead; nothing from there on without it.
    by: Option<u8>,
}

impl Password {
    /// Each part written in one of its ways.
    fn written(parts: &[(usize, Index, Index)], way: impl Fn(&(usize, Index, Index)) -> Index) -> Self {
        let said = parts.iter().map(|part| *way(part).get(PARTS[part.0])).collect();
        Self { said, prepared: parts.iter().map(|part| PARTS[part.0][0]).collect() }
    }

    fn with(self, taboo: Option<&str>) -> Self {
        let Some(taboo) = taboo else { return self };
        let said = self.said + taboo;
        Self { prepared: said.clone(), said }
    }
}

/// Any attempt: about every other by a password that fits.
pub(crate) fn attempts() -> impl Strategy<Value = Attempt> {
    let parts = || prop::collection::vec((0..PARTS.len(), any::<Index>(), any::<Index>()), 1..5);
    let taboo = prop_oneof![4 => Just(None), 1 => select(&TABOO[..]).prop_map(Some)];
    let passwords = (parts(), parts(), taboo, 0..6).prop_map(|(parts, others, taboo, kind)| {
        let stored = Password::written(&parts, |part| part.1).with(taboo);
        let tried = match kind {
            0 => Password { said: String::new(), prepared: String::new() },
            1 => Password::written(&others, |part| part.1).with(taboo),
            2 => stored.clone(),
            _ => Password::written(&parts, |part| part.2).with(taboo),
        };
        (stored, tried)
    });
    let iterations = prop_oneof![9 => 1..20u32, 1 => Just(4096)];
    let salt = prop::collection::vec(any::<u8>(), 1..33);
    let binding = prop_oneof![
        Just(Binding::Unsupported),
        Just(Binding::NotOffered),
        prop::collection::vec(any::<u8>(), 32).prop_map(Binding::EndPoint)
    ];
    let by = prop_oneof![1 => Just(None), 5 => (b' '..=b'~').prop_map(Some)];
    let tampering =
        (0..4usize, any::<Index>(), by).prop_map(|(message, at, by)| Tampering { message, at, by });
    let tampering = prop_oneof![2 => Just(None), 1 => tampering.prop_map(Some)];
    (passwords, salt, iterations, binding, tampering).prop_map(
        |((stored, tried), salt, iterations, binding, tampering)| Attempt {
            tried,
            stored,
            salt,
            iterations,
            binding,
            tampering,
        },
    )
}

impl Attempt {
    /// Whether the password is the one that is stored.
    pub(crate) fn fits(&self) -> bool {
        self.tried.prepared == self.stored.prepared
    }

    /// The same, with nobody in between.
    pub(crate) fn unhindered(self) -> Self {
        Self { tampering: None, ..self }
    }

    /// What is stored.
    pub(crate) fn verifier(&self) -> Verifier {
        self.key_of(&self.stored).verifier
    }

    /// The key of the password that is tried.
    pub(crate) fn key(&self) -> PassKey {
        self.key_of(&self.tried)
    }

    /// RFC 5802, section 3.
    fn key_of(&self, password: &Password) -> PassKey {
        let mac = Hmac::<Sha256>::new_from_slice(password.prepared.as_bytes()).unwrap();
        let round =
            |text: &[u8]| -> [u8; 32] { mac.clone().chain_update(text).finalize().into_bytes().into() };
        let mut last = round(&[&self.salt[..], &1u32.to_be_bytes()].concat());
        let mut salted = last;
        for _ in 1..self.iterations {
            last = round(&last);
            salted.iter_mut().zip(last).for_each(|(sum, one)| *sum ^= one);
        }
        let client_key = hmac(&salted, &[b"Client Key"]);
        let verifier = Verifier {
            iterations: self.iterations,
            salt: self.salt.clone(),
            stored_key: Sha256::digest(client_key).into(),
            server_key: hmac(&salted, &[b"Server Key"]),
        };
        PassKey::new(verifier, ClientKey::new(client_key))
    }

    /// A client that has the password. `channel` is the attempt's binding, as the library calls it.
    pub(crate) fn by_password(&self, channel: ChannelBinding) -> ByPassword {
        ByPassword(ScramSha256::new(self.tried.said.as_bytes(), channel))
    }

    /// A client that has the password's key.
    pub(crate) fn by_key(&self) -> ByKey {
        let nonce = "of+the+client".to_owned();
        ByKey::Begins(ClientFirst::new(Arc::new(self.key()), self.binding.clone(), nonce))
    }

    /// Whether a client and a server have it that each is who it says it is, whoever is in between.
    pub(crate) fn succeeds(&self, mut client: impl Client, mut server: impl Server) -> bool {
        let meddle = |message: usize, text: String| match &self.tampering {
            Some(tampering) if tampering.message == message => tampering.done_to(text),
            _ => text,
        };
        let outcome = (|| {
            let challenge = server.challenge(&meddle(0, client.first()))?;
            let answer = client.answer(&meddle(1, challenge))?;
            server.check(&meddle(2, answer))
        })();
        outcome.is_some_and(|outcome| client.check(&meddle(3, outcome)))
    }
}

impl Tampering {
    fn done_to(&self, text: String) -> String {
        let mut bytes = text.into_bytes();
        let at = self.at.index(bytes.len());
        match self.by {
            Some(by) if bytes[at] != by => bytes[at] = by,
            _ => bytes.truncate(at),
        }
        String::from_utf8(bytes).unwrap()
    }
}

/// The client's half of an exchange.
pub(crate) trait Client {
    fn first(&mut self) -> String;
    fn answer(&mut self, challenge: &str) -> Option<String>;
    fn check(&mut self, outcome: &str) -> bool;
}

/// The server's half.
pub(crate) trait Server {
    fn challenge(&mut self, first: &str) -> Option<String>;
    fn check(&mut self, last: &str) -> Option<String>;
}

pub(crate) struct ByPassword(ScramSha256);

impl Client for ByPassword {
    fn first(&mut self) -> String {
        String::from_utf8(self.0.message().to_vec()).unwrap()
    }

    fn answer(&mut self, challenge: &str) -> Option<String> {
        self.0.update(challenge.as_bytes()).ok()?;
        Some(self.first())
    }

    fn check(&mut self, outcome: &str) -> bool {
        self.0.finish(outcome.as_bytes()).is_ok()
    }
}

pub(crate) enum ByKey {
    Begins(ClientFirst),
    Ends(ClientFinal),
    Over,
}

impl Client for ByKey {
    fn first(&mut self) -> String {
        let Self::Begins(first) = self else { panic!("it has begun") };
        first.text()
    }

    fn answer(&mut self, challenge: &str) -> Option<String> {
        let Self::Begins(first) = std::mem::replace(self, Self::Over) else { panic!("it has answered") };
        let last = first.answer(challenge.as_bytes()).ok()?;
        let text = last.text().to_owned();
        *self = Self::Ends(last);
        Some(text)
    }

    fn check(&mut self, outcome: &str) -> bool {
        let Self::Ends(last) = self else { panic!("it has not answered") };
        last.check(outcome.as_bytes()).is_ok()
    }
}

/// A server as RFC 5802 has it, and no more strict.
pub(crate) struct Reference {
    verifier: Verifier,
    header: &'static str,
    end_point: Vec<u8>,
    /// The first two messages, without the header.
    begun: String,
    nonce: String,
}

impl Reference {
    pub(crate) fn new(verifier: Verifier, binding: &Binding) -> Self {
        let (header, end_point) = match binding {
            Binding::Unsupported => ("n,,", Vec::new()),
            Binding::NotOffered => ("y,,", Vec::new()),
            Binding::EndPoint(hash) => ("p=tls-server-end-point,,", hash.clone()),
        };
        Self { verifier, header, end_point, begun: String::new(), nonce: String::new() }
    }
}

impl Server for Reference {
    fn challenge(&mut self, first: &str) -> Option<String> {
        let bare = first.strip_prefix(self.header)?;
        let nonce = bare.strip_prefix("n=,r=").filter(|nonce| !nonce.contains(','))?;
        self.nonce = format!("{nonce}of+the+server");
        let Verifier { salt, iterations, .. } = &self.verifier;
        let challenge = format!("r={},s={},i={iterations}", self.nonce, STANDARD.encode(salt));
        self.begun = format!("{bare},{challenge}");
        Some(challenge)
    }

    fn check(&mut self, last: &str) -> Option<String> {
        let (without_proof, proof) = last.rsplit_once(",p=")?;
        let bound = STANDARD.encode([self.header.as_bytes(), &self.end_point].concat());
        if without_proof != format!("c={bound},r={}", self.nonce) {
            return None;
        }
        let message: [&[u8]; 3] = [self.begun.as_bytes(), b",", without_proof.as_bytes()];
        let signature = hmac(&self.verifier.stored_key, &message);
        let proof = STANDARD.decode(proof).ok()?;
        let key: Vec<u8> = proof.iter().zip(signature).map(|(one, other)| one ^ other).collect();
        let is_right = proof.len() == 32 && Sha256::digest(key).as_slice() == self.verifier.stored_key;
        let outcome = || format!("v={}", STANDARD.encode(hmac(&self.verifier.server_key, &message)));
        is_right.then(outcome)
    }
}
