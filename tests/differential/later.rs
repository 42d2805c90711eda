//! Conversations in which weir does not say what the server says, each with the reason.

use harness::client::front::*;

use crate::talk::{Hear, Talk, again, text};

/// What is put off, and why.
pub(crate) fn talks() -> Vec<(Talk, &'static str)> {
    vec![
        (
            Talk::new("a statement prepared by protocol, executed by SQL")
                .ask(&[parse("p", "SELECT 'p'", &[]), sync()])
                .queries(&["EXECUTE p"]),
            "the server knows the statement by weir's name for it, and EXECUTE is not rewritten",
        ),
        (
            Talk::new("EXECUTE of a protocol's statement with parameters")
                .batch(&[parse("s", "SELECT name FROM items WHERE id = $1", &[])])
                .queries(&["EXECUTE s (2)", "EXECUTE s", "EXPLAIN (COSTS OFF) EXECUTE s (2)"])
                .batch(&again("s", &[text("3")]))
                .queries(&["BEGIN", "EXECUTE s (4)", "COMMIT", "DEALLOCATE s", "EXECUTE s (5)"]),
            "the server knows the statement by weir's name for it, and EXECUTE is not rewritten",
        ),
        (
            Talk::new("a name given by the protocol is taken for SQL, and the other way round")
                .batch(&[parse("s", "SELECT 'by protocol'", &[])])
                .queries(&["PREPARE s AS SELECT 'by sql'", "PREPARE t AS SELECT 'by sql'"])
                .batch(&[parse("t", "SELECT 'by protocol'", &[])])
                .batch(&again("t", &[]))
                .batch(&again("s", &[]))
                .batch(&[describe_statement("t"), close_statement("t")])
                .queries(&["EXECUTE t"]),
            "the server does not know the name that the protocol gave, and PREPARE takes it",
        ),
        (
            Talk::new("what a read only transaction may do on the primary").queries(&[
                "BEGIN READ ONLY",
                "LISTEN here",
                "SELECT pg_advisory_xact_lock(5)",
                "SELECT txid_current() > 0",
                "SELECT pg_current_wal_lsn() IS NOT NULL, pg_is_in_recovery()",
                "LOCK TABLE items IN EXCLUSIVE MODE",
                "COMMIT",
            ]),
            "a transaction that says READ ONLY runs on a replica, where these fail or mean nothing",
        ),
    ]
}

/// What weir does better, or cannot do otherwise, and why.
pub(crate) fn on_purpose() -> Vec<(Talk, &'static str)> {
    let told = "weir says what was wrong, where PostgreSQL only closes the connection";
    vec![
        (
            Talk::new("a length that cannot be")
                .in_weirs_words()
                .say(&[b"Q\0\0\0\x03".to_vec()], Hear::Close),
            told,
        ),
        (
            Talk::new("a length beyond what such a message may have")
                .in_weirs_words()
                .say(&[b"S\0\x01\0\0".to_vec()], Hear::Close),
            told,
        ),
        (
            Talk::new("a result changes under a statement that was never described")
                .changes()
                .queries(&["CREATE TABLE play.t (id int)"])
                .ask(&[parse("s", "SELECT * FROM play.t", &[]), sync()])
                .ask(&[bind("", "s", &[]), execute("", 0), sync()])
                .queries(&["ALTER TABLE play.t ADD COLUMN more int"])
                .ask(&[bind("", "s", &[]), execute("", 0), sync()]),
            "PostgreSQL refuses it, and weir prepares it anew where the client was told no columns",
        ),
        (
            Talk::new("a copy interrupted by a query")
                .changes()
                .say(&[query("COPY items (id, name) FROM STDIN")], Hear::UpTo(b'G'))
                .say(&[copy_data("100\tone\n"), query("SELECT 1")], Hear::Ready(1)),
            "PostgreSQL closes the connection, and weir only its own to the server",
        ),
        (
            Talk::new("a copy into a table in a read only transaction").queries(&[
                "BEGIN READ ONLY",
                "COPY items FROM STDIN",
                "ROLLBACK",
            ]),
            "it runs on a replica, which refuses it with the same code and other words",
        ),
        (
            Talk::new("the end amid a copy")
                .changes()
                .say(&[query("COPY items (id, name) FROM STDIN")], Hear::UpTo(b'G'))
                .say(&[copy_data("100\tone\n"), terminate()], Hear::Close),
            "PostgreSQL reports the broken copy to the client that has said farewell, and weir does not",
        ),
    ]
}
