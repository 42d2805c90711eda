//! One connection to the endpoint, as its own exchange and those who want its place see it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// From accept to close; of one that watches, from one thing that it takes to the next.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);

/// What is known of it.
#[derive(Clone, Debug)]
pub(super) struct Connection(Arc<State>);

#[derive(Debug)]
struct State {
    deadline: Mutex<Instant>,
    watches: AtomicBool,
}

impl Connection {
    /// One that was accepted just now.
    pub(super) fn new() -> Self {
        let deadline = Mutex::new(Instant::now() + DEADLINE);
        Self(Arc::new(State { deadline, watches: AtomicBool::new(false) }))
    }

    /// It watches, and has just taken something: it may go on.
    pub(super) fn takes(&self) {
        self.0.watches.store(true, Ordering::Relaxed);
        *self.0.deadline.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now() + DEADLINE;
    }

    /// Whether it watches. There are few places for those, so they keep nobody else from asking.
    pub(super) fn watches(&self) -> bool {
        self.0.watches.load(Ordering::Relaxed)
    }

    /// Ready when it has taken too long.
    pub(super) async fn is_late(&self) {
        loop {
            let deadline = *self.0.deadline.lock().unwrap_or_else(PoisonError::into_inner);
            if deadline <= Instant::now() {
                return;
            }
            sleep_until(deadline).await;
        }
    }
}
