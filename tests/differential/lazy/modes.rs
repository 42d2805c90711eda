//! Isolation levels, READ ONLY and DEFERRABLE: with BEGIN, with SET TRANSACTION in every position, and as the
//! session's default.

use harness::client::front::*;

use crate::talk::{Hear, Talk, in_all_forms, run};

use super::{COUNT, INSERT, ONE};

pub(crate) fn talks() -> Vec<Talk> {
    let mut talks: Vec<Talk> =
        [begins(), sets(), defaults()].concat().iter().flat_map(in_all_forms).collect();
    talks.extend(snapshots());
    talks
}

/// What a transaction does that weir runs on a replica as long as it says READ ONLY.
pub(crate) fn not_yet() -> Vec<Talk> {
    vec![
        Talk::new("lazy: what a read only transaction may do on the primary").queries(&[
            "BEGIN READ ONLY",
            "LISTEN here",
            "SELECT pg_advisory_xact_lock(5)",
            "SELECT txid_current() > 0",
            "SELECT pg_current_wal_lsn() IS NOT NULL, pg_is_in_recovery()",
            "LOCK TABLE items IN EXCLUSIVE MODE",
            "COMMIT",
        ]),
        Talk::new("lazy: LISTEN and NOTIFY in a read only transaction").queries(&[
            "BEGIN READ ONLY",
            COUNT,
            "LISTEN here",
            "NOTIFY here, 'read only'",
            COUNT,
            "COMMIT",
            "UNLISTEN *",
        ]),
        Talk::new("lazy: advisory locks in a read only transaction").queries(&[
            "BEGIN READ ONLY",
            COUNT,
            "SELECT pg_advisory_xact_lock(5)",
            COUNT,
            "SELECT pg_try_advisory_xact_lock(5)",
            "COMMIT",
            "SELECT pg_advisory_unlock(5)",
        ]),
        Talk::new("lazy: locked tables in a read only transaction").queries(&[
            "BEGIN READ ONLY",
            COUNT,
            "LOCK TABLE items IN EXCLUSIVE MODE",
            COUNT,
            "ROLLBACK",
            "BEGIN READ ONLY",
            "LOCK TABLE orders",
            "COMMIT",
        ]),
        Talk::new("lazy: a copy into a table in a read only transaction").queries(&[
            "BEGIN READ ONLY",
            COUNT,
            "COPY items FROM STDIN",
            "ROLLBACK",
            ONE,
        ]),
    ]
}

