//! Instants as numbers, for atomics.

use std::time::{Duration, Instant};

/// The instant from which others are counted. As a number an instant is the nanoseconds since one before the epoch, so
/// that 0 can mean none.
#[derive(Clone, Copy, Debug)]
pub struct Epoch(Instant);

impl Epoch {
    /// No instant before `epoch` will be given.
    pub fn new(epoch: Instant) -> Self {
        Self(epoch)
    }

    /// An instant as a number, greater than 0.
    pub fn number(self, instant: Instant) -> u64 {
        let since = instant.saturating_duration_since(self.0).as_nanos();
        u64::try_from(since).unwrap_or(u64::MAX - 1) + 1
    }

    /// The instant that a number stands for; `None` for 0.
    pub fn instant(self, number: u64) -> Option<Instant> {
        number.checked_sub(1).map(|nanos| self.0 + Duration::from_nanos(nanos))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_come_back_and_none_is_zero() {
        let begin = Instant::now();
        let epoch = Epoch::new(begin);
        for nanos in [0, 1, 123_456_789, u64::from(u32::MAX) * 1000] {
            let instant = begin + Duration::from_nanos(nanos);
            assert_eq!(epoch.instant(epoch.number(instant)), Some(instant));
        }
        assert_eq!(epoch.instant(0), None);
        assert!(epoch.number(begin) > 0);
    }
}
