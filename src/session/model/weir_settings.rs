//! weir's own settings, as a client sets and shows them.
//!
//! To a server they are custom settings like any other: it takes every name with a dot and every value. So that they
//! behave as settings of PostgreSQL do, whatever the protocol and the state of a transaction, the server still runs
//! every statement about them, but gets it in words in which it comes out right: a `SET` that must fail as one that
//! fails, a `SHOW` with the value put in or set right in front. What is left of them on a server means nothing.

use bytes::BytesMut;

use crate::backend::settings::Settings;
use crate::backend::value::{Value, literal};
use crate::error::{Error, Result};
use crate::freshness::Lsn;
use crate::session::model::settings::is_weirs;
use crate::session::model::settings::plain;
use crate::sql::{Consistency, Kind, MaxStaleness, Pin, Setting, Statement, Target, Transactions, Verdict};
use crate::wire::reply::{self, Report, Severity};
use crate::wire::scan;

/// One of weir's own settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WeirSetting {
    /// Where requests go.
    Target,
    /// Where transactions run.
    Transactions,
    /// Whose writes a read must see.
    Consistency,
    /// How old what it sees may be.
    MaxStaleness,
    /// How far a replica must have replayed.
    MinLsn,
    /// Shown only: where everything acknowledged so far lies at or before.
    Lsn,
    /// Shown only: where the transaction runs.
    Transaction,
    /// Shown only: where the last request went.
    Route,
    /// Shown only: how far the servers are.
    Freshness,
}

const ALL: [(&str, WeirSetting); 9] = [
    ("weir.target", WeirSetting::Target),
    ("weir.transactions", WeirSetting::Transactions),
    ("weir.consistency", WeirSetting::Consistency),
    ("weir.max_staleness", WeirSetting::MaxStaleness),
    ("weir.min_lsn", WeirSetting::MinLsn),
    ("weir.lsn", WeirSetting::Lsn),
    ("weir.transaction", WeirSetting::Transaction),
    ("weir.route", WeirSetting::Route),
    ("weir.freshness", WeirSetting::Freshness),
];

impl WeirSetting {
    fn named(name: &str) -> Option<Self> {
        ALL.iter().find(|(known, _)| *known == name).map(|(_, own)| *own)
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        ALL.iter().find(|(_, own)| *own == self).map_or("", |(name, _)| name)
    }
}

/// Whether a statement sets or shows any of weir's own settings.
pub(crate) fn concerns_weir(statement: &Statement) -> bool {
    shown(statement).is_some() || weir_settings(statement).next().is_some()
}

/// What a statement sets of weir's own settings.
pub(crate) fn weir_settings(statement: &Statement) -> impl Iterator<Item = &Setting> {
    statement.effects.settings.iter().filter(|setting| is_weirs(&setting.name))
}

/// The setting that a statement shows, if it is one of weir's own.
pub(crate) fn shown(statement: &Statement) -> Option<WeirSetting> {
    match &statement.kind {
        Kind::Show(name) => WeirSetting::named(name),
        _ => None,
    }
}

/// Why a setting cannot be set to this value; `None` is its default.
///
/// # Errors
/// What PostgreSQL would say of a setting of its own.
fn admits(name: &str, value: Option<&Value>) -> Result<()> {
    let own = WeirSetting::named(name).ok_or_else(|| Error::SettingName(name.to_owned()))?;
    let text = value.map(plain);
    let taken = |text: &str| match own {
        WeirSetting::Target => text.parse::<Target>().is_ok(),
        WeirSetting::Transactions => text.parse::<Transactions>().is_ok(),
        WeirSetting::Consistency => text.parse::<Consistency>().is_ok(),
        WeirSetting::MaxStaleness => text.parse::<MaxStaleness>().is_ok(),
        WeirSetting::MinLsn => text.parse::<Lsn>().is_ok(),
        WeirSetting::Lsn | WeirSetting::Transaction | WeirSetting::Route | WeirSetting::Freshness => false,
    };
    let hint = match own {
        WeirSetting::Target => Some("Available values: auto, primary, replica."),
        WeirSetting::Transactions => Some("Available values: lazy, primary."),
        WeirSetting::Consistency => Some("Available values: eventual, session, global, strong."),
        WeirSetting::MaxStaleness => Some(
            "Valid units for this parameter are \"us\", \"ms\", \"s\", \"min\", \"h\", and \"d\"; \"off\" sets no limit.",
        ),
        WeirSetting::MinLsn => Some("A value is what \"SHOW weir.lsn\" gives, such as 16/B374D848."),
        WeirSetting::Lsn | WeirSetting::Transaction | WeirSetting::Route | WeirSetting::Freshness => {
            return Err(Error::SettingFixed(name.to_owned()));
        }
    };
    match text {
        Some(text) if !taken(&text) => Err(Error::SettingValue { name: name.to_owned(), value: text, hint }),
        _ => Ok(()),
    }
}

