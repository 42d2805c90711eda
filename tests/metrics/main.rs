//! docs/metrics.md lists exactly the metrics that there are, and its questions are answered; requests and transactions are
//! counted by how they ran, in front of real servers.

#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

mod answers;
mod logs;
mod promql;

use std::collections::HashSet;
use std::process::Command;
use std::sync::OnceLock;

use harness::client::Client;
use harness::{Cluster, Result, Weir, WeirSetup};
use weir::telemetry::metrics::{Metrics, RequestLabels, Row};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");

fn documented(row: &Row) -> String {
    let labels: Vec<String> = row.labels.iter().map(|label| format!("`{label}`")).collect();
    format!("| `{}` | {} | {} | {} |", row.name, row.kind, labels.join(", "), row.help)
}

#[test]
fn the_documented_table_is_the_registry() {
    let metrics = Metrics::new(RequestLabels { routes: &["primary"], reasons: &["write"] });
    let file = std::fs::read_to_string(DOCUMENT).unwrap();
    let in_file: Vec<&str> =
        file.lines().filter(|line| line.starts_with("| `weir_") || line.starts_with("| `process_")).collect();
    let expected: Vec<String> = metrics.table().iter().map(documented).collect();
    assert_eq!(in_file, expected, "docs/metrics.md should hold these rows:\n{}", expected.join("\n"));
}

/// What a real weir says is what is documented: each name, with its kind and no other labels. That nothing is documented
/// that there is not is asked above.
#[test]
fn what_is_scraped_is_documented() -> Result<()> {
    let weir = weir()?;
    let mut client = weir.connect()?;
    for query in ["SELECT 1", "INSERT INTO counted VALUES (9)", "BEGIN", "SELECT 1", "COMMIT"] {
        client.query(query)?;
    }
    client.query("SELECT nothing").unwrap_err();
    let text = weir.get("/metrics")?;
    let metrics = Metrics::new(RequestLabels { routes: &[], reasons: &[] });
    let mut scraped = 0;
    for line in text.lines() {
        let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) else {
            continue;
        };
        let row = metrics.table().iter().find(|row| row.name == name);
        let row = row.unwrap_or_else(|| panic!("{name} is not documented"));
        assert_eq!(kind, row.kind, "{name}");
        assert!(text.contains(&format!("# HELP {name} {}\n", row.help)), "{name}");
        scraped += 1;
    }
    let known = |name: &str| {
        metrics.table().iter().find(|row| {
            let parts = ["_bucket", "_sum", "_count"].map(|part| name.strip_suffix(part));
            row.name == name || (row.kind == "histogram" && parts.contains(&Some(&*row.name)))
        })
    };
    for series in weir.metrics()?.every() {
        let row = known(&series.name).unwrap();
        let of_row = |label: &&String| label.as_str() == "le" || row.labels.contains(label);
        assert!(series.labels.keys().all(|label| of_row(&label)), "{series:?}");
    }
    assert!(scraped > 40, "{scraped}");
    Ok(())
}

