//! Settings that the console's `SET` changes at once, until the configuration is read again.

use std::time::Duration;

use config::Value;

use super::kinds::{DAY, MS, PATIENCE, SECOND, duration, duration_or_off, size};
use super::overrides::{MAX_STALENESS, consistency, timeout, transactions};
use super::{Config, Timeouts};

/// Their names.
pub const SETTABLE: [&str; 13] = [
    "listen.login_timeout",
    "listen.drain_timeout",
    "log.slow_query",
    "pool.primary_wait",
    "routing.consistency",
    "routing.freshness_wait",
    "routing.hold_back",
    "routing.learned_ttl",
    "routing.max_staleness",
    "routing.transactions",
    "timeouts.idle_client",
    "timeouts.idle_in_transaction",
    "timeouts.query",
];

/// Why a setting was not changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotSet {
    /// It cannot be while weir runs, or there is none of that name.
    NotLive,
    /// That is no value of its.
    Value(String),
}

impl Config {
    /// The same, but for one setting.
    ///
    /// # Errors
    /// Why it cannot be.
    pub fn with(&self, key: &str, value: &str) -> Result<Self, NotSet> {
        let value = Value::new(None, value);
        let mut config = self.clone();
        let (clients, routing) = (&mut config.clients, &mut config.routing);
        let set = match key {
            "listen.login_timeout" => put(&mut clients.login_timeout, duration(PATIENCE)(&value)),
            "listen.drain_timeout" => put(&mut clients.drain_timeout, duration(Duration::ZERO..=DAY)(&value)),
            "log.slow_query" => put(&mut config.log.slow_query, duration_or_off(MS..=DAY)(&value)),
            "pool.primary_wait" => put(&mut config.pool.primary_wait, duration(Duration::ZERO..=DAY)(&value)),
            "routing.consistency" => put(&mut routing.consistency, consistency(&value)),
            "routing.freshness_wait" => {
                put(&mut routing.freshness_wait, duration(Duration::ZERO..=SECOND)(&value))
            }
            "routing.hold_back" => put(&mut routing.hold_back, size(0..=16 << 20)(&value)),
            "routing.learned_ttl" => put(&mut routing.learned_ttl, duration(SECOND..=30 * DAY)(&value)),
            "routing.max_staleness" => {
                put(&mut routing.max_staleness, duration_or_off(MAX_STALENESS)(&value))
            }
            "routing.transactions" => put(&mut routing.transactions, transactions(&value)),
            _ => return config.with_timeout(key, &value),
        };
        set.map(|()| config)
    }

    /// Users who have a timeout of their own keep it.
    fn with_timeout(mut self, key: &str, value: &Value) -> Result<Self, NotSet> {
        let of: fn(&mut Timeouts) -> &mut Option<Duration> = match key {
            "timeouts.idle_client" => |timeouts| &mut timeouts.idle_client,
            "timeouts.idle_in_transaction" => |timeouts| &mut timeouts.idle_in_transaction,
            "timeouts.query" => |timeouts| &mut timeouts.query,
            _ => return Err(NotSet::NotLive),
        };
        let before = *of(&mut self.timeouts);
        put(of(&mut self.timeouts), timeout(value))?;
        let now = *of(&mut self.timeouts);
        for user in &mut self.users {
            let own = of(&mut user.timeouts);
            *own = if *own == before { now } else { *own };
        }
        Ok(self)
    }
}

fn put<T>(place: &mut T, value: Result<T, String>) -> Result<(), NotSet> {
    *place = value.map_err(NotSet::Value)?;
    Ok(())
}