fn begins() -> Vec<Talk> {
    vec![
        Talk::new("lazy: read only, reads and the refusal of a write").changes().queries(&[
            "BEGIN READ ONLY",
            COUNT,
            "SHOW transaction_read_only",
            ONE,
            INSERT,
            COUNT,
            "ROLLBACK",
            "START TRANSACTION READ ONLY",
            INSERT,
            "COMMIT",
            "BEGIN READ ONLY",
            COUNT,
            "SELECT nextval('counter')",
            "COMMIT",
            "BEGIN READ ONLY",
            COUNT,
            "CREATE TABLE play.t (id int)",
            "COMMIT",
            "BEGIN READ ONLY",
            COUNT,
            "SELECT id FROM items WHERE id = 1 FOR UPDATE",
            "COMMIT",
            INSERT,
            COUNT,
        ]),
        Talk::new("lazy: read only, savepoints, failures").changes().queries(&[
            "BEGIN READ ONLY",
            "SAVEPOINT a",
            COUNT,
            INSERT,
            "ROLLBACK TO a",
            COUNT,
            "SELECT 1/0",
            "ROLLBACK TO a",
            "RELEASE a",
            "SHOW transaction_read_only",
            "COMMIT",
        ]),
        Talk::new("lazy: every level, reads only").queries(&[
            "BEGIN ISOLATION LEVEL READ UNCOMMITTED",
            COUNT,
            "SHOW transaction_isolation",
            "COMMIT",
            "BEGIN ISOLATION LEVEL READ COMMITTED",
            COUNT,
            "SHOW transaction_isolation",
            "COMMIT",
            "BEGIN ISOLATION LEVEL REPEATABLE READ",
            COUNT,
            "SHOW transaction_isolation",
            "COMMIT",
            "BEGIN ISOLATION LEVEL SERIALIZABLE",
            COUNT,
            "SHOW transaction_isolation",
            "COMMIT",
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            COUNT,
            "SHOW transaction_isolation",
            "COMMIT",
            "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY",
            COUNT,
            "SHOW transaction_isolation",
            "COMMIT",
            "BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE",
            COUNT,
            "SHOW transaction_deferrable",
            "COMMIT",
            "SHOW transaction_isolation",
            "SHOW transaction_deferrable",
        ]),
        Talk::new("lazy: every level, and a write").changes().queries(&[
            "BEGIN ISOLATION LEVEL READ UNCOMMITTED",
            COUNT,
            INSERT,
            "SHOW transaction_isolation",
            "ROLLBACK",
            "BEGIN ISOLATION LEVEL READ COMMITTED",
            COUNT,
            INSERT,
            "SHOW transaction_isolation",
            "ROLLBACK",
            "BEGIN ISOLATION LEVEL REPEATABLE READ",
            COUNT,
            INSERT,
            "SHOW transaction_isolation",
            "ROLLBACK",
            "BEGIN ISOLATION LEVEL SERIALIZABLE",
            COUNT,
            INSERT,
            "SHOW transaction_isolation",
            "COMMIT",
            COUNT,
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            COUNT,
            INSERT,
            "ROLLBACK",
        ]),
        Talk::new("lazy: SHOW of a transaction's modes, first, behind reads and behind a write")
            .changes()
            .queries(&[
                "BEGIN",
                "SHOW transaction_isolation",
                "SHOW transaction_read_only",
                "SHOW transaction_deferrable",
                COUNT,
                "SHOW TRANSACTION ISOLATION LEVEL",
                "SELECT current_setting('transaction_read_only')",
                "SELECT current_setting('transaction_isolation'), current_setting('transaction_deferrable')",
                INSERT,
                "SHOW transaction_read_only",
                "SHOW transaction_isolation",
                "COMMIT",
            ]),
    ]
}

