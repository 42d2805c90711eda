//! Calls of `set_config(name, value, is_local)`: which setting gets which value, as far as the arguments tell. Whether
//! the call runs at all is not known here.

use super::parameters;
use crate::sql::text::{self, StandardConformingStrings, Token};
use crate::sql::verdict::{Scope, Setting};

/// What a `set_config` call does.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Assignment {
    /// All three arguments are literals.
    Known(Setting),
    /// It ends with the transaction; the name, where the text tells it.
    Local(Option<Box<str>>),
    /// This setting stays with a value that the text does not tell.
    Named(Box<str>),
    /// It stays, and the text does not tell what it is.
    Unknown,
}

/// Reads the arguments of `set_config(name, value, is_local)`.
pub(super) fn set_config(arguments: &[Token<'_>], strings: StandardConformingStrings) -> Assignment {
    let mut parts = arguments.split(|t| t.is_symbol(","));
    let (Some(name), Some(value), Some(local), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Assignment::Unknown;
    };
    let name = literal(name, strings).map(|name| name.to_ascii_lowercase());
    let repeatable = name.as_deref().filter(|name| parameters::is_repeatable(name));
    let unknown = || repeatable.map_or(Assignment::Unknown, |name| Assignment::Named(name.into()));
    let scope = match local {
        [t] if parameters::boolean(t, strings) == Some(true) => Scope::Local,
        [t] if parameters::boolean(t, strings) == Some(false) => Scope::Session,
        _ => return unknown(),
    };
    let known = || {
        let name = repeatable?;
        let value = match value {
            [t] if t.is_word("null") => "DEFAULT".to_owned(),
            value => text::quote_literal(&literal(value, strings)?),
        };
        Some(Setting { name: name.into(), value: value.into(), scope })
    };
    match (known(), scope) {
        (Some(setting), _) => Assignment::Known(setting),
        (None, Scope::Local) => Assignment::Local(name.map(Into::into)),
        (None, Scope::Session) => unknown(),
    }
}

/// A string literal, perhaps with a cast to text.
pub(super) fn literal(tokens: &[Token<'_>], strings: StandardConformingStrings) -> Option<String> {
    match tokens {
        [t] => text::string_value(*t, strings),
        [t, cast, ty] if cast.is_symbol("::") && (ty.is_word("text") || ty.is_word("varchar")) => {
            text::string_value(*t, strings)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::sql::verdict::{Change, Kind, Pin, Scope, Statement, Traces, Why};
    use crate::sql::{Classifier, StandardConformingStrings};

    fn statement(sql: &str) -> Statement {
        Classifier::new(1).classify(sql.as_bytes(), StandardConformingStrings::On).statements[0].clone()
    }

    fn pins(sql: &str) -> Vec<Pin> {
        statement(sql).effects.pins().collect()
    }

    /// `name = value`, with `local` in front when it ends with the transaction.
    fn settings(sql: &str) -> String {
        let settings = statement(sql).effects.settings;
        let written = settings.iter().map(|setting| {
            let local = if setting.scope == Scope::Local { "local " } else { "" };
            format!("{local}{} = {}", setting.name, setting.value)
        });
        written.collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn set_config_with_literals_is_a_setting() {
        assert_eq!(settings("SELECT set_config('search_path', '', false)"), "search_path = ''");
        assert_eq!(
            settings("SELECT pg_catalog.set_config('search_path', 'a, \"B c\",$user', true)"),
            "local search_path = 'a, \"B c\",$user'"
        );
        assert_eq!(
            settings("SELECT set_config('a.b', 'x,y', 'f'), set_config('C.d'::text, NULL, true)"),
            "a.b = 'x,y'; local c.d = DEFAULT"
        );
        assert_eq!(statement("SELECT set_config('a.b', 'x', false)").effects.changes.len(), 0);
    }

    #[test]
    fn set_config_that_cannot_be_followed_pins() {
        for sql in [
            "SELECT set_config('a.b', $1, false)",
            "SELECT set_config($1, 'x', false)",
            "SELECT set_config('a.b', 'x', $1)",
            "SELECT set_config('a.b', 'x' || 'y', false)",
            "SELECT set_config('a.b', 'x', false) FROM t",
            "SELECT set_config('a.b', 'x', false) WHERE false",
            "SELECT set_config('a.b', 'x', false) FETCH FIRST 0 ROWS ONLY",
            "SELECT EXISTS (SELECT set_config('a.b', 'x', false))",
            "WITH w AS (SELECT set_config('a.b', 'x', false)) TABLE t",
            "UPDATE t SET a = set_config('a.b', 'x', false)",
            "INSERT INTO t TABLE u RETURNING set_config('a.b', 'x', false)",
            "DECLARE c CURSOR FOR SELECT set_config('a.b', 'x', false)",
            "SELECT set_config('transaction_read_only', 'on', false)",
            "SELECT set_config(VARIADIC x)",
        ] {
            assert_eq!(pins(sql), [Pin::DynamicSetting], "{sql}");
            assert_eq!(settings(sql), "", "{sql}");
        }
    }

    #[test]
    fn set_config_that_ends_with_the_transaction_is_told_apart() {
        let local = |name: Option<&str>| Change::LocalSetting(name.map(Into::into));
        for (sql, name) in [
            ("SELECT set_config('a.b', $1, true)", Some("a.b")),
            ("SELECT set_config('ROLE', $1, true)", Some("role")),
            ("SELECT set_config('a.b', 'x', true) FROM t", Some("a.b")),
        ] {
            let statement = statement(sql);
            assert_eq!(statement.kind, Kind::Primary(Why::LocalSetting), "{sql}");
            assert_eq!(&*statement.effects.changes, [local(name)], "{sql}");
            assert_eq!(statement.effects.traces(), Traces::None, "{sql}");
        }
        for (sql, name) in [
            ("SELECT set_config('search_path', $1, true)", Some("search_path")),
            ("SELECT set_config($1, 'x', true)", None),
            ("SELECT set_config('search_path', 'a', true) FROM t", Some("search_path")),
            ("DECLARE c CURSOR FOR SELECT set_config('search_path', 'a', true)", Some("search_path")),
        ] {
            assert_eq!(&*statement(sql).effects.changes, [Change::Searches, local(name)], "{sql}");
        }
        // A cursor whose rows may set it, nobody knows when.
        let declared = statement("DECLARE c CURSOR FOR SELECT set_config('a.b', 'x', true)");
        assert_eq!(&*declared.effects.changes, [local(Some("a.b"))]);
    }

    #[test]
    fn what_is_stronger_than_a_local_setting_stays_the_reason() {
        for (sql, why) in [
            ("SELECT set_config('a.b', $1, true), nextval('s')", Why::Sequence),
            ("SELECT nextval('s'), set_config('a.b', $1, true)", Why::Sequence),
            ("SELECT set_config('a.b', $1, true) FROM pg_temp.t", Why::Temporary),
            ("SELECT set_config('a.b', $1, true) FROM t FOR UPDATE", Why::RowLock),
            ("UPDATE t SET a = set_config('a.b', $1, true)", Why::Write),
            ("SELECT set_config('a.b', $1, true), set_config('c.d', $1, false)", Why::SessionState),
            ("SELECT set_config('transaction_read_only', $1, true)", Why::SessionState),
            ("SELECT set_config('seed', '0.5', true)", Why::SessionState),
            ("SELECT set_config('a.b', $1, true) FROM", Why::SessionState),
        ] {
            let statement = statement(sql);
            assert_eq!(statement.kind, Kind::Primary(why), "{sql}");
            let told = |change: &Change| matches!(change, Change::LocalSetting(Some(_)));
            assert!(statement.effects.changes.iter().any(told), "{sql}");
        }
    }
}
