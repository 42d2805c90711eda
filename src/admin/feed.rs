//! Snapshots for those who watch: `/events`, as server-sent events.
//!
//! While nobody watches nothing is made. While somebody does, one snapshot a second is made for all of them, and written as JSON
//! once. Nothing is kept for a watcher that is slow: it gets the last one when it takes something again, and is closed when it
//! takes nothing for too long.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::stream;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};

use super::condition::Condition;
use super::connection::Connection;

/// Watchers at once.
pub(super) const WATCHERS: usize = 8;

/// Between two snapshots.
const PERIOD: Duration = Duration::from_secs(1);

/// What watchers get next.
#[derive(Clone, Debug, Default)]
enum Latest {
    /// There is nothing yet.
    #[default]
    Nothing,
    /// A snapshot, as an event.
    Event(Bytes),
    /// Nothing more: the page was turned off.
    Over,
}

/// The source of all of them.
pub(super) struct Feed {
    condition: Arc<dyn Condition>,
    places: Arc<Semaphore>,
    latest: watch::Sender<Latest>,
    wanted: Notify,
}

impl Feed {
    /// Nobody watches yet.
    pub(super) fn new(condition: Arc<dyn Condition>) -> Arc<Self> {
        let places = Arc::new(Semaphore::new(WATCHERS));
        Arc::new(Self { condition, places, latest: watch::Sender::default(), wanted: Notify::new() })
    }

    /// Makes snapshots while somebody watches, for ever.
    pub(super) async fn serve(self: Arc<Self>) -> Infallible {
        loop {
            self.wanted.notified().await;
            while self.latest.receiver_count() > 0 {
                let next = match self.snapshot().await {
                    Some(json) => Latest::Event(event(&json)),
                    None => Latest::Over,
                };
                self.latest.send_replace(next);
                tokio::time::sleep(PERIOD).await;
            }
            // Whoever comes next is not shown the past.
            self.latest.send_replace(Latest::Nothing);
        }
    }

    /// What there is to be seen now, as JSON; nothing while the page is turned off.
    pub(super) async fn snapshot(&self) -> Option<String> {
        if !self.condition.shows_page() {
            return None;
        }
        let condition = self.condition.clone();
        // On a thread that carries no data: with thousands of clients it takes milliseconds.
        let made = tokio::task::spawn_blocking(move || serde_json::to_string(&condition.snapshot()));
        match made.await {
            Ok(Ok(json)) => Some(json),
            Ok(Err(error)) => {
                tracing::error!(%error, "a snapshot cannot be written");
                None
            }
            Err(_) => None,
        }
    }

    /// What is sent to one more watcher; nothing when there are as many as there may be.
    pub(super) fn watch(&self, connection: Connection) -> Option<Body> {
        let permit = self.places.clone().try_acquire_owned().ok()?;
        let mut latest = self.latest.subscribe();
        latest.mark_changed();
        self.wanted.notify_one();
        connection.takes();
        let watcher = Watcher { latest, connection, _permit: permit };
        let events = stream::unfold(watcher, async |mut watcher| {
            let event = watcher.next().await?;
            Some((Ok::<_, Infallible>(event), watcher))
        });
        Some(Body::from_stream(events))
    }
}

/// One who watches.
struct Watcher {
    latest: watch::Receiver<Latest>,
    connection: Connection,
    _permit: OwnedSemaphorePermit,
}

impl Watcher {
    /// Asked for whenever what was given before is on its way.
    async fn next(&mut self) -> Option<Bytes> {
        self.connection.takes();
        loop {
            self.latest.changed().await.ok()?;
            match &*self.latest.borrow_and_update() {
                Latest::Nothing => {}
                Latest::Event(event) => return Some(event.clone()),
                Latest::Over => return None,
            }
        }
    }
}

/// As the HTML standard has it ("Server-sent events"): JSON has no line breaks of its own.
fn event(json: &str) -> Bytes {
    format!("retry: 1000\ndata: {json}\n\n").into()
}
