//! The attributes of a client's SCRAM messages, and what is wrong with those that break the mechanism's rules, in the words
//! of PostgreSQL's auth-scram.c.

use crate::error::Error;

/// Why an exchange failed.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::frontend) enum Failure {
    /// The message breaks the mechanism's rules; this is how.
    Malformed(String),
    /// The message asks for what neither PostgreSQL nor weir has.
    Unsupported(&'static str),
    /// A nonce that cannot be printed.
    Nonce,
    /// A channel binding other than tls-server-end-point.
    BindingType(String),
    /// The client could bind the exchange to the stream, and was told that weir cannot: not by weir.
    Downgrade,
    /// The client sees another certificate than weir shows: somebody is in between.
    OtherEndPoint,
    /// The channel binding is not what the first message said it would be.
    OtherBinding,
    /// The message is well formed, but belongs to another exchange.
    Unrelated,
    /// The proof is wrong.
    WrongProof,
}

impl Failure {
    /// What a client is told that says it is `name`.
    pub(in crate::frontend) fn explain(self, name: &str) -> Error {
        match self {
            Failure::Malformed(how) => Error::ScramMessage(how),
            Failure::Unsupported(words) => Error::ScramFeature(words),
            Failure::Nonce => Error::Protocol("non-printable characters in SCRAM nonce"),
            Failure::BindingType(kind) => Error::ScramBindingType(kind),
            Failure::Downgrade => Error::ScramDowngrade,
            Failure::OtherEndPoint => Error::ScramBinding,
            Failure::OtherBinding => {
                Error::Protocol("unexpected SCRAM channel-binding attribute in client-final-message")
            }
            Failure::Unrelated => Error::Protocol("invalid SCRAM response"),
            Failure::WrongProof => Error::Authentication(name.to_owned()),
        }
    }
}

/// Shorthand for a message that breaks the rules.
pub(super) fn malformed(how: impl Into<String>) -> Failure {
    Failure::Malformed(how.into())
}

/// What of a message has not been read yet.
pub(super) struct Reader<'a>(&'a str);

impl<'a> Reader<'a> {
    /// All of a message.
    pub(super) fn new(message: &'a [u8]) -> Result<Self, Failure> {
        if message.is_empty() {
            return Err(malformed("The message is empty."));
        }
        if message.contains(&0) {
            return Err(malformed("Message length does not match input length."));
        }
        // PostgreSQL takes names in other encodings, and ignores them; no driver sends one.
        std::str::from_utf8(message).map(Self).map_err(|_| malformed("The message is not valid UTF-8."))
    }

    pub(super) fn rest(&self) -> &'a str {
        self.0
    }

    /// The next character, which stays.
    pub(super) fn peek(&self) -> Option<char> {
        self.0.chars().next()
    }

    /// Takes the next character if it is this one.
    pub(super) fn takes(&mut self, expected: char) -> bool {
        let rest = self.0.strip_prefix(expected);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// The value of the attribute that must come now, up to its comma.
    pub(super) fn value(&mut self, attribute: char) -> Result<&'a str, Failure> {
        if !self.takes(attribute) {
            let found = shown(self.peek());
            return Err(malformed(format!("Expected attribute \"{attribute}\" but found \"{found}\".")));
        }
        self.value_of(attribute)
    }

    /// Whatever attribute comes now.
    pub(super) fn any(&mut self) -> Result<(char, &'a str), Failure> {
        match self.peek() {
            None => Err(malformed("Attribute expected, but found end of string.")),
            Some(attribute) if attribute.is_ascii_alphabetic() => {
                self.takes(attribute);
                Ok((attribute, self.value_of(attribute)?))
            }
            found => {
                let found = shown(found);
                Err(malformed(format!("Attribute expected, but found invalid character \"{found}\".")))
            }
        }
    }

    fn value_of(&mut self, attribute: char) -> Result<&'a str, Failure> {
        if !self.takes('=') {
            return Err(malformed(format!("Expected character \"=\" for attribute \"{attribute}\".")));
        }
        let (value, rest) = self.0.split_once(',').unwrap_or((self.0, ""));
        self.0 = rest;
        Ok(value)
    }
}

/// A character as PostgreSQL shows one that it did not expect, of which it sees the first byte.
pub(super) fn shown(found: Option<char>) -> String {
    match found {
        Some(found) if found.is_ascii_graphic() => format!("'{found}'"),
        Some(found) => {
            let mut bytes = [0; 4];
            found.encode_utf8(&mut bytes);
            format!("0x{:02x}", bytes[0])
        }
        None => "0x00".to_owned(),
    }
}

/// A word as PostgreSQL shows one that it did not expect: not more than 30 bytes, and nothing that is not printable.
pub(super) fn sanitized(word: &str) -> String {
    let printable = |byte: u8| if byte.is_ascii_graphic() { char::from(byte) } else { '?' };
    word.bytes().take(30).map(printable).collect()
}
