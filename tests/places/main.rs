//! Closed lists, checked against PostgreSQL's own catalogs: the places from which code can run, and the built-in functions
//! that are more than computations.
//!
//! Of versions that are not installed the lists were taken once (`columns.txt`, `functions.txt`); the server that is
//! installed is asked in addition. What a new version adds fails here until somebody has said what it is.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;

use harness::{Options, Result};
use weir::cluster::catalog::PLACES;
use weir::sql::{Classifier, Kind, StandardConformingStrings, Statement};

/// As it was asked of the other versions.
const COLUMNS: &str = "
    SELECT c.relname || '.' || a.attname
      FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
     WHERE c.relkind = 'r' AND c.relnamespace = 'pg_catalog'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
       AND a.atttypid IN ('regproc'::regtype, 'regprocedure'::regtype, 'pg_node_tree'::regtype)
    UNION
    SELECT fktable::regclass || '.' || array_to_string(fkcols, ',')
      FROM pg_get_catalog_foreign_keys() WHERE pktable = 'pg_proc'::regclass";

/// The same. What takes or gives values that SQL has not (`internal`, those of triggers and handlers) no statement calls.
const FUNCTIONS: &str = "
    SELECT p.proname || ' ' || CASE WHEN bool_or(p.provolatile = 'v') THEN 'v' ELSE 's' END
      FROM pg_proc AS p
     WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.provolatile <> 'i'
       AND NOT EXISTS (SELECT FROM pg_type AS t
                        WHERE t.oid = ANY (array_prepend(p.prorettype, p.proargtypes::oid[])) AND t.typtype = 'p'
                          AND (t.typname IN ('internal', 'trigger', 'event_trigger') OR t.typname LIKE '%\\_handler'))
     GROUP BY p.proname";

/// Text that is code, in columns of no type that says so.
const TEXTS: [&str; 2] = ["pg_proc.probin", "pg_proc.prosrc"];

/// Functions that are VOLATILE and yet change nothing that another server, or another session, would notice.
const HARMLESS: [&str; 26] = [
    "amvalidate",
    "array_sample",
    "array_shuffle",
    "clock_timestamp",
    "current_query",
    "gen_random_uuid",
    "pg_collation_actual_version",
    "pg_database_collation_actual_version",
    "pg_database_size",
    "pg_indexes_size",
    "pg_jit_available",
    "pg_partition_ancestors",
    "pg_partition_tree",
    "pg_relation_size",
    "pg_sleep",
    "pg_sleep_for",
    "pg_sleep_until",
    "pg_table_size",
    "pg_tablespace_size",
    "pg_total_relation_size",
    "random",
    "random_normal",
    "timeofday",
    "timezone",
    "uuidv4",
    "uuidv7",
];

fn lines(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter(|line| !line.starts_with('#')).map(|line| line.split_once(' ').unwrap())
}

/// What the server that is installed says, one value a row.
fn asked(sql: &str) -> Result<Vec<String>> {
    let server = harness::Cluster::with(Options::new(0))?;
    Ok(server.sql(0, sql)?.rows.into_iter().map(|row| row[0].clone().unwrap()).collect())
}

#[test]
fn every_place_from_which_code_can_run_is_on_the_list() -> Result<()> {
    let listed: BTreeSet<&str> = PLACES.iter().map(|place| place.column).collect();
    let asked = asked(COLUMNS)?;
    let there: BTreeSet<&str> = lines(include_str!("columns.txt"))
        .map(|(column, _)| column)
        .chain(asked.iter().map(|it| &**it))
        .collect();
    let missing: Vec<_> = there.difference(&listed).collect();
    assert!(missing.is_empty(), "nobody has said what runs from {missing:?}");
    let gone: Vec<_> = listed.iter().filter(|it| !there.contains(*it) && !TEXTS.contains(it)).collect();
    assert!(gone.is_empty(), "in no version: {gone:?}");
    for version in ["14", "15", "16", "17", "18"] {
        let has =
            lines(include_str!("columns.txt")).filter(|(_, versions)| versions.contains(version)).count();
        assert!(has >= 58, "{version} has {has}");
    }
    Ok(())
}

#[test]
fn every_built_in_function_that_is_not_immutable_is_on_the_list() -> Result<()> {
    let classifier = Classifier::new(1);
    let called = |name: &str| -> Statement {
        let sql = format!("SELECT \"{name}\"(1)");
        classifier.classify(sql.as_bytes(), StandardConformingStrings::On).statements[0].clone()
    };
    let asked = asked(FUNCTIONS)?;
    let asked = asked.iter().map(|line| line.split_once(' ').unwrap());
    let (mut unknown, mut believed) = (BTreeSet::new(), BTreeSet::new());
    for (name, volatility) in lines(include_str!("functions.txt")).chain(asked) {
        let statement = called(name);
        if !statement.functions.is_empty() {
            unknown.insert(name);
        }
        if volatility == "v" && statement.kind == Kind::Read && !HARMLESS.contains(&name) {
            believed.insert(name);
        }
    }
    assert!(unknown.is_empty(), "nobody has said what these do: {unknown:?}");
    assert!(believed.is_empty(), "VOLATILE, and said to run anywhere: {believed:?}");
    Ok(())
}
