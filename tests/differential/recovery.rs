//! What is left after errors, and how a session gets out of them.

use harness::client::front::*;

use crate::talk::{Hear, Talk, again, run, text};

const COUNT: &str = "SELECT count(*) FROM items";
const INSERT: &str = "INSERT INTO items VALUES (100, 'x')";

pub(crate) fn talks() -> Vec<Talk> {
    [transactions(), conflicts(), batches(), plans()].concat()
}

fn transactions() -> Vec<Talk> {
    vec![
        Talk::new("everything that a failed transaction refuses, and what it does not").queries(&[
            "BEGIN",
            "SELECT 1/0",
            "SHOW TimeZone",
            "SET work_mem = '5MB'",
            "DECLARE c CURSOR FOR SELECT 1",
            "FETCH c",
            "PREPARE p AS SELECT 1",
            "EXECUTE p",
            "DEALLOCATE ALL",
            "LISTEN here",
            "COPY items TO STDOUT",
            "COPY items FROM STDIN",
            "RELEASE nowhere",
            "ROLLBACK TO nowhere",
            "LOCK TABLE items",
            "no sql",
            "SELECT 1; SELECT 2",
            "ABORT",
            "SELECT 1",
        ]),
        Talk::new("a failed transaction prepared, and one that cannot be")
            .queries(&["BEGIN", "SELECT 1/0", "PREPARE TRANSACTION 'failed'", "SELECT 1"])
            .queries(&["PREPARE TRANSACTION 'outside'", "COMMIT PREPARED 'no such'", "ROLLBACK PREPARED 'no such'"])
            .queries(&["BEGIN", "COMMIT PREPARED 'no such'", "ROLLBACK"])
            .queries(&["BEGIN", "CREATE TEMP TABLE mine (id int)", "PREPARE TRANSACTION 'temporary'", "SELECT 1"]),
        Talk::new("chains where there is no transaction, and of a failed one").queries(&[
            "COMMIT AND CHAIN",
            "ROLLBACK AND CHAIN",
            "BEGIN ISOLATION LEVEL REPEATABLE READ",
            "SELECT 1/0",
            "ROLLBACK AND CHAIN",
            "SHOW transaction_isolation",
            "COMMIT AND CHAIN",
            "SHOW transaction_isolation",
            "COMMIT",
            "SHOW transaction_isolation",
        ]),
        Talk::new("savepoints of one name").changes().queries(&[
            "BEGIN",
            "SAVEPOINT s",
            INSERT,
            "SAVEPOINT s",
            "DELETE FROM items",
            "SELECT 1/0",
            "ROLLBACK TO s",
            COUNT,
            "RELEASE s",
            "ROLLBACK TO s",
            COUNT,
            "RELEASE s",
            "RELEASE s",
            "ROLLBACK",
        ]),
        Talk::new("savepoints outside, and released ones").queries(&[
            "RELEASE a",
            "ROLLBACK TO a",
            "BEGIN",
            "SAVEPOINT a",
            "RELEASE a",
            "ROLLBACK TO a",
            "SELECT 1",
            "COMMIT",
            "SAVEPOINT a; SELECT 1",
            "SAVEPOINT a; ROLLBACK TO a; SELECT 1",
        ]),
        Talk::new("an error in a string that holds a transaction")
            .changes()
            .queries(&["BEGIN; INSERT INTO items VALUES (100, 'x'); SELECT 1/0; COMMIT", COUNT, "ROLLBACK", COUNT])
            .queries(&["SELECT 1; BEGIN; SELECT 1/0", "SELECT 2", "ROLLBACK; SELECT 3; SELECT 1/0; SELECT 4", "SELECT 5"])
            .queries(&["INSERT INTO items VALUES (101, 'x'); COMMIT; SELECT 1/0", COUNT])
            .queries(&["INSERT INTO items VALUES (102, 'x'); ROLLBACK; SELECT 1/0", COUNT]),
        Talk::new("a syntax error in a string runs nothing of it")
            .changes()
            .queries(&["INSERT INTO items VALUES (100, 'x'); SELEC 1", COUNT, "BEGIN; no sql", "SELECT 1"]),
        Talk::new("begin in a transaction, in strings and with modes").queries(&[
            "BEGIN",
            "BEGIN ISOLATION LEVEL SERIALIZABLE",
            "SHOW transaction_isolation",
            "BEGIN READ ONLY; SHOW transaction_read_only",
            "START TRANSACTION; COMMIT",
            "COMMIT",
            "BEGIN; BEGIN; COMMIT; COMMIT",
        ]),
        Talk::new("statements that want no transaction").queries(&[
            "BEGIN",
            "VACUUM items",
            "ROLLBACK",
            "SELECT 1; VACUUM items",
            "CREATE DATABASE nothing; SELECT 1",
            "BEGIN",
            "DISCARD ALL",
            "ROLLBACK",
            "DISCARD ALL",
        ]),
        Talk::new("deferred constraints").changes().queries(&[
            "CREATE TABLE play.d (id int CONSTRAINT d_once UNIQUE DEFERRABLE)",
            "BEGIN",
            "SET CONSTRAINTS ALL DEFERRED",
            "INSERT INTO play.d VALUES (1), (1)",
            "SET CONSTRAINTS ALL IMMEDIATE",
            "SELECT 1",
            "ROLLBACK",
            "BEGIN; SET CONSTRAINTS play.d_once DEFERRED; INSERT INTO play.d VALUES (2), (2); COMMIT",
            "SELECT count(*) FROM play.d",
            "INSERT INTO play.d VALUES (3), (3)",
            "SET CONSTRAINTS ALL DEFERRED",
        ]),
        Talk::new("a deferred constraint at the end of a batch")
            .changes()
            .queries(&["CREATE TABLE play.d (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)"])
            .batch(&run("INSERT INTO play.d VALUES (1), (1)"))
            .batch(&[run("INSERT INTO play.d VALUES (2), (2)"), run("SELECT 1")].concat())
            .batch(&[run("BEGIN"), run("INSERT INTO play.d VALUES (3), (3)")].concat())
            .batch(&[run("COMMIT"), run("SELECT 1")].concat())
            .queries(&["SELECT count(*) FROM play.d"]),
        Talk::new("errors of level, in blocks with handlers").queries(&[
            "DO $$ BEGIN PERFORM 1/0; EXCEPTION WHEN division_by_zero THEN RAISE NOTICE 'caught %', SQLSTATE; END $$",
            "DO $$ BEGIN RAISE EXCEPTION 'own' USING ERRCODE = '25006'; END $$",
            "DO $$ BEGIN RAISE EXCEPTION 'own' USING ERRCODE = '40001'; END $$",
            "DO $$ BEGIN RAISE EXCEPTION 'own' USING ERRCODE = '57P01'; END $$",
            "DO $$ BEGIN RAISE EXCEPTION 'own' USING ERRCODE = '0A000'; END $$",
            "DO $$ BEGIN RAISE EXCEPTION 'own' USING ERRCODE = '26000'; END $$",
            "SELECT 1",
        ]),
    ]
}

