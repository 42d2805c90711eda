//! A client's message as it was read, once: where it stands, what it is, and what it names.
//!
//! Pure. Names and texts are places in the client's read buffer, counted from its front like the lengths of a unit, so
//! that they hold for as long as the request stands there. What a statement is, the request adds: see
//! [`Request`](crate::session::relay::request::Request).

use std::ops::Range;
use std::sync::Arc;

use crate::backend::ledger::Reply;
use crate::sql::Verdict;
use crate::wire::request::{self, Named};
use crate::wire::tag::client;
use crate::wire::{HEADER, Header, header};

/// Where a name or a text stands in the read buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Field {
    // Half the size of a range, and more than the buffer ever holds.
    start: u32,
    end: u32,
}

impl Field {
    /// These `len` bytes.
    fn at(start: usize, len: usize) -> Self {
        let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Self { start: place(start), end: place(start + len) }
    }

    /// What stands there, in the buffer from which it was read.
    pub(crate) fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// Whether it is the empty name, or an empty text.
    pub(crate) fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// What a message is, and where it says what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MessageKind {
    Query {
        sql: Field,
    },
    /// `types`: the raw parameter type section.
    Parse {
        name: Field,
        sql: Field,
        types: Field,
    },
    /// Its rest may be missing.
    Bind {
        portal: Field,
        statement: Field,
    },
    DescribeStatement {
        name: Field,
    },
    DescribePortal {
        name: Field,
    },
    CloseStatement {
        name: Field,
    },
    ClosePortal {
        name: Field,
    },
    /// `limit`: most rows; 0 is all of them.
    Execute {
        portal: Field,
        limit: u32,
    },
    Sync,
    Flush,
    /// `oid`: the function, if the message is long enough to say it.
    FunctionCall {
        oid: Option<u32>,
    },
    /// Not what a message of its type must be: the server judges it.
    Malformed(u8),
    /// Too long to be read whole; what it names is not known.
    Cut(u8),
}

/// One message of a request.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) kind: MessageKind,
    /// All of it, whether or not it is there.
    pub(crate) frame: Range<usize>,
    /// What is known of the statement that it is about.
    pub(crate) verdict: Option<Arc<Verdict>>,
}

impl Message {
    /// The message at `start`; `None` behind the last one. Only the message of a long unit may lack its end.
    pub(crate) fn read(bytes: &[u8], start: usize) -> Option<Self> {
        let Some(Ok(head)) = header(bytes.get(start..)?) else { return None };
        let frame = start..start + head.len;
        let there = bytes.get(start..frame.end.min(bytes.len()))?;
        Some(Self { kind: kind(head, there, start), frame, verdict: None })
    }

    /// As much of it as is there.
    pub(crate) fn of<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes.get(self.frame.start..self.frame.end.min(bytes.len())).unwrap_or_default()
    }

    /// Whether it brings the text of the statement that it is about.
    pub(crate) fn brings_text(&self) -> bool {
        matches!(self.kind, MessageKind::Query { .. } | MessageKind::Parse { .. })
    }

    /// Whether a statement may run by it, or by the Execute that it stands for.
    pub(crate) fn runs(&self) -> bool {
        match self.kind {
            MessageKind::Query { .. }
            | MessageKind::Bind { .. }
            | MessageKind::Execute { .. }
            | MessageKind::FunctionCall { .. }
            | MessageKind::Malformed(_)
            | MessageKind::Cut(_) => true,
            MessageKind::Parse { .. }
            | MessageKind::DescribeStatement { .. }
            | MessageKind::DescribePortal { .. }
            | MessageKind::CloseStatement { .. }
            | MessageKind::ClosePortal { .. }
            | MessageKind::Sync
            | MessageKind::Flush => false,
        }
    }

    /// The prepared statement that it defines, uses or closes.
    pub(crate) fn statement_name(&self) -> Option<Field> {
        match self.kind {
            MessageKind::Parse { name, .. }
            | MessageKind::Bind { statement: name, .. }
            | MessageKind::DescribeStatement { name }
            | MessageKind::CloseStatement { name } => Some(name),
            _ => None,
        }
    }

    /// The statement that it binds.
    pub(crate) fn binds(&self) -> Option<Field> {
        match self.kind {
            MessageKind::Bind { statement, .. } => Some(statement),
            _ => None,
        }
    }
}

