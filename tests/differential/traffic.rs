//! What passes beside rows: notices, notifications, copies, and long pipelines; and state that answers remember.

use harness::client::front::*;

use crate::talk::{Hear, Talk, again, run, text};

pub(crate) fn talks() -> Vec<Talk> {
    [notices(), notifications(), remembered(), copies(), pipelines(), values()].concat()
}

fn notices() -> Vec<Talk> {
    let levels = "DO $$ BEGIN RAISE DEBUG 'd'; RAISE LOG 'l'; RAISE INFO 'i'; RAISE NOTICE 'n'; RAISE WARNING 'w'; END $$";
    vec![
        Talk::new("all levels, at each threshold").queries(&[
            levels,
            "SET client_min_messages = debug1",
            levels,
            "SET client_min_messages = log",
            levels,
            "SELECT shout('log')",
            "SET client_min_messages = warning",
            levels,
            "SET client_min_messages = error",
            levels,
            "COMMIT",
            "BEGIN; SET LOCAL client_min_messages = notice",
            levels,
            "ROLLBACK",
            levels,
            "RESET client_min_messages",
            levels,
        ]),
        Talk::new("notices from the start").startup("client_min_messages", "warning").queries(&[
            "SELECT shout('nobody hears')",
            "DROP TABLE IF EXISTS nothing",
            "ROLLBACK",
            "RESET client_min_messages",
            "SELECT shout('x')",
        ]),
        Talk::new("notices in batches")
            .batch(&[run("SELECT shout('one')"), run("SELECT shout('two')")].concat())
            .batch(&[run("SELECT shout('three')"), run("SELECT 1/0"), run("SELECT shout('four')")].concat())
            .batch(&[
                parse("s", "SELECT shout($1)", &[]),
                bind("", "s", &[text("five")]),
                describe_portal(""),
                execute("", 0),
            ])
            .batch(&[run("COMMIT"), run("ROLLBACK")].concat()),
        Talk::new("warnings where nothing is wrong")
            .queries(&[
                "COMMIT",
                "ROLLBACK",
                "SET LOCAL work_mem = '5MB'",
                "LOCK TABLE items",
                "SET CONSTRAINTS ALL DEFERRED",
            ])
            .queries(&[
                "DROP VIEW IF EXISTS a, b",
                "SELECT 1; COMMIT; SELECT 2",
                "SET TRANSACTION READ ONLY",
            ]),
    ]
}

fn notifications() -> Vec<Talk> {
    vec![
        Talk::new("listening by the extended protocol")
            .batch(&run("LISTEN here"))
            .batch(&[run("NOTIFY here, 'one'"), run("SELECT 1")].concat())
            .batch(&[run("BEGIN"), run("NOTIFY here, 'two'"), run("COMMIT"), run("SELECT 2")].concat())
            .batch(&run("UNLISTEN here"))
            .batch(&run("NOTIFY here, 'three'")),
        Talk::new("notifications that come in a transaction wait for its end")
            .queries(&["LISTEN here", "BEGIN"])
            .aside("NOTIFY here, 'meanwhile'", Hear::Nothing)
            .queries(&["SELECT 1", "SELECT 2", "COMMIT"])
            .queries(&["BEGIN", "SELECT 1/0"])
            .aside("NOTIFY here, 'meanwhile again'", Hear::Nothing)
            .queries(&["ROLLBACK"]),
        Talk::new("several channels, odd names, long payloads")
            .queries(&[
                "LISTEN \"Odd name\"",
                "LISTEN here",
                "LISTEN here",
                "SELECT * FROM pg_listening_channels() c ORDER BY c",
            ])
            .queries(&["NOTIFY \"Odd name\"", "NOTIFY here, 'a'; NOTIFY here, 'a'; NOTIFY here, 'b'"])
            .queries(&[
                "SELECT pg_notify('here', repeat('x', 7000))",
                "SELECT pg_notify('here', repeat('x', 9000))",
            ])
            .aside("NOTIFY \"Odd name\", 'from afar'", Hear::UpTo(b'A'))
            .queries(&["UNLISTEN here"])
            .aside("NOTIFY here, 'not heard'", Hear::Nothing)
            .aside("NOTIFY \"Odd name\", 'heard'", Hear::UpTo(b'A'))
            .queries(&["UNLISTEN *", "NOTIFY \"Odd name\"", "SELECT count(*) FROM pg_listening_channels()"]),
        Talk::new("a LISTEN that is rolled back")
            .queries(&["BEGIN", "LISTEN here", "ROLLBACK", "NOTIFY here", "SELECT 1"])
            .queries(&["LISTEN here", "BEGIN", "UNLISTEN here", "ROLLBACK", "NOTIFY here, 'still heard'"])
            .queries(&["BEGIN", "UNLISTEN *", "COMMIT", "NOTIFY here"]),
        Talk::new("listening ends with DISCARD ALL").queries(&[
            "LISTEN here",
            "SELECT 1",
            "NOTIFY here, 'x'",
            "DISCARD ALL",
            "NOTIFY here, 'y'",
            "SELECT 1",
        ]),
        Talk::new("many notifications from afar, one after the other")
            .queries(&["LISTEN here"])
            .aside("NOTIFY here, 'one'", Hear::UpTo(b'A'))
            .aside("NOTIFY here, 'two'", Hear::UpTo(b'A'))
            .aside("NOTIFY here, 'three'", Hear::UpTo(b'A'))
            .queries(&["SELECT count(*) FROM items"])
            .batch(&run("SELECT 1")),
    ]
}