/// SET TRANSACTION first, behind reads, behind savepoints, twice.
fn sets() -> Vec<Talk> {
    vec![
        Talk::new("lazy: SET TRANSACTION READ ONLY first, then a write").changes().queries(&[
            "BEGIN",
            "SET TRANSACTION READ ONLY",
            "SHOW transaction_read_only",
            COUNT,
            INSERT,
            COUNT,
            "ROLLBACK",
            INSERT,
        ]),
        Talk::new("lazy: SET TRANSACTION READ ONLY behind a read").changes().queries(&[
            "BEGIN",
            COUNT,
            "SET TRANSACTION READ ONLY",
            COUNT,
            INSERT,
            "ROLLBACK",
            "BEGIN",
            INSERT,
            "SET TRANSACTION READ ONLY",
            COUNT,
            "INSERT INTO items VALUES (101, 'y')",
            "COMMIT",
            COUNT,
        ]),
        Talk::new("lazy: READ WRITE behind READ ONLY").changes().queries(&[
            "BEGIN READ ONLY",
            "SET TRANSACTION READ WRITE",
            INSERT,
            "ROLLBACK",
            "BEGIN READ ONLY",
            COUNT,
            "SET TRANSACTION READ WRITE",
            COUNT,
            "ROLLBACK",
            "BEGIN",
            "SET TRANSACTION READ ONLY",
            "SET TRANSACTION READ WRITE",
            COUNT,
            INSERT,
            "ROLLBACK",
            "BEGIN READ ONLY",
            "SAVEPOINT a",
            "SET TRANSACTION READ WRITE",
            "ROLLBACK",
            "BEGIN READ WRITE",
            COUNT,
            "SET TRANSACTION READ WRITE",
            INSERT,
            "ROLLBACK",
            COUNT,
        ]),
        Talk::new("lazy: isolation levels set first").changes().queries(&[
            "BEGIN",
            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            "SHOW transaction_isolation",
            COUNT,
            "COMMIT",
            "BEGIN",
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
            COUNT,
            "SHOW transaction_isolation",
            INSERT,
            "ROLLBACK",
            "BEGIN",
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            INSERT,
            "SHOW transaction_isolation",
            "COMMIT",
            "BEGIN",
            "SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
            COUNT,
            "COMMIT",
            "BEGIN",
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            "SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
            "SHOW transaction_isolation",
            COUNT,
            "COMMIT",
        ]),
        Talk::new("lazy: isolation levels set behind a read").queries(&[
            "BEGIN",
            COUNT,
            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            COUNT,
            "COMMIT",
            "BEGIN",
            COUNT,
            "SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
            COUNT,
            "COMMIT",
            "BEGIN",
            "SELECT",
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            "COMMIT",
            "BEGIN",
            "SHOW work_mem",
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            "SHOW transaction_isolation",
            "COMMIT",
            "BEGIN",
            "",
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            "SHOW transaction_isolation",
            COUNT,
            "COMMIT",
            "BEGIN",
            "SELECT 1/0",
            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            "ROLLBACK",
            "BEGIN",
            "SET LOCAL work_mem = '5MB'",
            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            "SHOW transaction_isolation",
            "COMMIT",
        ]),
        Talk::new("lazy: isolation levels set behind savepoints").queries(&[
            "BEGIN",
            "SAVEPOINT a",
            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            "ROLLBACK TO a",
            "RELEASE a",
            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            "SHOW transaction_isolation",
            "COMMIT",
            "BEGIN",
            "SAVEPOINT a",
            COUNT,
            "ROLLBACK TO a",
            "RELEASE a",
            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            "COMMIT",
        ]),
        Talk::new("lazy: DEFERRABLE, first and too late").queries(&[
            "BEGIN",
            "SET TRANSACTION DEFERRABLE",
            "SHOW transaction_deferrable",
            COUNT,
            "COMMIT",
            "BEGIN",
            COUNT,
            "SET TRANSACTION DEFERRABLE",
            "COMMIT",
            "BEGIN",
            "SAVEPOINT a",
            "SET TRANSACTION DEFERRABLE",
            "ROLLBACK",
            "BEGIN",
            "SET TRANSACTION NOT DEFERRABLE",
            COUNT,
            "SET TRANSACTION NOT DEFERRABLE",
            "COMMIT",
        ]),
        Talk::new("lazy: modes as settings").changes().queries(&[
            "BEGIN",
            "SET transaction_read_only = on",
            COUNT,
            INSERT,
            "ROLLBACK",
            "BEGIN",
            "SET LOCAL transaction_read_only TO true",
            "SHOW transaction_read_only",
            INSERT,
            "ROLLBACK",
            "BEGIN",
            "SET transaction_isolation = 'serializable'",
            "SHOW transaction_isolation",
            COUNT,
            "COMMIT",
            "BEGIN",
            "SELECT set_config('transaction_read_only', 'on', true)",
            INSERT,
            "ROLLBACK",
            "BEGIN",
            "RESET transaction_read_only",
            "ROLLBACK",
            "BEGIN",
            COUNT,
            "SET LOCAL transaction_isolation = 'serializable'",
            "COMMIT",
        ]),
        Talk::new("lazy: SET TRANSACTION outside, with its warning, and nonsense inside").queries(&[
            "SET TRANSACTION READ ONLY",
            "BEGIN",
            COUNT,
            "COMMIT",
            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            "BEGIN",
            "SHOW transaction_isolation",
            "SET TRANSACTION",
            "ROLLBACK",
            "BEGIN",
            "SET TRANSACTION READ",
            "COMMIT",
            "BEGIN",
            "SET TRANSACTION SNAPSHOT '0-0-0'",
            "COMMIT",
            "BEGIN",
            COUNT,
            "SET LOCAL TRANSACTION READ ONLY",
            "COMMIT",
        ]),
    ]
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
            "SET TRANSACTION READ WRITE",
            COUNT,
            "DELETE FROM items WHERE id = 100",
            "COMMIT",
            "BEGIN",
            COUNT,
            "COMMIT AND CHAIN",
            INSERT,
            "ROLLBACK",
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
            "BEGIN",
            COUNT,
            INSERT,
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
