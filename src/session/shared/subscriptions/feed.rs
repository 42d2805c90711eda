//! A feed: one connection to the primary that listens for many sessions, and the task that owns it.
//!
//! What sessions ask is answered in rounds, one at a time, each for all who asked before it began. What arrives goes to the
//! mailboxes of those who listen: nobody who reads slowly is waited for. A feed that is lost is not opened again for them,
//! because nobody knows what was notified meanwhile.

use std::collections::{BTreeSet, HashMap};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, WeakUnboundedSender, unbounded_channel};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until};

use super::mailbox::{Mailbox, Notification};
use super::source::Source;
use crate::backend::notifiers::Notifiers;
use crate::backend::{Backend, exec};
use crate::cluster::Cluster;
use crate::cluster::topology::{Health, ServerId};
use crate::error::{Error, Result};
use crate::wire::frame::{cstr, header};
use crate::wire::tag::{client, server};
use crate::wire::{HEADER, request};

/// Unread bytes of a feed's connection: notifications are short, and nothing waits for them here.
const READ_BUFFER_MAX: usize = 256 << 10;

/// Its name, for those who look at `pg_stat_activity`.
const NAME: &str = "SET application_name TO 'weir (listens for its clients)'";

/// What a session asks of a feed.
pub(super) struct Ask {
    pub(super) wants: Wants,
    /// To be told when a round that began behind it is over.
    pub(super) answered: Option<oneshot::Sender<Result<()>>>,
}

/// What it wants.
pub(super) enum Wants {
    /// What is sent to these channels.
    Subscribe(Arc<Mailbox>, Vec<Box<str>>),
    /// That no more.
    Unsubscribe(Arc<Mailbox>, Vec<Box<str>>),
    /// To know that all has come that was sent before.
    Nothing,
}

/// A session's way to a feed. With the last one the feed ends.
pub(super) struct Line {
    asks: UnboundedSender<Ask>,
    server: ServerId,
}

impl Line {
    pub(super) fn server(&self) -> ServerId {
        self.server
    }

    /// A feed that is lost hears of nothing; whoever asked is told by that.
    pub(super) fn send(&self, ask: Ask) {
        let _ = self.asks.send(ask);
    }
}

/// A feed as it is known to those who may join it. It does not keep it.
pub(super) struct Feed {
    asks: WeakUnboundedSender<Ask>,
    server: ServerId,
}

impl Feed {
    /// Whether anybody can listen by it.
    pub(super) fn is_open(&self) -> bool {
        self.asks.upgrade().is_some_and(|asks| !asks.is_closed())
    }

    /// How many sessions listen by it.
    pub(super) fn listeners(&self) -> usize {
        self.asks.strong_count()
    }

    pub(super) fn join(&self) -> Option<Line> {
        let asks = self.asks.upgrade().filter(|asks| !asks.is_closed())?;
        Some(Line { asks, server: self.server })
    }
}

/// A feed whose connection is being opened. What is asked of it meanwhile waits.
pub(super) struct Opening {
    source: Source,
    asks: UnboundedReceiver<Ask>,
}

impl Opening {
    /// Begins to open one.
    pub(super) fn begin(source: Source) -> (Line, Feed) {
        let (send, asks) = unbounded_channel();
        let server = source.pool.key().server;
        let known = Feed { asks: send.downgrade(), server };
        drop(tokio::spawn(Self { source, asks }.run()));
        (Line { asks: send, server }, known)
    }

    async fn run(mut self) {
        let opened = self.open().await;
        let Source { pool, cluster, notifiers, patience, .. } = self.source;
        let server = pool.key().server;
        // A pool that nobody else holds is to be forgotten.
        drop(pool);
        match opened {
            Ok(backend) => {
                let open = Open {
                    backend,
                    listened: BTreeSet::new(),
                    subscribers: HashMap::new(),
                    next: Vec::new(),
                    round: None,
                    notifiers,
                };
                let watch = Watch { changes: cluster.changes(), cluster, server, patience, down: None };
                open.run(self.asks, watch).await;
            }
            Err(error) => {
                self.asks.close();
                while let Some(ask) = self.asks.recv().await {
                    // Who has gone has no use for it.
                    ask.answered.into_iter().for_each(|answered| drop(answered.send(Err(again(&error)))));
                }
            }
        }
    }

    async fn open(&self) -> Result<Box<Backend>> {
        let mut backend = self.source.pool.open_apart().await?;
        exec(&mut backend, NAME).await?;
        if let Some(encoding) = &self.source.encoding {
            exec(&mut backend, encoding).await?;
        }
        Ok(backend)
    }
}