/// What a later statement asks about an earlier one.
fn remembered() -> Vec<Talk> {
    vec![
        Talk::new("currval and lastval after autocommitted writes").changes().queries(&[
            "CREATE TABLE play.s (id serial, word text)",
            "INSERT INTO play.s (word) VALUES ('one')",
            "SELECT currval('play.s_id_seq')",
            "SELECT lastval()",
            "SELECT 1",
            "INSERT INTO play.s (word) VALUES ('two') RETURNING id",
            "SELECT lastval(), currval('play.s_id_seq')",
            "SELECT nextval('counter')",
            "SELECT lastval(), currval('counter'), currval('play.s_id_seq')",
            "SELECT setval('counter', 50)",
            "SELECT currval('counter'), lastval()",
        ]),
        Talk::new("currval by the extended protocol and in transactions")
            .changes()
            .queries(&["CREATE TABLE play.s (id int GENERATED ALWAYS AS IDENTITY, word text)"])
            .batch(&[parse("i", "INSERT INTO play.s (word) VALUES ($1)", &[]), bind("", "i", &[text("a")]), execute("", 0)])
            .batch(&run("SELECT lastval()"))
            .batch(&[parse("c", "SELECT currval('play.s_id_seq'::regclass)", &[]), bind("", "c", &[]), execute("", 0)])
            .queries(&["BEGIN"])
            .batch(&again("i", &[text("b")]))
            .batch(&again("c", &[]))
            .queries(&["COMMIT"])
            .batch(&again("c", &[])),
        Talk::new("a seed for random numbers")
            .queries(&["SELECT setseed(0.5)", "SELECT random()", "SELECT 1", "SELECT random(), random()"]),
        Talk::new("a temporary sequence, view, type and function").queries(&[
            "CREATE TEMP SEQUENCE mine",
            "SELECT nextval('mine')",
            "SELECT nextval('mine'), currval('mine')",
            "CREATE TEMP VIEW seen AS SELECT 'seen' AS word",
            "SELECT word FROM seen",
            "CREATE FUNCTION pg_temp.twice(n int) RETURNS int LANGUAGE sql AS 'SELECT 2 * n'",
            "SELECT pg_temp.twice(21)",
            "CREATE TYPE pg_temp.pair AS (a int, b int)",
            "SELECT (ROW(1, 2)::pg_temp.pair).b",
            "SELECT 1 AS x INTO TEMP made",
            "SELECT * FROM made",
            "CREATE TABLE pg_temp.other (id int)",
            "SELECT count(*) FROM other",
        ]),
        Talk::new("temporary tables in transactions").changes().queries(&[
            "BEGIN",
            "CREATE TEMP TABLE gone (id int)",
            "ROLLBACK",
            "SELECT * FROM gone",
            "BEGIN",
            "CREATE TEMP TABLE emptied (id int) ON COMMIT DELETE ROWS",
            "INSERT INTO emptied VALUES (1)",
            "SELECT count(*) FROM emptied",
            "COMMIT",
            "SELECT count(*) FROM emptied",
            "SAVEPOINT x",
            "BEGIN; CREATE TEMP TABLE dropped ON COMMIT DROP AS SELECT 1 AS id; SELECT * FROM dropped; COMMIT",
            "SELECT * FROM dropped",
            "DROP TABLE emptied",
        ]),
        Talk::new("advisory locks of every kind").queries(&[
            "SELECT pg_advisory_lock(1, 2)",
            "SELECT pg_try_advisory_lock_shared(5)",
            "SELECT 1",
            "SELECT pg_advisory_unlock(1, 2), pg_advisory_unlock_shared(5)",
            "SELECT pg_advisory_unlock_shared(5)",
            "BEGIN",
            "SELECT pg_advisory_xact_lock(7)",
            "SELECT pg_try_advisory_xact_lock(7)",
            "COMMIT",
            "SELECT pg_advisory_unlock(7)",
            "SELECT pg_advisory_lock(8), pg_advisory_lock(8)",
            "SELECT pg_advisory_unlock(8)",
            "SELECT pg_advisory_unlock(8)",
            "SELECT pg_advisory_unlock(8)",
            "SELECT pg_advisory_lock(id) FROM items WHERE id < 4",
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()",
            "SELECT pg_advisory_unlock_all()",
        ]),
        Talk::new("who one is talking to").queries(&[
            "SELECT pg_backend_pid() = pg_backend_pid()",
            "SELECT current_database() = current_catalog, current_user, current_schema()",
            "SELECT pg_is_in_recovery()",
            "SELECT inet_server_addr() IS NULL, version() = version()",
            "SELECT usename FROM pg_stat_activity WHERE pid = pg_backend_pid()",
        ]),
    ]
}

