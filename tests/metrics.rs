//! docs/metrics.md lists exactly the metrics that there are; and transactions are counted by how they ran, in front of real
//! servers.

#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use std::collections::HashSet;
use std::sync::OnceLock;

use harness::client::Client;
use harness::{Cluster, Result, Weir, WeirSetup};
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

/// A weir for which every replica is fresh enough, and a table to write to.
fn weir() -> Result<Weir> {
    static READY: OnceLock<()> = OnceLock::new();
    let cluster = Cluster::shared();
    READY.get_or_init(|| {
        cluster.sql(0, "SET ROLE app; CREATE TABLE counted (id int)").unwrap();
        cluster.wait_caught_up().unwrap();
    });
    WeirSetup::in_front_of(cluster, 0..3).at_any_age().start(env!("CARGO_BIN_EXE_weir"))
}

/// The transactions that were counted meanwhile: `ran reason`, one word for each.
fn counted(weir: &Weir, client: &mut Client, queries: &[&str]) -> Result<Vec<String>> {
    let transactions = || -> Result<Vec<(String, f64)>> {
        let metrics = weir.metrics()?;
        let all = metrics.all("weir_transactions_total");
        let label = |of: &harness::Series, name: &str| of.labels.get(name).cloned().unwrap_or_default();
        let named = |of: &harness::Series| format!("{} {}", label(of, "ran"), label(of, "reason"));
        Ok(all.map(|series| (named(series).trim_end().to_owned(), series.value)).collect())
    };
    let before = transactions()?;
    for query in queries {
        client.query(query)?;
    }
    let mut words = Vec::new();
    for (name, now) in transactions()? {
        let then = before.iter().find(|(known, _)| *known == name).map_or(0.0, |(_, value)| *value);
        words.extend((0..(now - then) as usize).map(|_| name.clone()));
    }
    Ok(words)
}

#[test]
fn transactions_are_counted_by_how_they_ran() -> Result<()> {
    let weir = weir()?;
    let mut client = weir.connect()?;
    let insert = "INSERT INTO counted VALUES (1)";
    let rows: [(&[&str], &[&str]); 11] = [
        (&["SELECT 1", insert], &[]),
        (&["BEGIN", "COMMIT"], &["none"]),
        (&["BEGIN", "SELECT 1", "SAVEPOINT a", "SELECT 2", "ROLLBACK"], &["none"]),
        (&["BEGIN", "SET LOCAL work_mem = '1MB'", "SELECT 1", "COMMIT"], &["replica"]),
        (&["BEGIN", "SELECT 1", insert, "SELECT 2", "COMMIT"], &["upgraded write"]),
        (&["BEGIN", "SET LOCAL work_mem = '1MB'", insert, "ROLLBACK"], &["upgraded write"]),
        (&["BEGIN", insert, "COMMIT"], &["primary write"]),
        (&["/* weir: transactions=primary */ BEGIN", "SELECT 1", "COMMIT"], &["primary begin"]),
        (&["BEGIN", "COMMIT AND CHAIN", "ROLLBACK"], &["none", "none"]),
        (&["BEGIN; INSERT INTO counted VALUES (1); COMMIT"], &["primary multi_statement"]),
        (&["SELECT pg_advisory_lock(7)", "BEGIN", "SELECT 1", "COMMIT"], &["primary pinned"]),
    ];
    for (queries, expected) in rows {
        assert_eq!(counted(&weir, &mut client, queries)?, expected, "{queries:?}");
    }
    Ok(())
}

#[test]
fn what_weir_answers_itself_has_a_route_of_its_own() -> Result<()> {
    let weir = weir()?;
    let mut client = weir.connect()?;
    for query in ["BEGIN", "SELECT 1", "SAVEPOINT a", "COMMIT"] {
        client.query(query)?;
    }
    let metrics = weir.metrics()?;
    let requests = |labels: &[(&str, &str)]| metrics.sum("weir_requests_total", labels);
    assert_eq!(requests(&[("route", "weir"), ("reason", "lazy_control")]), 3.0);
    assert_eq!(requests(&[("route", "replica"), ("reason", "lazy_read")]), 1.0);
    Ok(())
}
