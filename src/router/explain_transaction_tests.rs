//! Whole transactions, statement by statement: what follows ` -> ` is where each one goes, and why.

use std::time::{Duration, Instant};

use super::*;
use crate::router::{FunctionLists, Learned, Transaction};
use crate::sql::{Classifier, split_with_comments};

/// The same session and world for all, but for where transactions run and whether a replica is up.
fn explained(sql: &str, begins: BeginsWhere, replicas: Replicas) -> String {
    let (learned, functions) = (Learned::new(1, Duration::ZERO), FunctionLists::default());
    let world = World {
        replicas,
        catalog: None,
        learned: &learned,
        rules: &[],
        functions: &functions,
        now: Instant::now(),
    };
    let session = SessionView {
        transaction: Transaction::None,
        pin: None,
        target: None,
        user: "",
        database: "",
        application_name: "",
        defaults: Modes::default(),
    };
    let on = StandardConformingStrings::On;
    let classifier = Classifier::new(10);
    let texts = split_with_comments(sql.as_bytes(), on).unwrap();
    let statements: Vec<_> = texts.iter().map(|&text| (classifier.classify(text, on), text)).collect();
    explain_transaction(&statements, session, &world, begins)
}

fn lazily(sql: &str) -> String {
    explained(sql, BeginsWhere::default(), Replicas::Usable)
}

/// `place reason` of each statement, and how each transaction ran.
fn routes(text: &str) -> Vec<String> {
    let words =
        |line: &str| line.split("  ").map(str::trim).filter(|w| !w.is_empty()).map(str::to_owned).collect();
    let (table, transactions) = text.split_once("\n\n").unwrap();
    let rows = table.lines().skip(1).map(|line| {
        let words: Vec<String> = words(line);
        format!("{}: {}", words[1], words[2])
    });
    rows.chain(transactions.lines().map(str::to_owned)).collect()
}

fn check(script: &[(&str, &str)], ends: &[&str]) {
    let sql: Vec<&str> = script.iter().map(|(sql, _)| *sql).collect();
    let expected: Vec<&str> = script.iter().map(|(_, route)| *route).chain(ends.iter().copied()).collect();
    assert_eq!(routes(&lazily(&sql.join(";\n"))), expected, "{sql:?}");
}

const BEGIN: (&str, &str) = ("BEGIN", "weir: lazy_control");
const COMMIT: (&str, &str) = ("COMMIT", "weir: lazy_control");
const READ: (&str, &str) = ("SELECT * FROM t", "replica, alone: lazy_read");
const WRITE: (&str, &str) = ("UPDATE t SET a = 1", "primary, upgrade: write");
const MORE: (&str, &str) = ("SELECT * FROM t", "primary, in transaction: in_transaction");
const DONE: (&str, &str) = ("COMMIT", "primary, in transaction: in_transaction");
const STAYS: &str = "replica, in transaction: in_transaction";
const STATE: &str = "replica, in transaction: lazy_state";

#[test]
fn it_says_where_each_statement_goes() {
    let text = lazily(
        "BEGIN;\nSELECT *\n  FROM t;\n/* weir: consistency=session */ SELECT now();\nUPDATE t SET a = 1;\nCOMMIT;\nSELECT 1",
    );
    let expected = "\
#  where                    reason          statement
1  weir                     lazy_control    BEGIN
2  replica, alone           lazy_read       SELECT * ...
3  replica, in transaction  lazy_state      SELECT now()
4  primary, upgrade         write           UPDATE t SET a = 1
5  primary, in transaction  in_transaction  COMMIT
6  replica                  read            SELECT 1

transaction 1-5: upgraded, write
";
    assert_eq!(text, expected);
}

#[test]
fn a_transaction_that_only_reads_has_no_connection() {
    check(&[BEGIN, READ, READ, COMMIT], &["transaction 1-4: none"]);
    check(
        &[("BEGIN READ ONLY", "weir: lazy_control"), READ, ("ROLLBACK", "weir: lazy_control")],
        &["transaction 1-3: none"],
    );
    let savepoints = [
        BEGIN,
        ("SAVEPOINT a", "weir: lazy_control"),
        READ,
        ("ROLLBACK TO a", "weir: lazy_control"),
        ("RELEASE a", "weir: lazy_control"),
        ("COMMIT AND CHAIN", "weir: lazy_control"),
        ("SET TRANSACTION READ ONLY", "weir: lazy_control"),
        COMMIT,
    ];
    check(&savepoints, &["transaction 1-6: none", "transaction 6-8: none"]);
    check(&[BEGIN, READ], &["transaction 1-: none, not ended"]);
}