fn copies() -> Vec<Talk> {
    const IN: &str = "COPY items (id, name) FROM STDIN";
    const COUNT: &str = "SELECT count(*) FROM items";
    vec![
        Talk::new("in, with every option of csv")
            .changes()
            .say(
                &[query("COPY items (id, name, note) FROM STDIN WITH (FORMAT csv, HEADER, DELIMITER ';', NULL '-', QUOTE '''', FORCE_NOT_NULL (name))")],
                Hear::UpTo(b'G'),
            )
            .say(&[copy_data("id;name;note\n100;'a;b';-\n101;''''';c\n"), copy_done()], Hear::Ready(1))
            .say(&[copy_data("late\n"), query(COUNT)], Hear::Ready(1)),
        Talk::new("in and out, of another encoding")
            .changes()
            .say(&[query("COPY items (id, name) FROM STDIN WITH (ENCODING 'LATIN1')")], Hear::UpTo(b'G'))
            .say(&[copy_data(b"100\tcaf\xe9\n"), copy_done()], Hear::Ready(1))
            .queries(&["SELECT name FROM items WHERE id = 100", "COPY (SELECT name FROM items WHERE id = 100) TO STDOUT (ENCODING 'LATIN1')"])
            .say(&[query(IN)], Hear::UpTo(b'G'))
            .say(&[copy_data(b"101\tcaf\xe9\n"), copy_done()], Hear::Ready(1)),
        Talk::new("copies that are refused").queries(&[
            "COPY items FROM STDIN WITH (FORMAT no_such)",
            "COPY items (nope) TO STDOUT",
            "COPY (SELECT 1) FROM STDIN",
            "COPY items TO '/tmp/file'",
            "COPY items FROM PROGRAM 'true'",
            "COPY items FROM STDIN WITH (FREEZE)",
        ]),
        Talk::new("in, with an error at the very end")
            .changes()
            .say(&[query(IN)], Hear::UpTo(b'G'))
            .say(&[copy_data("100\tone\n"), copy_data("101"), copy_done(), query(COUNT)], Hear::Ready(2)),
        Talk::new("in, failing in a transaction, with a savepoint")
            .changes()
            .queries(&["BEGIN", "SAVEPOINT a"])
            .say(&[query(IN)], Hear::UpTo(b'G'))
            .say(&[copy_data("1\ttaken\n"), copy_done()], Hear::Ready(1))
            .queries(&["ROLLBACK TO a"])
            .say(&[query(IN)], Hear::UpTo(b'G'))
            .say(&[copy_data("100\tone\n"), copy_done()], Hear::Ready(1))
            .queries(&["COMMIT", COUNT]),
        Talk::new("in and out in one string, with a failure")
            .changes()
            .say(&[query("COPY items (id, name) FROM STDIN; COPY (SELECT count(*) FROM items) TO STDOUT; SELECT 3")], Hear::UpTo(b'G'))
            .say(&[copy_data("100\tone\n"), copy_done()], Hear::Ready(1))
            .say(&[query("SELECT 1; COPY items (id, name) FROM STDIN; SELECT 2")], Hear::UpTo(b'G'))
            .say(&[copy_data("101\tone\n"), copy_fail("stop")], Hear::Ready(1))
            .queries(&[COUNT, "BEGIN; COPY items (id, name) TO STDOUT; SELECT 1/0", "ROLLBACK"]),
        Talk::new("out, with a row limit, and described")
            .batch(&[parse("c", "COPY (SELECT n FROM generate_series(1, 9) n) TO STDOUT", &[]), describe_statement("c"), bind("p", "c", &[]), describe_portal("p"), execute("p", 2)])
            .batch(&again("c", &[])),
        Talk::new("in, by the extended protocol, failing, with more batches sent ahead")
            .changes()
            .say(
                &[run(IN), vec![copy_data("1\ttaken\n"), copy_done(), sync()], run(COUNT), vec![sync()]].concat(),
                Hear::Ready(2),
            )
            .queries(&[COUNT]),
        Talk::new("in, by the extended protocol in a transaction, given up")
            .changes()
            .batch(&run("BEGIN"))
            .say(&[run(IN), vec![flush()]].concat(), Hear::UpTo(b'G'))
            .say(&[copy_data("100\tone\n"), copy_fail("enough"), sync()], Hear::Ready(1))
            .batch(&run("SELECT 1"))
            .batch(&run("ROLLBACK")),
    ]
}