/// The pages for operators ask for nothing that there is not.
#[test]
fn what_the_pages_ask_for_is_there() {
    let metrics = Metrics::new(RequestLabels { routes: &[], reasons: &[] });
    let is_metric = |word: &str| {
        let whole = ["_bucket", "_sum", "_count"].iter().find_map(|part| word.strip_suffix(part));
        metrics.table().iter().any(|row| row.name == word || Some(&*row.name) == whole)
    };
    for page in ["metrics", "operations"] {
        let text = std::fs::read_to_string(DOCUMENT.replace("metrics.md", &format!("{page}.md"))).unwrap();
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let named = words.filter(|word| word.starts_with("weir_") || word.starts_with("process_"));
        let mut count = 0;
        for word in named {
            assert!(is_metric(word), "docs/{page}.md names {word}");
            count += 1;
        }
        assert!(count > 20, "docs/{page}.md: {count}");
    }
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

/// Scripts that end outside a transaction, each for a session of its own.
const SCRIPTS: [&str; 14] = [
    "BEGIN; SELECT * FROM counted; SAVEPOINT a; SELECT now(); ROLLBACK TO a; RELEASE a; SELECT * FROM counted;
     INSERT INTO counted VALUES (2); SELECT * FROM counted; COMMIT; SELECT 1; COMMIT",
    "BEGIN; DECLARE c CURSOR FOR SELECT * FROM counted; FETCH c; SELECT * FROM pg_cursors;
     INSERT INTO counted VALUES (3); FETCH c; SELECT 1; CLOSE c; SELECT 2; ROLLBACK",
    "BEGIN; DECLARE c CURSOR FOR SELECT * FROM counted; CLOSE ALL; SELECT 1; COMMIT",
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT * FROM counted; SET LOCAL work_mem = '1MB'; SELECT 1;
     COMMIT AND CHAIN; SELECT 1; ROLLBACK",
    "BEGIN; SELECT 1; SET TRANSACTION READ ONLY; SELECT 1; COMMIT",
    "BEGIN; SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; SELECT 1; ROLLBACK AND CHAIN; SELECT 1; COMMIT",
    "BEGIN READ ONLY; SELECT * FROM counted; SELECT 1 FOR SHARE; COMMIT",
    "SET weir.target = 'primary'; BEGIN; SELECT 1; COMMIT; RESET weir.target; SELECT 1",
    "SET default_transaction_isolation = 'repeatable read'; BEGIN; SELECT 1; COMMIT; BEGIN READ ONLY; SELECT 1; COMMIT",
    "SET weir.transactions = 'primary'; BEGIN; SELECT 1; COMMIT; BEGIN READ ONLY; SELECT 1; COMMIT",
    "BEGIN; SHOW application_name; SET LOCAL weir.target = 'primary'; SELECT 1; COMMIT; SELECT 1",
    "BEGIN; SELECT set_config('a.b', 'c', true); SELECT 1; SAVEPOINT a; SET LOCAL a.b = 'd'; ROLLBACK TO a; COMMIT",
    "LISTEN here; BEGIN; SELECT 1; COMMIT",
    "BEGIN; SELECT 1; PREPARE p AS SELECT 1; EXECUTE p; COMMIT; SELECT 1",
];

/// `route reason` of each statement, as `weir explain` says it, with the statement.
fn explained(script: &str) -> Vec<(String, String)> {
    let output = Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(["explain", script])
        // No proxy.toml stands here.
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (table, _) = text.split_once("\n\n").unwrap();
    let row = |line: &str| {
        let words: Vec<&str> = line.split("  ").map(str::trim).filter(|word| !word.is_empty()).collect();
        let route = words[1].split(',').next().unwrap();
        (format!("{route} {}", words[2]), words[3].to_owned())
    };
    table.lines().skip(1).map(row).collect()
}

#[test]
fn what_is_explained_is_what_is_counted() -> Result<()> {
    let weir = weir()?;
    let requests = || -> Result<Vec<(String, f64)>> {
        let metrics = weir.metrics()?;
        let all = metrics.sums_by("weir_requests_total", ["route", "reason"]);
        Ok(all.into_iter().map(|([route, reason], count)| (format!("{route} {reason}"), count)).collect())
    };
    for script in SCRIPTS {
        let mut client = weir.connect()?;
        for (expected, statement) in explained(script) {
            let before = requests()?;
            client.query(&statement)?;
            let after = requests()?;
            let then =
                |name: &str| before.iter().find(|(known, _)| known == name).map_or(0.0, |(_, value)| *value);
            let counted: Vec<&str> =
                after.iter().filter(|(name, now)| *now > then(name)).map(|(name, _)| &**name).collect();
            assert_eq!(counted, [expected], "{statement} of {script}");
        }
    }
    Ok(())
}
