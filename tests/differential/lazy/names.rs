//! BEGIN, COMMIT, SAVEPOINT and the rest as named prepared statements, and SQL's own prepared statements.

use harness::client::front::*;

use crate::talk::{Talk, again, in_all_forms, run, text};

use super::{COUNT, ONE};

pub(crate) fn talks() -> Vec<Talk> {
    let mut talks = protocol();
    talks.extend(sql().iter().flat_map(in_all_forms));
    talks
}

fn protocol() -> Vec<Talk> {
    vec![
        Talk::new("lazy: begin, read and end by names that were parsed before")
            .batch(&[
                parse("b", "BEGIN", &[]),
                parse("c", "COMMIT", &[]),
                parse("r", "ROLLBACK", &[]),
                parse("q", COUNT, &[]),
            ])
            .batch(&again("b", &[]))
            .batch(&again("q", &[]))
            .batch(&again("c", &[]))
            .batch(&again("b", &[]))
            .batch(&again("q", &[]))
            .batch(&again("r", &[]))
            .batch(&[again("b", &[]), again("q", &[]), again("c", &[])].concat())
            .batch(&again("q", &[])),
        Talk::new("lazy: names parsed within the transaction and used behind it")
            .queries(&["BEGIN"])
            .batch(&[parse("b", "BEGIN", &[]), parse("c", "COMMIT", &[]), parse("q", COUNT, &[])])
            .batch(&again("q", &[]))
            .batch(&again("c", &[]))
            .batch(&again("b", &[]))
            .batch(&again("q", &[]))
            .queries(&["ROLLBACK"])
            .batch(&again("q", &[])),
        Talk::new("lazy: names parsed in a transaction that is rolled back")
            .queries(&["BEGIN"])
            .batch(&[parse("q", ONE, &[])])
            .queries(&["ROLLBACK"])
            .batch(&again("q", &[]))
            .queries(&["BEGIN"])
            .batch(&again("q", &[]))
            .batch(&[parse("q", COUNT, &[])])
            .batch(&again("q", &[]))
            .queries(&["ROLLBACK"])
            .batch(&again("q", &[])),
        // Where two connections are free it is chance which one knows a name. On the other it is a Parse that is refused.
        Talk::new("lazy: savepoints by names")
            .in_weirs_words()
            .batch(&[
                parse("b", "BEGIN", &[]),
                parse("s", "SAVEPOINT one", &[]),
                parse("t", "ROLLBACK TO one", &[]),
                parse("l", "RELEASE one", &[]),
                parse("q", COUNT, &[]),
                parse("f", "SELECT 1/0", &[]),
                parse("c", "COMMIT", &[]),
            ])
            .batch(&again("b", &[]))
            .batch(&again("s", &[]))
            .batch(&again("q", &[]))
            .batch(&again("f", &[]))
            .batch(&again("q", &[]))
            .batch(&again("t", &[]))
            .batch(&again("q", &[]))
            .batch(&again("l", &[]))
            .batch(&again("t", &[]))
            .batch(&again("c", &[])),
        Talk::new("lazy: a name of a begin parsed twice")
            .batch(&[parse("b", "BEGIN", &[])])
            .batch(&[parse("b", "BEGIN", &[])])
            .batch(&again("b", &[]))
            .batch(&[parse("b", COUNT, &[])])
            .batch(&run(COUNT))
            .queries(&["ROLLBACK"])
            .batch(&again("b", &[]))
            .queries(&["COMMIT"]),
        Talk::new("lazy: names closed within the transaction, and parsed anew")
            .batch(&[parse("b", "BEGIN", &[]), parse("q", COUNT, &[]), parse("c", "COMMIT", &[])])
            .batch(&again("b", &[]))
            .batch(&[close_statement("q"), parse("q", ONE, &[])])
            .batch(&again("q", &[]))
            .batch(&[close_statement("c"), close_statement("b")])
            .batch(&[parse("c", "ROLLBACK", &[])])
            .batch(&again("c", &[]))
            .batch(&again("q", &[]))
            .batch(&again("b", &[])),
        Talk::new("lazy: a name closed that the transaction needs then")
            .batch(&[parse("q", COUNT, &[])])
            .queries(&["BEGIN"])
            .batch(&[close_statement("q")])
            .batch(&again("q", &[]))
            .batch(&run(COUNT))
            .queries(&["COMMIT"]),
        Talk::new("lazy: names used across the upgrade")
            .changes()
            .batch(&[
                parse("q", "SELECT name FROM items WHERE id = $1", &[]),
                parse("w", "INSERT INTO items VALUES ($1, $2)", &[]),
            ])
            .queries(&["BEGIN"])
            .batch(&again("q", &[text("1")]))
            .batch(&again("w", &[text("100"), text("first")]))
            .batch(&again("q", &[text("100")]))
            .batch(&[parse("u", "UPDATE items SET name = $2 WHERE id = $1", &[])])
            .batch(&again("u", &[text("100"), text("second")]))
            .batch(&again("q", &[text("100")]))
            .queries(&["COMMIT"])
            .batch(&again("q", &[text("100")]))
            .queries(&["BEGIN"])
            .batch(&again("q", &[text("100")]))
            .batch(&again("u", &[text("100"), text("third")]))
            .queries(&["ROLLBACK"])
            .batch(&again("q", &[text("100")])),
        Talk::new("lazy: DEALLOCATE and DISCARD of the protocol's names within the transaction")
            .batch(&[parse("q", COUNT, &[]), parse("r", ONE, &[])])
            .queries(&["BEGIN", "DEALLOCATE q"])
            .batch(&again("r", &[]))
            .queries(&["DEALLOCATE nowhere", "ROLLBACK"])
            .batch(&again("q", &[]))
            .queries(&["BEGIN", "DEALLOCATE ALL"])
            .batch(&again("r", &[]))
            .queries(&["ROLLBACK", "BEGIN", "DISCARD PLANS", COUNT, "DISCARD ALL", "ROLLBACK"]),
        Talk::new("lazy: names of settings and of cursors")
            .batch(&[
                parse("s", "SET LOCAL work_mem = '5MB'", &[]),
                parse("d", "DECLARE c CURSOR FOR SELECT id FROM items ORDER BY id", &[]),
                parse("f", "FETCH 2 FROM c", &[]),
                parse("h", "SHOW work_mem", &[]),
            ])
            .queries(&["BEGIN"])
            .batch(&again("h", &[]))
            .batch(&again("s", &[]))
            .batch(&again("h", &[]))
            .batch(&again("d", &[]))
            .batch(&again("f", &[]))
            .batch(&again("f", &[]))
            .queries(&["COMMIT"])
            .batch(&again("h", &[]))
            .batch(&again("f", &[])),
        Talk::new("lazy: savepoint and read in one batch, with names longer than names can be")
            .batch(&[
                parse("begin".repeat(40), "BEGIN", &[]),
                parse("point".repeat(40), format!("SAVEPOINT {}", "p".repeat(80)), &[]),
            ])
            .batch(&[again(&"begin".repeat(40), &[]), again(&"point".repeat(40), &[]), run(COUNT)].concat())
            .batch(&run(&format!("ROLLBACK TO {}", "p".repeat(63))))
            .batch(&run(&format!("RELEASE {}", "p".repeat(62))))
            .batch(&run("COMMIT")),
    ]
}