fn pipelines() -> Vec<Talk> {
    vec![
        Talk::new("three hundred batches before any answer is read").changes().ask(
            &(0..300)
                .flat_map(|n| {
                    let sql = match n % 7 {
                        0 => format!("INSERT INTO items VALUES ({}, 'p')", 1000 + n),
                        3 => format!("SELECT {n} / 0"),
                        _ => format!("SELECT count(*), {n} FROM items"),
                    };
                    [run(&sql), vec![sync()]].concat()
                })
                .collect::<Vec<_>>(),
        ),
        Talk::new("transactions in a pipeline, some of which fail").changes().ask(
            &(0..12)
                .flat_map(|n| {
                    let middle = if n % 3 == 1 { "SELECT 1/0" } else { "UPDATE items SET price = price + 1" };
                    [
                        "BEGIN",
                        "SELECT sum(price) FROM items",
                        middle,
                        if n % 2 == 0 { "COMMIT" } else { "ROLLBACK" },
                    ]
                    .iter()
                    .flat_map(|sql| [run(sql), vec![sync()]].concat())
                    .collect::<Vec<_>>()
                })
                .collect::<Vec<_>>(),
        ),
        Talk::new("flushes in all places")
            .say(
                &[
                    flush(),
                    parse("s", "SELECT $1::int", &[]),
                    flush(),
                    describe_statement("s"),
                    flush(),
                    flush(),
                ],
                Hear::UpTo(b'T'),
            )
            .say(&[bind("", "s", &[text("1")]), flush(), execute("", 0), flush()], Hear::UpTo(b'C'))
            .say(&[bind("", "s", &[text("x")]), flush()], Hear::UpTo(b'E'))
            .say(&[flush(), bind("", "s", &[text("2")]), flush()], Hear::Nothing)
            .batch(&[flush()])
            .batch(&again("s", &[text("3")])),
        Talk::new("closes and describes between executions in one batch").changes().batch(
            &[
                vec![parse("a", "SELECT name FROM items WHERE id = $1", &[])],
                again("a", &[text("1")]),
                vec![
                    parse("b", "UPDATE items SET note = 'b' WHERE id = $1 RETURNING id", &[]),
                    describe_statement("b"),
                ],
                again("b", &[text("2")]),
                vec![close_statement("a"), describe_statement("b"), close_portal("")],
                again("b", &[text("3")]),
                vec![close_statement("b"), parse("a", "SELECT 'anew'", &[])],
                again("a", &[]),
            ]
            .concat(),
        ),
        Talk::new("a simple query behind an open batch in a transaction")
            .queries(&["BEGIN"])
            .say(&[run("SELECT 1"), vec![query("SELECT 2; SELECT 3")]].concat(), Hear::Ready(1))
            .say(&[vec![parse("", "SELECT 4", &[])], vec![query("COMMIT")]].concat(), Hear::Ready(1))
            .batch(&again("", &[])),
        Talk::new("an open batch with a write, then simple queries")
            .changes()
            .say(
                &[run("INSERT INTO items VALUES (100, 'open')"), vec![query("SELECT count(*) FROM items")]]
                    .concat(),
                Hear::Ready(1),
            )
            .say(
                &[run("INSERT INTO items VALUES (101, 'open')"), vec![query("SELECT 1/0")]].concat(),
                Hear::Ready(1),
            )
            .queries(&["SELECT count(*) FROM items"]),
    ]
}

