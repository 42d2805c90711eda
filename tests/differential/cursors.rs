//! Cursors and portals: opened, read in pieces, moved, closed, and lost with their transactions.

use harness::client::front::*;

use crate::talk::{Hear, Talk, again, run, text};

const ROWS: &str = "SELECT n FROM generate_series(1, 9) n";

pub(crate) fn talks() -> Vec<Talk> {
    [cursors(), held(), portals(), lost()].concat()
}

fn cursors() -> Vec<Talk> {
    vec![
        Talk::new("a cursor that scrolls").queries(&[
            "BEGIN",
            "DECLARE c SCROLL CURSOR FOR SELECT n FROM generate_series(1, 9) n",
            "FETCH LAST c",
            "FETCH PRIOR c",
            "FETCH FIRST c",
            "FETCH ABSOLUTE 4 c",
            "FETCH RELATIVE -2 c",
            "FETCH BACKWARD 5 c",
            "MOVE FORWARD ALL IN c",
            "FETCH BACKWARD ALL FROM c",
            "FETCH 0 c",
            "FETCH FORWARD 2 IN c",
            "MOVE LAST c",
            "MOVE BACKWARD 2 c",
            "FETCH NEXT c",
            "COMMIT",
        ]),
        Talk::new("a cursor that does not scroll").queries(&[
            "BEGIN",
            "DECLARE c NO SCROLL CURSOR FOR SELECT n FROM generate_series(1, 9) n",
            "FETCH 2 c",
            "SAVEPOINT a",
            "FETCH PRIOR c",
            "ROLLBACK TO a",
            "FETCH ALL c",
            "ROLLBACK",
        ]),
        Talk::new("a binary cursor").queries(&[
            "BEGIN",
            "DECLARE c BINARY CURSOR FOR SELECT id, name FROM items ORDER BY id",
            "FETCH 2 c",
            "CLOSE c",
            "COMMIT",
        ]),
        Talk::new("where the cursor stands").changes().queries(&[
            "BEGIN",
            "DECLARE c CURSOR FOR SELECT id, note FROM items ORDER BY id FOR UPDATE",
            "FETCH 3 c",
            "UPDATE items SET note = 'here' WHERE CURRENT OF c",
            "FETCH c",
            "DELETE FROM items WHERE CURRENT OF c",
            "UPDATE items SET note = 'nowhere' WHERE CURRENT OF no_such_cursor",
            "ROLLBACK",
            "BEGIN",
            "DECLARE c CURSOR FOR SELECT id FROM items ORDER BY id FOR UPDATE",
            "FETCH c",
            "UPDATE items SET note = 'kept' WHERE CURRENT OF c",
            "COMMIT",
            "SELECT id, note FROM items WHERE note IN ('here', 'kept')",
        ]),
        Talk::new("cursors outside of a transaction").queries(&[
            "DECLARE c CURSOR FOR SELECT 1",
            "FETCH c",
            "MOVE c",
            "CLOSE c",
            "CLOSE ALL",
            "DECLARE c CURSOR FOR SELECT 1; FETCH c",
            "FETCH c",
        ]),
        Talk::new("several cursors, one name twice").queries(&[
            "BEGIN",
            "DECLARE a CURSOR FOR SELECT n FROM generate_series(1, 9) n",
            "DECLARE \"B b\" CURSOR FOR SELECT -n FROM generate_series(1, 9) n",
            "FETCH 2 a; FETCH 3 \"B b\"; FETCH 2 a",
            "SELECT name, is_holdable, is_scrollable FROM pg_cursors ORDER BY name",
            "DECLARE a CURSOR FOR SELECT 1",
            "FETCH a",
            "ROLLBACK",
        ]),
        Talk::new("cursors and savepoints").queries(&[
            "BEGIN",
            "DECLARE a CURSOR FOR SELECT n FROM generate_series(1, 9) n",
            "FETCH 2 a",
            "SAVEPOINT s",
            "FETCH 2 a",
            "DECLARE b CURSOR FOR SELECT 1",
            "ROLLBACK TO s",
            "FETCH a",
            "FETCH b",
            "ROLLBACK TO s",
            "CLOSE a",
            "ROLLBACK TO s",
            "FETCH a",
            "COMMIT",
        ]),
        Talk::new("CLOSE ALL, and what a function opened").changes().queries(&[
            "CREATE FUNCTION play.open() RETURNS refcursor LANGUAGE plpgsql AS $$ DECLARE c refcursor := 'opened'; BEGIN OPEN c FOR SELECT id FROM items ORDER BY id; RETURN c; END $$",
            "BEGIN",
            "SELECT play.open()",
            "FETCH 2 opened",
            "DECLARE other CURSOR FOR SELECT 1",
            "CLOSE ALL",
            "FETCH opened",
            "ROLLBACK",
            "SELECT play.open()",
            "FETCH 2 opened",
        ]),
        Talk::new("cursors by the extended protocol")
            .batch(&run("BEGIN"))
            .batch(&[
                parse("d", "DECLARE c SCROLL CURSOR FOR SELECT n FROM generate_series(1, $1::int) n", &[]),
                describe_statement("d"),
                bind("", "d", &[text("9")]),
                execute("", 0),
            ])
            .batch(&[parse("f", "FETCH 2 FROM c", &[]), describe_statement("f")])
            .batch(&again("f", &[]))
            .batch(&[bind_formats("", "f", &[], &[], &[1]), describe_portal(""), execute("", 0)])
            .batch(&[describe_portal("c"), execute("c", 2), execute("c", 0)])
            .batch(&run("CLOSE c"))
            .batch(&again("f", &[]))
            .batch(&run("ROLLBACK")),
        Talk::new("a cursor that fails on its way").queries(&[
            "BEGIN",
            "DECLARE c CURSOR FOR SELECT 10 / (5 - n) FROM generate_series(1, 9) n",
            "FETCH 3 c",
            "FETCH 3 c",
            "FETCH c",
            "ROLLBACK",
        ]),
        Talk::new("a cursor over a write's transaction").changes().queries(&[
            "BEGIN",
            "DECLARE c CURSOR FOR SELECT count(*) FROM items",
            "INSERT INTO items VALUES (100, 'x')",
            "FETCH c",
            "DECLARE d CURSOR FOR SELECT count(*) FROM items",
            "FETCH d",
            "ROLLBACK",
        ]),
    ]
}