fn conflicts() -> Vec<Talk> {
    vec![
        Talk::new("a serialization failure, and the second attempt")
            .changes()
            .queries(&["BEGIN ISOLATION LEVEL REPEATABLE READ", COUNT])
            .aside("UPDATE items SET note = 'elsewhere' WHERE id = 1", Hear::Nothing)
            .queries(&["UPDATE items SET note = 'here' WHERE id = 1", "SELECT 1", "COMMIT"])
            .queries(&[
                "BEGIN ISOLATION LEVEL REPEATABLE READ",
                "UPDATE items SET note = 'here' WHERE id = 1",
                "COMMIT",
            ])
            .queries(&["SELECT note FROM items WHERE id = 1"]),
        Talk::new("a serialization failure by the extended protocol")
            .changes()
            .batch(&run("BEGIN ISOLATION LEVEL SERIALIZABLE"))
            .batch(&run(COUNT))
            .aside("UPDATE items SET note = 'elsewhere' WHERE id = 1", Hear::Nothing)
            .batch(&[parse("u", "UPDATE items SET note = $1 WHERE id = 1", &[])])
            .batch(&[again("u", &[text("here")]), run("SELECT 1")].concat())
            .batch(&run("ROLLBACK"))
            .batch(&again("u", &[text("here")])),
        Talk::new("a snapshot that stays, and one that does not")
            .changes()
            .queries(&["BEGIN ISOLATION LEVEL REPEATABLE READ", COUNT])
            .aside("DELETE FROM items WHERE id > 10", Hear::Nothing)
            .queries(&[COUNT, "COMMIT", COUNT, "BEGIN", COUNT])
            .aside("DELETE FROM items WHERE id > 5", Hear::Nothing)
            .queries(&[COUNT, "COMMIT"]),
        Talk::new("a lock that is not to be had")
            .changes()
            .aside("BEGIN; LOCK TABLE orders", Hear::Nothing)
            .queries(&["LOCK TABLE orders NOWAIT", "BEGIN", "LOCK TABLE orders NOWAIT", "COMMIT"])
            .queries(&["SET lock_timeout = '20ms'", "INSERT INTO orders VALUES (1, 1)"])
            .aside("COMMIT", Hear::Nothing)
            .queries(&["INSERT INTO orders VALUES (1, 1)"]),
    ]
}

