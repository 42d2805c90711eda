//! A client's bytes cut into requests: the smallest things that are routed.
//!
//! Pure. The bytes stay in the client's buffer until a request is sent on; the framer only remembers how much of the
//! front of the buffer it has seen to be whole messages of an unfinished batch.

use crate::session::relay::responses::Flow;
use crate::sql;
use crate::wire::frame::{BadHeader, client_header};
use crate::wire::tag::client;
use crate::wire::{HEADER, Header};

/// The longest message that is read as a whole. Longer ones are routed by their head and streamed.
pub(crate) const WHOLE_MAX: usize = 256 << 10;

/// The same for what brings the text of a query: only the whole of it tells that it is a read.
pub(crate) const QUERY_MAX: usize = 1 << 20;

/// How much of a long message must be there before it is routed: room for two names.
pub(crate) const HEAD_MAX: usize = 8 << 10;

/// A batch this long is sent on before its end has come, one message aside that alone is longer.
const BATCH_MAX: usize = 64 << 10;

/// The next thing to do with the client's bytes. Lengths count from the front of the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Nothing whole is there.
    More,
    /// A simple query or a function call.
    Single {
        /// Its length.
        len: usize,
    },
    /// Messages of the extended protocol.
    Batch {
        /// Their length together.
        len: usize,
        /// How the batch ends.
        end: End,
    },
    /// A message too long to be read whole; at least its head is there.
    Long {
        /// Its type.
        tag: u8,
        /// Its length.
        len: usize,
    },
    /// Copy data, whole or not: `len` bytes are there, of which the last message lacks `missing`.
    CopyData {
        /// Bytes that are there.
        len: usize,
        /// Bytes of the last message still to come.
        missing: usize,
    },
    /// CopyDone or CopyFail.
    CopyEnd {
        /// Its length.
        len: usize,
    },
    /// A Sync or Flush that a server in copy-in mode ignores.
    Ignored {
        /// Its length.
        len: usize,
    },
    /// Terminate.
    Terminate,
}

/// How a batch ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With `Sync`: a whole request.
    Sync,
    /// With `Flush`: the client waits for answers before it goes on.
    Flush,
    /// Without either: more of it is on its way.
    Open,
}

/// Remembers how far the front of the buffer has been seen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Framer {
    seen: usize,
    /// The longest message among that which alone is longer than a batch may be.
    long: usize,
    /// How much must be read ahead, besides what always is, for the next cut.
    wanted: usize,
}

impl Framer {
    /// The next cut of `bytes`, which are the client's unread bytes.
    ///
    /// # Errors
    /// A type that clients do not send, or an impossible length.
    pub(crate) fn next(&mut self, bytes: &[u8], flow: Flow) -> Result<Unit, BadHeader> {
        self.wanted = self.long;
        loop {
            let rest = &bytes[self.seen..];
            let head = match client_header(rest) {
                None => return Ok(Unit::More),
                Some(Ok(head)) => head,
                // What came before is answered first.
                Some(Err(_)) if self.seen > 0 => return Ok(self.batch(End::Open)),
                Some(Err(bad)) => return Err(bad),
            };
            let whole = head.len <= rest.len();
            if flow == Flow::CopyIn && self.seen > 0 {
                // It breaks into the copy, whatever comes behind it.
                return Ok(self.batch(End::Open));
            }
            let batched = match head.tag {
                client::SYNC | client::FLUSH if flow == Flow::CopyIn => {
                    return Ok(if whole { Unit::Ignored { len: head.len } } else { Unit::More });
                }
                client::PARSE | client::BIND | client::DESCRIBE | client::EXECUTE | client::CLOSE => true,
                client::SYNC | client::FLUSH => true,
                _ => false,
            };
            // What is there to its end need not look like anything.
            let limit = if whole { WHOLE_MAX } else { whole_max(&head, rest) };
            if !batched || (head.len > limit && !whole) {
                if self.seen > 0 {
                    return Ok(self.batch(End::Open));
                }
                let unit = single(&head, limit, bytes);
                if unit == Unit::More {
                    self.wants(&head);
                }
                return Ok(unit);
            }
            if !whole {
                // Together they would be more than is read before something is taken.
                let too_much = self.seen - self.long + head.len > limit.max(WHOLE_MAX)
                    || self.seen + head.len > QUERY_MAX + WHOLE_MAX;
                if self.seen > 0 && too_much {
                    return Ok(self.batch(End::Open));
                }
                self.wants(&head);
                return Ok(Unit::More);
            }
            self.seen += head.len;
            if head.len >= BATCH_MAX {
                self.long = self.long.max(head.len);
                self.wanted = self.wanted.max(self.long);
            }
            match head.tag {
                client::SYNC => return Ok(self.batch(End::Sync)),
                client::FLUSH => return Ok(self.batch(End::Flush)),
                _ if self.seen - self.long >= BATCH_MAX => return Ok(self.batch(End::Open)),
                _ => {}
            }
        }
    }

