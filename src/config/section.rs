//! A section of the configuration that is read key by key, and knows what was not asked for.
//!
//! Reading never stops at a mistake: it is noted, a stand-in is used, and the next key is read. So one run reports
//! everything. The stand-ins never get out, as a configuration with a mistake is not returned.

use std::cell::RefCell;

use config::{Map, Value, ValueKind};

use super::mistake::{Mistake, Place};
use super::written::Written;
use super::{Secret, source};

/// Mistakes found so far, and what was read.
#[derive(Default)]
pub(super) struct Report {
    found: RefCell<Vec<Mistake>>,
    written: RefCell<Written>,
    /// The keys of sections, as paths.
    known: RefCell<Vec<String>>,
}

impl Report {
    pub(super) fn new(found: Vec<Mistake>) -> Self {
        Self { found: RefCell::new(found), written: RefCell::default(), known: RefCell::default() }
    }

    /// Notes a mistake.
    pub(super) fn note(&self, key: impl Into<String>, place: Place, problem: impl Into<String>) {
        self.add(Mistake { key: key.into(), problem: problem.into(), place });
    }

    /// Notes a mistake that is described already.
    pub(super) fn add(&self, mistake: Mistake) {
        self.found.borrow_mut().push(mistake);
    }

    /// The keys that were asked for in sections, there or not.
    pub(super) fn known(&self) -> Vec<String> {
        self.known.borrow().clone()
    }

    pub(super) fn into_parts(self) -> (Vec<Mistake>, Written) {
        (self.found.into_inner(), self.written.into_inner().named())
    }
}

/// One table of the tree: the root, a section, or an entry of a list.
pub(super) struct Section<'r> {
    report: &'r Report,
    path: String,
    place: Place,
    /// What has not been asked for yet.
    rest: Map<String, Value>,
    /// What has been asked for, there or not: the keys that exist.
    known: Vec<&'static str>,
    /// Where each key that was there had been written.
    places: Map<&'static str, Place>,
}

impl<'r> Section<'r> {
    /// Reads a whole tree with `read`, then reports the keys that `read` did not ask for.
    pub(super) fn root<T>(
        report: &'r Report,
        tree: Map<String, Value>,
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        Self::open(report, String::new(), Place::File, tree, read)
    }

    fn open<T>(
        report: &'r Report,
        path: String,
        place: Place,
        rest: Map<String, Value>,
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let mut section = Self { report, path, place, rest, known: Vec::new(), places: Map::new() };
        let value = read(&mut section);
        section.report_rest();
        value
    }

    /// One value; `None` when the key is absent, or when it is not of that kind, which is then noted.
    pub(super) fn read<T>(
        &mut self,
        key: &'static str,
        kind: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.take(key);
        self.report.written.borrow_mut().enter(&self.key(""), key, value.as_ref());
        kind(&value?).map_err(|problem| self.note(key, problem)).ok()
    }

    /// A key's value leads to this secret: another one is a change of the key.
    pub(super) fn leads_to(&self, key: &'static str, secret: &Secret) {
        self.report.written.borrow_mut().leads_to(&self.key(""), key, secret);
    }

