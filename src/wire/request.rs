//! Borrowed views into the heads of a client's messages, and the rewriting of the one thing weir changes: a name.
//!
//! Every view takes a frame from its type byte on and never reads past the frame's end. Bind's view also works on
//! the first part of a frame that is still arriving.

use bytes::{BufMut, BytesMut};

use super::HEADER;
use super::frame::cstr;
use super::tag::client;

/// `Terminate`, whole.
pub(crate) const TERMINATE: &[u8] = b"X\0\0\0\x04";

/// `Parse`: a statement's name, its text, and the raw parameter type section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ParseView<'a> {
    /// Statement name; empty for the unnamed one.
    pub(crate) name: &'a [u8],
    /// The SQL text, in the client's encoding.
    pub(crate) sql: &'a [u8],
    /// Count and OIDs of parameter types, as they came.
    pub(crate) types: &'a [u8],
}

/// `Bind`: portal and statement names; what follows is not looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BindView<'a> {
    /// Portal name; empty for the unnamed one.
    pub(crate) portal: &'a [u8],
    /// Statement name; empty for the unnamed one.
    pub(crate) statement: &'a [u8],
}

/// `Execute`: whose rows, and at most how many of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExecuteView<'a> {
    /// Portal name; empty for the unnamed one.
    pub portal: &'a [u8],
    /// Most rows; 0 is all of them.
    pub limit: u32,
}

/// What `Describe` and `Close` name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Named<'a> {
    /// A prepared statement.
    Statement(&'a [u8]),
    /// A portal.
    Portal(&'a [u8]),
}

/// The SQL of a `Query`.
pub(crate) fn query(frame: &[u8]) -> Option<&[u8]> {
    let (sql, end) = cstr(frame, HEADER)?;
    (end == frame.len()).then_some(sql)
}

/// The view of a `Parse`.
pub(crate) fn parse(frame: &[u8]) -> Option<ParseView<'_>> {
    let (name, at) = cstr(frame, HEADER)?;
    let (sql, at) = cstr(frame, at)?;
    let types = frame.get(at..)?;
    let count = usize::from(u16::from_be_bytes(*types.first_chunk()?));
    (types.len() == 2 + 4 * count).then_some(ParseView { name, sql, types })
}

/// The view of a `Bind`, whole or its first part.
pub(crate) fn bind(frame: &[u8]) -> Option<BindView<'_>> {
    let (portal, at) = cstr(frame, HEADER)?;
    let (statement, _) = cstr(frame, at)?;
    Some(BindView { portal, statement })
}

/// Whether a whole `Bind` brings no values, and says so in the only way that no server refuses.
pub(crate) fn binds_nothing(frame: &[u8]) -> bool {
    let counted =
        |at: usize| frame.get(at..at + 2).map(|count| usize::from(u16::from_be_bytes([count[0], count[1]])));
    let behind = || {
        let view = bind(frame)?;
        let formats = HEADER + view.portal.len() + view.statement.len() + 2;
        let values = formats + 2 + 2 * counted(formats).filter(|count| *count <= 1)?;
        let results = values + 2;
        (counted(values)? == 0).then_some(results + 2 + 2 * counted(results)?)
    };
    behind() == Some(frame.len())
}

/// The view of a `Describe` or `Close`.
pub(crate) fn named(frame: &[u8]) -> Option<Named<'_>> {
    let (name, end) = cstr(frame, HEADER + 1)?;
    match (frame.get(HEADER)?, end == frame.len()) {
        (b'S', true) => Some(Named::Statement(name)),
        (b'P', true) => Some(Named::Portal(name)),
        _ => None,
    }
}

/// The view of an `Execute`.
pub(crate) fn execute(frame: &[u8]) -> Option<ExecuteView<'_>> {
    let (portal, at) = cstr(frame, HEADER)?;
    let limit = frame.get(at..)?.try_into().ok().map(u32::from_be_bytes)?;
    Some(ExecuteView { portal, limit })
}

/// Writes a `Parse`.
pub(crate) fn put_parse(out: &mut BytesMut, name: &[u8], sql: &[u8], types: &[u8]) {
    out.put_u8(client::PARSE);
    put_len(out, name.len() + sql.len() + 2 + types.len());
    put_cstr(out, name);
    put_cstr(out, sql);
    out.put_slice(types);
}

/// Writes a `Describe` or `Close` of a statement.
pub(crate) fn put_named_statement(out: &mut BytesMut, tag: u8, name: &[u8]) {
    out.put_u8(tag);
    put_len(out, name.len() + 2);
    out.put_u8(b'S');
    put_cstr(out, name);
}

/// Writes a `Bind` whose statement name is replaced. `first` is the frame, or as much of it as has arrived; its header
/// tells the length of the whole, and what is missing may follow untouched.
pub(crate) fn put_bind(out: &mut BytesMut, first: &[u8], view: &BindView<'_>, statement: &[u8]) {
    let whole = super::header(first).and_then(Result::ok).map_or(first.len(), |h| h.len);
    let head = HEADER + view.portal.len() + 1 + view.statement.len() + 1;
    out.put_u8(client::BIND);
    put_len(out, whole - HEADER - view.statement.len() + statement.len());
    put_cstr(out, view.portal);
    put_cstr(out, statement);
    out.put_slice(first.get(head..).unwrap_or_default());
}

