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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
    use tokio::time::timeout;

    use super::*;

    fn file(name: &str) -> PathBuf {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tmp/follow");
        fs::create_dir_all(&directory).unwrap();
        directory.join(name)
    }

    async fn next(read: &mut UnboundedReceiver<Option<String>>) -> Option<String> {
        timeout(Duration::from_secs(60), read.recv()).await.unwrap().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_is_read_once_for_each_change() {
        let file = file("list");
        fs::write(&file, "first").unwrap();
        let mut watched = Watched::default();
        watched.look_at(&file);
        let (send, mut read) = unbounded_channel();
        let (before, path) = (watched.clone(), file.clone());
        let following = tokio::spawn(follow(watched, move || {
            let looked = before.look_again();
            send.send(fs::read_to_string(&path).ok()).unwrap();
            looked
        }));
        fs::write(&file, "second one").unwrap();
        assert_eq!(next(&mut read).await.as_deref(), Some("second one"));
        // A long time in which nothing changes.
        tokio::time::sleep(20 * LOOK_EVERY).await;
        fs::remove_file(&file).unwrap();
        assert_eq!(next(&mut read).await, None, "that it is gone is a change");
        fs::write(&file, "the third one").unwrap();
        assert_eq!(next(&mut read).await.as_deref(), Some("the third one"));
        assert!(read.try_recv().is_err(), "nothing is read twice");
        following.abort();
    }
}