/// Whether a client can come with these settings of weir's own.
///
/// # Errors
/// Why not.
pub(crate) fn admits_all(own: &Settings) -> Result<()> {
    own.iter().try_for_each(|(name, value)| admits(name, Some(value)))
}

/// The value that a setting gets; `None` is the default.
pub(crate) fn value_of(setting: &Setting) -> Option<Value> {
    (&*setting.value != "DEFAULT").then(|| Value::Sql(setting.value.clone()))
}

/// The first setting of a statement that must be refused, and why.
pub(super) fn refused(statement: &Statement) -> Option<(&Setting, Error)> {
    weir_settings(statement)
        .find_map(|setting| Some((setting, admits(&setting.name, value_of(setting).as_ref()).err()?)))
}

/// What makes a server refuse something in weir's stead: a setting that every PostgreSQL has, and a value that none
/// takes. The server's log says the rest.
pub(crate) const REFUSER: &str = "client_min_messages";

/// What makes a server refuse a statement that must not run, in a Parse as well as in a query: a column that there is
/// not. A transaction fails by it, and one that has failed already says so first.
pub(crate) fn refused_statement(pin: Pin) -> String {
    format!("SELECT \"pinning refuses {}\"", pin.as_str())
}

/// What the server answers to that.
pub(crate) const REFUSED_BY_NAME: &str = "42703";

/// What is wrong with a setting that is shown: nobody knows its value, or it could not cover what the transaction has
/// written.
pub(crate) const UNKNOWN: &str = "unknown";
pub(crate) const UNCOMMITTED: &str = "uncommitted";

/// The value that is refused in the stead of what is wrong with a setting. By it the refusal is known again.
pub(crate) fn refused_value(name: &str, wrong: &str) -> String {
    literal(&format!("{name} = {wrong}"))
}

/// A statement that says what the setting will be when it is executed. `SHOW` itself does not do: described on a
/// connection where nobody has shown the setting before, it fails.
pub(super) fn shown_later(own: WeirSetting) -> String {
    let value = format!("pg_catalog.current_setting('{}')", own.name());
    if own == WeirSetting::Freshness {
        freshness_table(&value)
    } else {
        format!("SELECT {value} AS \"{}\"", own.name())
    }
}

/// The rows of `SHOW weir.freshness` from their JSON.
pub(crate) fn freshness_table(json: &str) -> String {
    format!(
        "SELECT * FROM pg_catalog.json_to_recordset({json}::pg_catalog.json) AS freshness(server pg_catalog.text, \
         role pg_catalog.text, state pg_catalog.text, staleness_ms pg_catalog.int8, lag_bytes pg_catalog.int8, \
         replayed pg_catalog.pg_lsn)"
    )
}

/// The error for the client in the place of a server's, where the server refused something in weir's stead.
pub(crate) fn refusal(verdict: &Verdict, frame: &[u8]) -> Option<Error> {
    let message = scan::field(frame, b'M').filter(|_| scan::sqlstate(frame) == Some(b"22023"))?;
    let says = |text: &str| message.windows(text.len()).any(|window| window == text.as_bytes());
    verdict.statements.iter().find_map(|statement| match (refused(statement), shown(statement)) {
        (Some((setting, error)), _) => says(&format!("{} = ", setting.name)).then_some(error),
        (None, Some(own)) if says(&format!("{} = {UNCOMMITTED}", own.name())) => {
            Some(Error::PositionUncommitted)
        }
        (None, Some(own)) => says(&format!("{} = {UNKNOWN}", own.name())).then_some(Error::NoPosition),
        (None, None) => None,
    })
}

/// An error as an ErrorResponse.
pub(crate) fn response(error: &Error) -> Vec<u8> {
    let message = error.to_string();
    let report = Report {
        detail: error.detail(),
        hint: error.hint(),
        ..Report::new(Severity::Error, error.sqlstate(), &message)
    };
    let mut frame = BytesMut::new();
    reply::error(&mut frame, &report);
    frame.to_vec()
}
