//! How transactions that only read begin and end, in all words for it.

use crate::talk::{Talk, in_all_forms};

use super::{COUNT, INSERT, ONE};

pub(crate) fn talks() -> Vec<Talk> {
    [plain(), words(), again(), chains()].concat().iter().flat_map(in_all_forms).collect()
}

fn plain() -> Vec<Talk> {
    vec![
        Talk::new("lazy: reads and a commit").queries(&["BEGIN", COUNT, ONE, COUNT, "COMMIT", ONE]),
        Talk::new("lazy: reads and a rollback").queries(&["BEGIN", COUNT, ONE, "ROLLBACK", COUNT]),
        Talk::new("lazy: nothing between begin and end").queries(&[
            "BEGIN", "COMMIT", "BEGIN", "ROLLBACK", "BEGIN", "END", "BEGIN", "ABORT", ONE,
        ]),
        Talk::new("lazy: reads, a write, reads, a commit").changes().queries(&[
            "BEGIN", COUNT, ONE, INSERT, COUNT, ONE, "COMMIT", COUNT,
        ]),
        Talk::new("lazy: reads, a write, reads, a rollback").changes().queries(&[
            "BEGIN", COUNT, INSERT, COUNT, "ROLLBACK", COUNT,
        ]),
        Talk::new("lazy: a write first").changes().queries(&["BEGIN", INSERT, COUNT, "COMMIT", COUNT]),
        Talk::new("lazy: several transactions in a row").changes().queries(&[
            "BEGIN", COUNT, "COMMIT", "BEGIN", INSERT, "COMMIT", "BEGIN", COUNT, "ROLLBACK", COUNT, "BEGIN",
            "DELETE FROM items WHERE id = 100", "ROLLBACK", "BEGIN", COUNT, "COMMIT",
        ]),
        Talk::new("lazy: what reads of many kinds answer").queries(&[
            "BEGIN",
            "VALUES (1, 'a'), (2, 'b')",
            "TABLE items",
            "SELECT",
            "WITH w AS (SELECT id FROM items WHERE id < 4) SELECT * FROM w ORDER BY id",
            "SELECT i.id FROM items i LEFT JOIN orders o ON o.item = i.id WHERE i.id < 5 ORDER BY 1 OFFSET 1 LIMIT 2",
            "SELECT 1 WHERE false",
            "SELECT NULL::mood, 'happy'::mood",
            "SELECT id FROM items WHERE id < 3 UNION ALL SELECT 0 ORDER BY 1",
            "SELECT count(*), sum(price), array_agg(id ORDER BY id) FROM items",
            "SELECT generate_series(1, 3)",
            "EXPLAIN (COSTS off) VALUES (1)",
            "SELECT repeat('x', 40000)",
            "COMMIT",
        ]),
        Talk::new("lazy: writes of many kinds, each behind a read").changes().queries(&[
            "BEGIN", COUNT, "UPDATE items SET note = 'u' WHERE id = 1", "COMMIT",
            "BEGIN", COUNT, "DELETE FROM items WHERE id = 2 RETURNING id", "COMMIT",
            "BEGIN", COUNT, "WITH w AS (INSERT INTO items VALUES (101, 'w') RETURNING id) SELECT * FROM w", "COMMIT",
            "BEGIN", COUNT, "SELECT nextval('counter')", "COMMIT",
            "BEGIN", COUNT, "CREATE TABLE play.t AS SELECT 1 AS id", "SELECT * FROM play.t", "COMMIT",
            "BEGIN", COUNT, "SELECT id FROM items WHERE id = 1 FOR UPDATE", "COMMIT",
            "BEGIN", COUNT, "DO $$ BEGIN UPDATE items SET note = 'd' WHERE id = 3; END $$", "COMMIT",
            "BEGIN", COUNT, "TRUNCATE orders", "ROLLBACK",
            "BEGIN", COUNT,
            "MERGE INTO items i USING (VALUES (4)) v (id) ON i.id = v.id WHEN MATCHED THEN UPDATE SET note = 'm'",
            "COMMIT",
            "SELECT id, note FROM items WHERE id < 5 ORDER BY id",
        ]),
    ]
}

fn words() -> Vec<Talk> {
    vec![
        Talk::new("lazy: all words for begin and end").queries(&[
            "START TRANSACTION", COUNT, "END TRANSACTION", "BEGIN WORK", COUNT, "COMMIT WORK", "BEGIN TRANSACTION",
            COUNT, "ABORT TRANSACTION", "BEGIN", COUNT, "END WORK", "BEGIN", COUNT, "ABORT WORK", "BEGIN", COUNT,
            "COMMIT AND NO CHAIN", "BEGIN", COUNT, "ROLLBACK WORK AND NO CHAIN", "BEGIN", COUNT,
            "END TRANSACTION AND NO CHAIN", ONE,
        ]),
        Talk::new("lazy: semicolons, comments, odd case").queries(&[
            "BEGIN;", COUNT, "COMMIT;", "bEgIn ;", COUNT, ";;eNd", ";BEGIN", "COMMIT;;", "/* x */ begin /* y */", COUNT,
            "-- z\nrollback -- z", "BEGIN/**/WORK", "COMMIT\n;\n", "\u{feff}BEGIN", "COMMIT",
        ]),
        Talk::new("lazy: modes that are the default").queries(&[
            "BEGIN READ WRITE", COUNT, "COMMIT", "BEGIN ISOLATION LEVEL READ COMMITTED", COUNT, "COMMIT",
            "START TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE, NOT DEFERRABLE", COUNT, "COMMIT",
            "BEGIN TRANSACTION ISOLATION LEVEL READ UNCOMMITTED READ WRITE", COUNT, "SHOW transaction_isolation",
            "COMMIT", "BEGIN NOT DEFERRABLE", COUNT, "COMMIT", "BEGIN DEFERRABLE", COUNT,
            "SHOW transaction_deferrable", "COMMIT",
        ]),
        Talk::new("lazy: words that are almost those").queries(&[
            "BEGIN TRANSACTION READ", "BEGINN", "BEGIN ISOLATION LEVEL CHAOS", "START", "BEGIN", "COMMIT NOW", ONE,
            "ROLLBACK", "BEGIN", "ROLLBACK TO", "ROLLBACK", "BEGIN", COUNT, "END OF", "COMMIT", "BEGIN",
            "SAVEPOINT", "ABORT", "BEGIN", "START TRANSACTION READ ONLY READ", "COMMIT",
        ]),
        Talk::new("lazy: modes said twice and against each other").changes().queries(&[
            "BEGIN READ ONLY READ WRITE", "SHOW transaction_read_only", INSERT, "ROLLBACK",
            "BEGIN READ WRITE, READ ONLY", "SHOW transaction_read_only", "COMMIT",
            "BEGIN ISOLATION LEVEL SERIALIZABLE ISOLATION LEVEL READ COMMITTED", "SHOW transaction_isolation",
            "COMMIT",
        ]),
    ]
}

