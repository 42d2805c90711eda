//! What a server gives to those who set nothing: by its postgresql.conf (with `ALTER SYSTEM`), and by `ALTER ROLE` and
//! `ALTER DATABASE ... SET`. As the probes found it.
//!
//! Pure: values, and what has changed between two of them. What a single connection began with it does not know.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Settings by which a client is answered otherwise, or understood. Any user may set them, so that a connection to
/// another server can be given what the primary's configuration says.
pub(crate) const VISIBLE: [&str; 24] = [
    "array_nulls",
    "backslash_quote",
    "bytea_output",
    "client_min_messages",
    "datestyle",
    "default_text_search_config",
    "default_transaction_deferrable",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "escape_string_warning",
    "extra_float_digits",
    "intervalstyle",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "quote_all_identifiers",
    "row_security",
    "search_path",
    "standard_conforming_strings",
    "timezone",
    "timezone_abbreviations",
    "transform_null_equals",
    "xmlbinary",
    "xmloption",
];

/// Values of settings, by their names in lower case.
pub(crate) type Values = BTreeMap<Box<str>, Box<str>>;

/// What the configuration of a server says.
#[derive(Debug, Default)]
pub(crate) struct Conf {
    /// Of the settings that clients see. Servers whose configurations say the same of them share it.
    pub(crate) visible: Arc<Values>,
    /// Of others that any role or database is given.
    pub(crate) besides: Values,
}

impl Conf {
    /// What it says of a setting; `None` where that is not known.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.visible.get(name).or_else(|| self.besides.get(name)).map(|value| &**value)
    }

    /// Whether clients see no difference. By addresses.
    pub(crate) fn looks_like(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.visible, &other.visible)
    }
}

/// Whom `ALTER ROLE` or `ALTER DATABASE ... SET` concerns; `None` stands for all of them.
pub(crate) type Whom = (Option<Box<str>>, Option<Box<str>>);

/// The rows of `pg_db_role_setting`: by database and role, all that is set there.
pub(crate) type Rows = BTreeMap<Whom, Box<str>>;

/// What a server gives to those who set nothing.
#[derive(Debug, Default)]
pub(crate) struct Defaults {
    pub(crate) conf: Arc<Conf>,
    pub(crate) rows: Rows,
}

impl Defaults {
    /// Whether this user of this database gets something else by a row than before.
    pub(crate) fn differ_for(&self, before: &Self, database: &str, user: &str) -> bool {
        let names = |name: &Option<Box<str>>, is: &str| name.as_deref().is_none_or(|name| name == is);
        let concerns = |whom: &&Whom| names(&whom.0, database) && names(&whom.1, user);
        let whom = self.rows.keys().chain(before.rows.keys());
        whom.filter(concerns).any(|whom| self.rows.get(whom) != before.rows.get(whom))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_concerns_those_whom_it_names() {
        let with = |rows: &[(Option<&str>, Option<&str>, &str)]| Defaults {
            rows: rows
                .iter()
                .map(|(d, r, set)| ((d.map(Into::into), r.map(Into::into)), (*set).into()))
                .collect(),
            ..Defaults::default()
        };
        let before =
            with(&[(Some("a"), None, "x=1"), (None, Some("u"), "y=1"), (Some("b"), Some("v"), "z=1")]);
        let differ = |rows: &[(Option<&str>, Option<&str>, &str)]| {
            let now = with(rows);
            let all = [("a", "u"), ("a", "v"), ("b", "u"), ("b", "v"), ("c", "w")];
            let concerned = all.into_iter().filter(|(d, u)| now.differ_for(&before, d, u));
            concerned.map(|(d, u)| format!("{d}{u}")).collect::<Vec<_>>().join(" ")
        };
        let (a, u, bv) = ((Some("a"), None, "x=1"), (None, Some("u"), "y=1"), (Some("b"), Some("v"), "z=1"));
        assert_eq!(differ(&[a, u, bv]), "");
        assert_eq!(differ(&[(Some("a"), None, "x=2"), u, bv]), "au av");
        assert_eq!(differ(&[a, bv]), "au bu");
        assert_eq!(differ(&[a, u]), "bv");
        assert_eq!(differ(&[a, u, bv, (None, None, "w=1")]), "au av bu bv cw");
    }
}