/// What the message is that begins with this header; `there` is as much of it as there is.
fn kind(head: Header, there: &[u8], start: usize) -> MessageKind {
    let read = match head.tag {
        client::SYNC => Some(MessageKind::Sync),
        client::FUNCTION_CALL => {
            let oid = there.get(HEADER..HEADER + 4).and_then(|oid| oid.try_into().ok());
            Some(MessageKind::FunctionCall { oid: oid.map(u32::from_be_bytes) })
        }
        // The only one of which the head is enough.
        client::BIND => bind(there, start),
        _ if there.len() < head.len => None,
        client::FLUSH => (head.len == HEADER).then_some(MessageKind::Flush),
        client::QUERY => {
            request::query(there).map(|sql| MessageKind::Query { sql: Field::at(start + HEADER, sql.len()) })
        }
        client::PARSE => parse(there, start),
        client::DESCRIBE | client::CLOSE => named(head.tag, there, start),
        client::EXECUTE => request::execute(there).map(|view| MessageKind::Execute {
            portal: Field::at(start + HEADER, view.portal.len()),
            limit: view.limit,
        }),
        _ => None,
    };
    let unread = if there.len() < head.len { MessageKind::Cut } else { MessageKind::Malformed };
    read.unwrap_or_else(|| unread(head.tag))
}

fn parse(frame: &[u8], start: usize) -> Option<MessageKind> {
    let view = request::parse(frame)?;
    let name = Field::at(start + HEADER, view.name.len());
    let text = start + HEADER + view.name.len() + 1;
    let sql = Field::at(text, view.sql.len());
    let types = Field::at(text + view.sql.len() + 1, view.types.len());
    Some(MessageKind::Parse { name, sql, types })
}

fn bind(frame: &[u8], start: usize) -> Option<MessageKind> {
    let view = request::bind(frame)?;
    let portal = Field::at(start + HEADER, view.portal.len());
    let statement = Field::at(start + HEADER + view.portal.len() + 1, view.statement.len());
    Some(MessageKind::Bind { portal, statement })
}

fn named(tag: u8, frame: &[u8], start: usize) -> Option<MessageKind> {
    let name = |name: &[u8]| Field::at(start + HEADER + 1, name.len());
    Some(match (tag, request::named(frame)?) {
        (client::DESCRIBE, Named::Statement(given)) => MessageKind::DescribeStatement { name: name(given) },
        (client::DESCRIBE, Named::Portal(given)) => MessageKind::DescribePortal { name: name(given) },
        (_, Named::Statement(given)) => MessageKind::CloseStatement { name: name(given) },
        (_, Named::Portal(given)) => MessageKind::ClosePortal { name: name(given) },
    })
}

