//! What operators see and turn: the gate, the figures of each database, the costliest shapes, and what has happened.
//!
//! Sessions write here and hardly ever read; nothing here decides where anything goes.

use std::collections::VecDeque;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use crate::session::shared::gate::Gate;
use crate::session::shared::shapes::Shapes;
use crate::session::shared::spans::Spans;
use crate::session::shared::visitors::Tallies;

/// Most events that are kept.
const EVENTS: usize = 500;

/// Something that happened.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// When.
    pub at: SystemTime,
    /// What kind of thing, in a word.
    pub kind: &'static str,
    /// To what: a server's name, a database's, or nothing.
    pub of: Box<str>,
    /// What.
    pub text: Box<str>,
}

/// The board.
pub(crate) struct Board {
    /// What may not begin.
    pub gate: Gate,
    /// What was asked, by database.
    pub tallies: Tallies,
    /// What costs most.
    pub shapes: Shapes,
    /// Operators that have come.
    pub operators: AtomicU64,
    /// Where spans of requests go.
    pub spans: Spans,
    events: Mutex<VecDeque<Event>>,
}

impl Board {
    /// On which nothing stands yet.
    pub(crate) fn new(spans: Spans) -> Self {
        Self {
            gate: Gate::default(),
            tallies: Tallies::default(),
            shapes: Shapes::default(),
            operators: AtomicU64::default(),
            spans,
            events: Mutex::default(),
        }
    }

    /// Something has happened.
    pub(crate) fn happens(&self, kind: &'static str, of: &str, text: impl Into<Box<str>>) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        if events.len() >= EVENTS {
            events.pop_front();
        }
        events.push_back(Event { at: SystemTime::now(), kind, of: of.into(), text: text.into() });
    }

    /// What has happened, the last first.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).iter().rev().cloned().collect()
    }
}
