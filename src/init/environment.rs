//! What the surroundings say of a login, by libpq's variables. Values, so that nothing here depends on the process's own.

use std::collections::HashMap;
use std::path::PathBuf;

/// The variables that count.
#[derive(Clone, Debug, Default)]
pub struct Environment(HashMap<String, String>);

impl Environment {
    /// These. An empty one counts as not set, as in libpq.
    pub fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(variables.into_iter().filter(|(_, value)| !value.is_empty()).collect())
    }

    /// One of them.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Where passwords stand.
    pub fn passfile(&self) -> Option<PathBuf> {
        let home = || self.get("HOME").map(|home| PathBuf::from(home).join(".pgpass"));
        self.get("PGPASSFILE").map(PathBuf::from).or_else(home)
    }
}
