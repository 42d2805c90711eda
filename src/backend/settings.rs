//! The settings that a session wants and a backend connection carries, and the statements that turn one into the other.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::datestyle;
use super::value::{Span, Value, assignment, identifier};
use crate::error::Error;

/// An immutable set of settings that differ from the server's defaults. Cheap to clone and to compare.
#[derive(Clone, Debug, Default)]
pub struct Settings(Option<Arc<Map>>);

/// A setting that a server does not take any more: its object was dropped, or a right is gone.
#[derive(Debug)]
pub(crate) struct Refused {
    /// Its name.
    pub name: Box<str>,
    /// The value.
    pub value: Value,
    /// The server's words.
    pub error: Arc<Error>,
}

#[derive(Debug)]
struct Map {
    id: u64,
    values: BTreeMap<Box<str>, Value>,
}

impl PartialEq for Settings {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(a), Some(b)) => Arc::ptr_eq(a, b) || a.equals(b),
            _ => false,
        }
    }
}

impl Eq for Settings {}

impl Map {
    /// Apart from the usual case, in which they are the same one, so that comparing costs next to nothing there.
    #[cold]
    fn equals(&self, other: &Self) -> bool {
        self.id == other.id && self.values == other.values
    }
}

impl Hash for Settings {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id().hash(state);
    }
}

impl Settings {
    /// From names and values. Names are lower case.
    pub fn new(values: BTreeMap<Box<str>, Value>) -> Self {
        if values.is_empty() {
            return Self(None);
        }
        let mut hasher = DefaultHasher::new();
        values.hash(&mut hasher);
        Self(Some(Arc::new(Map { id: hasher.finish(), values })))
    }

    /// A number that equal settings share; 0 for none.
    pub fn id(&self) -> u64 {
        self.0.as_ref().map_or(0, |map| map.id)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The value of one setting.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.as_ref()?.values.get(name)
    }

    /// All settings by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().flat_map(|map| map.values.iter().map(|(name, value)| (&**name, value)))
    }

    /// These settings with one changed, or removed.
    #[must_use]
    pub fn with(&self, name: &str, value: Option<Value>) -> Self {
        if self.get(name) == value.as_ref() {
            return self.clone();
        }
        let mut values = self.0.as_ref().map(|map| map.values.clone()).unwrap_or_default();
        match value {
            Some(value) => values.insert(name.into(), value),
            None => values.remove(name),
        };
        Self::new(values)
    }

    /// The SQL that turns a connection that carries `self` into one that carries `wanted`; empty when they agree.
    ///
    /// Names and raw values come from clients, so both are quoted. client_encoding goes behind the others: the text is
    /// in the encoding that holds before. Who the connection acts as is taken back first and set last: what comes between
    /// may need the rights of the user that logged in, and SET SESSION AUTHORIZATION undoes SET ROLE.
    pub fn difference(&self, wanted: &Settings) -> String {
        let mut sql = String::new();
        if self == wanted {
            return sql;
        }
        let acts_as_another = self.acts_as(wanted);
        if acts_as_another {
            for name in IDENTITY.iter().rev().filter(|name| self.get(name).is_some()) {
                let _ = write!(sql, "RESET {};", identifier(name));
            }
        }
        let plain = |name: &str| !IDENTITY.contains(&name);
        for (name, _) in self.iter().filter(|(name, _)| plain(name) && wanted.get(name).is_none()) {
            let _ = write!(sql, "RESET {};", identifier(name));
        }
        let changed = wanted.iter().filter(|(name, value)| plain(name) && self.get(name) != Some(value));
        let (encoding, others): (Vec<_>, Vec<_>) = changed.partition(|(name, _)| *name == "client_encoding");
        for (name, value) in others.into_iter().chain(encoding) {
            if name == datestyle::NAME && self.get(name).is_some() {
                // The part that is not said would stay as another session left it.
                let _ = write!(sql, "RESET {};", identifier(name));
            }
            put_setting(&mut sql, name, value);
        }
        if acts_as_another {
            for name in IDENTITY {
                if let Some(value) = wanted.get(name) {
                    put_setting(&mut sql, name, value);
                }
            }
        }
        sql
    }

    /// All settings in the order in which a connection is told them.
    pub(super) fn in_order(&self) -> impl Iterator<Item = (&str, &Value)> {
        let rank = |name: &str| match name {
            "client_encoding" => 1,
            name => IDENTITY.iter().position(|identity| *identity == name).map_or(0, |at| at + 2),
        };
        let mut all: Vec<_> = self.iter().collect();
        all.sort_by_key(|(name, _)| rank(name));
        all.into_iter()
    }

    /// Those that both have.
    pub(super) fn in_common(&self, other: &Settings) -> Self {
        let common = self.iter().filter(|(name, value)| other.get(name) == Some(value));
        Self::new(common.map(|(name, value)| (name.into(), value.clone())).collect())
    }

    /// Whether a connection that carries `self` differs from one that carries `wanted` in nothing but its name.
    pub fn differs_in_name_only(&self, wanted: &Settings) -> bool {
        let others = |settings| Self::iter(settings).filter(|(name, _)| *name != NAME);
        others(self).eq(others(wanted))
    }

    /// The statement that gives a connection the name that these settings have.
    pub fn name_statement(&self) -> String {
        self.get(NAME).map_or_else(|| format!("RESET {NAME}"), |name| assignment(NAME, name, Span::Session))
    }

    /// Whether a connection that carries `self` acts as somebody else than one that carries `wanted`.
    pub fn acts_as(&self, wanted: &Settings) -> bool {
        IDENTITY.iter().any(|name| self.get(name) != wanted.get(name))
    }
}

