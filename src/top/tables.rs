//! What each section shows: rows made of what was seen, and what there is to be said of each. Pure.

use ratatui::layout::{Alignment, Constraint};

use super::words::{bytes, clock, percent, spark, time};
use crate::admin::snapshot::{Snapshot, Split};

/// The sections, in their order.
pub(super) const SECTIONS: [&str; 8] =
    ["Servers", "Reads", "Statements", "Transactions", "Pools", "Pinned", "Clients", "Events"];

/// How wide the lines of a minute are.
const SPARK: usize = 12;

/// A column: its name, how wide it is, and where its text stands.
pub(super) type Column = (&'static str, Constraint, Alignment);

/// One cell: what it says, and what it is sorted by where that is a number.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Cell {
    pub(super) text: String,
    pub(super) number: Option<f64>,
}

/// A row.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Row {
    pub(super) cells: Vec<Cell>,
    /// What is said of it below, when it is chosen.
    pub(super) detail: String,
    /// What is wrong with it, if anything is.
    pub(super) wrong: bool,
}

/// A section's table.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Table {
    /// A sentence above it.
    pub(super) title: String,
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Row>,
}

const LEFT: Alignment = Alignment::Left;
const RIGHT: Alignment = Alignment::Right;

fn text(of: impl Into<String>) -> Cell {
    Cell { text: of.into(), number: None }
}

fn number(of: u64) -> Cell {
    Cell { text: of.to_string(), number: Some(of as f64) }
}

/// A number that may not be known.
fn known(of: Option<u64>, shown: impl Fn(u64) -> String) -> Cell {
    of.map_or_else(Cell::default, |n| Cell { text: shown(n), number: Some(n as f64) })
}

fn row(cells: impl IntoIterator<Item = Cell>, detail: impl Into<String>) -> Row {
    Row { cells: cells.into_iter().collect(), detail: detail.into(), wrong: false }
}

/// The table of a section, by its number.
pub(super) fn table(section: usize, seen: &Snapshot) -> Table {
    match section {
        0 => servers(seen),
        1 => reads(seen),
        2 => statements(seen),
        3 => transactions(seen),
        4 => pools(seen),
        5 => pins(seen),
        6 => clients(seen),
        _ => events(seen),
    }
}

fn servers(seen: &Snapshot) -> Table {
    let lines = &seen.traffic.servers;
    let most =
        lines.iter().flat_map(|line| line.reads.iter().chain(&line.writes)).copied().fold(1.0, f64::max);
    let rows = seen.servers.iter().map(|server| {
        let line = lines.iter().find(|line| line.server == server.name);
        let (reads, writes) = line.map_or((&[][..], &[][..]), |line| (&line.reads, &line.writes));
        let last = |values: &[f64]| {
            let last = values.last().copied().unwrap_or_default();
            Cell { text: format!("{last:.0}"), number: Some(last) }
        };
        let happened = server.happened.as_ref().map(|event| {
            let ago = time(seen.weir.at_ms.saturating_sub(event.at_ms));
            format!("{}, {ago} ago", event.text)
        });
        let (active, idle) = (server.load.active, server.load.idle);
        let said = server.trouble.clone().or(happened).unwrap_or_default();
        let row = row(
            [
                text(&server.name),
                text(&server.role),
                text(&server.health),
                known(server.staleness_ms, time),
                known(server.lag_bytes, bytes),
                Cell { text: format!("{active}+{idle}"), number: Some((active + idle) as f64) },
                number(server.load.waiting as u64),
                text(spark(reads, most, SPARK)),
                last(reads),
                last(writes),
            ],
            format!("{} {}: {said}", server.name, server.address),
        );
        Row { wrong: server.health != "up" || server.load.waiting > 0, ..row }
    });
    Table {
        title: "connections are those in use + those idle; reads and writes are those of the last second"
            .to_owned(),
        columns: vec![
            ("server", Constraint::Min(8), LEFT),
            ("role", Constraint::Length(7), LEFT),
            ("health", Constraint::Length(7), LEFT),
            ("behind", Constraint::Length(7), RIGHT),
            ("WAL", Constraint::Length(8), RIGHT),
            ("conn", Constraint::Length(7), RIGHT),
            ("wait", Constraint::Length(4), RIGHT),
            ("", Constraint::Length(SPARK as u16), LEFT),
            ("r/s", Constraint::Length(5), RIGHT),
            ("w/s", Constraint::Length(5), RIGHT),
        ],
        rows: rows.collect(),
    }
}

