//! Every way to write.

use harness::client::front;
use harness::{Postgres, Result};

use crate::case::{Case, Say, play};

/// Messages that run a statement by the extended protocol, without the Sync.
fn run(sql: &str) -> Vec<Vec<u8>> {
    vec![front::parse("", sql, &[]), front::bind("", "", &[]), front::execute("", 0)]
}

fn synced(statements: &[&str]) -> Vec<Vec<u8>> {
    let mut frames: Vec<_> = statements.iter().flat_map(|sql| run(sql)).collect();
    frames.push(front::sync());
    frames
}

fn queries(statements: &[&str]) -> Vec<Vec<u8>> {
    statements.iter().map(front::query).collect()
}

#[test]
fn statements_that_write() -> Result<()> {
    play(&[
        Case::new(
            "update",
            "CREATE TABLE updated (v int); INSERT INTO updated VALUES (0)",
            "SELECT v FROM updated",
        )
        .queries(&["UPDATE updated SET v = 1"]),
        Case::new("insert", "CREATE TABLE inserted (v int)", "SELECT count(*) FROM inserted")
            .queries(&["INSERT INTO inserted VALUES (0)"]),
        Case::new(
            "delete",
            "CREATE TABLE deleted (v int); INSERT INTO deleted VALUES (0)",
            "SELECT count(*) FROM deleted",
        )
        .queries(&["DELETE FROM deleted"])
        .turns("1", "0"),
        Case::new(
            "upsert",
            "CREATE TABLE upserted (id int PRIMARY KEY, v int); INSERT INTO upserted VALUES (1, 0)",
            "SELECT v FROM upserted",
        )
        .queries(&["INSERT INTO upserted VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET v = excluded.v"]),
        Case::new(
            "truncate",
            "CREATE TABLE truncated (v int); INSERT INTO truncated VALUES (0)",
            "SELECT count(*) FROM truncated",
        )
        .queries(&["TRUNCATE truncated"])
        .turns("1", "0"),
        Case::new("copy", "CREATE TABLE copied (v int)", "SELECT count(*) FROM copied")
            .say(Say::Copy("COPY copied FROM STDIN", "0")),
        Case::new(
            "cte",
            "CREATE TABLE in_cte (v int); INSERT INTO in_cte VALUES (0)",
            "SELECT v FROM in_cte",
        )
        .queries(&["WITH w AS (UPDATE in_cte SET v = 1 RETURNING v) SELECT v FROM w"]),
        Case::new(
            "copy from a write",
            "CREATE TABLE copied_out (v int); INSERT INTO copied_out VALUES (0)",
            "SELECT v FROM copied_out",
        )
        .queries(&["COPY (UPDATE copied_out SET v = 1 RETURNING v) TO STDOUT"]),
        Case::new(
            "explain analyze",
            "CREATE TABLE explained (v int); INSERT INTO explained VALUES (0)",
            "SELECT v FROM explained",
        )
        .queries(&["EXPLAIN ANALYZE UPDATE explained SET v = 1"]),
        Case::new(
            "select into",
            "CREATE TABLE selected_into AS SELECT 0 AS v",
            "SELECT v FROM selected_into",
        )
        .queries(&["DROP TABLE selected_into; SELECT 1 AS v INTO selected_into"]),
        Case::new("create table as", "CREATE TABLE created AS SELECT 0 AS v", "SELECT v FROM created")
            .queries(&["BEGIN", "DROP TABLE created", "CREATE TABLE created AS SELECT 1 AS v", "COMMIT"]),
        Case::new(
            "quoted names",
            "CREATE TABLE \"Quoted \"\"Name\" (v int); INSERT INTO \"Quoted \"\"Name\" VALUES (0)",
            "SELECT v FROM \"Quoted \"\"Name\"",
        )
        .queries(&["UPDATE public.\"Quoted \"\"Name\" SET v = 1"]),
        Case::new("ddl", "CREATE TABLE altered AS SELECT 0 AS v", "SELECT v FROM altered")
            .queries(&["ALTER TABLE altered ALTER v TYPE text USING '1'"]),
        Case::new("view ddl", "CREATE VIEW replaced AS SELECT 0 AS v", "SELECT v FROM replaced")
            .queries(&["CREATE OR REPLACE VIEW replaced AS SELECT 1 AS v"])
            .defines(),
    ])
}