fn values() -> Vec<Talk> {
    let wide = (1..=400).map(|n| format!("{n} AS c{n}")).collect::<Vec<_>>().join(", ");
    vec![
        Talk::new("binary results of many types").batch(&[
            parse(
                "",
                "SELECT 1::int2, 2::int4, 3::int8, 1.5::float4, 2.5::float8, 12.345::numeric, true, 'x'::text, '\\xdead'::bytea, \
                 '2020-01-01'::date, '2020-01-01 12:00'::timestamp, '1 day'::interval, '{1,2}'::int[], '{\"a\":1}'::jsonb, \
                 'ok'::mood, ROW(1, 'a'), '10.0.0.1'::inet, NULL::int, '(1,2)'::point, '[1,5)'::int4range",
                &[],
            ),
            describe_statement(""),
            bind_formats("", "", &[], &[], &[1]),
            describe_portal(""),
            execute("", 0),
        ]),
        Talk::new("binary parameters of many types").batch(&[
            parse("", "SELECT $1::int8, $2::float8, $3::bool, $4::text, $5::int4[], $6::uuid", &[]),
            describe_statement(""),
            bind_formats(
                "",
                "",
                &[1],
                &[
                    Some(&7i64.to_be_bytes()),
                    Some(&2.5f64.to_be_bytes()),
                    Some(&[1]),
                    Some("\u{fc}".as_bytes()),
                    None,
                    Some(&[7; 16]),
                ],
                &[0],
            ),
            execute("", 0),
        ]),
        Talk::new("very wide rows").queries(&[&format!("SELECT {wide}")]).batch(&[
            parse("w", format!("SELECT {wide}"), &[]),
            describe_statement("w"),
            bind_formats("", "w", &[], &[], &[1]),
            execute("", 0),
        ]),
        Talk::new("values of a megabyte, there and back")
            .changes()
            .batch(&[
                parse("", "INSERT INTO items VALUES (100, $1) RETURNING length(name)", &[]),
                bind("", "", &[text(&"v".repeat(1 << 20))]),
                execute("", 0),
            ])
            .queries(&["SELECT name FROM items WHERE id = 100"])
            .batch(&run("SELECT name, name FROM items WHERE id = 100")),
        Talk::new("empty queries of both kinds, in and out of transactions")
            .queries(&["", "BEGIN", "", ";"])
            .batch(&run(""))
            .batch(&[parse("e", "-- nothing", &[]), describe_statement("e"), bind("", "e", &[]), describe_portal(""), execute("", 1)])
            .queries(&["COMMIT", ""]),
        Talk::new("function calls with binary arguments and a void result")
            .ask(&[message(b'F', b"\0\0\0\xb1\0\x01\0\x01\0\x02\0\0\0\x04\0\0\0\x28\0\0\0\x04\0\0\0\x02\0\x01")])
            .queries(&["BEGIN"])
            .ask(&[function_call(177, &[text("1"), text("x")])])
            .ask(&[function_call(177, &[text("1"), text("2")])])
            .queries(&["ROLLBACK"]),
    ]
}
