//! Prepared statements of both kinds: SQL's PREPARE and the protocol's Parse share one space of names.

use harness::client::front::*;

use crate::neighbour::CONSTANTS;
use crate::talk::{Hear, Talk, again, run, text};

pub(crate) fn talks() -> Vec<Talk> {
    [by_sql(), by_both(), by_protocol(), under_others(), under_another_path()].concat()
}

fn by_sql() -> Vec<Talk> {
    vec![
        Talk::new("a statement prepared by protocol, executed by SQL")
            .ask(&[parse("p", "SELECT 'p'", &[]), sync()])
            .queries(&["EXECUTE p"])
            .ask(&[parse("p", "SELECT 'another'", &[]), sync()])
            .queries(&["EXECUTE p", "DEALLOCATE p", "EXECUTE p"]),
        Talk::new("EXECUTE of a protocol's statement with parameters")
            .batch(&[parse("s", "SELECT name FROM items WHERE id = $1", &[])])
            .queries(&["EXECUTE s (2)", "EXECUTE s", "EXPLAIN (COSTS OFF) EXECUTE s (2)"])
            .batch(&again("s", &[text("3")]))
            .queries(&["BEGIN", "EXECUTE s (4)", "COMMIT", "DEALLOCATE s", "EXECUTE s (5)"]),
        Talk::new("EXECUTE of a protocol's statement by the protocol")
            .ask(&[parse("foobar", "SELECT 1", &[]), describe_statement("foobar"), flush(), sync()])
            .ask(&[parse("x", "EXECUTE foobar", &[]), describe_statement("x"), flush(), sync()])
            .batch(&again("x", &[]))
            .ask(&[parse("foobar", "SELECT 1", &[]), describe_statement("foobar"), sync()])
            .ask(&[close_statement("foobar"), sync()])
            .batch(&again("x", &[])),
        Talk::new("a name given by the protocol is taken for SQL, and the other way round")
            .batch(&[parse("s", "SELECT 'by protocol'", &[])])
            .queries(&["PREPARE s AS SELECT 'by sql'", "PREPARE t AS SELECT 'by sql'"])
            .batch(&[parse("t", "SELECT 'by protocol'", &[])])
            .batch(&again("t", &[]))
            .batch(&again("s", &[]))
            .batch(&[describe_statement("t"), close_statement("t")])
            .queries(&["EXECUTE t"]),
        Talk::new("which prepared statements there are")
            .queries(&["SELECT count(*) FROM pg_prepared_statements"])
            .batch(&[parse("a", "SELECT 'a', $1::int", &[])])
            .batch(&[parse("b", "SELECT 'b'", &[])])
            .queries(&["SELECT name, statement, parameter_types, from_sql FROM pg_prepared_statements ORDER BY name"])
            .batch(&[close_statement("a")])
            .batch(&[parse("c", "SELECT 'c'", &[])])
            .queries(&["SELECT name FROM pg_catalog.pg_prepared_statements ORDER BY name", "DEALLOCATE b"])
            .queries(&["SELECT name FROM pg_prepared_statements ORDER BY name", "DEALLOCATE ALL"])
            .queries(&["SELECT count(*) FROM pg_prepared_statements"])
            .batch(&[parse("c", "SELECT 'c again'", &[])])
            .batch(&again("c", &[]))
            .queries(&["BEGIN", "SELECT 1/0", "SELECT name FROM pg_prepared_statements", "ROLLBACK"]),
        Talk::new("prepared statements are listed as they were prepared")
            .ask(&[parse("j", "SELECT 1", &[]), parse("c", "SELECT 2", &[]), parse("z", "SELECT 3", &[]), sync()])
            .batch(&[parse("a", "SELECT 4", &[])])
            .batch(&[parse("m", "SELECT 5", &[])])
            .batch(&[close_statement("c"), parse("b", "SELECT 6", &[])])
            .batch(&[parse("c", "SELECT 7", &[]), parse("k", "SELECT 8", &[]), parse("i", "SELECT 9", &[])])
            .ask(&[close_statement("z"), parse("y", "nonsense", &[]), parse("z", "SELECT 0", &[]), sync()])
            .queries(&["SELECT name, statement FROM pg_prepared_statements ORDER BY prepare_time"])
            .batch(&[parse("h", "SELECT 10", &[])])
            .queries(&["SELECT name, statement FROM pg_prepared_statements ORDER BY prepare_time"])
            .queries(&["SELECT name, statement FROM pg_prepared_statements"]),
        Talk::new("prepare with types, execute with wrong and right values").queries(&[
            "PREPARE p (int, text) AS SELECT name || $2 FROM items WHERE id = $1",
            "EXECUTE p (1, '!')",
            "EXECUTE p (1)",
            "EXECUTE p ('one', '!')",
            "EXECUTE p (1 + 1, 'a' || 'b')",
            "EXECUTE P (3, '')",
            "EXECUTE \"P\" (3, '')",
            "PREPARE q AS SELECT $1::int + $2",
            "EXECUTE q (1, 2)",
            "EXECUTE no_such",
            "PREPARE r AS SELEC 1",
            "PREPARE r AS SELECT nope",
            "EXECUTE r",
            "PREPARE s (no_such_type) AS SELECT $1",
        ]),
        Talk::new("prepare of writes").changes().queries(&[
            "PREPARE i (int) AS INSERT INTO items VALUES ($1, 'prepared') RETURNING id",
            "EXECUTE i (100)",
            "EXECUTE i (100)",
            "SELECT count(*) FROM items WHERE name = 'prepared'",
            "PREPARE u AS UPDATE items SET note = $2 WHERE id = $1",
            "EXECUTE u (100, 'n')",
            "SELECT note FROM items WHERE id = 100",
            "PREPARE v AS VALUES (1), ($1::int)",
            "EXECUTE v (2)",
        ]),
        Talk::new("prepare in a transaction that is rolled back").queries(&[
            "BEGIN",
            "PREPARE p AS SELECT 'from a transaction'",
            "ROLLBACK",
            "EXECUTE p",
            "BEGIN",
            "EXECUTE p",
            "DEALLOCATE p",
            "ROLLBACK",
            "EXECUTE p",
            "BEGIN",
            "SELECT 1/0",
            "PREPARE q AS SELECT 1",
            "COMMIT",
            "EXECUTE q",
        ]),
        Talk::new("deallocate, discard").queries(&[
            "PREPARE a AS SELECT 'a'",
            "PREPARE \"B c\" AS SELECT 'b'",
            "DEALLOCATE PREPARE a",
            "DEALLOCATE a",
            "DEALLOCATE \"B c\"",
            "PREPARE a AS SELECT 'a again'",
            "DISCARD PLANS",
            "EXECUTE a",
            "DISCARD SEQUENCES",
            "DISCARD TEMPORARY",
            "EXECUTE a",
            "DEALLOCATE PREPARE ALL",
            "EXECUTE a",
            "PREPARE a AS SELECT 'third'",
            "DISCARD ALL",
            "EXECUTE a",
        ]),
        Talk::new("what can be done with an EXECUTE").changes().queries(&[
            "PREPARE p (int) AS SELECT id, name FROM items WHERE id < $1 ORDER BY id",
            "EXPLAIN (COSTS OFF) EXECUTE p (3)",
            "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS OFF) EXECUTE p (3)",
            "CREATE TABLE play.made AS EXECUTE p (3)",
            "SELECT * FROM play.made ORDER BY id",
            "EXPLAIN (COSTS OFF) EXECUTE no_such",
            "DEALLOCATE p; SELECT 1",
            "EXPLAIN (COSTS OFF) EXECUTE p (3)",
        ]),
        Talk::new("several in one string").queries(&[
            "PREPARE a AS SELECT 1; EXECUTE a; PREPARE b AS SELECT 2; EXECUTE b; DEALLOCATE a",
            "EXECUTE b; EXECUTE a",
            "PREPARE c AS SELECT 3; SELECT 1/0",
            "EXECUTE c",
            "DEALLOCATE ALL; PREPARE b AS SELECT 'b again'; EXECUTE b",
        ]),
        Talk::new("pg_prepared_statements of SQL's own").queries(&[
            "PREPARE p (int) AS SELECT $1",
            "PREPARE q AS SELECT $1::mood",
            "SELECT name, statement, parameter_types, from_sql FROM pg_prepared_statements WHERE from_sql ORDER BY name",
            "DEALLOCATE p",
            "SELECT name FROM pg_prepared_statements WHERE from_sql ORDER BY name",
            "DEALLOCATE ALL",
            "SELECT count(*) FROM pg_prepared_statements WHERE from_sql",
        ]),
        Talk::new("prepare under one search path, execute under another").changes().queries(&[
            "CREATE TABLE play.items (id int)",
            "PREPARE p AS SELECT count(*) FROM items",
            "EXECUTE p",
            "SET search_path = play",
            "EXECUTE p",
            "SET search_path = public",
            "EXECUTE p",
        ]),
        Talk::new("a stale plan in a session that is held")
            .changes()
            .queries(&["CREATE TABLE play.t (id int)", "CREATE TEMP TABLE mine (id int)"])
            .batch(&[
                parse("s", "SELECT * FROM play.t", &[]),
                bind("", "s", &[]),
                describe_portal(""),
                execute("", 0),
            ])
            .aside("ALTER TABLE play.t ADD COLUMN more int", Hear::Nothing)
            .batch(&[bind("", "s", &[]), describe_portal(""), execute("", 0)])
            .queries(&["SELECT count(*) FROM mine"]),
    ]
}

