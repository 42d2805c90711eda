//! The values that a `Bind` brings, and the types that a `Parse` gives to parameters: where they stand, never what they
//! mean.

use super::HEADER;
use super::request::bind;

/// One value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RawValue<'a> {
    /// Format code: 0 is text, 1 is binary.
    pub(crate) format: u16,
    /// `None` for NULL.
    pub(crate) bytes: Option<&'a [u8]>,
}

/// The values of a `Bind`, in order; `None` unless it is there as a whole and says its formats in a way that a server
/// takes: none for text, one for all, or one for each.
pub(crate) fn values(frame: &[u8]) -> Option<Vec<RawValue<'_>>> {
    let view = bind(frame)?;
    let mut at = HEADER + view.portal.len() + view.statement.len() + 2;
    let formats =
        (0..take_count(frame, &mut at)?).map(|_| take_count(frame, &mut at)).collect::<Option<Vec<_>>>()?;
    let count = take_count(frame, &mut at)?;
    let format = |nth: usize| match &*formats {
        [] => Some(0),
        [all] => Some(*all),
        each if each.len() == count => each.get(nth).copied(),
        _ => None,
    };
    let mut values = Vec::new();
    for nth in 0..count {
        let len = i32::from_be_bytes(*frame.get(at..)?.first_chunk()?);
        at += 4;
        let bytes = match usize::try_from(len) {
            Ok(len) => {
                let bytes = frame.get(at..at.checked_add(len)?)?;
                at += len;
                Some(bytes)
            }
            Err(_) => None,
        };
        values.push(RawValue { format: u16::try_from(format(nth)?).ok()?, bytes });
    }
    // Behind them stand the formats of the result.
    let results = take_count(frame, &mut at)?;
    (at + 2 * results == frame.len()).then_some(values)
}

/// The type of the `nth` parameter, counted from 0, in the raw section of a `Parse`; 0 where the server finds it out.
pub(crate) fn type_of(types: &[u8], nth: usize) -> u32 {
    let at = 2 + 4 * nth;
    types.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |oid| u32::from_be_bytes(*oid))
}

fn take_count(frame: &[u8], at: &mut usize) -> Option<usize> {
    let count = u16::from_be_bytes(*frame.get(*at..)?.first_chunk()?);
    *at += 2;
    Some(usize::from(count))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bound(formats: &[u16], values: &[Option<&[u8]>], results: &[u16]) -> Vec<u8> {
        let codes = |codes: &[u16]| {
            let count = u16::try_from(codes.len()).unwrap().to_be_bytes();
            [count.to_vec(), codes.iter().flat_map(|code| code.to_be_bytes()).collect()].concat()
        };
        let mut body = b"p\0st\0".to_vec();
        body.extend(codes(formats));
        body.extend(u16::try_from(values.len()).unwrap().to_be_bytes());
        for value in values {
            let len = value.map_or(-1, |value| i32::try_from(value.len()).unwrap());
            body.extend(len.to_be_bytes());
            body.extend(value.unwrap_or_default());
        }
        body.extend(codes(results));
        let mut frame = vec![b'B'];
        frame.extend(u32::try_from(body.len() + 4).unwrap().to_be_bytes());
        [frame, body].concat()
    }

    #[test]
    fn values_are_where_they_stand() {
        let of = |formats: &[u16], expected: [u16; 3]| {
            let frame = bound(formats, &[Some(b"one"), None, Some(b"")], &[1]);
            let found = values(&frame).unwrap();
            let bytes = [Some(&b"one"[..]), None, Some(b"")];
            let wanted =
                expected.iter().zip(bytes).map(|(format, bytes)| RawValue { format: *format, bytes });
            assert_eq!(found, wanted.collect::<Vec<_>>(), "{formats:?}");
        };
        of(&[], [0, 0, 0]);
        of(&[1], [1, 1, 1]);
        of(&[0, 1, 0], [0, 1, 0]);
        assert!(values(&bound(&[0, 1], &[None, None, None], &[])).is_none());
        assert_eq!(values(&bound(&[], &[], &[])), Some(Vec::new()));
        let types = [0, 2, 0, 0, 0, 25, 0, 0, 4, 19];
        assert_eq!([0, 1, 2].map(|nth| type_of(&types, nth)), [25, 1043, 0]);
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_within_its_frame(body in prop::collection::vec(0_u8..4, 0..40)) {
            let _ = values(&[b"B\0\0\0\0".to_vec(), body].concat());
        }
    }
}
