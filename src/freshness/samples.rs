//! What the primary answered when it was asked for its WAL position.

use std::time::Instant;

use super::Lsn;

/// Most samples kept: ten seconds' worth at the fast pace, and ever fewer of what lies before.
const LENGTH_MAX: usize = 1024;

/// The samples of one primary on one timeline, bounded: the newest all, older ones the sparser the older they are.
///
/// Forgetting a sample makes a replica look staler than it is, never fresher. So does the sparseness: what a replica
/// that is one hour behind is told to hold is at most a minute short of what it does hold.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    /// Both the instants and the positions ascend.
    kept: Vec<Sample>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sample {
    asked: Instant,
    position: Lsn,
}

impl Samples {
    /// The primary, asked at `asked`, was at `position`: whatever was acknowledged before `asked` lies at or before it.
    ///
    /// A sample not younger than the last one says nothing new and is left out.
    pub fn push(&mut self, asked: Instant, position: Lsn) {
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
    pub fn through(&self, replayed: Lsn) -> Option<Instant> {
        let reached = self.kept.partition_point(|sample| sample.position <= replayed);
        self.kept[..reached].last().map(|sample| sample.asked)
    }

    /// The position of the newest sample.
    pub fn position(&self) -> Option<Lsn> {
        self.kept.last().map(|sample| sample.position)
    }

    /// Nothing that was sampled counts any more.
    pub fn clear(&mut self) {
        self.kept.clear();
    }

    /// Drops every second sample of the older half; the oldest stays.
    fn thin(&mut self) {
        let older = self.kept.len() / 2;
        let mut index = 0..;
        self.kept.retain(|_| index.next().is_some_and(|index| index >= older || index % 2 == 0));
    }
}

#[cfg(test)]
#[path = "samples_tests.rs"]
mod tests;