    /// How much of the front is whole messages of a batch that is not over.
    pub(crate) fn seen(&self) -> usize {
        self.seen
    }

    /// The buffer's front has changed: look at it anew.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }

    /// How much more than usual must be read ahead, so that the next cut can be made.
    pub(crate) fn wanted(&self) -> usize {
        self.wanted
    }

    /// All of a message is waited for.
    fn wants(&mut self, head: &Header) {
        if head.len > WHOLE_MAX {
            self.wanted = self.wanted.max(head.len);
        }
    }

    fn batch(&mut self, end: End) -> Unit {
        let len = std::mem::take(self).seen;
        Unit::Batch { len, end }
    }
}

/// The most that a message may be long to be read whole, of which this much is there.
fn whole_max(head: &Header, there: &[u8]) -> usize {
    if head.len <= WHOLE_MAX || head.len > QUERY_MAX {
        return WHOLE_MAX;
    }
    let body = there.get(HEADER..).unwrap_or_default();
    let text = match head.tag {
        client::QUERY => Some(body),
        client::PARSE => body.iter().position(|byte| *byte == 0).map(|end| &body[end + 1..]),
        _ => None,
    };
    // Of what looks like no query nothing more is to be learned from its end.
    if text.is_some_and(sql::may_read) { QUERY_MAX } else { WHOLE_MAX }
}

/// The cut for a message that stands alone at the front of `bytes`.
fn single(head: &Header, limit: usize, bytes: &[u8]) -> Unit {
    let Header { tag, len } = *head;
    let whole = len <= bytes.len();
    match tag {
        client::TERMINATE => Unit::Terminate,
        client::COPY_DATA => copy_data(bytes),
        client::COPY_DONE | client::COPY_FAIL if whole => Unit::CopyEnd { len },
        client::COPY_DONE | client::COPY_FAIL => Unit::More,
        _ if !whole && len > limit && bytes.len() >= HEAD_MAX => Unit::Long { tag, len },
        _ if whole => Unit::Single { len },
        _ => Unit::More,
    }
}