#[test]
fn protocols_and_transactions_that_write() -> Result<()> {
    play(&[
        Case::new("extended", "CREATE TABLE extended AS SELECT 0 AS v", "SELECT v FROM extended")
            .say(Say::Ask(synced(&["UPDATE extended SET v = 1"]))),
        Case::new("prepared", "CREATE TABLE prepared AS SELECT 0 AS v", "SELECT v FROM prepared")
            .say(Say::Ask(vec![front::parse("w", "UPDATE prepared SET v = $1", &[]), front::sync()]))
            .say(Say::Ask(vec![front::bind("", "w", &[Some(b"1")]), front::execute("", 0), front::sync()])),
        Case::new(
            "prepared by SQL",
            "CREATE TABLE prepared_sql AS SELECT 0 AS v",
            "SELECT v FROM prepared_sql",
        )
        .queries(&["PREPARE w AS UPDATE prepared_sql SET v = $1", "EXECUTE w(1)", "DEALLOCATE w"]),
        Case::new(
            "transaction",
            "CREATE TABLE in_tx AS SELECT 0 AS v; CREATE TABLE in_tx_2 AS SELECT 0 AS v",
            "SELECT a.v * b.v FROM in_tx a, in_tx_2 b",
        )
        .queries(&["BEGIN", "UPDATE in_tx SET v = 1", "UPDATE in_tx_2 SET v = 1", "COMMIT"]),
        Case::new("and chain", "CREATE TABLE chained AS SELECT 0 AS v", "SELECT v FROM chained").queries(&[
            "BEGIN",
            "UPDATE chained SET v = 1",
            "COMMIT AND CHAIN",
            "ROLLBACK",
        ]),
        Case::new("savepoint", "CREATE TABLE saved AS SELECT 0 AS v", "SELECT v FROM saved").queries(&[
            "BEGIN",
            "UPDATE saved SET v = 1",
            "SAVEPOINT s",
            "UPDATE saved SET v = 2",
            "ROLLBACK TO s",
            "END",
        ]),
        Case::new("pipeline", "CREATE TABLE pipelined AS SELECT 0 AS v", "SELECT v FROM pipelined")
            .say(Say::Ask(queries(&["BEGIN", "UPDATE pipelined SET v = 1", "COMMIT"]))),
        Case::new(
            "extended pipeline",
            "CREATE TABLE pipelined_2 AS SELECT 0 AS v",
            "SELECT v FROM pipelined_2",
        )
        .say(Say::Ask(synced(&["BEGIN", "UPDATE pipelined_2 SET v = 1", "COMMIT"]))),
        Case::new(
            "implicit transaction",
            "CREATE TABLE implicit AS SELECT 0 AS v; CREATE TABLE implicit_2 AS SELECT 0 AS v",
            "SELECT a.v * b.v FROM implicit a, implicit_2 b",
        )
        .say(Say::Ask(synced(&[
            "UPDATE implicit SET v = 1",
            "SELECT 1",
            "UPDATE implicit_2 SET v = 1",
        ]))),
        Case::new("several in a string", "CREATE TABLE strung AS SELECT 0 AS v", "SELECT v FROM strung")
            .queries(&["SELECT 1; UPDATE strung SET v = 1; SELECT 2"]),
        Case::new(
            "committed in a string that fails",
            "CREATE TABLE strung_2 AS SELECT 0 AS v",
            "SELECT v FROM strung_2",
        )
        .say(Say::Fail(queries(&["BEGIN; UPDATE strung_2 SET v = 1; COMMIT; SELECT 1/0"]))),
        Case::new(
            "committed in a pipeline that fails",
            "CREATE TABLE pipelined_3 AS SELECT 0 AS v",
            "SELECT v FROM pipelined_3",
        )
        .say(Say::Fail([synced(&["UPDATE pipelined_3 SET v = 1"]), synced(&["SELECT 1/0"])].concat())),
        Case::new(
            "committed in a batch that fails",
            "CREATE TABLE batched AS SELECT 0 AS v",
            "SELECT v FROM batched",
        )
        .say(Say::Fail(synced(&["BEGIN", "UPDATE batched SET v = 1", "COMMIT", "SELECT 1/0"]))),
        Case::new("two phases", "CREATE TABLE phased AS SELECT 0 AS v", "SELECT v FROM phased").queries(&[
            "BEGIN",
            "UPDATE phased SET v = 1",
            "PREPARE TRANSACTION 'phased'",
            "COMMIT PREPARED 'phased'",
        ]),
    ])
}

#[test]
fn merge_writes() -> Result<()> {
    if Postgres::locate()?.major() < 15 {
        println!("skipped: MERGE came with PostgreSQL 15");
        return Ok(());
    }
    play(&[Case::new("merge", "CREATE TABLE merged AS SELECT 0 AS v", "SELECT v FROM merged").queries(&[
        "MERGE INTO merged AS m USING (SELECT 0 AS v) AS s ON m.v = s.v WHEN MATCHED THEN UPDATE SET v = 1",
    ])])
}
