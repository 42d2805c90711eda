//! When the relations of a database were last written, and read where writes show first.

use std::sync::OnceLock;
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

/// What has happened in one database, and when.
///
/// Bounded whatever clients do, and without a lock. What was written before the first session came, by way of an
/// earlier weir perhaps, is not known, so that everything counts as written then. Everything may be marked too late or
/// too widely, which costs a trip to the primary; nothing may be marked too early or not at all.
#[derive(Debug)]
pub struct Marks {
    begun: Instant,
    /// Writes through weir that were acknowledged, at that instant.
    pub acknowledged: Instants,
    /// Writes that may have happened though nobody was told so, when they were given up.
    pub unanswered: Instants,
    /// What was read on the primary.
    pub looked: Instants,
}

impl Marks {
    /// Nothing was written since `epoch`, before which no instant will be given; anything before.
    pub fn new(epoch: Instant) -> Self {
        let none = || Instants::new(epoch);
        Self { begun: epoch, acknowledged: none(), unanswered: none(), looked: none() }
    }

    /// The last acknowledged write to any of these relations.
    pub fn last_write(&self, slots: &[Slot]) -> Instant {
        self.acknowledged.last(slots).unwrap_or(self.begun)
    }

    /// The last acknowledged write to whatever it was.
    pub fn latest_write(&self) -> Instant {
        self.acknowledged.latest().unwrap_or(self.begun)
    }
}

/// When something of one kind last happened to the relations of a database.
#[derive(Debug)]
pub struct Instants {
    epoch: Epoch,
    /// As numbers; 0 is never. There once something has happened.
    slots: OnceLock<Box<[AtomicU64]>>,
    everything: AtomicU64,
    latest: AtomicU64,
}

impl Instants {
    fn new(epoch: Instant) -> Self {
        Self {
            epoch: Epoch::new(epoch),
            slots: OnceLock::new(),
            everything: AtomicU64::new(0),
            latest: AtomicU64::new(0),
        }
    }

    /// It happened to these relations at `at`.
    pub fn enter(&self, slots: &[Slot], at: Instant) {
        let number = self.epoch.number(at);
        let all = self.slots.get_or_init(|| std::iter::repeat_with(AtomicU64::default).take(SLOTS).collect());
        for slot in slots {
            all[usize::from(slot.0)].fetch_max(number, Ordering::AcqRel);
        }
        self.latest.fetch_max(number, Ordering::AcqRel);
    }

    /// It may have happened to any relation at `at`.
    pub fn enter_anything(&self, at: Instant) {
        let number = self.epoch.number(at);
        self.everything.fetch_max(number, Ordering::AcqRel);
        self.latest.fetch_max(number, Ordering::AcqRel);
    }

    /// It happened to something at `at` that has no place: [`Instants::latest`] alone tells of it.
    pub fn enter_something(&self, at: Instant) {
        self.latest.fetch_max(self.epoch.number(at), Ordering::AcqRel);
    }

    /// When it last happened to any of these relations.
    pub fn last(&self, slots: &[Slot]) -> Option<Instant> {
        let of = |all: &[AtomicU64]| {
            slots.iter().map(|slot| all[usize::from(slot.0)].load(Ordering::Acquire)).max()
        };
        let own = self.slots.get().and_then(|all| of(all)).unwrap_or(0);
        self.epoch.instant(self.everything.load(Ordering::Acquire).max(own))
    }

    /// When it last happened to whatever it was.
    pub fn latest(&self) -> Option<Instant> {
        self.epoch.instant(self.latest.load(Ordering::Acquire))
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
        assert_eq!((marks.latest_write(), marks.last_write(&[a, b])), (epoch, epoch));
        marks.acknowledged.enter(&[a], at(5));
        assert_eq!((marks.last_write(&[a]), marks.last_write(&[b])), (at(5), epoch));
        assert_eq!((marks.last_write(&[b, a]), marks.latest_write()), (at(5), at(5)));
        marks.acknowledged.enter_anything(at(7));
        marks.acknowledged.enter(&[a], at(6));
        assert_eq!((marks.last_write(&[a]), marks.last_write(&[])), (at(7), at(7)));
        assert_eq!(marks.latest_write(), at(7));
        marks.acknowledged.enter_something(at(8));
        assert_eq!((marks.last_write(&[a, b]), marks.latest_write()), (at(7), at(8)));
    }

    #[test]
    fn what_never_happened_is_told_from_what_happened_first() {
        let epoch = Instant::now();
        let marks = Marks::new(epoch);
        let a = [Slot::of(1)];
        assert_eq!((marks.unanswered.latest(), marks.looked.last(&a)), (None, None));
        marks.unanswered.enter(&a, epoch);
        assert_eq!((marks.unanswered.last(&a), marks.unanswered.last(&[Slot::of(2)])), (Some(epoch), None));
        marks.looked.enter_anything(epoch);
        assert_eq!((marks.looked.last(&[]), marks.last_write(&a)), (Some(epoch), epoch));
    }

    #[test]
    fn a_late_mark_does_not_undo_a_later_one() {
        let epoch = Instant::now();
        let marks = Marks::new(epoch);
        marks.acknowledged.enter(&[Slot::of(1)], epoch + Duration::from_secs(2));
        marks.acknowledged.enter(&[Slot::of(1)], epoch + Duration::from_secs(1));
        assert_eq!(marks.last_write(&[Slot::of(1)]), epoch + Duration::from_secs(2));
    }
}
