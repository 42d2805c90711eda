//! The shape of types: in how many files their methods stand, how many fields they have, and how many of them are two
//! words for yes and no.

use std::collections::{BTreeMap, BTreeSet};

use crate::house::House;
use crate::items::{Item, Token, items, parts, tokens};
use crate::source::{Source, sources};

/// Files that may hold methods of one type.
const IMPL_FILES_MAX: usize = 3;

/// Types whose methods stand in more files than that: where they are defined, in how many files, and why.
const SPREAD: &[Spread] = &[];

type Spread = (&'static str, &'static str, usize, &'static str);

/// Fields of a struct. One that has more says why in its doc comment, in a sentence that begins with [`MANY_FIELDS`].
const FIELDS_MAX: usize = 15;

const MANY_FIELDS: &str = "Many fields: ";

/// How many enums of just two bare words a room has. Each may be a boolean in disguise, where one enum of states
/// would say more: the numbers only go down.
const TWO_WORDS: &[(&str, usize)] = &[
    ("backend", 4),
    ("cluster", 8),
    ("config", 2),
    ("frontend", 1),
    ("router", 2),
    ("session", 12),
    ("sql", 10),
    ("wire", 1),
];

/// The items of a file, with those of its inline modules.
fn with_tokens<T>(source: &Source, of: impl Fn(&Item) -> Vec<T>) -> Vec<T> {
    let tokens = tokens(source);
    let mut found = Vec::new();
    for item in items(&tokens) {
        found.extend(of(&item));
        if let ("mod", [_, _, _, inside @ .., last]) = (item.keyword, item.tokens)
            && last.text == "}"
        {
            found.extend(items(inside).iter().flat_map(&of));
        }
    }
    found
}

/// The path of the type that an `impl` gives methods of its own.
fn inherent(item: &Item) -> Option<Vec<String>> {
    let mut depth = 0;
    let mut path = Vec::new();
    for token in item.tokens.iter().skip(1) {
        match token.text {
            "<" => depth += 1,
            ">" => depth -= 1,
            "{" | "where" if depth == 0 => break,
            // Of a trait.
            "for" if depth == 0 => return None,
            "dyn" => {}
            text if depth == 0 && token.is_name() => path.push(text.to_owned()),
            _ => {}
        }
    }
    (item.keyword == "impl").then_some(path)
}

fn spread_breaches(sources: &[Source], exceptions: &[Spread]) -> Vec<String> {
    let house = House::new(sources);
    let mut files: BTreeMap<(String, String), BTreeSet<&str>> = BTreeMap::new();
    for source in sources {
        for path in with_tokens(source, |item| inherent(item).into_iter().collect()) {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            let defined = house.defining(&source.path, &path);
            let defined = defined.unwrap_or_else(|| (source.path.clone(), path.join("::")));
            files.entry(defined).or_default().insert(&source.path);
        }
    }
    let breach = |((defined, name), files): (&(String, String), &BTreeSet<&str>)| {
        let listed = exceptions.iter().find(|(file, listed, ..)| file == defined && listed == name);
        let listed = listed.map(|(_, _, count, _)| *count);
        let fits = listed.map_or(files.len() <= IMPL_FILES_MAX, |listed| listed == files.len());
        let most = listed.unwrap_or(IMPL_FILES_MAX);
        let told: Vec<String> = files.iter().map(|file| format!("src/{file}")).collect();
        let why = "what stands in so many files is several types, or functions of what they need";
        (!fits).then(|| {
            let told = told.join("\n    ");
            format!(
                "src/{defined}: {name} has methods in {} files, not {most}: {why}\n    {told}",
                files.len()
            )
        })
    };
    let known = |file: &str, name: &str| {
        files.keys().any(|known| (known.0.as_str(), known.1.as_str()) == (file, name))
    };
    let missing = exceptions.iter().filter(|(file, name, ..)| !known(file, name));
    let missing =
        missing.map(|(file, name, ..)| format!("src/{file}: {name} has no methods: take it from SPREAD"));
    files.iter().filter_map(breach).chain(missing).collect()
}

fn fields(item: &Item) -> usize {
    let is_block = item.tokens.last().is_some_and(|last| last.text == "}");
    parts(item.tokens, if is_block { "{" } else { "(" }).len()
}

fn field_breaches(source: &Source) -> Vec<String> {
    let breach = |item: &Item| {
        let (count, said) = (fields(item), source.doc_above(item.line));
        let reason = said.split_once(MANY_FIELDS).map(|(_, reason)| reason);
        let (what, why) = match reason {
            None if count > FIELDS_MAX => (
                format!("{} has {count} fields, not {FIELDS_MAX}", item.name),
                format!("group them by subject, or say \"{MANY_FIELDS}\" and why in its doc comment"),
            ),
            Some(_) if count <= FIELDS_MAX => {
                (format!("{} has {count} fields", item.name), "they are not many: leave that out".to_owned())
            }
            Some(reason) if reason.len() < 20 => (item.name.to_owned(), "why has it many fields?".to_owned()),
            _ => return Vec::new(),
        };
        vec![source.breach(item.line, &what, &why)]
    };
    with_tokens(source, |item| if item.keyword == "struct" { breach(item) } else { Vec::new() })
}

/// Where an enum of just two bare words is.
fn two_words(source: &Source) -> Vec<String> {
    with_tokens(source, |item| {
        let variants = if item.keyword == "enum" { parts(item.tokens, "{") } else { Vec::new() };
        let bare = |variant: &&[Token]| !variant.iter().any(|token| matches!(token.text, "(" | "{"));
        let is_pair = variants.len() == 2 && variants.iter().all(bare);
        let told = format!("    src/{}:{}: {}", source.path, item.line, item.name);
        is_pair.then_some(told).into_iter().collect()
    })
}

fn two_word_breaches(sources: &[Source], ceilings: &[(&str, usize)]) -> Vec<String> {
    let mut found: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for source in sources {
        found.entry(source.room()).or_default().extend(two_words(source));
    }
    let breach = |(room, found): (&&str, &Vec<String>)| {
        let ceiling = ceilings.iter().find(|(name, _)| name == room).map_or(0, |(_, ceiling)| *ceiling);
        let why = if found.len() < ceiling {
            "lower the number in tests/architecture".to_owned()
        } else {
            format!("say by one enum what states there are, not by another yes and no\n{}", found.join("\n"))
        };
        let what = format!("{room} has {} enums of two words, not {ceiling}", found.len());
        (found.len() != ceiling).then(|| format!("{what}: {why}"))
    };
    let missing = ceilings.iter().filter(|(room, _)| !found.contains_key(room));
    let missing = missing.map(|(room, _)| format!("there is no room {room}"));
    found.iter().filter_map(breach).chain(missing).collect()
}

fn assert_none(found: &[String]) {
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn methods_of_a_type_stand_together() {
    assert_none(&spread_breaches(&sources(), SPREAD));
}

#[test]
fn no_struct_holds_everything() {
    assert_none(&sources().iter().flat_map(field_breaches).collect::<Vec<_>>());
}

#[test]
fn enums_of_two_words_become_fewer() {
    assert_none(&two_word_breaches(&sources(), TWO_WORDS));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources_of(files: &[(&str, &str)]) -> Vec<Source> {
        files.iter().map(|(path, text)| Source::new(path, text)).collect()
    }

    #[test]
    fn scattered_methods_are_seen_and_told() {
        let sources = sources_of(&[
            ("lib.rs", "mod a; mod b; mod c; mod d;"),
            ("a.rs", "pub struct S<T>(T);\nimpl<T: Fn(u8) -> u8> S<T> { fn a() {} }\nimpl<T> S<T> {}"),
            ("b.rs", "use crate::a::S;\nimpl S<u8> {}\nimpl<T> From<T> for Other {}"),
            ("c.rs", "impl crate::a::S<u16> {}\nmod within { struct Inner; impl Inner {} }"),
            ("d.rs", "use crate::a::S as T;\nimpl T<u32> {}\nstruct Other;\nimpl Other {}"),
        ]);
        let told = spread_breaches(&sources, &[("a.rs", "Gone", 4, "it was large")]);
        assert_eq!(told.len(), 2, "{told:?}");
        let why = "what stands in so many files is several types, or functions of what they need";
        let files = "src/a.rs\n    src/b.rs\n    src/c.rs\n    src/d.rs";
        assert_eq!(told[0], format!("src/a.rs: S has methods in 4 files, not 3: {why}\n    {files}"));
        assert_eq!(told[1], "src/a.rs: Gone has no methods: take it from SPREAD");
        assert_eq!(spread_breaches(&sources, &[("a.rs", "S", 4, "a test")]), Vec::<String>::new());
        assert_eq!(spread_breaches(&sources, &[("a.rs", "S", 5, "a test")]).len(), 1);
    }

    #[test]
    fn a_struct_that_holds_everything_is_seen_and_told() {
        let named =
            |n: usize| (0..n).map(|n| format!("    #[a(b, c)]\n    pub(crate) f{n}: M<u8, (A, B)>,\n"));
        let of = |doc: &str, n: usize| format!("{doc}pub struct S {{\n{}}}\n", named(n).collect::<String>());
        let found = |text: &str| field_breaches(&Source::new("sql/s.rs", text));
        let why = "group them by subject, or say \"Many fields: \" and why in its doc comment";
        assert_eq!(found(&of("", 15)), Vec::<String>::new());
        assert_eq!(found(&of("/// All.\n", 16)), [format!("src/sql/s.rs:2: S has 16 fields, not 15: {why}")]);
        let tuple = format!("struct T({});\nstruct U;", "fn(u8) -> u8, ".repeat(16));
        assert_eq!(found(&tuple), [format!("src/sql/s.rs:1: T has 16 fields, not 15: {why}")]);
        let said = "/// All. Many fields: each is a line of\n/// the same table.\n#[derive(Debug)]\n";
        assert_eq!(found(&of(said, 16)), Vec::<String>::new());
        assert_eq!(found(&of("/// Many fields: so.\n", 16)), ["src/sql/s.rs:2: S: why has it many fields?"]);
        assert_eq!(
            found(&of(said, 2)),
            ["src/sql/s.rs:4: S has 2 fields: they are not many: leave that out"]
        );
        let within = format!("mod m {{\n{}}}\n#[cfg(test)]\n{}", of("", 16), of("", 16));
        assert_eq!(found(&within).len(), 1);
    }

    #[test]
    fn one_more_enum_of_two_words_is_seen_and_told() {
        let sources = sources_of(&[
            (
                "a/x.rs",
                "enum Yes { #[default] No, Yes = 1 }\nenum Three { A, B, C }\nenum Holds { A(u8), B }\n",
            ),
            (
                "a/y.rs",
                "#[cfg(test)]\nenum InTests { A, B }\npub(crate) enum On {\n    /// Off, or so.\n    Off,\n    On,\n}",
            ),
            ("b.rs", "enum One { A, B }"),
        ]);
        let told = two_word_breaches(&sources, &[("a", 1), ("b", 2), ("c", 0)]);
        let why = "say by one enum what states there are, not by another yes and no";
        assert_eq!(
            told,
            [
                format!(
                    "a has 2 enums of two words, not 1: {why}\n    src/a/x.rs:1: Yes\n    src/a/y.rs:3: On"
                ),
                "b has 1 enums of two words, not 2: lower the number in tests/architecture".to_owned(),
                "there is no room c".to_owned(),
            ]
        );
        assert_eq!(two_word_breaches(&sources, &[("a", 2), ("b", 1)]), Vec::<String>::new());
    }
}
