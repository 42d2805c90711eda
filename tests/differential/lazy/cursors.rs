//! Cursors within transactions: what is declared among reads, read in pieces, and read on behind a write.

use harness::client::front::*;

use crate::talk::{Hear, Talk, again, in_all_forms, run, text};

use super::{COUNT, INSERT, ONE};

pub(crate) fn talks() -> Vec<Talk> {
    let mut talks: Vec<Talk> =
        [reading(), upgraded(), divided(), held()].concat().iter().flat_map(in_all_forms).collect();
    talks.extend(messages());
    talks
}

const DECLARE: &str = "DECLARE c CURSOR FOR SELECT id, name FROM items ORDER BY id";
const NOTED: &str = "SELECT count(*) FROM items WHERE note = 'n'";
pub(super) const NOTE: &str = "UPDATE items SET note = 'n' WHERE id = 5";

fn reading() -> Vec<Talk> {
    vec![
        Talk::new("lazy: a cursor among reads").queries(&[
            "BEGIN",
            DECLARE,
            "FETCH 2 FROM c",
            COUNT,
            "FETCH c",
            ONE,
            "MOVE 3 IN c",
            "FETCH 2 c",
            "CLOSE c",
            COUNT,
            "COMMIT",
            ONE,
        ]),
        Talk::new("lazy: a cursor behind reads, left open").queries(&[
            "BEGIN",
            COUNT,
            ONE,
            DECLARE,
            "FETCH FORWARD 3 FROM c",
            "COMMIT",
            "FETCH c",
            "BEGIN",
            COUNT,
            "FETCH c",
            "ROLLBACK",
        ]),
        Talk::new("lazy: a cursor that is never read").queries(&["BEGIN", DECLARE, COUNT, "ROLLBACK", ONE]),
        Talk::new("lazy: a cursor that scrolls").queries(&[
            "BEGIN",
            "DECLARE c SCROLL CURSOR FOR SELECT id FROM items ORDER BY id",
            "FETCH LAST c",
            "FETCH PRIOR c",
            "FETCH ABSOLUTE 3 c",
            "FETCH RELATIVE 2 c",
            "FETCH BACKWARD 2 c",
            "MOVE BACKWARD ALL IN c",
            "FETCH ALL c",
            "FETCH c",
            COUNT,
            "COMMIT",
        ]),
        Talk::new("lazy: two cursors, closed together").queries(&[
            "BEGIN",
            DECLARE,
            "DECLARE \"D d\" CURSOR FOR SELECT -id FROM items ORDER BY id",
            "FETCH 2 c",
            "FETCH 2 \"D d\"",
            COUNT,
            "FETCH 1 c",
            "CLOSE c",
            "FETCH 1 \"D d\"",
            "CLOSE ALL",
            "FETCH \"D d\"",
            "ROLLBACK",
        ]),
        Talk::new("lazy: a cursor's name twice, and one that is not there").queries(&[
            "BEGIN",
            DECLARE,
            DECLARE,
            "FETCH c",
            "ROLLBACK",
            "BEGIN",
            COUNT,
            "FETCH nothing",
            COUNT,
            "COMMIT",
            "BEGIN",
            "CLOSE nothing",
            "ROLLBACK",
            "BEGIN",
            "MOVE nothing",
            "COMMIT",
            "BEGIN",
            DECLARE,
            "CLOSE c",
            DECLARE,
            "FETCH 1 c",
            "COMMIT",
        ]),
        Talk::new("lazy: cursors without a transaction, behind one that had them").queries(&[
            "BEGIN",
            DECLARE,
            "FETCH c",
            "COMMIT",
            DECLARE,
            "FETCH c",
            "CLOSE c",
            "CLOSE ALL",
            "MOVE c",
            ONE,
        ]),
        Talk::new("lazy: cursors in read only transactions").queries(&[
            "BEGIN READ ONLY",
            DECLARE,
            "FETCH 2 c",
            COUNT,
            "FETCH 2 c",
            "CLOSE c",
            "COMMIT",
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            DECLARE,
            "FETCH 2 c",
            COUNT,
            "FETCH 2 c",
            "ROLLBACK",
        ]),
        Talk::new("lazy: a cursor that locks, one of no rows, one of a failing read").changes().queries(&[
            "BEGIN",
            COUNT,
            "DECLARE c CURSOR FOR SELECT id FROM items ORDER BY id FOR UPDATE",
            "FETCH 2 c",
            COUNT,
            "COMMIT",
            "BEGIN",
            "DECLARE c CURSOR FOR SELECT 1 WHERE false",
            "FETCH c",
            "FETCH c",
            "COMMIT",
            "BEGIN",
            "DECLARE c CURSOR FOR SELECT 10 / (3 - id) FROM items ORDER BY id",
            "FETCH 2 c",
            "FETCH 2 c",
            "FETCH c",
            "ROLLBACK",
            "BEGIN",
            "DECLARE c CURSOR FOR SELECT no_such FROM items",
            "FETCH c",
            "COMMIT",
        ]),
        Talk::new("lazy: a cursor under settings of its transaction").queries(&[
            "BEGIN",
            "SET LOCAL TimeZone = 'Asia/Tokyo'",
            "DECLARE c CURSOR FOR SELECT '2020-01-01 00:00+00'::timestamptz FROM items",
            "FETCH 1 c",
            "SET LOCAL TimeZone = 'UTC'",
            "FETCH 1 c",
            COUNT,
            "COMMIT",
            "SHOW TimeZone",
        ]),
    ]
}

