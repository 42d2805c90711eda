//! The shape of types: in how many files their methods stand, how many fields they have, and how many of them are two
//! words for yes and no.

use std::collections::{BTreeMap, BTreeSet};

use crate::house::House;
use crate::items::{Item, Token, items, parts, tokens};
use crate::source::{Source, sources};

/// Files that may hold methods of one type.
const IMPL_FILES_MAX: usize = 3;

/// Types whose methods stand in more files than that, in how many, and why.
const SPREAD: &[(&str, usize, &str)] = &[];

/// Fields of a struct. One that has more says why in its doc comment, in a sentence that begins with [`MANY_FIELDS`].
const FIELDS_MAX: usize = 15;

const MANY_FIELDS: &str = "Many fields: ";

/// How many enums of just two bare words a room has. Each may be a boolean in disguise, where one enum of states
/// would say more: the numbers only go down.
const TWO_WORDS: &[(&str, usize)] = &[];

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

/// The type that an `impl` gives methods of its own.
fn inherent<'a>(item: &Item<'a>) -> Option<&'a str> {
    if item.keyword != "impl" {
        return None;
    }
    let mut depth = 0;
    let mut name = None;
    for Token { text, .. } in &item.tokens[1..] {
        match *text {
            "<" => depth += 1,
            ">" => depth -= 1,
            "{" | "where" if depth == 0 => break,
            // Of a trait.
            "for" if depth == 0 => return None,
            _ => {}
        }
        if depth == 0 && text.starts_with(|c: char| c.is_alphabetic()) {
            name = Some(*text);
        }
    }
    name
}

fn spread_breaches(sources: &[Source], exceptions: &[(&str, usize, &str)]) -> Vec<String> {
    let house = House::new(sources);
    let mut files: BTreeMap<(String, String), BTreeSet<&str>> = BTreeMap::new();
    for source in sources {
        for name in with_tokens(source, |item| inherent(item).map(str::to_owned).into_iter().collect()) {
            let defined = house.defining(&source.path, &name).unwrap_or_else(|| source.path.clone());
            files.entry((name, defined)).or_default().insert(&source.path);
        }
    }
    let breach = |((name, defined), files): (&(String, String), &BTreeSet<&str>)| {
        let listed = exceptions.iter().find(|(listed, ..)| listed == name).map(|(_, count, _)| *count);
        let fits = listed.map_or(files.len() <= IMPL_FILES_MAX, |listed| listed == files.len());
        let most = listed.unwrap_or(IMPL_FILES_MAX);
        let told: Vec<String> = files.iter().map(|file| format!("src/{file}")).collect();
        let why = "what stands in so many files is several types, or functions of what they need";
        (!fits).then(|| {
            let told = told.join("\n    ");
            format!("src/{defined}: {name} has methods in {} files, not {most}: {why}\n    {told}", files.len())
        })
    };
    let missing = exceptions.iter().filter(|(name, ..)| !files.keys().any(|(known, _)| known == name));
    let missing = missing.map(|(name, ..)| format!("{name} has no methods: take it from SPREAD"));
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
