//! What the session says of all its transactions, and what each isolation level shows of others' work.

use harness::client::front::*;

use crate::talk::{Hear, Talk, in_all_forms, run};

use super::{COUNT, INSERT};

pub(crate) fn talks() -> Vec<Talk> {
    let mut talks: Vec<Talk> = defaults().iter().flat_map(in_all_forms).collect();
    talks.extend(snapshots());
    talks
}

/// The session's default for transactions.
fn defaults() -> Vec<Talk> {
    vec![
        Talk::new("lazy: READ ONLY as the session's default").changes().queries(&[
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
            "BEGIN",
            COUNT,
            "SHOW transaction_read_only",
            INSERT,
            "ROLLBACK",
            "BEGIN READ WRITE",
            COUNT,
            INSERT,
            "COMMIT",
            "BEGIN",
            COUNT,
            "COMMIT AND CHAIN",
            INSERT,
            "ROLLBACK",
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
            "BEGIN",
            COUNT,
            "DELETE FROM items WHERE id = 100",
            "COMMIT",
            COUNT,
        ]),
        Talk::new("lazy: an isolation level as the session's default").changes().queries(&[
            "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            "BEGIN",
            "SHOW transaction_isolation",
            COUNT,
            INSERT,
            "COMMIT",
            "BEGIN ISOLATION LEVEL READ COMMITTED",
            COUNT,
            "SHOW transaction_isolation",
            "COMMIT",
            "RESET default_transaction_isolation",
            "BEGIN",
            "SHOW transaction_isolation",
            COUNT,
            "COMMIT",
        ]),
        Talk::new("lazy: defaults by their settings' names").changes().queries(&[
            "SET default_transaction_read_only = on",
            "BEGIN",
            COUNT,
            INSERT,
            "ROLLBACK",
            "SET default_transaction_isolation = 'serializable'",
            "SET default_transaction_deferrable = on",
            "BEGIN",
            "SHOW transaction_isolation",
            "SHOW transaction_deferrable",
            COUNT,
            "COMMIT",
            "RESET ALL",
            "BEGIN",
            "SHOW transaction_isolation",
            "SHOW transaction_read_only",
            "COMMIT",
        ]),
        Talk::new("lazy: a default changed within a transaction, for the next one").changes().queries(&[
            "BEGIN",
            COUNT,
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
            "SHOW transaction_read_only",
            INSERT,
            "COMMIT",
            "BEGIN",
            "SHOW transaction_read_only",
            COUNT,
            INSERT,
            "ROLLBACK",
            "BEGIN",
            "SET default_transaction_read_only = off",
            "ROLLBACK",
            "BEGIN",
            "SHOW transaction_read_only",
            "ROLLBACK",
            "BEGIN",
            "SET LOCAL default_transaction_read_only = off",
            "COMMIT AND CHAIN",
            "SHOW transaction_read_only",
            "COMMIT",
        ]),
        Talk::new("lazy: a login that says READ ONLY")
            .startup("options", "-c default_transaction_read_only=on")
            .changes()
            .queries(&[
                "BEGIN",
                COUNT,
                "SHOW transaction_read_only",
                INSERT,
                "ROLLBACK",
                "BEGIN READ WRITE",
                INSERT,
                "COMMIT",
            ]),
        Talk::new("lazy: a login that says SERIALIZABLE")
            .startup("default_transaction_isolation", "serializable")
            .changes()
            .queries(&[
                "BEGIN",
                COUNT,
                "SHOW transaction_isolation",
                INSERT,
                "COMMIT",
                "BEGIN",
                COUNT,
                "ROLLBACK",
            ]),
    ]
}

/// What somebody else changes meanwhile, as each level shows it.
fn snapshots() -> Vec<Talk> {
    let wrote = "UPDATE items SET note = 'elsewhere' WHERE id = 1";
    let note = "SELECT note FROM items WHERE id = 1";
    vec![
        Talk::new("lazy: READ COMMITTED sees what others commit")
            .changes()
            .queries(&["BEGIN", note])
            .aside(wrote, Hear::Nothing)
            .queries(&[note, "COMMIT"])
            .queries(&["BEGIN READ ONLY", note])
            .aside("UPDATE items SET note = 'again' WHERE id = 1", Hear::Nothing)
            .queries(&[note, "SAVEPOINT a", note])
            .aside("UPDATE items SET note = 'thrice' WHERE id = 1", Hear::Nothing)
            .queries(&[note, "ROLLBACK TO a", note, "COMMIT"]),
        Talk::new("lazy: REPEATABLE READ READ ONLY sees what there was")
            .changes()
            .queries(&["BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", note])
            .aside(wrote, Hear::Nothing)
            .queries(&[note, "SAVEPOINT a", note, "ROLLBACK TO a", note, "COMMIT", note]),
        Talk::new("lazy: a level set first keeps its snapshot, and one by default too")
            .changes()
            .queries(&["BEGIN", "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", note])
            .aside(wrote, Hear::Nothing)
            .queries(&[note, "COMMIT", note])
            .queries(&["SET default_transaction_isolation = 'repeatable read'", "BEGIN READ ONLY", note])
            .aside("UPDATE items SET note = 'again' WHERE id = 1", Hear::Nothing)
            .queries(&[note, "COMMIT", note]),
        Talk::new("lazy: reads, what others commit, and a write that meets it")
            .changes()
            .queries(&["BEGIN", note])
            .aside(wrote, Hear::Nothing)
            .queries(&[
                "UPDATE items SET note = note || ' and here' WHERE id = 1 RETURNING note",
                note,
                "COMMIT",
            ]),
        Talk::new("lazy: snapshots by the extended protocol")
            .changes()
            .batch(&[run("BEGIN"), run(note)].concat())
            .aside(wrote, Hear::Nothing)
            .batch(&[run(note), vec![flush()], run(note)].concat())
            .batch(&run("COMMIT"))
            .batch(&[run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"), run(note)].concat())
            .aside("UPDATE items SET note = 'again' WHERE id = 1", Hear::Nothing)
            .batch(&[run(note), run("COMMIT"), run(note)].concat()),
    ]
}
