//! PgBouncer's `userlist.txt`: a name and a secret on each line, both in double quotes.
//!
//! `""` within the quotes is one double quote, a line that begins with `;` is a comment, and what stands behind the secret
//! is passed over. Of two lines with one name the last one counts. It says nothing of what the secrets are.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::Secret;

/// Names and secrets.
pub(crate) type Entries = HashMap<Box<str>, Secret>;

/// Why a list cannot be used. No text of it is quoted.
#[derive(Debug, thiserror::Error)]
pub enum UserlistError {
    /// It cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line is not of the form.
    #[error("{}, line {line}: {problem}", path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// Which line, counted from 1.
        line: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// Reads a list from its file.
pub(crate) fn read(path: &Path) -> Result<Entries, UserlistError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| UserlistError::Unreadable { path: path.to_owned(), source })?;
    parse(&text).map_err(|(line, problem)| UserlistError::Line { path: path.to_owned(), line, problem })
}

/// Reads a list; or the line that is wrong, and why.
fn parse(text: &str) -> Result<Entries, (usize, &'static str)> {
    let (mut entries, mut rest) = (Entries::new(), text);
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '\x0b');
        if rest.is_empty() {
            return Ok(entries);
        }
        if !rest.starts_with(';') {
            let line = text[..text.len() - rest.len()].matches('\n').count() + 1;
            let (name, secret, behind) = entry(rest).map_err(|problem| (line, problem))?;
            entries.insert(name.into(), Secret::new(secret));
            rest = behind;
        }
        rest = rest.split_once('\n').map_or("", |(_, next)| next);
    }
}

/// The name and the secret at the front of a text, and what stands behind them.
fn entry(text: &str) -> Result<(String, String, &str), &'static str> {
    let (name, rest) = quoted(text).ok_or("expected a name in double quotes")?;
    let (secret, rest) =
        quoted(rest.trim_start_matches([' ', '\t'])).ok_or("expected a secret in double quotes")?;
    if name.is_empty() {
        return Err("the name is empty");
    }
    if name.contains('\0') || secret.contains('\0') {
        return Err("there is a zero byte in it");
    }
    Ok((name, secret, rest))
}

/// The quoted text at the front.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut rest = text.strip_prefix('"')?;
    let mut inside = String::new();
    loop {
        let (part, behind) = rest.split_once('"')?;
        inside.push_str(part);
        match behind.strip_prefix('"') {
            Some(behind) => {
                inside.push('"');
                rest = behind;
            }
            None => return Some((inside, behind)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Vec<(String, String)> {
        let entries = parse(text).unwrap();
        let mut entries: Vec<_> =
            entries.iter().map(|(name, secret)| (name.to_string(), secret.expose().to_owned())).collect();
        entries.sort();
        entries
    }

    #[test]
    fn names_and_secrets_are_read_as_pgbouncer_reads_them() {
        let text = "; people\n\"app\" \"secret\" ignored \"this too\"\n\n  \t\"say \"\"hi\"\"\"\t\"a\"\"b\"\n\
                    \"md\" \"md5aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"\r\n  ; \"no\" \"one\"\n\"none\" \"\"\n\"app\" \"later\"";
        let expected = [
            ("app", "later"),
            ("md", "md5aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
            ("none", ""),
            ("say \"hi\"", "a\"b"),
        ];
        let expected = expected.map(|(name, secret)| (name.to_owned(), secret.to_owned()));
        assert_eq!(parsed(text), expected);
        assert_eq!(parsed(""), []);
        assert_eq!(parsed("\n ; nobody"), []);
    }

    #[test]
    fn what_is_wrong_is_told_by_its_line() {
        for (text, line, problem) in [
            ("app \"secret\"", 1, "name in double"),
            ("\n\"app\" secret", 2, "secret in double"),
            ("\"a\" \"b\"\n; c\n\"c\"\n\"d\" \"e\"", 3, "secret in double"),
            ("\"a\" \"b\"\n\"c\" \"open\nand on", 2, "secret in double"),
            ("\"a", 1, "name in double"),
            ("\"\" \"b\"", 1, "name is empty"),
            ("\"a\"\"b\"", 1, "secret in double"),
            ("# no comment", 1, "name in double"),
            ("\"a\" \"b\0\"", 1, "zero byte"),
        ] {
            let (at, found) = parse(text).unwrap_err();
            assert!(at == line && found.contains(problem), "{text:?}: {at}: {found}");
        }
    }

    #[test]
    fn a_mistake_quotes_no_secret() {
        let directory = std::env::temp_dir().join(format!("weir-userlist-{}", std::process::id()));
        std::fs::write(&directory, "\"app\" hunter2").unwrap();
        let told = read(&directory).unwrap_err().to_string();
        std::fs::remove_file(&directory).unwrap();
        assert!(told.ends_with(", line 1: expected a secret in double quotes"), "{told}");
        assert!(read(Path::new("/nowhere/list")).unwrap_err().to_string().contains("cannot be read"));
    }
}