fn held() -> Vec<Talk> {
    vec![
        Talk::new("held cursors over several transactions").changes().queries(&[
            "BEGIN",
            "DECLARE c SCROLL CURSOR WITH HOLD FOR SELECT id FROM items ORDER BY id",
            "FETCH 2 c",
            "COMMIT",
            "INSERT INTO items VALUES (0, 'first')",
            "FETCH 2 c",
            "BEGIN",
            "FETCH 2 c",
            "ROLLBACK",
            "FETCH 2 c",
            "FETCH ABSOLUTE 1 c",
            "SELECT name, is_holdable FROM pg_cursors",
            "CLOSE ALL",
            "FETCH c",
        ]),
        Talk::new("a held cursor, declared outside").queries(&[
            "DECLARE c CURSOR WITH HOLD FOR SELECT id FROM items ORDER BY id",
            "SELECT 1",
            "FETCH 2 c",
            "MOVE 3 c",
            "FETCH 1 c",
            "DISCARD ALL",
            "FETCH c",
        ]),
        Talk::new("a held cursor that is rolled back, and one that fails to be held").queries(&[
            "BEGIN",
            "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
            "ROLLBACK",
            "FETCH c",
            "BEGIN",
            "DECLARE c CURSOR WITH HOLD FOR SELECT 10 / (5 - n) FROM generate_series(1, 9) n",
            "COMMIT",
            "FETCH c",
        ]),
        Talk::new("a held cursor read by Execute")
            .queries(&["DECLARE c CURSOR WITH HOLD FOR SELECT n FROM generate_series(1, 9) n"])
            .batch(&[describe_portal("c"), execute("c", 2)])
            .batch(&[execute("c", 3)])
            .batch(&[close_portal("c")])
            .batch(&[execute("c", 1)]),
    ]
}

