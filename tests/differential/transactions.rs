//! Transactions, savepoints, and what is left when they fail.

use harness::client::front::*;

use crate::talk::{Talk, text};

const INSERT: &str = "INSERT INTO items VALUES (100, 'x')";
const COUNT: &str = "SELECT count(*) FROM items";

pub(crate) fn talks() -> Vec<Talk> {
    [simple(), failing(), extended()].concat()
}

fn simple() -> Vec<Talk> {
    vec![
        Talk::new("read, write, read, commit").changes().queries(&["BEGIN", COUNT, INSERT, COUNT, "COMMIT"]),
        Talk::new("read, write, rollback").changes().queries(&["BEGIN", INSERT, "ROLLBACK", COUNT]),
        Talk::new("other words for the same").queries(&[
            "START TRANSACTION",
            "END",
            "BEGIN WORK",
            "ABORT",
            "BEGIN TRANSACTION",
            "COMMIT WORK",
        ]),
        Talk::new("begin twice").queries(&["BEGIN", "BEGIN", "COMMIT"]),
        Talk::new("an end without a beginning").queries(&[
            "COMMIT",
            "ROLLBACK",
            "SAVEPOINT a",
            "ROLLBACK TO a",
            "COMMIT AND CHAIN",
        ]),
        Talk::new("read only, and a write in it").changes().queries(&[
            "BEGIN READ ONLY",
            COUNT,
            INSERT,
            "SELECT 1",
            "COMMIT",
            "SELECT 1",
        ]),
        Talk::new("read only set afterwards").changes().queries(&[
            "BEGIN",
            "SET TRANSACTION READ ONLY",
            COUNT,
            INSERT,
            "ROLLBACK",
        ]),
        Talk::new("serializable").changes().queries(&[
            "BEGIN ISOLATION LEVEL SERIALIZABLE",
            COUNT,
            INSERT,
            "SHOW transaction_isolation",
            "COMMIT",
        ]),
        Talk::new("serializable and read only").queries(&[
            "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE",
            COUNT,
            "COMMIT",
        ]),
        Talk::new("repeatable read and read only").queries(&[
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            COUNT,
            "SHOW transaction_isolation",
            "SHOW transaction_read_only",
            "COMMIT",
        ]),
        Talk::new("modes set too late").queries(&[
            "BEGIN",
            COUNT,
            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            "ROLLBACK",
        ]),
        Talk::new("chains").changes().queries(&[
            "BEGIN READ WRITE",
            INSERT,
            "COMMIT AND CHAIN",
            COUNT,
            "DELETE FROM items",
            "ROLLBACK AND CHAIN",
            COUNT,
            "COMMIT AND NO CHAIN",
            COUNT,
        ]),
        Talk::new("chains of a read only transaction").changes().queries(&[
            "BEGIN READ ONLY",
            COUNT,
            "COMMIT AND CHAIN",
            INSERT,
            "ROLLBACK AND CHAIN",
            COUNT,
            "COMMIT",
        ]),
        Talk::new("savepoints").changes().queries(&[
            "BEGIN",
            INSERT,
            "SAVEPOINT a",
            "DELETE FROM items",
            COUNT,
            "ROLLBACK TO SAVEPOINT a",
            COUNT,
            "SAVEPOINT b",
            "RELEASE a",
            "ROLLBACK TO b",
            "ROLLBACK",
        ]),
        Talk::new("a transaction at the session's default")
            .startup("default_transaction_read_only", "on")
            .changes()
            .queries(&["BEGIN", COUNT, INSERT, "ROLLBACK", "BEGIN READ WRITE", INSERT, "COMMIT", INSERT]),
        Talk::new("two-phase commit").changes().queries(&[
            "BEGIN",
            INSERT,
            "PREPARE TRANSACTION 'weir'",
            "SELECT 1",
            "COMMIT PREPARED 'weir'",
            COUNT,
        ]),
        Talk::new("locks").queries(&[
            "LOCK TABLE items",
            "BEGIN",
            "LOCK TABLE items",
            "SELECT id FROM items WHERE id = 1 FOR SHARE",
            "COMMIT",
        ]),
        Talk::new("a transaction with comments and in odd case").queries(&[
            "/* x */ bEgIn -- y",
            COUNT,
            "-- z\nCOMMIT;",
        ]),
    ]
}

