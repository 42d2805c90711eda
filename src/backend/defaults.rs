//! What a connection began with: the settings that its role and its database were given by `ALTER ROLE` and
//! `ALTER DATABASE ... SET`, and of the others those that its session may have to know.
//!
//! Pure: values. They are asked for by `begun`.

use std::collections::{BTreeMap, HashSet};
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
    /// All of it, as the catalog has it.
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

/// What roles and databases were given, by connections that are open: whoever was given the same shares it, so that it
/// is compared by its address.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    known: Mutex<HashSet<Arc<Told>>>,
}

impl Shared {
    pub(super) fn share(&self, told: Arc<Told>) -> Arc<Told> {
        /// So many are not looked through for those that nobody has any more.
        const FEW: usize = 256;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(&told) {
            return known.clone();
        }
        if known.len() >= FEW && known.len() == known.capacity() {
            known.retain(|told| Arc::strong_count(told) > 1);
        }
        known.insert(told.clone());
        told
    }
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
        let same = shared.share(one.told);
        assert!(Arc::ptr_eq(&same, &shared.share(other.told)));
        assert!(!Arc::ptr_eq(&same, &shared.share(Arc::default())));
    }
}