fn by_both() -> Vec<Talk> {
    vec![
        Talk::new("EXECUTE by the protocol of what SQL prepared")
            .queries(&["PREPARE p (int) AS SELECT name FROM items WHERE id = $1"])
            .batch(&run("EXECUTE p (1)"))
            .batch(&[
                parse("e", "EXECUTE p (2)", &[]),
                describe_statement("e"),
                bind("", "e", &[]),
                execute("", 0),
            ])
            .batch(&[run("DEALLOCATE p"), vec![bind("", "e", &[]), execute("", 0)]].concat()),
        Talk::new("EXECUTE and PREPARE by the extended protocol")
            .batch(&run("PREPARE p AS SELECT 'p'"))
            .batch(&run("EXECUTE p"))
            .batch(&[run("PREPARE q AS SELECT 'q'"), run("EXECUTE q"), run("SELECT 1/0")].concat())
            .batch(&run("EXECUTE q"))
            .batch(&[run("DEALLOCATE ALL"), run("EXECUTE p")].concat()),
        Talk::new("DISCARD ALL between protocol's statements and SQL's")
            .queries(&["PREPARE p AS SELECT 1"])
            .batch(&[parse("s", "SELECT 's'", &[])])
            .batch(&run("DISCARD ALL"))
            .batch(&again("s", &[]))
            .queries(&["EXECUTE p"])
            .batch(&[parse("s", "SELECT 's again'", &[])])
            .batch(&again("s", &[])),
        Talk::new("prepared by protocol, asked for in SQL by the same batch")
            .batch(&[&[parse("s", "SELECT 's'", &[])], &run("EXECUTE s")[..]].concat())
            .queries(&["EXECUTE s"])
            .batch(&again("s", &[]))
            .queries(&["DEALLOCATE s", "EXECUTE s"]),
        Talk::new("prepared by protocol, listed by the same batch")
            .batch(
                &[
                    &[parse("s", "SELECT 's'", &[])],
                    &run("SELECT name, statement FROM pg_prepared_statements")[..],
                ]
                .concat(),
            )
            .batch(&again("s", &[])),
        Talk::new("asked for in SQL behind an error of the same batch")
            .batch(&[parse("s", "SELECT 's'", &[])])
            .say(&[parse("", "SELEC", &[]), flush()], Hear::UpTo(b'E'))
            .batch(&run("EXECUTE s"))
            .batch(&again("s", &[]))
            .queries(&["EXECUTE s"]),
        Talk::new("a setting prepared by protocol and made by SQL")
            .batch(&[parse("s", "SET TimeZone = 'Asia/Tokyo'", &[])])
            .queries(&["EXECUTE s", "DEALLOCATE s", "SELECT 1", "SHOW TimeZone"]),
        Talk::new("a portal that is bound in one piece of a batch and executed in the next")
            .say(
                &[
                    &[parse("", "SELECT set_config('work_mem', '6MB', true)", &[])],
                    &[bind("p", "", &[]), execute("p", 0)][..],
                    &[flush()],
                ]
                .concat(),
                Hear::UpTo(b'C'),
            )
            .batch(
                &[
                    vec![execute("p", 1)],
                    run("SHOW work_mem"),
                    run("INSERT INTO items SELECT 1, 'x' WHERE false"),
                ]
                .concat(),
            )
            .queries(&["SHOW work_mem"]),
    ]
}

