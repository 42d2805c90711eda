//! What passes beside rows in transactions: notices, notifications, copies, function calls; what only a server can
//! hold: locks, temporary tables, transactions in two phases.

use harness::client::front::*;

use crate::talk::{Hear, Talk, in_all_forms, run, text};

use super::{COUNT, INSERT, ONE};

pub(crate) fn talks() -> Vec<Talk> {
    let mut talks: Vec<Talk> =
        [notices(), temporary(), locks(), phases()].concat().iter().flat_map(in_all_forms).collect();
    talks.extend(notifications());
    talks.extend(copies());
    talks.extend(calls());
    talks
}

fn notices() -> Vec<Talk> {
    vec![
        Talk::new("lazy: notices of reads").changes().queries(&[
            "BEGIN", "SELECT shout('one')", COUNT, "SELECT shout(name) FROM items WHERE id < 3 ORDER BY id",
            "SET LOCAL client_min_messages = warning", "SELECT shout('nobody hears')", "COMMIT", "SELECT shout('two')",
            "BEGIN READ ONLY", "SELECT shout('three')", COUNT, "COMMIT",
        ]),
        Talk::new("lazy: notices of blocks, before and behind a write").changes().queries(&[
            "BEGIN", COUNT, "DO $$ BEGIN RAISE NOTICE 'one'; RAISE WARNING 'two'; RAISE INFO 'three'; END $$", INSERT,
            "DO $$ BEGIN RAISE NOTICE 'four'; END $$", "DROP TABLE IF EXISTS play.nothing", "ROLLBACK",
        ]),
        Talk::new("lazy: no warnings are wanted").queries(&[
            "SET client_min_messages = error", "BEGIN", "BEGIN", COUNT, "COMMIT", "COMMIT", "ROLLBACK",
            "SET TRANSACTION READ ONLY", "SET LOCAL work_mem = '5MB'",
            "BEGIN", "SET LOCAL client_min_messages = notice", "BEGIN", COUNT, "COMMIT", "COMMIT",
            "RESET client_min_messages", "COMMIT",
        ]),
        Talk::new("lazy: functions that are not marked, in a transaction that reads").changes().queries(&[
            "CREATE FUNCTION play.peeks() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM public.items'",
            "CREATE FUNCTION play.looks() RETURNS bigint STABLE LANGUAGE sql AS 'SELECT count(*) FROM public.items'",
            "CREATE FUNCTION play.writes() RETURNS void LANGUAGE sql AS 'UPDATE public.items SET note = ''w'' WHERE id = 1'",
            "BEGIN", "SELECT play.looks()", COUNT, "SELECT play.peeks()", COUNT, "SELECT play.writes()",
            "SELECT note FROM items WHERE id = 1", "ROLLBACK", "SELECT note FROM items WHERE id = 1",
        ]),
    ]
}

fn temporary() -> Vec<Talk> {
    vec![
        Talk::new("lazy: temporary tables behind reads").queries(&[
            "BEGIN",
            COUNT,
            "CREATE TEMP TABLE lazy_t (id int)",
            "INSERT INTO lazy_t VALUES (1)",
            "SELECT * FROM lazy_t",
            COUNT,
            "COMMIT",
            "SELECT * FROM lazy_t",
            "BEGIN",
            "SELECT * FROM lazy_t",
            "INSERT INTO lazy_t VALUES (2)",
            "ROLLBACK",
            "SELECT * FROM lazy_t",
            "DROP TABLE lazy_t",
        ]),
        Talk::new("lazy: temporary tables that end with the transaction").queries(&[
            "BEGIN",
            COUNT,
            "CREATE TEMP TABLE lazy_d ON COMMIT DROP AS SELECT 1 AS id",
            "SELECT * FROM lazy_d",
            "COMMIT",
            "SELECT * FROM lazy_d",
            "BEGIN",
            "SELECT 1 AS x INTO TEMP lazy_i",
            "SELECT * FROM lazy_i",
            "ROLLBACK",
            "BEGIN",
            "SELECT * FROM lazy_i",
            "COMMIT",
        ]),
        Talk::new("lazy: a table made within, and what reads say of it").changes().queries(&[
            "BEGIN",
            COUNT,
            "CREATE TABLE play.t (id int)",
            "SELECT count(*) FROM play.t",
            "ALTER TABLE play.t ADD word text",
            "SELECT * FROM play.t",
            "ROLLBACK",
            "SELECT * FROM play.t",
            "BEGIN",
            "SELECT * FROM play.t",
            "ROLLBACK",
        ]),
    ]
}

