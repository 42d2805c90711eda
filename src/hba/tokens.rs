//! From the text of the files to lines of fields of tokens: the reading of `pg_hba.conf` and `pg_ident.conf`, quotes,
//! commas, comments, lines that go on behind a backslash, and files within files.
//!
//! After hba.c: next_token, next_field_expand, tokenize_auth_file. What a token means is not known here.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::mistake::{Mistake, Place};

/// How deep files may lie in each other (CONF_FILE_MAX_DEPTH).
const DEPTH_MAX: usize = 10;

/// Where the texts come from.
pub(super) trait Files {
    /// The text of a file.
    fn read(&mut self, file: &Path) -> io::Result<String>;

    /// The files that lie in a directory, without its directories.
    fn list(&mut self, directory: &Path) -> io::Result<Vec<PathBuf>>;
}

/// A word, without its quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) text: String,
    /// Whether it began with a quote: then it is no keyword.
    pub(super) quoted: bool,
}

impl Token {
    /// Whether it is this keyword.
    pub(super) fn is(&self, keyword: &str) -> bool {
        !self.quoted && self.text == keyword
    }
}

/// What stands between blanks: one token, or a list of them with commas between. Never empty.
pub(super) type Field = Vec<Token>;

/// A line that says something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) place: Place,
    /// At least one.
    pub(super) fields: Vec<Field>,
}

/// What was found in the files.
#[derive(Debug, Default)]
pub(super) struct Tokenized {
    pub(super) lines: Vec<Line>,
    pub(super) mistakes: Vec<Mistake>,
}

/// Reads a file with all that it includes.
pub(super) fn tokenize(file: &Path, files: &mut dyn Files) -> Tokenized {
    let mut reader = Reader { files, found: Tokenized::default() };
    if let Err(problem) = reader.file(file, 0) {
        reader.found.mistakes.push(Mistake { place: None, problem });
    }
    reader.found
}

struct Reader<'f> {
    files: &'f mut dyn Files,
    found: Tokenized,
}

impl Reader<'_> {
    /// Reads one file at a depth. What is wrong in it is noted; that it cannot be read is told.
    fn file(&mut self, file: &Path, depth: usize) -> Result<(), String> {
        let text = self.text(file, depth)?;
        let file: Arc<Path> = file.into();
        for (line, text) in logical_lines(&text) {
            let place = Place { file: file.clone(), line };
            if let Err(problem) = self.line(&place, &text, depth) {
                self.found.mistakes.push(Mistake { place: Some(place), problem });
            }
        }
        Ok(())
    }

    fn text(&mut self, file: &Path, depth: usize) -> Result<String, String> {
        let could_not = |why: String| format!("could not open file \"{}\": {why}", file.display());
        if depth > DEPTH_MAX {
            return Err(could_not("maximum nesting depth exceeded".to_owned()));
        }
        self.files.read(file).map_err(|error| could_not(error.to_string()))
    }

    fn line(&mut self, place: &Place, text: &str, depth: usize) -> Result<(), String> {
        let fields = self.fields(place, text, depth)?;
        if let [directive, path] = &fields[..]
            && let (Some(directive), Some(path)) = (directive.first(), path.first())
            && let Some(included) = self.include(place, &directive.text, &path.text, depth)
        {
            return included;
        }
        if !fields.is_empty() {
            self.found.lines.push(Line { place: place.clone(), fields });
        }
        Ok(())
    }

    /// Follows an `include` line; `None` when it is none.
    fn include(
        &mut self,
        place: &Place,
        directive: &str,
        path: &str,
        depth: usize,
    ) -> Option<Result<(), String>> {
        let path = beside(&place.file, path);
        match directive {
            "include" => Some(self.file(&path, depth + 1)),
            "include_if_exists" => Some(match self.files.read(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                _ => self.file(&path, depth + 1),
            }),
            "include_dir" => Some(self.directory(&path, depth + 1)),
            _ => None,
        }
    }

    /// Reads the files of a directory that end in `.conf`, in the order of their names.
    fn directory(&mut self, directory: &Path, depth: usize) -> Result<(), String> {
        let could_not = |error| format!("could not open directory \"{}\": {error}", directory.display());
        let mut files = self.files.list(directory).map_err(could_not)?;
        files.retain(|file| {
            let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.ends_with(".conf") && name.len() > ".conf".len() && !name.starts_with('.')
        });
        files.sort();
        files.iter().try_for_each(|file| self.file(file, depth))
    }

    fn fields(&mut self, place: &Place, text: &str, depth: usize) -> Result<Vec<Field>, String> {
        let mut rest = text;
        let mut fields = Vec::new();
        while !rest.is_empty() {
            let mut field = Field::new();
            while let Some(word) = next_word(&mut rest) {
                let Word { token, goes_on } = word;
                match token.text.strip_prefix('@') {
                    Some(file) if !token.quoted && !file.is_empty() => {
                        field.extend(self.expand(&beside(&place.file, file), depth + 1)?);
                    }
                    _ => field.push(token),
                }
                if !goes_on {
                    break;
                }
            }
            // As in PostgreSQL, a list from an empty file is no field at all.
            if !field.is_empty() {
                fields.push(field);
            }
        }
        Ok(fields)
    }

    /// All tokens of a file that `@` names, whatever lines they stand on. A mistake in it is one of the line that names it.
    fn expand(&mut self, file: &Path, depth: usize) -> Result<Vec<Token>, String> {
        let mut inner = Reader { files: &mut *self.files, found: Tokenized::default() };
        inner.file(file, depth)?;
        let Tokenized { lines, mistakes } = inner.found;
        match mistakes.into_iter().next() {
            Some(mistake) => Err(mistake.to_string()),
            None => Ok(lines.into_iter().flat_map(|line| line.fields).flatten().collect()),
        }
    }
}

