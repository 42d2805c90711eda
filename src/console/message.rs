//! What a client of the console says, message by message. Every length is checked. Pure.

use bytes::{Buf, Bytes};

/// A message (manual: "Message Formats").
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Query(Bytes),
    Parse {
        name: Bytes,
        sql: Bytes,
    },
    Bind {
        portal: Bytes,
        statement: Bytes,
        values: usize,
        formats: Vec<i16>,
    },
    DescribeStatement(Bytes),
    DescribePortal(Bytes),
    Execute {
        portal: Bytes,
        limit: usize,
    },
    CloseStatement(Bytes),
    ClosePortal(Bytes),
    Flush,
    Sync,
    Terminate,
    /// Copy data that nobody asked for: PostgreSQL ignores it.
    Nothing,
}

/// Reads a message by its type byte and its body; `None` if it is broken, or none that clients send here.
pub(super) fn read(tag: u8, mut body: Bytes) -> Option<Said> {
    let body = &mut body;
    let said = match tag {
        b'Q' => Said::Query(string(body)?),
        b'P' => {
            let (name, sql) = (string(body)?, string(body)?);
            // What types the client gives parameters does not matter: there are none.
            body.clear();
            Said::Parse { name, sql }
        }
        b'B' => bind(body)?,
        b'D' | b'C' => {
            let kind = body.try_get_u8().ok()?;
            let name = string(body)?;
            match (tag, kind) {
                (b'D', b'S') => Said::DescribeStatement(name),
                (b'D', b'P') => Said::DescribePortal(name),
                (b'C', b'S') => Said::CloseStatement(name),
                (b'C', b'P') => Said::ClosePortal(name),
                _ => return None,
            }
        }
        b'E' => {
            let portal = string(body)?;
            Said::Execute { portal, limit: usize::try_from(body.try_get_i32().ok()?).unwrap_or(0) }
        }
        b'H' => Said::Flush,
        b'S' => Said::Sync,
        b'X' => Said::Terminate,
        b'd' | b'c' | b'f' => {
            body.clear();
            Said::Nothing
        }
        _ => return None,
    };
    body.is_empty().then_some(said)
}

fn bind(body: &mut Bytes) -> Option<Said> {
    let (portal, statement) = (string(body)?, string(body)?);
    for _ in 0..count(body)? {
        body.try_get_i16().ok()?;
    }
    let values = count(body)?;
    for _ in 0..values {
        if let Ok(len) = usize::try_from(body.try_get_i32().ok()?) {
            if len > body.len() {
                return None;
            }
            body.advance(len);
        }
    }
    let formats = (0..count(body)?).map(|_| body.try_get_i16().ok()).collect::<Option<_>>()?;
    Some(Said::Bind { portal, statement, values, formats })
}

fn count(body: &mut Bytes) -> Option<usize> {
    body.try_get_u16().ok().map(usize::from)
}

fn string(body: &mut Bytes) -> Option<Bytes> {
    let end = body.iter().position(|byte| *byte == 0)?;
    let string = body.split_to(end);
    body.advance(1);
    Some(string)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(tag: u8, body: &'static [u8]) -> Option<Said> {
        read(tag, Bytes::from_static(body))
    }

    #[test]
    fn messages_are_read_and_broken_ones_are_not() {
        assert_eq!(said(b'Q', b"SHOW POOLS\0"), Some(Said::Query(Bytes::from_static(b"SHOW POOLS"))));
        assert_eq!(said(b'Q', b"SHOW POOLS"), None);
        assert_eq!(said(b'S', b"x"), None);
        let bound = said(b'B', b"\0s\0\0\x01\0\0\0\x01\0\0\0\x02ab\0\x01\0\x01");
        let expected = Said::Bind {
            portal: Bytes::new(),
            statement: Bytes::from_static(b"s"),
            values: 1,
            formats: vec![1],
        };
        assert_eq!(bound, Some(expected));
        assert_eq!(said(b'B', b"\0s\0\0\0\0\x01\0\0\xff\xffab\0\0"), None, "a value longer than its message");
        assert_eq!(said(b'E', b"\0\0\0\0\x05"), Some(Said::Execute { portal: Bytes::new(), limit: 5 }));
        assert_eq!(said(b'D', b"X\0"), None);
        assert_eq!(said(b'p', b"\0"), None);
    }
}