fn locks() -> Vec<Talk> {
    vec![
        Talk::new("lazy: locks behind reads").changes().queries(&[
            "BEGIN",
            COUNT,
            "LOCK TABLE items IN EXCLUSIVE MODE",
            COUNT,
            "COMMIT",
            "BEGIN",
            COUNT,
            "SELECT id FROM items WHERE id = 1 FOR SHARE",
            COUNT,
            "ROLLBACK",
            "BEGIN",
            "LOCK TABLE orders",
            "COMMIT",
            "BEGIN",
            COUNT,
            "LOCK TABLE no_such",
            "COMMIT",
        ]),
        Talk::new("lazy: advisory locks behind reads").queries(&[
            "BEGIN",
            COUNT,
            "SELECT pg_advisory_xact_lock(81)",
            COUNT,
            "SELECT pg_try_advisory_xact_lock(81)",
            "COMMIT",
            "SELECT pg_advisory_unlock(81)",
            "BEGIN",
            COUNT,
            "SELECT pg_advisory_lock(82)",
            "ROLLBACK",
            "SELECT pg_advisory_unlock(82)",
            "SELECT pg_advisory_unlock(82)",
        ]),
        Talk::new("lazy: sequences, and what a transaction remembers of them").changes().queries(&[
            "BEGIN",
            COUNT,
            "SELECT nextval('counter')",
            "SELECT currval('counter'), lastval()",
            "ROLLBACK",
            "SELECT currval('counter')",
            "BEGIN",
            "SELECT currval('counter')",
            "SELECT setval('counter', 30)",
            "COMMIT",
            "BEGIN",
            "SELECT last_value FROM counter",
            "SELECT nextval('counter')",
            "COMMIT",
        ]),
        Talk::new("lazy: what asks for the transaction's own identity").queries(&[
            "BEGIN",
            COUNT,
            "SELECT txid_current() = txid_current()",
            "SELECT pg_current_xact_id_if_assigned() IS NOT NULL",
            "SELECT pg_current_wal_lsn() IS NOT NULL",
            COUNT,
            "COMMIT",
            "BEGIN",
            "SELECT pg_export_snapshot() <> ''",
            COUNT,
            "COMMIT",
        ]),
        Talk::new("lazy: constraints deferred behind reads").changes().queries(&[
            "CREATE TABLE play.d (id int CONSTRAINT d_once UNIQUE DEFERRABLE)",
            "BEGIN",
            COUNT,
            "SET CONSTRAINTS ALL DEFERRED",
            "INSERT INTO play.d VALUES (1), (1)",
            COUNT,
            "COMMIT",
            "BEGIN",
            "SET CONSTRAINTS ALL DEFERRED",
            COUNT,
            "COMMIT",
            "BEGIN",
            "SET CONSTRAINTS no_such DEFERRED",
            "COMMIT",
        ]),
    ]
}

fn phases() -> Vec<Talk> {
    vec![
        Talk::new("lazy: PREPARE TRANSACTION behind reads and a write").changes().queries(&[
            "BEGIN",
            COUNT,
            INSERT,
            "PREPARE TRANSACTION 'lazy one'",
            COUNT,
            "COMMIT PREPARED 'lazy one'",
            COUNT,
            "BEGIN",
            COUNT,
            "DELETE FROM items WHERE id = 100",
            "PREPARE TRANSACTION 'lazy two'",
            "ROLLBACK PREPARED 'lazy two'",
            COUNT,
        ]),
        Talk::new("lazy: PREPARE TRANSACTION behind reads only").queries(&[
            "BEGIN",
            COUNT,
            "PREPARE TRANSACTION 'lazy three'",
            COUNT,
            "ROLLBACK PREPARED 'lazy three'",
            "BEGIN",
            "PREPARE TRANSACTION 'lazy four'",
            "COMMIT PREPARED 'lazy four'",
            "BEGIN",
            "SAVEPOINT a",
            "SET LOCAL my.word = 'x'",
            "PREPARE TRANSACTION 'lazy five'",
            "SELECT coalesce(current_setting('my.word', true), '')",
            "COMMIT PREPARED 'lazy five'",
            "BEGIN",
            COUNT,
            "COMMIT PREPARED 'lazy six'",
            "ROLLBACK",
        ]),
    ]
}

