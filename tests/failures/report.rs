//! What is printed.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::clients::Part;
use crate::oracle::{Findings, Lost};
use crate::scenarios::Scenario;

fn seconds(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64())
}

/// Above the lines of [`print`].
pub(crate) fn head() {
    eprintln!(
        "{:<42} {:>13} {:>13} {:>13} {:>13}  {:>6} {:>5} {:>5}",
        "scenario", "still", "fresh", "snapshot", "writes", "acked", "lost", "stale"
    );
    eprintln!("{:<42} (errors, longest stall in seconds)", "");
}

/// One scenario's line, and what was beyond its bound.
pub(crate) fn print(scenario: &Scenario, findings: &Findings, breaches: &[String], took: Duration) {
    let part = |part: Part| {
        findings
            .parts
            .get(&part)
            .map_or_else(String::new, |told| format!("{} {}", told.count(), seconds(told.stall)))
    };
    eprintln!(
        "{:<42} {:>13} {:>13} {:>13} {:>13}  {:>6} {:>5} {:>5}   {} s, {}",
        scenario.name,
        part(Part::Still),
        part(Part::Fresh),
        part(Part::Snapshot),
        part(Part::Writer),
        findings.acknowledged,
        findings.lost.len(),
        findings.stale.len(),
        took.as_secs(),
        if breaches.is_empty() { "met" } else { "NOT MET" }
    );
    for breach in breaches {
        eprintln!("      - {breach}");
    }
    for (after_seen, when) in [(false, "before"), (true, "after")] {
        let lost: Vec<&Lost> = findings.lost.iter().filter(|lost| lost.after_seen == after_seen).collect();
        let times = lost.iter().map(|lost| lost.at);
        if let (Some(first), Some(last)) = (times.clone().min(), times.max()) {
            let sorts: BTreeSet<&str> = lost.iter().map(|lost| lost.sort).collect();
            let count = lost.len();
            eprintln!(
                "      lost {when} weir saw the new primary: {count}, +{first} ms to +{last} ms, {sorts:?}"
            );
        }
    }
    if findings.late > findings.disordered {
        eprintln!("      written late: {}, of what its client was told to be unknown", findings.late);
    }
    findings.stale.iter().take(5).for_each(|stale| eprintln!("      stale: {stale}"));
    for told in findings.parts.values() {
        eprint!("{}", told.lines());
    }
}
