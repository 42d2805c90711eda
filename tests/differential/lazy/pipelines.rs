//! Many requests before any answer is read, with whole transactions among them.

use harness::client::front::*;

use crate::talk::{Hear, Talk, again, run, text};

use super::{COUNT, INSERT, ONE};

pub(crate) fn talks() -> Vec<Talk> {
    [simple(), batches(), flushed(), mixed()].concat()
}

/// Every statement a batch with a Sync of its own.
fn synced(statements: &[&str]) -> Vec<Vec<u8>> {
    statements.iter().flat_map(|sql| [run(sql), vec![sync()]].concat()).collect()
}

fn queries(statements: &[&str]) -> Vec<Vec<u8>> {
    statements.iter().map(query).collect()
}

fn simple() -> Vec<Talk> {
    vec![
        Talk::new("lazy: two transactions behind each other, sent at once")
            .changes()
            .ask(&queries(&["BEGIN", COUNT, "COMMIT", "BEGIN", COUNT, INSERT, COUNT, "COMMIT", COUNT]))
            .ask(&queries(&[
                "BEGIN",
                "DELETE FROM items WHERE id = 100",
                "ROLLBACK",
                "BEGIN",
                COUNT,
                "ROLLBACK",
            ])),
        Talk::new("lazy: a write behind reads, all sent at once, the end later")
            .changes()
            .ask(&queries(&["BEGIN", COUNT, ONE, INSERT]))
            .queries(&[COUNT, "COMMIT", COUNT]),
        Talk::new("lazy: begin sent ahead of nothing, the rest later")
            .changes()
            .ask(&queries(&["BEGIN", COUNT]))
            .ask(&queries(&[ONE, INSERT]))
            .ask(&queries(&[COUNT, "COMMIT", COUNT])),
        Talk::new("lazy: a failure amid a pipeline, and its end in the same")
            .changes()
            .ask(&queries(&["BEGIN", COUNT, "SELECT 1/0", INSERT, "COMMIT", COUNT, "BEGIN", ONE, "COMMIT"]))
            .ask(&queries(&[
                "BEGIN",
                "SAVEPOINT a",
                "SELECT 1/0",
                "ROLLBACK TO a",
                COUNT,
                INSERT,
                "COMMIT",
                COUNT,
            ])),
        Talk::new("lazy: fifty transactions at once")
            .changes()
            .ask(
                &(0..50)
                    .flat_map(|n| {
                        let middle = match n % 5 {
                            1 => "UPDATE items SET price = price + 1 WHERE id = 1",
                            3 => "SELECT 1/0",
                            _ => ONE,
                        };
                        queries(&["BEGIN", COUNT, middle, if n % 3 == 0 { "ROLLBACK" } else { "COMMIT" }])
                    })
                    .collect::<Vec<_>>(),
            )
            .queries(&["SELECT price FROM items WHERE id = 1"]),
    ]
}

fn batches() -> Vec<Talk> {
    vec![
        Talk::new("lazy: a transaction of batches, sent at once")
            .ask(&synced(&["BEGIN", COUNT, ONE, "COMMIT", ONE]))
            .ask(&synced(&["BEGIN", COUNT, "ROLLBACK", "BEGIN", ONE, "COMMIT"])),
        Talk::new("lazy: a transaction of batches with a write behind the reads, sent at once")
            .changes()
            .ask(&synced(&["BEGIN", COUNT, ONE, INSERT, COUNT, "COMMIT", COUNT]))
            .ask(&synced(&["BEGIN", COUNT, "DELETE FROM items WHERE id = 100", "ROLLBACK", COUNT])),
        Talk::new("lazy: a failure amid batches, sent at once")
            .changes()
            .ask(&synced(&["BEGIN", COUNT, "SELECT 1/0", COUNT, "SELEC", "COMMIT", COUNT]))
            .ask(&synced(&[
                "BEGIN",
                "SAVEPOINT a",
                "SELECT no_such",
                "ROLLBACK TO a",
                INSERT,
                "RELEASE a",
                "COMMIT",
                COUNT,
            ])),
        Talk::new("lazy: one batch of many statements")
            .changes()
            .batch(&["BEGIN", COUNT, ONE, COUNT, "SAVEPOINT a", ONE, "RELEASE a", "COMMIT"].map(run).concat())
            .batch(
                &["BEGIN", COUNT, "SAVEPOINT a", INSERT, COUNT, "ROLLBACK TO a", COUNT, "COMMIT", COUNT]
                    .map(run)
                    .concat(),
            )
            .batch(
                &["BEGIN", COUNT, "SET LOCAL work_mem = '5MB'", "SHOW work_mem", INSERT, "SHOW work_mem"]
                    .map(run)
                    .concat(),
            )
            .batch(&["ROLLBACK", "SHOW work_mem", COUNT].map(run).concat()),
        Talk::new("lazy: named statements, whole transactions of them, sent at once")
            .changes()
            .batch(&[
                parse("b", "BEGIN", &[]),
                parse("c", "COMMIT", &[]),
                parse("r", "SELECT name FROM items WHERE id = $1", &[]),
                parse("w", "UPDATE items SET name = name || '+' WHERE id = $1", &[]),
            ])
            .ask(
                &(1..20)
                    .flat_map(|n| {
                        let id = n.to_string();
                        let mut frames =
                            [again("b", &[]), vec![sync()], again("r", &[text(&id)]), vec![sync()]].concat();
                        if n % 4 == 0 {
                            frames.extend([again("w", &[text(&id)]), vec![sync()]].concat());
                        }
                        frames.extend([again("r", &[text(&id)]), again("c", &[]), vec![sync()]].concat());
                        frames
                    })
                    .collect::<Vec<_>>(),
            ),
        Talk::new("lazy: Syncs and Flushes between everything").ask(
            &[
                vec![sync(), flush()],
                run("BEGIN"),
                vec![flush(), sync(), sync(), flush()],
                run(COUNT),
                vec![flush(), flush(), sync()],
                run("COMMIT"),
                vec![sync(), sync()],
            ]
            .concat(),
        ),
    ]
}

