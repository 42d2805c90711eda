//! What `SHOW` says of weir's own settings, in words in which a server says it.
//!
//! Pure.

use crate::backend::value::literal;
use crate::session::model::weir_settings::{
    self as own, REFUSER, UNCOMMITTED, UNKNOWN, WeirSetting, refused_value,
};
use crate::sql::{StandardConformingStrings, Verdict};

/// What is said of weir's own settings.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    values: Vec<(WeirSetting, String)>,
    /// How the lexer reads backslashes.
    pub(crate) strings: StandardConformingStrings,
}

impl Shown {
    /// A statement to be run right in front of the execution of one that shows a setting, in the same transaction.
    pub(crate) fn in_front_of(&self, verdict: &Verdict) -> Option<String> {
        let own = verdict.statements.first().and_then(own::shown)?;
        let (name, value) = match self.value(own) {
            Some(sample) if own == WeirSetting::Lsn => (own.name(), position_then(&literal(sample))),
            Some(value) => (own.name(), literal(value)),
            None => (REFUSER, refused_value(own.name(), UNKNOWN)),
        };
        Some(format!("SELECT pg_catalog.set_config('{name}', {value}, true)"))
    }

    /// A statement that says the value by itself.
    pub(crate) fn at_once(&self, own: WeirSetting) -> String {
        match (self.value(own), own) {
            (Some(json), WeirSetting::Freshness) => own::freshness_table(&literal(json)),
            (Some(sample), WeirSetting::Lsn) => {
                format!("SELECT {} AS \"{}\"", position_then(&literal(sample)), own.name())
            }
            (Some(value), _) => {
                format!("SELECT {}::pg_catalog.text AS \"{}\"", literal(value), own.name())
            }
            (None, _) => format!("SET {REFUSER} TO {}", refused_value(own.name(), UNKNOWN)),
        }
    }

    fn value(&self, own: WeirSetting) -> Option<&str> {
        self.values.iter().find(|(known, _)| *known == own).map(|(_, value)| &**value)
    }

    /// Remembers a value, or that there is none.
    pub(crate) fn put(&mut self, own: WeirSetting, value: Option<String>) {
        self.values.retain(|(known, _)| *known != own);
        self.values.extend(value.map(|value| (own, value)));
    }
}

/// An expression for the position that covers all that was acknowledged before it is evaluated. `sample` was taken when
/// the request arrived, and is all that a replica can tell. The primary has its own: what the same request, or the same
/// batch, has committed further in front lies at or before that. It says no where the transaction has written: that is
/// going to be committed behind whatever it could tell.
fn position_then(sample: &str) -> String {
    let uncommitted = refused_value(WeirSetting::Lsn.name(), UNCOMMITTED);
    format!(
        "CASE WHEN pg_catalog.pg_is_in_recovery() THEN {sample}::pg_catalog.text \
         WHEN pg_catalog.pg_current_xact_id_if_assigned() IS NOT NULL \
         THEN pg_catalog.set_config('{REFUSER}', {uncommitted}, true) \
         ELSE pg_catalog.pg_current_wal_insert_lsn()::pg_catalog.text END"
    )
}
