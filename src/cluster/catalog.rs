//! A snapshot of what the primary's catalog says about one database: which functions only read, and which relations
//! replicas do not have.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::time::Instant;

use crate::freshness::Slot;
use crate::sql::Name;

/// What the catalog says about the functions of one name (`pg_proc.provolatile`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Volatility {
    /// Every function of that name is IMMUTABLE or STABLE.
    ReadOnly,
    /// At least one function of that name is VOLATILE, or is one of PostgreSQL's own whose name begins with `pg_`:
    /// many of those are STABLE and yet tell of the server that they run on.
    Volatile,
}

/// One database's catalog at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    /// By name alone, and by schema and name outside `pg_catalog`: an unqualified call may resolve to any schema of
    /// the search path, so all functions of a name count. Empty while a change of the catalog is being read.
    pub functions: HashMap<Name, Volatility>,
    /// Unlogged relations, by name alone and by schema and name. They are not replicated: reading one on a replica
    /// fails with 0A000.
    pub unlogged: HashSet<Name>,
    /// Relations by name alone (all of that name together), and by schema and name. Empty while a change of the
    /// catalog is being read.
    pub relations: HashMap<Name, Relation>,
    /// Since when `relations` says what it says: writes from before were marked by what an earlier snapshot said.
    pub since: Option<Instant>,
}

/// What a statement that names a relation may touch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// What may have changed when it was written.
    pub written: Reach,
    /// What an answer may depend on when it is read.
    pub read: Reach,
}

/// How far a statement reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// These relations.
    These(Box<[Slot]>),
    /// Any relation of the database: user code is involved.
    Everything,
}

impl Catalog {
    /// What is known about a function; `None` when the catalog does not hold it.
    pub fn function(&self, name: &Name) -> Option<Volatility> {
        // PostgreSQL's own functions are kept by name alone, which can only err towards the primary.
        let own = name.schema.as_deref() == Some("pg_catalog");
        if own {
            self.functions.get(&unqualified(&name.name)).copied()
        } else {
            self.functions.get(name).copied()
        }
    }

    /// Whether a relation of that name is unlogged, in its schema or, unqualified, in any.
    pub fn is_unlogged(&self, name: &Name) -> bool {
        self.unlogged.contains(name)
    }

    /// What a relation of that name reaches; `None` when the catalog does not hold it.
    pub fn relation(&self, name: &Name) -> Option<&Relation> {
        self.relations.get(name)
    }

    /// Adds the functions of one schema and name.
    pub(crate) fn add_function(&mut self, schema: &str, name: &str, volatility: Volatility) {
        match self.functions.entry(unqualified(name)) {
            Entry::Vacant(entry) => {
                entry.insert(volatility);
            }
            Entry::Occupied(mut entry) if volatility == Volatility::Volatile => {
                entry.insert(volatility);
            }
            Entry::Occupied(_) => {}
        }
        if schema != "pg_catalog" {
            self.functions.insert(qualified(schema, name), volatility);
        }
    }

    /// Adds an unlogged relation.
    pub(crate) fn add_unlogged(&mut self, schema: &str, name: &str) {
        self.unlogged.insert(unqualified(name));
        self.unlogged.insert(qualified(schema, name));
    }

    /// What may still be relied on after the catalog changed. A function may have begun to write, and a replica
    /// would not always say so; reading an unlogged relation there always fails and is run again.
    pub(crate) fn after_change(&self) -> Self {
        Self { unlogged: self.unlogged.clone(), ..Self::default() }
    }
}

fn unqualified(name: &str) -> Name {
    Name { schema: None, name: name.into() }
}

fn qualified(schema: &str, name: &str) -> Name {
    Name { schema: Some(schema.into()), name: name.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog() -> Catalog {
        let mut catalog = Catalog::default();
        catalog.add_function("pg_catalog", "lower", Volatility::ReadOnly);
        catalog.add_function("public", "total", Volatility::ReadOnly);
        catalog.add_function("audit", "total", Volatility::Volatile);
        catalog.add_function("public", "Total", Volatility::ReadOnly);
        catalog.add_unlogged("public", "scratch");
        catalog
    }

    #[test]
    fn an_unqualified_name_only_reads_when_it_does_so_in_every_schema() {
        let catalog = catalog();
        assert_eq!(catalog.function(&unqualified("total")), Some(Volatility::Volatile));
        assert_eq!(catalog.function(&qualified("public", "total")), Some(Volatility::ReadOnly));
        assert_eq!(catalog.function(&qualified("audit", "total")), Some(Volatility::Volatile));
        assert_eq!(catalog.function(&unqualified("Total")), Some(Volatility::ReadOnly));
        assert_eq!(catalog.function(&qualified("nowhere", "total")), None);
        assert_eq!(catalog.function(&unqualified("nothing")), None);
    }

    #[test]
    fn the_order_of_schemas_does_not_matter() {
        let mut catalog = Catalog::default();
        catalog.add_function("audit", "total", Volatility::Volatile);
        catalog.add_function("public", "total", Volatility::ReadOnly);
        assert_eq!(catalog.function(&unqualified("total")), Some(Volatility::Volatile));
    }

    #[test]
    fn postgresqls_own_functions_are_found_with_and_without_their_schema() {
        let mut catalog = catalog();
        assert_eq!(catalog.function(&unqualified("lower")), Some(Volatility::ReadOnly));
        assert_eq!(catalog.function(&qualified("pg_catalog", "lower")), Some(Volatility::ReadOnly));
        catalog.add_function("public", "lower", Volatility::Volatile);
        assert_eq!(catalog.function(&unqualified("lower")), Some(Volatility::Volatile));
    }

    #[test]
    fn after_a_change_no_function_is_known_but_unlogged_relations_still_are() {
        let changed = catalog().after_change();
        assert_eq!(changed.function(&unqualified("lower")), None);
        assert!(changed.is_unlogged(&unqualified("scratch")));
        assert!(changed.is_unlogged(&qualified("public", "scratch")));
        assert!(!changed.is_unlogged(&qualified("other", "scratch")));
    }
}