#[test]
fn what_needs_the_transaction_opens_it_on_a_replica() {
    for sql in ["SET LOCAL work_mem = '1MB'", "SET timezone = 'UTC'", "SELECT set_config('a.b', 'c', true)"] {
        check(&[BEGIN, (sql, STATE), (READ.0, STAYS), (COMMIT.0, STAYS)], &["transaction 1-4: replica"]);
    }
    check(
        &[BEGIN, ("SELECT now()", STATE), (READ.0, STAYS), WRITE, DONE],
        &["transaction 1-5: upgraded, write"],
    );
    check(
        &[
            ("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "weir: lazy_control"),
            (READ.0, "replica, in transaction: begin_read_only"),
            (WRITE.0, STAYS),
        ],
        &["transaction 1-: replica, not ended"],
    );
}

#[test]
fn what_is_open_on_a_replica_is_asked_for_there() {
    let script = [
        BEGIN,
        ("DECLARE c CURSOR FOR SELECT * FROM t", STATE),
        ("FETCH c", STAYS),
        WRITE,
        ("FETCH c", STAYS),
        MORE,
        ("CLOSE c", STAYS),
        ("FETCH c", "primary, in transaction: in_transaction"),
        DONE,
    ];
    check(&script, &["transaction 1-9: upgraded, write"]);
    check(
        &[BEGIN, READ, ("FETCH c", "primary, upgrade: cursor")],
        &["transaction 1-: upgraded, cursor, not ended"],
    );
}

#[test]
fn what_may_write_begins_on_the_primary() {
    let first = ("UPDATE t SET a = 1", "primary, in transaction: write");
    check(&[BEGIN, first, MORE, DONE], &["transaction 1-4: primary, write"]);
    let serializable = ("BEGIN ISOLATION LEVEL SERIALIZABLE", "weir: lazy_control");
    check(
        &[serializable, ("SELECT 1", "primary, in transaction: serializable"), DONE],
        &["transaction 1-3: primary, serializable"],
    );
    check(
        &[BEGIN, READ, ("SELECT f()", "primary, upgrade: unknown_function"), DONE],
        &["transaction 1-4: upgraded, unknown_function"],
    );
    check(
        &[BEGIN, READ, ("SET TRANSACTION READ ONLY", "primary, upgrade: transaction_control"), DONE],
        &["transaction 1-4: upgraded, transaction_control"],
    );
    check(
        &[BEGIN, READ, ("/* weir: primary */ SELECT 1", "primary, upgrade: hint_primary"), DONE],
        &["transaction 1-4: upgraded, hint_primary"],
    );
}

#[test]
fn where_transactions_run_is_said_in_several_places() {
    let begins = ("SELECT * FROM t", "primary, in transaction: begin");
    check(
        &[("/* weir: transactions=primary */ BEGIN", "weir: lazy_control"), begins, DONE],
        &["transaction 1-3: primary, begin"],
    );
    check(
        &[("SET weir.transactions = 'primary'", "primary: setting"), BEGIN, begins, DONE],
        &["transaction 2-4: primary, begin"],
    );
    let sql = "BEGIN; SELECT 1; COMMIT";
    let primary = BeginsWhere { nearest: None, otherwise: Transactions::Primary };
    let ran = ["weir: lazy_control", begins.1, DONE.1, "transaction 1-3: primary, begin"];
    assert_eq!(routes(&explained(sql, primary, Replicas::Usable)), ran);
    let lazy = BeginsWhere { nearest: Some(Transactions::Lazy), ..primary };
    let ran = ["weir: lazy_control", READ.1, COMMIT.1, "transaction 1-3: none"];
    assert_eq!(routes(&explained(sql, lazy, Replicas::Usable)), ran);
    let ran = ["weir: lazy_control", "primary, alone: no_replica", COMMIT.1, "transaction 1-3: none"];
    assert_eq!(routes(&explained(sql, lazy, Replicas::None)), ran);
}

#[test]
fn settings_follow_their_transaction() {
    let set = |sql| (sql, STATE);
    let wanted = "primary, upgrade: set_target";
    check(
        &[
            BEGIN,
            set("SET weir.target = 'primary'"),
            ("SELECT 1", wanted),
            ("ROLLBACK", MORE.1),
            ("SELECT 1", "replica: read"),
        ],
        &["transaction 1-4: upgraded, set_target"],
    );
    check(
        &[
            BEGIN,
            set("SET LOCAL weir.target = 'primary'"),
            ("SELECT 1", wanted),
            DONE,
            ("SELECT 1", "replica: read"),
        ],
        &["transaction 1-4: upgraded, set_target"],
    );
    check(
        &[
            ("SET weir.target = 'primary'", "primary: setting"),
            ("SELECT 1", "primary: set_target"),
            ("RESET ALL", "primary: set_target"),
            ("SELECT 1", "replica: read"),
        ],
        &[],
    );
    check(
        &[
            ("CREATE TEMP TABLE x (a int)", "primary: temporary"),
            ("BEGIN", "primary, in transaction: pinned"),
            MORE,
            DONE,
        ],
        &["transaction 2-4: primary, pinned"],
    );
}
