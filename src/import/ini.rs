//! pgbouncer.ini as PgBouncer reads it: sections, keys, values as they are, and `%include`.

use std::path::{Path, PathBuf};

/// How deep files may include each other.
const DEPTH_MAX: usize = 10;

/// What was written, in its order.
#[derive(Clone, Debug, Default)]
pub struct Ini {
    pub(super) entries: Vec<Entry>,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) place: String,
    pub(super) section: String,
    pub(super) key: String,
    pub(super) value: String,
}

/// Why a file cannot be read. No value is quoted: it may be a password.
#[derive(Debug, thiserror::Error)]
pub enum IniError {
    /// It is not there, or closed to us.
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line is none.
    #[error("{place}: {problem}")]
    Line {
        /// File and line.
        place: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

impl Ini {
    /// Reads a file and those that it includes.
    ///
    /// # Errors
    /// When one of them cannot be read, or is no such file.
    pub fn read(file: &Path) -> Result<Self, IniError> {
        let mut ini = Self::default();
        ini.include(file, &mut String::new(), 0)?;
        Ok(ini)
    }

    /// The last value of a key of `[pgbouncer]`, which is the one that counts.
    pub fn setting(&self, key: &str) -> Option<&str> {
        let own = self.entries.iter().rev().find(|entry| entry.section == "pgbouncer" && entry.key == key);
        own.map(|entry| entry.value.as_str())
    }

    /// Names and connection strings of `[databases]`.
    pub(super) fn databases(&self) -> impl Iterator<Item = &Entry> {
        self.section("databases")
    }

    pub(super) fn section<'a>(&'a self, section: &'a str) -> impl Iterator<Item = &'a Entry> {
        self.entries.iter().filter(move |entry| entry.section == section)
    }

    fn include(&mut self, file: &Path, section: &mut String, depth: usize) -> Result<(), IniError> {
        let text = std::fs::read_to_string(file)
            .map_err(|source| IniError::Unreadable { path: file.to_owned(), source })?;
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for (index, line) in text.lines().enumerate() {
            let place = format!("{name}:{}", index + 1);
            match parse(line, &place)? {
                Line::Nothing => {}
                Line::Section(name) => name.clone_into(section),
                Line::Include(_) if depth == DEPTH_MAX => {
                    return Err(IniError::Line { place, problem: "files include each other too deeply" });
                }
                // PgBouncer starts at its working directory, which nobody knows here: most often it is the file's own.
                Line::Include(path) => {
                    self.include(&file.with_file_name("").join(path), section, depth + 1)?
                }
                Line::Pair(..) if section.is_empty() => {
                    return Err(IniError::Line {
                        place,
                        problem: "a key stands in front of the first section",
                    });
                }
                Line::Pair(key, value) => {
                    self.entries.push(Entry { place, section: section.clone(), key, value })
                }
            }
        }
        Ok(())
    }
}

/// What a line is.
enum Line<'a> {
    Nothing,
    Section(&'a str),
    Include(&'a str),
    Pair(String, String),
}

fn parse<'a>(line: &'a str, place: &str) -> Result<Line<'a>, IniError> {
    let line = line.trim();
    let wrong = |problem| Err(IniError::Line { place: place.to_owned(), problem });
    if line.is_empty() || line.starts_with([';', '#']) {
        return Ok(Line::Nothing);
    }
    if let Some(path) = line.strip_prefix("%include ") {
        return Ok(Line::Include(path.trim()));
    }
    if let Some(rest) = line.strip_prefix('[') {
        return match rest.split_once(']') {
            Some((name, _)) => Ok(Line::Section(name.trim())),
            None => wrong("a section is not closed"),
        };
    }
    let (key, rest) = match line.strip_prefix('"') {
        Some(inside) => match quoted(inside) {
            Some(pair) => pair,
            None => return wrong("a quote is not closed"),
        },
        None => {
            let end = line.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(line.len());
            (line[..end].to_owned(), &line[end..])
        }
    };
    match rest.trim_start().strip_prefix('=') {
        Some(value) => Ok(Line::Pair(key, value.trim().to_owned())),
        None => wrong("expected key = value"),
    }
}

/// A name in double quotes, whose first one is behind us: `""` is one.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut rest = text;
    loop {
        let (part, behind) = rest.split_once('"')?;
        name.push_str(part);
        match behind.strip_prefix('"') {
            Some(behind) => {
                name.push('"');
                rest = behind;
            }
            None => return Some((name, behind)),
        }
    }
}

/// The pairs of a connection string of PgBouncer's: a value may stand in single quotes, in which `''` is one.
pub(super) fn pairs(text: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut rest = text.trim_start();
    while let Some((key, behind)) = rest.split_once('=') {
        let behind = behind.trim_start();
        let (value, behind) = match behind.strip_prefix('\'') {
            Some(inside) => in_quotes(inside),
            None => {
                let end = behind.find(char::is_whitespace).unwrap_or(behind.len());
                (behind[..end].to_owned(), &behind[end..])
            }
        };
        pairs.push((key.trim().to_owned(), value));
        rest = behind.trim_start();
    }
    pairs
}

fn in_quotes(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut rest = text;
    loop {
        let Some((part, behind)) = rest.split_once('\'') else { return (value + rest, "") };
        value.push_str(part);
        match behind.strip_prefix('\'') {
            Some(behind) => {
                value.push('\'');
                rest = behind;
            }
            None => return (value, behind),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_as_pgbouncer_reads_it() {
        let directory = std::env::temp_dir().join(format!("weir-import-ini-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let text = "; a comment\n[databases]\n\"my \"\"db\" = host=a password='it''s; mine'\n* =\n\
                    [pgbouncer]\nlisten_port=1\n%include more.ini\n# another\nlisten_addr = a, b ; c\n";
        std::fs::write(directory.join("p.ini"), text).unwrap();
        std::fs::write(
            directory.join("more.ini"),
            "listen_port = 2\n[users]\nu = pool_size=5\n[pgbouncer]\n",
        )
        .unwrap();
        let ini = Ini::read(&directory.join("p.ini")).unwrap();
        let names: Vec<_> = ini.databases().map(|entry| entry.key.as_str()).collect();
        assert_eq!(names, ["my \"db", "*"]);
        let found = ini.databases().next().unwrap();
        assert_eq!(pairs(&found.value)[1], ("password".to_owned(), "it's; mine".to_owned()));
        assert_eq!(found.place, "p.ini:3");
        assert_eq!((ini.setting("listen_port"), ini.setting("listen_addr")), (Some("2"), Some("a, b ; c")));
        assert_eq!(ini.section("users").count(), 1);

        for (text, problem) in [
            ("[databases", "a section is not closed"),
            ("x = 1", "in front of the first section"),
            ("[a]\nhunter2", "expected key = value"),
            ("[a]\n%include p.ini", "too deeply"),
        ] {
            std::fs::write(directory.join("p.ini"), text).unwrap();
            let words = Ini::read(&directory.join("p.ini")).unwrap_err().to_string();
            assert!(words.contains(problem) && !words.contains("hunter2"), "{words}");
        }
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
