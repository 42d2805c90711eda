//! What is printed.

use std::time::Duration;

use crate::clients::Part;
use crate::oracle::Findings;
use crate::scenarios::{Met, Scenario};

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
    if let (Met::NotYet(why), false) = (scenario.met, breaches.is_empty()) {
        eprintln!("      known: {why}");
    }
    let losses = &findings.lost;
    if let (Some(first), Some(last)) = (losses.first(), losses.iter().max_by_key(|lost| lost.ago)) {
        let after = findings.lost_after_seen();
        eprintln!(
            "      lost: {} before weir saw the new primary, {after} after, the first {first:?}, the latest {last:?}",
            losses.len() - after
        );
    }
    findings.stale.iter().take(5).for_each(|stale| eprintln!("      stale: {stale}"));
    for told in findings.parts.values() {
        eprint!("{}", told.lines());
    }
}
