//! Tables of medians.

use crate::load::{Load, Sample};
use crate::pipeline::{STATEMENTS, Syncs};
use crate::target::Kind;

/// All samples of one target.
pub(crate) struct Row {
    pub(crate) kind: Kind,
    pub(crate) samples: Vec<Sample>,
}

impl Row {
    pub(crate) fn new(kind: Kind) -> Self {
        Self { kind, samples: Vec::new() }
    }

    /// The median of one figure.
    fn median(&self, figure: impl Fn(&Sample) -> f64) -> f64 {
        median(self.samples.iter().map(figure).collect())
    }
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match (values.len() / 2, values.len() % 2) {
        (0, 0) => f64::NAN,
        (half, 0) => f64::midpoint(values[half - 1], values[half]),
        (half, _) => values[half],
    }
}

/// Prints the table of one of pgbench's loads.
pub(crate) fn transactions(load: &Load, rows: &[Row]) {
    println!("{:<36}                    CPU us per transaction             x PgBouncer", load.name());
    println!(
        "  target           tps   latency ms    added      user  system   total     tps     CPU   added"
    );
    let direct = find(rows, Kind::Direct).map(|row| row.median(|sample| sample.latency));
    let bouncer = find(rows, Kind::Pgbouncer);
    for row in rows {
        let (rate, latency) = (row.median(|s| s.rate), row.median(|s| s.latency));
        let cpu = |figure: fn(&Sample) -> f64| row.median(figure) * 1e6;
        let total = cpu(|s| s.cpu.total());
        let added = direct.map(|direct| latency - direct);
        let proxy = row.kind != Kind::Direct;
        let shown = |value: Option<f64>, digits| {
            value.filter(|_| proxy).map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
        };
        let bouncer_cpu = bouncer.map(|row| row.median(|s| s.cpu.total()) * 1e6);
        let bouncer_rate = bouncer.map(|row| row.median(|s| s.rate));
        let bouncer_added = bouncer.and_then(|row| Some(row.median(|s| s.latency) - direct?));
        println!(
            "  {:<12}{rate:>8.0}{latency:>13.3}{:>9}{:>10}{:>8}{:>8}{:>8}{:>8}{:>8}",
            row.kind.name(),
            shown(added, 3),
            shown(Some(cpu(|s| s.cpu.user)), 1),
            shown(Some(cpu(|s| s.cpu.system)), 1),
            shown(Some(total), 1),
            bouncer_rate.map_or_else(|| "-".to_owned(), |bouncer| format!("{:.2}", rate / bouncer)),
            shown(bouncer_cpu.map(|bouncer| total / bouncer), 2),
            // With many clients, latency is throughput seen from the other side.
            shown(
                added
                    .zip(bouncer_added)
                    .filter(|_| load.clients == 1)
                    .map(|(added, bouncer)| added / bouncer),
                2
            ),
        );
    }
}

/// Prints the table of the big result.
pub(crate) fn bulk(rows: &[Row]) {
    println!("a 100 MB result of 1 kB rows                 CPU seconds per GB            x PgBouncer");
    println!("  target            MB/s              user  system   total           CPU");
    let bouncer = find(rows, Kind::Pgbouncer).map(|row| row.median(|s| s.cpu.total()));
    for row in rows {
        // One sample is a tenth of a GB.
        let cpu = |figure: fn(&Sample) -> f64| row.median(figure) * 10.0;
        let total = cpu(|s| s.cpu.total());
        let shown =
            |value: f64| if row.kind == Kind::Direct { "-".to_owned() } else { format!("{value:.2}") };
        println!(
            "  {:<12}{:>10.0}{:>18}{:>8}{:>8}{:>14}",
            row.kind.name(),
            row.median(|s| s.rate) * 100.0,
            shown(cpu(|s| s.cpu.user)),
            shown(cpu(|s| s.cpu.system)),
            shown(total),
            bouncer.map_or_else(|| "-".to_owned(), |bouncer| shown(total / (bouncer * 10.0))),
        );
    }
}

/// Prints the table of handshakes.
pub(crate) fn handshakes(rows: &[Row]) {
    println!("a TLS handshake without a login         CPU us             x PgBouncer");
    println!("  target                      user  system   total           CPU");
    let bouncer = find(rows, Kind::Pgbouncer).map(|row| row.median(|s| s.cpu.total()));
    for row in rows {
        let total = row.median(|s| s.cpu.total());
        println!(
            "  {:<12}{:>20.0}{:>8.0}{:>8.0}{:>14}",
            row.kind.name(),
            row.median(|s| s.cpu.user) * 1e6,
            row.median(|s| s.cpu.system) * 1e6,
            total * 1e6,
            bouncer.map_or_else(|| "-".to_owned(), |bouncer| format!("{:.2}", total / bouncer)),
        );
    }
}

/// Prints the table of a pipeline.
pub(crate) fn pipelines(syncs: Syncs, rows: &[Row]) {
    let title = format!("{STATEMENTS} statements in a pipeline, {}", syncs.name());
    println!("{title:<45} CPU us per statement");
    println!("  target            ms   x direct              user  system   total");
    let direct = find(rows, Kind::Direct).map(|row| row.median(|sample| sample.latency));
    for row in rows {
        let latency = row.median(|sample| sample.latency);
        let times = direct.map_or_else(|| "-".to_owned(), |direct| format!("{:.2}", latency / direct));
        let shown = |figure: fn(&Sample) -> f64| match row.kind {
            Kind::Direct => "-".to_owned(),
            _ => format!("{:.2}", row.median(figure) * 1e6),
        };
        println!(
            "  {:<12}{latency:>8.2}{times:>11}{:>18}{:>8}{:>8}",
            row.kind.name(),
            shown(|s| s.cpu.user),
            shown(|s| s.cpu.system),
            shown(|s| s.cpu.total()),
        );
    }
}

fn find(rows: &[Row], kind: Kind) -> Option<&Row> {
    rows.iter().find(|row| row.kind == kind)
}
