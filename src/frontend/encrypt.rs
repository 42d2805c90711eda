//! From an accepted stream to what its client says first, encrypted on the way where the client asks for it.
//!
//! PostgreSQL manual: "SSL Session Encryption". There are two ways: an SSLRequest that is answered, and TLS from the first byte
//! on, within which the protocol must be agreed upon (ALPN), so that nobody is made to talk to another kind of server.

use std::io;

use super::greet::{Asked, Knock, greet};
use crate::error::{Error, Result};
use crate::net::tls::{Acceptor, PROTOCOL};
use crate::net::{Encryption, Handshake, Peer, Stream};
use crate::wire::startup::{Packet, repeated_request};

/// The first byte of a TLS handshake. No startup packet begins with it: it would be of 369 MB.
const TLS_HANDSHAKE: u8 = 0x16;

/// Whether a listener's clients are encrypted.
#[derive(Clone, Copy, Debug)]
pub enum Encrypt<'a> {
    /// None is.
    Off,
    /// Whoever wants to be.
    Allow(&'a Acceptor),
    /// All: nobody else gets in.
    Require(&'a Acceptor),
}

impl<'a> Encrypt<'a> {
    fn acceptor(self) -> Option<&'a Acceptor> {
        match self {
            Encrypt::Off => None,
            Encrypt::Allow(acceptor) | Encrypt::Require(acceptor) => Some(acceptor),
        }
    }

    /// Whether such a client gets in. Cancel requests do in any case, as with PostgreSQL: they hold nothing that is worth
    /// hiding from whoever could stop them, and nothing is answered to them.
    pub(super) fn admits(self, peer: &Peer) -> Result<()> {
        match (self, &peer.encryption) {
            (Encrypt::Require(_), Encryption::None) => Err(Error::Unencrypted),
            _ => Ok(()),
        }
    }
}

/// A client that is not known yet.
#[derive(Debug)]
pub(super) struct Visitor {
    /// None while its stream is being encrypted: whoever gives up then has nothing to say.
    client: Option<Handshake<Stream>>,
    pub(super) peer: Peer,
}

impl Visitor {
    pub(super) fn new(stream: Stream, peer: Peer) -> Self {
        Self { client: Some(Handshake::new(stream)), peer }
    }

    /// Its stream, as far as that has come.
    pub(super) fn client(&mut self) -> Result<&mut Handshake<Stream>> {
        self.client.as_mut().ok_or_else(|| Error::Lost(io::ErrorKind::NotConnected.into()))
    }

    pub(super) fn into_parts(self) -> (Option<Handshake<Stream>>, Peer) {
        (self.client, self.peer)
    }

    /// Encrypts the stream. What the client has sent so far was consumed.
    async fn encrypt(&mut self, acceptor: &Acceptor) -> Result<()> {
        // Nobody is encrypted twice.
        let Some((Stream::Plain(socket), _)) = self.client.take().map(Handshake::into_parts) else {
            return Err(Error::Lost(io::ErrorKind::NotConnected.into()));
        };
        let (stream, tls) = acceptor.accept(socket).await.map_err(|error| match error.get_ref() {
            Some(why) => Error::TlsHandshake(why.to_string()),
            None => Error::Lost(error),
        })?;
        self.client = Some(Handshake::new(stream));
        self.peer.encryption = Encryption::Tls(tls.into());
        Ok(())
    }
}

/// Hears what a client wants. Not cancel safe: a client that is given up is refused.
pub(super) async fn knock(visitor: &mut Visitor, encrypt: Encrypt<'_>) -> Result<Knock> {
    let Some(acceptor) = encrypt.acceptor() else { return greet(visitor.client()?, Asked::InVain).await };
    let first = visitor.client()?.peek().await.map_err(Error::Lost)?;
    if first == Some(TLS_HANDSHAKE) {
        Box::pin(visitor.encrypt(acceptor)).await?;
        let client = visitor.client()?;
        return if client.protocol() == Some(PROTOCOL) {
            greet(client, Asked::InVain).await
        } else {
            Err(Error::NothingAgreed)
        };
    }
    match greet(visitor.client()?, Asked::ForTls).await? {
        Knock::Tls => {}
        knock => return Ok(knock),
    }
    Box::pin(visitor.encrypt(acceptor)).await?;
    match greet(visitor.client()?, Asked::Already).await? {
        Knock::Tls => Err(repeated_request(&Packet::Ssl)),
        knock => Ok(knock),
    }
}
