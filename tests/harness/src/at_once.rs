//! Cases that wait for different things, held at the same time.

use std::thread;

use crate::Result;

/// Holds all cases at once, each in a thread of its own; the first failure, in the order of the cases.
///
/// # Panics
///
/// When one of them does.
pub fn at_once<T: Send>(
    cases: impl IntoIterator<Item = T>,
    hold: impl Fn(T) -> Result<()> + Sync,
) -> Result<()> {
    let hold = &hold;
    thread::scope(|scope| {
        let held: Vec<_> = cases.into_iter().map(|case| scope.spawn(move || hold(case))).collect();
        held.into_iter().try_for_each(|thread| match thread.join() {
            Ok(held) => held,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })
}
