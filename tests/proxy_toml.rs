//! The commented proxy.toml stays in step with the code: it loads, its commented defaults are the defaults, its
//! examples work, and it names every setting that there is.

#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use std::collections::HashMap;
use std::path::PathBuf;

use weir::config::{Config, LIVE, Loaded, RESTART, load_whole_with};

fn shipped() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/proxy.toml")).unwrap()
}

fn load(test: &str, text: &str) -> Config {
    load_text(test, text).unwrap_or_else(|mistakes| panic!("{mistakes}")).config
}

fn load_text(test: &str, text: &str) -> Result<Loaded, weir::config::Mistakes> {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("proxy_toml").join(test);
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("reports.password"), "a password\n").unwrap();
    std::fs::write(directory.join("userlist.txt"), "\"people\" \"a password\"\n").unwrap();
    let file = directory.join("proxy.toml");
    std::fs::write(&file, text).unwrap();
    let environment =
        ["WEB_OWNER_PASSWORD", "WEIR_AUTH_PASSWORD"].map(|name| (name.to_owned(), "another".to_owned()));
    let environment = HashMap::from(environment);
    load_whole_with(&file, &environment)
}

/// A line that holds a setting at its default: `#key = value`, with no space behind the #.
fn default_in(line: &str) -> Option<&str> {
    line.strip_prefix('#').filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()))
}

/// A line that holds a part of an example: `#: ...`.
fn example_in(line: &str) -> Option<&str> {
    line.strip_prefix("#: ")
}

fn uncommented(take: impl Fn(&str) -> Option<&str>) -> (String, usize) {
    let text = shipped();
    let taken = text.lines().filter(|line| take(line).is_some()).count();
    (text.lines().map(|line| take(line).unwrap_or(line)).collect::<Vec<_>>().join("\n"), taken)
}

#[test]
fn every_commented_default_is_the_default() {
    let as_shipped = format!("{:?}", load("defaults", &shipped()));
    let (text, taken) = uncommented(default_in);
    assert!(taken >= 40, "only {taken} defaults were found");
    assert_eq!(format!("{:?}", load("defaults", &text)), as_shipped);
}

#[test]
fn the_examples_work() {
    let (text, _) = uncommented(example_in);
    let config = load("examples", &text);
    let counts =
        (config.listeners.len(), config.users.len(), config.databases.len(), config.routing.rules.len());
    assert_eq!(counts, (3, 3, 1, 2));
    assert!(config.metrics.is_some());
}

#[test]
fn every_setting_is_named_in_its_section() {
    let (text, _) = uncommented(|line| example_in(line).or_else(|| default_in(line)));
    for header in [
        "[listen]",
        "[[listeners]]",
        "[metrics]",
        "[log]",
        "[[servers]]",
        "[[databases]]",
        "[[users]]",
        "[[peers]]",
    ]
    .into_iter()
    .chain([
        "[auth]",
        "[discovery]",
        "[console]",
        "[pool]",
        "[timeouts]",
        "[routing]",
        "[[routing.rules]]",
        "[health]",
        "[runtime]",
    ]) {
        let from = text.find(&format!("\n{header}\n")).unwrap_or_else(|| panic!("{header} is not there"));
        // The section's own text, and that of other entries of the same list.
        let own: String = text.split(&format!("\n{header}\n")).skip(1).map(until_next_section).collect();
        let (before, after) = text.split_at(from + header.len() + 2);
        let mistakes = load_text("named", &format!("{before}zzzzzzzzzz = 1\n{after}")).expect_err(header);
        let [only] = &mistakes.list[..] else { panic!("{mistakes}") };
        let known = only.problem.strip_prefix("unknown; known here: ").expect(&only.problem);
        for key in known.split(", ").filter(|key| *key != "rules") {
            let mut words = own.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            assert!(words.any(|word| word == key), "{header} does not name {key}");
        }
    }
}

/// Each key is brought into force by a reload or said to need a restart: whoever adds one has to say which.
#[test]
fn every_setting_is_live_or_said_to_need_a_restart() {
    let (text, _) = uncommented(example_in);
    let loaded = load_text("live", &text).unwrap();
    let known: Vec<&str> = loaded.written.known().iter().map(String::as_str).collect();
    let live = LIVE.iter().flat_map(|(section, keys)| keys.iter().map(move |key| format!("{section}.{key}")));
    let mut listed: Vec<String> = live.chain(RESTART.iter().map(|(key, _)| (*key).to_owned())).collect();
    listed.sort();
    assert_eq!(known, listed);
}

fn until_next_section(text: &str) -> &str {
    text.find("\n[").map_or(text, |end| &text[..end])
}
