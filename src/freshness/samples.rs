//! What the primary answered when it was asked how far it is.

use std::time::{Duration, Instant};

/// Most samples kept.
const LENGTH_MAX: usize = 2048;

/// Neighbouring samples are no further apart than this part of their age, as long as they are not too many.
const PRECISION: u32 = 64;

/// The samples of one measure of how far one primary is, on one timeline. Bounded: when they are too many, those are
/// dropped without which their neighbours are no further apart than a 64th of their age, or than a larger part of it
/// while they are still too many.
///
/// Forgetting a sample makes a replica look staler than it is, never fresher. What a replica that is one hour behind is
/// told to hold is a minute short of what it does hold at the most.
#[derive(Clone, Debug)]
pub struct Samples<P> {
    /// Both the instants and the positions ascend.
    kept: Vec<Sample<P>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sample<P> {
    asked: Instant,
    position: P,
}

impl<P> Default for Samples<P> {
    fn default() -> Self {
        Self { kept: Vec::new() }
    }
}

impl<P: Copy + Ord> Samples<P> {
    /// The primary, asked at `asked`, was at `position`: whatever was acknowledged before `asked` lies at or before it.
    ///
    /// A sample not younger than the last one says nothing new and is left out.
    pub fn push(&mut self, asked: Instant, position: P) {
        if self.kept.last().is_some_and(|last| asked <= last.asked) {
            return;
        }
        // A replica that has come as far as an older sample with no lesser position has come as far as this one, which
        // promises more. On an idle primary this moves the last sample on; after a crash that lost what was not yet
        // flushed, and with it the higher positions, it drops those.
        while self.kept.last().is_some_and(|last| last.position >= position) {
            self.kept.pop();
        }
        if self.kept.len() >= LENGTH_MAX {
            self.thin();
        }
        self.kept.push(Sample { asked, position });
    }

    /// The latest instant such that a replica that has replayed up to `replayed` holds whatever was acknowledged before
    /// it; `None` when it has not reached any sample.
    pub fn through(&self, replayed: P) -> Option<Instant> {
        let reached = self.kept.partition_point(|sample| sample.position <= replayed);
        self.kept[..reached].last().map(|sample| sample.asked)
    }

    /// The position of the newest sample.
    pub fn position(&self) -> Option<P> {
        self.kept.last().map(|sample| sample.position)
    }

    /// Nothing that was sampled counts any more.
    pub fn clear(&mut self) {
        self.kept.clear();
    }

    /// Drops samples where they are dense for their age, and at least a quarter of all; the oldest and the newest stay.
    fn thin(&mut self) {
        let mut precision = PRECISION;
        while self.kept.len() > LENGTH_MAX / 4 * 3 {
            self.spread(precision);
            precision = (precision / 2).max(1);
        }
    }

    /// Drops each sample without which its neighbours would not be further apart than this part of their age.
    fn spread(&mut self, precision: u32) {
        let Some(newest) = self.kept.last().copied() else { return };
        let mut spread: Vec<Sample<P>> = Vec::with_capacity(LENGTH_MAX);
        for (index, sample) in self.kept.iter().enumerate().rev() {
            let older = index.checked_sub(1).and_then(|index| self.kept.get(index));
            let is_needed = match (older, spread.last()) {
                (Some(older), Some(newer)) => newer.since(older) > newest.since(older) / precision,
                _ => true,
            };
            if is_needed {
                spread.push(*sample);
            }
        }
        spread.reverse();
        self.kept = spread;
    }
}

impl<P> Sample<P> {
    fn since(&self, older: &Self) -> Duration {
        self.asked.saturating_duration_since(older.asked)
    }
}

#[cfg(test)]
#[path = "samples_tests.rs"]
mod tests;