/// An error in each phase of a batch.
fn batches() -> Vec<Talk> {
    let tail = [run("SELECT 'skipped'"), vec![describe_statement("nope"), close_statement("kept")]].concat();
    let failing = |name, first: &[Vec<u8>]| {
        Talk::new(name)
            .batch(&[parse("kept", "SELECT 'kept'", &[])])
            .batch(&[first, &tail].concat())
            .batch(&again("kept", &[]))
            .ask(&[first, &run("SELECT 'skipped'"), &[sync()], &again("kept", &[]), &[sync()]].concat())
    };
    vec![
        failing("an error in a parse", &[parse("p", "SELEC", &[])]),
        failing("an error in a bind", &[parse("p1", "SELECT $1::int", &[]), bind("", "p1", &[text("x")])]),
        failing("an error in a describe", &[run("SELECT 1"), vec![describe_portal("nope")]].concat()),
        failing("an error in an execute", &[parse("", "SELECT 1/0", &[]), bind("", "", &[]), execute("", 0)]),
        failing("an error in an execute of no portal", &[execute("nope", 0)]),
        failing("an error among rows", &run("SELECT 10 / (3 - n) FROM generate_series(1, 5) n")),
        Talk::new("an error in every batch of a transaction, healed by savepoints")
            .changes()
            .batch(&run("BEGIN"))
            .batch(&[run("SAVEPOINT a"), run(INSERT), run(INSERT)].concat())
            .batch(&[run("ROLLBACK TO a"), run(COUNT)].concat())
            .batch(&[run(INSERT), run("SAVEPOINT b"), vec![parse("s", "no sql", &[])]].concat())
            .batch(&[run("ROLLBACK TO b"), run("RELEASE a"), run("COMMIT")].concat())
            .batch(&run(COUNT)),
        Talk::new("an error at a flush, and what comes before the sync is not run")
            .changes()
            .say(&[run("SELECT 1/0"), vec![flush()]].concat(), Hear::UpTo(b'E'))
            .say(&[run(INSERT), vec![flush()]].concat(), Hear::Nothing)
            .say(&[parse("late", "SELECT 1", &[]), close_statement("late")], Hear::Nothing)
            .batch(&[])
            .batch(&run(COUNT))
            .batch(&again("late", &[])),
        Talk::new("transactions begun and ended in failing batches")
            .changes()
            .batch(&[run("BEGIN"), run(INSERT), run("SELECT 1/0"), run("COMMIT")].concat())
            .batch(&run("COMMIT"))
            .batch(&[run(INSERT), run("BEGIN"), run("ROLLBACK"), run(COUNT)].concat())
            .batch(&[run("SELECT 1"), run("COMMIT"), run(COUNT)].concat())
            .batch(&[run("ROLLBACK"), run(INSERT), run("ROLLBACK"), run(COUNT)].concat()),
        Talk::new("a parse behind an error, and what it did not define used by a batch sent ahead").ask(
            &[
                vec![parse("p", "SELEC", &[]), parse("late", "SELECT 'late'", &[]), sync()],
                again("late", &[]),
                vec![sync(), parse("late", "SELECT 'in time'", &[]), sync()],
                again("late", &[]),
                vec![sync()],
            ]
            .concat(),
        ),
        Talk::new("a close behind an error, and what it did not close used by a batch sent ahead")
            .batch(&[parse("kept", "SELECT 'kept'", &[])])
            .ask(
                &[
                    vec![parse("p", "SELEC", &[]), close_statement("kept"), sync()],
                    again("kept", &[]),
                    vec![sync()],
                ]
                .concat(),
            ),
        Talk::new("savepoints in a batch without a transaction")
            .batch(&run("SAVEPOINT a"))
            .batch(&[run("SELECT 1"), run("SAVEPOINT a")].concat())
            .batch(&run("ROLLBACK TO a"))
            .batch(&run("RELEASE a")),
        Talk::new("the unnamed statement, behind errors that keep it and behind its own")
            .batch(&[parse("", "SELECT 'kept'", &[])])
            .batch(&[parse("p", "SELEC", &[]), parse("", "SELECT 'skipped'", &[])])
            .batch(&again("", &[]))
            .say(&[parse("p", "SELEC", &[]), flush()], Hear::UpTo(b'E'))
            .say(&[query("SELECT 'skipped'"), sync()], Hear::Ready(1))
            .batch(&again("", &[]))
            .batch(&[parse("", "SELEC", &[]), parse("", "SELECT 'skipped'", &[])])
            .batch(&again("", &[])),
        Talk::new("a query that is skipped because of an error in front")
            .changes()
            .queries(&["INSERT INTO items VALUES (100, 'x')", "NOTIFY here"])
            .say(&[execute("nope", 2), flush()], Hear::UpTo(b'E'))
            .say(&[query("BEGIN"), sync()], Hear::Ready(1))
            .say(&[execute("nope", 2), flush()], Hear::UpTo(b'E'))
            .say(&[query("SELECT 'skipped'"), sync()], Hear::Ready(1))
            .queries(&["SELECT 1"]),
        Talk::new("a query that weir words otherwise, skipped because of an error in front")
            .startup("TimeZone", "Asia/Tokyo")
            .say(&[parse("p", "SELEC", &[]), flush()], Hear::UpTo(b'E'))
            .say(&[query("DISCARD ALL"), sync()], Hear::Ready(1))
            .queries(&["SHOW TimeZone"])
            .say(&[parse("p", "SELEC", &[]), query("DISCARD ALL"), sync()], Hear::Ready(1))
            .queries(&["SHOW TimeZone"])
            .batch(&[parse("s", "SELECT 's'", &[])])
            .say(&[parse("p", "SELEC", &[]), query("DEALLOCATE s"), sync()], Hear::Ready(1))
            .batch(&again("s", &[])),
        Talk::new("a batch that discards all and fails then")
            .startup("TimeZone", "Asia/Tokyo")
            .queries(&["SET TimeZone = 'UTC'"])
            .batch(&[run("DISCARD ALL"), run("SHOW TimeZone")].concat())
            .batch(&run("SHOW TimeZone")),
        Talk::new("statements of the protocol, deallocated among others and in vain")
            .batch(&[parse("s", "SELECT 's'", &[]), parse("t", "SELECT 't'", &[])])
            .queries(&["SELECT 1; DEALLOCATE s; SELECT 2"])
            .batch(&again("s", &[]))
            .queries(&["BEGIN", "SELECT 1/0", "DEALLOCATE ALL", "ROLLBACK"])
            .batch(&again("t", &[]))
            .queries(&["SELECT name FROM pg_prepared_statements ORDER BY name"]),
    ]
}

