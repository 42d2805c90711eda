//! Free TCP ports.

use std::hash::{BuildHasher, RandomState};
use std::net::TcpListener;

use crate::{Failure, Result};

/// Below Linux's range for outgoing connections (32768 and up): otherwise the port of a server that a test
/// stopped could be taken by somebody's outgoing connection before the test starts it again.
const RANGE: std::ops::Range<u64> = 10_000..32_000;

/// A port of the loopback address on which nobody listens now.
///
/// Somebody else may take it before it is used; whoever starts a server on it must be ready to try another.
pub fn free_port() -> Result<u16> {
    for attempt in 0..1000u32 {
        let offset = RandomState::new().hash_one(attempt) % (RANGE.end - RANGE.start);
        let port = u16::try_from(RANGE.start + offset).map_err(|e| Failure::new(e.to_string()))?;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    Err(Failure::new("no free port between 10000 and 32000"))
}
