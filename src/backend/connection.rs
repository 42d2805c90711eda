//! One backend connection: its socket, its buffers, and what is known of the state it is in.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use tokio::io::AsyncWrite;

use super::defaults::Defaults;
use super::key::{Key, Notifier};
use super::login::Login;
use super::past::{Past, QueryInBatch};
use super::prepared::Prepared;
use super::settings::Settings;
use crate::cluster::topology::ServerId;
use crate::net::Stream;
use crate::net::buffer::poll_fill;
use crate::wire::scan::{Stop, is_farewell, run};
use crate::wire::startup::Parameter;
use crate::wire::tag::server;

/// What any server's kernel takes without its process reading.
const ROOM: usize = 32 << 10;

/// A backend connection that has logged in.
#[derive(Debug)]
pub struct Backend {
    stream: Stream,
    /// Bytes from the server that have not been released yet.
    pub read_buffer: BytesMut,
    /// Bytes for the server that have not been written yet.
    pub write_buffer: BytesMut,
    /// Which server, and how to cancel what runs here.
    pub key: Arc<Key>,
    /// ParameterStatus as reported at login.
    pub parameters: Vec<Parameter>,
    /// The statements it holds.
    pub(crate) prepared: Prepared,
    /// Serial of the unnamed statement it holds; `None` when unknown or none.
    pub unnamed: Option<u64>,
    /// The settings it carries beyond the server's defaults.
    pub settings: Settings,
    /// What those are, where that is known.
    pub(crate) defaults: Option<Defaults>,
    /// What its process keeps of those whom it has served.
    pub past: Past,
    /// Its number in its pool.
    pub serial: u32,
    /// When it was opened.
    pub opened: Instant,
    /// When it was last checked in.
    pub idle_since: Instant,
    /// Bytes written since it was last known to have read them all.
    written: usize,
    /// How long a peer may take nothing, while that is not looked at.
    patience: Option<Duration>,
}

impl Backend {
    /// Takes over a connection after its login.
    pub fn new(login: Login, server: ServerId, serial: u32, statements: usize, now: Instant) -> Self {
        let version = login.parameters.iter().find(|(name, _)| name == "server_version");
        let query_in_batch = QueryInBatch::on(version.map(|(_, version)| &version[..]));
        Self {
            stream: login.stream,
            read_buffer: login.received,
            write_buffer: BytesMut::new(),
            key: Arc::new(Key { server, cancel: login.key, notifier: Notifier::default(), way: login.way }),
            parameters: login.parameters,
            prepared: Prepared::new(statements),
            unnamed: None,
            settings: Settings::default(),
            defaults: None,
            past: Past { query_in_batch, ..Past::default() },
            serial,
            opened: now,
            idle_since: now,
            written: 0,
            patience: None,
        }
    }

    /// Which server it is connected to.
    pub fn server(&self) -> ServerId {
        self.key.server
    }

