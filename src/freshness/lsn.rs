//! How far a server is: positions in the write-ahead log, and transaction IDs.

use std::fmt;
use std::str::FromStr;

/// A position in the write-ahead log, as `pg_lsn`: bytes since its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lsn(pub u64);

/// A transaction ID with its epoch, as `xid8`: it never wraps around.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Xid(pub u64);

/// Bytes in front of the records of a page (`SizeOfXLogShortPHD`), and of the first page of a segment
/// (`SizeOfXLogLongPHD`).
const PAGE_HEADER: u64 = 24;
const SEGMENT_HEADER: u64 = 40;

impl Lsn {
    /// Where replay stands once it has replayed everything before this insert position.
    ///
    /// An insert position that falls on the start of a page is reported behind the page's header, where the next
    /// record will begin; replay stays in front of the header until there is one. On an idle primary the two would
    /// never meet. No record ends right behind a header, so nothing else is moved.
    #[must_use]
    pub fn as_replayed(self, page: u64, segment: u64) -> Self {
        let header = if self.within(segment) < page { SEGMENT_HEADER } else { PAGE_HEADER };
        if self.within(page) == header { Self(self.0 - header) } else { self }
    }

    fn within(self, unit: u64) -> u64 {
        self.0.checked_rem(unit).unwrap_or(u64::MAX)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

/// Not of the form of a `pg_lsn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoLsn;

impl FromStr for Lsn {
    type Err = NoLsn;

    /// `16/B374D848`: two hexadecimal numbers of at most eight digits, as `pg_lsn` takes them.
    fn from_str(text: &str) -> Result<Self, NoLsn> {
        let half = |digits: &str| {
            let plain = (1..=8).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
            if plain { u64::from_str_radix(digits, 16).map_err(|_| NoLsn) } else { Err(NoLsn) }
        };
        let (high, low) = text.split_once('/').ok_or(NoLsn)?;
        Ok(Self(half(high)? << 32 | half(low)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u64 = 8192;
    const SEGMENT: u64 = 16 << 20;

    #[test]
    fn an_insert_position_behind_a_header_is_in_front_of_it_to_replay() {
        let replayed = |lsn| Lsn(lsn).as_replayed(PAGE, SEGMENT).0;
        assert_eq!(replayed(3 * PAGE + 24), 3 * PAGE);
        assert_eq!(replayed(2 * SEGMENT + 40), 2 * SEGMENT);
        // In the first page of a segment the header is the long one, and only there.
        assert_eq!(replayed(2 * SEGMENT + 24), 2 * SEGMENT + 24);
        assert_eq!(replayed(3 * PAGE + 40), 3 * PAGE + 40);
        assert_eq!(replayed(3 * PAGE + 25), 3 * PAGE + 25);
        assert_eq!(replayed(3 * PAGE), 3 * PAGE);
        assert_eq!(Lsn(40).as_replayed(0, 0), Lsn(40), "a server that told no sizes");
    }

    #[test]
    fn positions_are_written_as_postgresql_writes_them() {
        for text in ["0/0", "16/B374D848", "FFFFFFFF/FFFFFFFF"] {
            assert_eq!(text.parse::<Lsn>().unwrap().to_string(), text);
        }
        assert_eq!("16/b374d848".parse(), Ok(Lsn(0x16_b374_d848)));
        for text in ["", "/", "16", "16/", "/1", "1/2/3", "g/1", "+1/2", " 1/2", "123456789/1"] {
            assert_eq!(text.parse::<Lsn>(), Err(NoLsn), "{text}");
        }
    }
}