fn flushed() -> Vec<Talk> {
    vec![
        Talk::new("lazy: a write flushed behind a read of its batch, and the commit behind it")
            .changes()
            .queries(&["BEGIN"])
            .say(&[run(COUNT), vec![flush()]].concat(), Hear::UpTo(b'C'))
            .say(&[run(INSERT), run(COUNT), vec![flush()]].concat(), Hear::UpTo(b'D'))
            .say(&[run("COMMIT"), run(COUNT), vec![sync()]].concat(), Hear::Ready(1)),
        Talk::new("lazy: half of a transaction's batch now, half of it later")
            .changes()
            .say(&[run("BEGIN"), run(COUNT)].concat(), Hear::Nothing)
            .say(&[flush()], Hear::UpTo(b'D'))
            .say(&run(INSERT), Hear::Nothing)
            .batch(&run("COMMIT"))
            .queries(&[COUNT]),
        Talk::new("lazy: a pause within a transaction's batch")
            .say(&run("BEGIN"), Hear::Nothing)
            .pause()
            .say(&run(COUNT), Hear::Nothing)
            .pause()
            .batch(&run("COMMIT"))
            .say(&[run("BEGIN"), vec![flush()]].concat(), Hear::UpTo(b'C'))
            .pause()
            .say(&[run(COUNT), vec![flush()]].concat(), Hear::UpTo(b'C'))
            .pause()
            .batch(&run("COMMIT")),
        Talk::new("lazy: requests behind a slow read, one by one")
            .changes()
            .queries(&["BEGIN"])
            .say(&[query("SELECT pg_sleep(0.1)")], Hear::Nothing)
            .pause()
            .say(&[query(COUNT)], Hear::Nothing)
            .pause()
            .say(&[query(INSERT)], Hear::Nothing)
            .pause()
            .say(&[query("COMMIT")], Hear::Ready(4))
            .queries(&[COUNT]),
    ]
}

fn mixed() -> Vec<Talk> {
    vec![
        Talk::new("lazy: simple queries and batches in one pipeline")
            .changes()
            .ask(
                &[
                    vec![query("BEGIN")],
                    synced(&[COUNT]),
                    vec![query(ONE)],
                    synced(&[INSERT]),
                    vec![query("COMMIT")],
                ]
                .concat(),
            )
            .ask(
                &[synced(&["BEGIN"]), vec![query(COUNT)], synced(&["ROLLBACK"]), vec![query(COUNT)]].concat(),
            ),
        Talk::new("lazy: begin in a batch without Sync, then simple queries")
            .ask(&[run("BEGIN"), vec![query(COUNT), query("COMMIT"), sync()]].concat())
            .ask(&[run("BEGIN"), run(COUNT), vec![query("ROLLBACK")]].concat())
            .batch(&[])
            .queries(&[ONE]),
        Talk::new("lazy: a skipped query behind a failed batch in a transaction")
            .queries(&["BEGIN"])
            .say(&[run("SELECT 1/0"), vec![query(COUNT), sync()]].concat(), Hear::Ready(1))
            .queries(&[COUNT, "ROLLBACK", ONE])
            .say(&[run("SELECT 1/0"), vec![query("BEGIN"), sync()]].concat(), Hear::Ready(1))
            .queries(&[COUNT, "COMMIT"]),
        Talk::new("lazy: cursors and portals in one pipeline").changes().ask(
            &[
                vec![
                    query("BEGIN"),
                    query("DECLARE c CURSOR FOR SELECT id FROM items ORDER BY id"),
                    query("FETCH 2 c"),
                ],
                vec![
                    parse("s", "SELECT id FROM items ORDER BY id DESC", &[]),
                    bind("p", "s", &[]),
                    execute("p", 2),
                    sync(),
                ],
                vec![query(INSERT), execute("p", 2), sync(), query("FETCH 2 c"), query(COUNT)],
                vec![execute("p", 0), sync(), query("COMMIT"), query(COUNT)],
            ]
            .concat(),
        ),
        Talk::new("lazy: a function call, a copy and a notification in one pipeline").changes().ask(
            &[
                vec![
                    query("BEGIN"),
                    function_call(177, &[text("1"), text("2")]),
                    query("COPY (SELECT 1) TO STDOUT"),
                ],
                vec![query("COPY items (id, name) FROM STDIN"), copy_data("100\tcopied\n"), copy_done()],
                vec![query(COUNT), query("COMMIT"), query(COUNT)],
            ]
            .concat(),
        ),
        Talk::new("lazy: everything, and the farewell amid a transaction")
            .changes()
            .ask(&queries(&["BEGIN", COUNT, INSERT]))
            .say(&[terminate()], Hear::Close),
        Talk::new("lazy: farewell amid a transaction that has only read")
            .queries(&["BEGIN", COUNT])
            .say(&[terminate()], Hear::Close),
    ]
}
