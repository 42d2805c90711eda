//! docs/metrics.md lists exactly the metrics that there are.

#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use std::collections::HashSet;

use weir::telemetry::metrics::{Metrics, RequestLabels, Row};

fn documented(row: &Row) -> String {
    let labels: Vec<String> = row.labels.iter().map(|label| format!("`{label}`")).collect();
    format!("| `{}` | {} | {} | {} |", row.name, row.kind, labels.join(", "), row.help)
}

#[test]
fn the_documented_table_is_the_registry() {
    let metrics = Metrics::new(RequestLabels { routes: &["primary"], reasons: &["write"] });
    let file = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md")).unwrap();
    let in_file: Vec<&str> = file.lines().filter(|line| line.starts_with("| `weir_")).collect();
    let expected: Vec<String> = metrics.table().iter().map(documented).collect();
    assert_eq!(in_file, expected, "docs/metrics.md should hold these rows:\n{}", expected.join("\n"));
}

#[test]
fn names_carry_their_unit_and_counters_their_suffix() {
    let metrics = Metrics::new(RequestLabels { routes: &[], reasons: &[] });
    let mut names = HashSet::new();
    for row in metrics.table() {
        assert!(names.insert(&row.name), "{} is there twice", row.name);
        assert_eq!(row.kind == "counter", row.name.ends_with("_total"), "{}", row.name);
        assert!(row.kind != "histogram" || row.name.ends_with("_seconds"), "{}", row.name);
        assert!(row.help.ends_with('.'), "{}", row.name);
    }
}