/// A write while the cursor is open.
fn upgraded() -> Vec<Talk> {
    vec![
        Talk::new("lazy: declare, fetch, insert, fetch, fetch, close, commit").changes().queries(&[
            "BEGIN",
            DECLARE,
            "FETCH 2 c",
            INSERT,
            "FETCH 2 c",
            COUNT,
            "FETCH 2 c",
            "CLOSE c",
            COUNT,
            "COMMIT",
            COUNT,
        ]),
        Talk::new("lazy: declare, insert, fetch, rollback").changes().queries(&[
            "BEGIN",
            "DECLARE c CURSOR FOR SELECT count(*) FROM items",
            INSERT,
            "FETCH c",
            COUNT,
            "ROLLBACK",
            COUNT,
        ]),
        Talk::new("lazy: a cursor of before the write, and one of behind it").changes().queries(&[
            "BEGIN",
            "DECLARE c CURSOR FOR SELECT count(*) FROM items",
            INSERT,
            "DECLARE d CURSOR FOR SELECT count(*) FROM items",
            "FETCH d",
            "FETCH c",
            "CLOSE c",
            "FETCH c",
            "ROLLBACK",
        ]),
        Talk::new("lazy: the cursor's rows change under it").changes().queries(&[
            "BEGIN",
            "DECLARE c CURSOR FOR SELECT id, note FROM items ORDER BY id",
            "FETCH 2 c",
            "UPDATE items SET note = 'changed'",
            "FETCH 2 c",
            "DELETE FROM items WHERE id > 5",
            "FETCH ALL c",
            COUNT,
            "COMMIT",
            COUNT,
        ]),
        Talk::new("lazy: which cursors there are, before and behind the write").changes().queries(&[
            "BEGIN",
            DECLARE,
            "SELECT name, is_holdable FROM pg_cursors WHERE name <> '' ORDER BY 1",
            NOTE,
            "SELECT name, is_holdable FROM pg_cursors WHERE name <> '' ORDER BY 1",
            "FETCH 1 c",
            "CLOSE ALL",
            "SELECT count(*) FROM pg_cursors WHERE name <> ''",
            "COMMIT",
        ]),
        Talk::new("lazy: the cursor's name taken behind the write").changes().queries(&[
            "BEGIN",
            DECLARE,
            "FETCH 1 c",
            NOTE,
            DECLARE,
            "ROLLBACK",
            "BEGIN",
            DECLARE,
            "FETCH 1 c",
            NOTE,
            "CLOSE c",
            DECLARE,
            "FETCH 2 c",
            NOTED,
            "COMMIT",
        ]),
        Talk::new("lazy: MOVE and CLOSE behind the write").changes().queries(&[
            "BEGIN",
            "DECLARE c SCROLL CURSOR FOR SELECT id FROM items ORDER BY id",
            NOTE,
            "MOVE 3 c",
            "FETCH 1 c",
            "MOVE BACKWARD ALL c",
            "FETCH 1 c",
            NOTED,
            "CLOSE c",
            "CLOSE c",
            "ROLLBACK",
            NOTED,
        ]),
        Talk::new("lazy: a failure behind the write, with a cursor open").changes().queries(&[
            "BEGIN",
            DECLARE,
            "FETCH 1 c",
            NOTE,
            "SELECT 1/0",
            "FETCH 1 c",
            "CLOSE c",
            "COMMIT",
            NOTED,
            "FETCH c",
        ]),
        Talk::new("lazy: a fetch that fails behind the write").changes().queries(&[
            "BEGIN",
            "DECLARE c CURSOR FOR SELECT 10 / (3 - id) FROM items ORDER BY id",
            "FETCH 1 c",
            NOTE,
            "FETCH 1 c",
            "FETCH 1 c",
            NOTED,
            "COMMIT",
            NOTED,
        ]),
        Talk::new("lazy: chains with a cursor open and a write behind it").changes().queries(&[
            "BEGIN",
            DECLARE,
            "FETCH 1 c",
            NOTE,
            "FETCH 1 c",
            "COMMIT AND CHAIN",
            "FETCH 1 c",
            "ROLLBACK AND CHAIN",
            NOTED,
            DECLARE,
            "FETCH 3 c",
            "COMMIT",
        ]),
        Talk::new("lazy: SET behind the write, and a cursor of before").changes().queries(&[
            "BEGIN",
            "DECLARE c CURSOR FOR SELECT '2020-01-02'::date FROM items",
            "FETCH 1 c",
            NOTE,
            "SET DateStyle = 'German'",
            "FETCH 1 c",
            "COMMIT",
            "SHOW DateStyle",
        ]),
    ]
}

