//! What a server says, and how to read it (PostgreSQL manual, 55.7 and 55.8).

use std::{fmt, io};

use super::Key;
use crate::Result;

/// One message from the server. Two are equal when every byte is.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Its type.
    pub tag: u8,
    /// What follows the length.
    pub body: Vec<u8>,
}

/// An ErrorResponse or NoticeResponse: its fields by their one-letter codes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerError {
    fields: Vec<(char, String)>,
}

impl ServerError {
    /// A field by its code (manual, 55.8): `M` message, `D` detail, `P` position ...
    pub fn field(&self, code: char) -> Option<&str> {
        self.fields.iter().find(|(c, _)| *c == code).map(|(_, value)| value.as_str())
    }

    /// All fields in the order in which they came.
    pub fn fields(&self) -> &[(char, String)] {
        &self.fields
    }

    /// The SQLSTATE.
    pub fn sqlstate(&self) -> &str {
        self.field('C').unwrap_or_default()
    }

    /// The message in one line.
    pub fn message(&self) -> &str {
        self.field('M').unwrap_or_default()
    }

    /// ERROR, FATAL, NOTICE ..., not translated.
    pub fn severity(&self) -> &str {
        self.field('V').or_else(|| self.field('S')).unwrap_or_default()
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.severity(), self.sqlstate(), self.message())
    }
}

impl Message {
    /// Takes the first whole message off `received`.
    pub(super) fn take(received: &mut Vec<u8>) -> Result<Option<Self>> {
        let Some((head, _)) = received.split_first_chunk::<5>() else { return Ok(None) };
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        if length < 4 {
            return Err(
                io::Error::new(io::ErrorKind::InvalidData, "a message shorter than its length").into()
            );
        }
        let tag = head[0];
        if received.len() < length + 1 {
            return Ok(None);
        }
        let body = received[5..=length].to_vec();
        received.drain(..=length);
        Ok(Some(Self { tag, body }))
    }

    /// The manual's name of this kind of message.
    pub fn name(&self) -> &'static str {
        match self.tag {
            b'R' => "Authentication",
            b'K' => "BackendKeyData",
            b'2' => "BindComplete",
            b'3' => "CloseComplete",
            b'C' => "CommandComplete",
            b'd' => "CopyData",
            b'c' => "CopyDone",
            b'G' => "CopyInResponse",
            b'H' => "CopyOutResponse",
            b'W' => "CopyBothResponse",
            b'D' => "DataRow",
            b'I' => "EmptyQueryResponse",
            b'E' => "ErrorResponse",
            b'V' => "FunctionCallResponse",
            b'v' => "NegotiateProtocolVersion",
            b'n' => "NoData",
            b'N' => "NoticeResponse",
            b'A' => "NotificationResponse",
            b't' => "ParameterDescription",
            b'S' => "ParameterStatus",
            b'1' => "ParseComplete",
            b's' => "PortalSuspended",
            b'Z' => "ReadyForQuery",
            b'T' => "RowDescription",
            _ => "Unknown",
        }
    }

    /// The error, when this is an ErrorResponse.
    pub fn error(&self) -> Option<ServerError> {
        (self.tag == b'E').then(|| self.report())
    }

    /// The notice, when this is a NoticeResponse.
    pub fn notice(&self) -> Option<ServerError> {
        (self.tag == b'N').then(|| self.report())
    }

    /// Name and value, when this is a ParameterStatus.
    pub fn parameter(&self) -> Option<(String, String)> {
        let mut body = Body(&self.body);
        (self.tag == b'S').then(|| Some((body.string()?, body.string()?)))?
    }

    /// The key, when this is a BackendKeyData.
    pub fn key(&self) -> Option<Key> {
        let (pid, secret) = self.body.split_first_chunk::<4>()?;
        (self.tag == b'K').then(|| Key { pid: u32::from_be_bytes(*pid), secret: secret.to_vec() })
    }

    /// `I`, `T` or `E`, when this is a ReadyForQuery.
    pub fn status(&self) -> Option<char> {
        (self.tag == b'Z').then(|| self.body.first().map(|byte| char::from(*byte)))?
    }

    /// The body up to its first zero as text: the tag of a CommandComplete, for instance.
    pub fn text(&self) -> String {
        Body(&self.body).string().unwrap_or_default()
    }

    /// The columns' names, when this is a RowDescription; else none.
    pub fn columns(&self) -> Vec<String> {
        let mut body = Body(&self.body);
        let n = if self.tag == b'T' { body.int16().unwrap_or(0) } else { 0 };
        let column = |_| {
            let name = body.string();
            // Table, column, type, type's length, type's modifier, format.
            body.skip(4 + 2 + 4 + 2 + 4 + 2);
            name
        };
        (0..n).filter_map(column).collect()
    }

    /// The columns' type OIDs, when this is a RowDescription or ParameterDescription; else none.
    pub fn types(&self) -> Vec<u32> {
        let mut body = Body(&self.body);
        let rows = self.tag == b'T';
        let n = if matches!(self.tag, b'T' | b't') { body.int16().unwrap_or(0) } else { 0 };
        let column = |_| {
            if rows {
                body.string()?;
                body.skip(4 + 2);
            }
            let oid = body.int32();
            if rows {
                body.skip(2 + 4 + 2);
            }
            oid
        };
        (0..n).filter_map(column).collect()
    }

    /// The values, when this is a DataRow; NULL is none.
    pub fn row(&self) -> Vec<Option<Vec<u8>>> {
        let mut body = Body(&self.body);
        let n = if self.tag == b'D' { body.int16().unwrap_or(0) } else { 0 };
        (0..n).map(|_| body.int32().and_then(|length| body.bytes(length))).collect()
    }

    /// The values of a DataRow as text.
    pub fn text_row(&self) -> Vec<Option<String>> {
        let text = |value: Vec<u8>| String::from_utf8_lossy(&value).into_owned();
        self.row().into_iter().map(|value| value.map(text)).collect()
    }

    fn report(&self) -> ServerError {
        let mut body = Body(&self.body);
        let mut fields = Vec::new();
        while let Some(code) = body.byte().filter(|code| *code != 0) {
            fields.push((char::from(code), body.string().unwrap_or_default()));
        }
        ServerError { fields }
    }
}

