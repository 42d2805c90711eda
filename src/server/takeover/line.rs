//! A line to another weir: messages that describe themselves (JSON behind a length), each with the descriptors that belong to
//! it. It knows no message.
//!
//! ```text
//! length of the words: 4 bytes    how many descriptors: 1 byte, which they come with    the words
//! ```

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::Interest;
use tokio::net::UnixStream;

const HEAD: usize = 5;

/// Most descriptors that a message has.
const DESCRIPTORS_MAX: usize = 128;

/// No words are longer: a client may have as many statements as it likes, within reason.
const WORDS_MAX: usize = 256 << 20;

/// The line. One task may say something while another listens.
#[derive(Debug)]
pub(super) struct Line(UnixStream);

impl Line {
    pub(super) fn new(stream: UnixStream) -> Self {
        Self(stream)
    }

    /// Says something. Not cancel safe.
    ///
    /// # Errors
    /// When nobody listens any more.
    pub(super) async fn say(&self, words: &impl Serialize, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let words = serde_json::to_vec(words)?;
        let length = u32::try_from(words.len()).ok().filter(|_| words.len() <= WORDS_MAX);
        let count = u8::try_from(descriptors.len()).ok().filter(|_| descriptors.len() <= DESCRIPTORS_MAX);
        let (Some(length), Some(count)) = (length, count) else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "too much for one message"));
        };
        let [a, b, c, d] = length.to_be_bytes();
        let head = [a, b, c, d, count];
        let sent = self.0.async_io(Interest::WRITABLE, || self.send(&head, descriptors)).await?;
        // The descriptors are on their way with the first byte.
        self.write(head.get(sent..).unwrap_or_default()).await?;
        self.write(&words).await
    }

    fn send(&self, head: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(sendmsg(self.0.as_fd(), &[IoSlice::new(head)], &mut control, SendFlags::NOSIGNAL)?)
    }

    async fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.0.writable().await?;
            match self.0.try_write(bytes) {
                Ok(n) => bytes = bytes.get(n..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// What is said next, with what came along. Not cancel safe.
    ///
    /// # Errors
    /// When the other end is gone, or says what cannot be understood.
    pub(super) async fn hear<T: DeserializeOwned>(&self) -> io::Result<(T, Vec<OwnedFd>)> {
        let mut head = [0; HEAD];
        let mut descriptors = Vec::new();
        let mut read = 0;
        while read < HEAD {
            let rest = head.get_mut(read..).unwrap_or_default();
            let n = self.0.async_io(Interest::READABLE, || self.receive(rest, &mut descriptors)).await?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            read += n;
        }
        let [a, b, c, d, count] = head;
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        if length > WORDS_MAX || descriptors.len() != usize::from(count) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "what came is no message"));
        }
        let mut words = vec![0; length];
        self.read(&mut words).await?;
        Ok((serde_json::from_slice(&words)?, descriptors))
    }

    fn receive(&self, head: &mut [u8], descriptors: &mut Vec<OwnedFd>) -> io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC;
        let received = recvmsg(self.0.as_fd(), &mut [IoSliceMut::new(head)], &mut control, flags)?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                descriptors.extend(rights);
            }
        }
        Ok(received.bytes)
    }

    async fn read(&self, mut room: &mut [u8]) -> io::Result<()> {
        while !room.is_empty() {
            self.0.readable().await?;
            match self.0.try_read(room) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => room = room.get_mut(n..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream as StdStream;

    use super::*;

    #[tokio::test]
    async fn descriptors_come_with_the_words_that_they_belong_to() {
        let (one, other) = UnixStream::pair().unwrap();
        let (one, other) = (Line::new(one), Line::new(other));
        let (mut near, far) = StdStream::pair().unwrap();
        let long = "x".repeat(3 << 20);
        let say = async {
            one.say(&"first", &[]).await.unwrap();
            one.say(&long, &[far.as_fd(), far.as_fd()]).await.unwrap();
            one.say(&"last", &[far.as_fd()]).await.unwrap();
            drop(one);
        };
        let hear = async {
            let (words, none) = other.hear::<String>().await.unwrap();
            assert_eq!((&*words, none.len()), ("first", 0));
            let (words, two) = other.hear::<String>().await.unwrap();
            assert!(words == long && two.len() == 2);
            let (words, mut last) = other.hear::<String>().await.unwrap();
            assert_eq!((&*words, last.len()), ("last", 1));
            StdStream::from(last.remove(0)).write_all(b"!").unwrap();
            let end = other.hear::<String>().await.unwrap_err();
            assert_eq!(end.kind(), io::ErrorKind::UnexpectedEof);
        };
        tokio::join!(say, hear);
        let mut byte = [0];
        near.read_exact(&mut byte).unwrap();
        assert_eq!(byte, *b"!");
    }

    #[tokio::test]
    async fn what_is_no_message_is_refused_before_it_takes_room() {
        let (mut one, other) = StdStream::pair().unwrap();
        other.set_nonblocking(true).unwrap();
        let other = Line::new(UnixStream::from_std(other).unwrap());
        one.write_all(&[255, 255, 255, 255, 0]).unwrap();
        assert_eq!(other.hear::<String>().await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
