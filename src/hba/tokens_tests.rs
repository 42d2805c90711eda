use std::collections::HashMap;

use super::*;

/// Files in memory.
#[derive(Default)]
pub(in crate::hba) struct Shelf(HashMap<PathBuf, String>);

impl Shelf {
    pub(in crate::hba) fn of(files: &[(&str, &str)]) -> Self {
        Self(files.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect())
    }
}

impl Files for Shelf {
    fn read(&mut self, file: &Path) -> io::Result<String> {
        self.0.get(file).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn list(&mut self, directory: &Path) -> io::Result<Vec<PathBuf>> {
        let files: Vec<_> = self.0.keys().filter(|file| file.parent() == Some(directory)).cloned().collect();
        if files.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(files) }
    }
}

/// The fields of each line, as `number: a b,c "d"`, quoted tokens in quotes.
fn read(files: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
    let found = tokenize(Path::new("/etc/hba"), &mut Shelf::of(files));
    let shown = |token: &Token| match token.quoted {
        true => format!("{:?}", token.text),
        false => token.text.clone(),
    };
    let lines = found.lines.iter().map(|line| {
        let fields = line.fields.iter().map(|field| field.iter().map(shown).collect::<Vec<_>>().join(","));
        format!("{}: {}", line.place.line, fields.collect::<Vec<_>>().join(" "))
    });
    (lines.collect(), found.mistakes.iter().map(ToString::to_string).collect())
}

fn lines(text: &str) -> Vec<String> {
    let (lines, mistakes) = read(&[("/etc/hba", text)]);
    assert!(mistakes.is_empty(), "{mistakes:?}");
    lines
}

#[test]
fn words_blanks_comments_and_lists() {
    assert_eq!(lines("# nothing\n\n  local\tall all  trust # why\r\n"), ["3: local all all trust"]);
    assert_eq!(lines("a, \tb c"), ["1: a,b c"], "blanks may follow a comma");
    assert_eq!(lines("a,b , c d"), ["1: a,b c d"], "but a comma that follows blanks begins nothing");
    assert_eq!(lines(",,a,,b"), ["1: a,b"]);
    assert_eq!(lines("a#b c"), ["1: a"], "a comment begins within a word as well");
    assert_eq!(lines("a,#b c"), ["1: a"]);
    assert_eq!(lines("   \n#x\n,\n"), [""; 0]);
}

#[test]
fn quotes() {
    assert_eq!(lines(r#""all" "a b" "a,b" "a#b""#), [r#"1: "all" "a b" "a,b" "a#b""#]);
    assert_eq!(lines(r#"a"b c"d"#), ["1: ab cd"], "it is not quoted where it begins without one");
    assert_eq!(lines(r#""a""b""#), [r#"1: "a\"b""#]);
    assert_eq!(lines(r#""""#), [r#"1: """#], "an empty word is one");
    assert_eq!(lines(r#""open to the end # of it"#), [r#"1: "open to the end # of it""#]);
}

#[test]
fn a_backslash_joins_lines_even_in_comments_and_quotes() {
    assert_eq!(
        lines("local all \\\nall trust\nlocal x y reject"),
        ["1: local all all trust", "3: local x y reject"]
    );
    assert_eq!(lines("a\\\r\nb c\n"), ["1: ab c"]);
    assert_eq!(lines("# gone \\\nlocal all all trust\nb"), ["3: b"]);
    assert_eq!(lines("a\\\\\n\nb"), ["1: a\\", "3: b"], "an empty line goes on with nothing");
    assert_eq!(lines("a \\"), ["1: a"]);
}

#[test]
fn files_within_files() {
    let names = ("/etc/names", "x, y\n# none\n\"all\" @more\n");
    let more = ("/etc/more", "z");
    let (lines, mistakes) =
        read(&[("/etc/hba", "local @names,w all trust\nlocal \"@names\" @\"more\" trust"), names, more]);
    assert_eq!(lines, [r#"1: local x,y,"all",z,w all trust"#, r#"2: local "@names" z trust"#]);
    assert!(mistakes.is_empty());
    let (_, mistakes) = read(&[("/etc/hba", "\nlocal @gone all trust")]);
    assert_eq!(mistakes, ["/etc/hba line 2: could not open file \"/etc/gone\": entity not found"]);
    // A list that is empty is no field: as in PostgreSQL, the others move up.
    assert_eq!(read(&[("/etc/hba", "a @e b"), ("/etc/e", "#")]).0, ["1: a b"]);
    assert_eq!(lines_of_word_at(), ["1: a @"]);
}

fn lines_of_word_at() -> Vec<String> {
    lines("a @")
}

#[test]
fn includes() {
    let files = [
        ("/etc/hba", "include sub/one\ninclude_if_exists gone\ninclude_dir d\nlast a b c"),
        ("/etc/sub/one", "one\ninclude two"),
        ("/etc/sub/two", "\ntwo"),
        ("/etc/d/b.conf", "b"),
        ("/etc/d/a.conf", "a"),
        ("/etc/d/.hidden.conf", "h"),
        ("/etc/d/other", "o"),
    ];
    let (lines, mistakes) = read(&files);
    assert_eq!(lines, ["1: one", "2: two", "1: a", "1: b", "4: last a b c"]);
    assert!(mistakes.is_empty());
    let (lines, mistakes) = read(&[("/etc/hba", "include gone\ninclude_dir gone\nx")]);
    assert_eq!(lines, ["3: x"]);
    assert_eq!(
        mistakes,
        [
            "/etc/hba line 1: could not open file \"/etc/gone\": entity not found",
            "/etc/hba line 2: could not open directory \"/etc/gone\": entity not found",
        ]
    );
}

#[test]
fn files_that_lie_in_themselves_end() {
    let (_, mistakes) = read(&[("/etc/hba", "include hba")]);
    assert_eq!(mistakes.len(), 1);
    assert!(mistakes[0].ends_with("maximum nesting depth exceeded"), "{mistakes:?}");
    let (_, mistakes) = read(&[("/etc/hba", "local @hba")]);
    assert!(mistakes[0].ends_with("maximum nesting depth exceeded"), "{mistakes:?}");
    assert_eq!(read(&[]).1, ["could not open file \"/etc/hba\": entity not found"]);
}