/// With savepoints.
fn divided() -> Vec<Talk> {
    vec![
        Talk::new("lazy: a cursor closed by the rollback to a savepoint").queries(&[
            "BEGIN",
            "SAVEPOINT a",
            DECLARE,
            "FETCH 1 c",
            "ROLLBACK TO a",
            "FETCH 1 c",
            "ROLLBACK TO a",
            DECLARE,
            "FETCH 2 c",
            "RELEASE a",
            "FETCH 1 c",
            "COMMIT",
        ]),
        Talk::new("lazy: a cursor of before the savepoint lives through it").queries(&[
            "BEGIN",
            DECLARE,
            "FETCH 1 c",
            "SAVEPOINT a",
            "FETCH 1 c",
            "SELECT 1/0",
            "ROLLBACK TO a",
            "FETCH 1 c",
            "CLOSE c",
            "ROLLBACK TO a",
            "FETCH 1 c",
            "COMMIT",
        ]),
        Talk::new("lazy: a cursor, a savepoint, a write, and back").changes().queries(&[
            "BEGIN",
            DECLARE,
            "FETCH 1 c",
            "SAVEPOINT a",
            NOTE,
            "FETCH 1 c",
            "ROLLBACK TO a",
            "FETCH 1 c",
            NOTED,
            "COMMIT",
            NOTED,
        ]),
        Talk::new("lazy: a cursor within a savepoint, a write, and back").changes().queries(&[
            "BEGIN",
            "SAVEPOINT a",
            DECLARE,
            "FETCH 1 c",
            NOTE,
            "FETCH 1 c",
            "ROLLBACK TO a",
            "FETCH 1 c",
            "ROLLBACK TO a",
            NOTED,
            "COMMIT",
        ]),
        Talk::new("lazy: a savepoint behind the write, closing no older cursor").changes().queries(&[
            "BEGIN",
            DECLARE,
            "FETCH 1 c",
            NOTE,
            "SAVEPOINT a",
            "FETCH 1 c",
            "SELECT 1/0",
            "FETCH 1 c",
            "ROLLBACK TO a",
            "FETCH 1 c",
            "RELEASE a",
            "FETCH 1 c",
            "COMMIT",
        ]),
    ]
}

