//! What is wrong with a configuration, in words for the one who wrote it. Never holds a secret's text.

use std::fmt;
use std::path::{Path, PathBuf};

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A line of the file, counted from 1.
    Line(usize),
    /// An environment variable, by its name.
    Variable(String),
    /// The file as a whole, or something that is missing from it.
    File,
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Path of the key, such as `servers[1].port`; empty when the file cannot be read as TOML at all.
    pub key: String,
    /// What is wrong, and what would be right.
    pub problem: String,
    /// Where it was written.
    pub place: Place,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Line(line) => write!(f, "line {line}: ")?,
            Place::Variable(name) => write!(f, "{name}: ")?,
            Place::File => {}
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.problem)
    }
}

/// All mistakes of a file that an operator has written, and of those that it leads to, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes<M = Mistake> {
    /// The file.
    pub file: PathBuf,
    /// At least one.
    pub list: Vec<M>,
}

impl Mistakes {
    /// Mistakes in file order: those of the file by line, then those of the environment, then what is missing.
    pub(super) fn new(file: &Path, mut list: Vec<Mistake>) -> Self {
        list.sort_by(|a, b| order(&a.place).cmp(&order(&b.place)));
        Self { file: file.to_owned(), list }
    }

    /// The single mistake of a file that cannot be read.
    pub(super) fn unreadable(file: &Path, problem: String) -> Self {
        Self::new(file, vec![Mistake { key: String::new(), problem, place: Place::File }])
    }
}

fn order(place: &Place) -> (u8, usize, &str) {
    match place {
        Place::Line(line) => (0, *line, ""),
        Place::Variable(name) => (1, 0, name),
        Place::File => (2, 0, ""),
    }
}

impl<M: fmt::Display> fmt::Display for Mistakes<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.list.len();
        let noun = if count == 1 { "mistake" } else { "mistakes" };
        write!(f, "{}: {count} {noun}", self.file.display())?;
        self.list.iter().try_for_each(|mistake| write!(f, "\n  {mistake}"))
    }
}

impl<M: fmt::Debug + fmt::Display> std::error::Error for Mistakes<M> {}