fn portals() -> Vec<Talk> {
    vec![
        Talk::new("a portal over several syncs, row by row")
            .queries(&["BEGIN"])
            .batch(&[parse("", ROWS, &[]), bind("p", "", &[]), describe_portal("p"), execute("p", 1)])
            .batch(&[execute("p", 3)])
            .batch(&[execute("p", 5)])
            .batch(&[execute("p", 1)])
            .batch(&[execute("p", 1)])
            .batch(&[close_portal("p"), execute("p", 1)])
            .queries(&["ROLLBACK"]),
        Talk::new("the unnamed portal over several syncs")
            .queries(&["BEGIN"])
            .batch(&[parse("", ROWS, &[]), bind("", "", &[]), execute("", 2)])
            .batch(&[execute("", 2)])
            .batch(&[parse("s", "SELECT 'other'", &[])])
            .batch(&[execute("", 2)])
            .batch(&[parse("", "SELECT 'unnamed'", &[])])
            .batch(&[execute("", 2)])
            .queries(&["SELECT 1"])
            .batch(&[execute("", 2)])
            .queries(&["ROLLBACK"]),
        Talk::new("many portals at once, interleaved with statements")
            .changes()
            .queries(&["BEGIN"])
            .batch(
                &[
                    vec![parse("s", "SELECT n FROM generate_series(1, $1::int) n", &[])],
                    (1..=6).map(|n| bind(format!("p{n}"), "s", &[text(&(n * 2).to_string())])).collect(),
                ]
                .concat(),
            )
            .batch(&(1..=6).map(|n| execute(format!("p{n}"), 2)).collect::<Vec<_>>())
            .queries(&[
                "INSERT INTO items VALUES (100, 'between')",
                "SELECT name FROM pg_cursors ORDER BY name",
            ])
            .batch(&(1..=6).rev().map(|n| execute(format!("p{n}"), n)).collect::<Vec<_>>())
            .batch(&[close_portal("p3"), close_statement("s"), execute("p4", 0), execute("p3", 0)])
            .batch(&[execute("p5", 0)])
            .queries(&["ROLLBACK"]),
        Talk::new("a portal's formats and its description")
            .queries(&["BEGIN"])
            .batch(&[
                parse("s", "SELECT id, name, price FROM items ORDER BY id", &[]),
                bind_formats("b", "s", &[], &[], &[1, 0, 1]),
                bind("t", "s", &[]),
                describe_portal("b"),
                describe_portal("t"),
                execute("b", 1),
                execute("t", 1),
            ])
            .batch(&[describe_portal("b"), execute("b", 1)])
            .queries(&["COMMIT"]),
        Talk::new("portals and savepoints")
            .queries(&["BEGIN"])
            .batch(&[parse("s", ROWS, &[]), bind("before", "s", &[]), execute("before", 2)])
            .queries(&["SAVEPOINT a"])
            .batch(&[bind("after", "s", &[]), execute("after", 2), execute("before", 1)])
            .queries(&["ROLLBACK TO a"])
            .batch(&[execute("before", 2)])
            .batch(&[execute("after", 1)])
            .queries(&["ROLLBACK TO a", "RELEASE a"])
            .batch(&[execute("before", 0)])
            .queries(&["COMMIT"]),
        Talk::new("portals that return nothing, and limits on them")
            .changes()
            .batch(&[
                parse("i", "INSERT INTO items VALUES (100, 'x')", &[]),
                bind("p", "i", &[]),
                describe_portal("p"),
                execute("p", 1),
            ])
            .batch(&[parse("e", "", &[]), bind("p", "e", &[]), describe_portal("p"), execute("p", 5)])
            .batch(&[
                parse("z", "SELECT 1 WHERE false", &[]),
                bind("p", "z", &[]),
                execute("p", 1),
                execute("p", 1),
            ])
            .batch(&[
                parse("h", "SHOW TimeZone", &[]),
                bind("p", "h", &[]),
                execute("p", 1),
                execute("p", 1),
            ]),
        Talk::new("a limit that the rows just fill")
            .batch(&[parse("", ROWS, &[]), bind("", "", &[]), execute("", 9), execute("", 9)])
            .batch(&[parse("", ROWS, &[]), bind("", "", &[]), execute("", 10)]),
        Talk::new("a limited write with RETURNING, over several syncs")
            .changes()
            .queries(&["BEGIN"])
            .batch(&[
                parse("", "UPDATE items SET note = 'r' WHERE id < 6 RETURNING id", &[]),
                bind("p", "", &[]),
                execute("p", 2),
            ])
            .queries(&["SELECT count(*) FROM items WHERE note = 'r'"])
            .batch(&[execute("p", 2)])
            .batch(&[execute("p", 0)])
            .queries(&["ROLLBACK"]),
        Talk::new("row limits with flushes in one transaction block, as node-postgres does")
            .say(
                &[parse("", ROWS, &[]), bind("p", "", &[]), describe_portal("p"), execute("p", 4), flush()],
                Hear::UpTo(b's'),
            )
            .say(&[execute("p", 4), flush()], Hear::UpTo(b's'))
            .say(&[execute("p", 4), flush()], Hear::UpTo(b'C'))
            .batch(&[close_portal("p")]),
        Talk::new("a portal moved and fetched by SQL in between")
            .queries(&["BEGIN"])
            .batch(&[parse("s", ROWS, &[]), bind("p", "s", &[]), execute("p", 2)])
            .queries(&["MOVE 2 FROM p", "FETCH 1 FROM p"])
            .batch(&[execute("p", 2)])
            .queries(&["CLOSE p"])
            .batch(&[execute("p", 2)])
            .queries(&["COMMIT"]),
        Talk::new("a portal that stays when its name is bound in vain")
            .queries(&["BEGIN"])
            .batch(&[parse("set", "SET TimeZone = 'Asia/Tokyo'", &[]), parse("read", "SELECT 1", &[])])
            .batch(&[bind("p", "set", &[])])
            .queries(&["SAVEPOINT a"])
            .batch(&[bind("p", "read", &[])])
            .queries(&["ROLLBACK TO a"])
            .batch(&[execute("p", 0)])
            .queries(&["COMMIT", "SHOW TimeZone"]),
        Talk::new("the unnamed portal, bound in vain to what there is not")
            .batch(&[
                parse("begin", "BEGIN", &[]),
                parse("set", "SET TimeZone = 'Asia/Tokyo'", &[]),
                parse("save", "SAVEPOINT a", &[]),
                parse("back", "ROLLBACK TO a", &[]),
                parse("commit", "COMMIT", &[]),
            ])
            .batch(&[
                bind("x", "begin", &[]),
                execute("x", 0),
                bind("", "set", &[]),
                bind("y", "save", &[]),
                execute("y", 0),
            ])
            .batch(&[bind("", "nowhere", &[])])
            .batch(&[
                bind("z", "back", &[]),
                execute("z", 0),
                execute("", 0),
                bind("c", "commit", &[]),
                execute("c", 0),
            ])
            .queries(&["SHOW TimeZone"]),
        Talk::new("a portal bound while what came before is still running")
            .say(
                &[
                    query("SELECT nextval('counter') > 0, pg_sleep(0.3)"),
                    parse("", "SET TimeZone = 'Asia/Tokyo'", &[]),
                    bind("", "", &[]),
                    flush(),
                ],
                Hear::UpTo(b'2'),
            )
            .batch(&[execute("", 0)])
            .queries(&["SHOW TimeZone"]),
        Talk::new("a portal with a name longer than anybody reads")
            .apart()
            .queries(&["BEGIN"])
            .batch(&[
                parse("", "SET TimeZone = 'Asia/Tokyo'", &[]),
                bind([b'p'; 300_000], "", &[]),
                execute([b'p'; 63], 0),
            ])
            .queries(&["COMMIT", "SHOW TimeZone"]),
    ]
}

