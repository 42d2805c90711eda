//! What a server's errors and descriptions say about statements.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::wire::frame::cstr;
use crate::wire::{HEADER, scan};

/// Errors after which the primary might answer differently than the replica that gave them: it only reads, it is
/// behind, it gives way to replay, or it is going away.
pub(crate) fn primary_may_differ(sqlstate: &[u8]) -> bool {
    matches!(
        sqlstate,
        b"25006"
            | b"55000"
            | b"0A000"
            | b"40001"
            | b"40P01"
            | b"57P01"
            | b"57P02"
            | b"57P03"
            | b"57P04"
            | b"42P01"
            | b"42703"
            | b"42883"
            | b"42704"
            | b"3F000"
            | b"XX000"
            | b"26000"
    )
}

/// "cached plan must not change result type", a lost type or relation, or a statement the server does not know.
pub(crate) fn is_stale_plan(sqlstate: &[u8], frame: &[u8]) -> bool {
    let message = scan::field(frame, b'M').unwrap_or_default();
    let has = |text: &[u8]| message.windows(text.len()).any(|window| window == text);
    match sqlstate {
        b"0A000" => scan::field(frame, b'R') == Some(b"RevalidateCachedQuery"),
        b"XX000" => has(b"cache lookup failed"),
        b"26000" => has(b"\"weir_"),
        _ => false,
    }
}

/// A number for the columns in a RowDescription: names, types and modifiers, but not the tables that they come from,
/// which PostgreSQL does not compare either (`RevalidateCachedQuery`). NoData has one too.
pub(crate) fn fingerprint(frame: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    let mut at = HEADER + 2;
    while let Some((name, end)) = cstr(frame, at) {
        let Some(rest) = frame.get(end..end + 18) else { break };
        (name, &rest[6..16]).hash(&mut hasher);
        at = end + 18;
    }
    at.hash(&mut hasher);
    hasher.finish()
}

/// A number for the parameter types in a ParameterDescription.
pub(crate) fn fingerprint_of_types(frame: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    frame.get(HEADER..).hash(&mut hasher);
    hasher.finish()
}

/// An ErrorResponse in which the client's name for a statement stands in the place of the server's.
pub(crate) fn renamed(frame: &[u8], name: &[u8], client: &[u8]) -> Vec<u8> {
    let Some(at) = frame.windows(name.len()).position(|window| window == name) else { return frame.to_vec() };
    let mut out = frame[..at].to_vec();
    out.extend_from_slice(client);
    out.extend_from_slice(&frame[at + name.len()..]);
    let len = u32::try_from(out.len() - 1).unwrap_or(u32::MAX).to_be_bytes();
    out[1..5].copy_from_slice(&len);
    out
}
