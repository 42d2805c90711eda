//! Every message that weir itself writes to clients, appended to the caller's buffer.
//!
//! The messages are pgwire's structs, used for encoding only. What is relayed from a server never passes here,
//! with one exception: [`parameter_status`] repeats a server's bytes, which need not be UTF-8, and is framed here.
//!
//! PostgreSQL manual: "Message Formats".

use bytes::{BufMut, Bytes, BytesMut};
use pgwire::messages::Message;
use pgwire::messages::data::{DataRow, FORMAT_CODE_TEXT, FieldDescription, RowDescription};
use pgwire::messages::response::{CommandComplete, ErrorResponse, NoticeResponse, ReadyForQuery};
use pgwire::messages::startup::{Authentication, BackendKeyData, NegotiateProtocolVersion, SecretKey};

use super::startup::CancelKey;
use super::tag::server;

pub use pgwire::messages::response::TransactionStatus;

/// ParseComplete, whole.
pub(crate) const PARSE_COMPLETE: &[u8] = b"1\0\0\0\x04";

/// CloseComplete, whole.
pub(crate) const CLOSE_COMPLETE: &[u8] = b"3\0\0\0\x04";

/// BindComplete, whole.
pub(crate) const BIND_COMPLETE: &[u8] = b"2\0\0\0\x04";

/// NoData, whole.
pub(crate) const NO_DATA: &[u8] = b"n\0\0\0\x04";

/// EmptyQueryResponse, whole.
pub(crate) const EMPTY_QUERY: &[u8] = b"I\0\0\0\x04";

/// PortalSuspended, whole.
pub(crate) const PORTAL_SUSPENDED: &[u8] = b"s\0\0\0\x04";

/// ParameterDescription of a statement without parameters, whole.
pub(crate) const NO_PARAMETERS: &[u8] = b"t\0\0\0\x06\0\0";

/// The type `text` (pg_type.oid 25).
const TEXT_OID: u32 = 25;

/// How bad a report is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    /// The request failed; the session goes on.
    Error,
    /// The session ends.
    Fatal,
}

impl Severity {
    fn word(self) -> &'static str {
        match self {
            Severity::Error => "ERROR",
            Severity::Fatal => "FATAL",
        }
    }
}

/// What an ErrorResponse says (manual: "Error and Notice Message Fields").
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report<'a> {
    /// How bad it is.
    pub(crate) severity: Severity,
    /// SQLSTATE.
    pub(crate) code: &'a str,
    /// One sentence.
    pub(crate) message: &'a str,
    /// More, when there is more to say.
    pub(crate) detail: Option<&'a str>,
    /// What to do about it.
    pub(crate) hint: Option<&'a str>,
}

impl<'a> Report<'a> {
    /// A report without detail and hint.
    pub(crate) fn new(severity: Severity, code: &'a str, message: &'a str) -> Self {
        Self { severity, code, message, detail: None, hint: None }
    }

    fn fields(&self) -> Vec<(u8, String)> {
        let severity = self.severity.word();
        let mut fields = vec![
            (b'S', severity.to_owned()),
            // The same word, never translated: drivers go by this one.
            (b'V', severity.to_owned()),
            (b'C', text(self.code)),
            (b'M', text(self.message)),
        ];
        fields.extend(self.detail.map(|detail| (b'D', text(detail))));
        fields.extend(self.hint.map(|hint| (b'H', text(hint))));
        fields
    }
}

/// ErrorResponse.
pub(crate) fn error(out: &mut BytesMut, report: &Report<'_>) {
    put(out, &ErrorResponse::new(report.fields()));
}

/// NoticeResponse.
pub(crate) fn notice(out: &mut BytesMut, message: &str, detail: Option<&str>) {
    let mut fields: Vec<_> = [(b'S', "NOTICE"), (b'V', "NOTICE"), (b'C', "00000")]
        .map(|(code, word)| (code, word.to_owned()))
        .into();
    fields.push((b'M', text(message)));
    fields.extend(detail.map(|detail| (b'D', text(detail))));
    put(out, &NoticeResponse::new(fields));
}

/// What PostgreSQL says when a prepared statement's result has changed; drivers know it by the routine as well.
pub(crate) fn outdated() -> Vec<u8> {
    let fields = b"SERROR\0VERROR\0C0A000\0Mcached plan must not change result type\0Fplancache.c\0RRevalidateCachedQuery\0\0";
    let mut frame = vec![server::ERROR];
    frame.extend(u32::try_from(fields.len() + 4).unwrap_or_default().to_be_bytes());
    frame.extend(fields);
    frame
}

