//! What weir says in the server's stead of a statement that it keeps to itself.
//!
//! Pure.

use crate::wire::reply::{CLOSE_COMPLETE, PARSE_COMPLETE};

/// How much of a request weir answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Keeps {
    /// None of it: a server is to judge.
    #[default]
    Nothing,
    /// What begins the transaction, of which the server is told in other words.
    Begin,
    /// What controls the transaction, if anything does. The rest needs a connection.
    Controls,
    /// All of it.
    All,
}

/// One answer of weir's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    ParseComplete,
    BindComplete,
    CloseComplete,
    /// Of a statement: no parameters, and no rows.
    NothingAtAll,
    /// Of a portal: no rows.
    NoRows,
    /// CommandComplete with this tag.
    Completed(&'static str),
}

/// CommandComplete for each statement that weir answers.
const COMPLETED: [(&str, &[u8]); 7] = [
    ("BEGIN", b"C\0\0\0\x0aBEGIN\0"),
    ("START TRANSACTION", b"C\0\0\0\x16START TRANSACTION\0"),
    ("COMMIT", b"C\0\0\0\x0bCOMMIT\0"),
    ("ROLLBACK", b"C\0\0\0\x0dROLLBACK\0"),
    ("SAVEPOINT", b"C\0\0\0\x0eSAVEPOINT\0"),
    ("RELEASE", b"C\0\0\0\x0cRELEASE\0"),
    ("SET", b"C\0\0\0\x08SET\0"),
];

impl Said {
    /// Whole messages.
    pub(crate) fn bytes(self) -> &'static [u8] {
        match self {
            Said::ParseComplete => PARSE_COMPLETE,
            Said::BindComplete => b"2\0\0\0\x04",
            Said::CloseComplete => CLOSE_COMPLETE,
            Said::NothingAtAll => b"t\0\0\0\x06\0\0n\0\0\0\x04",
            Said::NoRows => b"n\0\0\0\x04",
            Said::Completed(tag) => {
                COMPLETED.iter().find(|(known, _)| *known == tag).map_or(&[], |(_, bytes)| bytes)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Header, header};

    #[test]
    fn all_of_it_is_whole_messages() {
        let completed = COMPLETED.map(|(tag, _)| Said::Completed(tag));
        let others = [Said::ParseComplete, Said::BindComplete, Said::CloseComplete, Said::NoRows];
        for said in completed.into_iter().chain(others) {
            let bytes = said.bytes();
            assert_eq!(header(bytes), Some(Ok(Header { tag: bytes[0], len: bytes.len() })), "{said:?}");
        }
        let (first, second) = Said::NothingAtAll.bytes().split_at(7);
        assert_eq!(header(first), Some(Ok(Header { tag: b't', len: 7 })));
        assert_eq!(header(second), Some(Ok(Header { tag: b'n', len: 5 })));
        for (tag, bytes) in COMPLETED {
            assert_eq!(&bytes[5..bytes.len() - 1], tag.as_bytes());
        }
    }
}
