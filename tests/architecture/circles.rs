//! No file names, by whatever way, itself: of two files one is below the other, and can be read without it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::house::{House, Naming};
use crate::source::{Source, sources};

/// What each file names of each other one.
type Graph<'a> = BTreeMap<&'a str, BTreeMap<&'a str, Vec<&'a Naming>>>;

/// The circles, the shortest first, but of those that share a step only one: each that is told needs a cut of its own.
fn circles(sources: &[Source]) -> Vec<String> {
    let (namings, mut told) = House::new(sources).namings();
    let mut graph = Graph::new();
    for naming in &namings {
        graph.entry(&naming.from).or_default().entry(&naming.to).or_default().push(naming);
    }
    strip(&mut graph);
    let mut found = BTreeSet::new();
    for (from, named) in &graph {
        for to in named.keys() {
            let back = way(&graph, to, from);
            found.extend(back.map(|way| (way.len(), from_the_first(way))));
        }
    }
    let mut walked = BTreeSet::new();
    for (_, circle) in &found {
        if steps(circle).iter().all(|step| !walked.contains(step)) {
            walked.extend(steps(circle));
            told.push(describe(&graph, circle));
        }
    }
    told
}

/// Takes away, again and again, the files that name none of those that are left: they are in no circle.
fn strip(graph: &mut Graph) {
    loop {
        let left: BTreeSet<&str> = graph.keys().copied().collect();
        for named in graph.values_mut() {
            named.retain(|to, _| left.contains(to));
        }
        graph.retain(|_, named| !named.is_empty());
        if graph.len() == left.len() {
            return;
        }
    }
}

/// The files on the shortest way from one to another, with both.
fn way<'a>(graph: &Graph<'a>, from: &'a str, to: &'a str) -> Option<Vec<&'a str>> {
    let (mut came_from, mut queue) = (BTreeMap::new(), VecDeque::from([from]));
    while let Some(file) = queue.pop_front() {
        if file == to {
            let back = std::iter::successors(Some(to), |file| came_from.get(file).copied());
            let mut way: Vec<&str> = back.collect();
            way.reverse();
            return Some(way);
        }
        for next in graph.get(file).into_iter().flat_map(BTreeMap::keys) {
            if *next != from && !came_from.contains_key(next) {
                came_from.insert(*next, file);
                queue.push_back(next);
            }
        }
    }
    None
}

/// The same circle, whichever of its files it was found from.
fn from_the_first(mut circle: Vec<&str>) -> Vec<&str> {
    let first = (0..circle.len()).min_by_key(|&at| circle[at]).unwrap_or(0);
    circle.rotate_left(first);
    circle
}

/// From each file to the next, and from the last to the first.
fn steps<'a>(circle: &[&'a str]) -> Vec<(&'a str, &'a str)> {
    let files = circle.iter().copied();
    files.clone().zip(files.cycle().skip(1)).collect()
}

fn describe(graph: &Graph, circle: &[&str]) -> String {
    let files: Vec<String> = circle.iter().chain(&circle[..1]).map(|file| format!("src/{file}")).collect();
    let mut told = format!("a circle: {}", files.join(" -> "));
    for (from, to) in steps(circle) {
        let namings = &graph[from][to];
        let items: BTreeSet<&str> = namings.iter().map(|naming| naming.item.as_str()).collect();
        let items: Vec<&str> = items.into_iter().collect();
        let line = namings.iter().map(|naming| naming.line).min().unwrap_or(1);
        told.push_str(&format!("\n    src/{from}:{line} names {} of src/{to}", items.join(", ")));
    }
    told
}

#[test]
fn no_files_name_each_other_in_a_circle() {
    let sources = sources();
    // Who sees nothing finds nothing.
    let (namings, _) = House::new(&sources).namings();
    assert!(namings.len() > 1000, "only {} items are seen to be named", namings.len());
    let found = circles(&sources);
    assert!(found.is_empty(), "\n{} to be cut:\n{}\n", found.len(), found.join("\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<Source> = files.iter().map(|(path, text)| Source::new(path, text)).collect();
        circles(&sources)
    }

    #[test]
    fn a_breach_is_seen_and_told() {
        let circle = found(&[
            ("lib.rs", "pub mod a; mod b; pub mod c;\n"),
            ("a.rs", "use crate::c::{self, deep::{Deep as D}};\npub fn f(d: D) { crate::c::g() }\n"),
            // A face that only passes on is no part of a circle; what it passes on is found behind it.
            ("c/mod.rs", "pub(crate) mod deep;\nmod g;\npub use g::*;\npub use crate::a::f;\n"),
            ("c/g.rs", "use crate::b;\npub fn g() { b::h() }\n"),
            ("c/deep.rs", "pub struct Deep;\n"),
            ("b.rs", "pub fn h() {\n    super::c::f()\n}\n"),
        ]);
        assert_eq!(
            circle,
            ["a circle: src/a.rs -> src/c/g.rs -> src/b.rs -> src/a.rs\n    \
              src/a.rs:2 names g of src/c/g.rs\n    \
              src/c/g.rs:2 names h of src/b.rs\n    \
              src/b.rs:2 names f of src/a.rs"]
        );
    }

    #[test]
    fn a_face_that_defines_is_a_file_like_others() {
        let circle = found(&[
            ("lib.rs", "mod a;"),
            ("a/mod.rs", "mod b;\npub use b::B;\npub struct A(B);\n"),
            ("a/b.rs", "pub struct B;\nimpl B { fn of(a: super::A) {} }\n"),
        ]);
        assert_eq!(circle.len(), 1, "{circle:?}");
        assert!(circle[0].starts_with("a circle: src/a/b.rs -> src/a/mod.rs -> src/a/b.rs\n"), "{circle:?}");
        let passed_on = found(&[
            ("lib.rs", "mod a;"),
            ("a/mod.rs", "mod b;\npub use b::B;\npub struct A;\n"),
            ("a/b.rs", "pub struct B(super::A);\n#[cfg(test)]\nfn t() { super::b::B }\n"),
        ]);
        assert_eq!(passed_on, Vec::<String>::new());
    }

    #[test]
    fn what_cannot_be_followed_is_told() {
        let lost = found(&[
            ("lib.rs", "mod a;\nmod b;\n"),
            ("a.rs", "use crate::b::*;\nuse super::b::C;\n"),
            ("b.rs", ""),
        ]);
        let told = [
            "src/a.rs:2: super::b::C: no file was found that defines it",
            "src/a.rs:1: use crate::b::*: say each name, so that it can be followed",
        ];
        assert_eq!(lost, told);
    }
}