/// A path as a file names it: relative to where that file lies.
fn beside(file: &Path, path: &str) -> PathBuf {
    file.parent().map_or_else(|| PathBuf::from(path), |directory| directory.join(path))
}

/// The lines of a text with their numbers. One that ends with a backslash goes on in the next.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut whole: Option<(usize, String)> = None;
    for (index, raw) in text.split('\n').enumerate() {
        let (first, mut so_far) = whole.take().unwrap_or((index + 1, String::new()));
        let raw = raw.trim_end_matches('\r');
        match raw.strip_suffix('\\') {
            Some(raw) => {
                so_far.push_str(raw);
                whole = Some((first, so_far));
            }
            None => {
                so_far.push_str(raw);
                lines.push((first, so_far));
            }
        }
    }
    lines.extend(whole);
    lines
}

struct Word {
    token: Token,
    /// A comma follows: the list goes on, whatever blanks come.
    goes_on: bool,
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r')
}

/// Takes the next word off a line; `None` at its end. A quote may begin and end anywhere in a word, two of them within
/// quotes are one, and a comment ends the line.
fn next_word(line: &mut &str) -> Option<Word> {
    let text = line.trim_start_matches(|c| is_blank(c) || c == ',');
    *line = "";
    let mut word = Word { token: Token { text: String::new(), quoted: false }, goes_on: false };
    let token = &mut word.token;
    let (mut in_quotes, mut doubled, mut any_quote) = (false, false, false);
    for (at, c) in text.char_indices() {
        match c {
            '#' if !in_quotes => break,
            ',' if !in_quotes => {
                word.goes_on = true;
                *line = &text[at + 1..];
                break;
            }
            c if is_blank(c) && !in_quotes => {
                *line = &text[at..];
                break;
            }
            _ => {}
        }
        if c != '"' || doubled {
            token.text.push(c);
        }
        doubled = in_quotes && c == '"' && !doubled;
        if c == '"' {
            in_quotes = !in_quotes;
            any_quote = true;
            token.quoted |= token.text.is_empty();
        }
    }
    (any_quote || !word.token.text.is_empty()).then_some(word)
}

#[cfg(test)]
#[path = "tokens_tests.rs"]
pub(super) mod tests;
