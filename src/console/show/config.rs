//! `SHOW CONFIG`, `STATE` and `MEM`: what weir was told, how it stands, and what it takes.

use std::time::{Duration, SystemTime};

use crate::config::{Config, SETTABLE};
use crate::console::show::pools::word;
use crate::console::table::Type::Text;
use crate::console::table::{Column, Table, value};
use crate::session::{Shared, Whole};

pub(super) const CONFIG: &[Column] =
    &[("key", Text), ("value", Text), ("default", Text), ("changeable", Text)];

/// A moment as PgBouncer writes it: `2024-02-29 13:05:00 UTC`.
pub(super) fn timestamp(at: SystemTime) -> String {
    let seconds = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Years that begin in March end with their leap day (Hinnant's "days from civil", the other way round).
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

fn seconds(time: Option<Duration>) -> String {
    time.unwrap_or_default().as_secs().to_string()
}

fn time(time: Duration) -> String {
    format!("{time:?}")
}

fn or_off(time: Option<Duration>) -> String {
    time.map_or_else(|| "off".to_owned(), |time| format!("{time:?}"))
}

/// PgBouncer's names for what there is of it here, with seconds in whole numbers.
fn in_pgbouncer_s_words(config: &Config) -> Vec<(&'static str, String, &'static str)> {
    let (pool, timeouts) = (&config.pool, &config.timeouts);
    let operators = config.auth.operators.clone().unwrap_or_default();
    let hba = config.auth.hba.as_ref().map(|files| files.hba.display().to_string());
    let listener = config.listeners.first().map(|listener| listener.address.to_string());
    vec![
        ("admin_users", operators.users.join(", "), ""),
        ("auth_hba_file", hba.unwrap_or_default(), ""),
        ("client_idle_timeout", seconds(timeouts.idle_client), "0"),
        ("client_login_timeout", seconds(Some(config.clients.login_timeout)), "60"),
        ("default_pool_size", pool.size.to_string(), "20"),
        ("idle_transaction_timeout", seconds(timeouts.idle_in_transaction), "0"),
        ("listen_addr", listener.unwrap_or_default(), "127.0.0.1:6432"),
        ("max_client_conn", config.clients.limit.to_string(), "10000"),
        ("max_db_connections", pool.total.to_string(), "0"),
        ("max_prepared_statements", pool.prepared_statements.to_string(), "200"),
        ("max_user_connections", "0".to_owned(), "0"),
        ("min_pool_size", pool.min_idle.to_string(), "0"),
        ("pool_mode", word(pool.mode).to_owned(), "transaction"),
        ("query_timeout", seconds(timeouts.query), "0"),
        ("query_wait_timeout", seconds(Some(pool.checkout_timeout)), "10"),
        ("server_connect_timeout", seconds(Some(pool.connect_timeout)), "5"),
        ("server_idle_timeout", seconds(Some(pool.idle_timeout)), "600"),
        ("server_lifetime", seconds(Some(pool.lifetime)), "3600"),
        ("stats_users", operators.stats_users.join(", "), ""),
    ]
}

/// Their names in proxy.toml.
fn in_its_own_words(config: &Config) -> Vec<(&'static str, String, &'static str)> {
    let (routing, pool, health) = (&config.routing, &config.pool, &config.health);
    vec![
        ("health.interval", time(health.interval), "1s"),
        ("health.lost_after", time(health.lost_after), "5s"),
        ("health.timeout", time(health.timeout), "2s"),
        ("listen.drain_timeout", time(config.clients.drain_timeout), "30s"),
        ("listen.login_timeout", time(config.clients.login_timeout), "60s"),
        ("log.filter", config.log.filter.clone(), "info"),
        ("log.slow_query", or_off(config.log.slow_query), "1s"),
        ("pool.primary_wait", time(pool.primary_wait), "10s"),
        ("pool.queue_limit", pool.queue_limit.to_string(), "10000"),
        ("routing.consistency", routing.consistency.as_str().to_owned(), "global"),
        ("routing.freshness_wait", time(routing.freshness_wait), "10ms"),
        ("routing.hold_back", routing.hold_back.to_string(), "65536"),
        ("routing.learned_ttl", time(routing.learned_ttl), "600s"),
        ("routing.max_staleness", or_off(routing.max_staleness), "10s"),
        ("routing.transactions", routing.transactions.as_str().to_owned(), "lazy"),
        ("runtime.workers", config.workers.to_string(), "half the processors"),
        ("timeouts.idle_client", or_off(config.timeouts.idle_client), "off"),
        ("timeouts.idle_in_transaction", or_off(config.timeouts.idle_in_transaction), "off"),
        ("timeouts.query", or_off(config.timeouts.query), "off"),
    ]
}

pub(super) fn config(table: &mut Table, shared: &Shared) {
    let config = &shared.policy().config;
    for (key, now, default) in in_pgbouncer_s_words(config).into_iter().chain(in_its_own_words(config)) {
        let changeable = if SETTABLE.contains(&key) { "yes" } else { "no" };
        table.row([value(key), value(now), value(default), value(changeable)]);
    }
}

pub(super) fn state(table: &mut Table, shared: &Shared) {
    let whole = shared.board.gate.whole();
    for (key, which) in [("active", Whole::Open), ("paused", Whole::Paused), ("suspended", Whole::Suspended)]
    {
        table.row([value(key), value(if whole == which { "yes" } else { "no" })]);
    }
}

/// What is known of the process, and of what weir bounds. `size` is of one, in bytes, as far as it is known.
pub(super) fn memory(table: &mut Table, shared: &Shared) {
    let counts = shared.classifier.counts();
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = pages.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    let resident = pages.unwrap_or_default() * 4096;
    let rows = [
        ("resident", 1, 1, resident),
        ("verdict_cache", 0, counts.entries, 0),
        ("clients", 0, shared.registry.len() as u64, 0),
        ("shapes", 0, shared.board.shapes.all().len() as u64, 0),
    ];
    for (name, size, used, total) in rows {
        table.row([value(name), value(size), value(used), value(0), value(total)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_pgbouncer_writes_them() {
        let at = |seconds| timestamp(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(at(951_827_696), "2000-02-29 12:34:56 UTC");
        assert_eq!(at(1_709_211_900), "2024-02-29 13:05:00 UTC");
        assert_eq!(at(1_735_689_599), "2024-12-31 23:59:59 UTC");
    }
}
