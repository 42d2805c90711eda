//! What is wrong with the files, in words for the one who wrote them: PostgreSQL's, where it would complain as well.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: Arc<Path>,
    /// The line, from 1; of a line that goes on behind a backslash the first.
    pub line: usize,
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where it is; nowhere in particular when a whole file cannot be read.
    pub place: Option<Place>,
    /// What is wrong.
    pub problem: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Place { file, line }) = &self.place {
            write!(f, "{} line {line}: ", file.display())?;
        }
        f.write_str(&self.problem)
    }
}

/// All mistakes of the files.
pub type Mistakes = crate::config::Mistakes<Mistake>;
