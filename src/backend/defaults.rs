//! What a connection began with: the settings that its role and its database were given by `ALTER ROLE` and
//! `ALTER DATABASE ... SET`, and of the others those that its session may have to know.
//!
//! Pure: values. They are asked for by `begun`.

use std::collections::{BTreeMap, HashSet};
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use crate::cluster::defaults::Values;

/// Settings that are often given to roles and databases, besides those that clients see: what a session had before that
/// is known by these.
pub(super) const OTHERS: [&str; 19] = [
    "application_name",
    "client_encoding",
    "default_table_access_method",
    "default_tablespace",
    "enable_hashjoin",
    "enable_mergejoin",
    "enable_nestloop",
    "enable_seqscan",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "jit",
    "lock_timeout",
    "max_parallel_workers_per_gather",
    "random_page_cost",
    "role",
    "statement_timeout",
    "synchronous_commit",
    "transaction_timeout",
    "work_mem",
];

/// What a role and a database were given.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Told {
    /// What the connection has by it. Without what its user may not set.
    pub(crate) values: Values,
    /// All of it, as the catalog has it, and whether the role is a superuser: that is told at login as well.
    pub(super) written: Box<str>,
}

/// What a connection began with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Defaults {
    pub(crate) told: Arc<Told>,
    /// What else was asked for, as the connection had it at its login.
    pub(super) others: Arc<Values>,
}

impl Defaults {
    /// What its role or its database was given.
    pub(crate) fn told(&self, name: &str) -> Option<&str> {
        self.told.values.get(name).map(|value| &**value)
    }

    /// What it had otherwise when it logged in.
    pub(crate) fn other(&self, name: &str) -> Option<&str> {
        self.others.get(name).map(|value| &**value)
    }

    /// What it is made of: what was told, as that was written, and the others.
    pub(crate) fn parts(&self) -> (&Values, &str, &Values) {
        (&self.told.values, &self.told.written, &self.others)
    }

    /// Made of its parts.
    pub(crate) fn from_parts(told: Values, written: Box<str>, others: Values) -> Self {
        Self { told: Arc::new(Told { values: told, written }), others: Arc::new(others) }
    }

    pub(super) fn of(rows: Vec<Vec<Option<Box<str>>>>) -> Self {
        let (mut told, mut others) = (Told::default(), BTreeMap::new());
        for row in rows {
            let [Some(name), value, by] = <[_; 3]>::try_from(row).unwrap_or_default() else { continue };
            match (by.as_deref(), value) {
                (Some("rows"), written) => told.written = written.unwrap_or_default(),
                (Some("told"), value) => _ = told.values.insert(name, value.unwrap_or_default()),
                (_, Some(value)) => _ = others.insert(name, value),
                (_, None) => {}
            }
        }
        others.retain(|name, _| !told.values.contains_key(name));
        Self { told: Arc::new(told), others: Arc::new(others) }
    }
}

/// What open connections began with: those that began with the same share it, so that it is compared by its address.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    told: Mutex<HashSet<Arc<Told>>>,
    others: Mutex<HashSet<Arc<Values>>>,
}

impl Shared {
    /// The same, shared with others.
    pub(crate) fn share(&self, defaults: &Defaults) -> Defaults {
        Defaults { told: shared(&self.told, &defaults.told), others: shared(&self.others, &defaults.others) }
    }
}

fn shared<T: Eq + Hash>(known: &Mutex<HashSet<Arc<T>>>, one: &Arc<T>) -> Arc<T> {
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = known.get(one) {
        return known.clone();
    }
    if known.len() == known.capacity() {
        // Before it grows: those that nobody has any more.
        known.retain(|one| Arc::strong_count(one) > 1);
    }
    known.insert(one.clone());
    one.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_is_told_from_the_rest_and_shared() {
        let row = |name: &str, value: Option<&str>, by: &str| {
            vec![Some(name.into()), value.map(Into::into), Some(by.into())]
        };
        let asked = || {
            Defaults::of(vec![
                row("timezone", Some("UTC"), ""),
                row("transaction_timeout", None, ""),
                row("datestyle", Some("SQL, DMY"), ""),
                row("datestyle", Some("SQL, DMY"), "told"),
                row("", Some("t f {DateStyle=SQL}"), "rows"),
            ])
        };
        let (one, other) = (asked(), asked());
        assert_eq!((one.told("datestyle"), one.other("datestyle")), (Some("SQL, DMY"), None));
        assert_eq!((one.told("timezone"), one.other("timezone")), (None, Some("UTC")));
        assert_eq!(one.other("transaction_timeout"), None);
        let shared = Shared::default();
        let (one, other) = (shared.share(&one), shared.share(&other));
        assert!(Arc::ptr_eq(&one.told, &other.told) && Arc::ptr_eq(&one.others, &other.others));
        assert!(!Arc::ptr_eq(&one.told, &shared.share(&Defaults::default()).told));
    }
}