fn share(split: &Split, when: &str) -> String {
    match split.share() {
        Some(share) => format!("{} of {} {when}", percent(share), split.replicas + split.primary),
        None => format!("no read {when}"),
    }
}

fn reads(seen: &Snapshot) -> Table {
    let rows = seen.reads.kept.iter().map(|kept| {
        let cells = [text(&kept.reason), number(kept.minute), number(kept.start), text(&kept.what_to_do)];
        row(cells, &kept.what_to_do)
    });
    let (minute, start) =
        (share(&seen.reads.minute, "in the last minute"), share(&seen.reads.start, "since the start"));
    Table {
        title: format!("reads on replicas: {minute}; {start}. What keeps the others on the primary:"),
        columns: vec![
            ("reason", Constraint::Length(18), LEFT),
            ("minute", Constraint::Length(9), RIGHT),
            ("since start", Constraint::Length(12), RIGHT),
            ("what to change", Constraint::Min(20), LEFT),
        ],
        rows: rows.collect(),
    }
}

fn statements(seen: &Snapshot) -> Table {
    let rows = seen.reads.shapes.iter().map(|shape| {
        let cells = [
            text(&shape.text),
            text(&shape.reason),
            number(shape.calls),
            Cell { text: time(shape.total_ms as u64), number: Some(shape.total_ms) },
            text(&shape.application),
        ];
        let whose = format!("{} in {}", shape.user, shape.database);
        row(cells, format!("{}\n{whose}: {}", shape.text, shape.what_to_do))
    });
    Table {
        title: "reads on the primary by statement, those that cost most, since the start".to_owned(),
        columns: vec![
            ("statement", Constraint::Min(20), LEFT),
            ("reason", Constraint::Length(17), LEFT),
            ("calls", Constraint::Length(9), RIGHT),
            ("time", Constraint::Length(7), RIGHT),
            ("application", Constraint::Length(14), LEFT),
        ],
        rows: rows.collect(),
    }
}

fn transactions(seen: &Snapshot) -> Table {
    let all: u64 = seen.transactions.iter().map(|ran| ran.count).sum();
    let rows = seen.transactions.iter().map(|ran| {
        let part = percent(ran.count as f64 / all.max(1) as f64);
        let part = Cell { text: part, number: Some(ran.count as f64) };
        row(
            [text(&ran.ran), text(&ran.reason), number(ran.count), part, text(&ran.what_to_do)],
            &ran.what_to_do,
        )
    });
    Table {
        title: "by how they ran, since the start; none: without a connection of their own".to_owned(),
        columns: vec![
            ("ran", Constraint::Length(9), LEFT),
            ("why there", Constraint::Length(18), LEFT),
            ("how many", Constraint::Length(10), RIGHT),
            ("part", Constraint::Length(6), RIGHT),
            ("what to change", Constraint::Min(20), LEFT),
        ],
        rows: rows.collect(),
    }
}

