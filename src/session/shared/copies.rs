//! Which copy of weir has given a key to a client: the process ID says it, so that a cancel request which comes to another copy can
//! be passed on, and no two copies give the same process ID.
//!
//! Pure. Of the secret nothing is taken for that: it is all that keeps others from cancelling. A key on its way between copies
//! is one byte longer than those that clients have, and that byte says how often it may be passed on again: where
//! `[[peers]]` lead in a circle, the request ends.

use bytes::{BufMut, BytesMut};

use crate::wire::startup::CancelKey;

/// The least process ID that a client is given. None of a server is as great: Linux gives none above 2^22, whatever
/// `kernel.pid_max` says, and nobody else has that many either.
const FIRST: i32 = (1 << 22) + 1;

/// Where the copy's number stands in a process ID: above what counts its clients.
const SHIFT: u32 = 23;

/// How often a request may be passed on. Once is enough where all copies know each other.
const HOPS: u8 = 3;

/// Lengths of the secrets that weir gives to clients: of protocol 3.0, and of 3.2.
pub(crate) const SECRETS: [usize; 2] = [4, 32];

/// The process ID of a copy's client, by a number that counts up. Without a number of its own a copy has all of them.
pub(crate) fn process_id(copy: Option<u8>, number: i32) -> i32 {
    let number = number & i32::MAX;
    match copy {
        None => FIRST + number % (i32::MAX - FIRST),
        Some(copy) => i32::from(copy) << SHIFT | (FIRST + number % ((1 << SHIFT) - FIRST)),
    }
}

/// The copy that gave a process ID, where all copies have numbers.
pub(crate) fn copy_of(pid: i32) -> u8 {
    u8::try_from((pid & i32::MAX) >> SHIFT).unwrap_or_default()
}

/// The key that a client has, of one that it sent or that another copy has passed on.
pub(crate) fn as_given(key: &CancelKey) -> Option<CancelKey> {
    let secret = key.secret();
    let (_, given) = secret.split_last().filter(|(_, given)| SECRETS.contains(&given.len()))?;
    CancelKey::new(key.pid(), given.to_vec())
}

/// The key as it is passed on to another copy; `None` when it has been passed on too often, or is none that weir has given.
pub(crate) fn passed_on(key: &CancelKey) -> Option<CancelKey> {
    let (secret, hops) = match (key.secret(), key.secret().split_last()) {
        (secret, _) if SECRETS.contains(&secret.len()) => (secret, HOPS),
        (_, Some((hops, given))) if SECRETS.contains(&given.len()) => (given, *hops),
        _ => return None,
    };
    let left = hops.min(HOPS).checked_sub(1)?;
    let mut marked = BytesMut::from(secret);
    marked.put_u8(left);
    CancelKey::new(key.pid(), marked.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_id_names_its_copy_and_is_none_of_a_server() {
        for number in [0, 1, 4_194_302, 4_194_303, i32::MAX, -1, i32::MIN] {
            assert!(process_id(None, number) >= FIRST);
            for copy in [1, 2, 127, 128, 255] {
                let pid = process_id(Some(copy), number);
                assert!(pid >= FIRST, "{copy} {number}: {pid}");
                assert_eq!(copy_of(pid), copy, "{number}: {pid}");
            }
        }
        // So many clients of one copy are told apart.
        assert_ne!(process_id(Some(7), 0), process_id(Some(7), 4_000_000));
    }

    #[test]
    fn a_key_goes_so_far_and_no_farther() {
        for length in SECRETS {
            let given = CancelKey::new(process_id(Some(2), 5), vec![7; length]).unwrap();
            assert_eq!(as_given(&given), None, "it is one");
            let mut key = given.clone();
            for _ in 0..HOPS {
                key = passed_on(&key).unwrap();
                assert_eq!(as_given(&key), Some(given.clone()));
            }
            assert_eq!(passed_on(&key), None);
        }
        // Whoever makes one up gains nothing by a greater number.
        let made_up = CancelKey::new(1, [vec![7; 32], vec![255]].concat()).unwrap();
        assert_eq!(passed_on(&made_up).unwrap().secret().last(), Some(&(HOPS - 1)));
        assert_eq!(passed_on(&CancelKey::new(1, vec![7; 20]).unwrap()), None);
    }
}
