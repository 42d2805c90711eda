//! What has been told of a session's pins: counted and logged as they come and go.

use std::sync::Arc;

use crate::config::Pinning;
use crate::session::model::revocable::Reasons;
use crate::sql::Pin;
use crate::telemetry::metrics::Metrics;

/// What has been told of a session's pins. When it ends, they do.
pub(crate) struct PinLog {
    metrics: Arc<Metrics>,
    told: Reasons,
    /// Why it keeps its connection for good, by the policy of its user.
    for_good: Option<Pin>,
}

impl PinLog {
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, told: Reasons::default(), for_good: None }
    }

    /// Why the session keeps its connection for good.
    pub(crate) fn for_good(&self) -> Option<Pin> {
        self.for_good
    }

    fn is_pinned(&self) -> bool {
        !self.told.is_empty() || self.for_good.is_some()
    }

    /// These are the session's pins now: counts and logs what has changed. Whether anything has.
    pub(crate) fn tell(&mut self, now: Reasons, policy: Pinning) -> bool {
        if now == self.told {
            return false;
        }
        let was_pinned = self.is_pinned();
        if policy == Pinning::PrimaryOnly {
            self.for_good = self.for_good.or(now.first());
        }
        let before = std::mem::replace(&mut self.told, now);
        match (was_pinned, self.is_pinned()) {
            (false, true) => self.metrics.pinned_sessions.inc(),
            (true, false) => self.metrics.pinned_sessions.dec(),
            _ => {}
        }
        for pin in now.without(before).iter() {
            tracing::debug!(reason = pin.as_str(), "session pinned");
            self.metrics.pinned(pin.as_str());
        }
        for pin in before.without(now).iter() {
            tracing::debug!(reason = pin.as_str(), "session no longer pinned");
            self.metrics.unpinned(pin.as_str());
        }
        true
    }
}

impl Drop for PinLog {
    fn drop(&mut self) {
        if self.is_pinned() {
            self.metrics.pinned_sessions.dec();
        }
        self.told.iter().for_each(|pin| self.metrics.unpinned(pin.as_str()));
    }
}
