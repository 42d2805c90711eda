//! Transactions that failed on a read: nothing of them is on a server yet, and still everything must answer as if.

use harness::client::front::*;

use crate::talk::{Talk, again, in_all_forms, run, text};

use super::{COUNT, INSERT, ONE};

pub(crate) fn talks() -> Vec<Talk> {
    let mut talks: Vec<Talk> = [simple(), healed()].concat().iter().flat_map(in_all_forms).collect();
    talks.extend(messages());
    talks
}

/// A transaction whose read fails, then all that can be said.
fn after(name: &str, failing: &str) -> Talk {
    Talk::new(format!("lazy: {name}, and all that can be said behind it")).queries(&[
        "BEGIN",
        COUNT,
        failing,
        COUNT,
        "SELEC 1",
        "SELECT 1 +",
        INSERT,
        "SAVEPOINT a",
        "RELEASE a",
        "BEGIN",
        "SET LOCAL work_mem = '5MB'",
        "SHOW work_mem",
        "SELECT set_config('my.word', 'x', true)",
        "DECLARE c CURSOR FOR SELECT 1",
        "FETCH c",
        "CLOSE ALL",
        "PREPARE q AS SELECT 1",
        "SET TRANSACTION READ ONLY",
        "LOCK TABLE items",
        "LISTEN here",
        "COPY items TO STDOUT",
        "",
        "COMMIT",
        ONE,
    ])
}

fn simple() -> Vec<Talk> {
    vec![
        after("a division by zero", "SELECT 1/0"),
        after("an unknown column", "SELECT no_such FROM items"),
        after("an unknown table", "SELECT * FROM no_such"),
        after("a syntax error", "SELEC 1"),
        after("an error amid rows", "SELECT 10 / (3 - id) FROM items ORDER BY id"),
        after("a wrong value", "SELECT 'x'::int"),
        after("an unknown function", "SELECT no_such(1)"),
        after("no right to it", "SELECT count(*) FROM pg_authid"),
        Talk::new("lazy: failed, then a rollback to nowhere").queries(&[
            "BEGIN",
            "SELECT 1/0",
            "ROLLBACK TO nowhere",
            COUNT,
            "ROLLBACK TO SAVEPOINT \"Nowhere\"",
            "ROLLBACK",
            ONE,
        ]),
        Talk::new("lazy: failed first, and every word that ends it").queries(&[
            "BEGIN",
            "SELECT 1/0",
            "COMMIT",
            "BEGIN",
            "SELECT 1/0",
            "ROLLBACK",
            "BEGIN",
            "SELECT 1/0",
            "END",
            "BEGIN",
            "SELECT 1/0",
            "ABORT",
            "BEGIN",
            "SELECT 1/0",
            "COMMIT AND NO CHAIN",
            "BEGIN",
            "SELECT 1/0",
            "COMMIT WORK",
            ONE,
        ]),
        Talk::new("lazy: failed and chained: modes go with what failed, unless a savepoint failed").queries(
            &[
                "BEGIN ISOLATION LEVEL SERIALIZABLE",
                "SELECT 1/0",
                "ROLLBACK AND CHAIN",
                "SHOW transaction_isolation",
                "SELECT no_such",
                "COMMIT AND CHAIN",
                "SHOW transaction_isolation",
                "COMMIT",
                "BEGIN ISOLATION LEVEL REPEATABLE READ",
                "SAVEPOINT a",
                "SELECT 1/0",
                "ROLLBACK AND CHAIN",
                "SHOW transaction_isolation",
                "ROLLBACK",
                "BEGIN",
                "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
                COUNT,
                "SELECT 1/0",
                "COMMIT AND CHAIN",
                "SHOW transaction_isolation",
                "COMMIT",
                "BEGIN",
                "SET TRANSACTION READ ONLY",
                "SELECT 1/0",
                "COMMIT AND CHAIN",
                "SHOW transaction_read_only",
                "COMMIT",
            ],
        ),
        Talk::new("lazy: failed, and prepared for two phases").queries(&[
            "BEGIN",
            "SELECT 1/0",
            "PREPARE TRANSACTION 'lazy failed'",
            ONE,
            "ROLLBACK PREPARED 'lazy failed'",
        ]),
        Talk::new("lazy: failed by a write, behind reads").changes().queries(&[
            "BEGIN",
            COUNT,
            "INSERT INTO items VALUES (1, 'taken')",
            COUNT,
            "COMMIT",
            "BEGIN",
            COUNT,
            "INSERT INTO items VALUES (100, 'x', -1)",
            "SELEC",
            "ROLLBACK",
            COUNT,
        ]),
        Talk::new("lazy: failed without a read, by what cannot be in a transaction").queries(&[
            "BEGIN",
            "VACUUM",
            COUNT,
            "ROLLBACK",
            "BEGIN",
            "CREATE DATABASE nothing",
            "COMMIT",
            "BEGIN",
            "DISCARD ALL",
            "END",
            "BEGIN",
            "COMMIT PREPARED 'nothing'",
            "COMMIT",
            "BEGIN",
            "ALTER SYSTEM SET work_mem = '5MB'",
            "COMMIT",
        ]),
        Talk::new("lazy: goes on behind a failure without a rollback, for ever").queries(&[
            "BEGIN",
            "SELECT 1/0",
            COUNT,
            COUNT,
            COUNT,
            "BEGIN",
            COUNT,
            "SELECT 1/0",
            ONE,
            "COMMIT",
            "COMMIT",
            COUNT,
        ]),
        Talk::new("lazy: a transaction behind a failed one").changes().queries(&[
            "BEGIN",
            "SELECT 1/0",
            "ROLLBACK",
            "BEGIN",
            COUNT,
            INSERT,
            "SELECT 1/0",
            "ROLLBACK",
            "BEGIN",
            COUNT,
            "COMMIT",
        ]),
    ]
}

