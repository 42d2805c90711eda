//! The source as the checks read it: without tests, comments and the text of strings, line for line.

use std::path::Path;

/// A source file: its path below `src/`, and its code without tests, comments and strings.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) code: Vec<String>,
    /// The lines as they are, for what doc comments say.
    text: Vec<String>,
    /// Modules in files of their own that are there in tests only.
    test_modules: Vec<String>,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let mut code: Vec<String> = blank(text).lines().map(str::to_owned).collect();
        let mut test_modules = Vec::new();
        for at in 0..code.len() {
            let Some((to, module)) = test_module(&code, at) else { continue };
            // A module of tests that is written out is the end of its file.
            let Some(module) = module.strip_suffix(';') else {
                code.truncate(at);
                break;
            };
            test_modules.push(module.to_owned());
            code[at..=to].iter_mut().for_each(String::clear);
            if code[to..].iter().all(|line| line.trim().is_empty()) {
                code.truncate(at);
                break;
            }
        }
        let text = text.lines().map(str::to_owned).collect();
        Self { path: path.to_owned(), code, text, test_modules }
    }

    /// Whether a file is there in tests only, because this one declares it so.
    fn declares_for_tests(&self, path: &str) -> bool {
        let beside = self.path.strip_suffix("mod.rs").map(str::to_owned);
        let directory = beside.unwrap_or_else(|| format!("{}/", self.path.trim_end_matches(".rs")));
        let named = path.strip_suffix(".rs").and_then(|stem| stem.strip_prefix(&directory));
        named.is_some_and(|named| self.test_modules.iter().any(|module| module == named))
    }

    /// The room it belongs to.
    pub(crate) fn room(&self) -> &str {
        let first = self.path.split('/').next().unwrap();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.code.iter().map(String::as_str))
    }

    /// What the doc comment above a line says, as one text.
    pub(crate) fn doc_above(&self, line: usize) -> String {
        let above = self.text[..line - 1].iter().rev().map(|text| text.trim());
        let belongs = above.take_while(|text| text.starts_with("///") || text.starts_with("#["));
        let mut said: Vec<&str> =
            belongs.filter_map(|text| text.strip_prefix("///")).map(str::trim).collect();
        said.reverse();
        said.join(" ")
    }

    pub(crate) fn is_in(&self, places: &[&str]) -> bool {
        places
            .iter()
            .any(|place| self.path == *place || (place.ends_with('/') && self.path.starts_with(place)))
    }

    pub(crate) fn breach(&self, line: usize, what: &str, why: &str) -> String {
        format!("src/{}:{line}: {what}: {why}", self.path)
    }
}

/// The module that is there in tests only by the attribute in this line: the line that names it, and how it goes on.
fn test_module(code: &[String], at: usize) -> Option<(usize, String)> {
    let to = at + code[at..].iter().position(|line| !line.starts_with("#["))?;
    let (_, module) = code[to].split_once("mod ").filter(|_| code[at].trim() == "#[cfg(test)]")?;
    Some((to, module.to_owned()))
}

/// The text with comments and the insides of string and character literals blanked, line for line.
pub(crate) fn blank(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (skipped, keep) = match first {
            '/' if rest.starts_with("//") => (rest.find('\n').unwrap_or(rest.len()), ""),
            '"' => (1 + string_end(&rest[1..]), "\"\""),
            'r' if raw_hashes(rest).is_some() && !ends_in_name(&out) => {
                let hashes = raw_hashes(rest).unwrap();
                let close = format!("\"{}", "#".repeat(hashes));
                let open = hashes + 2;
                (open + rest[open..].find(&close).unwrap() + close.len(), "\"\"")
            }
            '\'' => match char_literal(rest) {
                1 => (1, "'"),
                len => (len, ""),
            },
            other => {
                out.push(other);
                rest = &rest[other.len_utf8()..];
                continue;
            }
        };
        out.push_str(keep);
        out.extend(rest[..skipped].matches('\n'));
        rest = &rest[skipped..];
    }
    out
}

fn ends_in_name(out: &str) -> bool {
    // `br"..."` is a raw string too; in `var"` the r is the end of a name.
    let before = out.strip_suffix('b').unwrap_or(out);
    before.ends_with(|c: char| c.is_alphanumeric() || c == '_')
}

/// How many `#` open a raw string here, if one does.
fn raw_hashes(text: &str) -> Option<usize> {
    let hashes = text[1..].len() - text[1..].trim_start_matches('#').len();
    text[1 + hashes..].starts_with('"').then_some(hashes)
}

/// Length up to and with the closing quote.
fn string_end(inside: &str) -> usize {
    let mut escaped = false;
    let end = inside.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    end.unwrap() + 1
}

/// Length of a character literal, or of the quote in front of a lifetime.
fn char_literal(text: &str) -> usize {
    match text[1..].strip_prefix('\\') {
        Some(escape) => 3 + escape[1..].find('\'').unwrap() + 1,
        None => {
            let mut chars = text.char_indices().skip(2);
            chars.next().filter(|(_, c)| *c == '\'').map_or(1, |(at, _)| at + 1)
        }
    }
}

/// The places in a line where a name begins and ends as a whole word.
pub(crate) fn words<'a>(line: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(name).filter_map(move |(at, _)| {
        let rest = &line[at + name.len()..];
        let alone = !line[..at].ends_with(is_word) && !rest.starts_with(is_word);
        alone.then_some(rest)
    })
}

pub(crate) fn sources() -> Vec<Source> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"));
    let (mut found, mut directories) = (Vec::<Source>::new(), vec![root.to_owned()]);
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
            let path = entry.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            if entry.is_dir() {
                directories.push(entry);
            } else if path.ends_with(".rs") && !path.ends_with("_tests.rs") {
                found.push(Source::new(&path, &std::fs::read_to_string(entry).unwrap()));
            }
        }
    }
    let for_tests = |path: &str| found.iter().any(|source| source.declares_for_tests(path));
    let paths = found.iter().map(|source| source.path.clone());
    let for_tests: Vec<String> = paths.filter(|path| for_tests(path)).collect();
    found.retain(|source| !for_tests.contains(&source.path));
    assert!(found.len() > 80, "only {} files were found", found.len());
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_in_tests_only_is_left_out() {
        let text = "mod a;\n#[cfg(test)]\npub(crate) mod double;\nmod b;\n\
                    #[cfg(test)]\n#[path = \"x.rs\"]\nmod tests;\n";
        let face = Source::new("net/mod.rs", text);
        assert_eq!(face.code, ["mod a;", "", "", "mod b;"]);
        assert!(face.declares_for_tests("net/double.rs"));
        assert!(!face.declares_for_tests("net/a.rs") && !face.declares_for_tests("double.rs"));
        assert!(Source::new("net.rs", text).declares_for_tests("net/double.rs"));
    }
}
