//! What comes back to a client of this program's own, of which only the types are looked at: a client that makes
//! something of each row would be what is measured.

use std::io::Read;

use harness::client::{Client, Stream};
use harness::{Failure, Result};

/// A client's incoming half.
pub(crate) struct Replies {
    stream: Stream,
    chunk: Vec<u8>,
    received: Vec<u8>,
}

impl Replies {
    pub(crate) fn of(client: &Client) -> Result<Self> {
        Ok(Self { stream: client.stream().try_clone()?, chunk: vec![0; 64 * 1024], received: Vec::new() })
    }

    /// Reads up to so many ReadyForQuery. An error in between is one of the run.
    pub(crate) fn skip(&mut self, mut readies: u32) -> Result<()> {
        while readies > 0 {
            let n = self.stream.read(&mut self.chunk)?;
            if n == 0 {
                return Err(Failure::new("the connection ended in the middle of the answers"));
            }
            self.received.extend_from_slice(&self.chunk[..n]);
            let mut at = 0;
            while let Some(([tag, length @ ..], _)) = self.received[at..].split_first_chunk::<5>() {
                let end = at + 1 + u32::from_be_bytes(*length) as usize;
                if end > self.received.len() {
                    break;
                }
                if *tag == b'E' {
                    let words = String::from_utf8_lossy(&self.received[at..end]).into_owned();
                    return Err(Failure::new(format!("an error among the answers: {words}")));
                }
                readies = readies.saturating_sub(u32::from(*tag == b'Z'));
                at = end;
            }
            self.received.drain(..at);
        }
        Ok(())
    }
}
