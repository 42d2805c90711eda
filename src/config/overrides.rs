//! Settings that stand in several places, the narrower before the wider (a user's, a database's, all): read in each
//! by the same words and limits.

use std::ops::RangeInclusive;
use std::time::Duration;

use config::Value;

use super::PoolMode;
use super::kinds::{duration_or_off, word};
use crate::sql::{Consistency, MaxStaleness, Target, Transactions};

const MS: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_secs(86_400);

/// What `SET weir.max_staleness` can say as well: up to 24 days fit in milliseconds.
pub(super) const MAX_STALENESS: RangeInclusive<Duration> = MS..=Duration::from_secs(24 * 86_400);

/// `target = "auto" | "primary" | "replica"`.
pub(super) fn target(value: &Value) -> Result<Target, String> {
    word(&Target::WORDS)(value)
}

/// `transactions = "lazy" | "primary"`.
pub(super) fn transactions(value: &Value) -> Result<Transactions, String> {
    word(&Transactions::WORDS)(value)
}

/// `consistency = "eventual" | "session" | "global" | "strong"`.
pub(super) fn consistency(value: &Value) -> Result<Consistency, String> {
    word(&Consistency::WORDS)(value)
}

/// `max_staleness = "10s"` of a database or a user, or `"off"`.
pub(super) fn max_staleness(value: &Value) -> Result<MaxStaleness, String> {
    duration_or_off(MAX_STALENESS)(value).map(MaxStaleness::from)
}

/// `pool_mode = "transaction" | "session"`.
pub(super) fn pool_mode(value: &Value) -> Result<PoolMode, String> {
    word(&[("transaction", PoolMode::Transaction), ("session", PoolMode::Session)])(value)
}

/// A limit that may be off.
pub(super) fn timeout(value: &Value) -> Result<Option<Duration>, String> {
    duration_or_off(MS..=30 * DAY)(value)
}