/// AuthenticationOk.
pub(crate) fn authentication_ok(out: &mut BytesMut) {
    put(out, &Authentication::Ok);
}

/// AuthenticationCleartextPassword.
pub(crate) fn authentication_password(out: &mut BytesMut) {
    put(out, &Authentication::CleartextPassword);
}

/// AuthenticationMD5Password.
pub(crate) fn authentication_md5(out: &mut BytesMut, salt: [u8; 4]) {
    put(out, &Authentication::MD5Password(salt.to_vec()));
}

/// AuthenticationSASL: the mechanisms on offer.
pub(crate) fn authentication_sasl(out: &mut BytesMut, mechanisms: &[&str]) {
    put(out, &Authentication::SASL(mechanisms.iter().map(|m| text(m)).collect()));
}

/// AuthenticationSASLContinue: a challenge.
pub(crate) fn authentication_sasl_continue(out: &mut BytesMut, challenge: &str) {
    put(out, &Authentication::SASLContinue(Bytes::copy_from_slice(challenge.as_bytes())));
}

/// AuthenticationSASLFinal: the server's own proof.
pub(crate) fn authentication_sasl_final(out: &mut BytesMut, outcome: &str) {
    put(out, &Authentication::SASLFinal(Bytes::copy_from_slice(outcome.as_bytes())));
}

/// ParameterStatus. Neither name nor value may hold a zero byte; they come from C strings.
pub fn parameter_status(out: &mut BytesMut, name: &[u8], value: &[u8]) {
    let length = u32::try_from(4 + name.len() + 1 + value.len() + 1).unwrap_or(u32::MAX);
    out.put_u8(b'S');
    out.put_u32(length);
    out.put_slice(name);
    out.put_u8(0);
    out.put_slice(value);
    out.put_u8(0);
}

/// BackendKeyData.
pub fn backend_key_data(out: &mut BytesMut, key: &CancelKey) {
    let secret = SecretKey::Bytes(Bytes::copy_from_slice(key.secret()));
    put(out, &BackendKeyData::new(key.pid(), secret));
}

/// NegotiateProtocolVersion: the minor of protocol 3 that is spoken, and the `_pq_.` options that are not known.
///
/// The manual calls the number the minor version; PostgreSQL sends, and libpq expects, the whole version.
pub(crate) fn negotiate_protocol_version(out: &mut BytesMut, minor: u16, unknown_options: Vec<String>) {
    put(out, &NegotiateProtocolVersion::new(3 << 16 | i32::from(minor), unknown_options));
}

/// ReadyForQuery.
pub fn ready_for_query(out: &mut BytesMut, status: TransactionStatus) {
    put(out, &ReadyForQuery::new(status));
}

/// CommandComplete, with a tag such as `SELECT 3`.
pub fn command_complete(out: &mut BytesMut, tag: &str) {
    put(out, &CommandComplete::new(text(tag)));
}

/// RowDescription of columns that are all `text`, in text format.
pub fn row_description(out: &mut BytesMut, columns: &[&str]) {
    typed_row_description(out, columns.iter().map(|name| (*name, TEXT_OID, FORMAT_CODE_TEXT)));
}

/// RowDescription of columns with their types and formats.
pub(crate) fn typed_row_description<'a>(
    out: &mut BytesMut,
    columns: impl Iterator<Item = (&'a str, u32, i16)>,
) {
    let column = |(name, oid, format)| {
        let size = match oid {
            20 => 8,
            23 => 4,
            _ => -1,
        };
        FieldDescription::new(text(name), 0, 0, oid, size, -1, format)
    };
    put(out, &RowDescription::new(columns.map(column).collect()));
}

/// DataRow of text values; `None` is NULL. Rows have at most a few dozen columns here (the protocol's limit is
/// 32767).
pub fn data_row(out: &mut BytesMut, values: &[Option<&str>]) {
    let values: Vec<_> = values.iter().map(|value| value.map(str::as_bytes)).collect();
    row_of_bytes(out, &values);
}