fn again() -> Vec<Talk> {
    vec![
        Talk::new("lazy: begin within begin").changes().queries(&[
            "BEGIN", "BEGIN", COUNT, "BEGIN WORK", COUNT, "START TRANSACTION", INSERT, "BEGIN", COUNT, "COMMIT",
            "COMMIT", COUNT,
        ]),
        Talk::new("lazy: begin with modes within begin").queries(&[
            "BEGIN", "BEGIN READ ONLY", "SHOW transaction_read_only", COUNT, "COMMIT", "SHOW transaction_read_only",
            "BEGIN", "BEGIN ISOLATION LEVEL REPEATABLE READ", "SHOW transaction_isolation", "COMMIT", "BEGIN", COUNT,
            "BEGIN READ ONLY", "SHOW transaction_read_only", "BEGIN ISOLATION LEVEL SERIALIZABLE", COUNT, "ROLLBACK",
        ]),
        Talk::new("lazy: ends without a begin, behind one that had it").queries(&[
            "BEGIN", COUNT, "COMMIT", "COMMIT", "END", "ROLLBACK", "ABORT", "BEGIN", "ROLLBACK", "ROLLBACK",
            "COMMIT AND CHAIN", "ROLLBACK AND CHAIN", COUNT,
        ]),
        Talk::new("lazy: begin within begin, in which a read has failed").queries(&[
            "BEGIN", "SELECT 1/0", "BEGIN", "BEGIN READ ONLY", "COMMIT", COUNT,
        ]),
    ]
}

fn chains() -> Vec<Talk> {
    vec![
        Talk::new("lazy: chains of reads").queries(&[
            "BEGIN", COUNT, "COMMIT AND CHAIN", COUNT, "ROLLBACK AND CHAIN", ONE, "END AND CHAIN", "ABORT AND CHAIN",
            ONE, "COMMIT", ONE,
        ]),
        Talk::new("lazy: chains of reads and writes").changes().queries(&[
            "BEGIN", COUNT, "COMMIT AND CHAIN", INSERT, COUNT, "COMMIT AND CHAIN", COUNT,
            "DELETE FROM items WHERE id = 100", "ROLLBACK AND CHAIN", COUNT, "COMMIT AND CHAIN", COUNT, "ROLLBACK",
            COUNT,
        ]),
        Talk::new("lazy: chains keep READ ONLY").changes().queries(&[
            "BEGIN READ ONLY", COUNT, "COMMIT AND CHAIN", "SHOW transaction_read_only", INSERT, "ROLLBACK AND CHAIN",
            COUNT, INSERT, "COMMIT AND CHAIN", INSERT, "ROLLBACK", INSERT, "DELETE FROM items WHERE id = 100",
        ]),
        Talk::new("lazy: chains keep what SET TRANSACTION said").changes().queries(&[
            "BEGIN", "SET TRANSACTION READ ONLY", COUNT, "COMMIT AND CHAIN", COUNT, INSERT, "ROLLBACK AND CHAIN",
            "SET TRANSACTION READ WRITE", INSERT, "COMMIT AND CHAIN", "SHOW transaction_read_only", "COMMIT", COUNT,
        ]),
        Talk::new("lazy: chains keep isolation levels").queries(&[
            "BEGIN ISOLATION LEVEL REPEATABLE READ", COUNT, "COMMIT AND CHAIN", "SHOW transaction_isolation",
            "ROLLBACK AND CHAIN", "SET TRANSACTION ISOLATION LEVEL READ COMMITTED", COUNT, "COMMIT AND CHAIN",
            "SHOW transaction_isolation", COUNT, "COMMIT", "SHOW transaction_isolation",
        ]),
        Talk::new("lazy: chains forget savepoints, settings and cursors").queries(&[
            "BEGIN", "SAVEPOINT a", "SET LOCAL work_mem = '5MB'", "DECLARE c CURSOR FOR SELECT 1", "COMMIT AND CHAIN",
            "SHOW work_mem", "ROLLBACK TO a", "ROLLBACK AND CHAIN", "FETCH c", "ROLLBACK AND CHAIN", COUNT, "COMMIT",
        ]),
        Talk::new("lazy: chains of failed transactions").queries(&[
            "BEGIN", "SELECT 1/0", "COMMIT AND CHAIN", COUNT, "SELECT 1/0", "ROLLBACK AND CHAIN", COUNT,
            "SELECT 1/0", COUNT, "COMMIT AND CHAIN", "COMMIT", COUNT,
        ]),
    ]
}
