//! By which SASL mechanism weir logs in to a server, and what the login is bound to: as libpq chooses (fe-auth.c).
//! Pure.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use postgres_protocol::authentication::sasl::{ChannelBinding as Bound, SCRAM_SHA_256, SCRAM_SHA_256_PLUS};

use crate::config::ChannelBinding;
use crate::error::{Error, NoPass, Result};
use crate::net::Encryption;
use crate::scram::{Binding, Mistrust};

/// The stream that a login goes over, and whether it must be bound to it.
#[derive(Clone, Copy, Debug)]
pub struct Channel<'a> {
    /// How it is encrypted.
    pub encryption: &'a Encryption,
    /// What the configuration asks for.
    pub binding: ChannelBinding,
}

/// A mechanism, and how its exchange is bound.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) mechanism: &'static str,
    pub(super) binding: Binding,
}

impl<'a> Channel<'a> {
    /// An unencrypted one.
    pub const PLAIN: Channel<'static> =
        Channel { encryption: &Encryption::None, binding: ChannelBinding::Prefer };

    /// What a login can be bound to.
    fn end_point(self) -> Option<&'a [u8]> {
        match self.encryption {
            Encryption::Tls(tls) if self.binding != ChannelBinding::Disable => tls.end_point.as_deref(),
            Encryption::Tls(_) | Encryption::None => None,
        }
    }

    /// Refuses a login that is bound to nothing where it must be bound.
    pub(super) fn admits_unbound(self, words: &'static str) -> Result<()> {
        match self.binding {
            ChannelBinding::Require => Err(Error::ServerAuthentication(words)),
            ChannelBinding::Prefer | ChannelBinding::Disable => Ok(()),
        }
    }

    /// Which of the mechanisms that a server offers is used.
    pub(super) fn choose(self, offered: &[u8]) -> Result<Choice> {
        let offers = |name: &str| offered.split(|&byte| byte == 0).any(|offer| offer == name.as_bytes());
        if matches!(self.encryption, Encryption::None) {
            self.admits_unbound("channel binding is required, and the connection is not encrypted")?;
        }
        let choice = match (offers(SCRAM_SHA_256_PLUS), self.end_point()) {
            (true, Some(hash)) => {
                return Ok(Choice {
                    mechanism: SCRAM_SHA_256_PLUS,
                    binding: Binding::EndPoint(hash.to_vec()),
                });
            }
            (false, Some(_)) => Binding::NotOffered,
            (_, None) => Binding::Unsupported,
        };
        if !offers(SCRAM_SHA_256) {
            return Err(Error::ServerAuthentication("it offers no SASL mechanism that weir knows"));
        }
        self.admits_unbound("channel binding is required, and the server does not offer it")?;
        Ok(Choice { mechanism: SCRAM_SHA_256, binding: choice })
    }
}

/// The same for one who has a password.
pub(super) fn bound(binding: Binding) -> Bound {
    match binding {
        Binding::Unsupported => Bound::unsupported(),
        Binding::NotOffered => Bound::unrequested(),
        Binding::EndPoint(hash) => Bound::tls_server_end_point(hash),
    }
}

/// A nonce as libpq makes them.
pub(super) fn nonce() -> String {
    STANDARD.encode(rand::random::<[u8; 18]>())
}

/// Why a login by a key has come to nothing, as the server's half of the exchange is not what it should be.
pub(super) fn mistrusted(user: &str, mistrust: Mistrust) -> Error {
    let why = match mistrust {
        Mistrust::Malformed => return Error::ServerAuthentication(WRONG_HALF),
        Mistrust::OtherSalt => NoPass::OtherSalt,
        Mistrust::OtherIterations => NoPass::OtherIterations,
        Mistrust::WrongSignature => NoPass::OtherServerKey,
    };
    Error::PassThrough { user: user.to_owned(), why }
}

pub(super) const WRONG_HALF: &str = "the server's half of SCRAM-SHA-256 is wrong";

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::net::Tls;

    fn tls(end_point: Option<Vec<u8>>) -> Encryption {
        let (version, cipher) = ("TLSv1.3", "TLS_AES_256_GCM_SHA384".to_owned());
        Encryption::Tls(Arc::new(Tls { version, cipher, end_point, certificate: None }))
    }

    fn choose(encryption: &Encryption, binding: ChannelBinding, offered: &[u8]) -> Option<(String, Binding)> {
        let choice = Channel { encryption, binding }.choose(offered);
        choice.ok().map(|choice| (choice.mechanism.to_owned(), choice.binding))
    }

    const PLAIN: &[u8] = b"SCRAM-SHA-256\0\0";
    const BOTH: &[u8] = b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0";

    #[test]
    fn a_login_is_bound_where_it_can_be() {
        use ChannelBinding::{Disable, Prefer, Require};
        let plain = |binding| Some((SCRAM_SHA_256.to_owned(), binding));
        let plus = Some((SCRAM_SHA_256_PLUS.to_owned(), Binding::EndPoint(vec![7; 32])));
        let (encrypted, odd) = (tls(Some(vec![7; 32])), tls(None));
        for (encryption, binding, offered, expected) in [
            (&encrypted, Prefer, BOTH, plus.clone()),
            (&encrypted, Require, BOTH, plus),
            (&encrypted, Disable, BOTH, plain(Binding::Unsupported)),
            // It says that it could have: so a man in the middle who keeps the offer back is found out.
            (&encrypted, Prefer, PLAIN, plain(Binding::NotOffered)),
            (&encrypted, Require, PLAIN, None),
            (&encrypted, Disable, PLAIN, plain(Binding::Unsupported)),
            // A certificate of which there is no such hash.
            (&odd, Prefer, BOTH, plain(Binding::Unsupported)),
            (&odd, Require, BOTH, None),
            (&Encryption::None, Prefer, PLAIN, plain(Binding::Unsupported)),
            // Something that ends TLS is in between. libpq refuses that; a sidecar of the server's is nothing odd.
            (&Encryption::None, Prefer, BOTH, plain(Binding::Unsupported)),
            (&Encryption::None, Require, PLAIN, None),
            (&encrypted, Prefer, b"GSSAPI\0\0".as_slice(), None),
        ] {
            assert_eq!(choose(encryption, binding, offered), expected, "{binding:?} {encryption:?}");
        }
    }
}

#[cfg(test)]
#[path = "agreement_tests.rs"]
mod agreement;
