use super::super::Catalog;
use super::*;
use crate::cluster::catalog::code_rows::{Answers, Body, Declared, Function};
use crate::sql::{Classifier, StandardConformingStrings};

fn function(oid: u32, name: &str, body: &str) -> Arc<Function> {
    let (schema, name) = name.split_once('.').unwrap_or(("public", name));
    let body = match body {
        "opaque" => Body::Opaque,
        "harmless" => Body::Harmless,
        "built-in" => Body::BuiltIn(name.into()),
        text => Body::Text(text.into()),
    };
    let (declared, answers) = (Declared::Volatile, Answers::Named);
    Arc::new(Function { oid, schema: schema.into(), name: name.into(), body, declared, answers })
}

fn run(when: When, object: Option<u32>, function: u32) -> Run {
    Run { when, object, function }
}

/// A database with functions of each kind, numbered as they come, and relations 101 and up.
fn database() -> CodeMap {
    let bodies = [
        ("harmless", "SELECT 1"),
        ("sets", "BEGIN PERFORM set_config('a.b', x, false); END"),
        ("calls_sets", "BEGIN PERFORM app.sets(1); END"),
        ("calls_deeper", "SELECT calls_sets()"),
        ("dynamic", "BEGIN EXECUTE x; END"),
        ("calls_both", "SELECT sets(), dynamic()"),
        ("writes", "INSERT INTO triggered VALUES (1)"),
        ("around", "SELECT about()"),
        ("about", "SELECT around()"),
        ("python", "opaque"),
        ("of_extension", "harmless"),
        ("two.overloaded", "SELECT 1"),
        ("one.overloaded", "SELECT pg_advisory_lock(1)"),
        ("total", "harmless"),
        ("pg_catalog.now", "built-in"),
        ("pg_catalog.setseed", "built-in"),
    ];
    let rows = Rows {
        functions: (1..).zip(bodies).map(|(oid, (name, body))| function(oid, name, body)).collect(),
        made_of: vec![(14, 2)],
        run: vec![
            run(When::Written, Some(101), 2),
            run(When::Used, Some(103), 1),
            run(When::Used, Some(105), 16),
            run(When::Used, Some(106), 2),
            run(When::Anywhere, None, 1),
        ],
        ..Rows::default()
    };
    let relations = [
        (101, "triggered"),
        (102, "parent"),
        (103, "plain"),
        (104, "view"),
        (105, "direct"),
        (106, "policed"),
    ];
    let tied = |(from, to, when)| Tied { from, to, when };
    let ties =
        [(102, 101, When::Written), (104, 102, When::Used), (107, 101, When::Used), (104, 106, When::Used)];
    tell(
        &rows,
        &trace(&rows, relations.into_iter(), ties.into_iter().map(tied)),
        Arc::default(),
        Instant::now(),
    )
}

fn name(name: &str) -> Name {
    match name.split_once('.') {
        Some((schema, name)) => Name { schema: Some(schema.into()), name: name.into() },
        None => Name { schema: None, name: name.into() },
    }
}

#[test]
fn what_is_left_is_followed_through_calls() {
    let map = database();
    assert!(map.known().is_some() && map.concerns_relations());
    for (function, expected) in [
        ("harmless", Some(Traces::None)),
        ("sets", Some(Traces::Discardable)),
        ("public.sets", Some(Traces::Discardable)),
        ("calls_sets", Some(Traces::Discardable)),
        ("calls_deeper", Some(Traces::Discardable)),
        ("dynamic", Some(Traces::Lasting)),
        ("calls_both", Some(Traces::Lasting)),
        ("writes", Some(Traces::Discardable)),
        ("around", Some(Traces::None)),
        ("python", Some(Traces::Lasting)),
        ("of_extension", Some(Traces::None)),
        ("overloaded", Some(Traces::Discardable)),
        ("two.overloaded", Some(Traces::None)),
        ("total", Some(Traces::Discardable)),
        ("now", Some(Traces::None)),
        ("pg_catalog.now", Some(Traces::None)),
        ("setseed", Some(Traces::Lasting)),
        ("nobody", None),
        ("elsewhere.sets", None),
    ] {
        assert_eq!(map.function(&name(function)), expected, "{function}");
    }
}

fn found_in(catalog: Option<&Catalog>, sql: &str) -> (Traces, usize) {
    let verdict = Classifier::new(1).classify(sql.as_bytes(), StandardConformingStrings::On);
    let mut all = Found::default();
    for statement in &verdict.statements {
        all.join(found(catalog.map(|catalog| &catalog.code), statement, |function| {
            &*function.name == "vouched_for"
        }));
    }
    (all.traces, all.unknown.len())
}

