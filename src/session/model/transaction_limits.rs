//! The limits of time that a client has set for its transactions: PostgreSQL keeps them in those that it knows of, weir in the
//! others.
//!
//! Pure. It knows what was asked for, never how much of it has passed.

use std::time::Duration;

use crate::backend::settings::Settings;
use crate::session::model::settings::plain;
use crate::sql::time_limit;

/// How long a transaction may last, where that is limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TransactionLimits {
    /// `idle_in_transaction_session_timeout`.
    pub idle: Option<Duration>,
    /// `transaction_timeout`, which there is from PostgreSQL 17 on.
    pub whole: Option<Duration>,
}

impl TransactionLimits {
    /// As a client has set them, or as they are given to it.
    pub(crate) fn of<'a>(settings: &Settings, given: impl Fn(&str) -> Option<&'a str>) -> Self {
        let limit = |name| match settings.get(name) {
            Some(value) => time_limit(&plain(value)),
            None => time_limit(given(name)?),
        };
        Self { idle: limit("idle_in_transaction_session_timeout"), whole: limit("transaction_timeout") }
    }

    /// Whether there is none.
    pub(crate) fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::value::Value;

    #[test]
    fn they_are_read_as_postgresql_reads_them() {
        let with = |name: &str, value| Settings::default().with(name, value);
        let of = |name: &str, value| TransactionLimits::of(&with(name, Some(value)), |_| Some("7s"));
        let idle = |value| of("idle_in_transaction_session_timeout", value).idle;
        assert_eq!(idle(Value::Sql("1500".into())), Some(Duration::from_millis(1500)));
        assert_eq!(idle(Value::Sql("'2 min'".into())), Some(Duration::from_secs(120)));
        assert_eq!(idle(Value::Raw("1s".into())), Some(Duration::from_secs(1)));
        assert_eq!(idle(Value::Sql("0".into())), None);
        let whole = of("transaction_timeout", Value::Sql("'1h'".into()));
        assert_eq!(
            whole,
            TransactionLimits { idle: Some(Duration::from_secs(7)), whole: Some(Duration::from_secs(3600)) }
        );
        let work_mem = with("work_mem", Some(Value::Sql("'1MB'".into())));
        assert!(TransactionLimits::of(&work_mem, |_| None).is_none());
        assert!(TransactionLimits::of(&work_mem, |_| Some("0")).is_none());
    }
}
