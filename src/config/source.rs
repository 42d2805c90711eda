//! The two sources of a configuration, layered by the `config` crate: the file, then the environment over it.
//!
//! Both are sources of our own because a value must know where it was written: `config` keeps an origin with every
//! value, but its TOML source leaves the line out, its environment source the variable's name, and its errors quote
//! the line they choke on, which may hold a password.

use std::collections::HashMap;
use std::path::Path;

use config::{ConfigError, Map, Source, Value, ValueKind};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::mistake::{Mistake, Mistakes, Place};

/// Names of variables that override a setting begin with this; the parts of the key follow, joined by `__`.
const PREFIX: &str = "WEIR__";

/// The one variable with a name of its own, as it is what a person types: `WEIR_LOG=debug weir run`.
const LOG_FILTER: &str = "WEIR_LOG";

/// Lists of tables. The environment cannot reach into them: which entry would `WEIR__SERVERS__PORT` mean?
const LISTS: [&str; 5] = ["listeners", "servers", "databases", "users", "peers"];

/// Reads the file and lays the environment over it. Mistakes here are those of form: TOML syntax, variable names.
pub(super) fn layered(
    file: &Path,
    text: &str,
    environment: &HashMap<String, String>,
    mistakes: &mut Vec<Mistake>,
) -> Result<Map<String, Value>, Mistakes> {
    let toml = parse(file, text)?;
    let overrides = overrides(environment, mistakes);
    let layers = config::Config::builder().add_source(Layer(toml.clone())).add_source(Layer(overrides));
    let ValueKind::Table(mut root) =
        layers.build().map_err(|error| Mistakes::unreadable(file, error.to_string()))?.cache.kind
    else {
        return Err(Mistakes::unreadable(file, "not a table".to_owned()));
    };
    // Merging tables, config drops their origin. A section's is where the file has it.
    for (key, section) in &mut root {
        if let (None, Some(written)) = (section.origin(), toml.get(key)) {
            let origin = written.origin().map(str::to_owned);
            *section = Value::new(origin.as_ref(), std::mem::take(&mut section.kind));
        }
    }
    Ok(root)
}

/// Where a value was written.
pub(super) fn place(value: &Value) -> Place {
    match value.origin() {
        Some(origin) => origin.parse().map_or_else(|_| Place::Variable(origin.to_owned()), Place::Line),
        None => Place::File,
    }
}

/// A source whose values are there already and know their origin: a line number, or a variable's name.
#[derive(Clone, Debug)]
struct Layer(Map<String, Value>);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone())
    }
}

/// The file's values, each with its line. All syntax errors are reported, none with the text that it is about.
fn parse(file: &Path, text: &str) -> Result<Map<String, Value>, Mistakes> {
    let lines = Lines(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return Ok(lines.table(table.into_inner()));
    }
    let syntax = errors.iter().map(|error| Mistake {
        key: String::new(),
        problem: error.message().to_owned(),
        place: error.span().map_or(Place::File, |span| Place::Line(lines.number(span.start))),
    });
    Err(Mistakes::new(file, syntax.collect()))
}

/// Turns byte offsets of a text into line numbers.
struct Lines<'a>(&'a str);

impl Lines<'_> {
    fn number(&self, offset: usize) -> usize {
        self.0.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
    }

    fn table(&self, table: DeTable<'_>) -> Map<String, Value> {
        let entry = |(key, value): (Spanned<_>, Spanned<_>)| {
            let line = self.number(key.span().start);
            let key: std::borrow::Cow<'_, str> = key.into_inner();
            (key.into_owned(), self.value(line, value.into_inner()))
        };
        table.into_iter().map(entry).collect()
    }

    fn value(&self, line: usize, value: DeValue<'_>) -> Value {
        let kind = match value {
            DeValue::String(text) => ValueKind::String(text.into_owned()),
            // What does not fit is no sensible setting either; as a float it is told apart and reported as such.
            DeValue::Integer(digits) => i64::from_str_radix(digits.as_str(), digits.radix())
                .map_or(ValueKind::Float(f64::INFINITY), ValueKind::I64),
            DeValue::Float(digits) => ValueKind::Float(digits.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(value) => ValueKind::Boolean(value),
            DeValue::Datetime(value) => ValueKind::String(value.to_string()),
            DeValue::Array(items) => ValueKind::Array(
                items
                    .into_iter()
                    .map(|item| self.value(self.number(item.span().start), item.into_inner()))
                    .collect(),
            ),
            DeValue::Table(table) => ValueKind::Table(self.table(table)),
        };
        Value::new(Some(&line.to_string()), kind)
    }
}

/// The tree that the environment's variables make. An empty variable counts as not set, as compose files write it.
fn overrides(environment: &HashMap<String, String>, mistakes: &mut Vec<Mistake>) -> Map<String, Value> {
    let mut sections: Map<String, Map<String, Value>> = Map::new();
    for (variable, text) in environment.iter().filter(|(_, text)| !text.is_empty()) {
        match address(variable) {
            None => {}
            Some(Ok((section, key))) => {
                // The short name wins over the long one, whichever comes first.
                let table = sections.entry(section).or_default();
                if variable == LOG_FILTER || !table.contains_key(&key) {
                    table.insert(key, Value::new(Some(variable), text.clone()));
                }
            }
            Some(Err(problem)) => mistakes.push(Mistake {
                key: String::new(),
                problem,
                place: Place::Variable(variable.clone()),
            }),
        }
    }
    sections.into_iter().map(|(section, table)| (section, Value::new(None, table))).collect()
}

/// Variables that were meant to override one of the known settings, and do not: one underscore stands where two belong. Others
/// that begin like weir's are none of its affair, such as what Kubernetes tells of a service that is called weir.
pub(super) fn unheeded(
    environment: &HashMap<String, String>,
    known: impl Iterator<Item = String>,
) -> impl Iterator<Item = Mistake> {
    let paths: Vec<String> = known.filter(|path| path.contains('.') && !path.contains('[')).collect();
    let given = environment.iter().filter(|(_, text)| !text.is_empty()).map(|(variable, _)| variable);
    let meant = move |variable: &String| {
        let said = variable.strip_prefix("WEIR_").filter(|_| address(variable).is_none())?;
        let said = said.to_ascii_lowercase().replace("__", "_");
        let path = paths.iter().find(|path| path.replace('.', "_") == said)?;
        let name = format!("{PREFIX}{}", path.replace('.', "__").to_ascii_uppercase());
        let problem = format!("is not heeded; it is called {name}");
        Some(Mistake { key: String::new(), problem, place: Place::Variable(variable.clone()) })
    };
    given.filter_map(meant)
}

/// Which section and key a variable overrides; `None` for variables that are not ours.
fn address(variable: &str) -> Option<Result<(String, String), String>> {
    if variable == LOG_FILTER {
        return Some(Ok(("log".to_owned(), "filter".to_owned())));
    }
    let path = variable.strip_prefix(PREFIX)?.to_ascii_lowercase();
    let parts: Vec<&str> = path.split("__").collect();
    Some(match parts[..] {
        [section, ..] if LISTS.contains(&section) => {
            Err(format!("[[{section}]] is a list, and only the file can say which of its entries is meant"))
        }
        [section, key] if !section.is_empty() && !key.is_empty() => Ok((section.to_owned(), key.to_owned())),
        _ => Err("expected WEIR__SECTION__KEY, such as WEIR__POOL__SIZE".to_owned()),
    })
}