/// Constants of every kind that settings give a meaning.
const MEANINGS: &str = "SELECT extract(epoch from '2020-01-01 00:00'::timestamptz)::text, \
    '01/02/2020'::date - '2020-01-01'::date, '-1 2:03:04'::interval = '-1 day -2:03:04'::interval, \
    '{NULL}'::text[] = array[null::text], null = null, 'a\\nb'";

/// Statements that are prepared under some settings and executed under others, on whichever connection.
fn under_others() -> Vec<Talk> {
    let sets = [
        "SET TimeZone = 'Asia/Tokyo'",
        "SET DateStyle = 'ISO, DMY'",
        "SET IntervalStyle = 'sql_standard'",
        "SET array_nulls = off",
        "SET transform_null_equals = on",
        "SET standard_conforming_strings = off; SET escape_string_warning = off",
    ];
    let executed = |talk: Talk| {
        // The neighbour comes by at each of them, so that the connection is another one.
        talk.batch(&again("m", &[])).queries(&["SELECT 1"]).batch(&again("m", &[])).batch(&again("m", &[]))
    };
    let mut talks: Vec<Talk> = sets
        .iter()
        .map(|set| {
            let talk = Talk::new(format!("constants are read when they are prepared, not after {set}"));
            let talk = executed(talk.batch(&[parse("m", MEANINGS, &[])]).queries(&[set]));
            executed(executed(talk.queries(&["BEGIN"])).queries(&["SELECT count(*) FROM items", "COMMIT"]))
                .queries(&["SHOW TimeZone", "SHOW DateStyle", "SHOW search_path", "RESET ALL"])
                .batch(&again("m", &[]))
                .batch(&[describe_statement("m"), close_statement("m"), parse("m", MEANINGS, &[])])
                .batch(&again("m", &[]))
        })
        .collect();
    talks.extend([
        Talk::new("constants read under what holds for a transaction")
            .queries(&["BEGIN", "SET LOCAL TimeZone = 'Asia/Tokyo'", "SET LOCAL DateStyle = 'ISO, DMY'"])
            .batch(&[parse("m", MEANINGS, &[])])
            .batch(&again("m", &[]))
            .queries(&["COMMIT", "SELECT 1"])
            .batch(&again("m", &[]))
            .queries(&["SELECT 1"])
            .batch(&again("m", &[]))
            .batch(&[parse("n", MEANINGS, &[])])
            .batch(&again("n", &[])),
        Talk::new("executed under what holds for a transaction")
            .batch(&[parse("m", MEANINGS, &[])])
            .queries(&["BEGIN", "SET LOCAL TimeZone = 'Asia/Tokyo'"])
            .batch(&again("m", &[]))
            .queries(&["SHOW TimeZone", "SAVEPOINT a", "SET TimeZone = 'Asia/Kolkata'"])
            .batch(&again("m", &[]))
            .queries(&["SHOW TimeZone", "ROLLBACK TO a", "SHOW TimeZone", "COMMIT", "SHOW TimeZone"])
            .batch(&again("m", &[]))
            .queries(&["SHOW TimeZone"]),
        Talk::new("constants read in one batch with what sets their meaning")
            .batch(&[run("SET TimeZone = 'Asia/Tokyo'"), vec![parse("m", MEANINGS, &[])]].concat())
            .batch(&again("m", &[]))
            .queries(&["SET TimeZone = 'UTC'", "SELECT 1"])
            .batch(&again("m", &[]))
            .queries(&["SELECT 1"])
            .batch(&[again("m", &[]), run("SHOW TimeZone")].concat())
            .batch(&[run("SET TimeZone = 'Asia/Kolkata'"), again("m", &[]), run("SHOW TimeZone")].concat()),
        Talk::new("settings of which SET has its own way")
            .queries(&["SET TIME ZONE -8", "SET DateStyle = 'SQL', 'DMY'"])
            .batch(&[parse("m", MEANINGS, &[])])
            .queries(&["RESET TimeZone", "SET DateStyle = 'German'", "SELECT 1"])
            .batch(&again("m", &[]))
            .queries(&["SELECT 1"])
            .batch(&again("m", &[]))
            .queries(&["SHOW TimeZone", "SHOW DateStyle"]),
        Talk::new("what was prepared under others fails as it would")
            .batch(&[parse("m", "SELECT '01/02/2020'::date / $1::int", &[])])
            .batch(&[parse("d", "SELECT 1 / $1::int, '01/02/2020'::date", &[])])
            .queries(&["SET DateStyle = 'ISO, DMY'", "SELECT 1"])
            .batch(&again("d", &[text("0")]))
            .queries(&["SELECT 1"])
            .batch(&again("d", &[text("1")]))
            .queries(&["BEGIN"])
            .batch(&again("d", &[text("0")]))
            .queries(&["ROLLBACK"])
            .batch(&[again("d", &[text("1")]), run("SHOW DateStyle"), again("d", &[text("0")])].concat()),
        Talk::new("asked for in SQL under other settings")
            .batch(&[parse("m", MEANINGS, &[])])
            .queries(&["SET TimeZone = 'Asia/Tokyo'; SET DateStyle = 'ISO, DMY'", "EXECUTE m", "EXECUTE m"])
            .batch(&again("m", &[]))
            .queries(&["SHOW TimeZone", "DEALLOCATE m"]),
        Talk::new("a constant in another encoding")
            .batch(&[parse("u", b"SELECT length('caf\xc3\xa9'), 'caf\xc3\xa9'", &[])])
            .queries(&["SET client_encoding = 'LATIN1'", "SELECT 1"])
            .batch(&again("u", &[]))
            .queries(&["SELECT 1"])
            .batch(&again("u", &[]))
            .queries(&["SHOW client_encoding"]),
    ]);
    talks
}

