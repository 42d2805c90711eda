//! Waiting for something to become true.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::{Failure, Result};

/// How often a condition is looked at.
const STEP: Duration = Duration::from_millis(5);

/// Waits until `condition` holds; false when `limit` passed first.
pub fn wait_until(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        sleep(STEP);
    }
}

/// Waits until `attempt` gives a value; its last failure, with what was waited for, when `limit` passed first.
pub fn wait_for<T>(what: &str, limit: Duration, mut attempt: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let end = Instant::now() + limit;
    loop {
        let last = attempt();
        if let Ok(Some(value)) = last {
            return Ok(value);
        }
        if Instant::now() >= end {
            let why = last.err().map(|failure| format!(": {failure}")).unwrap_or_default();
            return Err(Failure::new(format!("waited {limit:?} in vain for {what}{why}")));
        }
        sleep(STEP);
    }
}