fn sql() -> Vec<Talk> {
    vec![
        Talk::new("lazy: PREPARE, EXECUTE and DEALLOCATE between reads").queries(&[
            "BEGIN",
            "PREPARE q (int) AS SELECT id, name FROM items WHERE id = $1",
            "EXECUTE q (2)",
            COUNT,
            "EXECUTE q (3)",
            "EXECUTE q",
            "ROLLBACK",
            "EXECUTE q (4)",
            "BEGIN",
            "EXECUTE q (5)",
            "DEALLOCATE q",
            "EXECUTE q (6)",
            "COMMIT",
            "EXECUTE q (7)",
        ]),
        Talk::new("lazy: PREPARE before, EXECUTE of a read and of a write in the transaction")
            .changes()
            .queries(&[
                "PREPARE q AS SELECT count(*) FROM items",
                "PREPARE w AS INSERT INTO items VALUES (100, 'w') RETURNING id",
                "BEGIN",
                "EXECUTE q",
                COUNT,
                "EXECUTE w",
                "EXECUTE q",
                "ROLLBACK",
                "EXECUTE q",
                "BEGIN",
                "EXECUTE q",
                "DEALLOCATE ALL",
                "EXECUTE q",
                "COMMIT",
            ]),
        Talk::new("lazy: which prepared statements and cursors a transaction sees").queries(&[
            "PREPARE q AS SELECT 1",
            "BEGIN",
            "SELECT name FROM pg_prepared_statements WHERE name !~ '^weir' ORDER BY name",
            "PREPARE r AS SELECT 2",
            "SELECT count(*) FROM pg_prepared_statements WHERE name IN ('q', 'r')",
            "DECLARE c CURSOR FOR SELECT 1",
            "SELECT name FROM pg_cursors WHERE name <> '' ORDER BY name",
            "ROLLBACK",
            "SELECT count(*) FROM pg_prepared_statements WHERE name IN ('q', 'r')",
        ]),
        Talk::new("lazy: EXPLAIN of what reads and of what would write").changes().queries(&[
            "BEGIN",
            COUNT,
            "EXPLAIN (COSTS off) SELECT 1",
            "EXPLAIN (COSTS off) INSERT INTO items VALUES (100, 'x')",
            "EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off, BUFFERS off) INSERT INTO items VALUES (100, 'x')",
            COUNT,
            "ROLLBACK",
            COUNT,
        ]),
        Talk::new("lazy: a prepared statement of a transaction that fails").queries(&[
            "BEGIN",
            "SELECT 1/0",
            "PREPARE q AS SELECT 1",
            "EXECUTE q",
            "DEALLOCATE q",
            "ROLLBACK",
            "EXECUTE q",
            INSERT_TWICE,
        ]),
    ]
}

/// Fails, and so changes nothing.
const INSERT_TWICE: &str = "INSERT INTO items VALUES (1, 'taken')";