fn pools(seen: &Snapshot) -> Table {
    let rows = seen.pools.iter().map(|pool| {
        let [active, idle, opening, waiting, size, pinned, held] = [
            pool.active,
            pool.idle,
            pool.opening,
            pool.waiting,
            pool.size,
            pool.pinned,
            pool.idle_in_transaction,
        ]
        .map(|n| number(n as u64));
        let cells = [
            text(&pool.server),
            text(&pool.database),
            text(&pool.user),
            active,
            idle,
            opening,
            waiting,
            size,
            pinned,
            held,
        ];
        let kept = format!(
            "{} pinned and {} idle in transaction keep connections",
            pool.pinned, pool.idle_in_transaction
        );
        Row { wrong: pool.waiting > 0, ..row(cells, kept) }
    });
    let narrow = |name| (name, Constraint::Length(6), RIGHT);
    Table {
        title: "connections by server, database and user".to_owned(),
        columns: vec![
            ("server", Constraint::Min(8), LEFT),
            ("database", Constraint::Min(8), LEFT),
            ("user", Constraint::Min(8), LEFT),
            narrow("in use"),
            narrow("idle"),
            narrow("opens"),
            narrow("wait"),
            narrow("most"),
            narrow("pinned"),
            narrow("in txn"),
        ],
        rows: rows.collect(),
    }
}

fn pins(seen: &Snapshot) -> Table {
    let rows = seen.pins.iter().map(|pin| {
        let held = Cell { text: time(pin.seconds * 1000), number: Some(pin.seconds as f64) };
        let cells = [
            number(pin.id.unsigned_abs().into()),
            text(&pin.application),
            text(&pin.user),
            text(&pin.database),
            text(pin.reasons.join(", ")),
            held,
        ];
        row(cells, &pin.what_to_do)
    });
    Table {
        title: "sessions that keep their connection".to_owned(),
        columns: vec![
            ("client", Constraint::Length(11), RIGHT),
            ("application", Constraint::Min(12), LEFT),
            ("user", Constraint::Length(10), LEFT),
            ("database", Constraint::Length(10), LEFT),
            ("why", Constraint::Min(14), LEFT),
            ("for", Constraint::Length(7), RIGHT),
        ],
        rows: rows.collect(),
    }
}

fn clients(seen: &Snapshot) -> Table {
    let all = &seen.clients;
    let rows = all.top.iter().map(|client| {
        let came = time(seen.weir.at_ms.saturating_sub(client.since_ms));
        let cells = [
            text(&client.application),
            text(&client.user),
            text(&client.database),
            text(client.state.replace('_', " ")),
            known(client.for_ms, time),
            text(client.server.as_deref().unwrap_or_default()),
            text(&client.peer),
        ];
        let detail = format!("client {} from {}, connected {came} ago", client.id, client.peer);
        Row { wrong: client.state == "waiting", ..row(cells, detail) }
    });
    Table {
        title: format!(
            "{} clients: {} at work, {} waiting, {} idle in transaction, {} pinned, {} idle",
            all.all, all.active, all.waiting, all.idle_in_transaction, all.pinned, all.idle
        ),
        columns: vec![
            ("application", Constraint::Min(12), LEFT),
            ("user", Constraint::Length(8), LEFT),
            ("database", Constraint::Length(8), LEFT),
            ("state", Constraint::Length(12), LEFT),
            ("for", Constraint::Length(7), RIGHT),
            ("on", Constraint::Length(9), LEFT),
            ("peer", Constraint::Min(15), LEFT),
        ],
        rows: rows.collect(),
    }
}

fn events(seen: &Snapshot) -> Table {
    let rows = seen.events.iter().map(|event| {
        let at = Cell { text: clock(event.at_ms), number: Some(event.at_ms as f64) };
        let of = if event.of.is_empty() { &event.kind } else { &event.of };
        row([at, text(of), text(&event.text)], format!("{of}: {}", event.text))
    });
    Table {
        title: "the last 100, by UTC".to_owned(),
        columns: vec![
            ("when", Constraint::Length(8), LEFT),
            ("of", Constraint::Length(14), LEFT),
            ("what", Constraint::Min(20), LEFT),
        ],
        rows: rows.collect(),
    }
}