/// PostgreSQL looks names up again where the search path is another one, and refuses what returns something else then.
fn under_another_path() -> Vec<Talk> {
    let tables = [
        "CREATE TABLE play.items (id text, more int)",
        "INSERT INTO play.items VALUES ('of play', 1)",
        "CREATE TABLE play.same (id int)",
    ];
    // Where weir compares, the error is its own: PostgreSQL's in all but the line.
    let on = |name: &str| Talk::new(name).in_weirs_words().changes().queries(&tables);
    let fails = |talk: Talk, name: &str| {
        talk.batch(&again(name, &[])).queries(&["SELECT 1"]).batch(&again(name, &[])).batch(&again(name, &[]))
    };
    let described = |name: &str| {
        vec![parse("s", "SELECT * FROM items ORDER BY 1 LIMIT 2", &[]), describe_statement(name)]
    };
    vec![
        fails(
            on("described under one path, executed under another")
                .batch(&described("s"))
                .batch(&again("s", &[]))
                .queries(&["SET search_path = play"]),
            "s",
        )
        .batch(&[describe_statement("s")])
        .queries(&["SET search_path = public"])
        .batch(&again("s", &[]))
        .batch(&[describe_statement("s")]),
        fails(
            on("prepared under one path, described under another")
                .batch(&[parse("s", "SELECT * FROM items ORDER BY 1 LIMIT 2", &[])])
                .queries(&["SET search_path = play", "SELECT 1"])
                .batch(&[describe_statement("s")])
                .queries(&["SELECT 1"])
                .batch(&[describe_statement("s")]),
            "s",
        )
        .batch(&[close_statement("s"), parse("s", "SELECT * FROM items", &[]), describe_statement("s")])
        .batch(&again("s", &[])),
        on("of the same columns under both")
            .batch(&[parse("s", "SELECT count(*) FROM items", &[]), describe_statement("s")])
            .batch(&[parse("c", "SELECT 'items'::regclass::oid::regclass::text, '1.2.2003'::date", &[])])
            .queries(&["SET search_path = play"])
            .batch(&again("s", &[]))
            .batch(&again("c", &[]))
            .queries(&["SELECT 1"])
            .batch(&again("s", &[]))
            .batch(&again("c", &[]))
            .queries(&["SET search_path = public, play"])
            .batch(&again("s", &[]))
            .batch(&again("c", &[])),
        on("two of one text, each under its own path")
            .batch(&described("s"))
            .queries(&["SET search_path = play"])
            .batch(&[parse("t", "SELECT * FROM items ORDER BY 1 LIMIT 2", &[]), describe_statement("t")])
            .batch(&again("t", &[]))
            .queries(&["SELECT 1"])
            .batch(&again("t", &[]))
            .batch(&again("s", &[]))
            .queries(&["SET search_path = public"])
            .batch(&again("s", &[]))
            .batch(&again("t", &[])),
        on("for a transaction alone")
            .batch(&described("s"))
            .queries(&["BEGIN", "SET LOCAL search_path = play"])
            .batch(&again("s", &[]))
            .queries(&["ROLLBACK"])
            .batch(&again("s", &[]))
            .queries(&["BEGIN", "SET LOCAL search_path = play"])
            .batch(&[parse("t", "SELECT * FROM items", &[]), describe_statement("t")])
            .queries(&["COMMIT"])
            .batch(&again("t", &[]))
            .queries(&["SELECT 1"])
            .batch(&again("t", &[])),
    ]
}

