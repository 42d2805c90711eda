//! The rules of pg_hba.conf while weir runs: read at the start, and anew when a file changes or the configuration is
//! read anew.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

use crate::config::{HbaFiles, Watched};
use crate::hba::{self, Mistakes, Rules};

/// The rules that hold now, where there are any.
pub(super) type Current = Arc<ArcSwapOption<Rules>>;

/// The files, and how they looked when they were read.
#[derive(Clone)]
pub(super) struct Files {
    pub(super) paths: HbaFiles,
    pub(super) watched: Watched,
}

/// Rules that have been read, where the configuration has any, and where they were read from.
pub(super) struct Read {
    pub(super) rules: Option<Rules>,
    pub(super) files: Option<Files>,
}

/// Reads the files. Blocks.
pub(super) fn read(files: Option<&HbaFiles>) -> Result<Read, Mistakes> {
    let Some(paths) = files.cloned() else { return Ok(Read { rules: None, files: None }) };
    let (rules, watched) = hba::load(&paths);
    Ok(Read { rules: Some(rules?), files: Some(Files { paths, watched }) })
}

/// These are the rules from now on, for new clients.
pub(super) fn take(current: &Current, rules: Option<Rules>) {
    rules.iter().for_each(warn);
    current.store(rules.map(Arc::new));
}

/// Reads the files anew, and says how they looked. Files with a mistake change nothing: what held before holds on. Blocks.
pub(super) fn reload(current: &Current, paths: &HbaFiles) -> Watched {
    let (rules, watched) = hba::load(paths);
    match rules {
        Ok(rules) => {
            take(current, Some(rules));
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
    watched
}

fn warn(rules: &Rules) {
    rules.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
}
