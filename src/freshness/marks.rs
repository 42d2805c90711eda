//! When the relations of a database were last written.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::Epoch;

/// Places for relations. Several may share one: then a write to one counts as a write to the others.
const SLOTS: usize = 4096;

/// The place of a relation, or of several that are written together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(u16);

impl Slot {
    /// The place of the relation with this OID.
    #[allow(clippy::cast_possible_truncation, reason = "the remainder is less than 4096")]
    pub fn of(oid: u32) -> Self {
        // OIDs are dealt in order: neighbours get different places.
        Self((oid as usize % SLOTS) as u16)
    }
}

/// When the relations of one database were last written through weir, by instants at which that was acknowledged.
///
/// Bounded whatever clients do, and without a lock. What was written before the first session came, by way of an
/// earlier weir perhaps, is not known, so that everything counts as written then. Everything may be marked too late or
/// too widely, which costs a trip to the primary; nothing may be marked too early or not at all.
#[derive(Debug)]
pub struct Marks {
    begun: Instant,
    epoch: Epoch,
    /// Instants as numbers; 0 is before the epoch.
    slots: Box<[AtomicU64]>,
    everything: AtomicU64,
    latest: AtomicU64,
}

impl Marks {
    /// Nothing was written since `epoch`, before which no instant will be given; anything before.
    pub fn new(epoch: Instant) -> Self {
        Self {
            begun: epoch,
            epoch: Epoch::new(epoch),
            slots: std::iter::repeat_with(AtomicU64::default).take(SLOTS).collect(),
            everything: AtomicU64::new(0),
            latest: AtomicU64::new(0),
        }
    }

    /// These relations were written, acknowledged at `at`.
    pub fn wrote(&self, slots: &[Slot], at: Instant) {
        let nanos = self.epoch.number(at);
        for slot in slots {
            self.slots[usize::from(slot.0)].fetch_max(nanos, Ordering::AcqRel);
        }
        self.latest.fetch_max(nanos, Ordering::AcqRel);
    }

    /// Any relation may have been written, acknowledged at `at`.
    pub fn wrote_anything(&self, at: Instant) {
        let nanos = self.epoch.number(at);
        self.everything.fetch_max(nanos, Ordering::AcqRel);
        self.latest.fetch_max(nanos, Ordering::AcqRel);
    }

    /// The last write to any of these relations.
    pub fn last_write(&self, slots: &[Slot]) -> Instant {
        let own = slots.iter().map(|slot| self.slots[usize::from(slot.0)].load(Ordering::Acquire)).max();
        self.instant(self.everything.load(Ordering::Acquire).max(own.unwrap_or(0)))
    }

    /// The last write to whatever it was.
    pub fn latest(&self) -> Instant {
        self.instant(self.latest.load(Ordering::Acquire))
    }

    fn instant(&self, number: u64) -> Instant {
        self.epoch.instant(number).unwrap_or(self.begun)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_write_marks_its_relations_and_nothing_else() {
        let epoch = Instant::now();
        let marks = Marks::new(epoch);
        let at = |ms| epoch + Duration::from_millis(ms);
        let (a, b) = (Slot::of(20_000), Slot::of(20_001));
        assert_eq!((marks.latest(), marks.last_write(&[a, b])), (epoch, epoch));
        marks.wrote(&[a], at(5));
        assert_eq!((marks.last_write(&[a]), marks.last_write(&[b])), (at(5), epoch));
        assert_eq!((marks.last_write(&[b, a]), marks.latest()), (at(5), at(5)));
        marks.wrote_anything(at(7));
        marks.wrote(&[a], at(6));
        assert_eq!((marks.last_write(&[a]), marks.last_write(&[])), (at(7), at(7)));
        assert_eq!(marks.latest(), at(7));
    }

    #[test]
    fn a_late_mark_does_not_undo_a_later_one() {
        let epoch = Instant::now();
        let marks = Marks::new(epoch);
        marks.wrote(&[Slot::of(1)], epoch + Duration::from_secs(2));
        marks.wrote(&[Slot::of(1)], epoch + Duration::from_secs(1));
        assert_eq!(marks.last_write(&[Slot::of(1)]), epoch + Duration::from_secs(2));
    }
}
