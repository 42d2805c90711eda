//! The documents lead somewhere: relative links and their anchors exist, and docs/with shows no command, no code and no
//! library that the tree does not have. Nothing is run here; `tests/with/run` does that.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "with/libraries.rs"]
#[allow(dead_code, reason = "tests/with/run asks it for more")]
mod libraries;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use libraries::LIBRARIES;

/// Where the code that pages show is taken from.
const SOURCES: [&str; 7] = [
    "tests/with",
    "tests/with/alembic",
    "tests/with/node",
    "tests/with/node/prisma",
    "tests/with/rust/src/bin",
    "tests/with/go",
    "tests/orm",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files(directory: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(directory)).unwrap();
    let mut files: Vec<_> =
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
    files.sort();
    files
}

fn pages(directory: &str) -> Vec<PathBuf> {
    files(directory).into_iter().filter(|path| path.extension().is_some_and(|end| end == "md")).collect()
}

fn documents() -> Vec<PathBuf> {
    let beside = ["README.md", "CHANGELOG.md"].map(|name| root().join(name));
    beside.into_iter().chain(pages("docs")).chain(pages("docs/with")).collect()
}

fn name(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

/// A document's prose, without what stands between fences.
fn prose(text: &str) -> String {
    let mut fenced = false;
    let outside = text.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence && !line.starts_with("    ")
    });
    outside.collect::<Vec<_>>().join("\n")
}

/// What stands in round brackets behind square ones.
fn links(prose: &str) -> Vec<&str> {
    let behind = prose.split("](").skip(1);
    behind.filter_map(|rest| rest.split_once(')').map(|(link, _)| link)).collect()
}

/// The anchors of a document's titles, as GitHub makes them; of equal ones the later ones have a number.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for title in prose(text).lines().filter(|line| line.starts_with('#')) {
        let title = title.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        let anchor = kept.collect::<String>().replace(' ', "-");
        let again = (1..).map(|n| format!("{anchor}-{n}"));
        let free = std::iter::once(anchor.clone()).chain(again).find(|anchor| !anchors.contains(anchor));
        anchors.insert(free.unwrap());
    }
    anchors
}

/// The blocks between fences, each with the word behind the first one.
fn blocks(text: &str) -> Vec<(&str, &str)> {
    let pieces = text.split("```").skip(1).step_by(2);
    pieces.filter_map(|piece| piece.split_once('\n')).collect()
}

#[test]
fn links_lead_somewhere() {
    let mut broken = Vec::new();
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for link in links(&prose(&text)) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (path, anchor) =
                link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor)));
            let target = match path {
                "" => document.clone(),
                path => document.parent().unwrap().join(path),
            };
            let found = match anchor {
                None => target.exists(),
                Some(anchor) => fs::read_to_string(&target).is_ok_and(|text| anchors(&text).contains(anchor)),
            };
            if !found {
                broken.push(format!("{}: {link}", name(&document)));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
}

#[test]
fn anchors_are_githubs() {
    let text = "# What's `SHOW` for?\n## A, B\n```\n# no title\n```\n## A b\n## A, B\n";
    let expected = ["whats-show-for", "a-b", "a-b-1", "a-b-2"].map(str::to_owned);
    assert_eq!(anchors(text), expected.into_iter().collect());
}

#[test]
fn pages_show_each_library_and_the_index_each_page() {
    for library in LIBRARIES {
        let page = fs::read_to_string(root().join("docs/with").join(library.page)).unwrap();
        let line =
            page.lines().find(|line| line.split(' ').next() == Some(library.name) && line.contains(" %"));
        assert!(line.is_some(), "docs/with/{} has no line of {}", library.page, library.name);
    }
    let index = fs::read_to_string(root().join("docs/with/README.md")).unwrap();
    for page in pages("docs/with").iter().filter(|page| !page.ends_with("README.md")) {
        let file = page.file_name().unwrap().to_str().unwrap();
        assert!(index.contains(&format!("]({file})")), "docs/with/README.md does not lead to {file}");
    }
}

/// A line of a page's `sh` is a program of the tree, with libraries that there are, or one of Cargo's benchmarks.
fn is_known(command: &str) -> bool {
    let words: Vec<_> = command.split('#').next().unwrap().split_whitespace().collect();
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    match words.as_slice() {
        ["cargo", "bench", "--bench", bench, ..] => manifest.contains(&format!("name = \"{bench}\"")),
        ["tests/with/run", names @ ..] => names.iter().filter(|name| !name.starts_with('-')).all(|name| {
            ["all", "why"].contains(name) || LIBRARIES.iter().any(|library| library.name == *name)
        }),
        [program, ..] => root().join(program).is_file(),
        [] => true,
    }
}

#[test]
fn commands_and_code_on_pages_are_the_trees() {
    let sources = SOURCES.iter().flat_map(|directory| files(directory));
    let sources: Vec<_> = sources.filter_map(|path| fs::read_to_string(path).ok()).collect();
    let lines: BTreeSet<_> = sources.iter().flat_map(|text| text.lines().map(str::trim)).collect();
    let mut strangers = Vec::new();
    for page in pages("docs/with").into_iter().chain([root().join("docs/comparison.md")]) {
        let text = fs::read_to_string(&page).unwrap();
        for (kind, block) in blocks(&text) {
            let known = |line: &&str| match kind {
                // What is only shown, and what tests/with/run itself runs.
                "text" | "sql" => true,
                "sh" => is_known(line),
                _ => line.trim().is_empty() || lines.contains(line.trim()),
            };
            let unknown = block.lines().filter(|line| !known(line));
            strangers.extend(unknown.map(|line| format!("{} ({kind}): {line}", name(&page))));
        }
    }
    assert!(strangers.is_empty(), "what no test knows:\n{}", strangers.join("\n"));
}