/// "cached plan must not change result type", and other plans that grow stale.
fn plans() -> Vec<Talk> {
    vec![
        Talk::new("a result changes under a statement, in a transaction")
            .in_weirs_words()
            .changes()
            .queries(&["CREATE TABLE play.t (id int)", "INSERT INTO play.t VALUES (1)"])
            .batch(&[parse("s", "SELECT * FROM play.t", &[]), describe_statement("s")])
            .batch(&again("s", &[]))
            .queries(&["BEGIN", "ALTER TABLE play.t ADD COLUMN more int DEFAULT 2"])
            .batch(&again("s", &[]))
            .queries(&["SELECT 1", "ROLLBACK"])
            .batch(&again("s", &[])),
        Talk::new("a result changes under a statement that is given a long value")
            .in_weirs_words()
            .changes()
            .queries(&["CREATE TABLE play.t (id int)", "INSERT INTO play.t VALUES (1)"])
            .batch(&[parse("s", "SELECT * FROM play.t WHERE length($1) > 0", &[25]), describe_statement("s")])
            .batch(&again("s", &[text("short")]))
            .queries(&["ALTER TABLE play.t ADD COLUMN more int DEFAULT 2"])
            .batch(&again("s", &[text(&"long".repeat(100_000))]))
            .batch(&again("s", &[text("short")])),
        Talk::new("a column's type changes under a statement that takes it")
            .changes()
            .queries(&["CREATE TABLE play.t (id int, word text)"])
            .batch(&[parse("i", "INSERT INTO play.t VALUES ($1, $2)", &[]), describe_statement("i")])
            .batch(&again("i", &[text("1"), text("one")]))
            .queries(&["ALTER TABLE play.t ADD COLUMN more int"])
            .batch(&again("i", &[text("2"), text("two")]))
            .queries(&["SELECT * FROM play.t ORDER BY id"]),
        Talk::new("an index and a function change under statements")
            .changes()
            .queries(&["CREATE FUNCTION play.f() RETURNS int STABLE LANGUAGE sql AS 'SELECT 1'"])
            .batch(&[parse("s", "SELECT play.f(), count(*) FROM items WHERE name = 'item 3'", &[])])
            .batch(&again("s", &[]))
            .queries(&["CREATE OR REPLACE FUNCTION play.f() RETURNS int STABLE LANGUAGE sql AS 'SELECT 2'"])
            .batch(&again("s", &[]))
            .queries(&["CREATE INDEX by_name_in_talk ON items (name)"])
            .batch(&again("s", &[]))
            .queries(&["DROP INDEX by_name_in_talk", "DROP FUNCTION play.f()"])
            .batch(&again("s", &[])),
        Talk::new("a result changes under SQL's own statement")
            .changes()
            .queries(&["CREATE TABLE play.t (id int)", "PREPARE p AS SELECT * FROM play.t", "EXECUTE p"])
            .queries(&[
                "ALTER TABLE play.t ADD COLUMN more int",
                "EXECUTE p",
                "BEGIN",
                "EXECUTE p",
                "ROLLBACK",
            ])
            .queries(&["DEALLOCATE p", "PREPARE p AS SELECT * FROM play.t", "EXECUTE p"]),
        Talk::new("a table made and dropped in a transaction that a statement was parsed in")
            .changes()
            .queries(&["BEGIN", "CREATE TABLE play.t (id int)"])
            .batch(&[parse("s", "SELECT * FROM play.t", &[])])
            .batch(&again("s", &[]))
            .queries(&["ROLLBACK"])
            .batch(&again("s", &[]))
            .queries(&["CREATE TABLE play.t (id int)"])
            .batch(&again("s", &[])),
        Talk::new("an enum grows under a statement")
            .changes()
            .queries(&["CREATE TYPE play.colour AS ENUM ('red')"])
            .batch(&[parse("s", "SELECT $1::play.colour", &[])])
            .batch(&again("s", &[text("red")]))
            .batch(&again("s", &[text("green")]))
            .queries(&["ALTER TYPE play.colour ADD VALUE 'green'"])
            .batch(&again("s", &[text("green")])),
    ]
}
