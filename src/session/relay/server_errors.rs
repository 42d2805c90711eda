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

/// An ErrorResponse or NoticeResponse in which the client's names for its statements stand in the place of weir's, which
/// `name_of` finds. None where it speaks of none.
pub(crate) fn in_clients_names<'a>(
    frame: &[u8],
    name_of: impl Fn(&[u8]) -> Option<&'a [u8]>,
) -> Option<Vec<u8>> {
    const BEGIN: &[u8] = b"weir_";
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let (mut out, mut taken, mut at) = (Vec::new(), 0, HEADER);
    while let Some(found) = frame.get(at..)?.windows(BEGIN.len()).position(|window| window == BEGIN) {
        let start = at + found;
        let rest = &frame[start..];
        let end = start + rest.iter().position(|byte| !is_word(byte)).unwrap_or(rest.len());
        at = end;
        // A field's first byte says which it is.
        let begins = frame.get(start - 1).is_none_or(|before| !is_word(before));
        if let Some(name) = name_of(&frame[start..end]).filter(|_| begins) {
            out.extend_from_slice(&frame[taken..start]);
            out.extend_from_slice(name);
            taken = end;
        }
    }
    if taken == 0 {
        return None;
    }
    out.extend_from_slice(frame.get(taken..)?);
    let len = u32::try_from(out.len() - 1).unwrap_or(u32::MAX).to_be_bytes();
    out.get_mut(1..HEADER)?.copy_from_slice(&len);
    Some(out)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_names_in_a_message_are_the_clients() {
        let frame = |text: &str| {
            let len = u32::try_from(text.len() + 5).unwrap().to_be_bytes();
            [b"E", &len[..], text.as_bytes(), b"\0"].concat()
        };
        let name_of = |name: &[u8]| (name == b"weir_7_9").then_some(&b"S_1"[..]);
        let renamed = |text| in_clients_names(&frame(text), name_of);
        let said =
            "SERROR\0Mprepared statement \"weir_7_9\" is not \"weir_7_8\"\0Hexecute weir_7_9: select\0";
        let told = "SERROR\0Mprepared statement \"S_1\" is not \"weir_7_8\"\0Hexecute S_1: select\0";
        assert_eq!(renamed(said), Some(frame(told)));
        for other in ["SERROR\0Mmy_weir_7_9\0", "SERROR\0Mweir_7_99\0", "SERROR\0Mnothing\0", ""] {
            assert_eq!(renamed(other), None, "{other}");
        }
    }
}