fn failing() -> Vec<Talk> {
    vec![
        Talk::new("a failed transaction answers 25P02 until its end").queries(&[
            "BEGIN",
            "no sql",
            "SELECT 1",
            "SAVEPOINT a",
            "BEGIN",
            "COMMIT",
            "SELECT 2",
        ]),
        Talk::new("a failed transaction rolled back").changes().queries(&[
            "BEGIN",
            INSERT,
            "SELECT 1/0",
            "ROLLBACK",
            COUNT,
        ]),
        Talk::new("a failed transaction saved").changes().queries(&[
            "BEGIN",
            INSERT,
            "SAVEPOINT a",
            "SELECT 1/0",
            "SELECT 1",
            "ROLLBACK TO a",
            COUNT,
            "COMMIT",
            COUNT,
        ]),
        Talk::new("a failed transaction chained").queries(&[
            "BEGIN",
            "SELECT 1/0",
            "COMMIT AND CHAIN",
            "SELECT 1",
            "COMMIT",
        ]),
        Talk::new("empty queries in a failed transaction").queries(&[
            "BEGIN",
            "SELECT 1/0",
            "",
            ";",
            "ROLLBACK",
        ]),
        Talk::new("an error at the commit").changes().queries(&[
            "CREATE TABLE play.d (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)",
            "BEGIN",
            "INSERT INTO play.d VALUES (1), (1)",
            "COMMIT",
            "SELECT count(*) FROM play.d",
        ]),
        Talk::new("a rollback to a savepoint that is not there").queries(&[
            "BEGIN",
            "ROLLBACK TO nowhere",
            "ROLLBACK",
        ]),
        Talk::new("a failed read only transaction").queries(&[
            "BEGIN READ ONLY",
            "SELECT 1/0",
            COUNT,
            "COMMIT",
            COUNT,
        ]),
        Talk::new("statements sent ahead of a failure").ask(&[
            query("BEGIN"),
            query("SELECT 1/0"),
            query(COUNT),
            query("COMMIT"),
            query(COUNT),
        ]),
    ]
}

fn extended() -> Vec<Talk> {
    let run = |sql: &str| vec![parse("", sql, &[]), bind("", "", &[]), execute("", 0)];
    let sql = |sql: &str| [run(sql), vec![sync()]].concat();
    vec![
        Talk::new("a transaction by the extended protocol")
            .changes()
            .ask(&sql("BEGIN"))
            .ask(&sql(COUNT))
            .ask(&sql(INSERT))
            .ask(&sql(COUNT))
            .ask(&sql("COMMIT"))
            .ask(&sql(COUNT)),
        Talk::new("a failed transaction by the extended protocol")
            .ask(&sql("BEGIN"))
            .ask(&sql("SELECT 1/0"))
            .ask(&sql(COUNT))
            .ask(&sql("COMMIT"))
            .ask(&sql(COUNT)),
        Talk::new("a transaction sent ahead")
            .changes()
            .ask(&[sql("BEGIN"), sql(INSERT), sql(COUNT), sql("COMMIT")].concat())
            .ask(&sql(COUNT)),
        Talk::new("a failing transaction sent ahead").changes().ask(
            &[sql("BEGIN"), sql(INSERT), sql("SELECT 1/0"), sql(COUNT), sql("ROLLBACK"), sql(COUNT)].concat(),
        ),
        Talk::new("begin by a simple query, work by prepared statements, as SQLAlchemy does")
            .changes()
            .queries(&["BEGIN;"])
            .say(
                &[parse("r", "SELECT name FROM items WHERE id = $1", &[]), describe_statement("r"), flush()],
                crate::talk::Hear::UpTo(b'T'),
            )
            .batch(&[bind("", "r", &[text("1")]), execute("", 0)])
            .say(&[parse("w", INSERT, &[]), describe_statement("w"), flush()], crate::talk::Hear::UpTo(b'n'))
            .batch(&[bind("", "w", &[]), execute("", 0)])
            .queries(&["COMMIT;"])
            .batch(&[bind("", "r", &[text("2")]), execute("", 0)])
            .queries(&["ROLLBACK;"]),
        Talk::new("begin as a prepared statement")
            .batch(&[parse("b", "BEGIN", &[]), parse("c", "COMMIT", &[]), parse("r", COUNT, &[])])
            .batch(&[bind("", "b", &[]), execute("", 0)])
            .batch(&[bind("", "r", &[]), execute("", 0)])
            .batch(&[bind("", "c", &[]), execute("", 0)])
            .batch(&[bind("", "r", &[]), execute("", 0)]),
    ]
}
