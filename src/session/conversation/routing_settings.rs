//! The session's settings as routing reads them, and its limits of time, worked out anew only when they change.
//!
//! Pure. It never decides where anything goes.

use std::str::FromStr;
use std::time::Duration;

use crate::backend::settings::Settings;
use crate::config::{Database, Listener, Routing, User};
use crate::freshness::Lsn;
use crate::router::{FixedTarget, TargetSource};
use crate::session::consistency::requirement::Levels;
use crate::session::conversation::defaults::SessionDefaults;
use crate::session::model::settings::{SessionSettings, plain};
use crate::session::model::transaction_limits::TransactionLimits;
use crate::sql::{
    AccessMode, Consistency, Hint, Isolation, MaxStaleness, Modes, StandardConformingStrings, Target,
    Transactions,
};

/// What routing reads from the settings.
#[derive(Debug, Default)]
pub(crate) struct RoutingSettings {
    of: (Settings, Settings),
    /// And of which defaults.
    under: u32,
    weir: WeirSettings,
    application_name: Box<str>,
    defaults: Modes,
    limits: TransactionLimits,
    /// How the lexer reads backslashes, where the session says so.
    pub(crate) strings: Option<StandardConformingStrings>,
}

impl RoutingSettings {
    /// `default_transaction_isolation`, where it is not PostgreSQL's default.
    pub(crate) fn isolation(&self) -> Option<Isolation> {
        self.defaults.isolation
    }

    fn new(of: &SessionSettings, defaults: &SessionDefaults) -> Self {
        let (settings, own) = (of.wanted(), of.own());
        let text = |name| {
            let given = || defaults.get(name).map(str::to_owned);
            settings.get(name).map(plain).or_else(given).map(|value| value.trim().to_lowercase())
        };
        Self {
            of: (settings.clone(), own.clone()),
            under: defaults.serial,
            weir: WeirSettings::of(own, of.own_startup()),
            application_name: settings.get("application_name").map(plain).unwrap_or_default().into(),
            defaults: Modes {
                isolation: text("default_transaction_isolation").and_then(|value| match value.as_str() {
                    "serializable" => Some(Isolation::Serializable),
                    "repeatable read" => Some(Isolation::RepeatableRead),
                    _ => None,
                }),
                access: text("default_transaction_read_only")
                    .filter(|v| is_on(v))
                    .map(|_| AccessMode::ReadOnly),
                deferrable: None,
            },
            limits: TransactionLimits::of(settings, |name| defaults.get(name)),
            strings: text("standard_conforming_strings").map(|value| strings(&value)),
        }
    }
}

/// What a client asks of weir by its own settings, by `SET` or, without one, in the startup packet.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WeirSettings {
    target: Option<(Target, TargetSource)>,
    transactions: Option<Transactions>,
    consistency: Option<Consistency>,
    max_staleness: Option<MaxStaleness>,
    min_lsn: Option<Lsn>,
}

impl WeirSettings {
    /// By these settings of a client that came with those of `startup`.
    pub(crate) fn of(own: &Settings, startup: &Settings) -> Self {
        Self {
            target: read(own, "weir.target").map(|target| {
                let startup = read(startup, "weir.target") == Some(target);
                (target, if startup { TargetSource::Startup } else { TargetSource::Set })
            }),
            transactions: read(own, "weir.transactions"),
            consistency: read(own, "weir.consistency"),
            max_staleness: read(own, "weir.max_staleness"),
            min_lsn: read(own, "weir.min_lsn"),
        }
    }
}

/// What the configuration asks of a client's reads: the database's entry, then the user's, then `[routing]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Configured {
    consistency: Consistency,
    max_staleness: Option<Duration>,
}

impl Configured {
    pub(crate) fn new(routing: &Routing, database: Option<&Database>, user: &User) -> Self {
        let consistency = database.and_then(|database| database.consistency).or(user.consistency);
        let max_staleness = database.and_then(|database| database.max_staleness).or(user.max_staleness);
        Self {
            consistency: consistency.unwrap_or(routing.consistency),
            max_staleness: max_staleness.map_or(routing.max_staleness, MaxStaleness::limit),
        }
    }
}

/// The value of one of weir's own settings, where it is set. A value that makes no sense was refused before it could
/// be set.
fn read<T: FromStr>(own: &Settings, name: &str) -> Option<T> {
    plain(own.get(name)?).parse().ok()
}