/// The same for another who waits.
fn again(error: &Error) -> Error {
    match error {
        Error::Refused { sqlstate, message, detail, hint } => Error::Refused {
            sqlstate: sqlstate.clone(),
            message: message.clone(),
            detail: detail.clone(),
            hint: hint.clone(),
        },
        Error::PassThrough { user, why } => Error::PassThrough { user: user.clone(), why: *why },
        _ => Error::NoPrimary,
    }
}

/// What tells that a feed's server can be believed no longer.
struct Watch {
    changes: watch::Receiver<()>,
    cluster: Arc<Cluster>,
    server: ServerId,
    patience: Duration,
    /// Since when it answers no probes.
    down: Option<Instant>,
}

impl Watch {
    /// Ready when another server is the primary, or when this one owes an answer and has been silent for too long. Cancel
    /// safe.
    async fn fails(&mut self, owes: Option<()>) {
        loop {
            {
                let topology = self.cluster.topology();
                if topology.primary().is_some_and(|primary| primary.id != self.server) {
                    return;
                }
                let is_down =
                    topology.server(self.server).is_some_and(|server| server.health == Health::Down);
                self.down = is_down.then(|| self.down.unwrap_or_else(Instant::now));
            }
            let until = self.down.filter(|_| owes.is_some()).map(|since| since + self.patience);
            let silence = async {
                match until {
                    Some(until) => sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = self.changes.changed() => {
                    if changed.is_err() {
                        // weir ends, and every session with it.
                        std::future::pending::<()>().await;
                    }
                }
                () = silence => return,
            }
        }
    }
}

/// A feed at work.
struct Open {
    backend: Box<Backend>,
    /// The channels that its connection listens to, when the round that is under way has been answered.
    listened: BTreeSet<Box<str>>,
    subscribers: HashMap<Box<str>, Vec<Arc<Mailbox>>>,
    /// What is asked in the next round.
    next: Vec<Ask>,
    /// What is asked in the one under way.
    round: Option<Vec<Ask>>,
    notifiers: Arc<Notifiers>,
}

impl Open {
    /// Serves sessions until there are none, or the connection is lost.
    async fn run(mut self, mut asks: UnboundedReceiver<Ask>, mut watch: Watch) {
        let lost = loop {
            if self.round.is_none() && !self.next.is_empty() {
                self.begin_round();
            }
            let owes = self.round.is_some().then_some(());
            tokio::select! {
                asked = asks.recv() => match asked {
                    Some(ask) => self.next.push(ask),
                    None => return,
                },
                heard = heard(&mut self.backend) => {
                    if let Err(error) = heard.and_then(|()| self.take()) {
                        break error;
                    }
                }
                () = watch.fails(owes) => break Error::ServerSilent,
            }
        };
        tracing::warn!(error = %lost, "the connection that listens for clients is lost: they are closed");
        // Nobody joins it any more, and whoever is about to ask is told.
        asks.close();
        let mut all = vec![self.next, self.round.unwrap_or_default()];
        while let Ok(ask) = asks.try_recv() {
            all.push(vec![ask]);
        }
        let waiting = all.iter().flatten().filter_map(|ask| match &ask.wants {
            Wants::Subscribe(mailbox, _) => Some(mailbox),
            Wants::Unsubscribe(..) | Wants::Nothing => None,
        });
        self.subscribers.values().flatten().chain(waiting).for_each(|mailbox| mailbox.cut());
    }

    /// Sends what is asked for. Who listens no longer hears no more from here on.
    fn begin_round(&mut self) {
        let asks = std::mem::take(&mut self.next);
        let mut changes = String::new();
        if asks.iter().any(|ask| !matches!(ask.wants, Wants::Nothing)) {
            let wanted = self.wanted(&asks);
            for channel in wanted.difference(&self.listened) {
                changes += &format!("LISTEN {}; ", quoted(channel));
            }
            for channel in self.listened.difference(&wanted) {
                changes += &format!("UNLISTEN {}; ", quoted(channel));
            }
            self.listened = wanted;
        }
        let out = &mut self.backend.write_buffer;
        if changes.is_empty() {
            request::put_bare(out, client::SYNC);
        } else {
            request::put_query(out, changes.as_bytes());
        }
        self.round = Some(asks);
    }

