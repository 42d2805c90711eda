//! A server's bytes cut into what only passes and what must be looked at.
//!
//! Rows and copy data are the bulk of all traffic: their headers are stepped over, their bodies never read.

use super::frame::{BadHeader, Header, header};
use super::tag::server;

/// What ended a run of passing bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The bytes end here, between two frames or within a passing frame of which this many bytes are still to come.
    End {
        /// Bytes of the last passing frame that have not arrived.
        missing: usize,
    },
    /// The bytes end within a header, or within a frame that must be whole before it is looked at.
    Partial,
    /// A frame that must be looked at stands here: whole, or at least its beginning if it is very long.
    Look(Header),
    /// A frame begins here whose length is impossible.
    Bad(BadHeader),
}

/// The longest message that is waited for as a whole. Of longer ones (an error that quotes a huge value, say) the
/// beginning is looked at: an error's severity and SQLSTATE stand before its text.
const WHOLE_MAX: usize = 64 << 10;

/// How much of a message too long to be waited for must be there.
const HEAD: usize = 4 << 10;

/// Messages of most types are short; one that claims to be longer comes from something that is no PostgreSQL.
/// The same limit as libpq's.
const SHORT_MAX: usize = 30_000;

/// Length of the run of passing bytes at the start of `buf`, and what ended it.
///
/// `buf` starts at a frame boundary. Cutting the same bytes elsewhere never changes what passes and what is looked at.
pub(crate) fn run(buf: &[u8]) -> (usize, Stop) {
    let mut at = 0;
    loop {
        let rest = &buf[at..];
        if rest.is_empty() {
            return (at, Stop::End { missing: 0 });
        }
        let head = match header(rest) {
            None => return (at, Stop::Partial),
            Some(Err(bad)) => return (at, Stop::Bad(bad)),
            Some(Ok(head)) => head,
        };
        if head.len > SHORT_MAX && !may_be_long(head.tag) {
            return (at, Stop::Bad(BadHeader::Length));
        }
        let passes = matches!(head.tag, server::DATA_ROW | server::COPY_DATA);
        if passes && head.len > rest.len() {
            return (buf.len(), Stop::End { missing: head.len - rest.len() });
        }
        if !passes {
            let needed = if head.len > WHOLE_MAX { HEAD } else { head.len };
            return (at, if rest.len() < needed { Stop::Partial } else { Stop::Look(head) });
        }
        at += head.len;
    }
}

fn may_be_long(tag: u8) -> bool {
    matches!(
        tag,
        server::DATA_ROW
            | server::COPY_DATA
            | server::ERROR
            | server::NOTICE
            | server::NOTIFICATION
            | server::ROW_DESCRIPTION
            | server::PARAMETER_DESCRIPTION
            | server::FUNCTION_CALL
    )
}

/// The SQLSTATE of an ErrorResponse or NoticeResponse, given its frame or the beginning of it.
pub(crate) fn sqlstate(frame: &[u8]) -> Option<&[u8]> {
    field(frame, b'C')
}

/// Whether a NoticeResponse is a server's last word: before an immediate shutdown it is a warning that its processes
/// send, and the connection ends right behind it.
pub(crate) fn is_farewell(frame: &[u8]) -> bool {
    matches!(sqlstate(frame), Some(b"57P01" | b"57P02"))
}

/// A field of an ErrorResponse or NoticeResponse, given its frame or the beginning of it.
pub(crate) fn field(frame: &[u8], code: u8) -> Option<&[u8]> {
    let mut at = super::HEADER;
    loop {
        let kind = *frame.get(at)?;
        if kind == 0 {
            return None;
        }
        let (value, next) = super::frame::cstr(frame, at + 1)?;
        if kind == code {
            return Some(value);
        }
        at = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
        let mut out = vec![tag];
        out.extend(u32::try_from(body.len() + 4).unwrap().to_be_bytes());
        out.extend(body);
        out
    }

    #[test]
    fn rows_pass_and_the_rest_stops() {
        let mut bytes = frame(b'D', b"row one");
        bytes.extend(frame(b'D', b"row two"));
        let rows = bytes.len();
        bytes.extend(frame(b'C', b"SELECT 2\0"));
        assert_eq!(run(&bytes), (rows, Stop::Look(Header { tag: b'C', len: 14 })));
        assert_eq!(run(&bytes[..rows]), (rows, Stop::End { missing: 0 }));
        assert_eq!(run(&bytes[..rows - 3]), (rows - 3, Stop::End { missing: 3 }));
        assert_eq!(run(&bytes[..rows + 3]), (rows, Stop::Partial));
        assert_eq!(run(&bytes[..rows + 6]), (rows, Stop::Partial));
    }

    #[test]
    fn of_a_very_long_frame_the_beginning_is_enough() {
        let error = frame(b'E', &[b'x'; 1 << 20]);
        assert_eq!(run(&error[..HEAD - 1]), (0, Stop::Partial));
        assert_eq!(run(&error[..HEAD]), (0, Stop::Look(Header { tag: b'E', len: error.len() })));
        let short = frame(b'H', &[0; SHORT_MAX]);
        assert_eq!(run(&short[..5]), (0, Stop::Bad(BadHeader::Length)));
    }

    #[test]
    fn error_fields_are_found() {
        let error = frame(b'E', b"SERROR\0C42P01\0Mno such table\0\0");
        assert_eq!(sqlstate(&error), Some(&b"42P01"[..]));
        assert_eq!(field(&error, b'M'), Some(&b"no such table"[..]));
        assert_eq!(field(&error, b'H'), None);
        assert_eq!(sqlstate(&frame(b'E', b"SERROR")), None);
        assert!(is_farewell(&frame(b'N', b"SWARNING\0C57P01\0Mterminating\0\0")));
        assert!(!is_farewell(&error));
    }
}