fn lost() -> Vec<Talk> {
    vec![
        Talk::new("portals end with the transaction of their batch")
            .batch(&[parse("s", ROWS, &[]), bind("p", "s", &[]), execute("p", 2)])
            .batch(&[describe_portal("p")])
            .batch(&[execute("p", 2)])
            .batch(&[close_portal("p")])
            .batch(&[bind("p", "s", &[]), execute("p", 1)]),
        Talk::new("portals end with a commit in their batch")
            .batch(
                &[run("BEGIN"), vec![parse("s", ROWS, &[]), bind("p", "s", &[]), execute("p", 1)]].concat(),
            )
            .batch(&[run("COMMIT"), vec![execute("p", 1)]].concat())
            .queries(&["SELECT 1"]),
        Talk::new("portals in a failed transaction")
            .queries(&["BEGIN"])
            .batch(&[parse("s", ROWS, &[]), bind("p", "s", &[]), execute("p", 2)])
            .queries(&["SELECT 1/0"])
            .batch(&[execute("p", 2)])
            .batch(&[describe_portal("p")])
            .batch(&[close_portal("p")])
            .queries(&["ROLLBACK"])
            .batch(&[execute("p", 2)]),
        Talk::new("a portal that fails on its way")
            .queries(&["BEGIN"])
            .batch(&[
                parse("s", "SELECT 10 / (5 - n) FROM generate_series(1, 9) n", &[]),
                bind("p", "s", &[]),
                execute("p", 3),
            ])
            .batch(&[execute("p", 3), execute("p", 3)])
            .queries(&["ROLLBACK"]),
        Talk::new("the name of a cursor, taken by a portal, and the other way round")
            .queries(&["BEGIN", "DECLARE c CURSOR FOR SELECT 1"])
            .batch(&[parse("s", ROWS, &[]), bind("c", "s", &[])])
            .queries(&["ROLLBACK", "BEGIN"])
            .batch(&[bind("p", "s", &[])])
            .queries(&["DECLARE p CURSOR FOR SELECT 1", "ROLLBACK"]),
    ]
}
