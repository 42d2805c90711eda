//! `SHOW STATS` and its parts: what the clients of each database have asked, in all and of late.

use crate::console::table::Type::{Number, Text};
use crate::console::table::{Column, Table, value};
use crate::session::{Shared, Tally};

pub(super) const STATS: &[Column] = &[
    ("database", Text),
    ("total_server_assignment_count", Number),
    ("total_xact_count", Number),
    ("total_query_count", Number),
    ("total_received", Number),
    ("total_sent", Number),
    ("total_xact_time", Number),
    ("total_query_time", Number),
    ("total_wait_time", Number),
    ("avg_server_assignment_count", Number),
    ("avg_xact_count", Number),
    ("avg_query_count", Number),
    ("avg_recv", Number),
    ("avg_sent", Number),
    ("avg_xact_time", Number),
    ("avg_query_time", Number),
    ("avg_wait_time", Number),
];

pub(super) const PARTS: &[Column] = &[
    ("database", Text),
    ("server_assignment_count", Number),
    ("xact_count", Number),
    ("query_count", Number),
    ("bytes_received", Number),
    ("bytes_sent", Number),
    ("xact_time", Number),
    ("query_time", Number),
    ("wait_time", Number),
];

pub(super) const TOTALS: &[Column] = &[("name", Text), ("value", Number)];

/// The names of `SHOW TOTALS`, in the order of the figures.
const NAMES: [&str; 8] = [
    "server_assignment_count",
    "xact_count",
    "query_count",
    "client_bytes",
    "server_bytes",
    "xact_time",
    "query_time",
    "wait_time",
];

/// Of the counts as much as in a second, of each time as much as for one of what took it.
fn of_late(tally: &Tally) -> [u64; 8] {
    let (grown, micros) = tally.of_late();
    let per_second = |count: u64| {
        let count = u128::from(count) * 1_000_000 / u128::from(micros.max(1));
        u64::try_from(count).unwrap_or(u64::MAX)
    };
    let [assignments, transactions, queries, received, sent, transacting, working, waiting] = grown;
    let each = |time: u64, of: u64| time.checked_div(of).unwrap_or(0);
    [
        per_second(assignments),
        per_second(transactions),
        per_second(queries),
        per_second(received),
        per_second(sent),
        each(transacting, transactions),
        each(working, queries),
        each(waiting, assignments),
    ]
}

pub(super) fn stats(table: &mut Table, shared: &Shared) {
    for (names, tally) in shared.board.tallies.all() {
        let figures = tally.figures().into_iter().chain(of_late(&tally));
        table.row([value(names.client)].into_iter().chain(figures.map(value)));
    }
}

pub(super) fn averages(table: &mut Table, shared: &Shared) {
    for (names, tally) in shared.board.tallies.all() {
        table.row([value(names.client)].into_iter().chain(of_late(&tally).map(value)));
    }
}

pub(super) fn totals_by_database(table: &mut Table, shared: &Shared) {
    for (names, tally) in shared.board.tallies.all() {
        table.row([value(names.client)].into_iter().chain(tally.figures().map(value)));
    }
}

pub(super) fn totals(table: &mut Table, shared: &Shared) {
    let (mut all, mut late) = ([0u64; 8], [0u64; 8]);
    for (_, tally) in shared.board.tallies.all() {
        let add = |sums: &mut [u64; 8], more: [u64; 8]| {
            sums.iter_mut().zip(more).for_each(|(sum, more)| *sum = sum.saturating_add(more));
        };
        add(&mut all, tally.figures());
        add(&mut late, of_late(&tally));
    }
    for (prefix, figures) in [("total", all), ("avg", late)] {
        for (name, figure) in NAMES.iter().zip(figures) {
            table.row([value(format!("{prefix}_{name}")), value(figure)]);
        }
    }
}
