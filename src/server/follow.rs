//! Reading files anew while weir runs, when one of them changes.

use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use crate::config::Watched;

/// How often the files are looked at. A change holds when two looks have found the same: an editor may still write.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Calls `read`, which may block and says how the files looked before it read them, whenever they are to be read; for ever.
/// `watched` is how they looked when they were read first.
pub(super) async fn follow(mut watched: Watched, read: impl Fn() -> Watched + Clone + Send + 'static) {
    let mut looked = watched.clone();
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let before = looked.clone();
        let Ok(now) = spawn_blocking(move || before.look_again()).await else { continue };
        let settled = now == looked;
        looked = now;
        if settled && looked != watched {
            let Ok(read) = spawn_blocking(read.clone()).await else { continue };
            (watched, looked) = (read.clone(), read);
        }
    }
}