    /// One value that has no default: `None` only after a mistake was noted.
    pub(super) fn require<T>(
        &mut self,
        key: &'static str,
        kind: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<T> {
        if !self.rest.contains_key(key) {
            self.note(key, "is missing");
        }
        self.read(key, kind)
    }

    /// A section that may be absent: then every key in it is.
    pub(super) fn section<T>(&mut self, key: &'static str, read: impl FnOnce(&mut Self) -> T) -> T {
        let value = self.take(key).unwrap_or_else(|| Value::new(None, ValueKind::Table(Map::new())));
        let place = source::place(&value);
        let table = table(value).unwrap_or_else(|problem| {
            self.note(key, problem);
            Map::new()
        });
        Self::open(self.report, self.key(key), place, table, read)
    }

    /// A section whose absence means something.
    pub(super) fn section_if_present<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Self) -> T,
    ) -> Option<T> {
        self.known.push(key);
        self.rest.contains_key(key).then(|| self.section(key, read))
    }

    /// A list of tables, each read with `read`.
    pub(super) fn list<T>(&mut self, key: &'static str, mut read: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let items = match self.take(key).map(|value| value.kind) {
            None => Vec::new(),
            Some(ValueKind::Array(items)) => items,
            Some(_) => {
                self.note(key, format!("expected a list of tables: [[{}]]", self.key(key)));
                Vec::new()
            }
        };
        let mut entries = Vec::new();
        for (index, item) in items.into_iter().enumerate() {
            let path = format!("{}[{index}]", self.key(key));
            let place = source::place(&item);
            match table(item) {
                Ok(rest) => {
                    entries.push(Self::open(self.report, path, place, rest, &mut read));
                }
                Err(problem) => self.report.note(path, place, problem),
            }
        }
        entries
    }

    /// Notes a mistake about one of this section's keys.
    pub(super) fn note(&self, key: &'static str, problem: impl Into<String>) {
        let place = self.places.get(key).unwrap_or(&self.place).clone();
        self.report.note(self.key(key), place, problem);
    }

    /// Notes a mistake about the section as a whole.
    pub(super) fn note_whole(&self, problem: impl Into<String>) {
        self.report.note(self.path.clone(), self.place.clone(), problem);
    }

    /// Whether the key was written, be its value right or wrong. Holds before and after the key is read.
    pub(super) fn has(&self, key: &'static str) -> bool {
        self.rest.contains_key(key) || self.places.contains_key(key)
    }

    /// The whole path of one of this section's keys.
    pub(super) fn key(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn take(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        let value = self.rest.remove(key)?;
        self.places.insert(key, source::place(&value));
        Some(value)
    }

    fn report_rest(&mut self) {
        let mut known = std::mem::take(&mut self.known);
        known.sort_unstable();
        known.dedup();
        self.report.known.borrow_mut().extend(known.iter().map(|key| self.key(key)));
        for (key, value) in std::mem::take(&mut self.rest) {
            let problem = match closest(&key, &known) {
                Some(near) => format!("unknown; did you mean {near}?"),
                None => format!("unknown; known here: {}", known.join(", ")),
            };
            self.report.note(self.key(&key), first_place(&value), problem);
        }
    }
}

/// Where a value was written or, for a table that only the environment made, something in it.
fn first_place(value: &Value) -> Place {
    match (&value.kind, source::place(value)) {
        (ValueKind::Table(table), Place::File) => table.values().next().map_or(Place::File, first_place),
        (_, place) => place,
    }
}

fn table(value: Value) -> Result<Map<String, Value>, String> {
    match value.kind {
        ValueKind::Table(table) => Ok(table),
        other => Err(format!("expected a table, found {}", super::kinds::found(&Value::new(None, other)))),
    }
}

/// The known key that a typing error may have turned into `key`.
pub(super) fn closest<'a>(key: &str, known: &[&'a str]) -> Option<&'a str> {
    let (distance, near) = known.iter().map(|near| (distance(key, near), *near)).min()?;
    (distance <= (near.len() / 3).max(1)).then_some(near)
}

/// Edits between two words (Levenshtein), where swapped letters are one edit.
fn distance(from: &str, to: &str) -> usize {
    let letters = |word: &str| {
        let mut letters = word.as_bytes().to_vec();
        letters.sort_unstable();
        letters
    };
    if from != to && letters(from) == letters(to) {
        return 1;
    }
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.bytes().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, b) in to.bytes().enumerate() {
            let substituted = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_error_finds_its_word_and_a_foreign_word_none() {
        let known = ["size", "total", "min_idle", "idle_timeout", "lifetime", "queue_limit"];
        assert_eq!(closest("siez", &known), Some("size"));
        assert_eq!(closest("sise", &known), Some("size"));
        assert_eq!(closest("sum", &known), None);
        assert_eq!(closest("idle_timout", &known), Some("idle_timeout"));
        assert_eq!(closest("Size", &known), Some("size"));
        assert_eq!(closest("max_connections", &known), None);
    }
}
