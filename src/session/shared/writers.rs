//! Which transactions mostly write, by the shape of the statement that stands first in them.
//!
//! A guess, and nothing more: it decides whether a read waits for a replica in a transaction that will soon be on the
//! primary anyway. So shapes may share a place, and counts may be lost.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::sql::SkeletonId;

const PLACES: usize = 1024;

/// Most that is counted: so soon is a habit forgotten.
const MOST: u8 = 16;

/// From here on the next one is taken to write as well.
const LIKELY: u8 = 8;

/// By shape, how many more transactions have written lately than have only read.
pub(crate) struct Writers(Box<[AtomicU8]>);

impl Default for Writers {
    fn default() -> Self {
        Self((0..PLACES).map(|_| AtomicU8::new(0)).collect())
    }
}

impl Writers {
    /// Whether a transaction that begins with a statement of this shape is likely to write.
    pub(crate) fn likely(&self, shape: SkeletonId) -> bool {
        self.place(shape).is_some_and(|count| count.load(Ordering::Relaxed) >= LIKELY)
    }

    /// One wrote.
    pub(crate) fn wrote(&self, shape: SkeletonId) {
        let Some(place) = self.place(shape) else { return };
        let count = place.load(Ordering::Relaxed);
        if count < MOST {
            place.store(count + 1, Ordering::Relaxed);
        }
    }

    /// One only read.
    pub(crate) fn only_read(&self, shape: SkeletonId) {
        let Some(place) = self.place(shape) else { return };
        let count = place.load(Ordering::Relaxed);
        if count > 0 {
            place.store(count - 1, Ordering::Relaxed);
        }
    }

    fn place(&self, shape: SkeletonId) -> Option<&AtomicU8> {
        self.0.get(usize::try_from(shape.0 % self.0.len() as u128).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_mostly_writes_is_taken_to_write_and_a_habit_is_soon_forgotten() {
        let (writers, shape) = (Writers::default(), SkeletonId(7));
        for _ in 0..7 {
            writers.wrote(shape);
        }
        assert!(!writers.likely(shape));
        for _ in 0..100 {
            writers.wrote(shape);
        }
        assert!(writers.likely(shape) && !writers.likely(SkeletonId(8)));
        for _ in 0..9 {
            writers.only_read(shape);
        }
        assert!(!writers.likely(shape));
        // One in ten does not make a habit.
        for n in 0..100 {
            if n % 10 == 0 { writers.wrote(shape) } else { writers.only_read(shape) }
        }
        assert!(!writers.likely(shape));
    }
}