fn by_protocol() -> Vec<Talk> {
    vec![
        Talk::new("equal texts with different types")
            .batch(&[
                parse("i", "SELECT $1", &[23]),
                parse("t", "SELECT $1", &[25]),
                parse("n", "SELECT $1", &[1700]),
                parse("u", "SELECT $1", &[]),
                describe_statement("i"),
                describe_statement("t"),
                describe_statement("n"),
                describe_statement("u"),
            ])
            .batch(&[again("i", &[text("1")]), again("t", &[text("x")]), again("n", &[text("1.5")])].concat())
            .batch(&again("i", &[text("x")])),
        Talk::new("statements that were neither described nor run for a while")
            .changes()
            .batch(
                &(0..20)
                    .map(|n| parse(format!("s{n}"), format!("SELECT {n}, $1::text"), &[]))
                    .collect::<Vec<_>>(),
            )
            .queries(&["INSERT INTO items VALUES (100, 'x')", "SELECT count(*) FROM items"])
            .batch(&(0..20).rev().flat_map(|n| again(&format!("s{n}"), &[text("v")])).collect::<Vec<_>>())
            .queries(&["BEGIN"])
            .batch(&(0..20).map(|n| describe_statement(format!("s{n}"))).collect::<Vec<_>>())
            .queries(&["ROLLBACK"]),
        Talk::new("the unnamed statement between named ones, in and out of transactions")
            .batch(&[parse("", "SELECT 'unnamed', $1::int", &[]), parse("s", "SELECT 'named'", &[])])
            .batch(&again("s", &[]))
            .batch(&again("", &[text("1")]))
            .batch(&run("BEGIN"))
            .batch(&again("", &[text("2")]))
            .batch(&[parse("", "SELECT 'in the transaction'", &[])])
            .batch(&again("", &[]))
            .batch(&[parse("c", "COMMIT", &[]), bind("", "c", &[]), execute("", 0)])
            .batch(&again("", &[])),
        Talk::new("the unnamed statement after an error elsewhere")
            .batch(&[parse("", "SELECT 'stays'", &[])])
            .batch(&again("nope", &[]))
            .batch(&again("", &[]))
            .batch(&[parse("x", "no sql", &[])])
            .batch(&again("", &[])),
        Talk::new("close of what a batch just made, and made again")
            .batch(&[
                parse("s", "SELECT 1", &[]),
                close_statement("s"),
                parse("s", "SELECT 2", &[]),
                bind("", "s", &[]),
                close_statement("s"),
                execute("", 0),
                parse("s", "SELECT 3", &[]),
            ])
            .batch(&again("s", &[]))
            .batch(&[close_statement("s"), close_statement("s"), close_portal(""), describe_statement("s")]),
        Talk::new("utility statements as prepared statements, again and again")
            .batch(&[
                parse("show", "SHOW TimeZone", &[]),
                // No table's: what autovacuum has counted of one meanwhile may change the plan.
                parse("explain", "EXPLAIN (COSTS OFF, VERBOSE) SELECT $1::int", &[]),
                parse("listen", "UNLISTEN here", &[]),
            ])
            .batch(&[describe_statement("show"), describe_statement("explain"), describe_statement("listen")])
            .batch(&again("show", &[]))
            .queries(&["SET TimeZone = 'Asia/Tokyo'"])
            .batch(&again("show", &[]))
            .batch(&again("explain", &[text("1")]))
            .batch(&again("listen", &[])),
        Talk::new("a text that others have prepared under other settings")
            // The neighbour comes by at each of them.
            .queries(&["SELECT 1"; 12])
            .batch(&[parse("c", CONSTANTS, &[])])
            .batch(&again("c", &[]))
            .queries(&["SELECT 2"])
            .batch(&again("c", &[]))
            .batch(&[describe_statement("c")]),
        Talk::new("a text prepared under settings that change then")
            .batch(&[parse("c", CONSTANTS, &[])])
            .queries(&["SET DateStyle = 'SQL, DMY'; SET TimeZone = 'Asia/Tokyo'"])
            .batch(&[parse("d", CONSTANTS, &[])])
            .batch(&again("d", &[]))
            .queries(&["SET LOCAL DateStyle = 'ISO, YMD'", "BEGIN", "SET LOCAL DateStyle = 'ISO, MDY'"])
            .batch(&[parse("e", CONSTANTS, &[])])
            .batch(&again("e", &[]))
            .queries(&["SET TimeZone = 'UTC'"])
            .batch(&again("e", &[]))
            .queries(&["ROLLBACK"])
            .batch(&[parse("f", CONSTANTS, &[])])
            .batch(&again("f", &[]))
            .ask(&[query("RESET ALL"), parse("g", CONSTANTS, &[]), sync()])
            .batch(&again("g", &[])),
        Talk::new("equal bytes in two encodings")
            .batch(&[parse("u", b"SELECT length('caf\xc3\xa9'), 'caf\xc3\xa9'", &[])])
            .batch(&again("u", &[]))
            .queries(&["SET client_encoding = 'LATIN1'"])
            .batch(&[parse("l", b"SELECT length('caf\xc3\xa9'), 'caf\xc3\xa9'", &[])])
            .batch(&again("l", &[]))
            .queries(&["RESET client_encoding"])
            .batch(&[close_statement("u"), parse("v", b"SELECT length('caf\xc3\xa9'), 'caf\xc3\xa9'", &[])])
            .batch(&again("v", &[])),
        Talk::new("messages that speak of a statement by its name")
            .batch(&[parse("S_1", "SELECT $1::int", &[]), parse("other", "SELECT 1", &[])])
            .batch(&[bind("", "S_1", &[]), execute("", 0)])
            .batch(&[bind("", "other", &[text("1")]), execute("", 0)])
            .batch(&[parse("S_1", "SELECT 2", &[])])
            .batch(&[bind("", "S_1", &[text("1"), text("2")]), close_statement("S_1"), execute("", 0)])
            .batch(&[bind("p", "S_1", &[]), describe_portal("p")])
            .batch(&[parse("S_2", "SELECT $1::int, 2", &[]), bind("", "S_2", &[]), close_statement("S_2")])
            .batch(&[parse("S_3", "SELECT $1::int, 3", &[]), close_statement("S_3"), bind("", "S_3", &[])])
            .batch(&run("BEGIN"))
            .batch(&[bind("", "S_1", &[]), execute("", 0)])
            .batch(&run("ROLLBACK"))
            .batch(&[bind("p", "other", &[]), execute("p", 0), execute("p", 0), bind("p", "other", &[])])
            .batch(&[bind("p", "other", &[]), bind("p", "other", &[])])
            .queries(&[
                "SELECT name, statement, is_holdable FROM pg_cursors",
                "EXECUTE S_1",
                "EXECUTE \"S_1\"",
            ]),
        Talk::new("a name of 63 letters, and a longer one")
            .batch(&[parse("n".repeat(63), "SELECT 63", &[]), parse("n".repeat(70), "SELECT 70", &[])])
            .batch(&again(&"n".repeat(63), &[]))
            .batch(&again(&"n".repeat(70), &[]))
            .queries(&[&format!("DEALLOCATE {}", "n".repeat(63))])
            .batch(&again(&"n".repeat(63), &[]))
            .batch(&again(&"n".repeat(70), &[])),
    ]
}