/// DataRow of values that are in their columns' formats.
pub(crate) fn row_of_bytes(out: &mut BytesMut, values: &[Option<impl AsRef<[u8]>>]) {
    let mut data = BytesMut::new();
    for value in values {
        match value {
            Some(value) => {
                let value = value.as_ref();
                data.put_i32(i32::try_from(value.len()).unwrap_or(i32::MAX));
                data.put_slice(value);
            }
            None => data.put_i32(-1),
        }
    }
    put(out, &DataRow::new(data, i16::try_from(values.len()).unwrap_or(i16::MAX)));
}

/// Text for a C string: what stands before the first zero byte, so that no field can pose as the next one.
fn text(text: &str) -> String {
    text.split('\0').next().unwrap_or_default().to_owned()
}

/// pgwire writes the type byte before it looks at the length; what it gives up half-way must not stay in the
/// client's stream. Its limits (30 kB for the small messages) are far beyond anything that is built here.
fn put(out: &mut BytesMut, message: &impl Message) {
    let start = out.len();
    let encoded = message.encode(out);
    debug_assert!(encoded.is_ok(), "{encoded:?}");
    if encoded.is_err() {
        out.truncate(start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Header, header, scan};

    fn written(write: impl FnOnce(&mut BytesMut)) -> Vec<u8> {
        let mut out = BytesMut::new();
        write(&mut out);
        out.to_vec()
    }

    #[test]
    fn errors_carry_both_severities_and_end_with_a_zero() {
        let report = Report {
            detail: Some("more"),
            hint: Some("do"),
            ..Report::new(Severity::Fatal, "28P01", "no\0Cbad")
        };
        let body = b"SFATAL\0VFATAL\0C28P01\0Mno\0Dmore\0Hdo\0\0";
        let mut expected = vec![b'E', 0, 0, 0, 4 + body.len() as u8];
        expected.extend_from_slice(body);
        assert_eq!(written(|out| error(out, &report)), expected);
    }

    #[test]
    fn authentication_messages() {
        assert_eq!(written(authentication_ok), b"R\0\0\0\x08\0\0\0\0");
        assert_eq!(
            written(|out| authentication_sasl(out, &["SCRAM-SHA-256"])),
            b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0"
        );
        assert_eq!(written(authentication_password), b"R\0\0\0\x08\0\0\0\x03");
        assert_eq!(written(|out| authentication_md5(out, *b"salt")), b"R\0\0\0\x0c\0\0\0\x05salt");
        assert_eq!(written(|out| authentication_sasl_continue(out, "r=x")), b"R\0\0\0\x0b\0\0\0\x0br=x");
        assert_eq!(written(|out| authentication_sasl_final(out, "v=y")), b"R\0\0\0\x0b\0\0\0\x0cv=y");
    }

    #[test]
    fn session_messages() {
        assert_eq!(
            written(|out| parameter_status(out, b"search_path", b"caf\xe9")),
            b"S\0\0\0\x15search_path\0caf\xe9\0"
        );
        assert_eq!(written(|out| ready_for_query(out, TransactionStatus::Error)), b"Z\0\0\0\x05E");
        assert_eq!(written(|out| command_complete(out, "SHOW")), b"C\0\0\0\x09SHOW\0");
        let outdated = outdated();
        assert_eq!(header(&outdated), Some(Ok(Header { tag: b'E', len: outdated.len() })));
        assert_eq!(scan::field(&outdated, b'R'), Some(&b"RevalidateCachedQuery"[..]));
    }

    #[test]
    fn keys_of_every_length() {
        for length in [4, 32, 256] {
            let key = CancelKey::new(0x01020304, vec![7; length]).unwrap();
            let bytes = written(|out| backend_key_data(out, &key));
            assert_eq!(bytes[..5], [b"K".as_slice(), &(8 + length as u32).to_be_bytes()].concat());
            assert_eq!(bytes[5..9], [1, 2, 3, 4]);
            assert_eq!(bytes[9..], vec![7; length]);
        }
    }

    #[test]
    fn version_negotiation_names_the_whole_version() {
        assert_eq!(
            written(|out| negotiate_protocol_version(out, 2, vec!["_pq_.x".to_owned()])),
            b"v\0\0\0\x13\0\x03\0\x02\0\0\0\x01_pq_.x\0"
        );
    }

    #[test]
    fn rows_of_text() {
        assert_eq!(
            written(|out| row_description(out, &["a"])),
            b"T\0\0\0\x1a\0\x01a\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0"
        );
        assert_eq!(
            written(|out| data_row(out, &[Some("xy"), None])),
            b"D\0\0\0\x10\0\x02\0\0\0\x02xy\xff\xff\xff\xff"
        );
    }
}