/// All copy data at the front of `bytes`, up to and into a message that has not arrived whole.
fn copy_data(bytes: &[u8]) -> Unit {
    let mut at = 0;
    while let Some(Ok(head)) = client_header(&bytes[at..]) {
        if head.tag != client::COPY_DATA {
            break;
        }
        let rest = bytes.len() - at;
        if head.len > rest {
            return Unit::CopyData { len: bytes.len(), missing: head.len - rest };
        }
        at += head.len;
    }
    Unit::CopyData { len: at, missing: 0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(tag: u8, body: usize) -> Vec<u8> {
        let mut out = vec![tag];
        out.extend(u32::try_from(body + 4).unwrap().to_be_bytes());
        out.extend(vec![b'x'; body]);
        out
    }

    fn cut(bytes: &[u8]) -> Unit {
        Framer::default().next(bytes, Flow::Query).unwrap()
    }

    #[test]
    fn a_batch_goes_up_to_sync_or_flush() {
        let bytes = [frame(b'P', 9), frame(b'B', 9), frame(b'E', 5), frame(b'S', 0), frame(b'P', 3)].concat();
        assert_eq!(cut(&bytes), Unit::Batch { len: bytes.len() - 8, end: End::Sync });
        let bytes = [frame(b'P', 9), frame(b'D', 2), frame(b'H', 0)].concat();
        assert_eq!(cut(&bytes), Unit::Batch { len: bytes.len(), end: End::Flush });
        assert_eq!(cut(&bytes[..bytes.len() - 1]), Unit::More);
    }

    #[test]
    fn the_framer_goes_on_where_it_stopped() {
        let bytes = [frame(b'P', 9), frame(b'B', 9), frame(b'S', 0)].concat();
        for split in 0..bytes.len() {
            let mut framer = Framer::default();
            assert_eq!(framer.next(&bytes[..split], Flow::Query).unwrap(), Unit::More);
            assert_eq!(
                framer.next(&bytes, Flow::Query).unwrap(),
                Unit::Batch { len: bytes.len(), end: End::Sync }
            );
        }
    }

    #[test]
    fn what_is_not_of_a_batch_ends_it() {
        let bytes = [frame(b'P', 9), frame(b'Q', 9)].concat();
        assert_eq!(cut(&bytes), Unit::Batch { len: 14, end: End::Open });
        assert_eq!(cut(&bytes[14..]), Unit::Single { len: 14 });
    }

    #[test]
    fn a_long_batch_and_a_long_message_do_not_wait_for_their_end() {
        let bytes = [frame(b'B', 40_000), frame(b'B', 40_000), frame(b'B', 10)].concat();
        assert_eq!(cut(&bytes), Unit::Batch { len: 80_010, end: End::Open });
        let long = frame(b'B', 1 << 20);
        assert_eq!(cut(&long[..HEAD_MAX - 1]), Unit::More);
        assert_eq!(cut(&long[..HEAD_MAX]), Unit::Long { tag: b'B', len: long.len() });
        let after = [frame(b'P', 9), long[..HEAD_MAX].to_vec()].concat();
        assert_eq!(cut(&after), Unit::Batch { len: 14, end: End::Open });
    }

    #[test]
    fn the_text_of_a_query_is_read_to_its_end() {
        let frame = |tag: u8, text: &str, len: usize| {
            let body = [text.as_bytes(), &b" "[..].repeat(len), b"\0"].concat();
            [&[tag][..], &u32::try_from(body.len() + 4).unwrap().to_be_bytes(), &body].concat()
        };
        let rest = [super::tests::frame(b'B', 9), super::tests::frame(b'E', 5), super::tests::frame(b'S', 0)]
            .concat();
        for text in ["/* app */ select", "((with", "VALUES"] {
            let query = frame(b'Q', text, 900_000);
            let mut framer = Framer::default();
            assert_eq!(framer.next(&query[..HEAD_MAX], Flow::Query), Ok(Unit::More));
            assert!(framer.wanted() >= query.len() - WHOLE_MAX);
            assert_eq!(framer.next(&query, Flow::Query), Ok(Unit::Single { len: query.len() }));
            assert_eq!(framer.wanted(), 0);
            let batch = [frame(b'P', &format!("name\0{text}"), 900_000), rest.clone()].concat();
            for there in [10, HEAD_MAX, WHOLE_MAX, 800_000, batch.len() - rest.len(), batch.len() - 1] {
                assert_eq!(framer.next(&batch[..there], Flow::Query), Ok(Unit::More), "{there}");
                assert!(there < WHOLE_MAX || WHOLE_MAX + framer.wanted() > batch.len());
            }
            assert_eq!(
                framer.next(&batch, Flow::Query),
                Ok(Unit::Batch { len: batch.len(), end: End::Sync })
            );
            assert_eq!(framer.wanted(), 0);
        }
        for long in
            [frame(b'Q', "insert", 900_000), frame(b'Q', "select", QUERY_MAX), frame(b'P', "n\0x", 900_000)]
        {
            assert_eq!(cut(&long[..HEAD_MAX]), Unit::Long { tag: long[0], len: long.len() });
        }
    }

    #[test]
    fn one_long_message_does_not_open_its_batch() {
        let bytes = [frame(b'P', 9), frame(b'B', 200_000), frame(b'E', 5), frame(b'S', 0)].concat();
        assert_eq!(cut(&bytes), Unit::Batch { len: bytes.len(), end: End::Sync });
        let bytes = [frame(b'B', 250_000), frame(b'E', 5), frame(b'B', 250_000), frame(b'E', 5)].concat();
        assert_eq!(cut(&bytes), Unit::Batch { len: 500_020, end: End::Open });
        let after = &bytes[..250_025];
        assert_eq!(cut(after), Unit::More);
    }

    /// All cuts of bytes that arrive in pieces of these sizes, and the error at the end if there is one. Copy data that
    /// is cut within a message counts as whole ones: how much of it is passed on at a time is nobody's business.
    fn cuts(bytes: &[u8], sizes: &[usize]) -> (Vec<(Unit, Vec<u8>)>, Option<BadHeader>) {
        let (mut read_buffer, mut rest, mut framer) = (Vec::new(), bytes, Framer::default());
        let (mut cuts, mut copied) = (Vec::new(), 0);
        for size in sizes.iter().cycle() {
            let (piece, left) = rest.split_at((*size).min(rest.len()));
            read_buffer.extend_from_slice(piece);
            rest = left;
            loop {
                let owed = copied.min(read_buffer.len());
                read_buffer.drain(..owed);
                copied -= owed;
                if copied > 0 {
                    break;
                }
                let cut = match framer.next(&read_buffer, Flow::Query) {
                    Ok(cut) => cut,
                    Err(bad) => return (cuts, Some(bad)),
                };
                let len = match cut {
                    Unit::More => break,
                    Unit::Terminate => return (cuts, None),
                    Unit::CopyData { len, missing } => {
                        copied = missing;
                        read_buffer.drain(..len);
                        continue;
                    }
                    Unit::Single { len } | Unit::Batch { len, .. } | Unit::CopyEnd { len } => len,
                    Unit::Ignored { .. } | Unit::Long { .. } => {
                        unreachable!("short messages, no copy under way")
                    }
                };
                cuts.push((cut, read_buffer.drain(..len).collect()));
            }
            if rest.is_empty() {
                return (cuts, None);
            }
        }
        unreachable!("the sizes are repeated for ever")
    }

    proptest! {
        #[test]
        fn any_cutting_of_the_same_bytes_gives_the_same_requests(
            messages in prop::collection::vec((prop::sample::select(&b"QPBDECSHdcfF!"[..]), 0..50usize), 1..30),
            sizes in prop::collection::vec(1..40usize, 1..6),
        ) {
            let bytes: Vec<u8> = messages.iter().flat_map(|(tag, body)| frame(*tag, *body)).collect();
            let whole = cuts(&bytes, &[usize::MAX]);
            prop_assert_eq!(&cuts(&bytes, &sizes), &whole);
            prop_assert_eq!(&cuts(&bytes, &[1]), &whole);
        }
    }

    #[test]
    fn copy_data_streams() {
        let bytes = [frame(b'd', 10), frame(b'd', 10), frame(b'c', 0)].concat();
        assert_eq!(cut(&bytes), Unit::CopyData { len: 30, missing: 0 });
        assert_eq!(cut(&bytes[..28]), Unit::CopyData { len: 28, missing: 2 });
        assert_eq!(cut(&bytes[..17]), Unit::CopyData { len: 15, missing: 0 });
        assert_eq!(cut(&bytes[30..]), Unit::CopyEnd { len: 5 });
        let sync = frame(b'S', 0);
        assert_eq!(Framer::default().next(&sync, Flow::CopyIn).unwrap(), Unit::Ignored { len: 5 });
        let breaks_in = [frame(b'P', 9), frame(b'S', 0)].concat();
        let unit = Framer::default().next(&breaks_in, Flow::CopyIn).unwrap();
        assert_eq!(unit, Unit::Batch { len: 14, end: End::Open }, "not the Sync's length of it");
    }
}
