//! The rules of pg_hba.conf while weir runs: read at the start, and anew when it is told to or when a file changes.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

use crate::config::{HbaFiles, Watched};
use crate::hba::{self, Mistakes, Rules};

/// The rules that hold now, where there are any.
pub(super) type Current = Arc<ArcSwapOption<Rules>>;

/// The files, and how they looked when they were read.
pub(super) struct Files {
    pub(super) paths: HbaFiles,
    pub(super) watched: Watched,
}

/// Reads the files for the first time.
pub(super) fn load(files: Option<&HbaFiles>) -> Result<(Current, Option<Files>), Mistakes> {
    let Some(files) = files else { return Ok((Current::default(), None)) };
    let paths = files.clone();
    let (rules, watched) = hba::load(&paths);
    let rules = rules?;
    warn(&rules);
    Ok((Arc::new(ArcSwapOption::from_pointee(rules)), Some(Files { paths, watched })))
}

/// Reads the files anew, and says how they looked. Files with a mistake change nothing: what held before holds on. Blocks.
pub(super) fn reload(current: &Current, paths: &HbaFiles) -> Watched {
    let (rules, watched) = hba::load(paths);
    replace(current, rules);
    watched
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
