//! How many handshakes there were, by how they ended. Who is given up in the middle, by a limit of time or with its task, has
//! failed as well: so it is counted when the waiting ends, however that comes.

use std::sync::atomic::{AtomicU64, Ordering};

/// Handshakes that are over.
#[derive(Debug, Default)]
pub(super) struct Handshakes {
    ok: AtomicU64,
    failed: AtomicU64,
}

/// What [`Handshakes`] has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HandshakeCounts {
    /// Both ends came together.
    pub ok: u64,
    /// They did not.
    pub failed: u64,
}

impl Handshakes {
    /// Counts one that begins here, when it is over.
    pub(super) fn begin(&self) -> Handshaking<'_> {
        Handshaking { outcome: &self.failed, of: self }
    }

    pub(super) fn counts(&self) -> HandshakeCounts {
        HandshakeCounts { ok: self.ok.load(Ordering::Relaxed), failed: self.failed.load(Ordering::Relaxed) }
    }
}

/// A handshake that is not over yet.
pub(super) struct Handshaking<'a> {
    outcome: &'a AtomicU64,
    of: &'a Handshakes,
}

impl Handshaking<'_> {
    /// Both ends have come together.
    pub(super) fn done(mut self) {
        self.outcome = &self.of.ok;
    }
}

impl Drop for Handshaking<'_> {
    fn drop(&mut self) {
        self.outcome.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_up_has_failed() {
        let handshakes = Handshakes::default();
        handshakes.begin().done();
        drop(handshakes.begin());
        let held = handshakes.begin();
        assert_eq!(handshakes.counts(), HandshakeCounts { ok: 1, failed: 1 });
        drop(held);
        assert_eq!(handshakes.counts(), HandshakeCounts { ok: 1, failed: 2 });
    }
}