fn notifications() -> Vec<Talk> {
    vec![
        Talk::new("lazy: LISTEN and NOTIFY behind reads")
            .queries(&[
                "BEGIN",
                COUNT,
                "LISTEN here",
                COUNT,
                "COMMIT",
                "BEGIN",
                COUNT,
                "NOTIFY here, 'one'",
                COUNT,
                "COMMIT",
            ])
            .queries(&["BEGIN", "NOTIFY here, 'lost'", "ROLLBACK", "BEGIN", COUNT, "UNLISTEN here", "COMMIT"])
            .queries(&["NOTIFY here, 'not heard'", ONE]),
        Talk::new("lazy: notifications that come in a transaction that has only read")
            .queries(&["LISTEN here", "BEGIN", COUNT])
            .aside("NOTIFY here, 'meanwhile'", Hear::Nothing)
            .queries(&[COUNT, ONE, "COMMIT"])
            .queries(&["BEGIN"])
            .aside("NOTIFY here, 'meanwhile again'", Hear::Nothing)
            .queries(&["ROLLBACK", "BEGIN READ ONLY"])
            .aside("NOTIFY here, 'and again'", Hear::Nothing)
            .queries(&[COUNT, "COMMIT"]),
    ]
}

fn copies() -> Vec<Talk> {
    const IN: &str = "COPY items (id, name) FROM STDIN";
    vec![
        Talk::new("lazy: copies out in a transaction").queries(&[
            "BEGIN",
            "COPY (SELECT id, name FROM items WHERE id < 4 ORDER BY id) TO STDOUT",
            COUNT,
            "COPY (SELECT 1) TO STDOUT (FORMAT csv)",
            "COPY orders TO STDOUT",
            "COPY (SELECT 1/0) TO STDOUT",
            COUNT,
            "ROLLBACK",
        ]),
        Talk::new("lazy: a copy in behind reads")
            .changes()
            .queries(&["BEGIN", COUNT])
            .say(&[query(IN)], Hear::UpTo(b'G'))
            .say(&[copy_data("100\tone\n101\ttwo\n"), copy_done()], Hear::Ready(1))
            .queries(&[COUNT, "COMMIT", COUNT, "BEGIN", ONE])
            .say(&[query(IN)], Hear::UpTo(b'G'))
            .say(&[copy_data("102\tone\n"), copy_fail("no more")], Hear::Ready(1))
            .queries(&[COUNT, "COMMIT", COUNT]),
        Talk::new("lazy: a copy in with a savepoint before it")
            .changes()
            .queries(&["BEGIN", COUNT, "SAVEPOINT a"])
            .say(&[query(IN)], Hear::UpTo(b'G'))
            .say(&[copy_data("1\ttaken\n"), copy_done()], Hear::Ready(1))
            .queries(&["ROLLBACK TO a", COUNT])
            .say(&[query(IN)], Hear::UpTo(b'G'))
            .say(&[copy_data("100\tone\n"), copy_done()], Hear::Ready(1))
            .queries(&["COMMIT", COUNT]),
        Talk::new("lazy: copies by the extended protocol")
            .changes()
            .batch(&[run("BEGIN"), run("COPY (SELECT 1) TO STDOUT")].concat())
            .say(&[run(IN), vec![flush()]].concat(), Hear::UpTo(b'G'))
            .say(&[copy_data("100\tone\n"), copy_done(), sync()], Hear::Ready(1))
            .batch(&run(COUNT))
            .batch(&run("ROLLBACK"))
            .batch(&run(COUNT)),
    ]
}

fn calls() -> Vec<Talk> {
    vec![
        Talk::new("lazy: function calls in a transaction")
            .queries(&["BEGIN"])
            .ask(&[function_call(177, &[text("1"), text("2")])])
            .queries(&[COUNT])
            .ask(&[
                function_call(177, &[text("3"), text("4")]),
                query(ONE),
                function_call(177, &[text("5"), text("6")]),
            ])
            .queries(&["COMMIT"])
            .ask(&[function_call(177, &[text("7"), text("8")])]),
        Talk::new("lazy: large objects, which live in transactions")
            .changes()
            .queries(&[
                "BEGIN",
                COUNT,
                "SELECT lo_create(424242)",
                "SELECT lo_put(424242, 0, 'some text')",
                "SELECT lo_get(424242)",
                "COMMIT",
            ])
            .queries(&[
                "BEGIN",
                COUNT,
                "SELECT lo_open(424242, 262144)",
                "SELECT loread(0, 4)",
                "SELECT loread(0, 4)",
                "COMMIT",
            ])
            .queries(&["BEGIN", "SELECT lo_get(424242)", "COMMIT", "SELECT lo_unlink(424242)"]),
    ]
}