    /// Reads what has arrived, at most up to `limit` unread bytes. Cancel safe.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>, limit: usize) -> Poll<io::Result<usize>> {
        poll_fill(&mut self.stream, cx, &mut self.read_buffer, limit)
    }

    /// Whether all that was to be written is on its way.
    pub fn is_flushed(&self) -> bool {
        self.write_buffer.is_empty() && self.stream.is_flushed()
    }

    /// Writes what waits in the write buffer; ready when all of it is on the socket. Cancel safe.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.write_buffer.is_empty() {
            let n = match Pin::new(&mut self.stream).poll_write(cx, &self.write_buffer) {
                Poll::Ready(n) => n?,
                Poll::Pending => return Poll::Pending,
            };
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.write_buffer.advance(n);
            self.count_written(n)?;
        }
        // Also when nothing was written: the stream may still hold what it was given before.
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// A process that waits for a lock reads nothing. When there may be so much for it that its kernel takes no more, that
    /// is no sign of death any longer; the probes of its server go on looking for those.
    fn count_written(&mut self, n: usize) -> io::Result<()> {
        let before = self.written;
        self.written = before.saturating_add(n);
        if before <= ROOM && self.written > ROOM {
            self.patience = self.stream.wait_for_room()?;
        }
        Ok(())
    }

    /// The server has answered all that it was sent.
    pub(crate) fn is_caught_up(&mut self) {
        self.written = 0;
        if let Some(limit) = self.patience.take() {
            // On a socket that takes no option any more the next one who reads hears of its end.
            drop(self.stream.give_up_after(Some(limit)));
        }
    }

    /// Tells the server that nothing more will come; what waits in the write buffer is not sent.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write_buffer.clear();
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    /// Whether an idle connection can still be used: it is not closed, and the server has said nothing that matters.
    ///
    /// Costs no system call unless the reactor has seen something arrive. What may arrive on an idle connection is
    /// ParameterStatus (after a reload), notices and stray notifications; all of them are dropped. Anything else,
    /// such as the FATAL of a server that shuts down, makes it useless.
    pub fn is_alive(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        if self.read_buffer.is_empty() && self.stream.poll_readable(&mut cx).is_pending() {
            return true;
        }
        loop {
            match self.poll_fill(&mut cx, 1 << 16) {
                Poll::Pending => return self.read_buffer.is_empty(),
                Poll::Ready(Ok(n)) if n > 0 => {}
                Poll::Ready(_) => return false,
            }
            while let (0, Stop::Look(head)) = run(&self.read_buffer) {
                let Some(frame) = self.read_buffer.get(..head.len) else { return false };
                let stray = match head.tag {
                    server::PARAMETER_STATUS | server::NOTIFICATION => true,
                    server::NOTICE => !is_farewell(frame),
                    _ => false,
                };
                if !stray {
                    return false;
                }
                self.read_buffer.advance(head.len);
            }
        }
    }

    /// Gives back the memory that an idle connection does not need.
    pub fn trim(&mut self) {
        const KEEP: usize = 16 << 10;
        if self.read_buffer.capacity() > KEEP {
            self.read_buffer = BytesMut::new();
        }
        if self.write_buffer.capacity() > KEEP {
            self.write_buffer = BytesMut::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;
    use tokio::time::timeout;

    use super::*;
    use crate::net::Way;
    use crate::net::holding::Holding;

    const PATIENCE: Duration = Duration::from_secs(5);

    fn connection() -> (Backend, UnixStream) {
        let (stream, server) = Holding::pair().unwrap();
        let login =
            Login { stream, received: BytesMut::new(), parameters: Vec::new(), key: None, way: Way::Plain };
        (Backend::new(login, ServerId(0), 1, 10, Instant::now()), server)
    }

    #[tokio::test]
    async fn a_request_reaches_the_server_whole() {
        let (mut backend, mut server) = connection();
        for len in [5, 1000] {
            let request = vec![b'x'; len];
            backend.write_buffer.extend_from_slice(&request);
            assert!(!backend.is_flushed());
            timeout(PATIENCE, poll_fn(|cx| backend.poll_flush(cx))).await.unwrap().unwrap();
            assert!(backend.is_flushed());
            let mut heard = vec![0; len];
            timeout(PATIENCE, server.read_exact(&mut heard)).await.unwrap().unwrap();
            assert_eq!(heard, request);
        }
    }

    #[tokio::test]
    async fn what_is_not_on_the_socket_counts_as_unsent() {
        let (mut backend, _server) = connection();
        backend.write_buffer.extend_from_slice(b"x");
        let mut cx = Context::from_waker(Waker::noop());
        assert!(backend.poll_flush(&mut cx).is_pending(), "the stream has it");
        assert!(backend.write_buffer.is_empty() && !backend.is_flushed());
        assert!(backend.poll_flush(&mut cx).is_ready());
        assert!(backend.is_flushed());
    }

    #[tokio::test]
    async fn an_answer_is_read_to_its_end() {
        let (mut backend, mut server) = connection();
        server.write_all(&[b'x'; 50]).await.unwrap();
        while backend.read_buffer.len() < 50 {
            let read = timeout(PATIENCE, poll_fn(|cx| backend.poll_fill(cx, 1 << 10)));
            assert_ne!(read.await.unwrap().unwrap(), 0);
        }
    }

    #[tokio::test]
    async fn an_idle_connection_says_what_its_stream_holds() {
        let notice = b"N\0\0\0\x1bSNOTICE\0C00000\0Mhello\0\0";
        let farewell = b"E\0\0\0\x18SFATAL\0C57P01\0Mbye\0\0";
        for (said, alive) in [(&notice[..], true), (&[&notice[..], farewell].concat(), false)] {
            let (mut backend, mut server) = connection();
            server.write_all(said).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert_eq!(backend.is_alive(), alive);
        }
    }

    #[tokio::test]
    async fn a_shutdown_sends_what_the_stream_has_taken() {
        let (mut backend, mut server) = connection();
        backend.write_buffer.extend_from_slice(b"taken");
        let _ = backend.poll_flush(&mut Context::from_waker(Waker::noop()));
        timeout(PATIENCE, poll_fn(|cx| backend.poll_shutdown(cx))).await.unwrap().unwrap();
        let mut heard = Vec::new();
        timeout(PATIENCE, server.read_to_end(&mut heard)).await.unwrap().unwrap();
        assert_eq!(heard, b"taken");
    }
}
