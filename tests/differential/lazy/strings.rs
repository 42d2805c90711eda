//! Strings of several statements that begin, hold, or end transactions.

use crate::talk::{Talk, in_all_forms};

use super::{COUNT, INSERT, ONE};

/// The extended protocol refuses such strings, each with the same words: only the two forms of the simple one.
pub(crate) fn talks() -> Vec<Talk> {
    let simple = |talk: Talk| in_all_forms(&talk).into_iter().take(2);
    [begins(), ends(), held(), odd()].concat().into_iter().flat_map(simple).collect()
}

fn begins() -> Vec<Talk> {
    vec![
        Talk::new("lazy: a string that begins and reads").queries(&[
            "BEGIN; SELECT 1", COUNT, "COMMIT", "BEGIN; SELECT count(*) FROM items; SELECT 2", COUNT, "ROLLBACK", "BEGIN;;",
            COUNT, "COMMIT;", "BEGIN; BEGIN", "COMMIT; COMMIT", ONE,
        ]),
        Talk::new("lazy: a string that begins and writes").changes().queries(&[
            "BEGIN; INSERT INTO items VALUES (100, 'x')", COUNT, "COMMIT", COUNT,
            "BEGIN; SELECT count(*) FROM items; DELETE FROM items WHERE id = 100; SELECT count(*) FROM items", "ROLLBACK",
            COUNT,
        ]),
        Talk::new("lazy: a string that is a whole transaction").changes().queries(&[
            "BEGIN; SELECT 1; COMMIT", "BEGIN; INSERT INTO items VALUES (100, 'x'); COMMIT", COUNT,
            "BEGIN; DELETE FROM items; ROLLBACK", COUNT, "BEGIN; COMMIT", "BEGIN; ROLLBACK; BEGIN; COMMIT",
            "BEGIN; SELECT 1; COMMIT; BEGIN; SELECT 2; COMMIT", "BEGIN; SELECT 1/0; COMMIT", COUNT, "ROLLBACK", COUNT,
        ]),
        Talk::new("lazy: a string that begins with modes, settings, savepoints").changes().queries(&[
            "BEGIN; SET TRANSACTION READ ONLY; SELECT 1", INSERT, "ROLLBACK",
            "BEGIN READ ONLY; SELECT 1", COUNT, INSERT, "COMMIT",
            "BEGIN; SET LOCAL work_mem = '5MB'", "SHOW work_mem", "COMMIT; SHOW work_mem",
            "BEGIN; SAVEPOINT a", "SELECT 1/0", "ROLLBACK TO a; SELECT 1", "RELEASE a; COMMIT",
            "BEGIN; SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; SHOW transaction_isolation", "COMMIT", ONE,
        ]),
        Talk::new("lazy: a string that reads and then begins").changes().queries(&[
            "SELECT 1; BEGIN", COUNT, INSERT, "ROLLBACK", COUNT, "SELECT 1; BEGIN; SELECT 2", "COMMIT",
            "INSERT INTO items VALUES (100, 'x'); BEGIN", COUNT, "ROLLBACK", COUNT, "SELECT 1/0; BEGIN", COUNT,
            "SELECT 1; BEGIN ISOLATION LEVEL SERIALIZABLE", "ROLLBACK",
        ]),
    ]
}

fn ends() -> Vec<Talk> {
    vec![
        Talk::new("lazy: a string that reads and ends").changes().queries(&[
            "BEGIN", "SELECT 1; COMMIT", ONE, "BEGIN", COUNT, "SELECT 1; ROLLBACK", "BEGIN",
            "INSERT INTO items VALUES (100, 'x'); COMMIT", COUNT, "BEGIN", COUNT,
            "DELETE FROM items WHERE id = 100; ROLLBACK", COUNT,
        ]),
        Talk::new("lazy: a string that ends and goes on").changes().queries(&[
            "BEGIN", COUNT, "COMMIT; SELECT 1", "BEGIN", COUNT, "ROLLBACK; SELECT 1", "BEGIN", COUNT,
            "COMMIT; INSERT INTO items VALUES (100, 'x')", COUNT, "BEGIN", "ROLLBACK; SELECT 1/0", COUNT, "BEGIN",
            "COMMIT; SELECT 1; SELECT 2",
        ]),
        Talk::new("lazy: a string that ends and begins").changes().queries(&[
            "BEGIN", COUNT, "COMMIT; BEGIN", COUNT, "ROLLBACK; BEGIN", COUNT, INSERT, "ROLLBACK; BEGIN", COUNT,
            "COMMIT; BEGIN; INSERT INTO items VALUES (100, 'x')", COUNT, "COMMIT; BEGIN; SELECT 1", "COMMIT; BEGIN READ ONLY",
            INSERT, "ROLLBACK; BEGIN", "DELETE FROM items WHERE id = 100", "COMMIT AND CHAIN; SELECT 1", "COMMIT", COUNT,
        ]),
        Talk::new("lazy: a string that ends a failed transaction and goes on").queries(&[
            "BEGIN", "SELECT 1/0", "ROLLBACK; SELECT 1", "BEGIN", "SELECT 1/0", "COMMIT; BEGIN; SELECT 2", COUNT,
            "SELECT 1/0", "SELECT 1; ROLLBACK", "ROLLBACK; ROLLBACK", ONE,
        ]),
    ]
}

