//! The rules of pg_hba.conf while weir runs: read at the start, and anew when it is told to or when a file changes.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use crate::config::{HbaFiles, Watched};
use crate::hba::{self, Mistakes, Paths, Rules};

/// How often the files are looked at. A change holds when two looks have found the same: an editor may still write.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The rules that hold now, where there are any.
pub(super) type Current = Arc<ArcSwapOption<Rules>>;

/// The files, and how they looked when they were read.
pub(super) struct Files {
    paths: Paths,
    watched: Watched,
}

/// Reads the files for the first time.
pub(super) fn load(files: Option<&HbaFiles>) -> Result<(Current, Option<Files>), Mistakes> {
    let Some(files) = files else { return Ok((Current::default(), None)) };
    let paths = Paths::from(files);
    let (rules, watched) = hba::load(&paths);
    let rules = rules?;
    warn(&rules);
    Ok((Arc::new(ArcSwapOption::from_pointee(rules)), Some(Files { paths, watched })))
}

/// Keeps the rules in step with the files, for ever. Files with a mistake change nothing: what held before holds on.
pub(super) async fn follow(current: Current, files: Files, mut told: watch::Receiver<u64>) {
    let Files { paths, mut watched } = files;
    let mut looked = watched.clone();
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let due = tokio::select! {
            _ = ticks.tick() => {
                let before = looked.clone();
                let Ok(now) = spawn_blocking(move || before.look_again()).await else { continue };
                let settled = now == looked;
                looked = now;
                settled && looked != watched
            }
            // When nobody can tell any more, there is still the change of a file.
            Ok(()) = told.changed() => true,
        };
        if due {
            let again = paths.clone();
            let Ok((rules, read)) = spawn_blocking(move || hba::load(&again)).await else { continue };
            (watched, looked) = (read.clone(), read);
            replace(&current, rules);
        }
    }
}

fn replace(current: &Current, rules: Result<Rules, Mistakes>) {
    match rules {
        Ok(rules) => {
            warn(&rules);
            current.store(Some(Arc::new(rules)));
            tracing::info!("hba_file was read anew, and holds for new clients");
        }
        Err(mistakes) => {
            mistakes.list.iter().for_each(|mistake| tracing::error!("{mistake}"));
            tracing::error!(
                mistakes = mistakes.list.len(),
                "hba_file was read anew, and not taken: what it said before holds on"
            );
        }
    }
}

fn warn(rules: &Rules) {
    rules.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
}
