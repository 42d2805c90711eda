//! The session's settings as routing reads them, worked out anew only when they change.

use crate::backend::settings::{Settings, Value};
use crate::router::{FixedTarget, SessionView, Transaction};
use crate::sql::{Access, Isolation, Modes, StandardConformingStrings, Target};

use super::Session;

/// What routing reads from the settings.
#[derive(Debug, Default)]
pub(super) struct View {
    of: Settings,
    target: Option<Target>,
    application_name: Box<str>,
    defaults: Modes,
    /// How the lexer reads backslashes.
    pub(super) strings: StandardConformingStrings,
}

impl View {
    fn new(settings: &Settings) -> Self {
        let text = |name| settings.get(name).map(|value| plain(value).trim().to_lowercase());
        Self {
            of: settings.clone(),
            target: text("weir.target").and_then(|value| match value.as_str() {
                "primary" => Some(Target::Primary),
                "replica" => Some(Target::Replica),
                "auto" => Some(Target::Auto),
                _ => None,
            }),
            application_name: settings.get("application_name").map(plain).unwrap_or_default().into(),
            defaults: Modes {
                isolation: text("default_transaction_isolation").and_then(|value| match value.as_str() {
                    "serializable" => Some(Isolation::Serializable),
                    "repeatable read" => Some(Isolation::RepeatableRead),
                    _ => None,
                }),
                access: text("default_transaction_read_only").filter(|v| is_on(v)).map(|_| Access::ReadOnly),
                deferrable: None,
            },
            strings: match text("standard_conforming_strings") {
                Some(value) if !is_on(&value) => StandardConformingStrings::Off,
                _ => StandardConformingStrings::On,
            },
        }
    }
}

/// A value without its quotes. Unquoted words are in lower case, as PostgreSQL's parser folds them.
fn plain(value: &Value) -> String {
    match value {
        Value::Raw(text) => text.to_string(),
        Value::Sql(text) => match text.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')) {
            Some(quoted) => quoted.replace("''", "'"),
            None => match text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
                Some(quoted) => quoted.replace("\"\"", "\""),
                None => text.to_lowercase(),
            },
        },
    }
}

/// PostgreSQL's booleans: any unambiguous prefix of true, yes, on, or 1.
fn is_on(value: &str) -> bool {
    !value.is_empty()
        && (["true", "yes"].iter().any(|word| word.starts_with(value)) || value == "on" || value == "1")
}

/// How fresh a replica must be, all told.
pub(super) struct Levels {
    pub consistency: crate::sql::Consistency,
    pub max_staleness: Option<std::time::Duration>,
    pub min_lsn: Option<crate::freshness::Lsn>,
}

impl Session {
    /// What applies to a request with this hint.
    pub(super) fn levels(&self, hint: &crate::sql::Hint) -> Levels {
        let set = self.view.of.get("weir.consistency").map(plain);
        let set = set.and_then(|value| match value.as_str() {
            "eventual" => Some(crate::sql::Consistency::Eventual),
            "session" => Some(crate::sql::Consistency::Session),
            "global" => Some(crate::sql::Consistency::Global),
            "strong" => Some(crate::sql::Consistency::Strong),
            _ => None,
        });
        let routing = &self.shared.config.routing;
        Levels {
            consistency: hint.consistency.or(set).unwrap_or(routing.consistency),
            max_staleness: hint.max_staleness.or(Some(routing.max_staleness)),
            min_lsn: None,
        }
    }

    /// Looks at the settings again if they have changed.
    pub(super) fn refresh_view(&mut self) {
        if self.view.of != *self.state.carry.wanted() {
            *self.view = View::new(self.state.carry.wanted());
        }
    }

    pub(super) fn session_view(&self, transaction: Transaction) -> SessionView<'_> {
        let who = &self.who;
        SessionView {
            transaction,
            pin: self.state.pin,
            target: FixedTarget::first(self.view.target, None, who.listener, who.alias, who.user.target),
            user: &who.user.name,
            database: &who.database,
            application_name: &self.view.application_name,
            defaults: self.view.defaults,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_as_postgresql_reads_them() {
        let settings = Settings::default()
            .with("weir.target", Some(Value::Sql("'Primary'".into())))
            .with("default_transaction_read_only", Some(Value::Raw("tr".into())))
            .with("standard_conforming_strings", Some(Value::Sql("off".into())))
            .with("default_transaction_isolation", Some(Value::Sql("'serializable'".into())));
        let view = View::new(&settings);
        assert_eq!(view.target, Some(Target::Primary));
        assert_eq!(view.defaults.access, Some(Access::ReadOnly));
        assert_eq!(view.defaults.isolation, Some(Isolation::Serializable));
        assert_eq!(view.strings, StandardConformingStrings::Off);
        assert_eq!(View::new(&Settings::default()).strings, StandardConformingStrings::On);
    }

    #[test]
    fn an_application_name_keeps_its_capitals_where_postgresql_keeps_them() {
        let name =
            |value| View::new(&Settings::default().with("application_name", Some(value))).application_name;
        assert_eq!(&*name(Value::Raw("Reports 7".into())), "Reports 7");
        assert_eq!(&*name(Value::Sql("'Reports ''7'''".into())), "Reports '7'");
        assert_eq!(&*name(Value::Sql("\"Reports\"".into())), "Reports");
        assert_eq!(&*name(Value::Sql("Reports".into())), "reports");
    }
}