fn healed() -> Vec<Talk> {
    vec![
        Talk::new("lazy: a failed read healed by a savepoint").queries(&[
            "BEGIN",
            "SAVEPOINT a",
            "SELECT 1/0",
            COUNT,
            "SAVEPOINT b",
            "ROLLBACK TO a",
            COUNT,
            "SELECT no_such",
            "ROLLBACK TO a",
            "RELEASE a",
            COUNT,
            "COMMIT",
            ONE,
        ]),
        Talk::new("lazy: healed, then upgraded").changes().queries(&[
            "BEGIN",
            COUNT,
            "SAVEPOINT a",
            "SELECT 1/0",
            "ROLLBACK TO a",
            INSERT,
            COUNT,
            "ROLLBACK TO a",
            COUNT,
            INSERT,
            "COMMIT",
            COUNT,
        ]),
        Talk::new("lazy: failed in an inner savepoint, rolled back to the outer one").changes().queries(&[
            "BEGIN",
            "SAVEPOINT outer",
            COUNT,
            "SAVEPOINT inner",
            "SELECT 1/0",
            "ROLLBACK TO outer",
            COUNT,
            "ROLLBACK TO inner",
            "ROLLBACK TO outer",
            INSERT,
            "RELEASE outer",
            "COMMIT",
            COUNT,
        ]),
        Talk::new("lazy: failed, healed and failed again at the end").queries(&[
            "BEGIN",
            "SAVEPOINT a",
            "SELECT 1/0",
            "ROLLBACK TO a",
            "SELECT 1/0",
            "RELEASE a",
            "COMMIT",
            "ROLLBACK TO a",
        ]),
        Talk::new("lazy: Django's way, a savepoint for each block").changes().queries(&[
            "BEGIN",
            "SAVEPOINT \"s140_x1\"",
            COUNT,
            "RELEASE SAVEPOINT \"s140_x1\"",
            "SAVEPOINT \"s140_x2\"",
            "SELECT 1/0",
            "ROLLBACK TO SAVEPOINT \"s140_x2\"",
            "RELEASE SAVEPOINT \"s140_x2\"",
            "SAVEPOINT \"s140_x3\"",
            INSERT,
            "RELEASE SAVEPOINT \"s140_x3\"",
            COUNT,
            "COMMIT",
        ]),
    ]
}

/// What the extended protocol's messages say in a failed transaction.
fn messages() -> Vec<Talk> {
    vec![
        Talk::new("lazy: a bind that fails fails the transaction")
            .batch(&[parse("p", "SELECT $1::int", &[])])
            .queries(&["BEGIN"])
            .batch(&again("p", &[text("x")]))
            .batch(&again("p", &[text("1")]))
            .queries(&["ROLLBACK", "BEGIN"])
            .batch(&again("p", &[]))
            .queries(&[COUNT, "COMMIT", "BEGIN"])
            .batch(&[parse("", "SELECT $1::no_such", &[])])
            .queries(&[COUNT, "COMMIT"])
            .batch(&again("p", &[text("3")])),
        Talk::new("lazy: a parse that fails behind a begin of its batch")
            .batch(&[run("BEGIN"), vec![parse("", "SELEC", &[])], run(COUNT)].concat())
            .batch(&run(COUNT))
            .batch(&run("SELEC"))
            .batch(&run("COMMIT"))
            .batch(
                &[run("BEGIN"), run(COUNT), vec![parse("", "SELECT no_such", &[])], run("COMMIT")].concat(),
            )
            .batch(&run("ROLLBACK")),
        Talk::new("lazy: a failure, the rollback and the next transaction in one batch")
            .batch(&[run("BEGIN"), run("SELECT 1/0"), run("ROLLBACK"), run("BEGIN"), run(COUNT)].concat())
            .batch(&[run("ROLLBACK"), run("BEGIN"), run(COUNT)].concat())
            .batch(&[run("COMMIT"), run(COUNT)].concat()),
        Talk::new("lazy: a rollback to a savepoint in the batch of what it heals")
            .batch(&[run("BEGIN"), run("SAVEPOINT a"), run(COUNT)].concat())
            .batch(&[run("SELECT 1/0"), run("ROLLBACK TO a")].concat())
            .batch(&[run("ROLLBACK TO a"), run(COUNT), run("RELEASE a"), run("COMMIT")].concat()),
        Talk::new("lazy: a function call and a copy in a failed transaction")
            .queries(&["BEGIN", "SELECT 1/0"])
            .ask(&[function_call(177, &[text("1"), text("2")])])
            .queries(&["COPY items FROM STDIN", "COPY (SELECT 1) TO STDOUT", "ROLLBACK"])
            .ask(&[function_call(177, &[text("1"), text("2")])]),
        Talk::new("lazy: a function call that fails a transaction")
            .queries(&["BEGIN", COUNT])
            .ask(&[function_call(177, &[text("1"), text("2")])])
            .ask(&[function_call(177, &[text("x"), text("2")])])
            .ask(&[function_call(177, &[text("1"), text("2")])])
            .queries(&["COMMIT", "BEGIN"])
            .ask(&[function_call(4_000_000_000, &[])])
            .queries(&[COUNT, "ROLLBACK"]),
    ]
}