impl MessageKind {
    /// What answers it when it is passed on as it is.
    pub(crate) fn answered_by(self) -> Reply {
        use MessageKind::{ClosePortal, DescribePortal, Malformed, Sync};
        match self {
            Sync => Reply::Sync,
            DescribePortal { .. } | Malformed(client::DESCRIBE) => Reply::DescribePortal,
            ClosePortal { .. } | Malformed(client::CLOSE) => Reply::Close,
            Malformed(client::BIND) => Reply::Bind,
            Malformed(client::EXECUTE) => Reply::Execute,
            // A malformed Flush is answered after all, with an error, and ends the batch as a bad Parse does.
            _ => Reply::Parse,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use proptest::prelude::*;

    use super::*;
    use crate::wire::request::{put_named_statement, put_parse, put_query};

    fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
        let mut out = vec![tag];
        out.extend(u32::try_from(body.len() + 4).unwrap().to_be_bytes());
        out.extend(body);
        out
    }

    fn at(start: usize, len: usize) -> Field {
        Field::at(start, len)
    }

    /// What is read of a message that stands seven bytes from the front.
    fn read(tag: u8, body: &[u8]) -> MessageKind {
        let bytes = [b"before ".to_vec(), frame(tag, body)].concat();
        let message = Message::read(&bytes, 7).unwrap();
        assert_eq!(message.frame, 7..bytes.len());
        assert_eq!(message.of(&bytes), &bytes[7..]);
        message.kind
    }

    #[test]
    fn a_message_is_what_its_body_says() {
        use MessageKind::*;
        let table: [(u8, &[u8], MessageKind); 14] = [
            (b'Q', b"select\0", Query { sql: at(12, 6) }),
            (b'P', b"s\0select\0\0\0", Parse { name: at(12, 1), sql: at(14, 6), types: at(21, 2) }),
            (b'P', b"\0\0\0\x01\0\0\0\x17", Parse { name: at(12, 0), sql: at(13, 0), types: at(14, 6) }),
            (b'B', b"p\0st\0\0\0\0\0\0\0", Bind { portal: at(12, 1), statement: at(14, 2) }),
            (b'B', b"\0\0\0\0\0\0\0\0", Bind { portal: at(12, 0), statement: at(13, 0) }),
            (b'D', b"Sst\0", DescribeStatement { name: at(13, 2) }),
            (b'D', b"P\0", DescribePortal { name: at(13, 0) }),
            (b'C', b"Sst\0", CloseStatement { name: at(13, 2) }),
            (b'C', b"Pp\0", ClosePortal { name: at(13, 1) }),
            (b'E', b"p\0\0\0\x01\0", Execute { portal: at(12, 1), limit: 256 }),
            (b'S', b"", Sync),
            (b'S', b"more", Sync),
            (b'H', b"", Flush),
            (b'F', b"\0\0\x01\0more", FunctionCall { oid: Some(256) }),
        ];
        for (tag, body, kind) in table {
            assert_eq!(read(tag, body), kind, "{} {body:?}", tag as char);
        }
    }

    #[test]
    fn what_is_malformed_is_not_read() {
        let table: [(u8, &[u8]); 14] = [
            (b'Q', b"select"),
            (b'Q', b"select\0more\0"),
            (b'P', b"s\0select"),
            (b'P', b"s\0select\0\0\x02\0\0\0\x17"),
            (b'B', b"p\0s"),
            (b'D', b"Xs\0"),
            (b'D', b"Ss"),
            (b'D', b""),
            (b'C', b"Ps\0more"),
            (b'E', b"p"),
            (b'E', b"p\0\0\0\0"),
            (b'E', b"p\0\0\0\0\0\0"),
            (b'H', b"more"),
            (b'X', b""),
        ];
        for (tag, body) in table {
            assert_eq!(read(tag, body), MessageKind::Malformed(tag), "{} {body:?}", tag as char);
        }
        assert_eq!(read(b'F', b"\0\0"), MessageKind::FunctionCall { oid: None });
    }

    #[test]
    fn of_a_message_that_has_not_arrived_whole_only_the_names_of_a_bind_are_read() {
        let cut = |tag, body: &[u8]| {
            let whole = frame(tag, &[body, &[0; 100]].concat());
            let message = Message::read(&whole[..HEADER + body.len()], 0).unwrap();
            assert_eq!(message.frame, 0..whole.len());
            assert_eq!(message.of(&whole[..HEADER + body.len()]), &whole[..HEADER + body.len()]);
            message.kind
        };
        for tag in [b'Q', b'P', b'D', b'C', b'E'] {
            assert_eq!(cut(tag, b"s\0t\0"), MessageKind::Cut(tag), "{}", tag as char);
        }
        let names = MessageKind::Bind { portal: at(5, 1), statement: at(7, 1) };
        assert_eq!(cut(b'B', b"s\0t\0"), names);
        assert_eq!(cut(b'B', b"s\0t"), MessageKind::Cut(b'B'));
        assert_eq!(cut(b'F', b"\0\0\0\x07"), MessageKind::FunctionCall { oid: Some(7) });
    }

    #[test]
    fn nothing_stands_behind_the_last_message() {
        let bytes = frame(b'S', b"");
        for start in [1, 5, 6] {
            assert!(Message::read(&bytes, start).is_none());
        }
    }

    /// The message as its kind says it; `None` where the kind says only part of it.
    fn written(message: &Message, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut out = BytesMut::new();
        match message.kind {
            MessageKind::Query { sql } => put_query(&mut out, sql.of(bytes)),
            MessageKind::Parse { name, sql, types } => {
                put_parse(&mut out, name.of(bytes), sql.of(bytes), types.of(bytes));
            }
            MessageKind::DescribeStatement { name } => put_named_statement(&mut out, b'D', name.of(bytes)),
            MessageKind::CloseStatement { name } => put_named_statement(&mut out, b'C', name.of(bytes)),
            MessageKind::DescribePortal { name } => {
                return Some(frame(b'D', &[b"P", name.of(bytes), b"\0"].concat()));
            }
            MessageKind::ClosePortal { name } => {
                return Some(frame(b'C', &[b"P", name.of(bytes), b"\0"].concat()));
            }
            MessageKind::Execute { portal, limit } => {
                return Some(frame(b'E', &[portal.of(bytes), b"\0", &limit.to_be_bytes()].concat()));
            }
            MessageKind::Flush => return Some(frame(b'H', b"")),
            _ => return None,
        }
        Some(out.to_vec())
    }

    proptest! {
        #[test]
        fn messages_lie_end_to_end_and_say_what_was_written(
            messages in prop::collection::vec(
                (
                    prop::sample::select(&b"QPBDCESHF"[..]),
                    prop_oneof![
                        prop::collection::vec(any::<u8>(), 0..12),
                        prop::collection::vec(prop::sample::select(&b"SPa\0\0"[..]), 0..12),
                    ],
                ),
                0..20,
            ),
        ) {
            let bytes = messages.iter().flat_map(|(tag, body)| frame(*tag, body)).collect::<Vec<_>>();
            let mut again = Vec::new();
            while let Some(message) = Message::read(&bytes, again.len()) {
                prop_assert_eq!(message.frame.start, again.len());
                let raw = message.of(&bytes);
                if let Some(written) = written(&message, &bytes) {
                    prop_assert_eq!(&*written, raw);
                }
                again.extend_from_slice(raw);
                prop_assert_eq!(message.frame.end, again.len());
            }
            prop_assert_eq!(again, bytes);
        }
    }
}
