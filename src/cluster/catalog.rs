//! A snapshot of what the primary's catalog says about one database: which functions only read.

use std::collections::HashMap;

use crate::sql::Name;

/// What the catalog says about the functions of one name (`pg_proc.provolatile`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Volatility {
    /// Every function of that name is IMMUTABLE or STABLE.
    ReadOnly,
    /// At least one function of that name is VOLATILE.
    Volatile,
}

/// One database's catalog at one moment.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// By name alone and by schema and name: an unqualified call may resolve to any schema of the search path.
    pub functions: HashMap<Name, Volatility>,
}

impl Catalog {
    /// What is known about a function; `None` when the catalog does not hold it.
    pub fn function(&self, name: &Name) -> Option<Volatility> {
        self.functions.get(name).copied()
    }
}