    /// The channels that there are subscribers for, behind what these ask.
    fn wanted(&mut self, asks: &[Ask]) -> BTreeSet<Box<str>> {
        // In their order: a session may have left a channel and come back to it.
        let mut coming: Vec<(&Arc<Mailbox>, &str)> = Vec::new();
        for ask in asks {
            match &ask.wants {
                Wants::Subscribe(mailbox, channels) => {
                    coming.extend(channels.iter().map(|channel| (mailbox, &**channel)));
                }
                Wants::Unsubscribe(mailbox, channels) => {
                    let leaves = |channel: &str| channels.iter().any(|gone| **gone == *channel);
                    coming.retain(|(one, channel)| !Arc::ptr_eq(one, mailbox) || !leaves(channel));
                    channels.iter().for_each(|channel| leave(&mut self.subscribers, channel, mailbox));
                }
                Wants::Nothing => {}
            }
        }
        let coming = coming.into_iter().map(|(_, channel)| channel.into());
        self.subscribers.keys().cloned().chain(coming).collect()
    }

    /// Takes what the server has said.
    ///
    /// # Errors
    /// When it is nothing that a feed can go on with.
    fn take(&mut self) -> Result<()> {
        loop {
            let head = match header(&self.backend.read_buffer) {
                Some(Ok(head)) if head.len <= READ_BUFFER_MAX => head,
                Some(_) => return Err(Error::ServerProtocol("impossible message length")),
                None => return Ok(()),
            };
            if head.len > self.backend.read_buffer.len() {
                return Ok(());
            }
            let frame = self.backend.read_buffer.split_to(head.len);
            match head.tag {
                server::NOTIFICATION => self.notified(&frame),
                server::READY => self.end_round(),
                server::ERROR => {
                    return Err(crate::backend::refusal(frame.get(HEADER..).unwrap_or_default()));
                }
                _ => {}
            }
        }
    }

    fn notified(&self, frame: &BytesMut) {
        let mut rest = frame.get(HEADER..).unwrap_or_default();
        let Ok(pid) = rest.try_get_i32() else { return };
        let Some(channel) = cstr(rest, 0).and_then(|(name, _)| std::str::from_utf8(name).ok()) else {
            return;
        };
        let Some(subscribers) = self.subscribers.get(channel) else { return };
        // Not a part of the buffer that was read: a short one would keep all of that.
        let mut told = frame.to_vec();
        if let (Some(client), Some(place)) =
            (self.notifiers.client(self.backend.server(), pid), told.get_mut(HEADER..HEADER + 4))
        {
            place.copy_from_slice(&client.to_be_bytes());
        }
        let notification = Notification { channel: channel.into(), frame: Bytes::from(told) };
        subscribers.iter().for_each(|mailbox| mailbox.put(notification.clone()));
    }

