//! The simple protocol.

use harness::client::front::*;

use crate::talk::{Hear, Talk, text};

pub(crate) fn talks() -> Vec<Talk> {
    let long = format!("SELECT length('{}')", "x".repeat(300_000));
    vec![
        Talk::new("rows, no rows, no columns").queries(&[
            "SELECT 1 AS one, 'two' AS two, NULL AS nothing, '' AS empty",
            "SELECT * FROM items WHERE id < 0",
            "SELECT",
            "SELECT FROM items WHERE id < 4",
        ]),
        Talk::new("several statements in one string")
            .changes()
            .queries(&["SELECT 1; SELECT 2, 3; SELECT count(*) FROM items"])
            .queries(&["SELECT 1; INSERT INTO items VALUES (100, 'hundred'); SELECT name FROM items WHERE id = 100"]),
        Talk::new("empty queries").queries(&["", ";", ";;", "  ", "-- only a comment", "/* ; */", "; SELECT 1 ;;"]),
        Talk::new("semicolons that end nothing").queries(&[
            "SELECT 'a;b', $$;$$, $tag$;$$;$tag$ /* ; /* ; */ ; */ AS \"c;d\"",
            "SELECT E'a\\';b', U&'\\003b', 1 -- ; nothing\n + 1",
        ]),
        Talk::new("an error in the middle of a string ends it")
            .changes()
            .queries(&["SELECT 1; SELECT 1/0; SELECT 2", "SELECT 3"])
            .queries(&["INSERT INTO items VALUES (101, 'gone'); SELECT 1/0", "SELECT count(*) FROM items"]),
        Talk::new("queries sent ahead")
            .changes()
            .ask(&[
                query("SELECT 1"),
                query("INSERT INTO items VALUES (102, 'ahead')"),
                query("SELECT 'two' FROM items WHERE id = 1"),
            ])
            .ask(&[query("SELECT 1"), query("SELECT 1/0"), query("no sql"), query(""), query("SELECT 4")]),
        Talk::new("a begin and a commit within strings")
            .changes()
            .queries(&["BEGIN; INSERT INTO items VALUES (103, 'c'); COMMIT", "SELECT count(*) FROM items"])
            .queries(&["BEGIN; SELECT 1", "SELECT 2", "COMMIT; SELECT 3", "SELECT 4; COMMIT", "SELECT 1; ROLLBACK; SELECT 2"]),
        Talk::new("a transaction that begins at the end of a string")
            .changes()
            .queries(&["SELECT 1; BEGIN", "INSERT INTO items VALUES (104, 'd')", "ROLLBACK; SELECT count(*) FROM items"]),
        Talk::new("large rows and many rows").queries(&[
            "SELECT repeat('x', 100000), repeat('y', 30000)",
            "SELECT n, repeat('z', n % 50) FROM generate_series(1, 5000) n",
            "SELECT string_agg(md5(n::text), ',') FROM generate_series(1, 9000) n",
        ]),
        Talk::new("a long text").ask(&[query(&long)]).queries(&["SELECT 1"]).ask(&[query(&long), query("SELECT 2")]),
        Talk::new("writes that return, and writes in disguise").changes().queries(&[
            "WITH gone AS (DELETE FROM items WHERE id > 15 RETURNING id) SELECT count(*), max(id) FROM gone",
            "UPDATE items SET price = price + 1 WHERE id < 4 RETURNING id, price",
            "SELECT id FROM items WHERE id = 3 FOR NO KEY UPDATE",
            "SELECT nextval('counter')",
            "SELECT currval('counter')",
            "SELECT * INTO play.copied FROM items WHERE id < 3",
            "SELECT * FROM play.copied ORDER BY id",
            "MERGE INTO items USING (VALUES (1)) v (id) ON items.id = v.id WHEN MATCHED THEN DO NOTHING",
        ]),
        Talk::new("every way to read").queries(&[
            "VALUES (1, 'a'), (2, 'b')",
            "(SELECT 1) UNION (SELECT 2) ORDER BY 1",
            "EXPLAIN (COSTS OFF) SELECT * FROM items WHERE id = 1",
            "SHOW server_version",
            "SELECT 'sad'::mood, ARRAY['ok', 'happy']::mood[], 1.5::numeric, '{\"a\": 1}'::jsonb",
            "WITH RECURSIVE t (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM t WHERE n < 5) SELECT sum(n) FROM t",
            "/* weir: primary */ SELECT 1",
            "/* weir: replica */ SELECT 1",
        ]),
        Talk::new("notices").queries(&[
            "SELECT shout('hello')",
            "DO $$ BEGIN RAISE NOTICE 'one'; RAISE WARNING 'two'; RAISE INFO 'three'; END $$",
            "SELECT 1; SELECT shout('amid'); SELECT 2",
            "DROP TABLE IF EXISTS no_such_table",
        ]),
        Talk::new("a notice, then an error")
            .queries(&["SELECT shout('first'), 1/0", "DO $$ BEGIN RAISE NOTICE 'a'; RAISE 'b'; END $$"]),
        Talk::new("rows, then an error").queries(&["SELECT 10 / (5 - n) FROM generate_series(1, 9) n", "SELECT 1"]),
        Talk::new("a write among the rows of a read")
            .changes()
            .queries(&["SELECT n, CASE WHEN n = 5 THEN nextval('counter') END FROM generate_series(1, 10) n"]),
        Talk::new("function calls")
            .ask(&[function_call(177, &[text("1"), text("2")])])
            .ask(&[function_call(177, &[None, text("2")])])
            .ask(&[query("SELECT 1"), function_call(177, &[text("40"), text("2")]), query("SELECT 2")]),
        Talk::new("function calls that fail")
            .ask(&[function_call(1, &[])])
            .ask(&[function_call(177, &[text("1")])])
            .ask(&[function_call(177, &[text("one"), text("2")])])
            .queries(&["BEGIN", "SELECT 1/0"])
            .ask(&[function_call(177, &[text("1"), text("2")])])
            .queries(&["ROLLBACK"]),
        Talk::new("a function call in a transaction")
            .queries(&["BEGIN"])
            .ask(&[function_call(177, &[text("1"), text("2")])])
            .queries(&["COMMIT"]),
        Talk::new("explain analyze of a write").changes().queries(&[
            "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS OFF) UPDATE items SET note = 'x' WHERE id = 1",
            "SELECT note FROM items WHERE id = 1",
        ]),
        Talk::new("copy out, between queries").say(
            &[query("SELECT 1"), query("COPY (SELECT 2) TO STDOUT"), query("SELECT 3")],
            Hear::Ready(3),
        ),
    ]
}