/// Writes the `Bind` of a frame anew, as one of a portal and a statement that have both this name, and runs the portal and
/// closes it.
pub(crate) fn put_bound_run(out: &mut BytesMut, frame: &[u8], view: &BindView<'_>, name: &[u8]) {
    let values = frame.get(HEADER + view.portal.len() + view.statement.len() + 2..).unwrap_or_default();
    out.put_u8(client::BIND);
    put_len(out, 2 * (name.len() + 1) + values.len());
    put_cstr(out, name);
    put_cstr(out, name);
    out.put_slice(values);
    put_execute(out, name);
    put_close_portal(out, name);
}

/// Writes a `Close` of a portal.
pub(crate) fn put_close_portal(out: &mut BytesMut, name: &[u8]) {
    out.put_u8(client::CLOSE);
    put_len(out, name.len() + 2);
    out.put_u8(b'P');
    put_cstr(out, name);
}

/// Writes the `Parse`, `Bind` and `Execute` of a statement without parameters, which and whose portal have this name.
pub(crate) fn put_run(out: &mut BytesMut, name: &[u8], sql: &[u8]) {
    put_parse(out, name, sql, &[0, 0]);
    put_bind_plain(out, name, name);
    put_execute(out, name);
}

/// Writes a `Bind` without parameters, all results as text.
fn put_bind_plain(out: &mut BytesMut, portal: &[u8], statement: &[u8]) {
    out.put_u8(client::BIND);
    put_len(out, portal.len() + statement.len() + 2 + 6);
    put_cstr(out, portal);
    put_cstr(out, statement);
    // No formats of parameters, no parameters, no formats of results.
    out.put_slice(&[0; 6]);
}

/// Writes an `Execute` without a limit.
fn put_execute(out: &mut BytesMut, portal: &[u8]) {
    out.put_u8(client::EXECUTE);
    put_len(out, portal.len() + 1 + 4);
    put_cstr(out, portal);
    out.put_u32(0);
}

/// Writes a simple `Query`.
pub(crate) fn put_query(out: &mut BytesMut, sql: &[u8]) {
    out.put_u8(client::QUERY);
    put_len(out, sql.len() + 1);
    put_cstr(out, sql);
}

/// Writes a `CopyFail`.
pub(crate) fn put_copy_fail(out: &mut BytesMut, reason: &[u8]) {
    out.put_u8(client::COPY_FAIL);
    put_len(out, reason.len() + 1);
    put_cstr(out, reason);
}

/// Writes a message without a body, such as `Sync`.
pub(crate) fn put_bare(out: &mut BytesMut, tag: u8) {
    out.put_u8(tag);
    put_len(out, 0);
}

fn put_len(out: &mut BytesMut, body: usize) {
    // A frame of the longest kind is under 2^30, and names are bounded: the sum fits.
    out.put_u32(u32::try_from(body + 4).unwrap_or(u32::MAX));
}

fn put_cstr(out: &mut BytesMut, text: &[u8]) {
    out.put_slice(text);
    out.put_u8(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(tag: u8, body: &[u8]) -> BytesMut {
        let mut out = BytesMut::new();
        out.put_u8(tag);
        put_len(&mut out, body.len());
        out.put_slice(body);
        out
    }

    #[test]
    fn a_parse_is_read_and_written() {
        let mut out = BytesMut::new();
        put_parse(&mut out, b"s1", b"select $1", b"\0\x01\0\0\0\x17");
        let view = parse(&out).unwrap();
        assert_eq!(
            (view.name, view.sql, view.types),
            (&b"s1"[..], &b"select $1"[..], &b"\0\x01\0\0\0\x17"[..])
        );
    }

    #[test]
    fn a_string_that_runs_past_its_frame_is_refused() {
        assert_eq!(parse(&frame(b'P', b"s1\0select")), None);
        assert_eq!(parse(&frame(b'P', b"s1\0select\0\0\x02\0\0\0\x17")), None);
        assert_eq!(query(&frame(b'Q', b"select")), None);
        assert_eq!(query(&frame(b'Q', b"select\0more\0")), None);
        assert_eq!(named(&frame(b'D', b"Xs1\0")), None);
        assert_eq!(named(&frame(b'D', b"")), None);
        assert_eq!(bind(&frame(b'B', b"p\0s")), None);
    }

    #[test]
    fn a_statement_of_our_own_is_bound_run_and_closed() {
        let mut out = BytesMut::new();
        put_bind_plain(&mut out, b"p", b"s");
        assert_eq!(out.split(), frame(b'B', b"p\0s\0\0\0\0\0\0\0"));
        put_execute(&mut out, b"p");
        assert_eq!(execute(&out), Some(ExecuteView { portal: b"p", limit: 0 }));
        assert_eq!(out.split(), frame(b'E', b"p\0\0\0\0\0"));
        put_close_portal(&mut out, b"p");
        assert_eq!(named(&out), Some(Named::Portal(b"p")));
    }

    #[test]
    fn a_bind_gets_another_statement_name() {
        let original = frame(b'B', b"p\0s1\0\0\0\0\0\0\0");
        let view = bind(&original).unwrap();
        let mut out = BytesMut::new();
        put_bind(&mut out, &original, &view, b"longer");
        assert_eq!(&out[..], &frame(b'B', b"p\0longer\0\0\0\0\0\0\0")[..]);
        // The first part of a frame gives the same head.
        let mut part = BytesMut::new();
        let first = &original[..12];
        put_bind(&mut part, first, &bind(first).unwrap(), b"longer");
        part.extend_from_slice(&original[12..]);
        assert_eq!(part, out);
    }
}
