//! The text while it is written, with what must be said of it. Pure.

use std::fmt::{Display, Write as _};
use std::path::Path;

use super::keys::Told;
use crate::config::{Secret, quoted};

/// What a pgbouncer.ini became.
#[derive(Debug)]
pub struct Imported {
    /// The configuration's text.
    pub text: String,
    /// Passwords, each with the name of the file beside the configuration that must hold it.
    pub secrets: Vec<(String, Secret)>,
    /// What became of each key that was written, in its order.
    pub told: Vec<Told>,
    /// What else there is to know, in sentences.
    pub remarks: Vec<String>,
}

/// What is written so far.
pub(super) struct Draft {
    text: String,
    secrets: Vec<(String, Secret)>,
    remarks: Vec<String>,
}

impl Draft {
    pub(super) fn new(file: &Path) -> Self {
        let mut draft = Self { text: String::new(), secrets: Vec::new(), remarks: Vec::new() };
        draft.comment(&format!("weir's configuration, from {}.", file.display()));
        draft.comment("");
        draft.comment("  weir check --config FILE     says whether it is right, and what it means");
        draft.comment("  weir run --config FILE       runs it");
        draft.comment("");
        draft.comment("docs/from-pgbouncer.md says what differs. What is not here has its default.");
        draft
    }

    /// Begins a section, or an entry of a list, with what was written of it.
    pub(super) fn table(&mut self, name: &str, keys: Keys) {
        if !keys.0.is_empty() {
            let _ = write!(self.text, "\n{name}\n{}", keys.0);
        }
    }

    pub(super) fn comment(&mut self, words: &str) {
        for line in words.split('\n') {
            self.text += if line.is_empty() { "#" } else { "# " };
            self.text += line;
            self.text.push('\n');
        }
    }

    pub(super) fn blank(&mut self) {
        self.text.push('\n');
    }

    /// Something to know, said once.
    pub(super) fn remark(&mut self, words: impl Into<String>) {
        let words = words.into();
        if !self.remarks.contains(&words) {
            self.remarks.push(words);
        }
    }

    /// The name of the file that must hold a user's password.
    pub(super) fn secret(&mut self, user: &str, secret: &Secret) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '_' };
        let mut name = format!("{}.password", user.chars().map(plain).collect::<String>());
        // Two names that differ in other letters alone must not share a file.
        while self.secrets.iter().any(|(other, held)| *other == name && held != secret) {
            name.insert(0, '_');
        }
        if !self.secrets.iter().any(|(other, _)| *other == name) {
            self.secrets.push((name.clone(), secret.clone()));
        }
        name
    }

    pub(super) fn finish(mut self, told: Vec<Told>) -> Imported {
        let left: Vec<String> = told
            .iter()
            .filter(|told| !told.fate.starts_with("becomes"))
            .map(|told| format!("{} ({}): {}", told.key, told.place, told.fate))
            .collect();
        if !left.is_empty() || !self.remarks.is_empty() {
            self.text.push('\n');
            self.comment("What to know, and what was written and is not here:");
            let remarks = self.remarks.clone();
            remarks.iter().chain(&left).for_each(|words| self.comment(&format!("- {words}")));
        }
        Imported { text: self.text, secrets: self.secrets, told, remarks: self.remarks }
    }
}

/// Lines of a section: keys with their values.
#[derive(Default)]
pub(super) struct Keys(String);

impl Keys {
    /// A value that is TOML already.
    pub(super) fn put(&mut self, key: &str, value: impl Display) {
        let _ = writeln!(self.0, "{key} = {value}");
    }

    pub(super) fn text(&mut self, key: &str, value: &str) {
        self.put(key, quoted(value));
    }

    pub(super) fn list(&mut self, key: &str, values: &[&str]) {
        let values: Vec<_> = values.iter().map(|value| quoted(value)).collect();
        self.put(key, format!("[{}]", values.join(", ")));
    }

    pub(super) fn append(&mut self, rest: Keys) {
        self.0 += &rest.0;
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.0.lines().any(|line| line.split_once(" = ").is_some_and(|(name, _)| name == key))
    }

    /// These, and those behind them.
    pub(super) fn with(self, rest: Keys) -> Self {
        Self(self.0 + &rest.0)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
