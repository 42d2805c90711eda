//! Transactions that have only read, and what becomes of them: as long as nothing of them has to live on a server,
//! weir answers for them itself, and the client must not see where that begins and ends.

use crate::talk::Talk;

mod batches;
mod begin;
mod cursors;
mod defaults;
mod failed;
mod later;
mod modes;
mod names;
mod pipelines;
mod portals;
mod requests;
mod savepoints;
mod settings;
mod strings;
mod targets;
mod traffic;

pub(crate) use later::on_purpose;

const COUNT: &str = "SELECT count(*) FROM items";
const ONE: &str = "SELECT id, name FROM items WHERE id = 1";
const INSERT: &str = "INSERT INTO items VALUES (100, 'x')";
const NINE: &str = "SELECT n FROM generate_series(1, 9) n";

/// Begin, end, modes, savepoints, failures.
pub(crate) fn of_transactions() -> Vec<Talk> {
    [
        begin::talks(),
        modes::talks(),
        defaults::talks(),
        savepoints::talks(),
        failed::talks(),
        strings::talks(),
    ]
    .concat()
}

/// What a leg has to hold.
pub(crate) fn of_legs() -> Vec<Talk> {
    [settings::talks(), requests::talks(), cursors::talks(), portals::talks()].concat()
}

/// The protocol's messages, one by one and many at once.
pub(crate) fn of_messages() -> Vec<Talk> {
    [batches::talks(), names::talks(), pipelines::talks(), targets::talks(), traffic::talks()].concat()
}