/// The settings that say whose rights a connection has, in the order in which they take effect.
const IDENTITY: [&str; 2] = ["session_authorization", "role"];

/// What a connection is called: the one setting that changes nothing but what people read.
pub const NAME: &str = "application_name";

fn put_setting(sql: &mut String, name: &str, value: &Value) {
    let _ = write!(sql, "{};", assignment(name, value, Span::Session));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, Value)]) -> Settings {
        Settings::new(pairs.iter().map(|(n, v)| ((*n).into(), v.clone())).collect())
    }

    #[test]
    fn equal_settings_need_nothing() {
        let a = settings(&[("work_mem", Value::Sql("'7MB'".into()))]);
        assert_eq!(a.difference(&a.clone()), "");
        assert_eq!(Settings::default().difference(&Settings::default()), "");
        assert_eq!(a.id(), settings(&[("work_mem", Value::Sql("'7MB'".into()))]).id());
        assert_eq!(a.with("work_mem", None), Settings::default());
    }

    #[test]
    fn the_difference_resets_and_sets() {
        let a =
            settings(&[("timezone", Value::Sql("'UTC'".into())), ("work_mem", Value::Sql("'7MB'".into()))]);
        let b = settings(&[
            ("client_encoding", Value::Raw("utf-8".into())),
            ("work_mem", Value::Sql("'9MB'".into())),
        ]);
        assert_eq!(
            a.difference(&b),
            "RESET \"timezone\";SET \"work_mem\" TO '9MB';\
             SET \"client_encoding\" TO 'utf-8';"
        );
    }

    #[test]
    fn no_half_of_a_date_style_is_left_behind() {
        let style = |text: &str| settings(&[("datestyle", Value::Sql(text.into()))]);
        assert_eq!(Settings::default().difference(&style("dmy")), "SET \"datestyle\" TO dmy;");
        assert_eq!(
            style("'German, YMD'").difference(&style("dmy")),
            "RESET \"datestyle\";SET \"datestyle\" TO dmy;"
        );
    }

    #[test]
    fn rights_are_taken_back_first_and_given_last() {
        let sql = |text: &str| Value::Sql(text.into());
        let a =
            settings(&[("role", sql("a")), ("session_authorization", sql("b")), ("work_mem", sql("'1MB'"))]);
        let b = settings(&[("role", sql("a")), ("session_authorization", sql("c")), ("jit", sql("off"))]);
        assert_eq!(
            a.difference(&b),
            "RESET \"role\";RESET \"session_authorization\";RESET \"work_mem\";SET \"jit\" TO off;\
             SET \"session_authorization\" TO c;SET \"role\" TO a;"
        );
        assert!(a.acts_as(&b) && !a.acts_as(&a.with("jit", Some(sql("off")))));
    }

    #[test]
    fn a_list_stays_a_list() {
        let path = settings(&[("search_path", Value::Raw("a,b".into()))]);
        assert_eq!(
            Settings::default().difference(&path),
            "SELECT pg_catalog.set_config('search_path', 'a,b', false);"
        );
    }

    #[test]
    fn a_name_is_told_from_what_matters() {
        let raw = |text: &str| Value::Raw(text.into());
        let a = settings(&[("application_name", raw("a")), ("timezone", raw("UTC"))]);
        let b = settings(&[("application_name", raw("b")), ("timezone", raw("UTC"))]);
        assert!(a.differs_in_name_only(&b) && b.differs_in_name_only(&b.with("application_name", None)));
        assert!(!a.differs_in_name_only(&b.with("timezone", None)));
    }

    #[test]
    fn nothing_can_be_smuggled_into_a_name_or_a_value() {
        let evil = settings(&[("a\";drop table t;--", Value::Raw("\\'; drop table t; --".into()))]);
        assert_eq!(
            Settings::default().difference(&evil),
            "SET \"a\"\";drop table t;--\" TO E'\\\\''; drop table t; --';"
        );
        assert_eq!(evil.difference(&Settings::default()), "RESET \"a\"\";drop table t;--\";");
    }
}