    /// What arrives from here on was not sent before the round began.
    fn end_round(&mut self) {
        for ask in self.round.take().unwrap_or_default() {
            match ask.wants {
                Wants::Subscribe(mailbox, channels) => {
                    channels.into_iter().for_each(|channel| join(&mut self.subscribers, channel, &mailbox));
                }
                Wants::Unsubscribe(mailbox, channels) => {
                    channels.iter().for_each(|channel| leave(&mut self.subscribers, channel, &mailbox));
                }
                Wants::Nothing => {}
            }
            // Who has gone meanwhile says so by another ask.
            ask.answered.into_iter().for_each(|answered| drop(answered.send(Ok(()))));
        }
    }
}

fn join(subscribers: &mut HashMap<Box<str>, Vec<Arc<Mailbox>>>, channel: Box<str>, mailbox: &Arc<Mailbox>) {
    let there = subscribers.entry(channel).or_default();
    if !there.iter().any(|one| Arc::ptr_eq(one, mailbox)) {
        there.push(mailbox.clone());
    }
}

fn leave(subscribers: &mut HashMap<Box<str>, Vec<Arc<Mailbox>>>, channel: &str, mailbox: &Arc<Mailbox>) {
    if let Some(there) = subscribers.get_mut(channel) {
        there.retain(|one| !Arc::ptr_eq(one, mailbox));
        if there.is_empty() {
            subscribers.remove(channel);
        }
    }
}

fn quoted(channel: &str) -> String {
    format!("\"{}\"", channel.replace('"', "\"\""))
}

/// Writes what waits, until the server has said something. Cancel safe.
async fn heard(backend: &mut Backend) -> Result<()> {
    poll_fn(|cx| {
        if let Poll::Ready(Err(error)) = backend.poll_flush(cx) {
            return Poll::Ready(Err(error));
        }
        match ready!(backend.poll_fill(cx, READ_BUFFER_MAX))? {
            0 => Poll::Ready(Err(std::io::ErrorKind::UnexpectedEof.into())),
            _ => Poll::Ready(Ok(())),
        }
    })
    .await
    .map_err(|_: std::io::Error| Error::ServerLost)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Login;
    use crate::net::Way;
    use crate::net::holding::Holding;

    /// A feed whose server is this test.
    struct Scene {
        feed: Open,
        mailbox: Arc<Mailbox>,
    }

    impl Scene {
        fn new() -> Self {
            let (stream, _) = Holding::pair().unwrap();
            let login = Login {
                stream,
                received: BytesMut::new(),
                parameters: Vec::new(),
                key: None,
                way: Way::Plain,
            };
            let backend = Backend::new(login, ServerId(0), 1, 10, std::time::Instant::now());
            let feed = Open {
                backend: Box::new(backend),
                listened: BTreeSet::new(),
                subscribers: HashMap::new(),
                next: Vec::new(),
                round: None,
                notifiers: Arc::default(),
            };
            Self { feed, mailbox: Arc::new(Mailbox::new(10_000)) }
        }

        /// Begins a round with this, and returns what the server is told.
        fn asks(&mut self, asks: &[(char, &[&str])]) -> String {
            for (what, channels) in asks {
                let (mailbox, channels) =
                    (self.mailbox.clone(), channels.iter().map(|&channel| channel.into()).collect());
                let wants = match what {
                    '+' => Wants::Subscribe(mailbox, channels),
                    '-' => Wants::Unsubscribe(mailbox, channels),
                    _ => Wants::Nothing,
                };
                self.feed.next.push(Ask { wants, answered: None });
            }
            self.feed.begin_round();
            String::from_utf8(self.feed.backend.write_buffer.split().to_vec()).unwrap()
        }

        fn says(&mut self, tag: u8, body: &[u8]) -> Result<()> {
            let out = &mut self.feed.backend.read_buffer;
            out.extend_from_slice(&[tag]);
            out.extend_from_slice(&u32::try_from(body.len() + 4).unwrap().to_be_bytes());
            out.extend_from_slice(body);
            self.feed.take()
        }

        fn notifies(&mut self, channel: &str) {
            self.says(b'A', &[b"\0\0\0\x07", channel.as_bytes(), b"\0\0"].concat()).unwrap();
        }

        fn is_ready(&mut self) {
            self.says(b'Z', b"I").unwrap();
        }

        fn heard(&self) -> Vec<String> {
            std::iter::from_fn(|| self.mailbox.take()).map(|one| one.channel().to_owned()).collect()
        }
    }

    #[tokio::test]
    async fn what_arrives_before_a_round_is_over_was_sent_before() {
        let mut scene = Scene::new();
        let said = scene.asks(&[('+', &["a", "o\"dd"])]);
        assert_eq!(&said[5..], "LISTEN \"a\"; LISTEN \"o\"\"dd\"; \0");
        scene.notifies("a");
        assert!(scene.heard().is_empty());
        scene.is_ready();
        ["a", "b", "o\"dd", "a"].iter().for_each(|channel| scene.notifies(channel));
        assert_eq!(scene.heard(), ["a", "o\"dd", "a"]);
    }

    #[tokio::test]
    async fn a_server_is_told_what_is_another_than_before_and_asked_to_answer_in_any_case() {
        let mut scene = Scene::new();
        scene.asks(&[('+', &["a", "b"])]);
        scene.is_ready();
        assert_eq!(scene.asks(&[('?', &[])]), "S\0\0\0\x04");
        scene.is_ready();
        // Who comes back in the same round has not been away.
        assert_eq!(scene.asks(&[('-', &["a"]), ('+', &["a"])]), "S\0\0\0\x04");
        scene.is_ready();
        scene.notifies("a");
        assert_eq!(scene.heard(), ["a"]);
        assert_eq!(&scene.asks(&[('+', &["c"]), ('-', &["b", "c"])])[5..], "UNLISTEN \"b\"; \0");
        // From here on, not only when the server has heard of it.
        scene.notifies("b");
        scene.is_ready();
        scene.notifies("c");
        assert!(scene.heard().is_empty());
        assert_eq!(scene.feed.subscribers.len(), 1);
    }

    #[tokio::test]
    async fn an_error_is_the_end_and_words_aside_are_not() {
        let mut scene = Scene::new();
        scene.asks(&[('+', &["a"])]);
        scene.says(b'N', b"SNOTICE\0C00000\0Mhello\0\0").unwrap();
        scene.says(b'S', b"TimeZone\0UTC\0").unwrap();
        let error = scene.says(b'E', b"SFATAL\0VFATAL\0C57P01\0Mbye\0\0").unwrap_err();
        assert_eq!(error.sqlstate(), "57P01");
    }
}