/// How strings are read by this value of the setting.
pub(super) fn strings(value: &str) -> StandardConformingStrings {
    if is_on(value) { StandardConformingStrings::On } else { StandardConformingStrings::Off }
}

/// PostgreSQL's booleans: any unambiguous prefix of true, yes, on, or 1.
fn is_on(value: &str) -> bool {
    !value.is_empty()
        && (["true", "yes"].iter().any(|word| word.starts_with(value)) || value == "on" || value == "1")
}

/// Targets that the configuration fixes, from the nearest to the farthest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConfiguredTargets {
    /// Of the listener by which the client came.
    pub listener: Target,
    /// Of the database.
    pub database: Target,
    /// Of the user.
    pub user: Target,
}

impl ConfiguredTargets {
    pub(crate) fn new(listener: &Listener, database: Option<&Database>, user: &User) -> Self {
        Self {
            listener: listener.target,
            database: database.map_or(Target::Auto, |database| database.target),
            user: user.target,
        }
    }
}

/// What the configuration says of a client's transactions. The rules stand between the two.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConfiguredTransactions {
    /// Of the listener, the database, the user: the first that says anything.
    nearest: Option<Transactions>,
    /// Of `[routing]`.
    otherwise: Transactions,
}

impl ConfiguredTransactions {
    pub(crate) fn new(
        routing: &Routing,
        listener: &Listener,
        database: Option<&Database>,
        user: &User,
    ) -> Self {
        let database = database.and_then(|database| database.transactions);
        Self {
            nearest: listener.transactions.or(database).or(user.transactions),
            otherwise: routing.transactions,
        }
    }
}

impl RoutingSettings {
    /// Looks at the settings again if they have changed. Says whether they had.
    pub(crate) fn refresh(&mut self, settings: &SessionSettings, defaults: &SessionDefaults) -> bool {
        let (wanted, own) = &self.of;
        if wanted == settings.wanted() && own == settings.own() && self.under == defaults.serial {
            return false;
        }
        *self = Self::new(settings, defaults);
        true
    }

    /// What the client asks of weir.
    pub(crate) fn weir(&self) -> &WeirSettings {
        &self.weir
    }

    pub(crate) fn application_name(&self) -> &str {
        &self.application_name
    }

    /// How long transactions may last.
    pub(crate) fn limits(&self) -> TransactionLimits {
        self.limits
    }

    /// Transaction modes that a `BEGIN` does not have to say.
    pub(crate) fn defaults(&self) -> Modes {
        self.defaults
    }
}

impl WeirSettings {
    /// What is asked of a read with this hint: the first that says something of hint, `SET`, startup packet and
    /// configuration. `as_replayed` says where replay stands once it has come to a position.
    pub(crate) fn levels(
        &self,
        hint: &Hint,
        configured: &Configured,
        as_replayed: impl FnOnce(Lsn) -> Lsn,
    ) -> Levels {
        let max_staleness = hint.max_staleness.or(self.max_staleness);
        Levels {
            consistency: hint.consistency.or(self.consistency).unwrap_or(configured.consistency),
            max_staleness: max_staleness.map_or(configured.max_staleness, MaxStaleness::limit),
            // It may come from pg_current_wal_insert_lsn(), which can stand where replay will not for a long time.
            min_lsn: self.min_lsn.map(as_replayed),
        }
    }

    /// The target that applies before any hint and any rule, and who fixed it.
    pub(crate) fn target(&self, configured: &ConfiguredTargets) -> Option<FixedTarget> {
        let said = |by| self.target.filter(|(_, source)| *source == by).map(|(target, _)| target);
        let (set, startup) = (said(TargetSource::Set), said(TargetSource::Startup));
        let ConfiguredTargets { listener, database, user } = *configured;
        FixedTarget::first(set, startup, listener, database, user)
    }

