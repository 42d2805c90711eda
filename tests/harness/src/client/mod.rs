//! A blocking client that speaks the frontend/backend protocol message by message (PostgreSQL manual, chapter 55).
//!
//! It hides nothing: what it is told to send goes out as it is, and every message that comes in is handed over,
//! asynchronous ones included. A conversation reads like a transcript:
//!
//! ```no_run
//! # use harness::client::{Address, Client, Login, front};
//! # fn main() -> harness::Result<()> {
//! let mut client = Client::connect(&Address::local(5432), &Login::new("app", "app"))?;
//! let heard = client.ask(&[
//!     front::parse("s1", "SELECT $1::int + 1", &[]),
//!     front::bind("", "s1", &[Some(b"41")]),
//!     front::execute("", 0),
//!     front::sync(),
//! ])?;
//! let heard: Vec<String> = heard.iter().map(ToString::to_string).collect();
//! assert_eq!(heard, ["ParseComplete", "BindComplete", "DataRow 42", "CommandComplete SELECT 1", "ReadyForQuery I"]);
//! # Ok(())
//! # }
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::{Failure, Result};

pub mod front;

mod login;

pub use login::Login;

mod message;

pub use message::{Message, ServerError};

mod stream;

pub use stream::Stream;

mod tls;

pub use tls::{Hello, Secured, TlsAddress};

/// How long [`Client::read`] waits for a message unless told otherwise.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// Host and port.
    Tcp(String, u16),
    /// The path of a Unix socket.
    Unix(PathBuf),
    /// A port behind which somebody speaks TLS.
    Tls(TlsAddress),
}

impl Address {
    /// A port of the loopback address.
    pub fn local(port: u16) -> Self {
        Self::Tcp("127.0.0.1".to_owned(), port)
    }
}

/// What a server gives at login for cancelling later: BackendKeyData.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Process id.
    pub pid: u32,
    /// Secret: 4 bytes in protocol 3.0, up to 256 in 3.2.
    pub secret: Vec<u8>,
}

/// The result of one simple query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Column names.
    pub columns: Vec<String>,
    /// Rows in text form; NULL is none.
    pub rows: Vec<Vec<Option<String>>>,
    /// The command tag: `SELECT 1`.
    pub tag: String,
}

impl Answer {
    /// The first column of the first row; empty when there is none, or when it is NULL.
    pub fn value(&self) -> &str {
        self.rows.first().and_then(|row| row.first()?.as_deref()).unwrap_or_default()
    }
}

/// One connection to a server.
pub struct Client {
    address: Address,
    stream: Stream,
    received: Vec<u8>,
    patience: Duration,
    parameters: BTreeMap<String, String>,
    key: Option<Key>,
}

impl Client {
    /// Opens the socket and sends nothing.
    pub fn open(address: &Address) -> Result<Self> {
        Ok(Self {
            address: address.clone(),
            stream: Stream::open(address)?,
            received: Vec::new(),
            patience: PATIENCE,
            parameters: BTreeMap::new(),
            key: None,
        })
    }

    /// Opens the socket and logs in. A server's refusal is a [`Failure::Server`].
    pub fn connect(address: &Address, login: &Login) -> Result<Self> {
        let mut client = Self::open(address)?;
        let heard = client.log_in(login)?;
        match heard.iter().find_map(Message::error) {
            Some(error) => Err(error.into()),
            None => Ok(client),
        }
    }

    /// Sends a startup packet, answers what the server asks, and returns all that it said, up to ReadyForQuery
    /// or the ErrorResponse that ends the login.
    pub fn log_in(&mut self, login: &Login) -> Result<Vec<Message>> {
        self.send(&[login.startup()])?;
        let mut scram = None;
        let mut heard = Vec::new();
        loop {
            let message = self.read()?;
            let end = matches!(message.tag, b'Z' | b'E');
            if message.tag == b'R'
                && let Some(reply) = login.reply(&message, &mut scram)?
            {
                self.send(&[reply])?;
            }
            heard.push(message);
            if end {
                return Ok(heard);
            }
        }
    }

    /// How long [`Client::read`] waits for a message; 20 seconds unless changed.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// The parameters as the server has reported them so far.
    pub fn parameters(&self) -> &BTreeMap<String, String> {
        &self.parameters
    }

    /// The key for cancelling, once the login is done.
    pub fn key(&self) -> Option<&Key> {
        self.key.as_ref()
    }

