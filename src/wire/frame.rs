//! Where a message begins and ends: one type byte, then a length that counts itself and the body.

use super::tag::client;

/// Bytes of a frame's header: type and length.
pub(crate) const HEADER: usize = 5;

/// What the length word of a message of bulk kind may say, as PostgreSQL's `PQ_LARGE_MESSAGE_LIMIT` (`MaxAllocSize - 1`).
/// The word counts itself and the body, and not the type byte, as the protocol has it.
const LARGE: usize = 0x3fff_fffe;

/// The same for the other kinds, as PostgreSQL's `PQ_SMALL_MESSAGE_LIMIT`.
const SMALL: usize = 10_000;

/// A frame's type and its length on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Type byte.
    pub(crate) tag: u8,
    /// Bytes of the whole frame, type and length included. At least [`HEADER`].
    pub(crate) len: usize,
}

/// What a peer did wrong with a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadHeader {
    /// The length does not even count itself, or is longer than such a message may be.
    Length,
    /// No such message type from a client.
    Type(u8),
}

/// Reads the header at the start of `buf`; `None` when fewer than five bytes are there.
///
/// The length is checked against its lower bound only; a server's upper bound is the protocol's own.
pub(crate) fn header(buf: &[u8]) -> Option<Result<Header, BadHeader>> {
    let head = buf.first_chunk::<HEADER>()?;
    let len = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    // 2^31 - 1 is the longest that the signed field can say.
    if !(4..=0x7fff_ffff).contains(&len) {
        return Some(Err(BadHeader::Length));
    }
    Some(Ok(Header { tag: head[0], len: len + 1 }))
}

/// Like [`header`], for what a client sends after login: unknown types and impossible lengths are refused before
/// anything is allocated or waited for (PostgreSQL's `SocketBackend`).
pub(crate) fn client_header(buf: &[u8]) -> Option<Result<Header, BadHeader>> {
    let header = match header(buf)? {
        Ok(header) => header,
        Err(bad) => return Some(Err(bad)),
    };
    let limit = match header.tag {
        client::QUERY | client::PARSE | client::BIND | client::FUNCTION_CALL | client::COPY_DATA => LARGE,
        client::CLOSE
        | client::DESCRIBE
        | client::EXECUTE
        | client::FLUSH
        | client::SYNC
        | client::TERMINATE
        | client::COPY_DONE
        | client::COPY_FAIL => SMALL,
        other => return Some(Err(BadHeader::Type(other))),
    };
    Some(if header.len - 1 > limit { Err(BadHeader::Length) } else { Ok(header) })
}

/// The C string at `at` and the position behind its zero; `None` when it does not end within `body`.
pub(crate) fn cstr(body: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let rest = body.get(at..)?;
    let end = rest.iter().position(|&b| b == 0)?;
    Some((&rest[..end], at + end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_needs_five_bytes() {
        assert_eq!(header(b"Q\0\0\0"), None);
        assert_eq!(header(b"Q\0\0\0\x04"), Some(Ok(Header { tag: b'Q', len: 5 })));
    }

    #[test]
    fn impossible_lengths_are_refused() {
        assert_eq!(header(b"Q\0\0\0\x03"), Some(Err(BadHeader::Length)));
        assert_eq!(header(b"Q\xff\xff\xff\xff"), Some(Err(BadHeader::Length)));
        assert_eq!(client_header(b"Q\x7f\xff\xff\xff"), Some(Err(BadHeader::Length)));
        assert_eq!(client_header(b"S\0\0\x40\0"), Some(Err(BadHeader::Length)));
    }

    #[test]
    fn the_limits_do_not_count_the_type_byte() {
        let sent = |tag: u8, word: u32| {
            let [a, b, c, d] = word.to_be_bytes();
            client_header(&[tag, a, b, c, d])
        };
        for (tags, longest) in [(&b"QPBFd"[..], 0x3fff_fffe), (&b"CDEHSXcf"[..], 10_000)] {
            for &tag in tags {
                let (shown, len) = (char::from(tag), longest as usize + 1);
                assert_eq!(sent(tag, longest), Some(Ok(Header { tag, len })), "{shown}");
                assert_eq!(sent(tag, longest + 1), Some(Err(BadHeader::Length)), "{shown}");
            }
        }
    }

    #[test]
    fn a_client_may_not_send_what_does_not_exist() {
        assert_eq!(client_header(b"y\0\0\0\x04"), Some(Err(BadHeader::Type(b'y'))));
        assert_eq!(client_header(b"p\0\0\0\x04"), Some(Err(BadHeader::Type(b'p'))));
    }

    #[test]
    fn strings_end_within_the_frame() {
        assert_eq!(cstr(b"ab\0cd", 0), Some((&b"ab"[..], 3)));
        assert_eq!(cstr(b"ab\0cd", 3), None);
        assert_eq!(cstr(b"ab", 7), None);
    }
}
