//! libpq's `sslmode`: what is tried towards a server, in which order, and what is left when that was refused. Pure: words and
//! their meanings, no sockets.
//!
//! PostgreSQL manual: "SSL Support" of libpq, table "SSL Mode Descriptions".

/// `sslmode`, weakest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum SslMode {
    /// Never encrypted.
    Disable,
    /// Encrypted if the server lets nobody in otherwise.
    Allow,
    /// Encrypted if the server can.
    #[default]
    Prefer,
    /// Encrypted, whoever the server is.
    Require,
    /// Encrypted, and the server's certificate was issued by whom we trust.
    VerifyCa,
    /// The same, and it names the host that was meant.
    VerifyFull,
}

impl SslMode {
    /// Each by its word.
    pub const WORDS: [(&str, SslMode); 6] = [
        ("disable", SslMode::Disable),
        ("allow", SslMode::Allow),
        ("prefer", SslMode::Prefer),
        ("require", SslMode::Require),
        ("verify-ca", SslMode::VerifyCa),
        ("verify-full", SslMode::VerifyFull),
    ];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(_, mode)| *mode == self).map_or("", |(word, _)| word)
    }

    /// Whether nothing passes that is not encrypted.
    pub fn is_strict(self) -> bool {
        self >= SslMode::Require
    }

    /// What is tried first. `strict` is how TLS is begun where it must be.
    pub(super) fn first(self, strict: Way) -> Way {
        match self {
            SslMode::Disable | SslMode::Allow => Way::Plain,
            SslMode::Prefer => Way::Preferred,
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => strict,
        }
    }

    /// What is tried over a new connection when the server refused what was `tried`. A server that said it speaks no TLS is
    /// not asked twice.
    pub(super) fn second(self, tried: Tried) -> Option<Way> {
        match (self, tried) {
            (SslMode::Allow, Tried::Plain(Way::Plain)) => Some(Way::Demanded),
            (SslMode::Prefer, Tried::Tls(Way::Preferred)) => Some(Way::Plain),
            _ => None,
        }
    }
}

/// How a connection is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Without asking for TLS.
    Plain,
    /// The server is asked for TLS; if it has none, the connection goes on without.
    Preferred,
    /// The server is asked for TLS, and must have it.
    Demanded,
    /// TLS from the first byte on (`sslnegotiation = direct`, PostgreSQL 17).
    Direct,
}

/// What became of a way, as far as the encryption goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tried {
    /// It led to a connection that is not encrypted.
    Plain(Way),
    /// It led to TLS.
    Tls(Way),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_libpqs() {
        let words: Vec<_> = SslMode::WORDS.iter().map(|(_, mode)| mode.as_str()).collect();
        assert_eq!(words, ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]);
        assert_eq!(SslMode::default(), SslMode::Prefer);
    }

    /// As libpq 15 to 17 do it.
    #[test]
    fn what_is_tried_and_what_is_left() {
        use SslMode::*;
        let plain_first = [Disable, Allow].map(|mode| mode.first(Way::Demanded));
        assert_eq!(plain_first, [Way::Plain; 2]);
        assert_eq!(Prefer.first(Way::Direct), Way::Preferred);
        for mode in [Require, VerifyCa, VerifyFull] {
            assert_eq!(mode.first(Way::Demanded), Way::Demanded);
            assert_eq!(mode.first(Way::Direct), Way::Direct);
            assert_eq!(mode.second(Tried::Tls(Way::Demanded)), None);
        }
        assert_eq!(Disable.second(Tried::Plain(Way::Plain)), None);
        assert_eq!(Allow.second(Tried::Plain(Way::Plain)), Some(Way::Demanded));
        assert_eq!(Allow.second(Tried::Tls(Way::Demanded)), None);
        assert_eq!(Prefer.second(Tried::Tls(Way::Preferred)), Some(Way::Plain));
        assert_eq!(Prefer.second(Tried::Plain(Way::Preferred)), None, "it had no TLS in the first place");
        assert_eq!(Prefer.second(Tried::Plain(Way::Plain)), None);
    }
}
