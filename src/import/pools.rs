//! How many connections, and how long: `[pool]` and `[timeouts]`.

use super::draft::{Draft, Keys};
use super::ini::Ini;
use super::values::{Limit, limit};

/// Of PgBouncer's two modes in which connections are shared, the one that weir has.
pub(super) fn mode(draft: &mut Draft, mode: &str) -> &'static str {
    match mode {
        "session" => "session",
        "statement" => {
            draft.remark("pool_mode statement: weir pools by transaction, and lets transactions of several statements run");
            "transaction"
        }
        _ => "transaction",
    }
}

pub(super) fn write(draft: &mut Draft, ini: &Ini) {
    let mut pool = Keys::default();
    // PgBouncer's default is not weir's, and it is what applications were written for.
    let said = ini.setting("pool_mode").unwrap_or("session");
    let mode = mode(draft, said);
    pool.text("mode", mode);
    let number = |key: &str| ini.setting(key).and_then(|text| text.parse::<u32>().ok());
    let size = number("default_pool_size").filter(|size| *size > 0);
    if let Some(size) = size {
        pool.put("size", size);
    }
    if let Some(least) = number("min_pool_size").filter(|least| *least > 0) {
        pool.put("min_idle", least.min(size.unwrap_or(20)));
    }
    if let Some(kept) = number("max_prepared_statements").filter(|kept| *kept > 0) {
        pool.put("prepared_statements", kept);
    }
    for (from, to, zero) in [
        ("server_idle_timeout", "idle_timeout", Some("\"30d\"   # PgBouncer: for ever")),
        ("server_lifetime", "lifetime", Some("\"1s\"   # PgBouncer: each connection is used once")),
        ("query_wait_timeout", "checkout_timeout", Some("\"1d\"   # PgBouncer: for ever")),
        ("server_connect_timeout", "connect_timeout", None),
    ] {
        match (limit(ini.setting(from)), zero) {
            (Limit::Of(time), _) => pool.put(to, time),
            (Limit::Zero, Some(value)) => pool.put(to, value),
            _ => {}
        }
    }
    draft.table("[pool]", pool);
    let mut timeouts = Keys::default();
    for (from, to) in [
        ("client_idle_timeout", "idle_client"),
        ("idle_transaction_timeout", "idle_in_transaction"),
        ("query_timeout", "query"),
    ] {
        if let Limit::Of(time) = limit(ini.setting(from)) {
            timeouts.put(to, time);
        }
    }
    draft.table("[timeouts]", timeouts);
    if mode == "session" {
        draft.remark(
            "pool_mode is session: each client keeps connections to itself. weir carries settings, prepared statements, \
             LISTEN and temporary tables across transactions, so mode = \"transaction\" serves most such applications",
        );
    }
}