fn held() -> Vec<Talk> {
    vec![
        Talk::new("lazy: a string within a transaction").changes().queries(&[
            "BEGIN", "SELECT 1; SELECT count(*) FROM items", "SELECT 1; INSERT INTO items VALUES (100, 'x'); SELECT 2",
            COUNT, "SELECT 1; SAVEPOINT a; SELECT 2", "DELETE FROM items; ROLLBACK TO a; SELECT count(*) FROM items", "COMMIT",
            COUNT,
        ]),
        Talk::new("lazy: a string within a transaction, failing in its middle").changes().queries(&[
            "BEGIN", "SELECT 1; SELECT 1/0; SELECT 2", COUNT, "ROLLBACK", "BEGIN", COUNT,
            "INSERT INTO items VALUES (100, 'x'); SELECT 1/0", COUNT, "COMMIT", COUNT, "BEGIN", "SAVEPOINT a",
            "SELECT 1; SELECT no_such; SELECT 2", "ROLLBACK TO a; SELECT 3", "COMMIT",
        ]),
        Talk::new("lazy: strings with a syntax error, which run nothing").changes().queries(&[
            "BEGIN; SELEC", ONE, "BEGIN", "SELECT 1; SELEC", COUNT, "COMMIT; SELEC", COUNT, "ROLLBACK; SELEC", "ROLLBACK",
            "BEGIN", COUNT, "INSERT INTO items VALUES (100, 'x'); SELEC", "COMMIT", COUNT,
        ]),
        Talk::new("lazy: strings of settings and savepoints").queries(&[
            "BEGIN", "SET LOCAL my.word = 'a'; SELECT current_setting('my.word')", COUNT,
            "SAVEPOINT s; SET LOCAL my.word = 'b'; SELECT current_setting('my.word')",
            "ROLLBACK TO s; SELECT current_setting('my.word')", "SAVEPOINT s; SAVEPOINT t; RELEASE s; SELECT 1",
            "ROLLBACK TO t; SELECT 2", "ROLLBACK TO t", "SET TimeZone = 'Asia/Tokyo'; COMMIT",
            "SHOW TimeZone; SELECT coalesce(current_setting('my.word', true), '')",
        ]),
        Talk::new("lazy: strings of cursors").changes().queries(&[
            "BEGIN; DECLARE c CURSOR FOR SELECT id FROM items ORDER BY id; FETCH 2 c", "FETCH 1 c; SELECT 1; FETCH 1 c",
            "INSERT INTO items VALUES (100, 'x'); FETCH 1 c", "FETCH 1 c; CLOSE c; SELECT count(*) FROM items",
            "COMMIT; SELECT 1", COUNT,
        ]),
    ]
}

fn odd() -> Vec<Talk> {
    vec![
        Talk::new("lazy: empty strings in an open and in a failed transaction").queries(&[
            "BEGIN", "", ";", " ; ; ", "-- nothing", "/* nothing */;", COUNT, "", "SELECT 1/0", "", ";", "-- nothing",
            "COMMIT", "",
        ]),
        Talk::new("lazy: words of transactions where they mean nothing").queries(&[
            "BEGIN", "SELECT 'COMMIT'", "SELECT 1 AS begin", "/* ROLLBACK; */ SELECT 1", "SELECT $$; COMMIT;$$",
            "SELECT 1 -- ; COMMIT", "SELECT E'\\'; COMMIT; --'", "SELECT \"commit\" FROM (SELECT 1 AS \"commit\") s",
            "COMMIT",
        ]),
        Talk::new("lazy: a very long string of reads in a transaction").queries(&[
            "BEGIN", &vec!["SELECT 'some text that makes it long'"; 400].join("; "), &format!("SELECT '{}'", "y".repeat(90_000)),
            "COMMIT",
        ]),
    ]
}