#[test]
fn statements_are_what_they_call_and_touch() {
    let catalog = Catalog { code: database(), ..Catalog::default() };
    for (sql, expected) in [
        ("SELECT 1", (Traces::None, 0)),
        ("SELECT harmless(), count(*) FROM plain", (Traces::None, 0)),
        ("SELECT sets()", (Traces::Discardable, 0)),
        ("SELECT a FROM t WHERE public.calls_deeper() = 1", (Traces::Discardable, 0)),
        ("SELECT nobody()", (Traces::None, 1)),
        ("SELECT vouched_for()", (Traces::None, 0)),
        ("INSERT INTO triggered VALUES (1)", (Traces::Discardable, 0)),
        ("SELECT * FROM triggered, parent", (Traces::None, 0)),
        ("DELETE FROM s.parent", (Traces::Discardable, 0)),
        ("DELETE FROM policed", (Traces::Discardable, 0)),
        ("SELECT * FROM view", (Traces::Discardable, 0)),
        ("SELECT * FROM direct", (Traces::Lasting, 0)),
        ("CALL sets()", (Traces::Discardable, 0)),
        ("CALL made_past_weir()", (Traces::None, 1)),
        ("TRUNCATE plain", (Traces::None, 0)),
        ("TRUNCATE plain CASCADE", (Traces::Lasting, 0)),
        ("DO $$ BEGIN IF (x) THEN PERFORM harmless(); END IF; END $$", (Traces::None, 0)),
        ("DO $$ BEGIN PERFORM calls_sets(); END $$", (Traces::Discardable, 0)),
        ("DO $$ BEGIN DELETE FROM triggered; END $$", (Traces::Discardable, 0)),
        ("PREPARE p AS SELECT python()", (Traces::Lasting, 0)),
        ("CREATE TABLE n AS SELECT sets()", (Traces::Discardable, 0)),
        ("CREATE TABLE n (a int)", (Traces::None, 0)),
    ] {
        assert_eq!(found_in(Some(&catalog), sql), expected, "{sql}");
    }
}

#[test]
fn without_a_catalog_nothing_that_is_called_is_known() {
    assert_eq!(found_in(None, "SELECT harmless()"), (Traces::None, 1));
    let changed = Catalog { code: database().after_change(), ..Catalog::default() };
    assert_eq!(found_in(Some(&changed), "SELECT harmless()"), (Traces::None, 1));
    assert_eq!(found_in(Some(&changed), "CALL p()"), (Traces::None, 1));
    assert_eq!(found_in(Some(&changed), "INSERT INTO triggered VALUES (1)"), (Traces::Discardable, 0));
}

#[test]
fn what_was_taken_away_past_weir_is_missed() {
    let (all, none) = (database(), CodeMap::default());
    assert!(!all.lacks(&all) && !all.lacks(&none) && none.lacks(&all));
    let cast = |when| {
        let rows = Rows {
            functions: vec![function(1, "f", "opaque")],
            run: vec![run(when, None, 1)],
            ..Rows::default()
        };
        tell(&rows, &trace(&rows, [].into_iter(), [].into_iter()), Arc::default(), Instant::now())
    };
    let (with, without) = (cast(When::Anywhere), cast(When::AnywhereInC));
    assert!(without.lacks(&with) && !with.lacks(&without));
}

#[test]
fn code_behind_operators_is_behind_everything_and_event_triggers_behind_definitions() {
    let with = |when| {
        let rows = Rows {
            functions: vec![function(1, "f", "opaque")],
            run: vec![run(when, None, 1)],
            ..Rows::default()
        };
        Catalog {
            code: tell(
                &rows,
                &trace(&rows, std::iter::empty(), std::iter::empty()),
                Arc::default(),
                Instant::now(),
            ),
            ..Catalog::default()
        }
    };
    let (anywhere, definitions) = (with(When::Anywhere), with(When::Defining));
    for (sql, everywhere, defining) in [
        ("SELECT 1 + 1", Traces::Lasting, Traces::None),
        ("CREATE TABLE t ()", Traces::Lasting, Traces::Lasting),
    ] {
        assert_eq!(found_in(Some(&anywhere), sql).0, everywhere, "{sql}");
        assert_eq!(found_in(Some(&definitions), sql).0, defining, "{sql}");
    }
}

#[test]
fn what_was_called_in_doubt_is_known_once_it_was_read_afterwards() {
    use std::time::Duration;
    let map = CodeMap { gone: 3, gone_when_read: 3, ..database() };
    let began = map.began.unwrap();
    let (before, after) = (began - Duration::from_secs(1), began + Duration::from_secs(1));
    for (function, since, gone, expected) in [
        ("sets", before, 3, Some(Traces::Discardable)),
        ("sets", after, 3, Some(Traces::Discardable)),
        ("harmless", after, 3, Some(Traces::None)),
        ("harmless", before, 2, Some(Traces::Discardable)),
        ("dynamic", before, 2, Some(Traces::Lasting)),
        ("nobody", before, 3, Some(Traces::None)),
        ("nobody", after, 3, None),
    ] {
        assert_eq!(map.recall(&name(function), since, gone), expected, "{function} {gone}");
    }
    let changed = map.after_change();
    for (since, expected) in [(before, Some(Traces::Discardable)), (after, None)] {
        assert_eq!(changed.recall(&name("sets"), since, 3), expected, "what was read behind it counts");
    }
}