/// One line, as it stands in a transcript.
impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name();
        match self.tag {
            b'E' | b'N' => write!(f, "{name} {}", self.report()),
            b'C' => write!(f, "{name} {}", self.text()),
            b'Z' => write!(f, "{name} {}", self.status().unwrap_or('?')),
            b'S' => {
                let (parameter, value) = self.parameter().unwrap_or_default();
                write!(f, "{name} {parameter}={value}")
            }
            b'T' => write!(f, "{name} {}", self.columns().join(" ")),
            b't' => write!(f, "{name} {:?}", self.types()),
            b'D' => {
                let values =
                    self.text_row().into_iter().map(|value| value.unwrap_or_else(|| "NULL".to_owned()));
                write!(f, "{name} {}", values.collect::<Vec<_>>().join(" "))
            }
            b'd' => write!(f, "{name} {:?}", String::from_utf8_lossy(&self.body)),
            b'R' => write!(f, "{name} {}", self.body.get(3).copied().unwrap_or(u8::MAX)),
            b'A' => {
                let mut body = Body(self.body.get(4..).unwrap_or_default());
                let (channel, payload) =
                    (body.string().unwrap_or_default(), body.string().unwrap_or_default());
                write!(f, "{name} {channel} {payload}")
            }
            b'K' | b'V' | b'v' | b'G' | b'H' | b'W' => write!(f, "{name} {:02x?}", self.body),
            _ if name == "Unknown" => write!(f, "{name} {:?} {:02x?}", char::from(self.tag), self.body),
            _ => f.write_str(name),
        }
    }
}

/// The same line: a failed comparison of two conversations should be readable.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reads a body from the front; none when it is too short.
struct Body<'a>(&'a [u8]);

impl Body<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn int16(&mut self) -> Option<u16> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u16::from_be_bytes(*first))
    }

    fn int32(&mut self) -> Option<u32> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*first))
    }

    fn bytes(&mut self, length: u32) -> Option<Vec<u8>> {
        // The length of NULL is -1.
        let (first, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(first.to_vec())
    }

    fn string(&mut self) -> Option<String> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        let text = String::from_utf8_lossy(&self.0[..end]).into_owned();
        self.0 = &self.0[end + 1..];
        Some(text)
    }

    fn skip(&mut self, n: usize) {
        self.0 = self.0.get(n..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::Message;

    fn message(tag: u8, body: &[u8]) -> Message {
        Message { tag, body: body.to_vec() }
    }

    #[test]
    fn messages_are_taken_whole_and_one_at_a_time() {
        let mut received = b"Z\0\0\0\x05IC\0\0\0".to_vec();
        assert_eq!(Message::take(&mut received).unwrap(), Some(message(b'Z', b"I")));
        assert_eq!(Message::take(&mut received).unwrap(), None);
        received.extend(b"\x0bSELECT\0");
        assert_eq!(Message::take(&mut received).unwrap(), Some(message(b'C', b"SELECT\0")));
        assert!(received.is_empty());
    }

    #[test]
    fn a_length_below_four_is_an_error() {
        assert!(Message::take(&mut b"Z\0\0\0\x03".to_vec()).is_err());
    }

    #[test]
    fn transcripts_read_like_the_manual() {
        let row = message(b'D', b"\0\x02\0\0\0\x0242\xff\xff\xff\xff");
        assert_eq!(row.to_string(), "DataRow 42 NULL");
        let error = message(b'E', b"SERROR\0VERROR\0C42P01\0Mno such table\0\0");
        assert_eq!(error.to_string(), "ErrorResponse ERROR 42P01 no such table");
        let columns = message(b'T', b"\0\x01id\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0");
        assert_eq!(columns.to_string(), "RowDescription id");
        assert_eq!(columns.types(), [23]);
    }
}