    /// The socket, for tests that close one half or change its buffers.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Sends messages in one write.
    pub fn send(&mut self, frames: &[Vec<u8>]) -> Result<()> {
        self.send_bytes(&frames.concat())
    }

    /// Sends bytes as they are.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes)?;
        Ok(self.stream.flush()?)
    }

    /// The next message. A closed connection is `UnexpectedEof`, silence beyond the patience `TimedOut`.
    pub fn read(&mut self) -> Result<Message> {
        let timeout = || io::Error::new(io::ErrorKind::TimedOut, "the server says nothing");
        self.read_within(self.patience)?.ok_or_else(|| timeout().into())
    }

    /// The next message, or none when it has not arrived within `limit`; what has arrived of it is kept.
    pub fn read_within(&mut self, limit: Duration) -> Result<Option<Message>> {
        let end = Instant::now() + limit;
        loop {
            if let Some(message) = Message::take(&mut self.received)? {
                self.note(&message);
                return Ok(Some(message));
            }
            if !self.fill(end)? {
                return Ok(None);
            }
        }
    }

    /// One raw byte, as the answer to SSLRequest and GSSENCRequest is.
    pub fn read_byte(&mut self) -> Result<u8> {
        let end = Instant::now() + self.patience;
        while self.received.is_empty() {
            if !self.fill(end)? {
                return Err(io::Error::from(io::ErrorKind::TimedOut).into());
            }
        }
        Ok(self.received.remove(0))
    }

    /// All messages up to and including ReadyForQuery, or up to a FATAL error, after which there is nothing.
    pub fn until_ready(&mut self) -> Result<Vec<Message>> {
        let mut heard = Vec::new();
        loop {
            let message = self.read()?;
            let end = message.tag == b'Z' || message.error().is_some_and(|error| error.severity() == "FATAL");
            heard.push(message);
            if end {
                return Ok(heard);
            }
        }
    }

    /// Sends messages and returns all that comes back up to ReadyForQuery.
    pub fn ask(&mut self, frames: &[Vec<u8>]) -> Result<Vec<Message>> {
        self.send(frames)?;
        self.until_ready()
    }

    /// Runs a simple query and returns its (last) result as text. An ErrorResponse is a [`Failure::Server`].
    pub fn query(&mut self, sql: &str) -> Result<Answer> {
        let heard = self.ask(&[front::query(sql)])?;
        if let Some(error) = heard.iter().find_map(Message::error) {
            return Err(error.into());
        }
        let mut answer = Answer::default();
        for message in heard {
            match message.tag {
                b'T' => answer = Answer { columns: message.columns(), ..Answer::default() },
                b'D' => answer.rows.push(message.text_row()),
                b'C' => answer.tag = message.text(),
                _ => {}
            }
        }
        Ok(answer)
    }

    /// Sends a CancelRequest for this session on a connection of its own, and waits until the server closes that.
    pub fn cancel(&self) -> Result<()> {
        let key = self.key.as_ref().ok_or_else(|| Failure::new("no BackendKeyData yet"))?;
        let mut other = Client::open(&self.address)?;
        other.send(&[front::cancel_request(key)])?;
        other.is_closed_within(PATIENCE).map(drop)
    }

    /// True when the server closes the connection within `limit`; messages that come before that are dropped.
    pub fn is_closed_within(&mut self, limit: Duration) -> Result<bool> {
        let end = Instant::now() + limit;
        loop {
            match self.fill(end) {
                Ok(true) => self.received.clear(),
                Ok(false) => return Ok(false),
                Err(Failure::Io(error)) if is_end(&error) => return Ok(true),
                Err(other) => return Err(other),
            }
        }
    }

    /// Sends Terminate and closes the socket.
    pub fn close(mut self) -> Result<()> {
        self.send(&[front::terminate()])
    }

    /// Reads once; false when nothing came before `end`.
    fn fill(&mut self, end: Instant) -> Result<bool> {
        // A zero timeout means "for ever" to the socket, so the last look takes a millisecond.
        let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        self.stream.set_read_timeout(left)?;
        let mut chunk = [0; 16 * 1024];
        match self.stream.read(&mut chunk) {
            Ok(0) => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            Ok(n) => {
                self.received.extend_from_slice(&chunk[..n]);
                Ok(true)
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Keeps what a server says about the session.
    fn note(&mut self, message: &Message) {
        if let Some((name, value)) = message.parameter() {
            self.parameters.insert(name, value);
        }
        if let Some(key) = message.key() {
            self.key = Some(key);
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("address", &self.address)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// The peer has closed the connection, politely or not.
fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}