    /// Where a transaction runs that is begun with this hint: by hint, `SET`, startup packet, listener, database, user,
    /// rule and `[routing]`, the first that says anything. `ruled` is what the rules say of the statement that begins it.
    pub(crate) fn transactions(
        &self,
        hint: &Hint,
        configured: &ConfiguredTransactions,
        ruled: Option<Transactions>,
    ) -> Transactions {
        // What the client came with is a setting until another is set.
        let asked = hint.transactions.or(self.transactions);
        asked.or(configured.nearest).or(ruled).unwrap_or(configured.otherwise)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::value::Value;

    fn view(pairs: &[(&str, Value)]) -> RoutingSettings {
        let settings = pairs.iter().map(|(name, value)| ((*name).into(), value.clone()));
        RoutingSettings::new(
            &SessionSettings::new(&Settings::new(settings.collect())),
            &SessionDefaults::default(),
        )
    }

    #[test]
    fn settings_are_read_as_postgresql_reads_them() {
        let view = view(&[
            ("weir.target", Value::Sql("'Primary'".into())),
            ("weir.transactions", Value::Raw("Primary".into())),
            ("weir.consistency", Value::Raw("Session".into())),
            ("weir.max_staleness", Value::Sql("500".into())),
            ("weir.min_lsn", Value::Sql("'16/b374d848'".into())),
            ("default_transaction_read_only", Value::Raw("tr".into())),
            ("standard_conforming_strings", Value::Sql("off".into())),
            ("default_transaction_isolation", Value::Sql("'serializable'".into())),
        ]);
        assert_eq!(view.weir.target, Some((Target::Primary, TargetSource::Startup)));
        assert_eq!(view.weir.transactions, Some(Transactions::Primary));
        assert_eq!(view.weir.consistency, Some(Consistency::Session));
        assert_eq!(view.weir.max_staleness, Some(MaxStaleness::AtMost(Duration::from_millis(500))));
        assert_eq!(view.weir.min_lsn, Some(Lsn(0x16_b374_d848)));
        assert_eq!(view.defaults.access, Some(AccessMode::ReadOnly));
        assert_eq!(view.defaults.isolation, Some(Isolation::Serializable));
        assert_eq!(view.strings, Some(StandardConformingStrings::Off));
        assert_eq!(super::tests::view(&[]).strings, None);
    }

    #[test]
    fn what_is_set_later_is_told_from_what_the_client_came_with() {
        let startup = Settings::default().with("weir.target", Some(Value::Raw("replica".into())));
        let mut settings = SessionSettings::new(&startup);
        settings.set("weir.target", Value::Sql("'auto'".into()));
        let of = |settings: &SessionSettings| RoutingSettings::new(settings, &SessionDefaults::default());
        assert_eq!(of(&settings).weir.target, Some((Target::Auto, TargetSource::Set)));
        settings.reset("weir.target");
        assert_eq!(of(&settings).weir.target, Some((Target::Replica, TargetSource::Startup)));
    }

    #[test]
    fn where_a_transaction_runs_is_said_by_the_first_that_says_anything() {
        use Transactions::{Lazy, Primary};
        let said = |hint, set, nearest, ruled, otherwise| {
            let weir = WeirSettings { transactions: set, ..WeirSettings::default() };
            let configured = ConfiguredTransactions { nearest, otherwise };
            weir.transactions(&Hint { transactions: hint, ..Hint::default() }, &configured, ruled)
        };
        let (lazy, primary) = (Some(Lazy), Some(Primary));
        assert_eq!(said(primary, lazy, lazy, lazy, Lazy), Primary);
        assert_eq!(said(None, primary, lazy, lazy, Lazy), Primary);
        assert_eq!(said(None, None, primary, lazy, Lazy), Primary);
        assert_eq!(said(None, None, None, primary, Lazy), Primary);
        assert_eq!(said(None, None, None, None, Primary), Primary);
        assert_eq!(said(lazy, primary, primary, primary, Primary), Lazy);
    }

    #[test]
    fn an_application_name_keeps_its_capitals_where_postgresql_keeps_them() {
        let name = |value| view(&[("application_name", value)]).application_name;
        assert_eq!(&*name(Value::Raw("Reports 7".into())), "Reports 7");
        assert_eq!(&*name(Value::Sql("'Reports ''7'''".into())), "Reports '7'");
        assert_eq!(&*name(Value::Sql("E'a''b\\\\c'".into())), "a'b\\c");
        assert_eq!(&*name(Value::Sql("\"Reports\"".into())), "Reports");
        assert_eq!(&*name(Value::Sql("Reports".into())), "reports");
    }
}