fn held() -> Vec<Talk> {
    vec![
        Talk::new("lazy: a cursor WITH HOLD among reads").changes().queries(&[
            "BEGIN",
            COUNT,
            "DECLARE h CURSOR WITH HOLD FOR SELECT id FROM items ORDER BY id",
            "FETCH 2 h",
            "COMMIT",
            "FETCH 2 h",
            "BEGIN",
            "FETCH 1 h",
            COUNT,
            NOTE,
            "FETCH 1 h",
            "ROLLBACK",
            "FETCH 1 h",
            "CLOSE h",
            "FETCH h",
        ]),
        Talk::new("lazy: a cursor WITH HOLD rolled back, and one failed").queries(&[
            "BEGIN",
            "DECLARE h CURSOR WITH HOLD FOR SELECT 1",
            "ROLLBACK",
            "FETCH h",
            "BEGIN",
            "DECLARE h CURSOR WITH HOLD FOR SELECT 10 / (5 - n) FROM generate_series(1, 9) n",
            "COMMIT",
            "FETCH h",
            ONE,
        ]),
        Talk::new("lazy: a held cursor from before the transaction").queries(&[
            "DECLARE h CURSOR WITH HOLD FOR SELECT id FROM items ORDER BY id",
            "BEGIN",
            COUNT,
            "FETCH 2 h",
            "SAVEPOINT a",
            "CLOSE h",
            "ROLLBACK TO a",
            "FETCH 1 h",
            "ROLLBACK",
            "FETCH 1 h",
            "CLOSE ALL",
        ]),
    ]
}

/// By the extended protocol.
fn messages() -> Vec<Talk> {
    vec![
        Talk::new("lazy: a server-side cursor as psycopg reads it")
            .changes()
            .queries(&["BEGIN"])
            .batch(&[
                parse(
                    "",
                    "DECLARE \"named\" CURSOR FOR SELECT id FROM items WHERE id > $1 ORDER BY id",
                    &[23],
                ),
                bind("", "", &[text("3")]),
                execute("", 0),
            ])
            .batch(&[parse("f", "FETCH FORWARD 3 FROM \"named\"", &[]), describe_statement("f")])
            .batch(&again("f", &[]))
            .batch(&[bind_formats("", "f", &[], &[], &[1]), describe_portal(""), execute("", 0)])
            .batch(&run(INSERT))
            .batch(&again("f", &[]))
            .batch(&run("CLOSE \"named\""))
            .batch(&run("COMMIT")),
        Talk::new("lazy: begin, declare and fetch in one batch")
            .batch(&[run("BEGIN"), run(DECLARE), run("FETCH 2 c")].concat())
            .batch(&[run("FETCH 2 c"), run(COUNT)].concat())
            .batch(&[run("CLOSE c"), run("COMMIT")].concat())
            .batch(&run(ONE)),
        Talk::new("lazy: declare, fetch, write and fetch in one batch")
            .changes()
            .batch(&[run("BEGIN"), run(DECLARE), run("FETCH 1 c"), run(NOTE), run("FETCH 1 c")].concat())
            .batch(&[run("FETCH 1 c"), run(NOTED), run("COMMIT")].concat())
            .batch(&run(NOTED)),
        Talk::new("lazy: fetches and writes flushed in one batch")
            .changes()
            .batch(&[run("BEGIN"), run(DECLARE)].concat())
            .say(&[run("FETCH 1 c"), vec![flush()]].concat(), Hear::UpTo(b'C'))
            .say(&[run(NOTE), vec![flush()]].concat(), Hear::UpTo(b'C'))
            .say(&[run("FETCH 1 c"), vec![flush()]].concat(), Hear::UpTo(b'C'))
            .say(&[run(NOTED), vec![flush()]].concat(), Hear::UpTo(b'C'))
            .batch(&run("COMMIT")),
        Talk::new("lazy: a cursor executed as a portal, across the write")
            .changes()
            .queries(&["BEGIN", DECLARE])
            .batch(&[describe_portal("c"), execute("c", 2)])
            .queries(&[NOTE])
            .batch(&[execute("c", 2)])
            .batch(&[describe_portal("c"), close_portal("c")])
            .batch(&[execute("c", 2)])
            .queries(&["ROLLBACK"]),
    ]
}
