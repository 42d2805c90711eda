//! Which file names what of which: a path in the code, followed through the faces to the file that defines the item.

use std::collections::{BTreeMap, BTreeSet};

use crate::items::{Import, Token, body, imports, items, paths, tokens};
use crate::source::Source;

/// How many re-exports may stand between a path and its item.
const STEPS_MAX: usize = 12;

/// A file as a module: what it defines, brings and names.
struct Module<'a> {
    source: &'a Source,
    body: Vec<Token<'a>>,
    items: BTreeSet<String>,
    imports: Vec<Import<'a>>,
}

/// Every module of the library by its path: `session::flow::wait`; the library itself is the empty path.
pub(crate) struct House<'a> {
    modules: BTreeMap<String, Module<'a>>,
}

/// An item of one file that another names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Naming {
    /// The files, by their paths below `src/`.
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) item: String,
    pub(crate) line: usize,
}

/// Where a path leads.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Module(String),
    Item(String, String),
    /// In another library.
    Outside,
}

impl<'a> House<'a> {
    pub(crate) fn new(sources: &'a [Source]) -> Self {
        // The program is above the library, and names it as everybody may.
        let library = sources.iter().filter(|source| source.path != "main.rs");
        Self { modules: library.map(|source| (module_path(&source.path), Module::new(source))).collect() }
    }

    /// Everything that files name of each other, and the paths whose end was not found.
    pub(crate) fn namings(&self) -> (Vec<Naming>, Vec<String>) {
        let (mut found, mut lost) = (BTreeSet::new(), Vec::new());
        for (here, module) in &self.modules {
            for (path, line) in module.named() {
                match self.resolve(here, &path, 0) {
                    Some(Found::Item(there, item)) if there != *here => {
                        let to = self.modules[&there].source.path.clone();
                        found.insert(Naming { from: module.source.path.clone(), to, item, line });
                    }
                    None if matches!(path[0], "crate" | "self" | "super") => {
                        let why = "no file was found that defines it";
                        lost.push(module.source.breach(line, &path.join("::"), why));
                    }
                    _ => {}
                }
            }
            lost.extend(self.glob_breaches(here));
        }
        (found.into_iter().collect(), lost)
    }

    /// What a glob brings cannot be told from here. A face may have one: it only passes on.
    fn glob_breaches(&self, here: &str) -> Vec<String> {
        let module = &self.modules[here];
        let hides = |import: &&Import| {
            let found = self.resolve(here, &import.path, 0);
            import.name == "*" && !import.is_public && matches!(found, Some(Found::Module(_)))
        };
        let told = |import: &Import| {
            let what = format!("use {}::*", import.path.join("::"));
            module.source.breach(import.line, &what, "say each name, so that it can be followed")
        };
        module.imports.iter().filter(hides).map(told).collect()
    }

    /// The file that defines a type, by a path in another file, and its name there.
    pub(crate) fn defining(&self, from: &str, path: &[&str]) -> Option<(String, String)> {
        match self.resolve(&module_path(from), path, 0)? {
            Found::Item(there, item) => Some((self.modules[&there].source.path.clone(), item)),
            Found::Module(_) | Found::Outside => None,
        }
    }

    fn resolve(&self, here: &str, path: &[&str], steps: usize) -> Option<Found> {
        match path {
            ["crate", rest @ ..] => self.walk("", rest, steps),
            ["self", rest @ ..] => self.walk(here, rest, steps),
            ["super", rest @ ..] => {
                self.walk(here.rsplit_once("::").map_or("", |(above, _)| above), rest, steps)
            }
            // What cannot be seen from here is the name of another library.
            _ => self.walk(here, path, steps).or(Some(Found::Outside)),
        }
    }

    /// Follows a path from a module that can see its first name. `None`: it leads nowhere.
    fn walk(&self, here: &str, path: &[&str], steps: usize) -> Option<Found> {
        let [name, rest @ ..] = path else { return Some(Found::Module(here.to_owned())) };
        if *name == "super" {
            return self.resolve(here, path, steps);
        }
        let module = self.modules.get(here).filter(|_| steps < STEPS_MAX)?;
        let child = if here.is_empty() { (*name).to_owned() } else { format!("{here}::{name}") };
        let child = Some(child).filter(|child| self.modules.contains_key(child));
        match child {
            Some(child) if !rest.is_empty() => self.walk(&child, rest, steps),
            _ if module.items.contains(*name) => Some(Found::Item(here.to_owned(), (*name).to_owned())),
            // An item may have the name of the module that it comes from: what a path ends in is the item.
            child => self.brought(here, path, steps + 1).or(child.map(Found::Module)),
        }
    }

    /// Follows a path by what the module brings: under the path's first name, or by a glob.
    fn brought(&self, here: &str, path: &[&str], steps: usize) -> Option<Found> {
        let imports = &self.modules[here].imports;
        let named = imports.iter().filter(|import| import.name == path[0] && import.path != path[..1]);
        let mut by_name =
            named.filter_map(|import| self.resolve(here, &[&import.path, &path[1..]].concat(), steps));
        let globs = imports.iter().filter(|import| import.name == "*");
        let mut by_glob = globs.filter_map(|import| {
            let found = self.resolve(here, &[&import.path, path].concat(), steps);
            // What is found behind a glob of variants is their enum, whatever was looked for.
            found.filter(|found| matches!(found, Found::Item(_, item) if item == path[0]))
        });
        by_name.next().or_else(|| by_glob.next())
    }
}

impl<'a> Module<'a> {
    fn new(source: &'a Source) -> Self {
        let tokens = tokens(source);
        let defined = |keyword| !matches!(keyword, "mod" | "use" | "impl");
        let mut names = BTreeSet::new();
        for item in items(&tokens) {
            // A module within the file is an item of it; one in a file of its own is found as a child.
            let is_inline = item.keyword == "mod" && item.tokens.last().is_some_and(|last| last.text == "}");
            if defined(item.keyword) || is_inline {
                names.insert(item.name.to_owned());
            }
        }
        Self { source, items: names, imports: imports(&tokens), body: body(&tokens) }
    }

    /// The paths that its code names. What it only passes on, it does not name.
    fn named(&self) -> Vec<(Vec<&'a str>, usize)> {
        let words: BTreeSet<&str> = self.body.iter().map(|token| token.text).collect();
        let used =
            |import: &&Import| import.name != "*" && (!import.is_public || words.contains(import.name));
        let brought = self.imports.iter().filter(used).map(|import| (import.path.clone(), import.line));
        brought.chain(paths(&self.body)).collect()
    }
}

/// `session/flow/wait.rs` is `session::flow::wait`, `session/mod.rs` is `session`.
fn module_path(path: &str) -> String {
    let stem = path.strip_suffix(".rs").unwrap_or(path);
    let stem = stem.strip_suffix("/mod").unwrap_or(stem);
    if stem == "lib" { String::new() } else { stem.replace('/', "::") }
}
