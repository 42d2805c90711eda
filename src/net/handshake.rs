//! A stream while its two ends still introduce themselves: one message at a time, each bounded.
//!
//! Used towards clients (startup, authentication) and towards servers (login). Once both know each other the
//! parts are taken out and the relay, which moves runs of messages, takes over.

use std::io;
use std::ops::RangeInclusive;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::Stream;

/// Room for the first read: what either end says first fits, and it is not much to hold per idle client.
const FIRST_READ: usize = 1024;

/// Why no message came.
#[derive(Debug)]
pub enum ReadError {
    /// The stream ended or broke.
    Lost(io::Error),
    /// The length word is out of bounds. Nothing was allocated for it, and the stream is of no more use.
    Length,
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        ReadError::Lost(error)
    }
}

/// A stream, and what was read from it but not consumed yet.
#[derive(Debug)]
pub struct Handshake<S> {
    stream: S,
    received: BytesMut,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Handshake<S> {
    /// Takes a fresh stream.
    pub fn new(stream: S) -> Self {
        Self { stream, received: BytesMut::with_capacity(FIRST_READ) }
    }

    /// Takes a stream from which so much has been read.
    pub fn resumed(stream: S, received: BytesMut) -> Self {
        Self { stream, received }
    }

    /// Whether the peer has sent more than was consumed, as far as it has been read.
    pub fn has_unread(&self) -> bool {
        !self.received.is_empty()
    }

    /// Reads a packet without a type byte, whose length word counts itself; returns what follows the length
    /// word. Cancel safe.
    pub async fn packet(&mut self, bounds: RangeInclusive<usize>) -> Result<Bytes, ReadError> {
        let mut packet = self.frame(0, |_| bounds).await?;
        Ok(packet.split_off(4).freeze())
    }

    /// Reads a message; returns its type byte and its body. `limit` tells how long a message of a type may be,
    /// its length word included. Cancel safe.
    pub async fn message(&mut self, limit: impl FnOnce(u8) -> usize) -> Result<(u8, Bytes), ReadError> {
        let mut message = self.frame(1, |tag| 4..=limit(tag)).await?;
        let tag = message.first().copied().unwrap_or_default();
        Ok((tag, message.split_off(5).freeze()))
    }

    /// Sends bytes, all of them. Not cancel safe.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// The stream, and what the peer has sent beyond the handshake.
    pub fn into_parts(self) -> (S, BytesMut) {
        (self.stream, self.received)
    }

    /// Reads a whole frame whose length word stands behind `head` bytes and counts itself, not them.
    async fn frame(
        &mut self,
        head: usize,
        bounds: impl FnOnce(u8) -> RangeInclusive<usize>,
    ) -> Result<BytesMut, ReadError> {
        self.fill(head + 4).await?;
        let word =
            self.received.get(head..).and_then(|bytes| bytes.first_chunk()).copied().unwrap_or_default();
        // A negative length turns into an enormous one, which no bound admits.
        let length = usize::try_from(u32::from_be_bytes(word)).unwrap_or(usize::MAX);
        if !bounds(self.received.first().copied().unwrap_or_default()).contains(&length) {
            return Err(ReadError::Length);
        }
        self.fill(head + length).await?;
        Ok(self.received.split_to(head + length))
    }

    /// Reads until `want` bytes are there.
    async fn fill(&mut self, want: usize) -> Result<(), ReadError> {
        while self.received.len() < want {
            self.received.reserve(want - self.received.len());
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(ReadError::Lost(io::ErrorKind::UnexpectedEof.into()));
            }
        }
        Ok(())
    }
}

impl Handshake<Stream> {
    /// The first byte of what the peer has sent, which stays to be read; `None` at the end of the stream, and over anything but
    /// TCP. To be called before anything is read. Cancel safe.
    pub async fn peek(&self) -> io::Result<Option<u8>> {
        self.stream.peek().await
    }

    /// The protocol that both ends have agreed to speak within the encryption (ALPN), where there is any.
    pub fn protocol(&self) -> Option<&[u8]> {
        self.stream.protocol()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::duplex;
    use tokio::time::timeout;

    use super::*;
    use crate::net::holding::Holding;

    async fn trickle(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8], chunk: usize) {
        for part in bytes.chunks(chunk) {
            stream.write_all(part).await.unwrap();
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn messages_come_whole_however_they_are_cut() {
        for chunk in 1..12 {
            let (ours, mut theirs) = duplex(4096);
            let bytes = b"\0\0\0\x08abcdp\0\0\0\x07xyzq\0\0\0\x04rest";
            tokio::spawn(async move { trickle(&mut theirs, bytes, chunk).await });
            let mut handshake = Handshake::new(ours);
            assert_eq!(handshake.packet(8..=100).await.unwrap(), "abcd");
            assert_eq!(handshake.message(|_| 100).await.unwrap(), (b'p', "xyz".into()));
            assert_eq!(handshake.message(|_| 100).await.unwrap(), (b'q', "".into()));
            let cut = handshake.message(|_| 100).await.unwrap_err();
            assert!(matches!(cut, ReadError::Lost(_)), "four bytes are no header");
            assert_eq!(handshake.into_parts().1, "rest");
        }
    }

    #[tokio::test]
    async fn a_stream_that_holds_bytes_is_no_other_stream() {
        let (ours, mut theirs) = Holding::pair().unwrap();
        let peer = tokio::spawn(async move {
            theirs.write_all(b"p\0\0\0\x24a message of several short reads").await.unwrap();
            let mut heard = [0; 100];
            theirs.read_exact(&mut heard).await.unwrap();
            theirs.write_all(b"q\0\0\0\x04").await.unwrap();
            heard
        });
        let mut handshake = Handshake::new(ours);
        let exchange = async {
            let (_, said) = handshake.message(|_| 100).await.unwrap();
            handshake.send(&[b'x'; 100]).await.unwrap();
            assert_eq!(handshake.message(|_| 100).await.unwrap().0, b'q');
            said
        };
        let said = timeout(Duration::from_secs(5), exchange).await.unwrap();
        assert_eq!((said.len(), peer.await.unwrap()), (32, [b'x'; 100]));
    }

    #[tokio::test]
    async fn lengths_out_of_bounds_are_refused_before_the_body_comes() {
        for length in [0u32, 3, 101, 0x7fff_ffff, 0xffff_ffff] {
            let (ours, mut theirs) = duplex(64);
            theirs.write_all(&[b"p".as_slice(), &length.to_be_bytes()].concat()).await.unwrap();
            let mut handshake = Handshake::new(ours);
            let outcome = timeout(Duration::from_secs(5), handshake.message(|_| 100)).await;
            assert!(matches!(outcome, Ok(Err(ReadError::Length))), "{length}");
            assert!(handshake.received.capacity() <= FIRST_READ);
        }
    }

    #[tokio::test]
    async fn the_end_of_the_stream_is_a_loss() {
        let (ours, theirs) = duplex(64);
        drop(theirs);
        let lost = Handshake::new(ours).packet(8..=100).await;
        assert!(matches!(lost, Err(ReadError::Lost(error)) if error.kind() == io::ErrorKind::UnexpectedEof));
    }
}
